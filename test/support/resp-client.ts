/**
 * A small client for the tests, with promises, pipelines, raw bytes and push messages. It hides
 * nothing: error replies are values, and a test may write half a command.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import {
  type BulkMode,
  INCOMPLETE,
  RespError,
  RespParser,
  RespPush,
  type RespValue,
} from './resp-parser.ts';

export type Argument = string | Buffer | number | bigint;

export interface ClientOptions {
  readonly host?: string;
  /**
   * How bulk strings come back; strings given as arguments are encoded the same way. Default
   * 'utf8'.
   */
  readonly bulk?: BulkMode;
  /** 3 sends HELLO 3 first. Default 2. */
  readonly protocol?: 2 | 3;
}

interface Waiter {
  readonly raw: boolean;
  readonly resolve: (value: RespValue) => void;
  readonly reject: (reason: Error) => void;
}

/** A multibulk command. `encoding` applies to strings. */
export function encodeCommand(
  args: readonly Argument[],
  encoding: 'utf8' | 'latin1' = 'utf8',
): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)];
  for (const arg of args) {
    const bytes = Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg), encoding);
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat(parts);
}

export class RespClient {
  readonly socket: Socket;
  /**
   * Push messages and, in RESP2, all values that came while no command was waiting (pub/sub,
   * MONITOR). Oldest first.
   */
  readonly pushes: RespValue[] = [];
  /** Resolves when the connection has ended, from either side. */
  readonly closed: Promise<void>;
  isClosed = false;
  readonly #parser: RespParser;
  readonly #encoding: 'utf8' | 'latin1';
  readonly #waiting: Waiter[] = [];
  readonly #pushWaiting: Waiter[] = [];
  #failure: Error | undefined;

  private constructor(socket: Socket, bulk: BulkMode) {
    this.socket = socket;
    this.#parser = new RespParser(bulk);
    this.#encoding = bulk === 'latin1' ? 'latin1' : 'utf8';
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => {
      this.#failure = error;
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.isClosed = true;
        this.#rejectAll(this.#failure ?? new Error('the connection was closed'));
        resolve();
      });
    });
  }

  /** `to` is a TCP port, or the path of a Unix socket. */
  static async connect(to: number | string, options: ClientOptions = {}): Promise<RespClient> {
    const socket =
      typeof to === 'string'
        ? connect({ path: to })
        : connect({ port: to, host: options.host ?? '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    const client = new RespClient(socket, options.bulk ?? 'utf8');
    if (options.protocol === 3) await client.call('HELLO', 3);
    return client;
  }

  /** Sends one command and returns its reply; an error reply is a {@link RespError} value. */
  command(...args: Argument[]): Promise<RespValue> {
    const reply = this.reply();
    this.send(...args);
    return reply;
  }

  /** As `command`, but an error reply is thrown. */
  async call(...args: Argument[]): Promise<RespValue> {
    const reply = await this.command(...args);
    if (reply instanceof RespError) throw new Error(`${args[0]}: ${reply.message}`);
    return reply;
  }

  /** The exact bytes of the reply to one command. */
  async raw(...args: Argument[]): Promise<Buffer> {
    const reply = this.#wait(this.#waiting, true);
    this.send(...args);
    return (await reply) as Buffer;
  }

  /** Sends all commands in one write and returns their replies in order. */
  pipeline(commands: readonly (readonly Argument[])[]): Promise<RespValue[]> {
    const replies = commands.map(() => this.reply());
    this.write(Buffer.concat(commands.map((args) => encodeCommand(args, this.#encoding))));
    return Promise.all(replies);
  }

  /** Sends a command without waiting for a reply to it. */
  send(...args: Argument[]): void {
    this.write(encodeCommand(args, this.#encoding));
  }

  /** Writes bytes as they are; take the replies with `reply`. */
  write(bytes: Buffer | string): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** The next reply that no earlier call waits for. */
  reply(): Promise<RespValue> {
    return this.#wait(this.#waiting, false);
  }

  /**
   * The oldest push message not taken yet, or the next one to come. Its items, when it is a push of
   * RESP3.
   */
  async nextPush(): Promise<RespValue> {
    const value = this.pushes.shift() ?? (await this.#wait(this.#pushWaiting, false));
    return value instanceof RespPush ? [...value.items] : value;
  }

  /** The fields of an INFO section, by name. */
  async info(section = 'default'): Promise<Map<string, string>> {
    const text = String(await this.call('INFO', section));
    const fields = new Map<string, string>();
    for (const line of text.split('\r\n')) {
      const colon = line.indexOf(':');
      if (colon > 0 && !line.startsWith('#'))
        fields.set(line.slice(0, colon), line.slice(colon + 1));
    }
    return fields;
  }

  /** One field of INFO; throws when there is none of that name. */
  async infoField(section: string, name: string): Promise<string> {
    const value = (await this.info(section)).get(name);
    if (value === undefined) throw new Error(`INFO ${section} has no field ${name}`);
    return value;
  }

  async close(): Promise<void> {
    this.socket.end();
    this.socket.destroySoon();
    await this.closed;
  }

  #wait(queue: Waiter[], raw: boolean): Promise<RespValue> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) reject(this.#failure ?? new Error('the connection is closed'));
      else queue.push({ raw, resolve, reject });
    });
  }

  #receive(chunk: Buffer): void {
    this.#parser.push(chunk);
    try {
      for (;;) {
        const value = this.#parser.next();
        if (value === INCOMPLETE) return;
        this.#deliver(value);
      }
    } catch (error) {
      // The bytes are not RESP. Waiting callers get the error, and nothing more can be read.
      this.socket.destroy(error as Error);
    }
  }

  #deliver(value: RespValue): void {
    const isPush = value instanceof RespPush || this.#waiting.length === 0;
    const waiter = isPush ? this.#pushWaiting.shift() : this.#waiting.shift();
    if (waiter !== undefined) waiter.resolve(waiter.raw ? this.#parser.lastRaw : value);
    else this.pushes.push(value);
  }

  #rejectAll(reason: Error): void {
    for (const waiter of [...this.#waiting.splice(0), ...this.#pushWaiting.splice(0)])
      waiter.reject(reason);
  }
}
