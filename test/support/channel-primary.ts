/**
 * A primary that is only sockets, and sends its dump over a second connection, as Redis 8 does
 * (`redis`) or as Valkey 8 does (`valkey`). At one stage it says what a script says instead.
 *
 *   main     PING ▶ +PONG · REPLCONF ▶ +OK · PSYNC ▶ begin
 *   second   AUTH, REPLCONF ▶ replconf · PSYNC or SYNC ▶ grant · header · dump · mark
 *   main     redis:  stream, as soon as the dump is granted
 *            valkey: set-rdb-client-id ▶ identify · PSYNC ▶ resume · stream
 *
 * Without the capability it grants a classic sync. After the first ACK it sends a PING now and
 * then. `streamed` counts the stream of the present main connection.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { MARK, type Sent, type Stage } from './fake-primary.ts';
import { RequestReader } from './request-reader.ts';
import { encodeCommand } from './resp-client.ts';

export type ChannelKind = 'redis' | 'valkey';

export interface ChannelScript {
  readonly begin?: Stage;
  readonly replconf?: Stage;
  readonly grant?: Stage;
  readonly header?: Stage;
  readonly dump?: Stage;
  readonly mark?: Stage;
  readonly identify?: Stage;
  readonly resume?: Stage;
  readonly stream?: Stage;
  /** The second connection is reset as soon as it is made. */
  readonly resetsSecond?: boolean;
}

export interface ChannelData {
  readonly replid: string;
  readonly offset: number;
  readonly dbIndex?: number;
  readonly dump: Buffer;
  readonly stream: Buffer;
}

const PING_EVERY_MS = 300;
const CAPABILITY = { redis: 'rdb-channel-repl', valkey: 'dual-channel' } as const;

export class ChannelPrimary {
  readonly kind: ChannelKind;
  readonly data: ChannelData;
  readonly links: Link[] = [];
  readonly #server: Server;
  readonly #scripts: readonly [ChannelScript, ChannelScript];

  private constructor(
    kind: ChannelKind,
    data: ChannelData,
    scripts: readonly [ChannelScript, ChannelScript],
  ) {
    this.kind = kind;
    this.data = data;
    this.#scripts = scripts;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.links.push(new Link(socket, this));
    });
  }

  /** `script` is for the first attempt, `later` for the others. */
  static async start(
    kind: ChannelKind,
    data: ChannelData,
    script: ChannelScript = {},
    later: ChannelScript = {},
  ): Promise<ChannelPrimary> {
    const primary = new ChannelPrimary(kind, data, [script, later]);
    primary.#server.listen(0, '127.0.0.1');
    await once(primary.#server, 'listening');
    return primary;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Main connections so far, each of an attempt. */
  get mains(): readonly Link[] {
    return this.links.filter(({ isMain }) => isMain);
  }

  get main(): Link {
    return this.mains.at(-1)!;
  }

  get seconds(): readonly Link[] {
    return this.links.filter(({ isSecond }) => isSecond);
  }

  /** The offset of the last byte of the stream that was sent. */
  get endOffset(): number {
    return this.data.offset + this.main.streamed;
  }

  get script(): Required<ChannelScript> {
    const { kind, data } = this;
    const { replid, offset, dbIndex = -1, dump, stream } = data;
    return {
      begin: kind === 'redis' ? '+RDBCHANNELSYNC 42\r\n' : '+DUALCHANNELSYNC\r\n',
      replconf: '+OK\r\n',
      grant:
        kind === 'redis'
          ? `\n+FULLRESYNC ${replid} ${offset}\r\n`
          : `\n$ENDOFF:${offset} ${replid} ${dbIndex} 77\r\n`,
      header: `$EOF:${MARK}\r\n`,
      dump,
      mark: MARK,
      identify: '+OK\r\n',
      resume: `+CONTINUE ${replid}\r\n`,
      stream,
      resetsSecond: false,
      ...this.#scripts[this.mains.length > 1 ? 1 : 0],
    };
  }

  async close(): Promise<void> {
    for (const link of this.links) link.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

export class Link {
  readonly requests: string[][] = [];
  isMain = false;
  isSecond = false;
  isClosed = false;
  streamed = 0;
  readonly socket: Socket;
  readonly #primary: ChannelPrimary;
  readonly #reader = new RequestReader();
  readonly #pings: NodeJS.Timeout;
  #isSilent = false;
  #offers = false;

  constructor(socket: Socket, primary: ChannelPrimary) {
    this.socket = socket;
    this.#primary = primary;
    this.#pings = setInterval(() => {
      if (this.#acks.length > 0) this.stream(encodeCommand(['PING']));
    }, PING_EVERY_MS);
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isClosed = true;
      clearInterval(this.#pings);
    });
    socket.on('end', () => socket.end());
    socket.on('data', (bytes: Buffer) => {
      for (const request of this.#reader.take(bytes)) this.#take(request);
    });
    if (primary.mains.length > 0 && primary.script.resetsSecond && !primary.main.isClosed) {
      setImmediate(() => socket.resetAndDestroy());
    }
  }

  /** The offsets that were acknowledged. */
  get acks(): readonly number[] {
    return this.#acks.map((words) => Number(words[2]));
  }

  get #acks(): readonly string[][] {
    return this.requests.filter(([name, option]) => name === 'REPLCONF' && option === 'ACK');
  }

  destroy(): void {
    clearInterval(this.#pings);
    this.socket.destroy();
  }

  /** Sends bytes of the stream. */
  stream(stage: Stage): void {
    const parts = Array.isArray(stage) ? (stage as readonly Sent[]) : [stage as Sent];
    for (const sent of parts) {
      if (!this.#isSilent && (typeof sent === 'string' || Buffer.isBuffer(sent)))
        this.streamed += sent.length;
      this.#send(sent);
    }
  }

  say(stage: Stage): void {
    for (const sent of Array.isArray(stage) ? stage : [stage]) this.#send(sent as Sent);
  }

  #take(request: string[]): void {
    this.requests.push(request);
    const [name, option] = request;
    if (name === 'PING') {
      this.isMain = true;
      this.say('+PONG\r\n');
    } else if (name === 'REPLCONF' && option !== 'ACK') {
      this.isSecond ||= request.includes('rdb-channel');
      this.#offers ||= request.includes(CAPABILITY[this.#primary.kind]);
      const { script } = this.#primary;
      if (option === 'set-rdb-client-id') this.say(script.identify);
      else this.say(this.isSecond ? script.replconf : '+OK\r\n');
    } else if (name === 'AUTH') this.say('+OK\r\n');
    else if (name === 'PSYNC' || name === 'SYNC') this.#sync(request);
  }

  #sync([name, replid, from]: readonly string[]): void {
    const { script, kind, data, main } = this.#primary;
    if (this.isSecond) {
      this.say(script.grant);
      if (kind === 'redis') main.stream(script.stream);
      for (const stage of [script.header, script.dump, script.mark]) this.say(stage);
    } else if (name === 'SYNC') {
      this.say("-ERR unknown command 'SYNC'\r\n");
    } else if (replid !== '?' && replid === data.replid) {
      this.say(script.resume);
      this.streamed = Number(from) - data.offset - 1;
      const { streamed } = this;
      this.stream(streamed === 0 ? script.stream : data.stream.subarray(streamed));
    } else if (this.#offers) {
      this.say(script.begin);
    } else {
      this.say([
        `+FULLRESYNC ${data.replid} ${data.offset}\r\n$${data.dump.length}\r\n`,
        data.dump,
      ]);
      this.stream(data.stream);
    }
  }

  #send(sent: Sent): void {
    if (this.#isSilent || this.socket.destroyed) return;
    if (typeof sent === 'string' || Buffer.isBuffer(sent)) {
      if (sent.length > 0) this.socket.write(sent, 'latin1');
      return;
    }
    this.#isSilent = true;
    if (sent.act === 'end') this.socket.end();
    // What was written before goes out first.
    else if (sent.act === 'reset') setImmediate(() => this.socket.resetAndDestroy());
  }
}
