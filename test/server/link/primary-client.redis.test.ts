/**
 * The primary as a client of its replica: listed and killed as by a real replica, and found again
 * with a partial resync.
 */
import { describe, expect } from 'vitest';
import { syncCounts, waitForSync } from '../../support/digest.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { RespError } from '../../support/resp-parser.ts';
import type { TestServer } from '../../support/server-process.ts';
import { type Servers, test } from '../../support/servers.ts';
import { waitFor } from '../../support/wait-for.ts';

interface Group {
  readonly primary: TestServer;
  /** One of ours and a real one. */
  readonly replicas: readonly TestServer[];
}

/** In sync, with a key in another database than the first. */
async function start(servers: Servers): Promise<Group> {
  const primary = await servers.redis({ args: ['--repl-ping-replica-period', '3600'] });
  const replicas = await Promise.all([
    servers.headwater({ replicaOf: primary.port, args: ['--enable-debug-command', 'yes'] }),
    servers.redis({ replicaOf: primary.port }),
  ]);
  for (const replica of replicas) await waitForSync(primary, replica);
  const client = await primary.client();
  await client.pipeline([
    ['SELECT', '3'],
    ['SET', 'k', 'v'],
  ]);
  await client.close();
  for (const replica of replicas) await waitForSync(primary, replica);
  return { primary, replicas };
}

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

/** Waits until there are the primary and this client only. */
const waitForOthersToLeave = (client: RespClient): Promise<unknown> =>
  waitFor(async () => (await client.infoField('clients', 'connected_clients')) === '2', {
    what: 'the clients of before to be gone',
  });

test.concurrent('CLIENT LIST shows it with the flag M, in each form', async ({ servers }) => {
  const { primary, replicas } = await start(servers);
  const seen: unknown[] = [];
  for (const replica of replicas) {
    const client = await replica.client();
    const fields = await primaryOf(client);
    await waitForOthersToLeave(client);
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

test.concurrent('its line has the fields of all others, in their order', async ({ servers }) => {
  const { replicas } = await start(servers);
  const client = await replicas[0]!.client();
  const [one, ...others] = String(await client.call('CLIENT', 'LIST'))
    .trim()
    .split('\n')
    .map((line) => Object.keys(fieldsOf(line)));
  expect(others).toEqual(others.map(() => one));
  expect(others.length).toBeGreaterThan(0);
  await client.close();
});

describe.concurrent('CLIENT KILL', () => {
  test.for<[string, string[], string | number]>([
    ['TYPE master', ['TYPE', 'master'], 1],
    ['ID', ['ID', '<id>'], 1],
    ['ADDR', ['ADDR', '<addr>'], 1],
    ['LADDR', ['LADDR', '<laddr>'], 1],
    ['its address, in the old form', ['<addr>'], 'OK'],
    ['all others', ['SKIPME', 'yes'], 1],
    ['TYPE normal', ['TYPE', 'normal'], 0],
    ['USER default', ['USER', 'default'], 0],
    ['TYPE master of another user', ['TYPE', 'master', 'USER', 'default'], 0],
  ])('%s', async ([, filter, expected], { servers }) => {
    const { primary, replicas } = await start(servers);
    const kill = async (replica: TestServer): Promise<void> => {
      const client = await replica.client();
      const fields = await primaryOf(client);
      await waitForOthersToLeave(client);
      const words = filter.map((word) => word.replace(/^<(.*)>$/, (_all, name) => fields[name]!));
      const losses = (): number =>
        replica.lines.filter((line) => line.includes('Connection with master lost')).length;
      const before = losses();
      const [killed, list] = await client.pipeline([
        ['CLIENT', 'KILL', ...words],
        ['CLIENT', 'LIST', 'TYPE', 'master'],
      ]);
      expect(killed).toBe(expected);
      const isCut = expected !== 0;
      expect(list === '').toBe(isCut);
      await primaryOf(client);
      if (isCut) await waitFor(() => losses() > before, { what: 'the line of the loss' });
      expect(losses() - before).toBe(isCut ? 1 : 0);
      await client.close();
    };
    await Promise.all(replicas.map(kill));
    // They have what they had, and go on.
    const client = await primary.client();
    await client.call('SET', 'after', 'v');
    for (const replica of replicas) await waitForSync(primary, replica);
    expect((await syncCounts(primary)).full).toBe(2);
    await client.close();
  });

  test('of a primary that is not there kills nobody', async ({ servers }) => {
    const alone = await servers.headwater();
    const client = await alone.client();
    expect(await client.call('CLIENT', 'KILL', 'TYPE', 'master')).toBe(0);
    expect(await client.command('CLIENT', 'KILL', '127.0.0.1:1')).toEqual(
      new RespError('ERR No such client'),
    );
    await client.close();
  });
});
