/**
 * The commands that most clients send, run some thousand times before a node takes any, on a dataset that is dropped then.
 *
 * V8 compiles a function for what it has seen. A server that has only seen PING is compiled for PING, and its first INCR
 * throws that code away, and so on with each new command; until it is done a command takes several times its time. Here all
 * of them come by turns, so that the first client meets code that is compiled already. Costs two to three seconds at the start,
 * and the directive `rehearsal` spares it. Main thread. bench: types
 */
import { EventEmitter, once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Node } from '../node.ts';
import { GrowableBytes } from '../resp/growable-bytes.ts';
import { encodeCommand } from '../resp/stream.ts';
import { setAuthenticated } from '../server/admin/auth/handshake.ts';
import type { Connection } from '../server/net/connection.ts';
import { putRead, readCallbackOf } from '../server/net/listener.ts';
import { collectGarbage, inlineAsLater, inlineAsRehearsed } from './v8-flags.ts';

/** Each command comes so often alone and so often in a pipeline: until V8 has compiled what they run through. */
const ROUNDS = 300;
/** Who is slower than this starts without the rest. */
const TIME_MS_MAX = 3000;
const DEPTH = 16;
const DEPTH_OF_LONG = 3;
const CLIENTS = 3;
const FIRST_SOCKET_ROUNDS = 2;
const SOCKET_ROUNDS = 6;
const NEW_BUFFERS_EACH = 7;
/** Each so many rounds all that is sent comes in two parts, as what is longer than the read buffer does; where it is cut. */
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
 * To be called before the node starts, and before it hears signals: what is in its dataset meanwhile must not be saved.
 * Dataset and counts are empty afterwards, as before.
 */
export async function rehearse(node: Node): Promise<void> {
  const { server, dispatcher } = node;
  const { onSlow } = dispatcher;
  // What is slow now is V8's work.
  dispatcher.onSlow = undefined;
  inlineAsRehearsed();
  server.flushAll();
  // What ticks leave behind is no news then, either. Nothing has changed yet, so that no save is due.
  node.housekeeping.tick();
  // The first clients have gone before code is compiled for the others: that clients go is news, too.
  await withClients(node, (pairs) => overSockets(pairs, FIRST_SOCKET_ROUNDS));
  await withClients(node, async (pairs) => {
    await overSockets(pairs, SOCKET_ROUNDS);
    inPlace(pairs);
    server.flushAll();
    // The dataset of the rehearsal goes now, and not when clients wait. While there are clients: V8 throws the code away
    // that was compiled for objects of a shape of which there is none any more.
    collectGarbage();
  });
  server.dirty = 0;
  dispatcher.resetStats();
  dispatcher.onSlow = onSlow;
  inlineAsLater();
}

/** A client of the node, and the node's side of it. */
interface Pair {
  readonly client: Socket;
  readonly connection: Connection;
}

/** Gives `use` clients of the node. They connect to a port that nobody else knows. */
async function withClients(node: Node, use: (pairs: readonly Pair[]) => Promise<void>): Promise<void> {
  const listener = createServer({ pauseOnConnect: true, noDelay: true });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const pairs: Pair[] = [];
  for (let i = 0; i < CLIENTS; i++) {
    const client = connect(port, '127.0.0.1');
    // Who is cut off has no more to say here; ask() sees the end.
    client.on('error', () => client.destroy());
    const [[accepted]] = (await Promise.all([once(listener, 'connection'), once(client, 'connect')])) as [
      [Socket],
      unknown,
    ];
    // Somebody who has found the port is no client of this, nor is who is turned away.
    const isOurs = accepted.remotePort === client.localPort;
    const connection = isOurs ? node.accept(accepted) : undefined;
    if (connection === undefined) {
      client.destroy();
      accepted.destroy();
      continue;
    }
    setAuthenticated(connection, true);
    pairs.push({ client, connection });
  }
  listener.close();
  await use(pairs);
  await Promise.all(
    pairs.map(({ client, connection }) => {
      client.destroy();
      return connection.closed ? undefined : once(connection.socket, 'close');
    }),
  );
}

/** Sends all chunks by all clients, so that nothing on the way from and to a socket is news. */
async function overSockets(pairs: readonly Pair[], rounds: number): Promise<void> {
  const all = chunks();
  for (let round = 0; round < rounds; round++) {
    for (const bytes of all) await Promise.all(pairs.map(({ client }) => ask(client, bytes)));
  }
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

/**
 * Calls what a handle calls when it has read, with what the commands themselves need. It is called by an emitter, and so
 * from code that V8 does not compile together with it: there is none in a node that runs.
 */
function inPlace(pairs: readonly Pair[]): void {
  const until = performance.now() + TIME_MS_MAX;
  const whole = chunks();
  const cut = whole.flatMap((bytes) => [
    bytes.subarray(0, bytes.length * CUT_AT),
    bytes.subarray(bytes.length * CUT_AT),
  ]);
  const readers = pairs.flatMap(({ connection }) => {
    const callback = readCallbackOf(connection.socket);
    return callback === undefined ? [] : [{ connection, reads: new EventEmitter().on('read', callback) }];
  });
  for (let round = 0; round < ROUNDS && performance.now() < until; round++) {
    const all = round % CUT_EACH === 0 ? cut : whole;
    for (const { connection, reads } of readers) {
      for (const bytes of all) {
        putRead(bytes);
        reads.emit('read');
        // Nobody reads the replies. Now and then new buffers are made for them, as for many clients at once.
        if (round % NEW_BUFFERS_EACH === 0) connection.reply.take();
        else connection.reply.discard();
      }
    }
  }
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
