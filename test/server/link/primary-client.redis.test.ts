/**
 * The primary as a client of its replica: listed and killed as by a real replica, and found again
 * with a partial resync.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { syncCounts, waitForSync } from '../../support/digest.ts';
import { startHeadwater } from '../../support/headwater.ts';
import { startRedis } from '../../support/real-redis.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { RespError } from '../../support/resp-parser.ts';
import type { TestServer } from '../../support/server-process.ts';
import { waitFor } from '../../support/wait-for.ts';

let primary: TestServer;
let replicas: TestServer[];

beforeAll(async () => {
  primary = await startRedis({ args: ['--repl-ping-replica-period', '3600'] });
  replicas = await Promise.all([
    startHeadwater({ replicaOf: primary.port, args: ['--enable-debug-command', 'yes'] }),
    startRedis({ replicaOf: primary.port }),
  ]);
  for (const replica of replicas) await waitForSync(primary, replica);
  const client = await primary.client();
  await client.pipeline([
    ['SELECT', '3'],
    ['SET', 'k', 'v'],
  ]);
  await client.close();
  for (const replica of replicas) await waitForSync(primary, replica);
});

afterAll(async () => {
  await Promise.all(replicas.map((replica) => replica.stop()));
  await primary.stop();
});

type Fields = Record<string, string>;

const fieldsOf = (line: string): Fields =>
  Object.fromEntries(
    line.split(' ').map((field) => [...field.split(/=(.*)/s)] as [string, string]),
  );

/** The client of the primary, once its link is up. */
const primaryOf = (client: RespClient): Promise<Fields> =>
  waitFor(
    async () => {
      const lines = String(await client.call('CLIENT', 'LIST', 'TYPE', 'master')).trim();
      return lines === '' ? undefined : fieldsOf(lines);
    },
    { what: 'the primary in CLIENT LIST' },
  );

test('CLIENT LIST shows it with the flag M, in each form', async () => {
  const seen: unknown[] = [];
  for (const replica of replicas) {
    const client = await replica.client();
    const fields = await primaryOf(client);
    expect(fields['laddr']).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(Number(fields['age'])).toBeLessThan(60);
    const all = String(await client.call('CLIENT', 'LIST'))
      .trim()
      .split('\n')
      .map(fieldsOf);
    const byId = String(await client.call('CLIENT', 'LIST', 'ID', fields['id']!));
    seen.push({
      flags: all.map((each) => each['flags']),
      ids: all.map((each) => Number(each['id'])).every((id, i, ids) => i === 0 || id > ids[i - 1]!),
      byId: fieldsOf(byId.trim())['id'] === fields['id'],
      addr: fields['addr'],
      same: ['name', 'flags', 'db', 'sub', 'multi', 'qbuf', 'user', 'redir', 'resp', 'cmd'].map(
        (name) => [name, fields[name]],
      ),
      connected: await client.infoField('clients', 'connected_clients'),
      unblocked: await client.command('CLIENT', 'UNBLOCK', fields['id']!),
    });
    await client.close();
  }
  expect(seen[0]).toEqual(seen[1]);
  expect(seen[0]).toMatchObject({ addr: `127.0.0.1:${primary.port}`, connected: '2' });
});

test('its line has the fields of all others, in their order', async () => {
  const client = await replicas[0]!.client();
  const [one, ...others] = String(await client.call('CLIENT', 'LIST'))
    .trim()
    .split('\n')
    .map((line) => Object.keys(fieldsOf(line)));
  expect(others).toEqual(others.map(() => one));
  expect(others.length).toBeGreaterThan(0);
  await client.close();
});

describe('CLIENT KILL', () => {
  test.each([
    ['TYPE master', ['TYPE', 'master'], 1],
    ['ID', ['ID', '<id>'], 1],
    ['ADDR', ['ADDR', '<addr>'], 1],
    ['LADDR', ['LADDR', '<laddr>'], 1],
    ['its address, in the old form', ['<addr>'], 'OK'],
    ['all others', ['SKIPME', 'yes'], 1],
    ['TYPE normal', ['TYPE', 'normal'], 0],
    ['USER default', ['USER', 'default'], 0],
    ['TYPE master of another user', ['TYPE', 'master', 'USER', 'default'], 0],
  ])('%s', async (_, filter, expected) => {
    for (const replica of replicas) {
      const client = await replica.client();
      const fields = await primaryOf(client);
      const words = filter.map((word) => word.replace(/^<(.*)>$/, (_all, name) => fields[name]!));
      const lost = replica.lines.filter((line) => line.includes('Connection with master lost'));
      const [killed, list] = await client.pipeline([
        ['CLIENT', 'KILL', ...words],
        ['CLIENT', 'LIST', 'TYPE', 'master'],
      ]);
      expect(killed).toBe(expected);
      const isCut = expected !== 0;
      expect(list === '').toBe(isCut);
      await primaryOf(client);
      const now = replica.lines.filter((line) => line.includes('Connection with master lost'));
      expect(now.length - lost.length).toBe(isCut ? 1 : 0);
      await client.close();
    }
  });

  test('left all replicas with what they had', async () => {
    const client = await primary.client();
    await client.call('SET', 'after', 'v');
    for (const replica of replicas) await waitForSync(primary, replica);
    expect((await syncCounts(primary)).full).toBe(2);
    await client.close();
  });

  test('of a primary that is not there kills nobody', async () => {
    const alone = await startHeadwater();
    const client = await alone.client();
    expect(await client.call('CLIENT', 'KILL', 'TYPE', 'master')).toBe(0);
    expect(await client.command('CLIENT', 'KILL', `127.0.0.1:${primary.port}`)).toEqual(
      new RespError('ERR No such client'),
    );
    await client.close();
    await alone.stop();
  });
});
