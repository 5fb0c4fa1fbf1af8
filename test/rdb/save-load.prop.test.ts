import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { testSeed } from '../support/seed.ts';
import {
  copyModel,
  drippingFeed,
  dumpOf,
  loadBytes,
  loadFeed,
  loadOptions,
  modelOf,
  NOW_MS,
  newKeyspace,
  newModel,
  put,
  randomChange,
  saveOptions,
} from './keyspaces.ts';

function randomKeyspace(prng: Prng, changes: number) {
  const keyspace = newKeyspace();
  const model = newModel();
  for (let i = 0; i < changes; i++) randomChange(keyspace, model, prng, 2000);
  return { keyspace, model };
}

describe('a dump of a random keyspace', () => {
  test.each([
    ['as is', saveOptions(), 65536],
    ['without compression', saveOptions({ compress: false }), 65536],
    ['without a checksum', saveOptions({ checksum: false }), 65536],
    ['in small chunks', saveOptions({ dialect: { version: 12, plainTypes: false } }), 128],
    ['of plain types', saveOptions({ dialect: { version: 9, plainTypes: true } }), 4096],
  ])('loads again: %s', (name, options, chunkBytes) => {
    const prng = new Prng(testSeed(name));
    const { keyspace, model } = randomKeyspace(prng, 4000);
    const dump = dumpOf(keyspace, options, chunkBytes);
    const { keyspace: loaded, result } = loadBytes(dump);
    expect(modelOf(loaded)).toEqual(model);
    expect(modelOf(keyspace)).toEqual(model);
    expect(result).toMatchObject({
      version: options.dialect.version,
      bytes: dump.length,
      keysExpired: 0,
    });
    expect(result.keysLoaded).toBe(keyspace.keyCount);
    const small = { windowBytes: 1024, unpackedBytes: 512 };
    const dripped = loadFeed(drippingFeed(dump, 1 + prng.below(2000)), loadOptions(), small);
    expect(modelOf(dripped.keyspace)).toEqual(model);
  });

  test('leaves out what has expired, or keeps it', () => {
    const prng = new Prng(testSeed('expired'));
    const { keyspace, model } = randomKeyspace(prng, 2000);
    const dump = dumpOf(keyspace);
    const nowMs = NOW_MS + 500_000_000;
    const alive = copyModel(model).map(
      (keys) => new Map([...keys].filter(([, { deadline }]) => deadline < 0 || deadline >= nowMs)),
    );
    const { keyspace: loaded, result } = loadBytes(dump, loadOptions({ nowMs }));
    expect(modelOf(loaded)).toEqual(alive);
    expect(result.keysExpired).toBe(keyspace.keyCount - loaded.keyCount);
    expect(result.keysExpired).toBeGreaterThan(0);
    const kept = loadBytes(dump, loadOptions({ nowMs, keepExpired: true }));
    expect(modelOf(kept.keyspace)).toEqual(model);
    expect(kept.result.keysExpired).toBe(0);
  });

  test('is the same twice, and says what it was told', () => {
    const { keyspace } = randomKeyspace(new Prng(testSeed('same')), 500);
    const replication = {
      streamDb: 3,
      replid: 'd28bd808c0922b5679039db98a7493f76689084e',
      offset: 2 ** 45,
    };
    const options = saveOptions({
      aux: { ctime: 1_700_000_001, usedMemoryBytes: 5_000_000_000, replication },
      functions: [Buffer.from('#!lua name=one'), Buffer.from('x'.repeat(70_000))],
    });
    const dump = dumpOf(keyspace, options);
    expect(dumpOf(keyspace, options).equals(dump)).toBe(true);
    const { result } = loadBytes(dump);
    expect(result.aux).toEqual({
      redisVersion: '7.2.4',
      ctime: 1_700_000_001,
      others: [],
      usedMemoryBytes: 5_000_000_000,
      replication,
    });
    expect(result.functions.map((bytes) => Buffer.from(bytes).toString())).toEqual([
      '#!lua name=one',
      'x'.repeat(70_000),
    ]);
    const old = dumpOf(keyspace, { ...options, dialect: { version: 9, plainTypes: true } });
    expect(loadBytes(old).result.functions).toEqual([]);
  });
});

test('strings and keys beyond the staging area stream through', () => {
  const keyspace = newKeyspace();
  const model = newModel();
  const long = 'compressible '.repeat(700_000);
  put(keyspace, model, 0, 'long', { value: long, deadline: NOW_MS + 1 });
  put(keyspace, model, 0, `${long}key`, { value: 'short', deadline: NOW_MS + 2 });
  put(keyspace, model, 0, `${long}key too`, { value: long.slice(1), deadline: -1 });
  put(keyspace, model, 5, 'below the bound', { value: long.slice(0, 8_000_000), deadline: -1 });
  const dump = dumpOf(keyspace);
  const loaded = modelOf(loadBytes(dump).keyspace);
  // Compared piece by piece: printing a difference of this size takes minutes.
  expect(loaded.map((keys) => keys.size)).toEqual(model.map((keys) => keys.size));
  for (const [db, keys] of model.entries()) {
    for (const [key, { value, deadline }] of keys) {
      const item = loaded[db]!.get(key);
      expect(item?.value === value && item.deadline === deadline).toBe(true);
    }
  }
});
