/**
 * Reads along on a link between a replica and its primary, and tells of each sync that the replica
 * has asked for and how it was answered. It believes neither side: it sees their bytes.
 *
 *   replica  … PSYNC <id> <offset> ─────────────▶ primary
 *            ◀── +CONTINUE, +FULLRESYNC or an error
 *            … REPLCONF ACK <offset> ───────────▶           it has what it was promised
 */

/** A request for a sync, and the answer. Times are those of `performance.now()`. */
export interface WitnessedSync {
  /** The first offset that the replica lacks, or -1 for a replica that has no history. */
  readonly asked: number;
  readonly answer: 'full' | 'partial' | 'refused';
  /** The request was on its way to the primary since then. */
  readonly askedMs: number;
  /** The answer has come from the primary by then. */
  readonly answeredMs: number;
  /** The replica has acknowledged something since, on the same connection. */
  hasAcked: boolean;
}

const HEAD_BYTES_MAX = 4096;
const REQUEST = /\r\nPSYNC\r\n\$\d+\r\n[^\r]*\r\n\$\d+\r\n(-?\d+)\r\n/i;
const ANSWER = /^[+-].*\r\n/m;

/** One connection. */
export class ConnectionWitness {
  readonly #told: WitnessedSync[];
  #up = '';
  #down = '';
  #asked: number | undefined = undefined;
  #askedMs = 0;
  #sync: WitnessedSync | undefined = undefined;

  constructor(told: WitnessedSync[]) {
    this.#told = told;
  }

  /** Bytes that go to the primary. */
  up(bytes: Buffer): void {
    if (this.#asked === undefined) {
      this.#up = (this.#up + bytes.toString('latin1')).slice(-HEAD_BYTES_MAX);
      const match = REQUEST.exec(this.#up);
      if (match === null) return;
      this.#asked = Number(match[1]);
      this.#askedMs = performance.now();
    } else if (this.#sync !== undefined && bytes.includes('\r\nACK\r\n')) {
      this.#sync.hasAcked = true;
    }
  }

  /** Bytes that come from the primary. */
  down(bytes: Buffer): void {
    if (this.#asked === undefined || this.#sync !== undefined) return;
    this.#down += bytes.toString('latin1', 0, HEAD_BYTES_MAX);
    const line = ANSWER.exec(this.#down)?.[0];
    if (line === undefined) return;
    const isFull = line.startsWith('+FULLRESYNC');
    this.#sync = {
      asked: this.#asked,
      answer: isFull ? 'full' : line.startsWith('+CONTINUE') ? 'partial' : 'refused',
      askedMs: this.#askedMs,
      answeredMs: performance.now(),
      hasAcked: false,
    };
    this.#told.push(this.#sync);
  }
}
