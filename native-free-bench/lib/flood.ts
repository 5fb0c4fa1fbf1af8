/**
 * Floods: one client sends hundreds of thousands of requests at once, and then each replica must
 * hold the same as the primary. The script (../floods.ts) and the tests
 * (test/integration/floods.test.ts) share this.
 *
 *   pair    headwater ─▶ stock replica
 *   chain   stock primary ─▶ headwater ─▶ headwater ─▶ stock replica
 *
 * A relay also saves dumps all the while that it applies a flood. With HEADWATER_DEBUG=1 it sums
 * the pages of each image at its freeze and at its thaw, and ends when they differ.
 *
 * Such a client fills reads with more requests than may run in one event, so most of them wait in
 * buffers. A client that is blocked with requests behind it does the same. The stream must carry
 * exactly the requests that ran.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import net from 'node:net';
import { basename, dirname, join } from 'node:path';
import type { Prng } from '../../src/base/prng.ts';
import { MIB } from '../../src/base/units.ts';
import { Follower } from './follower.ts';
import { ReplySkimmer, RequestWriter } from './resp.ts';
import { until } from './scenario.ts';
import { Server, type Target } from './server.ts';

const COUNTERS = 5000;
const COLLECTIONS = 50;
const KEYS_PER_MSET = 100;
const TIMEOUT_MS = 120_000;
/** At most this many bytes wait behind a BLPOP: less than a read, a few reads, or many reads. */
const BEHIND_BYTES = [20_000, 50_000, 110_000, 1_000_000];

/** The way in which the requests reach the server. */
export const Way = {
  /** All in one write. */
  ONE_WRITE: 0,
  /** In writes of odd sizes. */
  CUT: 1,
  /** Some thousand requests behind a BLPOP. The others arrive while those run. */
  BEHIND_BLPOP: 2,
  /** Through `redis-cli --pipe`. */
  PIPE: 3,
} as const;
export type Way = (typeof Way)[keyof typeof Way];

export interface FloodKind {
  readonly name: string;
  readonly way: Way;
  /** Appends request `index`. */
  write(out: RequestWriter, index: number): void;
  /** Writes the initial data. Returns the number of its requests. */
  readonly before?: (out: RequestWriter, requests: number) => number;
}

export interface FloodResult {
  /** Empty when the replica holds the same as its primary. */
  readonly fault: string;
  /** From the first byte of the flood to the last reply. */
  readonly seconds: number;
}

function command(out: RequestWriter, ...words: readonly string[]): void {
  out.command(words.length);
  for (const word of words) out.text(word);
}

const incr = (out: RequestWriter, index: number): void =>
  command(out, 'INCR', `k${index % COUNTERS}`);
const set = (out: RequestWriter, index: number): void =>
  command(out, 'SET', `s${index}`, `v${index}`);

function transaction(out: RequestWriter, index: number): void {
  switch (index % 5) {
    case 0:
      command(out, 'MULTI');
      break;
    case 1:
      incr(out, index);
      break;
    case 2:
      set(out, index);
      break;
    case 3:
      command(out, 'GET', `k${index % COUNTERS}`);
      break;
    default:
      command(out, 'EXEC');
  }
}

function mixed(out: RequestWriter, index: number): void {
  switch (index % 4) {
    case 0:
      incr(out, index);
      break;
    case 1:
      set(out, index);
      break;
    case 2:
      out.line(`INCR k${index % COUNTERS}`);
      break;
    default:
      command(out, 'APPEND', `a${index % COUNTERS}`, 'x'.repeat(index % 300));
  }
}

/** Writes the keys that the DELs remove, and some that must stay. */
function keysToDelete(out: RequestWriter, requests: number): number {
  const commands = Math.ceil((requests * 1.1) / KEYS_PER_MSET);
  for (let at = 0; at < commands; at++) {
    const keys = Array.from({ length: KEYS_PER_MSET }, (_, i) => `s${at * KEYS_PER_MSET + i}`);
    command(out, 'MSET', ...keys.flatMap((key) => [key, 'v']));
  }
  return commands;
}

export const FLOODS: readonly FloodKind[] = [
  { name: 'incr', way: Way.ONE_WRITE, write: incr },
  { name: 'set', way: Way.ONE_WRITE, write: set },
  {
    name: 'lpush',
    way: Way.ONE_WRITE,
    write: (out, index) => command(out, 'LPUSH', `l${index % COLLECTIONS}`, `v${index}`),
  },
  {
    name: 'sadd',
    way: Way.ONE_WRITE,
    write: (out, index) => command(out, 'SADD', `t${index % COLLECTIONS}`, `m${index}`),
  },
  {
    name: 'del',
    way: Way.ONE_WRITE,
    write: (out, index) => command(out, 'DEL', `s${index}`),
    before: keysToDelete,
  },
  {
    name: 'append',
    way: Way.ONE_WRITE,
    write: (out, index) => command(out, 'APPEND', `a${index % COUNTERS}`, `${index},`),
  },
  {
    name: 'inline',
    way: Way.ONE_WRITE,
    write: (out, index) => out.line(`INCR k${index % COUNTERS}`),
  },
  { name: 'multi', way: Way.ONE_WRITE, write: transaction },
  { name: 'blpop', way: Way.BEHIND_BLPOP, write: incr },
  { name: 'pipe', way: Way.PIPE, write: incr },
  { name: 'cut', way: Way.CUT, write: mixed },
];

/**
 * Floods a server with INCRs in one write and resolves when all are answered. Any replicas may be
 * attached.
 */
export async function floodOf(port: number, requests: number): Promise<void> {
  const out = new RequestWriter(requests * 32);
  for (let index = 0; index < requests; index++) incr(out, index);
  const client = await FloodClient.connect(port);
  await client.send(out.written, requests);
  client.close();
}

/** Returns the path of redis-cli, beside `redis` or on PATH, or null. */
export function findRedisCli(redis: string): string | null {
  const name = basename(redis).includes('valkey') ? 'valkey-cli' : 'redis-cli';
  const directories = [dirname(redis), ...(process.env['PATH'] ?? '').split(':')];
  return (
    directories.map((directory) => join(directory, name)).find((path) => existsSync(path)) ?? null
  );
}

const DEBUG = ['--enable-debug-command', 'yes'];
/** Nothing is measured here, so no code needs to be compiled in advance. */
const OF_HEADWATER = ['--rehearsal', 'no'];
const RELAYS = 2;

/** A primary, and what is attached below it. */
export class Flooded {
  readonly primary: Server;
  /** From the top down. */
  readonly followers: readonly Follower[];
  readonly #redisCli: string | null;

  private constructor(primary: Server, followers: readonly Follower[], redisCli: string | null) {
    this.primary = primary;
    this.followers = followers;
    this.#redisCli = redisCli;
  }

  /** Starts `target` as a primary with one stock replica. */
  static async pair(target: Target, redis: string): Promise<Flooded> {
    const own = target.kind === 'headwater' ? OF_HEADWATER : [];
    const primary = await Server.start(target, [...DEBUG, ...own], true);
    return Flooded.#attach(primary, redis, async (followers) => {
      followers.push(await Follower.stock(primary, redis));
    });
  }

  /** Starts a stock primary, two relays of `target` below it, and a stock replica at the end. */
  static async chain(target: Target, redis: string): Promise<Flooded> {
    const stock: Target = { kind: 'redis', command: [redis], version: '' };
    // A relay that applies more slowly than the primary runs is not cut off for it.
    const noLimit = ['--client-output-buffer-limit', 'replica', '0', '0', '0'];
    const own = target.kind === 'headwater' ? OF_HEADWATER : [];
    const primary = await Server.start(stock, [...DEBUG, ...noLimit], true);
    return Flooded.#attach(primary, redis, async (followers) => {
      let above = primary;
      for (let i = 0; i < RELAYS; i++) {
        const relay = await Follower.start(target, [...own, ...noLimit], above, primary);
        followers.push(relay);
        above = relay.server;
      }
      followers.push(await Follower.stock(above, redis, primary));
    });
  }

  static async #attach(
    primary: Server,
    redis: string,
    attach: (followers: Follower[]) => Promise<void>,
  ): Promise<Flooded> {
    const followers: Follower[] = [];
    const flooded = new Flooded(primary, followers, findRedisCli(redis));
    try {
      await attach(followers);
      return flooded;
    } catch (error) {
      await flooded.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    for (const follower of [...this.followers].reverse()) await follower.stop();
    await this.primary.stop();
  }

  /** Returns whether this machine can run this kind. */
  can(kind: FloodKind): boolean {
    return kind.way !== Way.PIPE || this.#redisCli !== null;
  }

  /**
   * Sends one flood of `requests` requests to an empty dataset. Rejects when a reply is an error.
   */
  async flood(kind: FloodKind, requests: number, prng: Prng): Promise<FloodResult> {
    const { primary, followers } = this;
    await primary.control.must('FLUSHALL');
    if (kind.before !== undefined) {
      const before = new RequestWriter(MIB);
      const count = kind.before(before, requests);
      const client = await FloodClient.connect(primary.port);
      // Single requests would take long. These few at once are far from a flood.
      await client.send(before.written, count);
      client.close();
    }
    for (const follower of followers) {
      await follower.inSync();
      await follower.begin();
    }
    const out = new RequestWriter(requests * 64);
    for (let index = 0; index < requests; index++) kind.write(out, index);
    const saves = followers.slice(0, -1).map(({ server }) => new Saves(server));
    const startedMs = performance.now();
    await this.#send(kind.way, out.written, requests, prng);
    const seconds = (performance.now() - startedMs) / 1000;
    let fault = '';
    for (const [hop, follower] of followers.entries()) {
      const found = (await follower.fault()) || (await saves[hop]?.end()) || '';
      if (found !== '' && fault === '')
        fault = followers.length === 1 ? found : `hop ${hop + 1}: ${found}`;
    }
    return { fault, seconds };
  }

  async #send(way: Way, bytes: Buffer, requests: number, prng: Prng): Promise<void> {
    if (way === Way.PIPE) {
      await pipe(this.#redisCli!, this.primary.port, bytes, requests);
      return;
    }
    const client = await FloodClient.connect(this.primary.port);
    if (way === Way.ONE_WRITE) await client.send(bytes, requests);
    else if (way === Way.CUT) await client.sendCut(bytes, requests, prng);
    else await this.#behindBlpop(client, bytes, requests, prng);
    client.close();
  }

  /**
   * Blocks the client with some hundred to some ten thousand requests behind it, and then wakes it.
   * The other requests are already on their way, or follow when it is woken.
   */
  async #behindBlpop(
    client: FloodClient,
    bytes: Buffer,
    requests: number,
    prng: Prng,
  ): Promise<void> {
    const { control } = this.primary;
    const waiting = new RequestWriter(64);
    command(waiting, 'BLPOP', 'queue', '0');
    const behind = 1 + prng.below(BEHIND_BYTES[prng.below(BEHIND_BYTES.length)]!);
    const isOnItsWay = prng.below(4) === 0;
    const first = Buffer.concat([waiting.written, isOnItsWay ? bytes : bytes.subarray(0, behind)]);
    const received = async (): Promise<number> =>
      Number((await control.info('stats')).get('total_net_input_bytes'));
    const before = await received();
    const answered = client.send(first, requests + 1);
    await until(
      'a client that waits with its requests behind it',
      async () => {
        const waits = (await control.info('clients')).get('blocked_clients') === '1';
        return waits && (await received()) - before >= Math.min(behind, bytes.length);
      },
      TIMEOUT_MS,
      1,
    );
    const woken = control.must('RPUSH', 'queue', 'x');
    if (!isOnItsWay) client.sendMore(bytes.subarray(behind));
    await woken;
    await answered;
  }
}

/** BGSAVEs of a relay, one after another. */
class Saves {
  readonly #server: Server;
  readonly #loop: Promise<void>;
  #isEnding = false;
  #isFine = true;

  constructor(server: Server) {
    this.#server = server;
    this.#loop = this.#save();
    // A relay that has ended is found by whoever waits for it; this tells the reason.
    this.#loop.catch(() => {});
  }

  /** Waits for the end of the last one. Returns a fault, or an empty text. */
  async end(): Promise<string> {
    this.#isEnding = true;
    await this.#loop;
    return this.#isFine ? '' : 'a save of the relay failed';
  }

  async #save(): Promise<void> {
    const { control } = this.#server;
    do {
      await control.must('BGSAVE');
      let fields = await control.info('persistence');
      await until('the end of a save', async () => {
        fields = await control.info('persistence');
        return fields.get('rdb_bgsave_in_progress') === '0';
      });
      this.#isFine &&= fields.get('rdb_last_bgsave_status') === 'ok';
    } while (!this.#isEnding);
  }
}

/** A client that counts the replies to its requests. */
class FloodClient {
  readonly #socket: net.Socket;
  readonly #skimmer = new ReplySkimmer();
  #onAnswered: () => void = () => {};
  #onFailed: (error: Error) => void = () => {};

  private constructor(port: number) {
    const buffer = Buffer.allocUnsafe(MIB);
    this.#socket = net.connect({
      port,
      host: '127.0.0.1',
      onread: {
        buffer,
        callback: (bytes) => {
          this.#received(buffer, bytes);
          return true;
        },
      },
    });
    this.#socket.setNoDelay(true);
    this.#socket.on('error', (error) => this.#onFailed(error));
    this.#socket.on('end', () =>
      this.#onFailed(new Error('the server closed the connection of a flood')),
    );
  }

  static async connect(port: number): Promise<FloodClient> {
    const client = new FloodClient(port);
    await once(client.#socket, 'connect');
    return client;
  }

  /** Sends in one write and resolves after the last of `replies` replies. */
  send(bytes: Buffer, replies: number): Promise<void> {
    const answered = this.#expect(replies);
    this.#socket.write(bytes);
    return answered;
  }

  sendMore(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** Sends in pieces of 1 byte to 200 KiB. Each piece is a separate write. */
  async sendCut(bytes: Buffer, replies: number, prng: Prng): Promise<void> {
    const answered = this.#expect(replies);
    for (let at = 0; at < bytes.length; ) {
      const most = [20, 3000, 60_000, 200_000][prng.below(4)]!;
      const piece = bytes.subarray(at, at + 1 + prng.below(most));
      at += piece.length;
      await new Promise((resolve) => this.#socket.write(piece, resolve));
    }
    await answered;
  }

  close(): void {
    this.#socket.removeAllListeners('end');
    this.#socket.destroy();
  }

  #expect(replies: number): Promise<void> {
    this.#skimmer.expected = replies;
    return new Promise((resolve, reject) => {
      this.#onAnswered = resolve;
      this.#onFailed = reject;
    });
  }

  #received(buffer: Buffer, bytes: number): void {
    const skimmer = this.#skimmer;
    try {
      skimmer.push(buffer, bytes);
    } catch (error) {
      this.#onFailed(error as Error);
      return;
    }
    if (skimmer.errors > 0)
      this.#onFailed(new Error(`a flood was answered: ${skimmer.firstError}`));
    else if (skimmer.expected === 0) this.#onAnswered();
  }
}

/** Sends through `redis-cli --pipe`, which reports its numbers of replies and errors. */
async function pipe(
  redisCli: string,
  port: number,
  bytes: Buffer,
  requests: number,
): Promise<void> {
  const cli = spawn(redisCli, ['-p', String(port), '--pipe'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let said = '';
  cli.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  cli.stdin.end(bytes);
  const [code] = await once(cli, 'close');
  const wanted = `errors: 0, replies: ${requests}`;
  if (code !== 0 || !said.includes(wanted))
    throw new Error(`redis-cli --pipe ended with ${code}: ${said}`);
}
