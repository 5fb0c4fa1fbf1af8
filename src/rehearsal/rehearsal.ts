/**
 * The commands that most clients send, run some thousand times behind the start, until a client
 * comes.
 *
 * V8 compiles a function for what it has seen. A server that has only seen PING is compiled for
 * PING, and its first INCR throws that code away, and so on with each new command; until it is done
 * a command takes several times its time. Here all of them come by turns, so that the first client
 * meets code that is compiled already.
 *
 *   node     listens, and is not touched
 *   stage    a node of its own, without a listener, with the same configuration; gone afterwards
 *   clients ──▶ a port that nobody else knows ──▶ stage           over sockets, then in place
 *
 * It goes on in slices of a few milliseconds, takes two to three seconds of a core, and the
 * directive `rehearsal` spares it. v8-flags.ts tells what V8 is told meanwhile. Main thread. bench:
 * types, start
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
 * Each command comes so often alone and so often in a pipeline: until V8 has compiled what they run
 * through.
 */
const ROUNDS = 300;
/** Who is slower than this goes without the rest. */
const TIME_MS_MAX = 3000;
/** So long a client may have to wait that comes in the middle, besides V8's own pauses. */
const SLICE_MS = 4;
const DEPTH = 16;
const DEPTH_OF_LONG = 3;
const CLIENTS = 3;
const FIRST_SOCKET_ROUNDS = 2;
const SOCKET_ROUNDS = 6;
const NEW_BUFFERS_EACH = 7;
/**
 * Each so many rounds all that is sent comes in two parts, as what is longer than the read buffer
 * does; where it is cut.
 */
const CUT_EACH = 8;
const CUT_AT = 0.55;
const DIGITS = 12;
/** Between the numbers of neighbours. */
const STEP = 7;
const VALUE = 'v'.repeat(32);

/** Words of all kinds, as who fills a collection sends them. */
const MANY = ['word', '#', VALUE, '17', '-1000x', 'other#', `${VALUE}${VALUE}${VALUE}`, '70000'];
/** As a loader sends them. */
const VERY_MANY = Array.from({ length: 120 }, (_, i) => `${MANY[i % MANY.length]}${i >> 3}`);
const SCORED = MANY.flatMap((word, i) => [i % 3 === 0 ? `${i}.5` : '#', word]);

const INLINE = 'PING\r\n';

/** Commands on members and fields, whether they are in a listpack or a table. */
const MEMBERS = [
  ['SADD', 'set', 'element:#'],
  ['HSET', 'hash', 'field:#', VALUE],
  ['HGET', 'hash', 'field:#'],
  ['SPOP', 'set'],
  ['ZADD', 'zset', '#', 'element:#'],
  ['ZPOPMIN', 'zset'],
];

/** Words of requests; each `#` becomes a number. */
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
  // From here on these are tables: one of the words is too long for a listpack.
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
 * Begins to rehearse for `node`, which listens. Ends by itself, or for good with the first client
 * of `node`; does nothing when one has come already.
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
  /** The node that rehearses; undefined before and afterwards. */
  stage: Node | undefined = undefined;
  /** Resolves when nothing is left of it. */
  over: Promise<void> = Promise.resolve();
  /** All rounds have come to their end. */
  complete = false;
  readonly #config: Config;
  #ended = false;

  constructor(config: Config) {
    this.#config = config;
  }

  begin(): void {
    this.over = this.#run();
  }

  /** Ends it within a slice. What V8 has compiled stays. */
  end(): void {
    this.#ended = true;
  }

  async #run(): Promise<void> {
    await nextTurn();
    if (this.#ended) return;
    // The same values, so that V8 knows their shape later; the hooks of the real node are not
    // called.
    const config = new Config(this.#config.values.dir, this.#config);
    const log = createLogger({ level: 'warning', format: 'json', sink: () => {} });
    let stage: Node;
    try {
      stage = new Node(config, log);
    } catch (error) {
      // The system refuses the memory of a second dataset: the node does without a rehearsal.
      if (codeOf(error) === undefined) throw error;
      return;
    }
    this.stage = stage;
    // What is slow now is V8's work.
    stage.dispatcher.onSlow = undefined;
    inlineAsRehearsed();
    try {
      await this.#rehearse(stage);
    } catch (error) {
      // The system refuses a socket, and will tell the node so. Without a code it is a fault.
      if (codeOf(error) === undefined) throw error;
    } finally {
      inlineAsLater();
      this.stage = undefined;
      await stage.stop();
    }
  }

  async #rehearse(stage: Node): Promise<void> {
    stage.housekeeping.tick();
    // The first clients have gone before code is compiled for the others: that clients go is news.
    await this.#withClients(stage, (pairs) => this.#overSockets(pairs, FIRST_SOCKET_ROUNDS));
    await this.#withClients(stage, async (pairs) => {
      await this.#overSockets(pairs, SOCKET_ROUNDS);
      await this.#inPlace(pairs);
      if (this.#ended) return;
      stage.server.flushAll();
      // The dataset of the rehearsal goes now, and not when clients wait. While there are clients:
      // V8 throws the code away that was compiled for objects of a shape of which there is none any
      // more.
      collectGarbage();
      this.complete = true;
    });
  }

  /** Gives `use` clients of the stage. They connect to a port that nobody else knows. */
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

  /** Sends all chunks by all clients, so that nothing on the way from and to a socket is news. */
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
   * Calls what a handle calls when it has read, with what the commands themselves need. It is
   * called by an emitter, and so from code that V8 does not compile together with it: there is none
   * in a node that runs. In slices, between which the loop turns and a client may come.
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
          // Nobody reads the replies. Now and then new buffers are made for them, as for many
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

/** Lets the loop see to sockets and timers. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A client of the stage, and the stage's side of it. */
interface Pair {
  readonly client: Socket;
  readonly connection: Connection;
}

/** Undefined when the stage turns it away. Rejects with an error of the system. */
async function pairOf(stage: Node, listener: NetServer, port: number): Promise<Pair | undefined> {
  const client = connect(port, '127.0.0.1');
  const accepted = new Promise<Socket | undefined>((resolve) => {
    listener.once('connection', resolve);
    // Without room for another open file it is cut off before anybody hears of it.
    client.once('close', () => resolve(undefined));
  });
  await once(client, 'connect');
  // Who is cut off has no more to say here; ask() sees the end.
  client.on('error', () => client.destroy());
  const socket = await accepted;
  // Somebody who has found the port is no client of this, nor is who is turned away.
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

/** Sends a chunk and waits for an answer, or for the end of a client that is cut off. */
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

/** What clients send at once. */
function chunks(): Buffer[] {
  return [
    ...COMMANDS.flatMap((words) => [
      requests(words, 1, 0),
      requests(words, words.length > MANY.length ? DEPTH_OF_LONG : DEPTH, 1),
    ]),
    Buffer.from(INLINE.repeat(DEPTH)),
  ];
}

/** `depth` requests of these words, with numbers from `seed` on. */
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
