/** Trees of ids, streams and their groups beside plain models, while images are taken. */
import { describe, expect, test } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { bytesOf, latin1 } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { asRef, NIL, type Ref } from '../../src/base/units.ts';
import { IdCursor, IdTree } from '../../src/structs/id-tree.ts';
import { Listpack } from '../../src/structs/listpack.ts';
import { StreamId } from '../../src/structs/stream-id.ts';
import { Streams } from '../../src/structs/streams.ts';
import { requestOf } from '../support/command-harness.ts';
import { testSeed } from '../support/seed.ts';

const SHADOW_BYTES_MAX = 1 << 28;

/**
 * Freezes and thaws now and then: in tests each thaw checks that no write passed the barrier by.
 */
class Freezes {
  readonly #arena: Arena;
  readonly #prng: Prng;

  constructor(arena: Arena, prng: Prng) {
    this.#arena = arena;
    this.#prng = prng;
  }

  maybe(): void {
    if (this.#prng.below(100) > 0) return;
    if (this.#arena.frozen) this.#arena.thaw();
    else
      this.#arena.freeze(
        SHADOW_BYTES_MAX,
        () => undefined,
        () => undefined,
      );
  }

  end(): void {
    if (this.#arena.frozen) this.#arena.thaw();
  }
}

function idOf(number: number): StreamId {
  const id = new StreamId();
  // In all four words, in the order of the numbers.
  id.set((number >>> 12) << 24, (number >>> 8) & 15, (number >>> 4) & 15, (number & 15) << 28);
  return id;
}

test('a tree of ids is a sorted map', () => {
  const prng = new Prng(testSeed('tree'));
  const arena = new Arena();
  const tree = new IdTree(arena);
  const freezes = new Freezes(arena, prng);
  const cursor = new IdCursor(arena);
  const ref = tree.create();
  let model = new Map<number, number>();
  for (let round = 0; round < 30_000; round++) {
    freezes.maybe();
    const phase = Math.floor(round / 5000) % 2;
    const number = prng.below(10) < 3 ? round & 0xffff : prng.below(0x10000);
    const id = idOf(number);
    if (prng.below(10) < (phase === 0 ? 7 : 2)) {
      expect(tree.insert(ref, id, asRef(number + 1))).toBe(!model.has(number));
      model.set(number, number + 1);
    } else {
      const sorted = [...model.keys()];
      const victim =
        sorted.length > 0 && prng.below(4) > 0 ? sorted[prng.below(sorted.length)]! : number;
      expect(tree.remove(ref, idOf(victim))).toBe(model.get(victim) ?? NIL);
      model.delete(victim);
    }
    if (round % 3000 === 0) tree.validate(ref);
  }
  freezes.end();
  tree.validate(ref);
  model = new Map([...model].sort(([a], [b]) => a - b));
  const numbers = [...model.keys()];
  const forwards: number[] = [];
  for (let more = cursor.seekFirst(ref); more; more = cursor.next())
    forwards.push(cursor.value - 1);
  expect(forwards).toEqual(numbers);
  const backwards: number[] = [];
  for (let more = cursor.seekLast(ref); more; more = cursor.previous())
    backwards.push(cursor.value - 1);
  expect(backwards).toEqual([...numbers].reverse());
  for (let i = 0; i < 2000; i++) {
    const number = prng.below(0x10000);
    const ceiling = cursor.seekCeiling(ref, idOf(number)) ? cursor.value - 1 : undefined;
    expect(ceiling).toBe(numbers.find((each) => each >= number));
    const floor = cursor.seekFloor(ref, idOf(number)) ? cursor.value - 1 : undefined;
    expect(floor).toBe(numbers.findLast((each) => each <= number));
  }
  let visited = 0;
  while (!tree.freeSome(ref, 3, () => visited++));
  expect([visited, arena.usedBytes]).toEqual([numbers.length, 0]);
});

interface ModelEntry {
  readonly ms: number;
  readonly seq: number;
  readonly words: string[];
}

function entriesOf(
  streams: Streams,
  ref: Ref,
  from: StreamId,
  to: StreamId,
  backwards: boolean,
): ModelEntry[] {
  streams.entries.open(ref);
  const cursor = streams.entries.seek(from, to, backwards);
  const entries: ModelEntry[] = [];
  while (cursor.next()) {
    const words: string[] = [];
    const { node } = cursor;
    for (let i = 0; i < node.fieldCount; i++) {
      node.nextField();
      words.push(latin1(node.field.bytes, node.field.position, node.field.length));
      words.push(latin1(node.value.bytes, node.value.position, node.value.length));
    }
    const [ms, seq] = cursor.id.toString().split('-').map(Number);
    entries.push({ ms: ms!, seq: seq!, words });
  }
  return entries;
}

function streamId(ms: number, seq: number): StreamId {
  const id = new StreamId();
  id.setMs(ms);
  id.seqLow = seq;
  return id;
}

describe.each([
  [100, 4096],
  [7, 0],
  [0, 200],
])('a stream with nodes of up to %i entries and %i bytes', (entriesMax, bytesMax) => {
  test('holds what was added and not deleted, in order', () => {
    const prng = new Prng(testSeed('entries'));
    const arena = new Arena();
    const streams = new Streams(arena, new Listpack(arena));
    const freezes = new Freezes(arena, prng);
    streams.entries.create();
    const { ref } = streams.entries;
    let model: ModelEntry[] = [];
    let ms = 1_700_000_000_000;
    const min = streamId(0, 0);
    const max = new StreamId();
    max.setMax();
    for (let round = 0; round < 3000; round++) {
      freezes.maybe();
      streams.entries.open(ref);
      const kind = prng.below(20);
      if (kind < 15) {
        ms += prng.below(3);
        const last = model.at(-1);
        const seq =
          last !== undefined && last.ms === ms ? last.seq + 1 + prng.below(3) : prng.below(500);
        streams.entries.readLastId(max);
        const id = streamId(ms, seq);
        if (id.compare(max) <= 0) continue;
        const fields = 1 + prng.below(3);
        const words = Array.from({ length: fields * 2 }, (_, i) =>
          i % 2 === 0 ? `f${prng.below(2)}` : String(prng.below(1e6)).repeat(1 + prng.below(4)),
        );
        expect(
          streams.entries.append(
            id,
            requestOf(['XADD', ...words]),
            1,
            fields,
            bytesMax,
            entriesMax,
          ),
        ).toBe(true);
        model.push({ ms, seq, words });
      } else if (kind < 19 && model.length > 0) {
        const { ms: at, seq } = model.splice(prng.below(model.length), 1)[0]!;
        expect(streams.entries.delete(streamId(at, seq))).toBe(true);
        streams.entries.updateFirstId();
        expect(streams.entries.delete(streamId(at, seq))).toBe(false);
      } else if (prng.below(8) === 0 && model.length > 0) {
        const keep = prng.below(model.length + 5);
        if (prng.below(2) === 0) {
          expect(streams.entries.trimToLength(keep, false, 0)).toBe(
            Math.max(0, model.length - keep),
          );
          model = model.slice(-keep || model.length);
        } else {
          const bound = model[Math.min(keep, model.length - 1)]!;
          const before = model.length;
          model = model.filter(
            (entry) => entry.ms > bound.ms || (entry.ms === bound.ms && entry.seq >= bound.seq),
          );
          expect(streams.entries.trimBefore(streamId(bound.ms, bound.seq), false, 0)).toBe(
            before - model.length,
          );
        }
      }
      if (round % 500 === 0) streams.validate(ref);
    }
    freezes.end();
    streams.validate(ref);
    max.setMax();
    expect(entriesOf(streams, ref, min, max, false)).toEqual(model);
    expect(entriesOf(streams, ref, min, max, true)).toEqual([...model].reverse());
    const low = model[model.length >>> 2]!;
    const high = model[(model.length * 3) >>> 2]!;
    const inner = model.slice(model.length >>> 2, ((model.length * 3) >>> 2) + 1);
    const [from, to] = [streamId(low.ms, low.seq), streamId(high.ms, high.seq)];
    expect(entriesOf(streams, ref, from, to, false)).toEqual(inner);
    expect(entriesOf(streams, ref, from, to, true)).toEqual([...inner].reverse());
    const copy = streams.copy(ref);
    expect(streams.freeSome(ref, Number.POSITIVE_INFINITY)).toBe(true);
    streams.validate(copy);
    expect(entriesOf(streams, copy, min, max, false)).toEqual(model);
    while (!streams.freeSome(copy, 1));
    expect(arena.usedBytes).toBe(0);
  });
});

test('groups know what is pending of whom', () => {
  const prng = new Prng(testSeed('groups'));
  const arena = new Arena();
  const streams = new Streams(arena, new Listpack(arena));
  const { groups } = streams;
  const freezes = new Freezes(arena, prng);
  streams.entries.create();
  const { ref } = streams.entries;
  const name = bytesOf('group');
  groups.findGroup(ref, name, 0, name.length);
  const group = groups.addGroup(ref, name, 0, name.length, streamId(5, 6));
  const model = new Map<number, string>();
  const consumerOf = (text: string): Ref => {
    const bytes = bytesOf(text);
    const found = groups.findConsumer(group, bytes, 0, bytes.length);
    return found !== NIL ? found : groups.addConsumer(group, bytes, 0, bytes.length, 1);
  };
  for (let round = 0; round < 5000; round++) {
    freezes.maybe();
    const number = prng.below(3000);
    const id = idOf(number);
    const who = `consumer:${prng.below(20)}`;
    const delivery = groups.findDelivery(group, id);
    expect(delivery !== NIL).toBe(model.has(number));
    const kind = prng.below(100);
    if (kind === 0) {
      groups.removeConsumer(group, consumerOf(who));
      for (const [each, owner] of model) if (owner === who) model.delete(each);
    } else if (kind < 30) {
      expect(groups.removeDelivery(group, id)).toBe(model.delete(number));
    } else {
      if (delivery === NIL)
        groups.setDelivery(groups.addDelivery(group, consumerOf(who), id), round, number);
      else groups.moveDelivery(delivery, id, consumerOf(who));
      model.set(number, who);
    }
    if (round % 1000 === 0 || kind === 0) groups.validate(ref);
  }
  freezes.end();
  groups.validate(ref);
  expect(groups.pendingCount(group)).toBe(model.size);
  const copy = streams.copy(ref);
  groups.validate(copy);
  const found = new Map<number, string>();
  const other = groups.findGroup(copy, name, 0, name.length);
  for (const number of model.keys()) {
    const delivery = groups.findDelivery(other, idOf(number));
    expect(groups.deliveryCount(delivery)).toBe(
      groups.deliveryCount(groups.findDelivery(group, idOf(number))),
    );
    const consumer = groups.consumerOf(delivery);
    const at = groups.namePosition(consumer);
    found.set(number, latin1(groups.bytesOf(consumer), at, groups.nameLength(consumer)));
  }
  expect(found).toEqual(model);
  let slices = 0;
  while (!streams.freeSome(ref, 1)) slices++;
  expect(slices).toBeGreaterThan(20);
  expect(streams.freeSome(copy, Number.POSITIVE_INFINITY)).toBe(true);
  expect(arena.usedBytes).toBe(0);
});
