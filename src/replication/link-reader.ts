/**
 * Splits the bytes that a primary sends to this node into lines of the handshake, the dump, and the
 * stream.
 *
 *   lines  "+PONG\r\n" … "+FULLRESYNC …\r\n"  "\n" "\n"  "$EOF:<40>\r\n"     or "$<length>\r\n"
 *   dump   ……………………………………………………………… <40>                                 or just so many bytes
 *   stream "*3\r\n$3\r\nSET\r\n" …
 *
 * The listener that gets a line sets, within that call, how the bytes after it are read, also those
 * of the same read. The stream may follow a dump at once, before the dump is loaded. Those bytes
 * are held until {@link LinkReader.expectStream}, and the caller stops feeding the reader
 * meanwhile. The reader keeps nothing else but an unfinished line, and the last 40 bytes of a dump
 * with a mark: those may be the mark. The primary sends nothing after a mark until it is
 * acknowledged, so the reader looks for it at the end of a read.
 *
 * Main thread.
 */
import { assert } from '../base/assert.ts';
import { latin1 } from '../base/bytes.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';

export const MARK_BYTES = 40;
/** The limit of Redis; a primary sends no longer line. */
export const LINE_BYTES_MAX = 1024;

const LF = 0x0a;
const CR = 0x0d;

/**
 * Receives the parts. The bytes belong to the caller of `push` or to the reader, and are stale when
 * the call returns.
 */
export interface LinkSink {
  /** A line without its end; empty for a keepalive. */
  line(text: string): void;
  payload(bytes: Uint8Array, start: number, end: number): void;
  payloadEnded(): void;
  stream(bytes: Uint8Array, start: number, end: number): void;
}

const Expect = { LINE: 0, LENGTH: 1, MARK: 2, HOLD: 3, STREAM: 4, NOTHING: 5 } as const;
type Expect = (typeof Expect)[keyof typeof Expect];

export class LinkReader {
  readonly #sink: LinkSink;
  #expect: Expect = Expect.LINE;
  #line = '';
  /** Bytes of the dump that have not come yet. */
  #left = 0;
  #mark = '';
  /** The last bytes of the dump, while they may be the mark. */
  readonly #held = new Uint8Array(MARK_BYTES);
  #heldBytes = 0;
  /** The bytes that came after the dump. */
  readonly #kept: Uint8Array[] = [];

  constructor(sink: LinkSink) {
    this.#sink = sink;
  }

  /** Bytes at the end of what has come of a dump that may be its mark. */
  get heldBytes(): number {
    return this.#expect === Expect.MARK ? this.#heldBytes : 0;
  }

  /** Expects lines from here on: on a new connection, or after a line. */
  expectLines(): void {
    this.#expect = Expect.LINE;
    this.#line = '';
    this.#kept.length = 0;
  }

  /** Expects `bytes` bytes of a dump from here on; a dump of 0 bytes ends at once. */
  expectPayload(bytes: number): void {
    this.#left = bytes;
    this.#expect = Expect.LENGTH;
  }

  /** Expects a dump that ends with `mark`, which has {@link MARK_BYTES} characters. */
  expectPayloadUntil(mark: string): void {
    assert(mark.length === MARK_BYTES, 'a mark has forty characters');
    this.#mark = mark;
    this.#heldBytes = 0;
    this.#expect = Expect.MARK;
  }

  /** Expects the stream from here on; its held bytes are delivered now. */
  expectStream(): void {
    this.#expect = Expect.STREAM;
    for (const bytes of this.#kept.splice(0)) this.#sink.stream(bytes, 0, bytes.length);
  }

  /** Ignores all bytes that still come. */
  expectNothing(): void {
    this.#expect = Expect.NOTHING;
    this.#kept.length = 0;
  }

  /** Takes bytes[start, end). Throws CORRUPT when a line is longer than any line of a primary. */
  push(bytes: Uint8Array, start: number, end: number): void {
    let at = start;
    while (at < end || (this.#expect === Expect.LENGTH && this.#left === 0)) {
      switch (this.#expect) {
        case Expect.LINE:
          at = this.#takeLine(bytes, at, end);
          break;
        case Expect.LENGTH:
          at = this.#takePayload(bytes, at, end);
          break;
        case Expect.MARK:
          this.#takeMarked(bytes, at, end);
          return;
        case Expect.HOLD:
          this.#kept.push(Uint8Array.prototype.slice.call(bytes, at, end));
          return;
        case Expect.STREAM:
          this.#sink.stream(bytes, at, end);
          return;
        default:
          return;
      }
    }
  }

  #takeLine(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && bytes[at] !== LF) at++;
    if (this.#line.length + at - start > LINE_BYTES_MAX) {
      throw new OperatingError(ErrorCode.CORRUPT, 'the primary sends a line that does not end');
    }
    this.#line += latin1(bytes, start, at - start);
    if (at === end) return at;
    const line = this.#line;
    this.#line = '';
    this.#sink.line(line.charCodeAt(line.length - 1) === CR ? line.slice(0, -1) : line);
    return at + 1;
  }

  #takePayload(bytes: Uint8Array, start: number, end: number): number {
    const count = Math.min(this.#left, end - start);
    this.#left -= count;
    if (count > 0) this.#sink.payload(bytes, start, start + count);
    if (this.#left === 0 && this.#expect === Expect.LENGTH) {
      this.#expect = Expect.HOLD;
      this.#sink.payloadEnded();
    }
    return start + count;
  }

  #takeMarked(bytes: Uint8Array, start: number, end: number): void {
    const held = this.#held;
    const sure = this.#heldBytes + end - start - MARK_BYTES;
    if (sure <= 0) {
      held.set(bytes.subarray(start, end), this.#heldBytes);
      this.#heldBytes += end - start;
    } else {
      const fromHeld = Math.min(sure, this.#heldBytes);
      if (fromHeld > 0) this.#sink.payload(held, 0, fromHeld);
      if (sure > fromHeld) this.#sink.payload(bytes, start, start + sure - fromHeld);
      held.copyWithin(0, fromHeld, this.#heldBytes);
      const kept = this.#heldBytes - fromHeld;
      held.set(bytes.subarray(end - (MARK_BYTES - kept), end), kept);
      this.#heldBytes = MARK_BYTES;
    }
    if (this.#heldBytes < MARK_BYTES || latin1(held, 0, MARK_BYTES) !== this.#mark) return;
    this.#expect = Expect.HOLD;
    this.#sink.payloadEnded();
  }
}
