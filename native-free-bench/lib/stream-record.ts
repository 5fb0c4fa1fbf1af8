/**
 * The replication stream as fake replicas got it: the one that is ahead is recorded, and each other
 * is compared with that, byte for byte, as its bytes arrive.
 *
 *   first                                             end
 *   │ recorded once                                    │
 *   ├──────────────────────────────┬───────────────────┤
 *                    compared ─▶ ▲ a replica that is behind
 *                                     appended ─▶      ▲ the replica that is ahead
 *
 * So N replicas cost one copy and N - 1 comparisons; a checksum of each would take some twenty
 * times as long as a comparison. bench: micro/stream-record
 *
 * Offsets are those of the replication stream. Nothing is forgotten: what was measured is played to
 * a stock replica.
 */
import { MIB } from '../../src/base/units.ts';
import { ByteKernels, KERNELS_FREE_START } from '../../src/kernels/kernels.ts';

const BLOCK_BYTES = MIB;

/** What {@link StreamRecord.take} returns when all is as it should be. */
export const SAME = -1;

export class StreamRecord {
  /** Offset of the first byte, once there is one. */
  first = 0;
  /** One behind the last. */
  end = 0;
  readonly #blocks: Buffer[] = [];
  /**
   * Bytes from outside, of a replica that has synced later or earlier than the one recorded:
   * compared at the end.
   */
  #early: { readonly offset: number; readonly bytes: Buffer }[] = [];

  get bytes(): number {
    return this.end - this.first;
  }

  /**
   * Takes bytes[start … end), which a replica has received at `offset`. Returns {@link SAME}, or
   * the offset of the first byte that differs from what another has got.
   */
  take(offset: number, bytes: Buffer, start: number, end: number): number {
    if (this.#blocks.length === 0) this.first = this.end = offset;
    if (offset > this.end || offset < this.first) {
      this.#early.push({ offset, bytes: Buffer.from(bytes.subarray(start, end)) });
      return SAME;
    }
    const known = Math.min(end - start, this.end - offset);
    const different = this.#compare(offset, bytes, start, start + known);
    if (different !== SAME) return different;
    this.#append(bytes, start + known, end);
    return SAME;
  }

  /**
   * Compares what lay outside. Returns {@link SAME}, or an offset at which something differs or was
   * got by one only.
   */
  settle(): number {
    for (const { offset, bytes } of this.#early) {
      if (offset < this.first) return offset;
      if (offset + bytes.length > this.end) return this.end;
      const different = this.#compare(offset, bytes, 0, bytes.length);
      if (different !== SAME) return different;
    }
    this.#early = [];
    return SAME;
  }

  /** CRC-64 of all of it, as dumps have it, in 16 digits. */
  crc64(): string {
    const kernels = new ByteKernels(KERNELS_FREE_START);
    for (const part of this.parts()) kernels.crcUpdateFrom(part, 0, part.length);
    return hexOf(kernels);
  }

  /** Views of all of it from `offset` on, in order. */
  *parts(offset = this.first): Generator<Buffer> {
    let skipped = offset - this.first;
    let left = this.bytes;
    for (const block of this.#blocks) {
      const part = block.subarray(Math.min(skipped, BLOCK_BYTES), Math.min(left, BLOCK_BYTES));
      if (part.length > 0) yield part;
      skipped = Math.max(0, skipped - BLOCK_BYTES);
      left -= BLOCK_BYTES;
    }
  }

  #compare(offset: number, bytes: Buffer, start: number, end: number): number {
    let at = start;
    let position = offset - this.first;
    while (at < end) {
      const block = this.#blocks[Math.floor(position / BLOCK_BYTES)]!;
      const inBlock = position % BLOCK_BYTES;
      const count = Math.min(end - at, BLOCK_BYTES - inBlock);
      if (block.compare(bytes, at, at + count, inBlock, inBlock + count) !== 0) {
        let same = 0;
        while (block[inBlock + same] === bytes[at + same]) same++;
        return this.first + position + same;
      }
      at += count;
      position += count;
    }
    return SAME;
  }

  #append(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      const inBlock = this.bytes % BLOCK_BYTES;
      if (this.bytes === this.#blocks.length * BLOCK_BYTES) {
        this.#blocks.push(Buffer.allocUnsafeSlow(BLOCK_BYTES));
      }
      const count = Math.min(end - at, BLOCK_BYTES - inBlock);
      bytes.copy(this.#blocks[this.#blocks.length - 1]!, inBlock, at, at + count);
      at += count;
      this.end += count;
    }
  }
}

const TRAILER_BYTES = 8;

/**
 * Whether a dump ends with its own checksum. Bytes come in pieces; which of the last are the mark
 * behind a dump is known at the end only, so that the last bytes so far wait.
 */
export class DumpCheck {
  readonly #kernels = new ByteKernels(KERNELS_FREE_START);
  readonly #behindBytes: number;
  #waiting: Buffer = Buffer.alloc(0);

  /** `behindBytes` follow the dump. */
  constructor(behindBytes: number) {
    this.#behindBytes = behindBytes + TRAILER_BYTES;
  }

  take(bytes: Buffer, start: number, end: number): void {
    const waiting = this.#waiting;
    const ready = waiting.length + end - start - this.#behindBytes;
    if (ready <= 0) {
      this.#waiting = Buffer.concat([waiting, bytes.subarray(start, end)]);
      return;
    }
    const ofWaiting = Math.min(ready, waiting.length);
    this.#kernels.crcUpdateFrom(waiting, 0, ofWaiting);
    const from = start + ready - ofWaiting;
    this.#kernels.crcUpdateFrom(bytes, start, from);
    this.#waiting = Buffer.concat([waiting.subarray(ofWaiting), bytes.subarray(from, end)]);
  }

  /** To be asked once all has come. */
  get isRight(): boolean {
    const trailer = this.#waiting;
    return (
      trailer.length === this.#behindBytes &&
      trailer.readUInt32LE(0) === this.#kernels.crcLow() &&
      trailer.readUInt32LE(4) === this.#kernels.crcHigh()
    );
  }
}

function hexOf(kernels: ByteKernels): string {
  const digits = (half: number): string => half.toString(16).padStart(8, '0');
  return digits(kernels.crcHigh()) + digits(kernels.crcLow());
}
