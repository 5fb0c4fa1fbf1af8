/**
 * Worker entry: compresses a block of the log, or expands it again. compact-job.ts is the main
 * thread's side.
 *
 * The codec is Brotli at quality 1, from node:zlib: docs/compaction.md tells what it was compared
 * with. Each block has a checksum of what was compressed, CRC-64, which is compared when it is
 * expanded. Ends with CORRUPT when the bytes are not those that were compressed.
 */
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { ErrorCode, messageOf, OperatingError } from '../base/errors.ts';
import { ByteKernels, KERNELS_FREE_START } from '../kernels/kernels.ts';
import { asTask } from './task-outcome.ts';

/** Bytes of a shared buffer. */
export interface SharedRange {
  readonly memory: SharedArrayBuffer;
  readonly start: number;
  readonly length: number;
}

export type CompactTask =
  | {
      readonly kind: 'pack';
      readonly from: SharedRange;
      /** As long as the block: a result that does not fit is of no use. */
      readonly to: SharedArrayBuffer;
    }
  | {
      readonly kind: 'unpack';
      readonly from: readonly SharedRange[];
      readonly to: SharedRange;
      readonly crcLow: number;
      readonly crcHigh: number;
    };

export interface CompactResult {
  /** Bytes written; 0 when compressing does not pay. */
  readonly bytes: number;
  readonly crcLow: number;
  readonly crcHigh: number;
}

const QUALITY = 1;
const WINDOW_BITS = 20;
/** A block that keeps more than this part of its size stays as it is. */
const WORTH_IT = 0.9;

let kernels: ByteKernels | undefined;

export const runTask = asTask(compact);

function compact(task: CompactTask): CompactResult {
  return task.kind === 'pack' ? pack(task.from, task.to) : unpack(task);
}

function pack(from: SharedRange, to: SharedArrayBuffer): CompactResult {
  const block = bytesOf(from);
  const crc = checksumOf(block);
  const packed = brotliCompressSync(block, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: block.length,
    },
  });
  if (packed.length > block.length * WORTH_IT) return { bytes: 0, ...crc };
  new Uint8Array(to).set(packed);
  return { bytes: packed.length, ...crc };
}

function unpack(task: CompactTask & { readonly kind: 'unpack' }): CompactResult {
  const target = bytesOf(task.to);
  let block: Uint8Array;
  try {
    const packed = Buffer.concat(task.from.map(bytesOf));
    block = brotliDecompressSync(packed, { maxOutputLength: target.length });
  } catch (error) {
    throw new OperatingError(ErrorCode.CORRUPT, `a compressed block: ${messageOf(error)}`);
  }
  const crc = checksumOf(block);
  if (
    block.length !== target.length ||
    crc.crcLow !== task.crcLow ||
    crc.crcHigh !== task.crcHigh
  ) {
    throw new OperatingError(ErrorCode.CORRUPT, 'a compressed block has another checksum');
  }
  target.set(block);
  return { bytes: block.length, ...crc };
}

function checksumOf(bytes: Uint8Array): { readonly crcLow: number; readonly crcHigh: number } {
  kernels ??= new ByteKernels(KERNELS_FREE_START);
  kernels.crcReset();
  kernels.crcUpdateFrom(bytes, 0, bytes.length);
  return { crcLow: kernels.crcLow(), crcHigh: kernels.crcHigh() };
}

const bytesOf = ({ memory, start, length }: SharedRange): Uint8Array =>
  new Uint8Array(memory, start, length);
