/**
 * Hot path. Writes to a socket, past the stream machinery of Node.js where that is possible.
 *
 * A `Writable` costs each write a request object with its own bookkeeping, two callbacks and a turn of the microtask
 * queue, about as much as parsing and running a command. The socket's handle takes the same bytes by one call and
 * usually writes them at once. What the kernel does not take waits in libuv's queue of the handle, in order.
 *
 * The handle is no public interface (stream-wrap.ts). Without it, and for sockets without such a handle, `socket.write`
 * serves, with the same results.
 */
import type { Socket } from 'node:net';
import { streamWrap } from './stream-wrap.ts';

interface WriteRequest {
  oncomplete: (this: WriteRequest, status: number) => void;
  /** Keeps the bytes alive while libuv has them. */
  buffer: Uint8Array | undefined;
  bytes: number;
  writer: SocketWriter | undefined;
  onWritten: ((bytes: Uint8Array) => void) | undefined;
}

interface WritableHandle {
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
}

/**
 * The request of the next write. One that ended at once has left nothing behind and serves again: making one costs more
 * than the rest of a short write, apart from the system call.
 */
let spare: WriteRequest | undefined;

function onComplete(this: WriteRequest, status: number): void {
  const { writer, onWritten, bytes, buffer } = this;
  this.buffer = undefined;
  this.writer = undefined;
  this.onWritten = undefined;
  writer!.completed(bytes, status);
  onWritten?.(buffer!);
}

/** The one way out of its socket: writes of others would not keep the order. */
export class SocketWriter {
  readonly #socket: Socket;
  readonly #handle: WritableHandle | undefined;
  /** Bytes that the handle has and the kernel has not. */
  #waitingBytes = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    const { _handle } = socket as unknown as { _handle?: unknown };
    const direct =
      streamWrap !== undefined && typeof _handle === 'object' && _handle !== null && 'writeBuffer' in _handle;
    this.#handle = direct ? (_handle as WritableHandle) : undefined;
  }

  /** Bytes that were written here and that the kernel has not taken yet. */
  get waitingBytes(): number {
    return this.#handle === undefined ? this.#socket.writableLength : this.#waitingBytes;
  }

  /**
   * Writes `bytes`, which stay as they are until they are written. Returns true when that is so at once; otherwise
   * `onWritten` is called with them later, also when the write has failed. A failure destroys the socket.
   */
  write(bytes: Uint8Array, onWritten?: (bytes: Uint8Array) => void): boolean {
    const socket = this.#socket;
    if (this.#handle === undefined) {
      socket.write(bytes, () => onWritten?.(bytes));
      return false;
    }
    if (socket.destroyed) {
      if (onWritten !== undefined) setImmediate(onWritten, bytes);
      return false;
    }
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = streamWrap!;
    spare ??= new WriteWrap() as WriteRequest;
    const request = spare;
    const status = this.#handle.writeBuffer(request, bytes);
    if (status !== 0) {
      spare = undefined;
      this.#fail(status);
      if (onWritten !== undefined) setImmediate(onWritten, bytes);
      return false;
    }
    if (streamBaseState[kLastWriteWasAsync] === 0) return true;
    spare = undefined;
    request.oncomplete = onComplete;
    request.buffer = bytes;
    request.bytes = bytes.length;
    request.writer = this;
    request.onWritten = onWritten;
    this.#waitingBytes += bytes.length;
    return false;
  }

  /** libuv is done with a write that had to wait. */
  completed(bytes: number, status: number): void {
    this.#waitingBytes -= bytes;
    if (status !== 0) this.#fail(status);
  }

  #fail(status: number): void {
    if (!this.#socket.destroyed) this.#socket.destroy(new Error(`write failed with status ${status}`));
  }
}
