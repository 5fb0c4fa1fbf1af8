/** Processes of redis-sentinel, which watch one group and replace its primary. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { findRedisServer } from './real-redis.ts';
import type { RespClient } from './resp-client.ts';
import { launch, type TestServer, temporaryDirectory } from './server-process.ts';

export const GROUP = 'group';

export interface SentinelOptions {
  /** The port of the primary at the beginning. */
  readonly primary: number;
  readonly quorum: number;
  readonly downAfterMs: number;
  readonly failoverTimeoutMs: number;
}

/**
 * Starts one sentinel on 127.0.0.1. It is the same executable as the server. It reads INFO and
 * says hello more often than one does: it waits for four periods of hellos before it makes a
 * primary that came back a replica.
 */
export async function startSentinel(options: SentinelOptions): Promise<TestServer> {
  const dir = temporaryDirectory('sentinel');
  const file = join(dir, 'sentinel.conf');
  const sentinel = await launch({
    name: 'redis-sentinel',
    command: findRedisServer(),
    dir,
    args: (port) => {
      const lines = [
        `port ${port}`,
        'bind 127.0.0.1',
        `dir ${dir}`,
        `sentinel monitor ${GROUP} 127.0.0.1 ${options.primary} ${options.quorum}`,
        `sentinel down-after-milliseconds ${GROUP} ${options.downAfterMs}`,
        `sentinel failover-timeout ${GROUP} ${options.failoverTimeoutMs}`,
        `sentinel parallel-syncs ${GROUP} 5`,
      ];
      writeFileSync(file, `${lines.join('\n')}\n`);
      return [file, '--sentinel'];
    },
  });
  const client = await sentinel.client();
  const periods = ['INFO-PERIOD', 2000, 'PUBLISH-PERIOD', 500];
  expect(await client.call('SENTINEL', 'DEBUG', ...periods)).toBe('OK');
  await client.close();
  return sentinel;
}

/** The port of the node that the sentinel takes for the primary. */
export async function primaryPort(sentinel: RespClient): Promise<number> {
  const address = await sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', GROUP);
  return Number((address as string[])[1]);
}

/** What the sentinel tells of the primary, of its replicas, or of the other sentinels. */
export async function told(
  sentinel: RespClient,
  about: 'MASTER' | 'REPLICAS' | 'SENTINELS',
): Promise<Map<string, string>[]> {
  const reply = (await sentinel.call('SENTINEL', about, GROUP)) as string[] | string[][];
  const lists = about === 'MASTER' ? [reply as string[]] : (reply as string[][]);
  return lists.map((list) => {
    const fields = new Map<string, string>();
    for (let i = 0; i + 1 < list.length; i += 2) fields.set(list[i]!, list[i + 1]!);
    return fields;
  });
}
