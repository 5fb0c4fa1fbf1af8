/** Hashes of both forms beside a plain map, while images of the arena are frozen and thawed. */
import { expect, test } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { bytesOf, latin1 } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { FieldMap } from '../../src/structs/field-map.ts';
import { FieldTable } from '../../src/structs/field-table.ts';
import { Listpack } from '../../src/structs/listpack.ts';
import { testSeed } from '../support/seed.ts';

const LENGTHS = [0, 1, 5, 20, 63, 64, 65, 200, 4095, 4096, 9000];

class Model {
  readonly arena = new Arena();
  readonly map: FieldMap;
  readonly plain = new Map<string, string>();
  readonly #prng: Prng;
  readonly #names: number;

  constructor(prng: Prng, names: number, large: boolean) {
    const listpacks = new Listpack(this.arena);
    this.map = new FieldMap(this.arena, listpacks, new FieldTable(this.arena, 11, 22));
    this.#prng = prng;
    this.#names = names;
    this.map.create(large, 0);
  }

  name(): string {
    const n = this.#prng.below(this.#names);
    if (n === 3) return '';
    if (n % 9 === 0) return `${n}`;
    return n % 17 === 0 ? `name:${n}:`.padEnd(n % 300, '*') : `name:${n}`;
  }

  text(): string {
    const prng = this.#prng;
    if (prng.below(4) === 0) return `${prng.below(1 << 20) - 1000}`;
    const bytes = Uint8Array.from({ length: LENGTHS[prng.below(LENGTHS.length)]! }, () =>
      prng.below(256),
    );
    return latin1(bytes, 0, bytes.length);
  }

  set(name: string, value: string): void {
    const [nameBytes, valueBytes] = [bytesOf(name), bytesOf(value)];
    const created = this.map.set(nameBytes, 0, nameBytes.length, valueBytes, 0, valueBytes.length);
    expect(created).toBe(!this.plain.has(name));
    this.plain.set(name, value);
  }

  remove(name: string): void {
    const bytes = bytesOf(name);
    const found = this.map.find(bytes, 0, bytes.length);
    expect(found).toBe(this.plain.delete(name));
    if (found) this.map.removeFound();
  }

  get(name: string): string | undefined {
    const bytes = bytesOf(name);
    if (!this.map.find(bytes, 0, bytes.length)) return undefined;
    this.map.readFound();
    const { value } = this.map;
    return latin1(value.bytes, value.position, value.length);
  }

  /** What the hash holds, by its handles. */
  content(): Map<string, string> {
    const { map } = this;
    const content = new Map<string, string>();
    for (const handle of map.handles()) {
      map.readField(handle);
      const name = latin1(map.field.bytes, map.field.position, map.field.length);
      map.readValue(handle);
      content.set(name, latin1(map.value.bytes, map.value.position, map.value.length));
    }
    return content;
  }

  check(): void {
    this.map.validate();
    expect(this.map.count()).toBe(this.plain.size);
    expect(this.content()).toEqual(this.plain);
  }

  freezeOrThaw(): void {
    if (this.arena.frozen) this.arena.thaw();
    else
      this.arena.freeze(
        1 << 26,
        () => undefined,
        () => expect.unreachable('the image was lost'),
      );
  }
}

test.each([
  ['a small hash', 30, false],
  ['a large hash', 700, true],
])('%s behaves as a map', (what, names, large) => {
  const prng = new Prng(testSeed(what));
  const model = new Model(prng, names, large);
  for (let step = 0; step < 6000; step++) {
    const growing = step % 2000 < 1200;
    const kind = prng.below(10);
    const name = model.name();
    if (kind < (growing ? 6 : 2)) model.set(name, model.text());
    else if (kind < 8) model.remove(name);
    else expect(model.get(name)).toBe(model.plain.get(name));
    if (step % 150 === 0) model.freezeOrThaw();
    if (step % 100 === 0) model.check();
  }
  if (model.arena.frozen) model.arena.thaw();
  model.check();
  expect(model.map.large).toBe(large);
  model.map.free();
  model.arena.validate();
});

test('a small hash becomes a large one with the same fields', () => {
  const prng = new Prng(testSeed('convert'));
  for (let round = 0; round < 30; round++) {
    const model = new Model(prng, 200, false);
    const empty = model.arena.usedBytes;
    for (let i = prng.below(120); i >= 0; i--) model.set(model.name(), model.text());
    model.freezeOrThaw();
    model.map.convert();
    expect(model.map.large).toBe(true);
    model.check();
    model.freezeOrThaw();
    for (const name of [...model.plain.keys()]) model.remove(name);
    model.check();
    model.map.free();
    expect(model.arena.usedBytes).toBeLessThan(empty);
    model.arena.validate();
  }
});

test.each([false, true])('a copy has the same fields and is its own (large: %s)', (large) => {
  const prng = new Prng(testSeed(`copy ${large}`));
  const model = new Model(prng, 300, large);
  for (let i = 0; i < 200; i++) model.set(model.name(), model.text());
  const original = model.map.ref;
  const copied = new Map(model.plain);
  const copy = model.map.copy();
  for (let i = 0; i < 100; i++) model.set(model.name(), model.text());
  model.map.free();
  expect(model.map.ref).not.toBe(original);
  model.map.open(copy, large);
  expect(model.content()).toEqual(copied);
  model.map.validate();
});

test('a scan sees every field that is there from its beginning to its end', () => {
  const prng = new Prng(testSeed('scan'));
  const model = new Model(prng, 2000, true);
  for (let i = 0; i < 1000; i++) model.set(`stays:${i}`, 'x');
  const seen = new Set<string>();
  let cursor = 0;
  do {
    cursor = model.map.scan(cursor, (handle) => {
      model.map.readField(handle);
      seen.add(latin1(model.map.field.bytes, model.map.field.position, model.map.field.length));
    });
    for (let i = 0; i < 5; i++) model.set(model.name(), 'y');
    model.remove(model.name());
  } while (cursor !== 0);
  for (let i = 0; i < 1000; i++) expect(seen).toContain(`stays:${i}`);
});

test('fields are drawn in fair shares', () => {
  const prng = new Prng(testSeed('fair'));
  // Between two doublings, when some buckets have twice the entries of others.
  const model = new Model(prng, 1, true);
  const fields = 150;
  const draws = fields * 200;
  for (let i = 0; i < fields; i++) model.set(`${i}`, 'x');
  const counts = new Map<number, number>();
  for (let i = 0; i < draws; i++) {
    const handle = model.map.random(prng);
    counts.set(handle, (counts.get(handle) ?? 0) + 1);
  }
  expect(counts.size).toBe(fields);
  const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - 200) ** 2 / 200, 0);
  // Five standard deviations above the mean of fields - 1.
  expect(chiSquare).toBeLessThan(fields + 5 * Math.sqrt(2 * fields));
});
