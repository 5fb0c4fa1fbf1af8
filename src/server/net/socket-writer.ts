/**
 * Hot path. Writes to a socket, past the stream machinery of Node.js where that is possible.
 *
 * A `Writable` costs each write a request object with its bookkeeping, two callbacks and a turn of
 * the microtask queue, about as much as parsing and running a command. The socket's handle takes
 * the same bytes by one call and usually writes them at once. Bytes that the kernel does not take
 * wait in libuv's queue of the handle, in order.
 *
 * The handle is no public interface (stream-wrap.ts). Without it, and for sockets whose handle
 * lacks `writeBuffer`, `socket.write` serves, with the same results.
 */
import type { Socket } from 'node:net';
import { MIB } from '../../base/units.ts';
import { streamWrap } from './stream-wrap.ts';

interface WriteRequest {
  oncomplete: (this: WriteRequest, status: number) => void;
  /** Keeps the bytes alive while libuv has them. */
  buffer: Uint8Array | readonly Uint8Array[] | undefined;
  bytes: number;
  writer: SocketWriter | undefined;
  onWritten: ((bytes: Uint8Array) => void) | undefined;
}

interface WritableHandle {
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  /** `true`: all chunks are bytes. */
  writev(request: WriteRequest, chunks: readonly Uint8Array[], allBuffers: true): number;
}

/** A socket has no handle any more once it is destroyed. */
interface HandleOwner extends Socket {
  readonly _handle?: unknown;
}

/**
 * The most bytes of several chunks in one request; a larger chunk has a request to itself. Each
 * request gives its memory back separately.
 */
const REQUEST_BYTES_MAX = MIB;

/**
 * The request of the next write. A request that ended at once serves again: making one costs more
 * than the rest of a short write, apart from the system call.
 */
let spare: WriteRequest | undefined;

function onComplete(this: WriteRequest, status: number): void {
  const { writer, onWritten, bytes, buffer } = this;
  this.buffer = undefined;
  this.writer = undefined;
  this.onWritten = undefined;
  writer!.completed(bytes, status);
  if (onWritten === undefined) return;
  if (buffer instanceof Uint8Array) onWritten(buffer);
  else for (const chunk of buffer!) onWritten(chunk);
}

/** The only writer of its socket: other writes would not keep the order. */
export class SocketWriter {
  readonly #socket: HandleOwner;
  readonly #handle: WritableHandle | undefined;
  /** Bytes that the handle has and the kernel has not. */
  #waitingBytes = 0;
  #waitingWrites = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    const { _handle } = this.#socket;
    const direct =
      streamWrap !== undefined &&
      typeof _handle === 'object' &&
      _handle !== null &&
      'writeBuffer' in _handle;
    this.#handle = direct ? (_handle as WritableHandle) : undefined;
  }

  /** Bytes written here that the kernel has not taken yet. */
  get waitingBytes(): number {
    return this.#handle === undefined ? this.#socket.writableLength : this.#waitingBytes;
  }

  /** Writes that the kernel has not taken whole. */
  get waitingWrites(): number {
    return this.#handle === undefined ? Number(this.waitingBytes > 0) : this.#waitingWrites;
  }

  /**
   * Writes `bytes`, which must not change until they are written. Returns true when they are
   * written at once; else `onWritten` is called with them later, also after a failure. A failure
   * destroys the socket.
   */
  write(bytes: Uint8Array, onWritten?: (bytes: Uint8Array) => void): boolean {
    const socket = this.#socket;
    if (this.#handle === undefined) {
      socket.write(bytes, () => onWritten?.(bytes));
      return false;
    }
    if (socket._handle !== this.#handle) {
      if (onWritten !== undefined) setImmediate(onWritten, bytes);
      return false;
    }
    spare ??= new streamWrap!.WriteWrap() as WriteRequest;
    const request = spare;
    const status = this.#handle.writeBuffer(request, bytes);
    if (status !== 0) {
      spare = undefined;
      this.#fail(status);
      if (onWritten !== undefined) setImmediate(onWritten, bytes);
      return false;
    }
    if (streamWrap!.streamBaseState[streamWrap!.kLastWriteWasAsync] === 0) return true;
    this.#waits(request, bytes, bytes.length, onWritten);
    return false;
  }

  /**
   * Writes all chunks, in order. Calls `onWritten` with each, at once, or later as {@link write}
   * does.
   */
  writeAll(chunks: readonly Uint8Array[], onWritten: (bytes: Uint8Array) => void): void {
    for (let first = 0; first < chunks.length; ) {
      let end = first;
      let bytes = 0;
      do bytes += chunks[end++]!.length;
      while (end < chunks.length && bytes + chunks[end]!.length <= REQUEST_BYTES_MAX);
      if (end === first + 1) {
        const chunk = chunks[first]!;
        if (this.write(chunk, onWritten)) onWritten(chunk);
      } else {
        this.#writeTogether(chunks.slice(first, end), bytes, onWritten);
      }
      first = end;
    }
  }

  #writeTogether(
    chunks: readonly Uint8Array[],
    bytes: number,
    onWritten: (bytes: Uint8Array) => void,
  ): void {
    const handle = this.#handle;
    if (handle === undefined || this.#socket.destroyed) {
      for (const chunk of chunks) this.write(chunk, onWritten);
      return;
    }
    const request = new streamWrap!.WriteWrap() as WriteRequest;
    const status = handle.writev(request, chunks, true);
    if (status !== 0) {
      this.#fail(status);
      for (const chunk of chunks) setImmediate(onWritten, chunk);
    } else if (streamWrap!.streamBaseState[streamWrap!.kLastWriteWasAsync] === 0) {
      for (const chunk of chunks) onWritten(chunk);
    } else {
      this.#waits(request, chunks, bytes, onWritten);
    }
  }

  /** The kernel has not taken all of it: the request is libuv's until it completes. */
  #waits(
    request: WriteRequest,
    buffer: Uint8Array | readonly Uint8Array[],
    bytes: number,
    onWritten: ((bytes: Uint8Array) => void) | undefined,
  ): void {
    if (request === spare) spare = undefined;
    request.oncomplete = onComplete;
    request.buffer = buffer;
    request.bytes = bytes;
    request.writer = this;
    request.onWritten = onWritten;
    this.#waitingBytes += bytes;
    this.#waitingWrites++;
  }

  /** libuv is done with a write that had to wait. */
  completed(bytes: number, status: number): void {
    this.#waitingBytes -= bytes;
    this.#waitingWrites--;
    if (status !== 0) this.#fail(status);
  }

  #fail(status: number): void {
    if (!this.#socket.destroyed)
      this.#socket.destroy(new Error(`write failed with status ${status}`));
  }
}
