/**
 * The replication stream that fake replicas received. The bytes of the replica that is ahead are
 * recorded. The bytes of each other replica are compared with the record as they arrive.
 *
 *   first                                             end
 *   │ recorded once                                    │
 *   ├──────────────────────────────┬───────────────────┤
 *                    compared ─▶ ▲ a replica that is behind
 *                                     appended ─▶      ▲ the replica that is ahead
 *
 * So N replicas cost one copy and N - 1 comparisons. A checksum for each would take about twenty
 * times as long as a comparison. bench: micro/stream-record
 *
 * Offsets are those of the replication stream. The whole stream is kept, since it is played to a
 * stock replica later.
 */
import { MIB } from '../../src/base/units.ts';
import { ByteKernels, KERNELS_FREE_START } from '../../src/kernels/kernels.ts';

const BLOCK_BYTES = MIB;

/** The result of {@link StreamRecord.take} when nothing differs. */
export const SAME = -1;

export class StreamRecord {
  /** Offset of the first byte, once there is one. */
  first = 0;
  /** Offset behind the last byte. */
  end = 0;
  readonly #blocks: Buffer[] = [];
  /**
   * Bytes outside the record, from a replica that synced earlier or later than the recorded one.
   * They are compared at the end.
   */
  #early: { readonly offset: number; readonly bytes: Buffer }[] = [];

  get bytes(): number {
    return this.end - this.first;
  }

  /**
   * Takes bytes[start … end), which a replica has received at `offset`. Returns {@link SAME}, or
   * the offset of the first byte that differs from the record.
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
   * Compares the bytes that were outside the record. Returns {@link SAME}, or an offset where
   * something differs or where only one replica has bytes.
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

  /** Returns the CRC-64 of the record in the variant of dumps, as 16 digits. */
  crc64(): string {
    const kernels = new ByteKernels(KERNELS_FREE_START);
    for (const part of this.parts()) kernels.crcUpdateFrom(part, 0, part.length);
    return hexOf(kernels);
  }

  /** Yields views of the record from `offset` on, in order. */
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
 * Checks that a dump ends with its own checksum. The bytes come in pieces, and a mark follows the
 * dump. The length of the dump is known only at the end, so the last bytes are held back until
 * then.
 */
export class DumpCheck {
  readonly #kernels = new ByteKernels(KERNELS_FREE_START);
  readonly #behindBytes: number;
  #waiting: Buffer = Buffer.alloc(0);

  /** `behindBytes` bytes follow the dump. */
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

  /** Whether the checksum is right. Ask it after the last byte. */
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
