/**
 * Hot path. A lease: bytes of a reusable buffer that a borrower has still to copy.
 *
 *   owner      has the buffer: a reader of requests, the read buffer of all sockets
 *   borrower   has taken bytes of it to copy them later: the stream log, which so copies adjacent
 *              ranges at once
 *
 *   borrower   take(bytes, start, end) ─▶ lease is out ─▶ settle(): copies, and the lease ends
 *   owner      reclaim(bytes) before it moves or overwrites anything: this settles a lease on that
 *              buffer first
 *
 * Invariant: while a lease is out, the leased range holds the bytes that it held when it was taken.
 * Code that moves, fills or pools a lent buffer calls {@link Lease.reclaim} before the first store.
 * A buffer that the system fills by itself, as for a socket, is settled at the end of the event
 * that lent it.
 *
 * A buffer is known by its object: two views of the same memory are two buffers, and an owner lends
 * only one of them. Under HEADWATER_DEBUG=1 owners overwrite returned bytes ({@link poison}), so
 * that a late reader finds neither the old bytes nor a valid request. Main thread.
 */
import { debugAssert, debugChecks } from './assert.ts';

const NO_BYTES = new Uint8Array(0);
/** Neither a token of the protocol nor a digit nor a letter. */
const POISON = 0xdb;

export class Lease {
  /**
   * The leased range is bytes[start, end); empty while no lease is out. Written by the borrower
   * only.
   */
  bytes: Uint8Array = NO_BYTES;
  start = 0;
  end = 0;
  readonly #settle: () => void;

  /** `settle` copies the leased bytes and calls {@link over}. */
  constructor(settle: () => void) {
    this.#settle = settle;
  }

  /** Begins a lease of bytes[start, end). The previous lease must be over. */
  take(bytes: Uint8Array, start: number, end: number): void {
    debugAssert(this.bytes === NO_BYTES, 'one lease at a time');
    this.bytes = bytes;
    this.start = start;
    this.end = end;
  }

  /** Ends the lease: the borrower has its copy or needs none. */
  over(): void {
    this.bytes = NO_BYTES;
    this.start = this.end = 0;
  }

  /** Bytes that are leased. */
  get size(): number {
    return this.end - this.start;
  }

  /** The owner of `bytes` calls this before it moves or overwrites any of them. */
  reclaim(bytes: Uint8Array): void {
    if (this.bytes === bytes) this.#settle();
  }
}

/** A lease that nobody takes, for owners whose bytes nobody borrows. */
export function noLease(): Lease {
  return new Lease(() => {});
}

/** In the debug mode, overwrites the returned bytes[start, end). */
export function poison(bytes: Uint8Array, start = 0, end: number = bytes.length): void {
  if (debugChecks) bytes.fill(POISON, start, end);
}
