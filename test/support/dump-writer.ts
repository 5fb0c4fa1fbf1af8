/**
 * Writes dumps byte by byte, as their format is documented: for versions of which no server is
 * here, and for parts that no server would write. It does not use src/rdb, so the readers there are
 * tested with bytes of another origin. Checksums and listpacks come from the project.
 *
 * A part is bytes, a text in latin1, or a number, which is one byte.
 */
import { crc64 } from '../../src/kernels/plain-crc64.ts';
import { ListpackBuilder } from '../../src/structs/listpack-builder.ts';

export type Part = string | number | Buffer | readonly Part[];

export function bytesOfParts(part: Part): Buffer {
  if (typeof part === 'string') return Buffer.from(part, 'latin1');
  if (typeof part === 'number') return Buffer.of(part);
  if (Buffer.isBuffer(part)) return part;
  return Buffer.concat(part.map(bytesOfParts));
}

/** A length in its shortest form. */
export function length(value: number | bigint): Buffer {
  if (value < 0x40) return Buffer.of(Number(value));
  if (value < 0x4000) return Buffer.of(0x40 | (Number(value) >> 8), Number(value) & 0xff);
  const bytes = Buffer.alloc(value < 2 ** 32 ? 5 : 9);
  if (bytes.length === 5) {
    bytes[0] = 0x80;
    bytes.writeUInt32BE(Number(value), 1);
  } else {
    bytes[0] = 0x81;
    bytes.writeBigUInt64BE(BigInt(value), 1);
  }
  return bytes;
}

/** A string behind its length. */
export function str(content: string | Buffer): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  return Buffer.concat([length(bytes.length), bytes]);
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function i64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return bytes;
}

export function f64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
}

/** A dump with its end and checksum: `magic` and the records. */
export const dump = (magic: string, ...records: readonly Part[]): Buffer =>
  withChecksum(bytesOfParts([magic, records, 255]));

/** A payload of DUMP: a value behind its type, closed by version and checksum. */
export const payload = (version: number, ...value: readonly Part[]): Buffer =>
  withChecksum(bytesOfParts([value, version & 0xff, version >> 8]));

export function withChecksum(bytes: Buffer): Buffer {
  const { low, high } = crc64(bytes);
  return Buffer.concat([bytes, u32(low >>> 0), u32(high >>> 0)]);
}

export const aux = (name: string, value: string): Part => [250, str(name), str(value)];
export const pair = (key: string, value: string): Part => [0, str(key), str(value)];

export function listpack(...elements: readonly (string | number)[]): Buffer {
  const builder = new ListpackBuilder();
  builder.begin();
  for (const element of elements) {
    const bytes = Buffer.from(String(element), 'latin1');
    builder.append(bytes, 0, bytes.length);
  }
  builder.finish();
  return Buffer.from(builder.bytes.slice(0, builder.length));
}

/** A module's id: nine characters of six bits, and a version of ten. */
export function moduleId(name: string, version: number): Buffer {
  const chars = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  let id = 0n;
  for (const char of name) id = (id << 6n) | BigInt(chars.indexOf(char));
  return length((id << 10n) | BigInt(version));
}

/** The class of metadata that a module keeps for keys. */
export function metadataClass(name: string, version: number, flags: number): Buffer {
  const chars = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-';
  let bits = 0;
  for (const char of name) bits = bits * 64 + chars.indexOf(char);
  return u32(bits * 256 + (version << 3) + flags);
}

/** The parts of module data: an integer, a float, a double, a text, and the end. */
export const MODULE_DATA: Part = [
  ...[1, length(2 ** 40), 2, length(7), 3, u32(0x3f800000), 4, f64(0.5), 5, str('text')],
  0,
];

/** An id of a stream as 16 bytes, high parts first. */
export function rawId(ms: number, seq: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64BE(BigInt(ms), 0);
  bytes.writeBigUInt64BE(BigInt(seq), 8);
  return bytes;
}

export interface StreamPlan {
  /** The type byte: 15, 19, 21, 26 or 27. */
  readonly type: number;
  /** Type 27: the ids that are pending without a consumer, besides the two that have one. */
  readonly unowned?: readonly number[];
  /** Types 26 and 27: by producer, the names of entries and the entries' ids in ms. */
  readonly producers?: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/**
 * The value of a stream, from its type byte to its end, without the key: entries 1-0, 2-0 and 3-0
 * of one field, and a group with one consumer that has been given the first two.
 */
export function stream(key: string, { type, unowned = [], producers = {} }: StreamPlan): Part {
  const node = listpack(
    ...[3, 0, 1, 'field', 0],
    ...[2, 0, 0, 'a', 4, 2, 1, 0, 'b', 4, 2, 2, 0, 'c', 4],
  );
  const id = (ms: number): Part => [length(ms), length(0)];
  const pending = [1, 2, ...unowned];
  return [
    ...[type, str(key), length(1), str(rawId(1, 0)), str(node), length(3), id(3)],
    type >= 19 ? [id(1), id(0), length(3)] : [],
    ...[length(1), str('group'), id(3), type >= 19 ? length(3) : []],
    length(pending.length),
    pending.map((ms) => [rawId(ms, 0), i64(1_700_000_000_000), length(1)]),
    ...[length(1), str('consumer'), i64(1_700_000_000_001)],
    type >= 21 ? i64(1_700_000_000_001) : [],
    ...[length(2), rawId(1, 0), rawId(2, 0)],
    type >= 27 ? [length(unowned.length), unowned.map((ms) => rawId(ms, 0))] : [],
    type >= 26 ? producersOf(producers) : [],
  ];
}

function producersOf(producers: NonNullable<StreamPlan['producers']>): Part {
  const all = Object.entries(producers);
  return [
    ...[length(100), length(200), length(all.length)],
    all.map(([name, names]) => [
      ...[str(name), length(Object.keys(names).length)],
      Object.entries(names).map(([entry, ms]) => [str(entry), length(ms), length(0)]),
    ]),
    ...[length(5), length(1)],
  ];
}

const PRODUCERS = { 'a producer': { first: 1, second: 2 }, '': {} };
/** A module says that a reader without it may leave out this metadata. */
const METADATA: Part = [243, 1, metadataClass('KMT1', 3, 1), MODULE_DATA];

/** A value as payloads have it, without its key of one character. */
export function withoutKey(part: Part): Buffer {
  const bytes = bytesOfParts(part);
  return Buffer.concat([bytes.subarray(0, 1), bytes.subarray(3)]);
}

/** Sound payloads of Redis 8.6, 8.8 and Valkey 9. */
export function newerPayloads(): { readonly key: string; readonly payload: Buffer }[] {
  const producers = withoutKey(stream('k', { type: 26, producers: PRODUCERS }));
  const withMetadata = [METADATA, withoutKey(stream('k', { type: 27, producers: PRODUCERS }))];
  const valkeyHash = [22, 2, str('f'), str('v'), i64(-1), str('g'), str('w'), i64(-1)];
  return [
    { key: 'stream:producers', payload: payload(13, producers) },
    { key: 'stream:metadata', payload: payload(14, withMetadata) },
    { key: 'hash:valkey', payload: payload(80, valkeyHash) },
  ];
}

/** A sound dump of Redis 8.8 that has each of the new parts that are passed over. */
export function newerDump(): Buffer {
  return dump(
    'REDIS0014',
    ...[aux('redis-ver', '8.8.0'), 254, 0, 251, 4, 0, 244, length(16_383), 2, 0],
    ...[METADATA, pair('string', 'v'), stream('stream', { type: 26, producers: PRODUCERS })],
    ...[METADATA, stream('other', { type: 27 }), 244, 0, 1, 0],
    ...[24, str('hash'), i64(0), 1, 0, str('f'), str('v')],
  );
}
