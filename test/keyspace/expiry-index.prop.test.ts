import { expect, test } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { SEGMENT_SHIFT, wordPosition } from '../../src/arena/layout.ts';
import { Prng } from '../../src/base/prng.ts';
import { NIL, type Ref } from '../../src/base/units.ts';
import { ENTRY_WITH_DEADLINE_BYTES, EntryWord } from '../../src/keyspace/entry.ts';
import { ExpiryIndex } from '../../src/keyspace/expiry-index.ts';
import { testSeed } from '../support/seed.ts';

class Model {
  readonly arena = new Arena();
  index = new ExpiryIndex(this.arena);
  readonly deadlines = new Map<Ref, number>();
  readonly refs: Ref[] = [];

  slot(entry: Ref): number {
    return this.arena.i32[entry >>> SEGMENT_SHIFT]![wordPosition(entry) + EntryWord.SLOT]!;
  }

  add(deadline: number): void {
    const entry = this.arena.alloc(ENTRY_WITH_DEADLINE_BYTES);
    const word = wordPosition(entry) + EntryWord.SLOT;
    this.arena.i32[entry >>> SEGMENT_SHIFT]![word] = this.index.add(entry, deadline);
    this.deadlines.set(entry, deadline);
    this.refs.push(entry);
  }

  remove(entry: Ref): void {
    this.index.remove(this.slot(entry));
    this.deadlines.delete(entry);
    this.refs[this.refs.indexOf(entry)] = this.refs.at(-1)!;
    this.refs.pop();
    this.arena.free(entry);
  }

  validate(): void {
    this.index.validate(
      (entry) => this.slot(entry),
      (entry) => this.deadlines.get(entry)!,
    );
    expect(this.index.count).toBe(this.deadlines.size);
  }

  due(nowMs: number): number[] {
    const found: number[] = [];
    for (let entry = this.index.due(nowMs); entry !== NIL; entry = this.index.due(nowMs)) {
      found.push(this.deadlines.get(entry)!);
      this.remove(entry);
    }
    return found.toSorted((a, b) => a - b);
  }
}

test('finds exactly what is due, over many chunks, as deadlines come, change and go', () => {
  const prng = new Prng(testSeed('expiry-index'));
  const model = new Model();
  let nowMs = 0;
  for (let step = 0; step < 60_000; step++) {
    const growing = step % 30_000 < 18_000;
    const kind = prng.below(10);
    if (model.refs.length === 0 || kind < (growing ? 6 : 2))
      model.add(nowMs + prng.below(1_000_000));
    else {
      const entry = model.refs[prng.below(model.refs.length)]!;
      if (kind < 8) {
        const deadline = nowMs + prng.below(1_000_000);
        model.index.change(model.slot(entry), deadline);
        model.deadlines.set(entry, deadline);
      } else model.remove(entry);
    }
    if (step % 1500 === 0) {
      nowMs += prng.below(20_000);
      const expected = [...model.deadlines.values()].filter((deadline) => deadline < nowMs);
      expect(model.due(nowMs)).toEqual(expected.toSorted((a, b) => a - b));
      expect(model.index.due(nowMs)).toBe(NIL);
      model.validate();
    }
    if (step % 20_000 === 19_999) model.index = new ExpiryIndex(model.arena, model.index.share());
  }
  expect(model.index.count).toBeGreaterThan(2000);
  model.due(Number.POSITIVE_INFINITY);
  expect(model.index.count).toBe(0);
  expect(model.index.averageTtlMs(0)).toBe(0);
});

test('the mean time left is that of the deadlines ahead', () => {
  const model = new Model();
  for (let i = 0; i < 5000; i++) model.add(1000 + (i % 2) * 2000);
  expect(model.index.averageTtlMs(0)).toBeGreaterThan(900);
  expect(model.index.averageTtlMs(0)).toBeLessThan(3100);
  expect(model.index.averageTtlMs(2000)).toBe(1000);
  expect(model.index.averageTtlMs(5000)).toBe(0);
});
