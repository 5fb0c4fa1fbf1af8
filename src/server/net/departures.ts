/**
 * Sockets whose connection has ended and whose last bytes are still on their way. They are no
 * clients any more: not listed, not counted, and their input is read and dropped.
 *
 *   leave ──▶ draining ──the kernel has the last byte──▶ FIN sent ──the peer's FIN──▶ destroyed
 *                │                                          └─── LINGER_MS or more ──────▲
 *                └── nothing was taken for STALL_MS ─────────────────────────────────────┘
 *
 * Closing these sockets at once would be simpler, but would lose replies: a kernel that closes
 * while bytes of the peer lie unread, or come later, answers with RST, and the peer loses the part
 * of the reply that it has not read. So the write side is shut after the last byte, and input is
 * read until the peer has ended, too, or for a moment.
 *
 * There are never more than DEPARTING_MAX, and fewer while clients need the descriptors: beyond
 * that, the oldest one is cut. So refused peers that keep their ends open cannot take the
 * descriptors that are reserved for files. One timer serves all of them, and runs while there are
 * any. Main thread.
 */
import type { Socket } from 'node:net';
import { debugAssert } from '../../base/assert.ts';
import { ignoreReads } from './listener.ts';

/**
 * Time between two looks at all of them. A peer that has got everything may keep its end open for
 * two looks.
 */
const LINGER_MS = 500;
/** A peer that takes none of its waiting bytes for this long is cut off. */
const STALL_MS = 5000;
/** The most descriptors that may be open for departing sockets. */
const DEPARTING_MAX = 256;
/** So many may be open while all clients that may come are there. */
const DEPARTING_MIN = 32;

interface Departure {
  /** Bytes that the kernel had not taken at the last look. */
  waitingBytes: number;
  /** Looks since the last look that found a change. */
  looks: number;
}

export class Departures {
  /** {@link LINGER_MS}. A test makes it shorter before the first socket leaves. */
  lingerMs = LINGER_MS;
  readonly #sockets = new Map<Socket, Departure>();
  readonly #roomLeft: () => number;
  #timer: NodeJS.Timeout | undefined = undefined;

  /** `roomLeft`: how many more clients may come. */
  constructor(roomLeft: () => number) {
    this.#roomLeft = roomLeft;
  }

  get count(): number {
    return this.#sockets.size;
  }

  /** Bytes that wait for all departing peers. */
  get waitingBytes(): number {
    let bytes = 0;
    for (const socket of this.#sockets.keys()) bytes += unsentBytes(socket);
    return bytes;
  }

  /** Ends `socket` after its last written byte, and owns it from now on. */
  leave(socket: Socket): void {
    if (socket.destroyed) return;
    debugAssert(!this.#sockets.has(socket), 'a socket leaves once');
    ignoreReads(socket);
    // The socket destroys itself once the peer has ended, too. Its FIN follows the bytes that libuv
    // has.
    socket.end();
    this.#sockets.set(socket, { waitingBytes: unsentBytes(socket), looks: 0 });
    socket.once('close', () => this.#gone(socket));
    const countMax = Math.min(DEPARTING_MAX, DEPARTING_MIN + Math.max(0, this.#roomLeft()));
    for (const first of this.#sockets.keys()) {
      if (this.#sockets.size <= countMax) break;
      first.destroy();
      this.#gone(first);
    }
    this.#timer ??= setInterval(() => this.#look(), this.lingerMs).unref();
  }

  /** Cuts all of them. */
  stop(): void {
    for (const socket of this.#sockets.keys()) socket.destroy();
    this.#sockets.clear();
    this.#stopTimer();
  }

  #look(): void {
    for (const [socket, departure] of this.#sockets) {
      const bytes = unsentBytes(socket);
      if (bytes === departure.waitingBytes) departure.looks++;
      else departure.looks = 0;
      departure.waitingBytes = bytes;
      const looksMax = bytes === 0 ? 2 : STALL_MS / this.lingerMs;
      if (departure.looks >= looksMax) socket.destroy();
    }
  }

  #gone(socket: Socket): void {
    if (this.#sockets.delete(socket) && this.#sockets.size === 0) this.#stopTimer();
  }

  #stopTimer(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

interface WithQueue {
  readonly _handle?: { readonly writeQueueSize?: number } | null;
}

/** Written bytes that the kernel has not taken. */
function unsentBytes(socket: Socket): number {
  return socket.writableLength + ((socket as unknown as WithQueue)._handle?.writeQueueSize ?? 0);
}
