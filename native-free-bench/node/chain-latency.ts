/**
 * A write at the head of an idle chain, until it is seen at its tail: a real primary and four
 * measured servers below one another, so four hops. A client of the tail is told of the key by a
 * keyspace notification. The time is from the write of the request at the head.
 */
import net from 'node:net';
import { caughtUp, link, startNodes } from '../lib/chain.ts';
import { proveAttached } from '../lib/proof.ts';
import { type Context, type Measurement, pause, type Scenario } from '../lib/scenario.ts';
import type { Server } from '../lib/server.ts';
import { quantile } from '../lib/statistics.ts';
import { rewrite } from '../lib/sync-rounds.ts';
import { Checksum } from '../lib/workload.ts';

const HOPS = 4;
const WRITES = { full: 1000, smoke: 20 };
const WARM_UP_WRITES = { full: 200, smoke: 5 };
const PAUSE_MS = 5;
const TIMEOUT_MS = 10_000;
const FAKES_AT_THE_END = 2;
const KEY = 'seen';
const CHANNEL = `__keyspace@0__:${KEY}`;

/** A client that is told of writes of {@link KEY}. */
class Watcher {
  readonly #socket: net.Socket;
  #text = '';
  #seen = 0;
  #wanted = 0;
  #onSeen: () => void = () => {};

  private constructor(port: number) {
    this.#socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (bytes: Buffer) => {
      this.#text += bytes.toString('latin1');
      const parts = this.#text.split(CHANNEL);
      this.#text = parts.at(-1)!;
      this.#seen += parts.length - 1;
      if (this.#seen >= this.#wanted) this.#onSeen();
    });
    this.#socket.on('error', () => {});
  }

  /** Resolves once it is subscribed. */
  static async at(server: Server): Promise<Watcher> {
    await server.control.must('CONFIG', 'SET', 'notify-keyspace-events', 'K$');
    const watcher = new Watcher(server.port);
    const subscribed = watcher.next();
    watcher.#socket.write(`SUBSCRIBE ${CHANNEL}\r\n`);
    await subscribed;
    return watcher;
  }

  /** Resolves with the next message. Rejects when none comes. */
  next(): Promise<void> {
    this.#wanted = this.#seen + 1;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error('a write was not seen at the tail')),
        TIMEOUT_MS,
      );
      this.#onSeen = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** Returns the milliseconds from each write at the head until it was seen. */
async function timeWrites(head: Server, watcher: Watcher, writes: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < writes; i++) {
    const seen = watcher.next();
    const startedMs = performance.now();
    const written = head.control.must('SET', KEY, String(i));
    await seen;
    times.push(performance.now() - startedMs);
    await written;
    await pause(PAUSE_MS);
  }
  return times;
}

async function measure(context: Context): Promise<Measurement> {
  const size = context.smoke ? 'smoke' : 'full';
  const head = await context.startStock();
  const nodes = await startNodes(context, HOPS);
  const tail = nodes.at(-1)!;
  await link(head, nodes);
  await caughtUp(head, tail);
  const watcher = await Watcher.at(tail);
  await timeWrites(head, watcher, WARM_UP_WRITES[size]);
  const times = await timeWrites(head, watcher, WRITES[size]);
  watcher.close();
  await proveAttached(
    context,
    tail,
    context.replicas(),
    FAKES_AT_THE_END,
    () => rewrite(head),
    head,
  );
  const checksum = new Checksum().add(`SET ${KEY} ${WARM_UP_WRITES[size]} ${WRITES[size]}`).text();
  const values = {
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
    max: Math.max(...times),
  };
  return { checksum, values, notes: [] };
}

export const chainLatency: Scenario = {
  name: 'chain-latency',
  title: `A write at a real primary until it is seen ${HOPS} hops below, while nothing else happens.`,
  runs: 3,
  figures: () => [
    { id: 'p50', label: 'head to tail, p50', unit: 'ms', must: { below: 2 } },
    { id: 'p99', label: '  p99', unit: 'ms', must: { below: 10 } },
    { id: 'max', label: '  max', unit: 'ms', must: null },
  ],
  measure,
};
