/**
 * A connection whose bytes a test takes one by one: lines, a dump, and what follows. For protocols
 * of several connections, where each step is written down.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type Argument, encodeCommand } from './resp-client.ts';
import { waitFor } from './wait-for.ts';

const MARK_BYTES = 40;
const LF = 0x0a;

export class Wire {
  readonly socket: Socket;
  isClosed = false;
  /** Empty lines that {@link line} has passed over. */
  keepalives = 0;
  /** The dump, as far as {@link takeDump} has come. */
  dump: Buffer = Buffer.alloc(0);
  #pending: Buffer = Buffer.alloc(0);
  /** What came behind {@link #pending}, not joined to it yet. */
  #chunks: Buffer[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
    });
    socket.on('error', () => {});
    socket.once('close', () => {
      this.isClosed = true;
    });
  }

  static async open(port: number): Promise<Wire> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new Wire(socket);
  }

  /** What has come and was not taken. */
  get pending(): Buffer {
    if (this.#chunks.length > 0) this.#pending = Buffer.concat([this.#pending, ...this.#chunks]);
    this.#chunks = [];
    return this.#pending;
  }

  send(...words: readonly Argument[]): void {
    this.socket.write(encodeCommand(words));
  }

  /** The next line that is not empty, without its end. */
  async line(): Promise<string> {
    for (;;) {
      const end = await waitFor(() => {
        const at = this.pending.indexOf(LF);
        if (at >= 0) return at + 1;
        if (this.isClosed) throw new Error(`closed behind '${this.pending.toString('latin1')}'`);
        return undefined;
      });
      const text = this.#pending.toString('latin1', 0, end - 1).replace(/\r$/, '');
      this.#pending = this.#pending.subarray(end);
      if (text !== '') return text;
      this.keepalives++;
    }
  }

  /** Sends a command and takes the line that answers it. */
  call(...words: readonly Argument[]): Promise<string> {
    this.send(...words);
    return this.line();
  }

  /** Takes a dump between its header, which is a line, and its mark. */
  async takeDump(header: string): Promise<Buffer> {
    const mark = Buffer.from(header.slice('$EOF:'.length), 'latin1');
    if (!header.startsWith('$EOF:') || mark.length !== MARK_BYTES)
      throw new Error(`no header of a dump: '${header}'`);
    let searched = 0;
    const at = await waitFor(
      () => {
        const wasClosed = this.isClosed;
        const found = this.pending.indexOf(mark, Math.max(0, searched - MARK_BYTES));
        searched = this.pending.length;
        if (found < 0 && wasClosed) throw new Error('closed inside of the dump');
        return found < 0 ? undefined : found + 1;
      },
      { what: 'the end of the dump' },
    );
    this.dump = Buffer.from(this.#pending.subarray(0, at - 1));
    this.#pending = this.#pending.subarray(at - 1 + MARK_BYTES);
    return this.dump;
  }

  async waitForBytes(count: number): Promise<void> {
    await waitFor(() => this.pending.length >= count, {
      what: `${count} bytes, of which ${this.pending.length} are there`,
    });
  }

  async waitForClose(): Promise<void> {
    await waitFor(() => this.isClosed, { what: 'the connection to end' });
  }

  async vanish(): Promise<void> {
    this.socket.resetAndDestroy();
    await this.waitForClose();
  }
}
