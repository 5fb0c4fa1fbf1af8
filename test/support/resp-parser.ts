/**
 * Reads RESP2 and RESP3 replies for the tests, from bytes that are split anywhere. It shares no
 * code with src/resp on purpose, so that one bug cannot hide in both ends.
 */

/** An error reply: returned as a value, so that tests can compare it with other replies. */
export class RespError {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }

  /** The first word: ERR, WRONGTYPE, NOAUTH … */
  get code(): string {
    return this.message.split(' ', 1)[0] ?? '';
  }

  toString(): string {
    return this.message;
  }
}

/** An out-of-band message of RESP3. */
export class RespPush {
  readonly items: readonly RespValue[];

  constructor(items: readonly RespValue[]) {
    this.items = items;
  }
}

/**
 * Doubles and integers are both `number`; integers beyond 2^53 and big numbers are `bigint`.
 * Verbatim strings lose their prefix.
 */
export type RespValue =
  | string
  | Buffer
  | number
  | bigint
  | boolean
  | null
  | RespError
  | RespPush
  | RespValue[]
  | Map<RespValue, RespValue>
  | Set<RespValue>;

/** The form in which bulk strings are returned. Simple strings and errors are strings always. */
export type BulkMode = 'utf8' | 'latin1' | 'buffer';

interface Frame {
  readonly kind: number;
  remaining: number;
  readonly items: RespValue[];
}

const CR = 0x0d;
const LF = 0x0a;
const at = (character: string): number => character.charCodeAt(0);
const ATTRIBUTE = at('|');

/** The result while a reply is incomplete. */
export const INCOMPLETE = Symbol('incomplete');

/**
 * {@link RespParser.next} throws this when the bytes are not RESP. The connection cannot be used
 * any more.
 */
export class RespFormatError extends Error {
  override readonly name = 'RespFormatError';
}

export class RespParser {
  bulkMode: BulkMode;
  /** The exact bytes of the reply that `next` returned last. */
  lastRaw: Buffer = Buffer.alloc(0);
  #bytes = Buffer.alloc(0);
  #start = 0;
  #position = 0;
  #end = 0;
  readonly #stack: Frame[] = [];

  constructor(bulkMode: BulkMode) {
    this.bulkMode = bulkMode;
  }

  /** Bytes that belong to no complete reply yet. */
  get pendingBytes(): number {
    return this.#end - this.#start;
  }

  push(chunk: Buffer): void {
    if (this.#end + chunk.length > this.#bytes.length) {
      const kept = this.#end - this.#start;
      const grown = Buffer.allocUnsafe(Math.max(4096, (kept + chunk.length) * 2));
      this.#bytes.copy(grown, 0, this.#start, this.#end);
      this.#bytes = grown;
      this.#position -= this.#start;
      this.#start = 0;
      this.#end = kept;
    }
    chunk.copy(this.#bytes, this.#end);
    this.#end += chunk.length;
  }

  /**
   * The bytes not parsed yet, which leave the parser: for a connection that stops speaking RESP, as
   * after +FULLRESYNC.
   */
  takeRest(): Buffer {
    const rest = Buffer.from(this.#bytes.subarray(this.#start, this.#end));
    this.#start = this.#position = this.#end;
    this.#stack.length = 0;
    return rest;
  }

  /** The next complete reply, or INCOMPLETE. */
  next(): RespValue | typeof INCOMPLETE {
    for (;;) {
      let value = this.#readOne();
      if (value === INCOMPLETE) return INCOMPLETE;
      while (value !== undefined) {
        const top = this.#stack.at(-1);
        if (top === undefined) {
          this.lastRaw = Buffer.from(this.#bytes.subarray(this.#start, this.#position));
          this.#start = this.#position;
          return value;
        }
        top.items.push(value);
        top.remaining--;
        value = this.#closeFinished();
      }
    }
  }

  /**
   * Reads a scalar, or opens an aggregate. Returns undefined for an aggregate, unless it is empty
   * and so complete.
   */
  #readOne(): RespValue | undefined | typeof INCOMPLETE {
    const lineEnd = this.#bytes.indexOf(LF, this.#position);
    if (lineEnd < 0 || lineEnd >= this.#end) return INCOMPLETE;
    const kind = this.#bytes[this.#position]!;
    if (this.#bytes[lineEnd - 1] !== CR) throw new RespFormatError('a line without \\r');
    const line = this.#bytes.toString('latin1', this.#position + 1, lineEnd - 1);
    const next = lineEnd + 1;
    switch (String.fromCharCode(kind)) {
      case '$':
      case '=':
      case '!':
        return this.#readBulk(kind, this.#length(line), next);
      case '*':
      case '~':
      case '>':
        return this.#open(kind, this.#length(line), next);
      case '%':
      case '|':
        return this.#open(kind, this.#length(line) * 2, next);
    }
    const text = this.#bytes.toString('utf8', this.#position + 1, lineEnd - 1);
    this.#position = next;
    switch (String.fromCharCode(kind)) {
      case '+':
        return text;
      case '-':
        return new RespError(text);
      case ':':
        return integer(line);
      case '_':
        return null;
      case '#':
        return line === 't';
      case ',':
        return double(line);
      case '(':
        return BigInt(line);
      default:
        throw new RespFormatError(
          `a reply that begins with byte ${kind}: ${JSON.stringify(line.slice(0, 40))}`,
        );
    }
  }

  #readBulk(kind: number, length: number, from: number): RespValue | typeof INCOMPLETE {
    if (length < 0) {
      this.#position = from;
      return null;
    }
    if (from + length + 2 > this.#end) return INCOMPLETE;
    const skipped = kind === at('=') ? 4 : 0;
    const body = this.#bytes.subarray(from + skipped, from + length);
    this.#position = from + length + 2;
    if (kind === at('!')) return new RespError(body.toString('utf8'));
    return this.bulkMode === 'buffer' ? Buffer.from(body) : body.toString(this.bulkMode);
  }

  #open(kind: number, remaining: number, from: number): RespValue | undefined {
    this.#position = from;
    if (remaining < 0) return null;
    this.#stack.push({ kind, remaining, items: [] });
    return remaining > 0 ? undefined : this.#closeFinished();
  }

  /**
   * The innermost aggregate when it is complete. Attributes are dropped: the value that they
   * describe follows.
   */
  #closeFinished(): RespValue | undefined {
    const top = this.#stack.at(-1)!;
    if (top.remaining > 0) return undefined;
    this.#stack.pop();
    if (top.kind === ATTRIBUTE) return undefined;
    return build(top);
  }

  #length(line: string): number {
    if (!/^-?\d+$/.test(line))
      throw new RespFormatError(`a length of ${JSON.stringify(line.slice(0, 40))}`);
    return Number(line);
  }
}

function build({ kind, items }: Frame): RespValue {
  switch (String.fromCharCode(kind)) {
    case '%': {
      const map = new Map<RespValue, RespValue>();
      for (let i = 0; i < items.length; i += 2) map.set(items[i]!, items[i + 1]!);
      return map;
    }
    case '~':
      return new Set(items);
    case '>':
      return new RespPush(items);
    default:
      return items;
  }
}

function integer(line: string): number | bigint {
  if (!/^[+-]?\d+$/.test(line))
    throw new RespFormatError(`an integer of ${JSON.stringify(line.slice(0, 40))}`);
  const value = Number(line);
  return Number.isSafeInteger(value) ? value : BigInt(line);
}

function double(line: string): number {
  if (line === 'inf') return Number.POSITIVE_INFINITY;
  if (line === '-inf') return Number.NEGATIVE_INFINITY;
  return Number(line);
}
