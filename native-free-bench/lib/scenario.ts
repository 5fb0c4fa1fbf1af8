/** A scenario: the figures that it promises, and a measurement of one server that yields them. */
import { Child } from './child.ts';
import type { LoadApi } from './load-child.ts';
import type { ProbeApi } from './probe-child.ts';
import type { ReaderApi } from './reader-child.ts';
import type { AttachJob, ReplicaApi } from './replica-child.ts';
import type { Series } from './series.ts';
import { Launched, Server, type Target } from './server.ts';
import { StreamProof } from './stream-proof.ts';

/** Errors that are made on purpose, to test that they are noticed. */
export const FALSIFICATIONS = ['stream', 'dataset'] as const;
export type Falsification = (typeof FALSIFICATIONS)[number];

export type Unit =
  | 'ops/s'
  | 'MB/s'
  | 'ms'
  | 'us'
  | 'B/key'
  | 'MiB'
  | 'MB'
  | '%'
  | 'CPU s'
  | 'CPU s/GB'
  | 'us/op'
  | 'count'
  | 'x';

/**
 * The goal of headwater: a ratio to redis-server's median in the same run, or, as `below` and
 * `atLeast`, an absolute value in the figure's unit.
 */
export type Must =
  | { readonly ratioAtLeast: number }
  | { readonly ratioAtMost: number }
  | { readonly below: number }
  | { readonly atLeast: number };

/** One row of the report. */
export interface Figure {
  readonly id: string;
  readonly label: string;
  readonly unit: Unit;
  readonly must: Must | null;
}

/**
 * `values` has a number for each figure id. A figure that is missing or null is reported as n/a.
 */
export interface Measurement {
  readonly checksum: string;
  readonly values: Readonly<Record<string, number | null>>;
  /** Remarks about this measurement for the reader, for example the reason for an n/a. */
  readonly notes: readonly string[];
  /** Samples over time, for a plot. */
  readonly series?: Series;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** Measurements of each server, unless the command line gives another number. */
  readonly runs: number;
  figures(smoke: boolean): readonly Figure[];
  measure(context: Context): Promise<Measurement>;
}

const DEBUG_OPTIONS = ['--enable-debug-command', 'yes'];

/**
 * One measurement of one server. Everything that it starts is stopped when it ends, also after a
 * failure.
 */
export class Context {
  readonly target: Target;
  readonly smoke: boolean;
  /** Path of a redis-server that serves as a stock replica. Empty when there is none. */
  readonly redis: string;
  readonly falsify: Falsification | null;
  readonly proof = new StreamProof();
  readonly #servers: Server[] = [];
  readonly #launched: Launched[] = [];
  readonly #children: { kill(): void }[] = [];

  constructor(target: Target, smoke: boolean, redis: string, falsify: Falsification | null) {
    this.target = target;
    this.smoke = smoke;
    this.redis = redis;
    this.falsify = falsify;
  }

  /**
   * Starts the measured server, with DEBUG DIGEST enabled. A smoke run does not wait for compiled
   * code.
   */
  async start(...options: string[]): Promise<Server> {
    const isOurs = this.target.kind === 'headwater';
    const hasty = this.smoke && isOurs ? ['--rehearsal', 'no'] : [];
    return this.#started(
      await Server.start(this.target, [...DEBUG_OPTIONS, ...hasty, ...options], this.smoke),
    );
  }

  /** Starts a stock server beside the measured one. Rejects when there is no redis-server. */
  async startStock(...options: string[]): Promise<Server> {
    if (this.redis === '') throw new Error('this needs a redis-server beside the measured one');
    const target: Target = { kind: 'redis', command: [this.redis], version: '' };
    return this.#started(await Server.start(target, [...DEBUG_OPTIONS, ...options], true));
  }

  /** Returns the part of an attach job that makes replicas prove something. */
  proving(what: AttachJob['proves']): Pick<AttachJob, 'proves' | 'falsify'> {
    return { proves: what, falsify: this.falsify === 'stream' };
  }

  #started(server: Server): Server {
    this.#servers.push(server);
    return server;
  }

  /** Starts a server process without waiting for it. The scenario itself watches the start. */
  async launch(...options: string[]): Promise<Launched> {
    const launched = await Launched.start(this.target, options);
    this.#launched.push(launched);
    return launched;
  }

  async stop(server: Server): Promise<void> {
    this.#servers.splice(this.#servers.indexOf(server), 1);
    await server.stop();
  }

  loadGenerator(): Child<LoadApi> {
    return this.#keep(new Child<LoadApi>(new URL('./load-child.js', import.meta.url)));
  }

  prober(): Child<ProbeApi> {
    return this.#keep(new Child<ProbeApi>(new URL('./probe-child.js', import.meta.url)));
  }

  reader(): Child<ReaderApi> {
    return this.#keep(new Child<ReaderApi>(new URL('./reader-child.js', import.meta.url)));
  }

  replicas(): Child<ReplicaApi> {
    return this.#keep(new Child<ReplicaApi>(new URL('./replica-child.js', import.meta.url)));
  }

  async end(): Promise<void> {
    for (const child of this.#children.splice(0)) child.kill();
    await Promise.all(this.#servers.splice(0).map((server) => server.stop()));
    await Promise.all(this.#launched.splice(0).map((launched) => launched.stop()));
  }

  #keep<C extends { kill(): void }>(child: C): C {
    this.#children.push(child);
    return child;
  }
}

/**
 * Resolves once `condition` holds. Checks it every `periodMs`. After `timeoutMs` rejects with
 * `what`.
 */
export async function until(
  what: string,
  condition: () => Promise<boolean>,
  timeoutMs = 60_000,
  periodMs = 20,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await pause(periodMs);
  }
}

export function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}
