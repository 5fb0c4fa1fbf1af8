/**
 * Random commands at the head of replicas whose links misbehave. The script (../chains.ts) and a
 * test (test/integration/chains.test.ts) share this.
 *
 *   chain   stock primary ─╳─▶ headwater ─╳─▶ headwater ─╳─▶ stock replica
 *   wide    stock primary ─╳─▶ headwater ─╳─▶ stock replica 1
 *                                        ─╳─▶ …
 *                                        ─╳─▶ stock replica N         ╳ a link that misbehaves
 *   fleet   headwater ─╳─▶ stock replica 1
 *                     ─╳─▶ …
 *                     ─╳─▶ stock replica N
 *
 * A round is some seconds of writes and misbehaviour. At its end every link is mended, and when all
 * have caught up, each node must hold what the head holds, under the same id and at the same offset.
 * In the chain and wide the logs are larger than what is written while a link is down, so nobody
 * may need a second full sync. In the fleet the log is small, and each full sync is judged by itself
 * (sync-judge.ts).
 */
import { once } from 'node:events';
import net from 'node:net';
import type { Prng } from '../../src/base/prng.ts';
import { MIB } from '../../src/base/units.ts';
import { isCaughtUp } from './chain.ts';
import { ControlClient } from './control-client.ts';
import { digestOf } from './follower.ts';
import { RandomCommands } from './random-commands.ts';
import type { Argument } from './random-words.ts';
import { ReplySkimmer } from './resp.ts';
import { pause, until } from './scenario.ts';
import { Server, type Target } from './server.ts';
import { type Judgement, loggedFulls, SyncJudge } from './sync-judge.ts';
import { UnsteadyLink } from './unsteady-link.ts';

export interface ChainPlan {
  readonly target: Target;
  /** Path of the redis-server at the head and at the tail. */
  readonly redis: string;
  /** Stock replicas below one relay, or 0. */
  readonly wide: number;
  /** Stock replicas below a primary of the target's kind, or 0. Without both it is a chain. */
  readonly fleet: number;
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
  /** Of the fleet: all syncs since the start, judged one by one. */
  readonly judgement: Judgement | undefined;
  /** Of the fleet: the history at the end, and blocks that were expanded since the start. */
  readonly history: string;
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
/** In the fleet each link misbehaves so often, and is down so long: history shall be gone at times. */
const LINK_MISBEHAVES_EVERY_MS = 2000;
const FLEET_CUT_MS_MAX = 6000;
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
const SAMPLE_MS = 5;

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
  readonly #plan: ChainPlan;
  readonly #judge = new SyncJudge();
  #sampling: Promise<void> | undefined = undefined;
  #stopped = false;

  private constructor(head: Server, nodes: readonly Node[], prng: Prng, plan: ChainPlan) {
    this.head = head;
    this.nodes = nodes;
    this.#prng = prng;
    this.#commands = new RandomCommands(prng, { without: WITHOUT });
    this.#plan = plan;
  }

  /** Starts all nodes and resolves once they are in sync. */
  static async start(plan: ChainPlan, prng: Prng): Promise<ChainRun> {
    const stock: Target = { kind: 'redis', command: [plan.redis], version: '' };
    const options = [...OPTIONS, '--repl-backlog-size', String(plan.backlogBytes)];
    const ofFleet = [...ownOptions(plan.target), '--loglevel', 'notice'];
    const head =
      plan.fleet > 0
        ? await Server.start(plan.target, [...options, ...ofFleet], true)
        : await Server.start(stock, options, true);
    const nodes: Node[] = [];
    const run = new ChainRun(head, nodes, prng, plan);
    const attach = async (name: string, target: Target, above: Server): Promise<Server> => {
      const link = await UnsteadyLink.to(above.port);
      const follow = ['--replicaof', '127.0.0.1', String(link.port)];
      const words = [...options, ...ownOptions(target), ...follow];
      const server = await Server.start(target, words, true);
      nodes.push({ name, server, link });
      return server;
    };
    try {
      if (plan.fleet > 0) {
        run.#sampling = run.#sample();
        for (let i = 1; i <= plan.fleet; i++) await attach(`replica ${i}`, stock, head);
        await run.#caughtUp();
        return run;
      }
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
    this.#stopped = true;
    await this.#sampling;
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
    const ofFleet = this.#plan.fleet > 0;
    const judgement = ofFleet ? await this.#judged() : undefined;
    if (judgement !== undefined) faults.push(...judgement.faults);
    const history = ofFleet ? await this.#history() : '';
    return { ...written, misbehaviours, partial, full, catchUpMs, judgement, history, faults };
  }

  /** Asks for the first offset of the head all the time, by a connection of its own. */
  async #sample(): Promise<void> {
    const control = await ControlClient.connect(this.head.port);
    while (!this.#stopped) {
      const askedMs = performance.now();
      const fields = await control.info('replication');
      const first = Number(fields.get('repl_backlog_first_byte_offset'));
      this.#judge.note({ askedMs, answeredMs: performance.now(), first });
      await pause(SAMPLE_MS);
    }
    control.close();
  }

  /** All syncs so far, judged. */
  async #judged(): Promise<Judgement> {
    // A later sample than every answer.
    await pause(2 * SAMPLE_MS);
    await this.head.control.must('PING');
    await pause(2 * SAMPLE_MS);
    const logged = loggedFulls(this.head.log);
    let [fresh, gone, partial] = [0, 0, 0];
    let [missedMin, missedMax] = [Number.POSITIVE_INFINITY, 0];
    const faults: string[] = [];
    for (const { name, server, link } of this.nodes) {
      const one = this.#judge.judge(name, link.syncs, logged.get(String(server.port)) ?? []);
      fresh += one.fresh;
      gone += one.gone;
      partial += one.partial;
      missedMin = Math.min(missedMin, one.missedMin);
      missedMax = Math.max(missedMax, one.missedMax);
      faults.push(...one.faults);
    }
    return { fresh, gone, partial, missedMin, missedMax, faults };
  }

  /** The history of the head, and what the small log has led to. */
  async #history(): Promise<string> {
    const fields = await this.head.control.info('headwater');
    const rawBytes = Number(fields.get('headwater_backlog_raw_bytes'));
    const ratio = fields.get('headwater_backlog_ratio');
    const unpacks = fields.get('headwater_backlog_unpacks');
    const waits = this.head.log.split('waits for up to').length - 1;
    const told = `${(rawBytes / 1e6).toFixed(1)} MB, 1 : ${ratio}, ${unpacks} blocks expanded`;
    return waits === 0 ? told : `${told}, ${waits} full syncs told to wait`;
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
    const { fleet, backlogBytes } = this.#plan;
    // One value shall not be longer than all that the log of a fleet keeps.
    const length = this.#prng.below(
      fleet > 0 ? Math.min(LARGE_BYTES_MAX, backlogBytes / 8) : LARGE_BYTES_MAX,
    );
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
      await pause(this.#prng.below(2 * this.#misbehaveEveryMs));
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

  get #misbehaveEveryMs(): number {
    const { fleet } = this.#plan;
    return fleet > 0 ? Math.ceil(LINK_MISBEHAVES_EVERY_MS / fleet) : MISBEHAVE_EVERY_MS;
  }

  /** Begins some misbehaviour of `link`, and returns for how many milliseconds. */
  #begin(link: UnsteadyLink): number {
    const prng = this.#prng;
    switch (prng.below(5)) {
      case 0:
        link.throttle(RATE_MIN + prng.below(RATE_MAX));
        return prng.below(THROTTLE_MS_MAX);
      case 1:
        link.stall();
        return prng.below(
          prng.below(LONG_STALL_ONE_IN) === 0 ? LONG_STALL_MS_MAX : SHORT_STALL_MS_MAX,
        );
      case 2:
        link.end();
        return 0;
      default:
        link.cut();
        // Half of them only break the connection.
        if (prng.below(2) === 0) return 0;
        return prng.below(this.#plan.fleet > 0 ? FLEET_CUT_MS_MAX : CUT_MS_MAX);
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
    const { fleet, backlogBytes } = this.#plan;
    const hasHistory = fleet === 0 && backlogBytes >= 64 * MIB;
    if (hasHistory && full !== this.nodes.length)
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

/** Options of a server that is not measured. */
const ownOptions = ({ kind }: Target): readonly string[] =>
  kind === 'headwater' ? ['--rehearsal', 'no'] : [];

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
