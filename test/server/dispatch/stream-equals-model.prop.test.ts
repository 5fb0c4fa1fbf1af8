/**
 * Reader, dispatcher and log together: what is streamed of the requests of random clients, cut at
 * random places, is byte for byte what a plain model says, in the log and at a replica.
 *
 * The node runs in this process and its connections are those of real sockets. Only the reads are
 * made here: what the handle of a socket calls when it has read is called with the bytes of a
 * script, so that where they are cut, and which clients take turns, is the seed's choice. The order
 * in which requests ran is taken from the node, and nothing else: which request it was, and what it
 * must do to the stream, is the script's and the model's.
 *
 * Request 4097 of a read waits for the next turn in a buffer of the reader's own, as all do behind
 * a client that waits: a log that still pointed there when that buffer was moved streamed other
 * bytes than had been run.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { asOffset, KIB, MIB } from '../../../src/base/units.ts';
import type { Request } from '../../../src/resp/request.ts';
import type { Connection } from '../../../src/server/net/connection.ts';
import { deliveryTo } from '../../../src/server/net/listener.ts';
import { FakeReplica } from '../../support/fake-replica.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import { startRedis } from '../../support/real-redis.ts';
import {
  randomScript,
  type ScriptedRequest,
  type ScriptStyle,
  waitedForKey,
} from '../../support/request-scripts.ts';
import { testSeed } from '../../support/seed.ts';
import { multibulk, StreamModel } from '../../support/stream-model.ts';
import { waitFor } from '../../support/wait-for.ts';

/** A read event brings no more. */
const READ_BYTES_MAX = 128 * KIB;
const NO_PINGS = 'repl-ping-replica-period 3600';
/** Reads of a script, roughly: more take long and find no more. */
const READS_MAX = 1000;
/** Some seconds on a quiet machine. */
const TIMEOUT_MS = 240_000;
/** Bytes shown around the first difference. */
const SHOWN_BYTES = 120;

const stoppables: { stop(): Promise<void> }[] = [];

afterEach(async () => {
  for (const each of stoppables.splice(0)) await each.stop();
});

/** A client whose reads are made by the test. */
interface ScriptedClient {
  readonly id: number;
  readonly connection: Connection;
  readonly read: (bytes: Uint8Array) => void;
  readonly script: ScriptedRequest[];
  /** Bytes of the script that were read. */
  sent: number;
  /** All bytes of the script. */
  bytes: Buffer;
  /** Requests of the script that ran. */
  ran: number;
}

class Rig {
  readonly inProcess: NodeInProcess;
  readonly replica: FakeReplica;
  readonly clients: ScriptedClient[] = [];
  readonly model = new StreamModel();
  /** The first request that was not run as it was sent. */
  misread = '';
  readonly #byConnection = new Map<Connection, ScriptedClient>();
  readonly #firstOffset: number;
  readonly #sockets: Socket[] = [];

  private constructor(inProcess: NodeInProcess, replica: FakeReplica) {
    this.inProcess = inProcess;
    this.replica = replica;
    const { node } = inProcess;
    this.#firstOffset = node.server.streamLog.endOffset + 1;
    const run = node.run.bind(node);
    node.run = (connection, request, known, follows) => {
      this.#noteRun(connection, request);
      run(connection, request, known, follows);
    };
  }

  static async start(): Promise<Rig> {
    const inProcess = await startNode(NO_PINGS, 'repl-backlog-size 512mb');
    stoppables.push(inProcess);
    const replica = await FakeReplica.attach(inProcess.port);
    await replica.waitForDump();
    const rig = new Rig(inProcess, replica);
    stoppables.push({
      stop: async () => {
        for (const socket of rig.#sockets) socket.destroy();
        await replica.close();
      },
    });
    return rig;
  }

  /** A client that will send these requests, in this order. */
  async addClient(script: readonly ScriptedRequest[]): Promise<ScriptedClient> {
    const { node, port } = this.inProcess;
    const socket = connect(port, '127.0.0.1');
    this.#sockets.push(socket);
    await once(socket, 'connect');
    // Nobody looks at the replies.
    socket.resume();
    const connection = await waitFor(
      () => [...node.server.clients.values()].find((each) => each.remotePort === socket.localPort),
      { what: 'the connection of a client' },
    );
    const deliver = deliveryTo(connection.socket);
    const client: ScriptedClient = {
      id: this.clients.length,
      connection,
      read: (bytes) => {
        if (deliver === undefined) connection.received(bytes, bytes.length);
        else deliver(bytes);
      },
      script: [],
      sent: 0,
      bytes: Buffer.alloc(0),
      ran: 0,
    };
    this.clients.push(client);
    this.#byConnection.set(connection, client);
    this.extend(client, script);
    return client;
  }

  extend(client: ScriptedClient, more: readonly ScriptedRequest[]): void {
    const bytes = Buffer.from(more.map((request) => request.bytes).join(''), 'latin1');
    for (const request of more) client.script.push(request);
    client.bytes = Buffer.concat([client.bytes.subarray(client.sent), bytes]);
    client.sent = 0;
  }

  /** Has the node read the next bytes of a script. */
  deliver(client: ScriptedClient, count: number): void {
    const end = Math.min(client.bytes.length, client.sent + Math.min(count, READ_BYTES_MAX));
    const bytes = client.bytes.subarray(client.sent, end);
    client.sent = end;
    client.read(bytes);
  }

  left(client: ScriptedClient): number {
    return client.bytes.length - client.sent;
  }

  /** Waits until all that was read has run, but for what lies behind clients that wait. */
  async settled(): Promise<void> {
    await waitFor(
      () =>
        this.clients.every(
          ({ connection, script, ran }) => connection.blocked || ran === script.length,
        ),
      { what: 'all requests to run' },
    );
  }

  /** The log from where the test began. Older blocks of it are compressed. */
  async logBytes(): Promise<Buffer> {
    const { streamLog } = this.inProcess.node.server;
    const cursor = streamLog.openCursor(asOffset(this.#firstOffset));
    const parts: Buffer[] = [];
    for (;;) {
      const count = cursor.next(MIB);
      if (count === 0 && !cursor.isWaiting) break;
      if (count === 0) {
        await new Promise<void>((resolve) => {
          cursor.onReady = resolve;
        });
        continue;
      }
      parts.push(Buffer.from(cursor.bytes.subarray(cursor.start, cursor.end)));
      cursor.advance(count);
    }
    streamLog.closeCursor(cursor);
    return Buffer.concat(parts);
  }

  /** All has run; then log and replica have what the model says. */
  async expectModel(): Promise<void> {
    const { streamLog } = this.inProcess.node.server;
    streamLog.validate();
    const expected = this.model.stream;
    const log = await this.logBytes();
    expect(this.misread).toBe('');
    expect(differenceOf(log, expected), 'the log').toBe('');
    await waitFor(() => this.replica.streamBytes >= log.length, {
      what: 'the replica to have the stream',
    });
    expect(differenceOf(this.replica.stream, expected), 'the stream at the replica').toBe('');
  }

  /** The next request of the client's script runs: the model runs it too. */
  #noteRun(connection: Connection, request: Request): void {
    const client = this.#byConnection.get(connection);
    if (client === undefined) return;
    const scripted = client.script[client.ran++];
    if (this.misread === '' && (scripted === undefined || !isSame(request, scripted.words))) {
      const found = Array.from({ length: request.argc }, (_, i) => request.latin1(i).slice(0, 60));
      const wanted = scripted?.words.map((word) => word.slice(0, 60));
      this.misread =
        `client ${client.id} request ${client.ran - 1}: ` +
        `${JSON.stringify(found)} for ${JSON.stringify(wanted)}`;
    }
    if (scripted !== undefined) this.model.run(client.id, scripted.words);
  }
}

function isSame(request: Request, words: readonly string[]): boolean {
  if (request.argc !== words.length) return false;
  return words.every((word, i) => word.length === request.length[i] && request.latin1(i) === word);
}

/** Where two streams begin to differ and what is there, or nothing. */
function differenceOf(found: Buffer, expected: Buffer): string {
  if (found.equals(expected)) return '';
  const most = Math.min(found.length, expected.length);
  let at = 0;
  while (at < most && found[at] === expected[at]) at++;
  const around = (bytes: Buffer): string =>
    JSON.stringify(bytes.toString('latin1', Math.max(0, at - SHOWN_BYTES / 2), at + SHOWN_BYTES));
  return (
    `differs at byte ${at} of ${found.length} (${expected.length} expected)\n` +
    `found    ${around(found)}\nexpected ${around(expected)}`
  );
}

/**
 * A stream with SELECT before MULTI, where Redis 7.0 has it. Later versions have it behind, as
 * headwater.
 */
function selectsFirst(stream: Buffer): Buffer {
  const swapped = stream
    .toString('latin1')
    .replace(/(\*1\r\n\$5\r\nMULTI\r\n)(\*2\r\n\$6\r\nSELECT\r\n\$1\r\n\d\r\n)/g, '$2$1');
  return Buffer.from(swapped, 'latin1');
}

/**
 * How large the reads of a script are: of a few bytes, of a segment, of the whole buffer, or
 * anything.
 */
function readSizes(prng: Prng, scriptBytes: number): () => number {
  const wanted = [30, 1500, 20 * KIB, READ_BYTES_MAX][prng.below(4)]!;
  const isFixed = wanted === READ_BYTES_MAX && prng.below(2) === 0;
  const most = Math.min(READ_BYTES_MAX, Math.max(wanted, scriptBytes / READS_MAX));
  return () => (isFixed ? most : 1 + prng.below(most));
}

const turn = (): Promise<void> => new Promise(setImmediate);

/** Has all clients send all they have, by turns, and wakes who waits. */
async function play(prng: Prng, rig: Rig): Promise<void> {
  const waker = await rig.addClient([]);
  const sizes = rig.clients.map(({ bytes }) => readSizes(prng, bytes.length));
  for (;;) {
    const unsent = rig.clients.filter((client) => rig.left(client) > 0);
    if (unsent.length === 0) {
      await rig.settled();
      if (rig.clients.every(({ connection }) => !connection.blocked)) return;
      wakeAll(prng, rig, waker);
      continue;
    }
    const client = unsent[prng.below(unsent.length)]!;
    // Several reads of one socket may follow each other within a turn.
    for (let reads = 1 + prng.below(4); reads > 0 && rig.left(client) > 0; reads--)
      rig.deliver(client, sizes[client.id]!());
    if (prng.below(3) > 0) await turn();
    if (prng.below(12) === 0 && !waker.connection.blocked) wakeAll(prng, rig, waker);
  }
}

/** Pushes something to some lists that clients wait for, in some database. */
function wakeAll(prng: Prng, rig: Rig, waker: ScriptedClient): void {
  const plain = (...words: string[]): ScriptedRequest => ({ words, bytes: multibulk(words) });
  for (let i = 0; i < 3; i++) {
    rig.extend(waker, [
      plain('SELECT', String(i)),
      plain('RPUSH', waitedForKey(prng.below(3)), 'a', 'b'),
      plain('RPUSH', waitedForKey(prng.below(3)), `${prng.below(1000)}`),
    ]);
  }
}

const SMALL: ScriptStyle = {
  bytes: 8 * MIB,
  requestsMax: 100_000,
  valueBytesMax: 30,
  oddSpellings: 0,
  blocking: 0,
  special: 0,
  repeated: 0,
};
const MIXED: ScriptStyle = {
  bytes: 1.5 * MIB,
  requestsMax: 30_000,
  valueBytesMax: 20 * KIB,
  oddSpellings: 30,
  blocking: 1,
  special: 40,
  repeated: 10,
};

const KINDS: readonly (readonly [string, number, number, ScriptStyle])[] = [
  ['one client that pipelines 100,000 short requests', 1, 1, SMALL],
  [
    'three clients that pipeline short requests at once',
    1,
    3,
    { ...SMALL, bytes: MIB, repeated: 1 },
  ],
  ['requests that repeat each other', 2, 2, { ...SMALL, bytes: MIB, repeated: 100 }],
  ['short requests behind clients that wait', 2, 3, { ...SMALL, bytes: MIB, blocking: 1 }],
  ['requests of all kinds', 4, 4, MIXED],
  ['requests of up to 300 KiB', 2, 2, { ...MIXED, bytes: 6 * MIB, valueBytesMax: 300 * KIB }],
];

describe('the stream is what the model says', () => {
  test.each(KINDS)('%s', { timeout: TIMEOUT_MS }, async (name, rounds, clients, style) => {
    const seed = testSeed(name);
    for (let round = 0; round < rounds; round++) {
      const prng = new Prng((seed + round * 0x9e3779b9) >>> 0);
      const rig = await Rig.start();
      for (let i = 0; i < clients; i++) await rig.addClient(randomScript(prng, style));
      await play(prng, rig);
      await rig.expectModel();
      for (const each of stoppables.splice(0).reverse()) await each.stop();
    }
  });

  test.each([1000, 6000, 30_000])(
    '%i INCRs behind one that waits, and more that arrive while they run',
    async (behind) => {
      const rig = await Rig.start();
      const plain = (...words: string[]): ScriptedRequest => ({ words, bytes: multibulk(words) });
      const incr = (_: unknown, i: number): ScriptedRequest => plain('INCR', `k${i % 5000}`);
      const client = await rig.addClient([
        plain('BLPOP', 'wait:0', '0'),
        ...Array.from({ length: behind }, incr),
      ]);
      const waker = await rig.addClient([plain('RPUSH', 'wait:0', 'x')]);
      while (rig.left(client) > 0) rig.deliver(client, READ_BYTES_MAX);
      expect(client.connection.blocked).toBe(true);
      expect(client.ran).toBe(1);
      rig.deliver(waker, READ_BYTES_MAX);
      rig.extend(client, Array.from({ length: 20_000 }, incr));
      while (rig.left(client) > 0) {
        await turn();
        rig.deliver(client, READ_BYTES_MAX);
      }
      await waitFor(() => client.ran === client.script.length, { what: 'all requests to run' });
      await rig.expectModel();
    },
  );
});

describe('the model', () => {
  test('says what a stock primary streams', async () => {
    const prng = new Prng(testSeed('the model beside a stock primary'));
    const redis = await startRedis({ args: ['--repl-ping-replica-period', '3600'] });
    stoppables.push(redis);
    const replica = await FakeReplica.attach(redis.port);
    await replica.waitForDump();
    const script = randomScript(prng, { ...MIXED, bytes: MIB, blocking: 0 });
    const model = new StreamModel();
    for (const { words } of script) model.run(0, words);
    const socket = connect(redis.port, '127.0.0.1');
    socket.resume();
    socket.end(Buffer.from(script.map(({ bytes }) => bytes).join(''), 'latin1'));
    await once(socket, 'close');
    const expected = model.stream;
    await waitFor(() => replica.streamBytes >= expected.length, {
      what: 'the stream of a stock primary',
    });
    expect(differenceOf(selectsFirst(replica.stream), selectsFirst(expected))).toBe('');
    await replica.close();
  });
});
