/**
 * How a program asks V8 for a full collection, which it offers no call for. On the thread that
 * calls.
 *
 *   in steps   an array buffer that nobody uses lets V8 believe that much memory outside of its heap came to be. It begins a
 *              marking in small steps between the turns of the loop, and ends it with a short pause. Measured with the 19 MiB
 *              of heap of a node, Node.js 20: pauses of 2 to 10 ms, where a collection in one go holds the loop for
 *              13 to 17 ms. The memory is not touched, so it costs nothing, and the collection frees it.
 *   at once    gc(), which V8 has for tests: for threads that nobody waits for, and when the first way did not serve.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MIB } from './units.ts';

/**
 * V8 looks into it when memory outside of its heap has grown by 64 MiB since the last collection.
 */
const PRESSURE_BYTES = 66 * MIB;

/**
 * Asks for a collection in steps; {@link CollectionWatch} tells when it is over. Returns the
 * buffer's length, so that the buffer is made.
 */
export function collectInSteps(): number {
  return new ArrayBuffer(PRESSURE_BYTES).byteLength;
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
 * Tells whether a full collection that began after the watch was made has ended. Known some turns
 * of the loop later.
 */
export class CollectionWatch {
  hasEnded = false;
  // Not a WeakRef: it would keep what it refers to for the turn in which it is made, or asked, and
  // so for a collection that goes on in that turn. Collections of young objects alone leave the
  // sentinel.
  readonly #registry = new FinalizationRegistry<undefined>(() => {
    this.hasEnded = true;
  });

  constructor() {
    this.#registry.register({}, undefined);
  }
}
