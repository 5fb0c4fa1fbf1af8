/**
 * Holds the memory of a dead SharedArrayBuffer until it is released. V8 can then collect the buffer
 * without giving its memory back to the system.
 *
 * A collection unmaps all memory that it has found dead at once, on another thread, and the next
 * collection of young objects waits for that thread: 50 ms after the end of 400 MB. Here the memory
 * of one buffer goes at a time, in a turn of its own, in which a segment takes about 5 ms.
 *
 *   object in V8's heap ──▶ memory ◀── message ◀── port that nobody reads
 *   until a collection                             until it is closed
 *
 * Main thread, or any other with an event loop.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';

export class HeldBuffer {
  readonly #port: MessagePort;

  constructor(buffer: SharedArrayBuffer) {
    const { port1, port2 } = new MessageChannel();
    port1.postMessage(buffer);
    this.#port = port2;
  }

  /** Lets go of the memory. The system gets it in a later turn, unless others still refer to it. */
  release(): void {
    // The other port closes with it.
    this.#port.close();
  }

  /** Lets the next collection have the memory, as if it had never been held. */
  giveUp(): void {
    // The message makes a buffer of its own, which dies here.
    receiveMessageOnPort(this.#port);
    this.#port.close();
  }
}
