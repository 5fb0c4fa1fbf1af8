/**
 * Asks V8 for a full collection, for which V8 has no call. Acts on the calling thread.
 *
 *   in steps   An unused array buffer makes V8 believe that memory outside of its heap has grown
 *              much. V8 then marks in small steps between the turns of the loop and ends with a
 *              short pause. Measured with a node's heap of 19 MiB, Node.js 20: pauses of 2 to
 *              10 ms; a collection in one go blocks the loop for 13 to 17 ms. The buffer is
 *              untouched, so it costs nothing. It goes in the next turn: as long as it is there,
 *              V8 marks for 5 to 10 ms at a stretch whenever the node makes another buffer.
 *   at once    gc(), which V8 has for tests. For idle threads, and when the first way failed.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MessageChannel } from 'node:worker_threads';
import { MIB } from './units.ts';

/**
 * V8 considers a collection when memory outside of its heap has grown by 64 MiB since the last.
 */
const PRESSURE_BYTES = 66 * MIB;

/**
 * Asks for a collection in steps; {@link CollectionWatch} tells when it is over. Collects at once
 * where the system refuses the buffer.
 */
export function collectInSteps(): void {
  try {
    setImmediate(discard, new ArrayBuffer(PRESSURE_BYTES));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    collectAtOnce();
  }
}

/** Frees the memory of `buffer` without a collection: it moves into a message that nobody reads. */
function discard(buffer: ArrayBuffer): void {
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(buffer, [buffer]);
  port2.close();
}

let gc: (() => void) | undefined;

/** Collects at once. */
export function collectAtOnce(): void {
  if (gc === undefined) {
    setFlagsFromString('--expose-gc');
    gc = runInNewContext('gc') as () => void;
  }
  gc();
}

/**
 * Tells whether a full collection that began after the watch was made has ended. The answer comes
 * some turns of the loop late.
 */
export class CollectionWatch {
  hasEnded = false;
  // Not a WeakRef: it keeps its target alive for the turn in which it is made or read, and so
  // through a collection in that turn. Collections of young objects alone leave the sentinel.
  readonly #registry = new FinalizationRegistry<undefined>(() => {
    this.hasEnded = true;
  });

  constructor() {
    this.#registry.register({}, undefined);
  }
}
