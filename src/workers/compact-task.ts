/**
 * Worker entry: compresses blocks of the log, or expands one again. compact-job.ts is the main
 * thread's side.
 *
 *   compressed block   │ codec, 1 byte │ what it has made of the block │
 *
 * The codec of blocks (kernels/block-codec.ts) is better at commands that are like each other, Brotli
 * of node:zlib at prose. Both are tried with one block of 32, and the others take what was better
 * there. Brotli does all where the processor has no vectors, or the system refuses the codec its
 * memory: V8 reserves some GiB of addresses for it. A block whose codec is refused memory later is
 * expanded by the plain twin, which is slower. docs/compaction.md tells what they were compared with.
 *
 * A thread of a low priority that computes still delays by milliseconds who wakes up on its core. So
 * even when there is time, not every block is compressed twice.
 *
 * Each block has a checksum of what was compressed, which is compared when it is expanded. Ends with
 * CORRUPT when the bytes are not those that were compressed.
 *
 * A thread that compresses has the lowest priority from then on, on Linux, where threads have their
 * own: it takes what the others leave. So another thread expands, since peers wait for that.
 */
import { constants as osConstants, setPriority } from 'node:os';
import * as zlib from 'node:zlib';
import { ErrorCode, messageOf, OperatingError } from '../base/errors.ts';
import { BlockCodec } from '../kernels/block-codec.ts';
import { ByteKernels, KERNELS_FREE_START } from '../kernels/kernels.ts';
import { plainBlockExpand } from '../kernels/plain-block-codec.ts';
import { asTask } from './task-outcome.ts';

/** Bytes of a shared buffer. */
export interface SharedRange {
  readonly memory: SharedArrayBuffer;
  readonly start: number;
  readonly length: number;
}

/** How Brotli compresses. Thorough takes several times as long as quick. */
export type Effort = 'quick' | 'thorough';

export type CompactTask =
  | {
      readonly kind: 'pack';
      /** Blocks. */
      readonly from: readonly SharedRange[];
      /** As long as all blocks. The results follow each other: a block gets smaller, or has none. */
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

/** Of each block. */
export interface CompactResult {
  /** Bytes written; 0 when compressing does not pay. */
  readonly bytes: number;
  readonly crcLow: number;
  readonly crcHigh: number;
}

/** The first byte of a compressed block. */
const Codec = { BROTLI: 1, BLOCK: 2 } as const;
/**
 * A window of 64 KiB keeps Brotli's table in the cache when it has to be quick: a fifth faster than
 * 1 MiB, and the ratio is the same, since quality 1 looks no further back anyway.
 */
const BROTLI = {
  quick: { quality: 1, windowBits: 16 },
  thorough: { quality: 4, windowBits: 20 },
} as const satisfies Record<Effort, unknown>;
const TRIAL_EVERY = 32;
/** A block that keeps more than this part of its size stays as it is. */
const WORTH_IT = 0.9;

let kernels: ByteKernels | undefined;
/** Null where there is none, for as long as the thread lives. */
let blockCodec: BlockCodec | null | undefined;
/** The codec that made the smaller result when both were tried. */
let better: number = Codec.BLOCK;
/** Blocks until both are tried again. */
let untilTrial = 0;
let isLow = false;

export const runTask = asTask(compact);

function compact(task: CompactTask): CompactResult[] {
  if (task.kind === 'unpack') return [unpack(task)];
  lowerPriority();
  let start = 0;
  return task.from.map((range) => {
    const result = pack(range, new Uint8Array(task.to, start, range.length), task.effort);
    start += result.bytes;
    return result;
  });
}

function pack(from: SharedRange, to: Uint8Array, effort: Effort): CompactResult {
  const block = bytesOf(from);
  const crc = checksumOf(block);
  const bytesMax = Math.max(0, Math.floor(block.length * WORTH_IT) - 1);
  const packed = smallest(block, bytesMax, effort);
  if (packed === undefined) return { bytes: 0, ...crc };
  to[0] = packed.by;
  to.set(packed.bytes, 1);
  return { bytes: packed.bytes.length + 1, ...crc };
}

interface Packed {
  readonly by: number;
  readonly bytes: Uint8Array;
}

/** Undefined when no codec makes `bytesMax` bytes or fewer of the block. */
function smallest(block: Uint8Array, bytesMax: number, effort: Effort): Packed | undefined {
  const codec = codecOfBlocks();
  if (codec === null) return byBrotli(block, bytesMax, effort);
  if (untilTrial > 0) {
    untilTrial--;
    const packed =
      better === Codec.BLOCK
        ? byBlockCodec(codec, block, bytesMax)
        : byBrotli(block, bytesMax, effort);
    // The other one may make something of the blocks that follow.
    if (packed === undefined) untilTrial = 0;
    return packed;
  }
  untilTrial = TRIAL_EVERY - 1;
  const first = byBrotli(block, bytesMax, effort);
  const best = byBlockCodec(codec, block, first?.bytes.length ?? bytesMax) ?? first;
  better = best?.by ?? Codec.BLOCK;
  return best;
}

function byBlockCodec(codec: BlockCodec, block: Uint8Array, bytesMax: number): Packed | undefined {
  const bytes = codec.compress(block, bytesMax);
  return bytes === undefined ? undefined : { by: Codec.BLOCK, bytes };
}

function byBrotli(block: Uint8Array, bytesMax: number, effort: Effort): Packed | undefined {
  const bytes = brotli(block, effort);
  return bytes.length > bytesMax ? undefined : { by: Codec.BROTLI, bytes };
}

function brotli(block: Uint8Array, effort: Effort): Uint8Array {
  const { constants } = zlib;
  const { quality, windowBits } = BROTLI[effort];
  return zlib.brotliCompressSync(block, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: quality,
      [constants.BROTLI_PARAM_LGWIN]: windowBits,
      [constants.BROTLI_PARAM_SIZE_HINT]: block.length,
    },
  });
}

/** Null where the processor has no vectors, or the system refuses the memory. */
function codecOfBlocks(): BlockCodec | null {
  if (blockCodec !== undefined) return blockCodec;
  try {
    blockCodec = BlockCodec.make() ?? null;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    blockCodec = null;
  }
  return blockCodec;
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
  const block = expand(task.from.map(bytesOf), target.length);
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

/** The block of `pieces`, which has `bytes` bytes if they are whole. */
function expand(pieces: readonly Uint8Array[], bytes: number): Uint8Array {
  const [first, ...others] = pieces;
  const packed = [first!.subarray(1), ...others];
  if (first![0] === Codec.BLOCK) {
    const codec = codecOfBlocks();
    const block =
      codec === null ? plainBlockExpand(Buffer.concat(packed), bytes) : codec.expand(packed, bytes);
    if (block !== undefined) return block;
    throw new OperatingError(ErrorCode.CORRUPT, 'a compressed block is damaged');
  }
  try {
    // One buffer, not one for each 16 KiB.
    return zlib.brotliDecompressSync(Buffer.concat(packed), {
      maxOutputLength: bytes,
      chunkSize: bytes,
    });
  } catch (error) {
    throw new OperatingError(ErrorCode.CORRUPT, `a compressed block: ${messageOf(error)}`);
  }
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
