/**
 * Small control records, packed directly into shared memory next to the data; the only user of
 * msgpackr.
 *
 * Large or shared things (segments, rings, ports) travel in a task description instead, as a plain
 * object by structured clone (pool.ts). This imports `msgpackr/pack`, the pure entry: the package's
 * main entry loads a native file. Both ends of a record are this program in one version, so records
 * carry no version of their own. Any thread.
 */
import * as pack from 'msgpackr/pack';
import { assert } from '../base/assert.ts';

/**
 * The values of a record: those of MessagePack, with integers up to 2^53 and byte strings as
 * Uint8Array.
 */
export type RecordValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly RecordValue[]
  | { readonly [field: string]: RecordValue };
export type ControlRecord = { readonly [field: string]: RecordValue };

/**
 * The part of msgpackr that is used. Its typings of the pure entry do not resolve in ESM, so there
 * is one cast below.
 */
interface Packer {
  pack(value: RecordValue): Uint8Array;
  unpack(bytes: Uint8Array, range: { start: number; end: number }): unknown;
  /**
   * Packs into `buffer` from its start on, until the next call; goes over to memory of its own when
   * the buffer gets too small.
   */
  useBuffer(buffer: Buffer): void;
}
type PackerOptions = {
  useRecords: boolean;
  variableMapSize: boolean;
  copyBuffers: boolean;
  int64AsType: 'number';
};

const { Packr } = pack as unknown as { Packr: new (options: PackerOptions) => Packer };

// Plain maps of the smallest size, and byte strings that are copied out when read: a record
// outlives the chunk that it came in.
const packer = new Packr({
  useRecords: false,
  variableMapSize: true,
  copyBuffers: true,
  int64AsType: 'number',
});
const scratch = Buffer.allocUnsafeSlow(8192);

/**
 * Packs `record` into `bytes` at `start` and returns how many bytes it takes, or -1 when they would
 * pass `limit`; the bytes in between are undefined then. msgpackr wants 2 KiB of room to pack in
 * place; with less, it packs beside and the result is copied.
 */
export function packInto(
  bytes: Uint8Array,
  start: number,
  limit: number,
  record: ControlRecord,
): number {
  assert(start >= 0 && start <= limit && limit <= bytes.length, 'packInto: range within the bytes');
  const room = Buffer.from(bytes.buffer, bytes.byteOffset + start, limit - start);
  packer.useBuffer(room);
  try {
    const packed = packer.pack(record);
    if (packed.length > room.length) return -1;
    if (packed.buffer !== room.buffer) room.set(packed);
    return packed.length;
  } finally {
    // msgpackr would keep the shared memory alive until the next record.
    packer.useBuffer(scratch);
  }
}

/**
 * The record in `bytes` from `start` to `end`, as `packInto` left it. Copies everything out:
 * nothing of `bytes` is referred to.
 */
export function unpackFrom<R extends ControlRecord>(
  bytes: Uint8Array,
  start: number,
  end: number,
): R {
  assert(start >= 0 && start < end && end <= bytes.length, 'unpackFrom: range within the bytes');
  return packer.unpack(bytes, { start, end }) as R;
}
