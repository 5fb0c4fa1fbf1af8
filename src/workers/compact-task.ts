/**
 * Worker entry: compresses a block of the log, or expands it again. compact-job.ts is the main
 * thread's side.
 *
 * The codec is Brotli from node:zlib, at quality 1 when it has to be quick, and at 4 when there is
 * time: docs/compaction.md tells what it was compared with. Each block has a checksum of what was
 * compressed, which is compared when it is expanded. Ends with CORRUPT when the bytes are not those
 * that were compressed.
 *
 * A thread that compresses has the lowest priority from then on, on Linux, where threads have their
 * own: it takes what the others leave. So another thread expands, since peers wait for that.
 */
import { constants as osConstants, setPriority } from 'node:os';
import * as zlib from 'node:zlib';
import { ErrorCode, messageOf, OperatingError } from '../base/errors.ts';
import { ByteKernels, KERNELS_FREE_START } from '../kernels/kernels.ts';
import { asTask } from './task-outcome.ts';

/** Bytes of a shared buffer. */
export interface SharedRange {
  readonly memory: SharedArrayBuffer;
  readonly start: number;
  readonly length: number;
}

/** Quick takes a quarter of the time of thorough, and its blocks are a sixth larger. */
export type Effort = 'quick' | 'thorough';

export type CompactTask =
  | {
      readonly kind: 'pack';
      readonly from: SharedRange;
      /** As long as the block: a result that does not fit is of no use. */
      readonly to: SharedArrayBuffer;
      readonly effort: Effort;
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

/**
 * A quick window of 64 KiB keeps Brotli's table in the cache: a fifth faster than 1 MiB, and the
 * ratio is the same, since quality 1 looks no further back anyway.
 */
const SETTINGS = {
  quick: { quality: 1, windowBits: 16 },
  thorough: { quality: 4, windowBits: 20 },
} as const satisfies Record<Effort, unknown>;
/** A block that keeps more than this part of its size stays as it is. */
const WORTH_IT = 0.9;

let kernels: ByteKernels | undefined;
let isLow = false;

export const runTask = asTask(compact);

function compact(task: CompactTask): CompactResult {
  return task.kind === 'pack' ? pack(task.from, task.to, task.effort) : unpack(task);
}

function pack(from: SharedRange, to: SharedArrayBuffer, effort: Effort): CompactResult {
  lowerPriority();
  const { constants } = zlib;
  const { quality, windowBits } = SETTINGS[effort];
  const block = bytesOf(from);
  const crc = checksumOf(block);
  const packed = zlib.brotliCompressSync(block, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: quality,
      [constants.BROTLI_PARAM_LGWIN]: windowBits,
      [constants.BROTLI_PARAM_SIZE_HINT]: block.length,
    },
  });
  if (packed.length > block.length * WORTH_IT) return { bytes: 0, ...crc };
  new Uint8Array(to).set(packed);
  return { bytes: packed.length, ...crc };
}

/** Gives this thread the lowest priority. Elsewhere than on Linux it would be the process'. */
function lowerPriority(): void {
  if (isLow || process.platform !== 'linux') return;
  isLow = true;
  try {
    setPriority(osConstants.priority.PRIORITY_LOW);
  } catch (error) {
    // A sandbox may refuse it: the thread competes with the others then.
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SYSTEM_ERROR') throw error;
  }
}

function unpack(task: CompactTask & { readonly kind: 'unpack' }): CompactResult {
  const target = bytesOf(task.to);
  let block: Uint8Array;
  try {
    const packed = Buffer.concat(task.from.map(bytesOf));
    block = zlib.brotliDecompressSync(packed, {
      maxOutputLength: target.length,
      // One buffer, not one for each 16 KiB.
      chunkSize: target.length,
    });
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

/**
 * CRC-32 in the low word: node:zlib makes it five times as fast as the kernels make a CRC-64, which
 * takes its place before Node.js 20.15.
 */
function checksumOf(bytes: Uint8Array): { readonly crcLow: number; readonly crcHigh: number } {
  const { crc32 } = zlib as { readonly crc32?: typeof zlib.crc32 };
  if (crc32 !== undefined) return { crcLow: crc32(bytes), crcHigh: 0 };
  kernels ??= new ByteKernels(KERNELS_FREE_START);
  kernels.crcReset();
  kernels.crcUpdateFrom(bytes, 0, bytes.length);
  return { crcLow: kernels.crcLow(), crcHigh: kernels.crcHigh() };
}

const bytesOf = ({ memory, start, length }: SharedRange): Uint8Array =>
  new Uint8Array(memory, start, length);
