/**
 * The stream behind a dump, as it comes over the main connection while the dump still comes over
 * the second one, or is being loaded. Once that is done it is applied, a block in each turn.
 *
 *   main connection ──push──▶ block · block · block ──next, taken──▶ Applier
 *
 * It grows up to `limitBytes`, and by one read beyond it. The main connection is not read then, so
 * that the rest waits with the primary. Main thread.
 */
import { assert } from '../../base/assert.ts';
import { latin1 } from '../../base/bytes.ts';
import { ErrorCode, OperatingError } from '../../base/errors.ts';
import { poison } from '../../base/lease.ts';
import { KIB } from '../../base/units.ts';

/** Applied in one turn. */
const BLOCK_BYTES = 256 * KIB;
const SHOWN_BYTES = 64;
const LF = 0x0a;
const CR = 0x0d;
const STAR = 0x2a;

interface Block {
  readonly bytes: Uint8Array;
  used: number;
}

export class HeldStream {
  /** The stream is held: it has begun, and not all of it is applied. */
  isActive = false;
  /** Bytes that are held, and all that were since it began. */
  heldBytes = 0;
  totalBytes = 0;
  /** The largest memory that it had since the start of the node. */
  peakBytes = 0;
  readonly #limitBytes: () => number;
  readonly #blocks: Block[] = [];

  /** `limitBytes` is 0 for no limit. */
  constructor(limitBytes: () => number) {
    this.#limitBytes = limitBytes;
  }

  /** The memory of its blocks. */
  get memoryBytes(): number {
    return this.#blocks.length * BLOCK_BYTES;
  }

  /** There is no room for more. */
  get isFull(): boolean {
    const limitBytes = this.#limitBytes();
    return limitBytes > 0 && this.heldBytes >= limitBytes;
  }

  /** Lines for the log. */
  get fullText(): string {
    return (
      `Replication buffer limit has been reached (${this.heldBytes} bytes), stopped buffering ` +
      'replication stream. Further accumulation may occur on master side.'
    );
  }

  get beginText(): string {
    const what = 'Starting to stream replication buffer into the db';
    return `MASTER <-> REPLICA sync: ${what} (${this.heldBytes} bytes).`;
  }

  get appliedText(): string {
    const what = 'Successfully streamed replication buffer into the db';
    return `MASTER <-> REPLICA sync: ${what} (${this.totalBytes} bytes in total)`;
  }

  begin(): void {
    this.end();
    this.isActive = true;
  }

  /** Nothing is held any more. */
  end(): void {
    this.isActive = false;
    this.heldBytes = this.totalBytes = 0;
    this.#blocks.length = 0;
  }

  /** Copies bytes[start, end). Throws CORRUPT when the stream begins with what no stream does. */
  push(bytes: Uint8Array, start: number, end: number): void {
    assert(this.isActive, 'a stream that is held has begun');
    if (this.totalBytes === 0 && start < end) checkStart(bytes, start, end);
    let from = start;
    while (from < end) {
      let block = this.#blocks.at(-1);
      if (block === undefined || block.used === BLOCK_BYTES) {
        block = { bytes: new Uint8Array(BLOCK_BYTES), used: 0 };
        this.#blocks.push(block);
        this.peakBytes = Math.max(this.peakBytes, this.memoryBytes);
      }
      const count = Math.min(end - from, BLOCK_BYTES - block.used);
      block.bytes.set(bytes.subarray(from, from + count), block.used);
      block.used += count;
      from += count;
    }
    this.heldBytes += end - start;
    this.totalBytes += end - start;
  }

  /** The oldest bytes, from position 0 to the end; empty when there are none. */
  next(): Uint8Array {
    const block = this.#blocks[0];
    return block === undefined ? NO_BYTES : block.bytes.subarray(0, block.used);
  }

  /** What {@link next} has returned is applied. */
  taken(): void {
    const block = this.#blocks.shift();
    if (block === undefined) return;
    this.heldBytes -= block.used;
    poison(block.bytes, 0, block.used);
  }
}

const NO_BYTES = new Uint8Array(0);

/** A stream begins with a request; empty lines before it count as bytes of it. */
function checkStart(bytes: Uint8Array, start: number, end: number): void {
  const first = bytes[start];
  if (first === STAR || first === CR || first === LF) return;
  const text = latin1(bytes, start, Math.min(end - start, SHOWN_BYTES));
  throw new OperatingError(ErrorCode.CORRUPT, `a stream that begins with '${text}'`);
}
