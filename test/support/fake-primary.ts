/**
 * A primary that is only a socket: it says what a stock primary says, or at one stage what a script
 * says instead. It keeps what the replica has sent.
 *
 *   PING ──▶ pong    REPLCONF ──▶ ok    PSYNC     ──▶ psync · header · dump · mark
 *                                       SYNC      ──▶ sync
 *                                       first ACK ──▶ stream
 *
 * A stage is what is sent there, in order. After `STALL` a connection says nothing any more and
 * stays; `END` closes its side of it; `RESET` breaks it.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { dump, pair } from './dump-writer.ts';
import { RequestReader } from './request-reader.ts';
import { encodeCommand } from './resp-client.ts';

/** What a connection does instead of sending more. */
export interface Act {
  readonly act: 'stall' | 'end' | 'reset';
}
export const STALL: Act = { act: 'stall' };
export const END: Act = { act: 'end' };
export const RESET: Act = { act: 'reset' };
export type Sent = string | Buffer | Act;
export type Stage = Sent | readonly Sent[];

export interface PrimaryScript {
  readonly pong?: Stage;
  /** The answer to each REPLCONF of the handshake. */
  readonly ok?: Stage;
  readonly psync?: Stage;
  readonly header?: Stage;
  readonly dump?: Stage;
  /** What closes the dump: its mark, when the header has one. */
  readonly mark?: Stage;
  /** Sent behind the dump once it is acknowledged; else right away. */
  readonly stream?: Stage;
  /** The answer to SYNC. */
  readonly sync?: Stage;
}

export const REPLID = 'fa'.repeat(20);
export const MARK = 'e0'.repeat(20);
const PING_EVERY_MS = 300;

/** What one replica has said on one connection. */
export interface Visit {
  readonly requests: string[][];
  closed: boolean;
}

export interface FakePrimary {
  readonly port: number;
  readonly visits: readonly Visit[];
  close(): Promise<void>;
}

/**
 * Starts a primary with `script` for its first connection, and `later` for all others. The dump
 * holds `k` with the value `text`, and the stream sets `s` to it. `framing` is that of the dump.
 */
export async function startFakePrimary(
  text: string,
  script: PrimaryScript = {},
  later: PrimaryScript = {},
  framing: 'mark' | 'length' = 'mark',
): Promise<FakePrimary> {
  const whole = dumpOf(text);
  const defaults: Required<PrimaryScript> = {
    pong: '+PONG\r\n',
    ok: '+OK\r\n',
    psync: `+FULLRESYNC ${REPLID} 0\r\n`,
    header: framing === 'mark' ? `$EOF:${MARK}\r\n` : `$${whole.length}\r\n`,
    dump: whole,
    mark: framing === 'mark' ? MARK : '',
    stream: streamOf(text),
    sync: "-ERR unknown command 'SYNC', with args beginning with: \r\n",
  };
  const visits: Visit[] = [];
  const connections = new Set<Connection>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const isFirst = visits.length === 0;
    const connection = new Connection(socket, { ...defaults, ...(isFirst ? script : later) });
    connections.add(connection);
    visits.push(connection.visit);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    visits,
    close: () => closeAll(server, connections),
  };
}

export const dumpOf = (text: string): Buffer => dump('REDIS0011', pair('k', text));
export const streamOf = (text: string): Buffer =>
  Buffer.concat([encodeCommand(['SELECT', 0]), encodeCommand(['SET', 's', text])]);

async function closeAll(server: Server, connections: ReadonlySet<Connection>): Promise<void> {
  for (const connection of connections) connection.destroy();
  server.close();
  await once(server, 'close');
}

class Connection {
  readonly visit: Visit = { requests: [], closed: false };
  readonly #socket: Socket;
  readonly #script: Required<PrimaryScript>;
  readonly #reader = new RequestReader();
  readonly #pings: NodeJS.Timeout;
  #isSilent = false;
  #isStreaming = false;

  constructor(socket: Socket, script: Required<PrimaryScript>) {
    this.#socket = socket;
    this.#script = script;
    this.#pings = setInterval(() => {
      if (this.#isStreaming) this.#send(encodeCommand(['PING']));
    }, PING_EVERY_MS);
    socket.on('error', () => {});
    socket.on('close', () => {
      this.visit.closed = true;
      clearInterval(this.#pings);
    });
    socket.on('end', () => socket.end());
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
  }

  destroy(): void {
    clearInterval(this.#pings);
    this.#socket.destroy();
  }

  #receive(bytes: Buffer): void {
    for (const request of this.#reader.take(bytes)) {
      this.visit.requests.push(request);
      this.#answer(request);
    }
  }

  #answer([name, option]: readonly string[]): void {
    const script = this.#script;
    if (name === 'PING') this.#say(script.pong);
    else if (name === 'SYNC') this.#say(script.sync);
    else if (name === 'PSYNC') {
      for (const stage of [script.psync, script.header, script.dump, script.mark]) this.#say(stage);
    } else if (option !== 'ACK') this.#say(script.ok);
    else if (!this.#isStreaming) {
      this.#isStreaming = true;
      this.#say(script.stream);
    }
  }

  #say(stage: Stage): void {
    for (const sent of Array.isArray(stage) ? stage : [stage]) this.#send(sent as Sent);
  }

  #send(sent: Sent): void {
    if (this.#isSilent || this.#socket.destroyed) return;
    if (typeof sent === 'string' || Buffer.isBuffer(sent)) {
      if (sent.length > 0) this.#socket.write(sent, 'latin1');
      return;
    }
    this.#isSilent = true;
    if (sent.act === 'end') this.#socket.end();
    // What was written before goes out first.
    else if (sent.act === 'reset') setImmediate(() => this.#socket.resetAndDestroy());
  }
}
