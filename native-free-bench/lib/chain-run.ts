/**
 * Random commands at the head of replicas whose links misbehave. The script (../chains.ts) and a
 * test (test/integration/chains.test.ts) share this.
 *
 *   chain   stock primary ─╳─▶ headwater ─╳─▶ headwater ─╳─▶ stock replica
 *   wide    stock primary ─╳─▶ headwater ─╳─▶ stock replica 1
 *                                        ─╳─▶ …
 *                                        ─╳─▶ stock replica N         ╳ a link that misbehaves
 *
 * A round is some seconds of writes and misbehaviour. At its end every link is mended, and when all
 * have caught up, each node must hold what the head holds, under the same id and at the same offset.
 * The logs are larger than what is written while a link is down, so nobody may need a second full
 * sync.
 */
import { once } from 'node:events';
import net from 'node:net';
import type { Prng } from '../../src/base/prng.ts';
import { MIB } from '../../src/base/units.ts';
import { isCaughtUp } from './chain.ts';
import { digestOf } from './follower.ts';
import { RandomCommands } from './random-commands.ts';
import type { Argument } from './random-words.ts';
import { ReplySkimmer } from './resp.ts';
import { pause, until } from './scenario.ts';
import { Server, type Target } from './server.ts';
import { UnsteadyLink } from './unsteady-link.ts';

export interface ChainPlan {
  readonly target: Target;
  /** Path of the redis-server at the head and at the tail. */
  readonly redis: string;
  /** Stock replicas below one relay, or 0 for the chain. */
  readonly wide: number;
  /** `repl-backlog-size` of every node. */
  readonly backlogBytes: number;
}

export interface ChainRound {
  readonly commands: number;
  readonly bytes: number;
  readonly misbehaviours: number;
  /** Partial and full syncs that were served since the start, by all nodes together. */
  readonly partial: number;
  readonly full: number;
  /** From the end of the writes until all had caught up. */
  readonly catchUpMs: number;
  /** Empty when all hold the same. */
  readonly faults: readonly string[];
}

interface Node {
  readonly name: string;
  readonly server: Server;
  readonly link: UnsteadyLink;
}

/**
 * Commands that are not made. With both of them two stock servers came to differ in the bytes of a
 * HyperLogLog, after 471,790 random commands.
 */
const WITHOUT = new Set(['PFCOUNT', 'PFMERGE']);
/** The databases that random commands use. */
const DATABASES = 3;
const KEYS_TOLD = 5;
const DIGEST_TRIES = 10;
const DIGEST_PAUSE_MS = 200;
const BATCH = 200;
const BATCH_PAUSE_MS = 5;
/** A batch in so many also has a value of up to so many bytes. */
const LARGE_ONE_IN = 100;
const LARGE_BYTES_MAX = 2 * MIB;
const MISBEHAVE_EVERY_MS = 400;
const CUT_MS_MAX = 1500;
const SHORT_STALL_MS_MAX = 1000;
/** Longer than `repl-timeout` at times, so that both sides give the link up. */
const LONG_STALL_MS_MAX = 7000;
const LONG_STALL_ONE_IN = 6;
const THROTTLE_MS_MAX = 3000;
const RATE_MIN = 20_000;
const RATE_MAX = 2 * MIB;
const CATCH_UP_TIMEOUT_MS = 120_000;
const WAIT_MS = 10;

const OPTIONS = [
  ['--enable-debug-command', 'yes'],
  ['--repl-timeout', '5'],
  ['--repl-ping-replica-period', '1'],
  ['--client-output-buffer-limit', 'replica', '0', '0', '0'],
].flat();

export class ChainRun {
  readonly head: Server;
  readonly nodes: readonly Node[];
  readonly #prng: Prng;
  readonly #commands: RandomCommands;
  readonly #hasHistory: boolean;

  private constructor(head: Server, nodes: readonly Node[], prng: Prng, hasHistory: boolean) {
    this.head = head;
    this.nodes = nodes;
    this.#prng = prng;
    this.#commands = new RandomCommands(prng, { without: WITHOUT });
    this.#hasHistory = hasHistory;
  }

  /** Starts all nodes and resolves once they are in sync. */
  static async start(plan: ChainPlan, prng: Prng): Promise<ChainRun> {
    const stock: Target = { kind: 'redis', command: [plan.redis], version: '' };
    const options = [...OPTIONS, '--repl-backlog-size', String(plan.backlogBytes)];
    const head = await Server.start(stock, options, true);
    const nodes: Node[] = [];
    const run = new ChainRun(head, nodes, prng, plan.backlogBytes >= 64 * MIB);
    const attach = async (name: string, target: Target, above: Server): Promise<Server> => {
      const link = await UnsteadyLink.to(above.port);
      const own = target.kind === 'headwater' ? ['--rehearsal', 'no'] : [];
      const follow = ['--replicaof', '127.0.0.1', String(link.port)];
      const server = await Server.start(target, [...options, ...own, ...follow], true);
      nodes.push({ name, server, link });
      return server;
    };
    try {
      const relay = await attach('relay 1', plan.target, head);
      if (plan.wide === 0) {
        const second = await attach('relay 2', plan.target, relay);
        await attach('tail', stock, second);
      } else {
        for (let i = 1; i <= plan.wide; i++) await attach(`replica ${i}`, stock, relay);
      }
      await run.#caughtUp();
      return run;
    } catch (error) {
      await run.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    for (const { server, link } of [...this.nodes].reverse()) {
      await server.stop();
      await link.close();
    }
    await this.head.stop();
  }

  /** One round of `durationMs`. */
  async round(durationMs: number): Promise<ChainRound> {
    const endMs = performance.now() + durationMs;
    await this.#configure();
    const [written, misbehaviours] = await Promise.all([
      this.#write(endMs),
      this.#misbehave(endMs),
    ]);
    for (const { link } of this.nodes) link.mend();
    const stoppedMs = performance.now();
    let faults: string[];
    try {
      await this.#caughtUp();
      faults = await this.#faults();
    } catch (error) {
      faults = [await this.#stateAfter(error as Error)];
    }
    const catchUpMs = performance.now() - stoppedMs;
    const { partial, full } = await this.#syncs();
    return { ...written, misbehaviours, partial, full, catchUpMs, faults };
  }

  /** Thresholds of encodings show in digests, so all nodes get the same. */
  async #configure(): Promise<void> {
    const words = this.#commands.configuration().map(String);
    for (const server of this.#servers) await server.control.must(...words);
  }

  get #servers(): Server[] {
    return [this.head, ...this.nodes.map(({ server }) => server)];
  }

  async #write(endMs: number): Promise<{ commands: number; bytes: number }> {
    const client = await RawClient.connect(this.head.port);
    let commands = 0;
    let bytes = 0;
    while (performance.now() < endMs) {
      const batch: Argument[][] = this.#commands.batch(BATCH);
      if (this.#prng.below(LARGE_ONE_IN) === 0) batch.push(this.#largeValue());
      bytes += await client.run(batch);
      commands += batch.length;
      await pause(BATCH_PAUSE_MS);
    }
    client.close();
    return { commands, bytes };
  }

  #largeValue(): Argument[] {
    const length = this.#prng.below(LARGE_BYTES_MAX);
    return [
      'SET',
      `large${this.#prng.below(3)}`,
      String.fromCharCode(97 + this.#prng.below(26)).repeat(length),
    ];
  }

  async #misbehave(endMs: number): Promise<number> {
    let count = 0;
    const mending = new Map<UnsteadyLink, Promise<void>>();
    while (performance.now() < endMs) {
      await pause(this.#prng.below(2 * MISBEHAVE_EVERY_MS));
      const { link } = this.nodes[this.#prng.below(this.nodes.length)]!;
      if (mending.has(link)) continue;
      count++;
      const durationMs = this.#begin(link);
      const mended = pause(Math.max(0, Math.min(durationMs, endMs - performance.now()))).then(
        () => {
          link.mend();
          mending.delete(link);
        },
      );
      mending.set(link, mended);
    }
    await Promise.all(mending.values());
    return count;
  }

  /** Begins some misbehaviour of `link`, and returns for how many milliseconds. */
  #begin(link: UnsteadyLink): number {
    const prng = this.#prng;
    switch (prng.below(4)) {
      case 0:
        link.throttle(RATE_MIN + prng.below(RATE_MAX));
        return prng.below(THROTTLE_MS_MAX);
      case 1:
        link.stall();
        return prng.below(
          prng.below(LONG_STALL_ONE_IN) === 0 ? LONG_STALL_MS_MAX : SHORT_STALL_MS_MAX,
        );
      default:
        link.cut();
        // Half of them only break the connection.
        return prng.below(2) === 0 ? 0 : prng.below(CUT_MS_MAX);
    }
  }

  async #caughtUp(): Promise<void> {
    await until(
      'all nodes at the offset of the head',
      async () => {
        for (const { server } of this.nodes) {
          if (!(await isCaughtUp(this.head, server))) return false;
        }
        return true;
      },
      CATCH_UP_TIMEOUT_MS,
      WAIT_MS,
    );
  }

  /**
   * The faults of a round after which all have caught up. A digest counts keys that have expired
   * and are not deleted yet, so it is taken again while it differs.
   */
  async #faults(): Promise<string[]> {
    const faults: string[] = [];
    for (const { name, server } of this.nodes) {
      let [wanted, found] = [await digestOf(this.head), await digestOf(server)];
      for (let tries = 1; found !== wanted && tries < DIGEST_TRIES; tries++) {
        await pause(DIGEST_PAUSE_MS);
        await this.#caughtUp();
        [wanted, found] = [await digestOf(this.head), await digestOf(server)];
      }
      if (found !== wanted) {
        const keys = await differingKeys(this.head, server);
        faults.push(`${name}: DEBUG DIGEST is ${found} and not ${wanted}; ${keys.join(', ')}`);
      }
      const refused = (await server.control.info('stats')).get('unexpected_error_replies');
      if (refused !== '0') {
        const told = server.log.split('\n').filter((line) => line.includes('CRITICAL'));
        faults.push(`${name}: was sent ${refused} commands that are errors; ${told.join(' ')}`);
      }
    }
    const { full } = await this.#syncs();
    if (this.#hasHistory && full !== this.nodes.length)
      faults.push(`${full} full syncs of ${this.nodes.length} nodes, though there was history`);
    return faults;
  }

  async #syncs(): Promise<{ partial: number; full: number }> {
    let partial = 0;
    let full = 0;
    for (const server of this.#servers) {
      const stats = await server.control.info('stats');
      partial += Number(stats.get('sync_partial_ok'));
      full += Number(stats.get('sync_full'));
    }
    return { partial, full };
  }

  /** The state of each node, for a round that did not end well. */
  async #stateAfter(error: Error): Promise<string> {
    const lines = [error.message];
    for (const [i, server] of this.#servers.entries()) {
      const fields = await server.control.info('replication');
      const shown = [
        'master_link_status',
        'slave_repl_offset',
        'master_repl_offset',
        'master_replid',
      ]
        .map((name) => `${name}:${fields.get(name) ?? '-'}`)
        .join(' ');
      lines.push(`${i === 0 ? 'head' : this.nodes[i - 1]!.name}: ${shown}`);
    }
    return lines.join('; ');
  }
}

/** Returns the first keys with another value or deadline below than above, each with its type. */
async function differingKeys(above: Server, below: Server): Promise<string[]> {
  const both = [above.control, below.control];
  const found: string[] = [];
  for (let db = 0; db < DATABASES; db++) {
    for (const control of both) await control.must('SELECT', String(db));
    const names = await Promise.all(both.map((control) => control.must('KEYS', '*')));
    for (const key of new Set((names as string[][]).flat())) {
      const values = await Promise.all(
        both.map(async (control) => [
          await control.must('DEBUG', 'DIGEST-VALUE', key),
          await control.must('PEXPIRETIME', key),
        ]),
      );
      if (JSON.stringify(values[0]) === JSON.stringify(values[1])) continue;
      found.push(`${key} (${await above.control.must('TYPE', key)}) of database ${db}`);
    }
  }
  for (const control of both) await control.must('SELECT', '0');
  return found.slice(0, KEYS_TOLD);
}

/** A client that sends whole batches and skims the replies. Errors are replies like others. */
class RawClient {
  readonly #socket: net.Socket;
  readonly #skimmer = new ReplySkimmer();
  #onAnswered: () => void = () => {};
  #onFailed: (error: Error) => void = () => {};

  private constructor(port: number) {
    this.#socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (bytes: Buffer) => {
      this.#skimmer.push(bytes, bytes.length);
      if (this.#skimmer.expected === 0) this.#onAnswered();
    });
    this.#socket.on('error', (error) => this.#onFailed(error));
    this.#socket.on('end', () => this.#onFailed(new Error('the head closed the connection')));
  }

  static async connect(port: number): Promise<RawClient> {
    const client = new RawClient(port);
    await once(client.#socket, 'connect');
    return client;
  }

  /** Resolves with the bytes of the requests after the last reply. */
  run(batch: readonly (readonly Argument[])[]): Promise<number> {
    const bytes = Buffer.concat(batch.flatMap(encoded));
    this.#skimmer.expected = batch.length;
    return new Promise((resolve, reject) => {
      this.#onAnswered = () => resolve(bytes.length);
      this.#onFailed = reject;
      this.#socket.write(bytes);
    });
  }

  close(): void {
    this.#socket.removeAllListeners('end');
    this.#socket.destroy();
  }
}

function encoded(words: readonly Argument[]): Buffer[] {
  const parts = [Buffer.from(`*${words.length}\r\n`)];
  for (const word of words) {
    const bytes = Buffer.isBuffer(word) ? Buffer.from(word) : Buffer.from(String(word));
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return parts;
}
