/**
 * Hot path. One request, as a cursor over bytes that have another owner.
 *
 *   bytes  … * 3 CR LF $ 3 CR LF S E T CR LF $ 1 CR LF k CR LF $ 2 CR LF v v CR LF …
 *            ^start            ^position[0], length[0] = 3          ^position[2]    ^end
 *
 * A {@link RequestReader} owns a request and fills it again and again. Stale: everything here, from
 * the reader's next `next`, `push` or `keep` on. Copy data that must live longer. Main thread.
 */
import { equalsIgnoreCase, latin1, parseInteger } from '../base/bytes.ts';

/** A command with more arguments makes the two arrays grow. */
const ARGUMENTS_EXPECTED = 8;

export class Request {
  bytes: Uint8Array = new Uint8Array(0);
  argc = 0;
  /** Position in `bytes` and length of each argument. Elements from `argc` on are leftovers. */
  position: Int32Array = new Int32Array(ARGUMENTS_EXPECTED);
  length: Int32Array = new Int32Array(ARGUMENTS_EXPECTED);
  /** The received request is bytes[start, end), including its last line end. */
  start = 0;
  end = 0;
  /**
   * Whether bytes[start, end) is a multibulk with every CR LF in place. Then it can go to the
   * replication stream unchanged.
   */
  canonical = false;
  /** Whether the request was an inline request. A primary never sends one, except an empty one. */
  inline = false;
  /**
   * The number of identical requests that directly follow. {@link moveOn} goes to the next of them.
   */
  repeats = 0;
  /**
   * The key argument that was looked up before the request runs, or 0 for none. Then its hash, and
   * the number of that look-up. Neighbouring requests with the same key have the same number.
   */
  aheadArgument = 0;
  aheadHash = 0;
  aheadNumber = 0;

  /** Begins a request at `start`, so far without arguments. Makes room for `count` arguments. */
  begin(bytes: Uint8Array, start: number, count: number): void {
    if (count > this.position.length) this.#grow(count);
    // A store of a reference costs more than a comparison, and mostly it is the same read buffer.
    if (this.bytes !== bytes) this.bytes = bytes;
    this.start = start;
    this.argc = 0;
    this.canonical = true;
    this.inline = false;
    this.repeats = 0;
    this.aheadArgument = 0;
  }

  /** Moves to the next repetition. The results for its command and key stay valid. */
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

  /** Returns whether the argument is `keyword`, in any case. `keyword` is in upper case. */
  equalsIgnoreCase(index: number, keyword: string): boolean {
    return equalsIgnoreCase(this.bytes, this.position[index]!, this.length[index]!, keyword);
  }

  /** Returns the argument as a canonical integer within ±(2^53 - 1), or NaN. */
  integer(index: number): number {
    return parseInteger(this.bytes, this.position[index]!, this.length[index]!);
  }

  /** Returns the argument as a string with a char per byte. */
  latin1(index: number): string {
    return latin1(this.bytes, this.position[index]!, this.length[index]!);
  }

  /** Returns the first `count` bytes of an argument, or all if it has fewer: a char per byte. */
  latin1Start(index: number, count: number): string {
    return latin1(this.bytes, this.position[index]!, Math.min(count, this.length[index]!));
  }

  /** Returns the argument in a new array. */
  copy(index: number): Uint8Array {
    const position = this.position[index]!;
    // bytes.slice() cannot be used: for a Buffer it returns a view.
    return Uint8Array.prototype.slice.call(this.bytes, position, position + this.length[index]!);
  }

  /** For a request that was copied to be kept: the bytes that it and its arrays take. */
  get keptBytes(): number {
    return this.bytes.length + this.position.byteLength + this.length.byteLength;
  }

  /** Frees the arrays of an unusually long request. */
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
