/**
 * Tests that may run beside each other: each has servers of its own, which end with it.
 *
 *   test('…', async ({ servers }) => {
 *     const head = await servers.redis();
 *     const node = await servers.headwater({ replicaOf: head.port });
 */
import { test as plain } from 'vitest';
import { type HeadwaterOptions, startHeadwater } from './headwater.ts';
import { type RedisOptions, startRedis } from './real-redis.ts';
import type { TestServer } from './server-process.ts';

export class Servers {
  readonly #closing: (() => unknown)[] = [];

  async redis(options: RedisOptions = {}): Promise<TestServer> {
    return this.#started(await startRedis(options));
  }

  async headwater(options: HeadwaterOptions = {}): Promise<TestServer> {
    return this.#started(await startHeadwater(options));
  }

  /** Calls `close` at the end of the test, before what was started earlier is stopped. */
  atEnd(close: () => unknown): void {
    this.#closing.push(close);
  }

  /** From the last one to the first, so that no replica logs a primary that is gone. */
  async stop(): Promise<void> {
    for (const close of this.#closing.splice(0).reverse()) await close();
  }

  #started(server: TestServer): TestServer {
    this.#closing.push(() => server.stop());
    return server;
  }
}

export const test = plain.extend<{ servers: Servers }>({
  servers: async ({ onTestFinished }, use) => {
    const servers = new Servers();
    onTestFinished(() => servers.stop());
    await use(servers);
  },
});
