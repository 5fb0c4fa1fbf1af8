import { expect, test } from 'vitest';
import { bytesOf } from '../../src/base/bytes.ts';
import { Encoding, ValueType } from '../../src/keyspace/entry.ts';
import { Keyspace } from '../../src/keyspace/keyspace.ts';

const FIELDS = 5000;

function newKeyspace(): Keyspace {
  return new Keyspace(2, { key0: 1, key1: 2 });
}

/** Adds a hash of `fields` fields under `key`. */
function addHash(keyspace: Keyspace, key: string, fields: number): void {
  const table = keyspace.structures.fields.create();
  for (let i = 0; i < fields; i++) {
    const name = bytesOf(`field:${i}`);
    keyspace.structures.fields.find(table, name, 0, name.length);
    keyspace.structures.fields.add(table, name, 0, name.length, name, 0, name.length);
  }
  const bytes = bytesOf(key);
  keyspace.databases[0]!.find(bytes, 0, bytes.length);
  keyspace.databases[0]!.addObject(
    bytes,
    0,
    bytes.length,
    ValueType.HASH,
    Encoding.HASHTABLE,
    table,
  );
}

function removeKey(keyspace: Keyspace, key: string): void {
  const bytes = bytesOf(key);
  keyspace.databases[0]!.remove(keyspace.databases[0]!.find(bytes, 0, bytes.length));
}

test('a large value is freed in slices, a small one at once', () => {
  const keyspace = newKeyspace();
  const empty = keyspace.arena.usedBytes;
  addHash(keyspace, 'small', 10);
  removeKey(keyspace, 'small');
  expect([keyspace.freeing, keyspace.arena.usedBytes]).toEqual([false, empty]);

  addHash(keyspace, 'large', FIELDS);
  const full = keyspace.arena.usedBytes;
  removeKey(keyspace, 'large');
  expect(keyspace.freeing).toBe(true);
  expect(keyspace.arena.usedBytes).toBeGreaterThan(empty + (full - empty) * 0.9);
  let slices = 1;
  while (keyspace.freeSome(10)) slices++;
  expect(slices).toBeGreaterThan(FIELDS / 12 / 10 - 1);
  expect([keyspace.freeing, keyspace.arena.usedBytes]).toEqual([false, empty]);
  keyspace.validate();
});

test('a listpack is freed at once', () => {
  const keyspace = newKeyspace();
  const empty = keyspace.arena.usedBytes;
  const key = bytesOf('key');
  const db = keyspace.databases[0]!;
  db.find(key, 0, key.length);
  db.addObject(
    key,
    0,
    key.length,
    ValueType.HASH,
    Encoding.LISTPACK,
    keyspace.structures.listpacks.create(),
  );
  removeKey(keyspace, 'key');
  expect([keyspace.freeing, keyspace.arena.usedBytes]).toEqual([false, empty]);
});

test('flushing a database frees the large values in it before it goes on', () => {
  const keyspace = newKeyspace();
  const empty = keyspace.arena.usedBytes;
  for (let i = 0; i < 20; i++) addHash(keyspace, `key:${i}`, 300);
  keyspace.flush(0);
  addHash(keyspace, 'afterwards', 10);
  while (keyspace.freeSome(1));
  removeKey(keyspace, 'afterwards');
  expect([keyspace.freeing, keyspace.arena.usedBytes]).toEqual([false, empty]);
  keyspace.validate();
});
