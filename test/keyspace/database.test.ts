import { afterAll, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { NIL, type Ref } from '../../src/base/units.ts';
import type { Database } from '../../src/keyspace/database.ts';
import { BytesView, EMBSTR_BYTES_MAX, Encoding, ValueType } from '../../src/keyspace/entry.ts';
import { Keyspace, type KeyspaceShare } from '../../src/keyspace/keyspace.ts';
import { ImageReader } from '../support/image-reader.ts';
import { testSeed } from '../support/seed.ts';

const other = new ImageReader();
afterAll(() => other.close());

const MIB = 1024 * 1024;
const newKeyspace = (): Keyspace => new Keyspace(2, { key0: 1, key1: 2 });
const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

function find(db: Database, key: string): Ref {
  return db.find(bytes(key), 0, key.length);
}

function set(db: Database, key: string, value: string, encoding: Encoding = Encoding.RAW): Ref {
  const entry = find(db, key);
  if (entry !== NIL)
    return db.overwriteString(entry, bytes(value), 0, value.length, encoding, false);
  return db.addString(bytes(key), 0, key.length, bytes(value), 0, value.length, encoding);
}

function get(db: Database, key: string): string | undefined {
  const entry = find(db, key);
  if (entry === NIL) return undefined;
  const view = new BytesView();
  db.stringInto(entry, view);
  return Buffer.from(view.bytes.subarray(view.position, view.position + view.length)).toString(
    'latin1',
  );
}

test('the empty key and the empty value are as good as any', () => {
  const db = newKeyspace().databases[0]!;
  expect(find(db, '')).toBe(NIL);
  set(db, '', '');
  expect([get(db, ''), db.keyCount]).toEqual(['', 1]);
  const deadlined = db.setDeadline(find(db, ''), 5);
  expect(db.keyLength(deadlined)).toBe(0);
  db.growString(deadlined, 3);
  expect(get(db, '')).toBe('\0\0\0');
  db.remove(find(db, ''));
  expect([find(db, ''), db.keyCount]).toEqual([NIL, 0]);
});

test.each([
  // deadline given, deadline kept, due at 0, due at 1, due in the year 3000
  [0, 0, false, true, true],
  [-1, 0, false, true, true],
  [-(2 ** 53), 0, false, true, true],
  [1, 1, false, false, true],
  [2 ** 53, 2 ** 53, false, false, false],
  [2 ** 62, 2 ** 62, false, false, false],
])('deadline %d is kept as %d', (given, kept, at0, at1, at3000) => {
  const db = newKeyspace().databases[0]!;
  const entry = db.setDeadline(set(db, 'k', 'v'), given);
  expect(db.deadline(entry)).toBe(kept);
  expect([0, 1, 32_503_680_000_000].map((nowMs) => db.expiry.due(nowMs) !== NIL)).toEqual([
    at0,
    at1,
    at3000,
  ]);
  db.validate();
});

test('an overwrite drops the deadline or keeps it, in place or moved', () => {
  const db = newKeyspace().databases[0]!;
  for (const length of [1, 4, 100, 3000, 1]) {
    for (const keep of [true, false]) {
      const entry = db.setDeadline(set(db, 'k', 'v'), 77);
      const after = db.overwriteString(
        entry,
        bytes('x'.repeat(length)),
        0,
        length,
        Encoding.RAW,
        keep,
      );
      expect([db.deadline(after), db.deadlineCount]).toEqual(keep ? [77, 1] : [-1, 0]);
      expect(get(db, 'k')).toBe('x'.repeat(length));
      db.validate();
    }
  }
});

test.each([
  [16, 10, Encoding.INT, Encoding.INT],
  [16, EMBSTR_BYTES_MAX, Encoding.EMBSTR, Encoding.EMBSTR],
  [3000, 10, Encoding.INT, Encoding.INT],
  [3000, EMBSTR_BYTES_MAX, Encoding.EMBSTR, Encoding.EMBSTR],
  [3000, EMBSTR_BYTES_MAX + 1, Encoding.RAW, Encoding.RAW_APART],
  [16, 1900, Encoding.RAW, Encoding.RAW],
  [16, 2100, Encoding.RAW, Encoding.RAW_APART],
  [1000, 1100, Encoding.RAW, Encoding.RAW_APART],
])(
  'a key of %d bytes with a value of %d, encoding %d, has encoding %d',
  (keyBytes, length, given, kept) => {
    const db = newKeyspace().databases[0]!;
    const key = 'k'.repeat(keyBytes);
    expect(db.encoding(set(db, key, '1'.repeat(length), given))).toBe(kept);
    set(db, key, 'x'.repeat(5000));
    expect(db.encoding(set(db, key, '1'.repeat(length), given))).toBe(kept);
    expect(get(db, key)).toBe('1'.repeat(length));
    const moved = db.setDeadline(find(db, key), 5);
    expect([db.encoding(moved), db.type(moved)]).toEqual([kept, ValueType.STRING]);
    expect(get(db, key)).toBe('1'.repeat(length));
    db.validate();
  },
);

test('a string that shrinks gives its memory back', () => {
  const keyspace = newKeyspace();
  const db = keyspace.databases[0]!;
  const before = keyspace.arena.usedBytes;
  set(db, 'k', 'x'.repeat(MIB));
  expect(keyspace.arena.usedBytes - before).toBeGreaterThan(MIB);
  set(db, 'k', 'x'.repeat(1000));
  expect(keyspace.arena.usedBytes - before).toBeLessThan(1200);
  set(db, 'k', 'x');
  expect(keyspace.arena.usedBytes - before).toBeLessThan(100);
  db.remove(find(db, 'k'));
  expect(keyspace.arena.usedBytes).toBe(before);
});

test('growing from an integer makes a raw string, even by nothing', () => {
  const db = newKeyspace().databases[0]!;
  for (const [length, after] of [
    [3, '123'],
    [5, '123\0\0'],
    [100, '123'.padEnd(100, '\0')],
    [5000, '123'.padEnd(5000, '\0')],
  ] as const) {
    const entry = db.growString(set(db, 'k', '123', Encoding.INT), length);
    expect(db.encoding(entry)).not.toBe(Encoding.INT);
    expect(get(db, 'k')).toBe(after);
  }
});

test('appending in small pieces moves a string seldom', () => {
  const db = newKeyspace().databases[0]!;
  let entry = set(db, 'k', '');
  let moves = 0;
  for (let length = 1; length <= 100_000; length++) {
    const place = db.encoding(entry) === Encoding.RAW_APART ? db.value(entry) : entry;
    entry = db.growString(entry, length);
    db.writeString(entry, length - 1, bytes('x'), 0, 1);
    if (place !== (db.encoding(entry) === Encoding.RAW_APART ? db.value(entry) : entry)) moves++;
  }
  expect(get(db, 'k')).toBe('x'.repeat(100_000));
  expect(moves).toBeLessThan(25);
});

test('a string of 512 MiB is held, changed at its end and given back', () => {
  const keyspace = newKeyspace();
  const db = keyspace.databases[0]!;
  const length = 512 * MIB;
  let entry = db.growString(set(db, 'big', 'start'), length);
  db.writeString(entry, length - 3, bytes('end'), 0, 3);
  entry = db.setDeadline(entry, 9);
  const image = keyspace.freeze(
    MIB,
    () => {},
    () => expect.fail('lost'),
  );
  db.writeString(entry, length - 3, bytes('END'), 0, 3);
  expect([keyspace.arena.shadowPages, image.roots.length]).toEqual([1, 1]);
  const view = new BytesView();
  db.stringInto(entry, view);
  const slice = (from: number): string =>
    Buffer.from(view.bytes.subarray(view.position + from, view.position + from + 5)).toString();
  expect([view.length, slice(0), slice(length - 5)]).toEqual([length, 'start', '\0\0END']);
  db.remove(entry);
  expect(keyspace.arena.pageUseBytes).toBeLessThan(10 * MIB);
});

test('a key may move to another name, to another database, and back', () => {
  const keyspace = newKeyspace();
  const [first, second] = keyspace.databases as [Database, Database];
  for (const length of [3, 1000, 5000]) {
    set(first, 'a', 'v'.repeat(length));
    first.setDeadline(find(first, 'a'), 55);
    find(second, 'b');
    const moved = first.moveTo(find(first, 'a'), second, bytes('b'), 0, 1);
    expect([get(first, 'a'), get(second, 'b')]).toEqual([undefined, 'v'.repeat(length)]);
    expect([second.deadline(moved), first.deadlineCount, second.deadlineCount]).toEqual([55, 0, 1]);
    expect(find(second, 'c')).toBe(NIL);
    second.moveTo(moved, second, bytes('c'), 0, 1);
    expect([get(second, 'b'), get(second, 'c')]).toEqual([undefined, 'v'.repeat(length)]);
    second.remove(find(second, 'c'));
    keyspace.validate();
  }
});

test('a move onto a key that is there is a mistake of the caller', () => {
  const db = newKeyspace().databases[0]!;
  set(db, 'b', '2');
  const entry = set(db, 'a', '1');
  find(db, 'a');
  expect(() => db.moveTo(entry, db, bytes('a'), 0, 1)).toThrow(/absent/);
});

test('without memory a command fails and nothing is lost or leaked', () => {
  const keyspace = newKeyspace();
  const db = keyspace.databases[0]!;
  set(db, 'k', 'v');
  const before = keyspace.arena.usedBytes;
  const tooLong = new Uint8Array(0);
  const full = expect.objectContaining({ code: 'ARENA_FULL' });
  find(db, 'new');
  expect(() => db.addString(bytes('new'), 0, 3, tooLong, 0, 2 ** 30, Encoding.RAW)).toThrow(full);
  expect(() => db.overwriteString(find(db, 'k'), tooLong, 0, 2 ** 30, Encoding.RAW, false)).toThrow(
    full,
  );
  expect(() => db.growString(find(db, 'k'), 2 ** 30)).toThrow(full);
  expect([get(db, 'k'), find(db, 'new'), keyspace.arena.usedBytes]).toEqual(['v', NIL, before]);
  keyspace.validate();
});

test('the access clock is kept through every move of an entry', () => {
  const db = newKeyspace().databases[0]!;
  let entry = set(db, 'k', 'v');
  db.setAccess(entry, 0xffffff);
  entry = db.setDeadline(entry, 5);
  expect([db.access(entry), db.deadline(entry), get(db, 'k')]).toEqual([0xffffff, 5, 'v']);
  entry = db.growString(entry, 5000);
  expect([db.access(entry), db.type(entry)]).toEqual([0xffffff, ValueType.STRING]);
});

test('a flush and a swap take constant time; memory comes back in slices, even across a swap', () => {
  const keyspace = newKeyspace();
  const [first, second] = keyspace.databases as [Database, Database];
  const empty = keyspace.arena.usedBytes;
  for (let i = 0; i < 5000; i++) set(first, `key:${i}`, 'v'.repeat(i % 3000));
  first.setDeadline(find(first, 'key:1'), 5);
  set(second, 'other', 'v');
  keyspace.flush(0);
  keyspace.flush(0);
  expect([first.keyCount, first.deadlineCount, keyspace.keyCount, keyspace.freeing]).toEqual([
    0,
    0,
    1,
    true,
  ]);
  keyspace.swap(0, 1);
  expect([get(first, 'other'), get(second, 'other')]).toEqual(['v', undefined]);
  expect(() => keyspace.share()).toThrow(/left to free/);
  let slices = 1;
  while (keyspace.freeSome(10)) slices++;
  expect(slices).toBeGreaterThan(50);
  first.remove(find(first, 'other'));
  expect([keyspace.arena.usedBytes, keyspace.freeing, keyspace.freeSome(1)]).toEqual([
    empty,
    false,
    false,
  ]);
  keyspace.validate();
});

test('random choice returns entries of the database, NIL when there is none', () => {
  const db = newKeyspace().databases[0]!;
  const prng = new Prng(testSeed('random'));
  expect(db.random(prng)).toBe(NIL);
  const entry = set(db, 'k', 'v');
  expect(db.random(prng)).toBe(entry);
});

test('a dataset that a worker has filled goes on here', async () => {
  const count = 20_000;
  other.post({ role: 'fill-keyspace', count });
  const { share } = await other.reply<{ share: KeyspaceShare }>();
  const keyspace = Keyspace.adopt(share);
  keyspace.validate();
  expect(keyspace.keyCount).toBe(count);
  const deadlines = keyspace.databases.map((db) => db.deadlineCount);
  expect(deadlines.reduce((a, b) => a + b)).toBe(count / 4);
  for (let i = 0; i < count; i += 97) {
    const db = keyspace.databases[i % 3]!;
    expect(get(db, `key:${i}`)).toBe(`${i}:`.repeat(i % 50));
    set(db, `key:${i}`, 'new');
    expect(db.deadline(find(db, `key:${i}`))).toBe(-1);
  }
  keyspace.validate();
  let expired = 0;
  for (const db of keyspace.databases) {
    for (let entry = db.expiry.due(2_000_000); entry !== NIL; entry = db.expiry.due(2_000_000)) {
      db.remove(entry);
      expired++;
    }
  }
  expect(keyspace.keyCount).toBe(count - expired);
  expect(expired).toBeGreaterThan(4000);
  keyspace.validate();
});

test('what was read ahead is believed for the keys of that call only, and while nothing moved', () => {
  const db = newKeyspace().databases[0]!;
  const names = ['a', 'b', 'c', 'd', 'e'];
  for (const name of names) set(db, name, name);
  const hashes = Int32Array.from(names, (name) => db.hashKey(bytes(name), 0, 1));
  const ahead = (number: number, name: string): Ref =>
    db.findAhead(number, hashes[names.indexOf(name)]!, bytes(name), 0, 1);

  db.readAhead(hashes, 5, 0);
  for (const [index, name] of names.entries()) expect(ahead(index, name)).toBe(find(db, name));
  expect(ahead(4, 'e')).toBe(find(db, 'e'));

  // The entry is gone, its bytes are still there.
  db.remove(find(db, 'e'));
  expect(ahead(4, 'e')).toBe(NIL);

  // Places behind those of the last call hold what was read before it.
  db.readAhead(hashes, 1, 5);
  expect(ahead(9, 'e')).toBe(NIL);
  expect(ahead(5, 'a')).toBe(find(db, 'a'));
  // A number of the call before.
  expect(ahead(1, 'e')).toBe(NIL);

  // Another entry for the same key.
  db.readAhead(hashes, 4, 10);
  const before = find(db, 'b');
  set(db, 'b', 'b'.repeat(500));
  expect(find(db, 'b')).not.toBe(before);
  expect(ahead(11, 'b')).toBe(find(db, 'b'));
});

test('a key that is behind another with its tag is looked for once by its neighbours', () => {
  const db = newKeyspace().databases[0]!;
  for (let i = 0; i < 5000; i++) set(db, `k${i}`, 'v');
  for (let i = 0; i < 5000; i++) {
    const name = bytes(`k${i}`);
    const hash = db.hashKey(name, 0, name.length);
    db.readAhead(Int32Array.of(hash), 1, i);
    const entry = find(db, `k${i}`);
    for (let neighbour = 0; neighbour < 3; neighbour++)
      expect(db.findAhead(i, hash, name, 0, name.length)).toBe(entry);
    db.forgetAhead();
    expect(db.findAhead(i, hash, name, 0, name.length)).toBe(entry);
  }
});

test('a table that was elsewhere is not as it was', () => {
  const keyspace = newKeyspace();
  const [first, second] = keyspace.databases as [Database, Database];
  set(first, 'k', 'v');
  const hash = first.hashKey(bytes('k'), 0, 1);
  first.readAhead(Int32Array.of(hash), 1, 0);
  keyspace.swap(0, 1);
  second.remove(find(second, 'k'));
  keyspace.swap(0, 1);
  expect(first.findAhead(0, hash, bytes('k'), 0, 1)).toBe(NIL);
});
