/**
 * Runs the most common commands some thousand times after the start, until the first client
 * connects.
 *
 * V8 compiles a function for the kinds of values that it has met. A server that has run only PING
 * has code for PING. Its first INCR makes V8 discard that code, and so does each further new
 * command. Until V8 has compiled the code again, a command takes several times its usual time. The
 * rehearsal runs all these commands in turn, so that the first client meets compiled code.
 *
 *   node     listens, and is not touched
 *   stage    a second node without a listener, with the same configuration; stopped afterwards
 *   clients ──▶ a private port ──▶ stage           over sockets, then in place
 *
 * It runs in slices of a few milliseconds and takes two to three seconds of one core. The directive
 * `rehearsal` turns it off. v8-flags.ts sets V8's flags for this time. Main thread. bench: types,
 * start
 */
import { EventEmitter, once } from 'node:events';
import {
  type AddressInfo,
  connect,
  createServer,
  type Server as NetServer,
  type Socket,
} from 'node:net';
import { performance } from 'node:perf_hooks';
import { codeOf } from '../base/errors.ts';
import { createLogger } from '../base/log.ts';
import { Node } from '../node.ts';
import { GrowableBytes } from '../resp/growable-bytes.ts';
import { encodeCommand } from '../resp/stream.ts';
import { setAuthenticated } from '../server/admin/auth/handshake.ts';
import { Config } from '../server/config/config.ts';
import type { Connection } from '../server/net/connection.ts';
import { deliveryTo } from '../server/net/listener.ts';
import { collectGarbage, inlineAsLater, inlineAsRehearsed } from './v8-flags.ts';

/**
 * Each command is run this often alone and this often in a pipeline. After so many rounds V8 has
 * compiled the code of the commands.
 */
const ROUNDS = 300;
/** On a slow machine the rehearsal ends after this time, even if rounds are left. */
const TIME_MS_MAX = 3000;
/**
 * A client that connects during the rehearsal waits at most this long, in addition to V8's own
 * pauses.
 */
const SLICE_MS = 4;
const DEPTH = 16;
const DEPTH_OF_LONG = 3;
const CLIENTS = 3;
const FIRST_SOCKET_ROUNDS = 2;
const SOCKET_ROUNDS = 6;
const NEW_BUFFERS_EACH = 7;
/**
 * In every CUT_EACH-th round each chunk comes in two parts, like a chunk that is longer than the
 * read buffer. CUT_AT is the place of the cut, as a share of the chunk.
 */
const CUT_EACH = 8;
const CUT_AT = 0.55;
const DIGITS = 12;
/** Difference between consecutive numbers. */
const STEP = 7;
const VALUE = 'v'.repeat(32);

/** Words of all kinds, as in a command that fills a collection. */
const MANY = ['word', '#', VALUE, '17', '-1000x', 'other#', `${VALUE}${VALUE}${VALUE}`, '70000'];
/** As many words as a loader sends in one command. */
const VERY_MANY = Array.from({ length: 120 }, (_, i) => `${MANY[i % MANY.length]}${i >> 3}`);
const SCORED = MANY.flatMap((word, i) => [i % 3 === 0 ? `${i}.5` : '#', word]);

const INLINE = 'PING\r\n';

/** Commands on members and fields. They run twice: on listpacks and on tables. */
const MEMBERS = [
  ['SADD', 'set', 'element:#'],
  ['HSET', 'hash', 'field:#', VALUE],
  ['HGET', 'hash', 'field:#'],
  ['SPOP', 'set'],
  ['ZADD', 'zset', '#', 'element:#'],
  ['ZPOPMIN', 'zset'],
];

/** The words of requests. Each `#` is replaced by a number. */
const COMMANDS: readonly (readonly string[])[] = [
  ['PING'],
  ['SET', 'key:#', VALUE],
  ['GET', 'key:#'],
  ['INCR', 'counter:#'],
  ['INCR', 'counter'],
  ['SET', 'key:#', '#'],
  ['SET', 'key:#', '12 and more'],
  ['LPUSH', 'list', VALUE],
  ['RPUSH', 'list', VALUE],
  ['LPOP', 'list'],
  ['RPOP', 'list'],
  ['LPUSH', 'queue', VALUE],
  ['RPUSH', 'queue', VALUE],
  ['LPOP', 'queue'],
  ['RPOP', 'queue'],
  ['RPUSH', 'queue', VALUE],
  ...MEMBERS,
  ['LRANGE', 'queue', '0', '9'],
  ['MSET', 'key:#', VALUE, 'key:#', VALUE],
  ['XADD', 'stream', '*', 'field', VALUE],
  ['DEL', 'log'],
  ['XADD', 'log', '1#-1', 'field', VALUE],
  ['RPUSH', 'queue', ...MANY],
  ['RPUSH', 'long', ...VERY_MANY],
  ['DEL', 'long'],
  // From here on these collections are tables, because one of the words is too long for a listpack.
  ['SADD', 'set', ...MANY],
  ['HSET', 'hash', ...VERY_MANY],
  ['ZADD', 'zset', ...SCORED],
  ...MEMBERS,
  ['HSET', 'small:#', 'field', VALUE],
  ['SADD', 'numbers:#', '1'],
  ['RPUSH', 'short:#', VALUE],
  ['LPUSH', 'short:#', VALUE],
  ['LPOP', 'short:#'],
  ['RPOP', 'short:#'],
  ['SET', 'key:#', VALUE, 'EX', '100'],
  ['EXPIRE', 'key:#', '100'],
  ['EXISTS', 'key:#'],
  ['DEL', 'key:#'],
  ['NOSUCHCOMMAND'],
  ['CONFIG', 'GET', 'save'],
  ['DEL', 'list'],
  ['DEL', 'set', 'hash', 'zset'],
  ['LPOP', 'none'],
  ['SPOP', 'none'],
  ['ZPOPMIN', 'none'],
  ['GET', 'none'],
  ['GET', 'list'],
];

/**
 * Begins a rehearsal for `node`, which must be listening. It ends by itself, or when the first
 * client of `node` connects. Does nothing when a client has already connected.
 */
export function rehearse(node: Node): Rehearsal {
  const rehearsal = new Rehearsal(node.server.config);
  if (node.server.stats.connectionsReceived > 0) rehearsal.end();
  node.onSocket = () => {
    node.onSocket = undefined;
    rehearsal.end();
  };
  rehearsal.begin();
  return rehearsal;
}

export class Rehearsal {
  /** The node that runs the commands; undefined before and after the rehearsal. */
  stage: Node | undefined = undefined;
  /** Resolves when the rehearsal has ended and its node is stopped. */
  over: Promise<void> = Promise.resolve();
  /** Whether all rounds were run. */
  complete = false;
  readonly #config: Config;
  #ended = false;

  constructor(config: Config) {
    this.#config = config;
  }

  begin(): void {
    this.over = this.#run();
  }

  /** Ends the rehearsal within a slice. Compiled code stays. */
  end(): void {
    this.#ended = true;
  }

  async #run(): Promise<void> {
    await nextTurn();
    if (this.#ended) return;
    // The values are those of the real node, so that V8 meets objects of the same shape. The hooks
    // of the real node are not called.
    const config = new Config(this.#config.values.dir, this.#config);
    const log = createLogger({ level: 'warning', format: 'json', sink: () => {} });
    let stage: Node;
    try {
      stage = new Node(config, log);
    } catch (error) {
      // The system refuses the memory of a second dataset, so there is no rehearsal.
      if (codeOf(error) === undefined) throw error;
      return;
    }
    this.stage = stage;
    // Slow commands are not logged here: their time is V8's work.
    stage.dispatcher.onSlow = undefined;
    inlineAsRehearsed();
    try {
      await this.#rehearse(stage);
    } catch (error) {
      // The system refuses a socket. The node will meet and report the same error. An error without
      // a code is a fault of the program.
      if (codeOf(error) === undefined) throw error;
    } finally {
      inlineAsLater();
      this.stage = undefined;
      await stage.stop();
    }
  }

  async #rehearse(stage: Node): Promise<void> {
    stage.housekeeping.tick();
    // The first clients disconnect before code is compiled for the others, so that V8 has already
    // met the end of a connection.
    await this.#withClients(stage, (pairs) => this.#overSockets(pairs, FIRST_SOCKET_ROUNDS));
    await this.#withClients(stage, async (pairs) => {
      await this.#overSockets(pairs, SOCKET_ROUNDS);
      await this.#inPlace(pairs);
      if (this.#ended) return;
      stage.server.flushAll();
      // The garbage of the rehearsal is collected now, before clients wait for it. It is done while
      // the rehearsal's clients still exist: when the last object of a shape dies, V8 discards the
      // code that was compiled for this shape.
      collectGarbage();
      this.complete = true;
    });
  }

  /** Calls `use` with clients of the stage. They connect through a private port. */
  async #withClients(stage: Node, use: (pairs: readonly Pair[]) => Promise<void>): Promise<void> {
    if (this.#ended) return;
    const listener = createServer({ pauseOnConnect: true, noDelay: true });
    const pairs: Pair[] = [];
    try {
      listener.listen(0, '127.0.0.1');
      await once(listener, 'listening');
      const { port } = listener.address() as AddressInfo;
      for (let i = 0; i < CLIENTS && !this.#ended; i++) {
        const pair = await pairOf(stage, listener, port);
        if (pair !== undefined) pairs.push(pair);
      }
      listener.close();
      await use(pairs);
    } finally {
      listener.close();
      await Promise.all(pairs.map(closePair));
    }
  }

  /** Sends all chunks from all clients, so that V8 meets the whole way from socket to socket. */
  async #overSockets(pairs: readonly Pair[], rounds: number): Promise<void> {
    const all = chunks();
    for (let round = 0; round < rounds; round++) {
      for (const bytes of all) {
        if (this.#ended) return;
        await Promise.all(pairs.map(({ client }) => ask(client, bytes)));
      }
    }
  }

  /**
   * Calls the function that a socket's handle calls after a read, with the bytes of the commands.
   * An emitter calls it, so that V8 does not inline it into this loop: a running node has no such
   * caller. Runs in slices. Between two slices the event loop turns, and a client may connect.
   */
  async #inPlace(pairs: readonly Pair[]): Promise<void> {
    const whole = chunks();
    const cut = whole.flatMap((bytes) => [
      bytes.subarray(0, bytes.length * CUT_AT),
      bytes.subarray(bytes.length * CUT_AT),
    ]);
    const readers = pairs.flatMap(({ connection }) => {
      const deliver = deliveryTo(connection.socket);
      if (deliver === undefined) return [];
      return [{ connection, reads: new EventEmitter().on('read', deliver) }];
    });
    let spentMs = 0;
    let sliceStart = performance.now();
    for (let round = 0; round < ROUNDS; round++) {
      const all = round % CUT_EACH === 0 ? cut : whole;
      for (const { connection, reads } of readers) {
        for (const bytes of all) {
          reads.emit('read', bytes);
          // Nobody reads the replies. In some rounds new buffers are made for them, as for many
          // clients.
          if (round % NEW_BUFFERS_EACH === 0) connection.reply.take();
          else connection.reply.discard();
          const sliceMs = performance.now() - sliceStart;
          if (sliceMs < SLICE_MS) continue;
          spentMs += sliceMs;
          await nextTurn();
          if (this.#ended || spentMs > TIME_MS_MAX) return;
          sliceStart = performance.now();
        }
      }
    }
  }
}

/** Lets the event loop handle sockets and timers. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A client of the stage, and its connection in the stage. */
interface Pair {
  readonly client: Socket;
  readonly connection: Connection;
}

/**
 * Connects a client. Returns undefined when the stage refuses it. Rejects with an error of the
 * system.
 */
async function pairOf(stage: Node, listener: NetServer, port: number): Promise<Pair | undefined> {
  const client = connect(port, '127.0.0.1');
  const accepted = new Promise<Socket | undefined>((resolve) => {
    listener.once('connection', resolve);
    // When there is no descriptor for another socket, the client is closed and never accepted.
    client.once('close', () => resolve(undefined));
  });
  await once(client, 'connect');
  // The error needs no report: ask() notices that the client is closed.
  client.on('error', () => client.destroy());
  const socket = await accepted;
  // Another process that found the port is not our client. A client may also have been refused.
  const isOurs = socket !== undefined && socket.remotePort === client.localPort;
  const connection = isOurs ? stage.accept(socket) : undefined;
  if (connection === undefined) {
    client.destroy();
    socket?.destroy();
    return undefined;
  }
  setAuthenticated(connection, true);
  return { client, connection };
}

async function closePair({ client, connection }: Pair): Promise<void> {
  client.destroy();
  if (!connection.closed) await once(connection.socket, 'close');
}

/** Sends a chunk and waits for a reply, or for the close of the client. */
function ask(client: Socket, bytes: Uint8Array): Promise<void> {
  if (client.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      client.off('data', done);
      client.off('close', done);
      resolve();
    };
    client.on('data', done);
    client.on('close', done);
    client.write(bytes);
  });
}

/** The chunks of bytes that clients send at once. */
function chunks(): Buffer[] {
  return [
    ...COMMANDS.flatMap((words) => [
      requests(words, 1, 0),
      requests(words, words.length > MANY.length ? DEPTH_OF_LONG : DEPTH, 1),
    ]),
    Buffer.from(INLINE.repeat(DEPTH)),
  ];
}

/** Returns `depth` requests with these words, with numbers from `seed` on. */
function requests(words: readonly string[], depth: number, seed: number): Buffer {
  const bytes = new GrowableBytes();
  let number = seed;
  const next = (): string => {
    number += STEP;
    return String(number).padStart(DIGITS, '0');
  };
  for (let i = 0; i < depth; i++)
    encodeCommand(
      bytes,
      words.map((word) => word.replaceAll('#', next)),
    );
  return Buffer.from(bytes.bytes.subarray(0, bytes.size));
}
