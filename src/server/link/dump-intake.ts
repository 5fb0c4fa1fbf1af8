/**
 * Passes a dump from the link to the load worker, through a ring of shared memory. When the ring is
 * full, the rest of a read waits here and the link is told to pause. So at most one read is ever
 * kept.
 *
 * Main thread.
 */
import { ErrorCode } from '../../base/errors.ts';
import type { LoadInput } from '../../workers/load-job.ts';

const NO_BYTES = new Uint8Array(0);

export interface DumpSourcePort {
  /** The link reads no more until {@link resume}. */
  pause(): void;
  resume(): void;
}

export class DumpIntake {
  readonly #input: LoadInput;
  readonly #link: DumpSourcePort;
  /** The chunk that is being filled, and how far. */
  #chunk: Uint8Array | undefined = undefined;
  #filled = 0;
  /** The bytes that did not fit. */
  #waiting = NO_BYTES;
  #ended = false;
  #isWaiting = false;

  constructor(input: LoadInput, link: DumpSourcePort) {
    this.#input = input;
    this.#link = link;
  }

  /** Takes bytes[start, end) by copying them. */
  take(bytes: Uint8Array, start: number, end: number): void {
    let from = start;
    if (this.#waiting.length === 0) from = this.#put(bytes, start, end);
    if (from === end || !this.#input.wanted) return;
    const rest = bytes.subarray(from, end);
    const kept = new Uint8Array(this.#waiting.length + rest.length);
    kept.set(this.#waiting);
    kept.set(rest, this.#waiting.length);
    this.#waiting = kept;
    this.#wait();
  }

  /** The whole dump was taken. */
  end(): void {
    this.#ended = true;
    if (this.#waiting.length === 0) this.#finish();
  }

  /** Resumes reading, unless a full ring or the end of the dump has paused it. */
  resume(): void {
    if (!this.#isWaiting && !this.#ended) this.#link.resume();
  }

  /** No more bytes will come. */
  fail(): void {
    this.#waiting = NO_BYTES;
    this.#input.fail(ErrorCode.CANCELLED);
  }

  /** Copies as many bytes as fit; returns the position where it stopped. */
  #put(bytes: Uint8Array, start: number, end: number): number {
    // After a load has ended, another load may use its ring already.
    if (!this.#input.wanted) {
      this.#chunk = undefined;
      return end;
    }
    let from = start;
    while (from < end) {
      if (this.#chunk === undefined) {
        this.#chunk = this.#input.tryAcquire();
        this.#filled = 0;
        if (this.#chunk === undefined) return from;
      }
      const count = Math.min(end - from, this.#chunk.length - this.#filled);
      this.#chunk.set(bytes.subarray(from, from + count), this.#filled);
      this.#filled += count;
      from += count;
      if (this.#filled === this.#chunk.length) this.#publish();
    }
    return from;
  }

  #publish(): void {
    if (this.#chunk === undefined || !this.#input.wanted) return;
    this.#input.publish(this.#filled);
    this.#chunk = undefined;
  }

  #finish(): void {
    if (this.#filled > 0) this.#publish();
    this.#input.end();
  }

  async #wait(): Promise<void> {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#link.pause();
    while (this.#waiting.length > 0) {
      await this.#input.waitForRoom();
      // The load has ended, with or without success: the rest is not needed.
      if (!this.#input.wanted) this.#waiting = NO_BYTES;
      const from = this.#put(this.#waiting, 0, this.#waiting.length);
      this.#waiting = this.#waiting.slice(from);
    }
    this.#isWaiting = false;
    if (this.#ended) this.#finish();
    else this.#link.resume();
  }
}
