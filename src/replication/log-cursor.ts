/**
 * Hot path. A block of the stream's log, and a reader's place in it: stream-log.ts has the drawing
 * and the rules.
 */
import { assert } from '../base/assert.ts';
import { withView } from '../base/byte-copy.ts';
import { type Offset, offsetAfter } from '../base/units.ts';
import type { Packed } from './block-store.ts';

export class Block {
  /** Empty while the block is only {@link packed}. */
  bytes: Uint8Array<SharedArrayBuffer>;
  /** Offset of the first byte. */
  readonly start: Offset;
  /** Bytes written. */
  used: number;
  /**
   * Cursors that stand in the block, including closed ones whose write is in flight; and one more
   * while it is being compressed.
   */
  pins: number;
  next: Block | null;
  /**
   * The block has left the log. While it has a pin its memory must not be used again.
   */
  detached: boolean;
  packed: Packed | undefined = undefined;
  /** A worker reads its bytes, to compress them. */
  isPacking = false;
  /** It stays uncompressed: compressing it does not pay, or was not tried. */
  isHard = false;
  /** Somebody was asked to expand it. */
  isWanted = false;
  /** Cursors that wait for its bytes. */
  waiting: StreamCursor[] = [];

  constructor(memory: SharedArrayBuffer, start: Offset) {
    this.bytes = withView(new Uint8Array(memory));
    this.start = start;
    this.used = 0;
    this.pins = 0;
    this.next = null;
    this.detached = false;
  }
}

/** The log, as its cursors need it. */
export interface CursorLog {
  readonly endOffset: Offset;
  /** Copies the bytes that were appended and are not copied yet. */
  settle(): void;
  /** Removes one pin from `block`. */
  unpin(block: Block): void;
  /** `cursor` has come to `block`, which has no bytes. */
  want(block: Block, cursor: StreamCursor): void;
}

/**
 * A reader's place in the log. `next` describes a slice in the fields. `advance` confirms the bytes
 * of it that were written:
 *
 *   if (cursor.next(256 * KIB) > 0) {
 *     write(cursor.bytes, cursor.start, cursor.end, () => cursor.advance(written));
 *   }
 */
export class StreamCursor {
  /** The block of the current slice, over a SharedArrayBuffer. */
  bytes: Uint8Array;
  /** The slice is bytes[start … end). */
  start: number;
  end: number;
  /** Offset of the next byte to be confirmed: all bytes before it are confirmed. */
  offset: Offset;
  /** True from a `next` that returned bytes until `advance`. */
  inFlight: boolean;
  closed: boolean;
  /** The next bytes are being expanded: `next` returns 0 until `onReady` is called. */
  isWaiting = false;
  /** The next bytes are lost: there is nothing more to be read. */
  failed = false;
  /** Called, in another turn, when the bytes that `next` did not have are there, or are lost. */
  onReady: (() => void) | undefined = undefined;
  readonly #log: CursorLog;
  #block: Block;

  constructor(log: CursorLog, block: Block, offset: Offset) {
    this.bytes = block.bytes;
    this.start = offset - block.start;
    this.end = this.start;
    this.offset = offset;
    this.inFlight = false;
    this.closed = false;
    this.#log = log;
    this.#block = block;
    block.pins++;
  }

  /** Bytes of the stream that this reader has not confirmed. */
  get lag(): number {
    return this.#log.endOffset - this.offset + 1;
  }

  /**
   * Returns the size of the next slice, up to `bytesMax` and a block's end; 0 when the reader has
   * everything, or was closed for lack of memory meanwhile.
   */
  next(bytesMax: number): number {
    assert(!this.closed && !this.inFlight, 'a cursor has one slice in flight');
    this.#log.settle();
    if (this.closed) return 0;
    if (this.end === this.#block.used) this.#hop();
    if (this.#block.bytes.length === 0) {
      if (!this.isWaiting && !this.failed) {
        this.isWaiting = true;
        this.#log.want(this.#block, this);
      }
      return 0;
    }
    // Another cursor may have brought the bytes of a packed block back.
    this.bytes = this.#block.bytes;
    // Until now `end` was the confirmed end of the last slice; the new slice begins there.
    this.start = this.end;
    const count = Math.min(bytesMax, this.#block.used - this.start);
    this.end = this.start + count;
    this.inFlight = count > 0;
    return count;
  }

  /**
   * Confirms `bytes` of the slice; fewer than its size means that the rest comes with the next
   * slice.
   */
  advance(bytes: number): void {
    assert(bytes >= 0 && bytes <= this.end - this.start, 'a cursor advances within its slice');
    this.inFlight = false;
    if (this.closed) {
      this.#log.unpin(this.#block);
      return;
    }
    this.offset = offsetAfter(this.offset, bytes);
    this.start += bytes;
    this.end = this.start;
    if (this.end === this.#block.used) this.#hop();
  }

  /** For `closeCursor` of the log. */
  close(): void {
    assert(!this.closed, 'a cursor closes once');
    this.closed = true;
    if (this.isWaiting) {
      const { waiting } = this.#block;
      const index = waiting.indexOf(this);
      if (index >= 0) waiting.splice(index, 1);
    }
    if (!this.inFlight) this.#log.unpin(this.#block);
  }

  /** For the log: `block` has its bytes again. */
  ready(block: Block): void {
    if (this.closed) return;
    this.bytes = block.bytes;
    this.isWaiting = false;
    this.onReady?.();
  }

  /** For the log: the bytes are lost. */
  fail(): void {
    if (this.closed) return;
    this.isWaiting = false;
    this.failed = true;
    this.onReady?.();
  }

  /**
   * Moves to the following block, if there is one, so that a block read to its end is not pinned.
   */
  #hop(): void {
    const block = this.#block;
    const next = block.next;
    if (next === null) return;
    next.pins++;
    this.#block = next;
    this.bytes = next.bytes;
    this.start = this.end = 0;
    this.#log.unpin(block);
  }
}
