/**
 * Takes the requests of a replica from the bytes of its connection, wherever those are cut. A
 * replica sends commands, an empty line as a sign of life, and SYNC without any framing.
 */
import { INCOMPLETE, RespParser } from './resp-parser.ts';

const LF = 0x0a;
const ASTERISK = 0x2a;

export class RequestReader {
  #pending: Buffer = Buffer.alloc(0);

  /** The words of each request that is whole now, in latin1. Empty lines are left out. */
  take(bytes: Buffer): string[][] {
    this.#pending = Buffer.concat([this.#pending, bytes]);
    const requests: string[][] = [];
    for (;;) {
      const words = this.#next();
      if (words === undefined) return requests;
      if (words.length > 0) requests.push(words);
    }
  }

  /** The next request; no words for an empty line, and undefined when more must come. */
  #next(): string[] | undefined {
    if (this.#pending[0] !== ASTERISK) {
      const end = this.#pending.indexOf(LF);
      if (end < 0) return undefined;
      const line = this.#pending.toString('latin1', 0, end).trim();
      this.#pending = this.#pending.subarray(end + 1);
      return line === '' ? [] : line.split(' ');
    }
    const parser = new RespParser('latin1');
    parser.push(this.#pending);
    const request = parser.next();
    if (request === INCOMPLETE) return undefined;
    this.#pending = this.#pending.subarray(parser.lastRaw.length);
    return (request as unknown[]).map(String);
  }
}
