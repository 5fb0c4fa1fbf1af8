import { expect, test, vi } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { ErrorCode, OperatingError } from '../../src/base/errors.ts';
import { asRef, NIL, type Ref } from '../../src/base/units.ts';
import { bucketIndex, HashTable, tagOf } from '../../src/structs/hash-table.ts';

const spread = (entry: number): number => Math.imul(entry, 0x9e3779b1) ^ (entry >>> 11);

function tableOf(
  arena: Arena,
  hashOf: (entry: number) => number,
): { tables: HashTable; table: Ref } {
  const tables = new HashTable(arena, { hashOf });
  return { tables, table: tables.create() };
}

test.each([
  // hash, buckets, index
  [0, 1, 0],
  [0xffffffff, 1, 0],
  [1, 2, 1],
  [3, 3, 1],
  [2, 3, 2],
  [7, 5, 3],
  [4, 5, 4],
  [-1, 64, 63],
  [-1, 65, 63],
  [64, 65, 64],
  [-1, 2 ** 24, 2 ** 24 - 1],
  [-1, 2 ** 24 + 1, 2 ** 24 - 1],
  [2 ** 24, 2 ** 24 + 1, 2 ** 24],
  [-1, 2 ** 28, 2 ** 28 - 1],
  [-1, 2 ** 29 + 5, 2 ** 29 - 1],
  [2 ** 29 + 4, 2 ** 29 + 5, 2 ** 29 + 4],
])('hash %d of %d buckets is in bucket %d', (hash, buckets, index) => {
  expect(bucketIndex(hash, buckets)).toBe(index);
});

test.each([
  [0, 1],
  [0x00ffffff, 1],
  [0x01000000, 1],
  [0x02000000, 2],
  [0x7fffffff, 0x7f],
  [-1, 0xff],
  [-0x80000000, 0x80],
])('the tag of hash %d is %d, never 0', (hash, tag) => {
  expect(tagOf(hash)).toBe(tag);
});

test('each of twelve places is found among neighbours whose tags differ in one bit', () => {
  const arena = new Arena();
  // One bucket; tags that would lead a careless comparison astray: t ^ 1, and bytes after an equal
  // one.
  for (const tag of [1, 2, 3, 0x7f, 0x80, 0x81, 0xfe, 0xff]) {
    for (let place = 0; place < 12; place++) {
      const hashOf = (entry: number): number =>
        entry === place + 1 ? tag << 24 : (tag ^ 1 || 2) << 24;
      const { tables, table } = tableOf(arena, hashOf);
      for (let entry = 1; entry <= 8; entry++) tables.insert(table, hashOf(entry), asRef(entry));
      if (place >= 8) {
        expect(tables.first(table, tag << 24)).toBe(NIL);
        continue;
      }
      expect(tables.first(table, tag << 24)).toBe(place + 1);
      expect(tables.next()).toBe(NIL);
    }
  }
});

test('a table without the hash finds nothing, not even an empty place', () => {
  const { tables, table } = tableOf(new Arena(), spread);
  for (let tag = 0; tag < 256; tag++) expect(tables.first(table, tag << 24)).toBe(NIL);
  tables.insert(table, 5 << 24, asRef(9));
  for (let tag = 0; tag < 256; tag++)
    expect(tables.first(table, tag << 24)).toBe(tag === 5 ? 9 : NIL);
});

test('an entry costs less than 12 bytes at every point of a round of growth', () => {
  const arena = new Arena();
  const { tables, table } = tableOf(arena, spread);
  let count = 0;
  let worst = 0;
  for (let points = 0; count < 300_000; points++) {
    const until = Math.ceil(1000 * 1.05 ** points);
    while (count < until) {
      count++;
      tables.insert(table, spread(count), asRef(count));
    }
    worst = Math.max(worst, arena.usedBytes / count);
  }
  expect(worst).toBeLessThan(12);
  tables.validate(table);
});

test('replaceFound refuses a place that is forgotten or that holds another entry', () => {
  const { tables, table } = tableOf(new Arena(), spread);
  for (let entry = 1; entry <= 100; entry++) tables.insert(table, spread(entry), asRef(entry));
  expect(tables.first(table, spread(7))).toBe(7);
  expect(tables.replaceFound(asRef(8), asRef(1007))).toBe(false);
  expect(tables.replaceFound(asRef(7), asRef(7))).toBe(true);
  expect(tables.first(table, spread(7))).toBe(7);
  tables.insert(table, spread(101), asRef(101));
  expect(tables.replaceFound(asRef(7), asRef(7))).toBe(false);
  expect(tables.first(table, spread(7))).toBe(7);
  tables.remove(table, spread(50), asRef(50));
  expect(tables.replaceFound(asRef(7), asRef(7))).toBe(false);
  expect(tables.first(table, spread(1_000_000) ^ 77)).toBe(NIL);
  expect(tables.replaceFound(asRef(7), asRef(7))).toBe(false);
  tables.validate(table);
});

test('without memory an insertion fails cleanly or grows later, and a removal never fails', () => {
  const arena = new Arena();
  const { tables, table } = tableOf(arena, spread);
  let full = false;
  const alloc = arena.alloc.bind(arena);
  vi.spyOn(arena, 'alloc').mockImplementation((bytes) => {
    if (full) throw new OperatingError(ErrorCode.ARENA_FULL, 'no memory');
    return alloc(bytes);
  });
  const there = new Set<number>();
  let refused = 0;
  for (let entry = 1; entry <= 6000; entry++) {
    full = entry % 1000 < 500;
    try {
      tables.insert(table, spread(entry), asRef(entry));
      there.add(entry);
    } catch (error) {
      expect(error).toMatchObject({ code: 'ARENA_FULL' });
      refused++;
    }
    if (entry % 7 === 0 && there.delete(entry)) tables.remove(table, spread(entry), asRef(entry));
    if (entry % 100 === 0) tables.validate(table);
  }
  expect(refused).toBeGreaterThan(0);
  full = true;
  for (const entry of there) tables.remove(table, spread(entry), asRef(entry));
  tables.validate(table);
  expect(tables.count(table)).toBe(0);
});

test('a scan of a table of one bucket ends at once; cursors from elsewhere do no harm', () => {
  const { tables, table } = tableOf(new Arena(), spread);
  expect(tables.scan(table, 0, () => expect.fail('an empty table'))).toBe(0);
  for (let entry = 1; entry <= 1000; entry++) tables.insert(table, spread(entry), asRef(entry));
  for (const cursor of [0xffffffff, 2 ** 32, 2 ** 53 - 1, 12345678901, 77]) {
    let seen = 0;
    let next = cursor;
    do next = tables.scan(table, next, () => void seen++);
    while (next !== 0);
    expect(seen).toBeLessThanOrEqual(1000);
  }
});

test('cursors count with reversed bits', () => {
  const { tables, table } = tableOf(new Arena(), spread);
  for (let entry = 1; entry <= 64; entry++) tables.insert(table, spread(entry), asRef(entry));
  expect(tables.buckets(table)).toBe(8);
  const cursors: number[] = [];
  let cursor = 0;
  do {
    cursors.push(cursor);
    cursor = tables.scan(table, cursor, () => {});
  } while (cursor !== 0);
  expect(cursors).toEqual([0, 4, 2, 6, 1, 5, 3, 7]);
});

test.each([0, 5, 100])('room for entries is made once, with %i of them there already', (before) => {
  const { tables, table } = tableOf(new Arena(), spread);
  const count = 10_000;
  const insert = (entry: number): void => tables.insert(table, spread(entry), asRef(entry));
  for (let entry = 1; entry <= before; entry++) insert(entry);
  tables.reserve(table, count);
  const buckets = tables.buckets(table);
  for (let entry = before + 1; entry <= count; entry++) insert(entry);
  expect(tables.buckets(table)).toBe(buckets);
  expect(tables.count(table)).toBe(count);
  tables.validate(table);
  for (let entry = 1; entry <= count; entry++) {
    let found = tables.first(table, spread(entry));
    while (found !== entry && found !== NIL) found = tables.next();
    expect(found).toBe(entry);
  }
  insert(count + 1);
  expect(tables.buckets(table)).toBe(buckets + 1);
});
