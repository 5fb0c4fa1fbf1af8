/**
 * Random keyspaces of strings beside a plain model, and their way into a dump and back, for the
 * tests of dumps.
 */
import { Image } from '../../src/arena/image.ts';
import { bytesOf, latin1 } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';
import { NIL } from '../../src/base/units.ts';
import type { EncodingLimits } from '../../src/keyspace/encoding-limits.ts';
import { BytesView, Encoding } from '../../src/keyspace/entry.ts';
import { Keyspace } from '../../src/keyspace/keyspace.ts';
import { type ByteFeed, BytesFeed } from '../../src/rdb/feed.ts';
import { type LoadOptions, type LoadResult, loadDump } from '../../src/rdb/load.ts';
import { stringEncoding } from '../../src/rdb/load-value.ts';
import { type SaveOptions, saveDump } from '../../src/rdb/save.ts';
import {
  DUMP_SOURCE,
  DumpSource,
  type SourceOptions,
  sourceKernels,
} from '../../src/rdb/source.ts';

export const DATABASES = 16;
export const HASH_KEY = { key0: 0x01020304, key1: 0x05060708 };
/** Far enough ahead that a real server takes the deadlines after it for future ones. */
export const NOW_MS = 4_000_000_000_000;

export interface ModelValue {
  readonly value: string;
  /** ms since 1970, -1 without one. */
  readonly deadline: number;
}
/** By database, then by key; texts of one char per byte. */
export type Model = Map<string, ModelValue>[];

export const saveOptions = (changes: Partial<SaveOptions> = {}): SaveOptions => ({
  dialect: { version: 10, plainTypes: false },
  compress: true,
  checksum: true,
  aux: { ctime: 1_700_000_000, usedMemoryBytes: 12_345_678, replication: undefined },
  functions: [],
  ...changes,
});

/** Defaults of redis.conf. */
export const LIMITS: EncodingLimits = {
  listMaxListpackSize: -2,
  hashMaxListpackEntries: 512,
  hashMaxListpackValue: 64,
  setMaxIntsetEntries: 512,
  setMaxListpackEntries: 128,
  setMaxListpackValue: 64,
  zsetMaxListpackEntries: 128,
  zsetMaxListpackValue: 64,
  streamNodeMaxBytes: 4096,
  streamNodeMaxEntries: 100,
};

export const loadOptions = (changes: Partial<LoadOptions> = {}): LoadOptions => ({
  nowMs: NOW_MS,
  keepExpired: false,
  verifyChecksum: true,
  accessClock: 77,
  limits: LIMITS,
  ...changes,
});

export const newKeyspace = (): Keyspace => new Keyspace(DATABASES, HASH_KEY);
export const newModel = (): Model => Array.from({ length: DATABASES }, () => new Map());

/** A key and its value put into keyspace and model. */
export function put(
  keyspace: Keyspace,
  model: Model,
  db: number,
  key: string,
  item: ModelValue,
): void {
  const database = keyspace.databases[db]!;
  const keyBytes = bytesOf(key);
  const value = bytesOf(item.value);
  const encoding = stringEncoding(value, 0, value.length);
  let entry = database.find(keyBytes, 0, keyBytes.length);
  if (entry === NIL)
    entry = database.addString(keyBytes, 0, keyBytes.length, value, 0, value.length, encoding);
  else entry = database.overwriteString(entry, value, 0, value.length, encoding, false);
  if (item.deadline >= 0) database.setDeadline(entry, item.deadline);
  model[db]!.set(key, item);
}

export function remove(keyspace: Keyspace, model: Model, db: number, key: string): void {
  const keyBytes = bytesOf(key);
  const entry = keyspace.databases[db]!.find(keyBytes, 0, keyBytes.length);
  if (entry !== NIL) keyspace.databases[db]!.remove(entry);
  model[db]!.delete(key);
}

/** Grows the string of a key in place, as APPEND does. */
export function append(
  keyspace: Keyspace,
  model: Model,
  db: number,
  key: string,
  tail: string,
): void {
  const database = keyspace.databases[db]!;
  const keyBytes = bytesOf(key);
  const found = database.find(keyBytes, 0, keyBytes.length);
  const before = model[db]!.get(key);
  if (found === NIL || before === undefined) return;
  const entry = database.growString(found, before.value.length + tail.length);
  database.writeString(entry, before.value.length, bytesOf(tail), 0, tail.length);
  model[db]!.set(key, { value: before.value + tail, deadline: before.deadline });
}

const LENGTHS = [
  0, 1, 3, 20, 21, 44, 45, 63, 64, 100, 700, 2047, 2048, 4095, 4096, 16383, 16384, 40_000,
];
const INTEGERS = ['0', '-1', '127', '-128', '128', '32767', '-32769', '2147483647', '-2147483648'];
const NEAR_INTEGERS = [
  '2147483648',
  '9223372036854775807',
  '-9223372036854775808',
  '007',
  '-0',
  '+1',
];

/** Every kind of string that a dump writes in a way of its own. */
export function randomText(prng: Prng, lengthMax: number): string {
  const kind = prng.below(6);
  if (kind === 0) return INTEGERS[prng.below(INTEGERS.length)]!;
  if (kind === 1) return NEAR_INTEGERS[prng.below(NEAR_INTEGERS.length)]!;
  const length = Math.min(LENGTHS[prng.below(LENGTHS.length)]!, lengthMax);
  // Compressible or not.
  const alphabet = kind === 2 ? 2 : 256;
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = prng.below(alphabet);
  return latin1(bytes, 0, length);
}

export function randomKey(prng: Prng, keys: number): string {
  const number = prng.below(keys);
  return number % 50 === 0 ? `key:${number}:`.padEnd(number % 3000, '*') : `key:${number}`;
}

export function randomDeadline(prng: Prng): number {
  return prng.below(3) === 0 ? NOW_MS + prng.below(1_000_000_000) : -1;
}

/**
 * Some change of keyspace and model: a set, a deletion, an append, a database flushed or swapped.
 */
export function randomChange(keyspace: Keyspace, model: Model, prng: Prng, keys: number): void {
  const db = prng.below(4) === 0 ? prng.below(DATABASES) : 0;
  const key = randomKey(prng, keys);
  const kind = prng.below(200);
  if (kind === 0) {
    keyspace.flush(db);
    while (keyspace.freeSome(1000));
    model[db]!.clear();
  } else if (kind === 1) {
    const other = prng.below(DATABASES);
    keyspace.swap(db, other);
    [model[db], model[other]] = [model[other]!, model[db]!];
  } else if (kind < 60) remove(keyspace, model, db, key);
  else if (kind < 80) append(keyspace, model, db, key, randomText(prng, 3000));
  else
    put(keyspace, model, db, key, {
      value: randomText(prng, 50_000),
      deadline: randomDeadline(prng),
    });
}

export const copyModel = (model: Model): Model => model.map((keys) => new Map(keys));

/**
 * What a keyspace holds, as a model. Checks the keyspace and the encodings of its strings on the
 * way.
 */
export function modelOf(keyspace: Keyspace): Model {
  keyspace.validate();
  return keyspace.databases.map((database) => {
    const keys = new Map<string, ModelValue>();
    let cursor = 0;
    do {
      cursor = database.scan(cursor, (entry) => {
        const view = new BytesView();
        database.keyInto(entry, view);
        const key = latin1(view.bytes, view.position, view.length);
        database.stringInto(entry, view);
        expectEncoding(database.encoding(entry), view);
        const value = latin1(view.bytes, view.position, view.length);
        keys.set(key, { value, deadline: database.deadline(entry) });
      });
    } while (cursor !== 0);
    return keys;
  });
}

function expectEncoding(encoding: Encoding, { bytes, position, length }: BytesView): void {
  const expected = stringEncoding(bytes, position, length);
  const raw = encoding === Encoding.RAW || encoding === Encoding.RAW_APART;
  // A string that was grown stays raw.
  if (encoding !== expected && !raw) throw new Error(`encoding ${encoding} instead of ${expected}`);
}

/** The dump of a keyspace, made on this thread. */
export function dumpOf(
  keyspace: Keyspace,
  options: SaveOptions = saveOptions(),
  chunkBytes = 65536,
): Buffer {
  const frozen = keyspace.freeze(
    0,
    () => undefined,
    () => undefined,
  );
  const image = new Image(frozen.arena, () => {
    throw new Error('nothing is written meanwhile');
  });
  const parts: Buffer[] = [];
  const chunk = new Uint8Array(chunkBytes);
  const target = {
    chunkBytes,
    acquire: () => chunk,
    publish: (bytes: number) => void parts.push(Buffer.from(chunk.slice(0, bytes))),
  };
  try {
    saveDump(image, frozen.roots, target, options, () => undefined);
  } finally {
    keyspace.thaw();
  }
  return Buffer.concat(parts);
}

export interface LoadedHere {
  readonly keyspace: Keyspace;
  readonly result: LoadResult;
}

/** Loads a dump on this thread. */
export function loadBytes(
  dump: Uint8Array,
  options = loadOptions(),
  areas = DUMP_SOURCE,
): LoadedHere {
  return loadFeed(new BytesFeed(dump, 0, dump.length), options, areas);
}

export function loadFeed(
  feed: ByteFeed,
  options: LoadOptions = loadOptions(),
  areas: SourceOptions = DUMP_SOURCE,
): LoadedHere {
  const keyspace = newKeyspace();
  const kernels = sourceKernels(areas);
  const source = new DumpSource(feed, kernels, areas);
  const result = loadDump(source, kernels, keyspace, options, () => undefined);
  return { keyspace, result };
}

/** A feed that gives few bytes at a time and does not know how many there are. */
export function drippingFeed(bytes: Uint8Array, bytesAtOnce: number): ByteFeed {
  const feed = new BytesFeed(bytes, 0, bytes.length);
  return {
    totalBytes: -1,
    read: (into, at, count) => feed.read(into, at, Math.min(count, bytesAtOnce)),
  };
}
