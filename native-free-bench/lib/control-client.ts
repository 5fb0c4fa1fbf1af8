/**
 * A client for the few commands around a measurement (INFO, CONFIG, BGSAVE …): one connection,
 * replies in order, whole values. No measured command goes through it.
 */
import net from 'node:net';

export type Reply = string | number | null | ReplyError | readonly Reply[];

export class ReplyError {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

export class ControlClient {
  readonly #socket: net.Socket;
  readonly #waiting: Waiting[] = [];
  #unparsed: Buffer = Buffer.alloc(0);
  #position = 0;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  /** Connects. Rejects when the port refuses the connection. */
  static connect(port: number): Promise<ControlClient> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ port, host: '127.0.0.1' });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new ControlClient(socket));
      });
    });
  }

  /** Sends one command and resolves to its reply. An error reply is a value, not a rejection. */
  call(...words: string[]): Promise<Reply> {
    let request = `*${words.length}\r\n`;
    for (const word of words) request += `$${Buffer.byteLength(word)}\r\n${word}\r\n`;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket.write(request);
    });
  }

  /** As `call`, for commands that cannot fail on a healthy server. */
  async must(...words: string[]): Promise<Exclude<Reply, ReplyError>> {
    const reply = await this.call(...words);
    if (reply instanceof ReplyError) throw new Error(`${words.join(' ')}: ${reply.message}`);
    return reply;
  }

  /** Returns the fields of `INFO <section>` by name. */
  async info(section: string): Promise<Map<string, string>> {
    const fields = new Map<string, string>();
    for (const line of String(await this.must('INFO', section)).split('\r\n')) {
      const colon = line.indexOf(':');
      if (colon > 0 && !line.startsWith('#'))
        fields.set(line.slice(0, colon), line.slice(colon + 1));
    }
    return fields;
  }

  close(): void {
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    for (const waiting of this.#waiting.splice(0)) waiting.reject(error);
  }

  #take(chunk: Buffer): void {
    this.#unparsed = this.#unparsed.length === 0 ? chunk : Buffer.concat([this.#unparsed, chunk]);
    while (this.#unparsed.length > 0) {
      this.#position = 0;
      const reply = this.#parse();
      if (reply === undefined) return;
      this.#unparsed = this.#unparsed.subarray(this.#position);
      this.#waiting.shift()?.resolve(reply);
    }
  }

  /** Returns the value at `#position`, or undefined while it is incomplete. */
  #parse(): Reply | undefined {
    const end = this.#unparsed.indexOf('\r\n', this.#position);
    if (end < 0) return undefined;
    const line = this.#unparsed.toString('latin1', this.#position, end);
    this.#position = end + 2;
    const rest = line.slice(1);
    switch (line[0]) {
      case '+':
        return rest;
      case '-':
        return new ReplyError(rest);
      case ':':
        return Number(rest);
      case '$':
        return this.#parseBulk(Number(rest));
      case '*':
        return this.#parseArray(Number(rest));
      default:
        throw new Error(`not a reply: ${line}`);
    }
  }

  #parseBulk(length: number): Reply | undefined {
    if (length < 0) return null;
    const start = this.#position;
    if (this.#unparsed.length < start + length + 2) return undefined;
    this.#position = start + length + 2;
    return this.#unparsed.toString('utf8', start, start + length);
  }

  #parseArray(count: number): Reply | undefined {
    if (count < 0) return null;
    const values: Reply[] = [];
    for (let index = 0; index < count; index++) {
      const value = this.#parse();
      if (value === undefined) return undefined;
      values.push(value);
    }
    return values;
  }
}
