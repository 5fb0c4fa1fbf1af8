/** What a primary of Redis 7.0 accepts and 7.2 refuses is no error in its stream. */
import { afterEach, expect, test } from 'vitest';
import { call } from '../support/ask.ts';
import { expectSameData, waitForSync } from '../support/digest.ts';
import { startHeadwater } from '../support/headwater.ts';
import { startRedis } from '../support/real-redis.ts';
import { RespError } from '../support/resp-parser.ts';
import type { TestServer } from '../support/server-process.ts';

const LAST = '18446744073709551615-18446744073709551615';
const running: TestServer[] = [];

afterEach(async () => {
  for (const server of running.splice(0).reverse()) await server.stop();
});

/** The fields of XINFO STREAM about ids and counts. */
async function idsOf(server: TestServer): Promise<unknown[]> {
  const info = (await call(server, 'XINFO', 'STREAM', 's')) as unknown[];
  return ['length', 'last-generated-id', 'max-deleted-entry-id', 'entries-added'].map((name) =>
    String(info[info.findIndex((word) => String(word) === name) + 1]),
  );
}

async function expectAllSame(head: TestServer, ...below: TestServer[]): Promise<void> {
  for (const node of below) {
    await expectSameData(head, node);
    expect(await idsOf(node)).toEqual(await idsOf(head));
    const client = await node.client();
    expect(await client.infoField('stats', 'unexpected_error_replies')).toBe('0');
    await client.close();
  }
}

test('XSETID below the last deleted id is followed, and so is what is added behind it', async () => {
  const head = await startRedis();
  running.push(head);
  const relay = await startHeadwater({
    replicaOf: head.port,
    args: ['--enable-debug-command', 'yes'],
  });
  running.push(relay);
  const tail = await startRedis({ replicaOf: relay.port });
  running.push(tail);
  await waitForSync(head, tail);
  for (const request of [
    `XADD s ${LAST} f v`,
    `XDEL s ${LAST}`,
    'XSETID s 100-0',
    'XADD s 101-0 f w',
  ])
    expect(await call(head, ...request.split(' ')), request).not.toBeInstanceOf(RespError);
  await expectAllSame(head, relay, tail);
  // From a dump and to another node, too; a client of a later version may not do the same.
  expect(await call(relay, 'REPLICAOF', 'NO', 'ONE')).toBe('OK');
  const refused = await call(relay, 'XSETID', 's', '102-0');
  expect(String(refused)).toContain('smaller than current max_deleted_entry_id');
  const fresh = await startHeadwater({
    replicaOf: relay.port,
    args: ['--enable-debug-command', 'yes'],
  });
  running.push(fresh);
  await expectAllSame(relay, fresh);
}, 180_000);
