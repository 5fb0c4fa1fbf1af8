/**
 * Counts of streams that a client has set beyond 2^53. A dump with them is loaded, whoever wrote
 * it, or a replica could not be synchronized and a node could not start again.
 */
import { describe, expect } from 'vitest';
import { expectSameData, waitForSync } from '../support/digest.ts';
import type { RespClient } from '../support/resp-client.ts';
import { type TestServer, temporaryDirectory } from '../support/server-process.ts';
import { test } from '../support/servers.ts';

const DEBUG = ['--enable-debug-command', 'yes'];
const ADD = ['XADD', 's', '1-1', 'a', 'b'];
const READ = ['XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 's', '>'];
const GROUP = ['XGROUP', 'CREATE', 's', 'g', '0'];

/** What makes each count. */
const COUNTS = [
  ['entries read', (n: string) => [ADD, [...GROUP, 'ENTRIESREAD', n]]],
  ['entries read, and one more', (n: string) => [ADD, [...GROUP, 'ENTRIESREAD', n], READ]],
  [
    'entries added',
    (n: string) => [
      ADD,
      ['XSETID', 's', '5-5', 'ENTRIESADDED', n, 'MAXDELETEDID', '0-0'],
      ['XADD', 's', '6-6', 'a', 'b'],
    ],
  ],
  [
    'deliveries',
    (n: string) => [
      ADD,
      GROUP,
      READ,
      ['XCLAIM', 's', 'g', 'd', '0', '1-1', 'RETRYCOUNT', n],
      ['XCLAIM', 's', 'g', 'd', '0', '1-1'],
    ],
  ],
] as const;
const NUMBERS = ['9007199254740993', '9223372036854775807'];
const CASES = COUNTS.flatMap(([what, commands]) =>
  NUMBERS.map((n) => [what, n, commands] as const),
);

async function make(client: RespClient, commands: readonly (readonly string[])[]): Promise<void> {
  for (const words of commands) await client.call(...words);
}

/** The counts that the stream tells of itself. */
async function countsOf(server: TestServer): Promise<unknown> {
  const client = await server.client();
  const groups = (await client.call('XINFO', 'GROUPS', 's')) as unknown[][];
  const stream = (await client.call('XINFO', 'STREAM', 's')) as unknown[];
  const pending = groups.length === 0 ? [] : await client.call('XPENDING', 's', 'g', '-', '+', 9);
  await client.close();
  const field = (list: unknown[], name: string): unknown => list[list.indexOf(name) + 1];
  return [
    field(stream, 'entries-added'),
    groups.map((group) => field(group, 'entries-read')),
    (pending as unknown[][]).map((entry) => entry[3]),
  ];
}

describe.concurrent('a count beyond 2^53:', () => {
  test.for(CASES)('%s %s of a real primary', { timeout: 60_000 }, async (one, { servers }) => {
    const [, number, commands] = one;
    const primary = await servers.redis();
    const client = await primary.client();
    await make(client, commands(number));
    await client.close();
    const relay = await servers.headwater({ replicaOf: primary.port, args: DEBUG });
    await waitForSync(primary, relay);
    await expectSameData(primary, relay);
    const below = await servers.redis({ replicaOf: relay.port });
    await waitForSync(primary, below);
    await expectSameData(primary, below);
  });

  test.for(CASES)('%s %s of this program', { timeout: 60_000 }, async (one, { servers }) => {
    const [, number, commands] = one;
    const dir = temporaryDirectory('counts');
    const first = await servers.headwater({ dir, args: DEBUG });
    const client = await first.client({ bulk: 'buffer' });
    await make(client, commands(number));
    const payload = (await client.call('DUMP', 's')) as Buffer;
    await client.call('RESTORE', 's', 0, payload, 'REPLACE');
    await client.call('SAVE');
    await client.close();
    const counts = await countsOf(first);
    const replica = await servers.headwater({ replicaOf: first.port, args: DEBUG });
    await waitForSync(first, replica);
    expect(await countsOf(replica)).toEqual(counts);
    await replica.stop();
    await first.stop();
    const second = await servers.headwater({ dir, args: DEBUG });
    expect(await countsOf(second)).toEqual(counts);
  });
});
