/**
 * Puts the bytes of a dump into the ring of the load worker, which reads them chunk by chunk.
 *
 * Main thread.
 */
import { copyBytes } from '../../base/byte-copy.ts';
import { ErrorCode } from '../../base/errors.ts';
import type { LoadInput } from '../../workers/load-job.ts';
import type { DumpTaker } from '../snapshot-source.ts';

export class LoadTaker implements DumpTaker {
  readonly #input: LoadInput;
  /** The chunk that is being filled, and how far. */
  #chunk: Uint8Array | undefined = undefined;
  #filled = 0;

  constructor(input: LoadInput) {
    this.#input = input;
  }

  get wanted(): boolean {
    return this.#input.wanted;
  }

  put(bytes: Uint8Array, start: number, end: number): number {
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
      copyBytes(bytes, from, this.#chunk, this.#filled, count);
      this.#filled += count;
      from += count;
      if (this.#filled === this.#chunk.length) this.#publish();
    }
    return from;
  }

  waitForRoom(): Promise<void> {
    return this.#input.waitForRoom();
  }

  end(): void {
    if (this.#filled > 0) this.#publish();
    this.#input.end();
  }

  fail(): void {
    this.#input.fail(ErrorCode.CANCELLED);
  }

  #publish(): void {
    if (this.#chunk === undefined || !this.#input.wanted) return;
    this.#input.publish(this.#filled);
    this.#chunk = undefined;
  }
}
