/** Runs a RequestReader over bytes that arrive in given pieces, and records what it finds. */
import { defaultLimits, Parse, type RequestLimits, RequestReader } from '../../src/resp/parser.ts';
import { Request } from '../../src/resp/request.ts';

export interface Found {
  /** The arguments, a char per byte; empty for an empty line or array. */
  readonly words: readonly string[];
  readonly canonical: boolean;
  readonly inline: boolean;
  /** The request as it was received. */
  readonly raw: string;
}

export interface Outcome {
  readonly found: readonly Found[];
  /** The error text, or null. */
  readonly error: string | null;
  /** What was left unread. */
  readonly pending: number;
}

export function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

export function multibulk(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
}

export function makeReader(limits: Partial<RequestLimits> = {}): RequestReader {
  return new RequestReader({ ...defaultLimits(), ...limits });
}

export function record(request: Request): Found {
  return {
    words: Array.from({ length: request.argc }, (_, i) => request.latin1(i)),
    canonical: request.canonical,
    inline: request.inline,
    raw: Buffer.from(request.bytes.slice(request.start, request.end)).toString('latin1'),
  };
}

const AHEAD = Array.from({ length: 3 }, () => new Request());

/**
 * Takes all requests that are there. Both ways take their turn: those that lie ahead whole, but for
 * the last of three and the half of its repetitions, which are then looked at again, and what the
 * thorough way finds.
 */
export function drain(
  reader: RequestReader,
  into: Found[],
): typeof Parse.MORE | typeof Parse.ERROR {
  while (true) {
    const ahead = reader.lookAhead(AHEAD);
    for (let i = 0; i < ahead; i++) {
      const request = AHEAD[i]!;
      const isLast = i === AHEAD.length - 1;
      const taken = isLast ? Math.floor(request.repeats / 2) : request.repeats + 1;
      for (let time = 0; time < taken; time++) {
        reader.take(request);
        into.push(record(request));
        if (request.repeats > 0) request.moveOn();
      }
    }
    const parse = reader.next();
    if (parse === Parse.MORE || parse === Parse.ERROR) return parse;
    into.push(record(reader.request));
  }
}

/**
 * Parses `input` in pieces of at most `pieceBytes()`. Every piece lies in a buffer that is
 * overwritten after its turn, as the read buffer of a server is.
 */
export function parseAll(
  input: Uint8Array,
  pieceBytes: () => number,
  reader = makeReader(),
): Outcome {
  const found: Found[] = [];
  let failed = false;
  for (let at = 0; at < input.length && !failed; ) {
    const end = Math.min(at + pieceBytes(), input.length);
    const chunk = new Uint8Array(end - at + 3).fill(0x2a);
    chunk.set(input.subarray(at, end), 2);
    reader.push(chunk, 2, 2 + end - at);
    failed = drain(reader, found) === Parse.ERROR;
    reader.keep();
    chunk.fill(0xee);
    at = end;
  }
  return { found, error: failed ? reader.error : null, pending: failed ? 0 : reader.pendingBytes };
}
