/**
 * One request, as a cursor over bytes that belong to someone else. Hot path.
 *
 *   bytes  … * 3 CR LF $ 3 CR LF S E T CR LF $ 1 CR LF k CR LF $ 2 CR LF v v CR LF …
 *            ^start            ^position[0], length[0] = 3          ^position[2]    ^end
 *
 * A {@link RequestReader} owns one and fills it again and again. Stale: everything here, from the
 * reader's following `next`, `push` or `keep` on. Copy data that must live longer. Main thread.
 */
import { equalsIgnoreCase, latin1, parseInteger } from '../base/bytes.ts';

/** Commands with more arguments than this grow the two arrays. */
const ARGUMENTS_EXPECTED = 8;

export class Request {
  bytes: Uint8Array = new Uint8Array(0);
  argc = 0;
  /**
   * Where each argument begins in `bytes`, and how long it is; entries from `argc` on mean nothing.
   */
  position: Int32Array = new Int32Array(ARGUMENTS_EXPECTED);
  length: Int32Array = new Int32Array(ARGUMENTS_EXPECTED);
  /** The request as it was received is bytes[start, end), the terminating line end included. */
  start = 0;
  end = 0;
  /**
   * True when bytes[start, end) is a multibulk with every CR LF in place, fit for the replication
   * stream as it is.
   */
  canonical = false;
  /** True when it was a line of words. A primary never sends one, except an empty one. */
  inline = false;
  /**
   * How many requests of the very same bytes follow directly; {@link moveOn} goes to the next of
   * them.
   */
  repeats = 0;
  /**
   * The argument that was looked at as a key before the request runs, its hash, and the number that
   * it was given then, which neighbours with the same key share; argument 0 is none.
   */
  aheadArgument = 0;
  aheadHash = 0;
  aheadNumber = 0;

  /** Starts anew with a request at `start` of no arguments yet; makes room for `count`. */
  begin(bytes: Uint8Array, start: number, count: number): void {
    if (count > this.position.length) this.#grow(count);
    // A reference costs more to store than to compare, and mostly it is the read buffer again.
    if (this.bytes !== bytes) this.bytes = bytes;
    this.start = start;
    this.argc = 0;
    this.canonical = true;
    this.inline = false;
    this.repeats = 0;
    this.aheadArgument = 0;
  }

  /** Moves to its next repetition. The knowledge of its command and key stays. */
  moveOn(): void {
    const { position, argc } = this;
    const bytes = this.end - this.start;
    this.start += bytes;
    this.end += bytes;
    for (let i = 0; i < argc; i++) position[i] = position[i]! + bytes;
    this.repeats--;
  }

  add(position: number, length: number): void {
    if (this.argc === this.position.length) this.#grow(this.argc * 2);
    this.position[this.argc] = position;
    this.length[this.argc] = length;
    this.argc++;
  }

  /** Whether the argument spells `keyword`, given in upper case, in any case. */
  equalsIgnoreCase(index: number, keyword: string): boolean {
    return equalsIgnoreCase(this.bytes, this.position[index]!, this.length[index]!, keyword);
  }

  /** The argument as a canonical integer within ±(2^53 - 1), or NaN. */
  integer(index: number): number {
    return parseInteger(this.bytes, this.position[index]!, this.length[index]!);
  }

  /** The argument as a string with a char per byte. */
  latin1(index: number): string {
    return latin1(this.bytes, this.position[index]!, this.length[index]!);
  }

  /** The first `count` bytes of an argument, or all when it has fewer, a character per byte. */
  latin1Start(index: number, count: number): string {
    return latin1(this.bytes, this.position[index]!, Math.min(count, this.length[index]!));
  }

  /** The argument in a new array, to keep. */
  copy(index: number): Uint8Array {
    const position = this.position[index]!;
    // Not bytes.slice(): that of a Buffer is a view.
    return Uint8Array.prototype.slice.call(this.bytes, position, position + this.length[index]!);
  }

  /** Gives back the room that an unusually long request took. */
  shrink(): void {
    this.position = new Int32Array(ARGUMENTS_EXPECTED);
    this.length = new Int32Array(ARGUMENTS_EXPECTED);
    this.argc = 0;
  }

  #grow(count: number): void {
    const position = new Int32Array(count);
    const length = new Int32Array(count);
    position.set(this.position);
    length.set(this.length);
    this.position = position;
    this.length = length;
  }
}
