/**
 * Writes to a node, one after the other, for as long as it runs, and knows which writes were
 * confirmed. A node that refuses, or is gone, is asked for again: who is written to changes under
 * it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { RespClient } from './resp-client.ts';
import { RespError } from './resp-parser.ts';
import type { TestServer } from './server-process.ts';

const PAUSE_MS = 5;

export interface SteadyWriterOptions {
  /** Confirms a write by WAIT 1 with this timeout; 0 confirms it by its own answer. */
  readonly waitMs?: number;
  /** Commands before each write, for its number: other types, transactions, databases. */
  readonly before?: (number: number) => (string | number)[][];
}

/** A few writes of several types, a transaction and another database among them. */
export function mixedWrites(number: number): (string | number)[][] {
  const n = number % 50;
  return [
    ['MULTI'],
    ['INCR', `counter${n}`],
    ['LPUSH', `list${n}`, number],
    ['EXEC'],
    ['HSET', `hash${n}`, number % 7, number],
    ['SELECT', 3],
    ['ZADD', `zset${n}`, number, number % 11],
    ['SET', `string${n}`, number, 'EX', 1000],
    ['SELECT', 0],
    ['XADD', 'stream', `${number}-1`, 'field', number],
    ['LTRIM', `list${n}`, 0, 20],
  ];
}

export class SteadyWriter {
  /** Writes that count as confirmed. */
  confirmed = 0;
  /** Writes that were refused, or whose answer never came. */
  failed = 0;
  /** When each write was confirmed, by the monotonic clock, and by which port. */
  lastConfirmedMs = 0;
  lastPort = 0;
  readonly #portOf: () => number | Promise<number>;
  readonly #waitMs: number;
  readonly #before: (number: number) => (string | number)[][];
  readonly #confirmedNumbers: number[] = [];
  readonly #done: Promise<void>;
  #next = 1;
  #stopped = false;

  /** `portOf` tells the port of the node to write to; it is asked before each write. */
  constructor(
    portOf: () => number | Promise<number>,
    { waitMs = 0, before = () => [] }: SteadyWriterOptions = {},
  ) {
    this.#before = before;
    this.#portOf = portOf;
    this.#waitMs = waitMs;
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  /** Fails if a confirmed write is missing. */
  async expectAllThere(server: TestServer): Promise<void> {
    const client = await server.client();
    const there = new Set((await client.call('SMEMBERS', 'steady')) as string[]);
    await client.close();
    const lost = this.#confirmedNumbers.filter((number) => !there.has(String(number)));
    const what = `${lost.length} confirmed writes that ${server.port} lacks, the first of them`;
    expect(lost.slice(0, 5), what).toEqual([]);
    expect(this.#confirmedNumbers.length).toBeGreaterThan(0);
  }

  async #run(): Promise<void> {
    let client: RespClient | undefined;
    let connectedTo = 0;
    while (!this.#stopped) {
      try {
        const port = await this.#portOf();
        if (client === undefined || client.isClosed || port !== connectedTo) {
          await client?.close();
          client = await RespClient.connect(port);
          connectedTo = port;
        }
        if (await this.#write(client, port)) continue;
      } catch (error) {
        // The node is gone, or hung up.
        expect(error).toBeInstanceOf(Error);
        this.failed++;
        client = undefined;
      }
      await delay(PAUSE_MS);
    }
    await client?.close();
  }

  async #write(client: RespClient, port: number): Promise<boolean> {
    const number = this.#next++;
    const replies = await client.pipeline([...this.#before(number), ['SADD', 'steady', number]]);
    const reply = replies.at(-1);
    const isThere =
      !(reply instanceof RespError) &&
      (this.#waitMs === 0 || Number(await client.command('WAIT', 1, this.#waitMs)) >= 1);
    if (!isThere) {
      this.failed++;
      return false;
    }
    this.confirmed++;
    this.#confirmedNumbers.push(number);
    this.lastConfirmedMs = performance.now();
    this.lastPort = port;
    return true;
  }
}
