/**
 * A connection to the primary: its socket, from the address of `bind-source-addr`, and the reader
 * of what comes over it.
 *
 * Events of a connection that was left say nothing about the present one: they are ignored. All
 * reads go into one buffer, so that those of a dump leave nothing to collect. Its bytes are stale
 * when the read that brought them has been taken.
 *
 * Main thread.
 */
import type { Socket } from 'node:net';
import { assert } from '../../base/assert.ts';
import { messageOf } from '../../base/errors.ts';
import { poison } from '../../base/lease.ts';
import { KIB } from '../../base/units.ts';
import { LinkReader, type LinkSink } from '../../replication/link-reader.ts';
import { connectFrom } from './outgoing.ts';

/**
 * Bytes of one read. A turn has up to 32 reads: larger ones would let clients wait longer while
 * the stream is applied.
 */
const READ_BYTES = 64 * KIB;

export interface ConnectionEvents extends LinkSink {
  opened(): void;
  /** Bytes have come; `take` gives them to the reader, and may throw what a sink throws. */
  received(bytes: number, take: () => void): void;
  /** The connection failed or is gone. `reason` is empty when the primary has closed it. */
  closed(reason: string): void;
}

export class LinkConnection {
  readonly reader: LinkReader;
  readonly #events: ConnectionEvents;
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  #socket: Socket | undefined = undefined;
  #isPaused = false;

  constructor(events: ConnectionEvents) {
    this.#events = events;
    this.reader = new LinkReader(events);
  }

  /** Whether there is a socket, which need not be connected yet. */
  get isOpen(): boolean {
    return this.#socket !== undefined;
  }

  get socket(): Socket {
    assert(this.#socket !== undefined, 'a connection that is used was made');
    return this.#socket;
  }

  /** Connects from the address `source`, or from any when it is empty. Expects lines. */
  connect(host: string, port: number, source: string): void {
    this.leave();
    this.#isPaused = false;
    this.#open(host, port, source);
  }

  write(text: string): void {
    this.#socket?.write(text, 'latin1');
  }

  /** Reads on, or reads no more: bytes that come then wait in the kernel. */
  set reads(reads: boolean) {
    if (this.#isPaused !== reads) return;
    this.#isPaused = !reads;
    if (reads) this.#socket?.resume();
    else this.#socket?.pause();
  }

  /** Ends the connection, and ignores what still comes over it. */
  leave(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.destroy();
    this.reader.expectNothing();
  }

  #open(host: string, port: number, source: string): void {
    this.reader.expectLines();
    const buffer = this.#buffer;
    const onread = {
      buffer,
      callback: (count: number) => {
        if (isCurrent()) this.#received(count);
        return true;
      },
    };
    const socket = connectFrom({ host, port, onread }, source, () => {
      if (isCurrent()) this.#open(host, port, '');
    });
    this.#socket = socket;
    if (this.#isPaused) socket.pause();
    const isCurrent = (): boolean => this.#socket === socket;
    let reason = '';
    socket.on('connect', () => {
      if (isCurrent()) this.#events.opened();
    });
    socket.on('error', (error) => {
      reason = messageOf(error);
    });
    socket.on('close', () => {
      if (isCurrent()) this.#events.closed(reason);
    });
  }

  #received(count: number): void {
    const buffer = this.#buffer;
    this.#events.received(count, () => this.reader.push(buffer, 0, count));
    poison(buffer, 0, count);
  }
}
