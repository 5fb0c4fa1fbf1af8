/**
 * Hot path. RESP for a load generator. Requests are encoded into one growing buffer. Replies are
 * skimmed: they are counted and checked for errors, and no values are made of them.
 */

const CR = 13;
const LF = 10;
const COLON = 58;
const PLUS = 43;
const MINUS = 45;
const DOLLAR = 36;
const STAR = 42;
const ZERO = 48;

/** This many characters of an error reply are kept. */
const ERROR_LENGTH_MAX = 60;

/** Encodes commands one after another. `buffer` is replaced when it has to grow. */
export class RequestWriter {
  buffer: Buffer;
  length = 0;

  constructor(bytes: number) {
    this.buffer = Buffer.allocUnsafe(bytes);
  }

  /**
   * Opens a command of `count` arguments. Exactly `count` calls of `text` or `bytes` must follow.
   */
  command(count: number): void {
    this.#reserve(16);
    this.#header(STAR, count);
  }

  /** Appends an argument of ASCII text. */
  text(value: string): void {
    this.#reserve(value.length + 32);
    this.#header(DOLLAR, value.length);
    this.buffer.write(value, this.length, 'latin1');
    this.length += value.length;
    this.#lineEnd();
  }

  /** Appends an argument: `count` bytes of `source` from `start`. */
  bytes(source: Buffer, start: number, count: number): void {
    this.#reserve(count + 32);
    this.#header(DOLLAR, count);
    source.copy(this.buffer, this.length, start, start + count);
    this.length += count;
    this.#lineEnd();
  }

  /** Appends an inline request: words in ASCII. */
  line(words: string): void {
    this.#reserve(words.length + 2);
    this.length += this.buffer.write(words, this.length, 'latin1');
    this.#lineEnd();
  }

  reset(): void {
    this.length = 0;
  }

  /** Returns a view of the appended bytes. */
  get written(): Buffer {
    return this.buffer.subarray(0, this.length);
  }

  #header(type: number, value: number): void {
    const { buffer } = this;
    buffer[this.length++] = type;
    let unit = 1;
    while (unit * 10 <= value) unit *= 10;
    let rest = value;
    for (; unit >= 1; unit /= 10) {
      const digit = Math.floor(rest / unit);
      buffer[this.length++] = ZERO + digit;
      rest -= digit * unit;
    }
    this.#lineEnd();
  }

  #lineEnd(): void {
    this.buffer[this.length++] = CR;
    this.buffer[this.length++] = LF;
  }

  #reserve(bytes: number): void {
    if (this.length + bytes <= this.buffer.length) return;
    const grown = Buffer.allocUnsafe((this.length + bytes) * 2);
    this.buffer.copy(grown, 0, 0, this.length);
    this.buffer = grown;
  }
}

/** The meaning of the next byte. */
const State = { TYPE: 0, LINE: 1, NUMBER: 2, BULK: 3, ERROR: 4 } as const;
type State = (typeof State)[keyof typeof State];

/**
 * Counts RESP2 replies that arrive in pieces.
 *
 * `expected` is the number of values still to come. An array of n values subtracts one and adds n,
 * so nesting needs no stack: `*2 :1 *1 :2` gives 1 → 2 → 1 → 1 → 0.
 */
export class ReplySkimmer {
  expected = 0;
  errors = 0;
  firstError = '';
  #state: State = State.TYPE;
  #type = 0;
  #number = 0;
  #negative = false;
  #bulkLeft = 0;

  /**
   * Reads `buffer[0 … end)`. Throws when there are bytes behind the last expected value, since this
   * is a fault of the server.
   */
  push(buffer: Uint8Array, end: number): void {
    let position = 0;
    while (position < end) {
      switch (this.#state) {
        case State.TYPE:
          position = this.#open(buffer, position);
          break;
        case State.NUMBER:
          position = this.#digits(buffer, position, end);
          break;
        case State.BULK: {
          const taken = Math.min(this.#bulkLeft, end - position);
          this.#bulkLeft -= taken;
          position += taken;
          if (this.#bulkLeft === 0) this.#close();
          break;
        }
        default:
          position = this.#line(buffer, position, end);
      }
    }
  }

  #open(buffer: Uint8Array, position: number): number {
    if (this.expected === 0) throw new Error('a reply that nobody asked for');
    const type = buffer[position] as number;
    if (type === PLUS || type === COLON) {
      this.#state = State.LINE;
    } else if (type === MINUS) {
      this.errors++;
      this.#state = State.ERROR;
    } else if (type === DOLLAR || type === STAR) {
      this.#type = type;
      this.#number = 0;
      this.#negative = false;
      this.#state = State.NUMBER;
    } else {
      throw new Error(`not a reply: byte ${type}`);
    }
    return position + 1;
  }

  #line(buffer: Uint8Array, start: number, end: number): number {
    let position = start;
    while (position < end && buffer[position] !== LF) position++;
    if (this.#state === State.ERROR && this.errors === 1) this.#keepError(buffer, start, position);
    if (position === end) return end;
    this.#close();
    return position + 1;
  }

  /**
   * Errors quote arguments, which are long and random here. The beginning is enough, and it can be
   * shown on a terminal.
   */
  #keepError(buffer: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end && this.firstError.length < ERROR_LENGTH_MAX; at++) {
      const byte = buffer[at] as number;
      if (byte !== CR)
        this.firstError += byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '?';
    }
  }

  #digits(buffer: Uint8Array, start: number, end: number): number {
    for (let position = start; position < end; position++) {
      const byte = buffer[position] as number;
      if (byte === LF) {
        this.#headerDone();
        return position + 1;
      }
      if (byte === MINUS) this.#negative = true;
      else if (byte !== CR) this.#number = this.#number * 10 + byte - ZERO;
    }
    return end;
  }

  #headerDone(): void {
    if (this.#negative) {
      this.#close();
    } else if (this.#type === STAR) {
      this.expected += this.#number;
      this.#close();
    } else {
      this.#bulkLeft = this.#number + 2;
      this.#state = State.BULK;
    }
  }

  #close(): void {
    this.expected--;
    this.#state = State.TYPE;
  }
}

/** Returns the text of the error reply at the start of `buffer[0 … end)`. */
export function errorText(buffer: Uint8Array, end: number): string {
  const skimmer = new ReplySkimmer();
  skimmer.expected = Number.POSITIVE_INFINITY;
  skimmer.push(buffer, end);
  return skimmer.firstError;
}
