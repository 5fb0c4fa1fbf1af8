/**
 * Libraries of functions that come in the stream of a real primary. What counts is that a real
 * replica that attaches below later, or a node that starts again, has those of the primary.
 */
import { describe, expect } from 'vitest';
import { expectSameData, waitForSync } from '../support/digest.ts';
import { type TestServer, temporaryDirectory } from '../support/server-process.ts';
import { type Servers, test } from '../support/servers.ts';
import { waitFor } from '../support/wait-for.ts';

const DEBUG = ['--enable-debug-command', 'yes'];
const libraryOf = (name: string, text = ''): string =>
  `#!lua name=${name}\nredis.register_function('f_${name}', function() return '${text}' end)`;

async function call(server: TestServer, ...words: (string | Buffer)[]): Promise<unknown> {
  const client = await server.client();
  try {
    return await client.call(...words);
  } finally {
    await client.close();
  }
}

/** The code of each library, sorted. */
async function librariesOf(server: TestServer): Promise<string[]> {
  const list = (await call(server, 'FUNCTION', 'LIST', 'WITHCODE')) as string[][];
  return list.map((library) => library[library.indexOf('library_code') + 1]!).sort();
}

interface Chain {
  readonly primary: TestServer;
  readonly relay: TestServer;
}

async function chain(servers: Servers, ...args: string[]): Promise<Chain> {
  const primary = await servers.redis();
  const relay = await servers.headwater({ replicaOf: primary.port, args: [...DEBUG, ...args] });
  await waitForSync(primary, relay);
  return { primary, relay };
}

/** A real replica that attaches to the relay now has what the primary has. */
async function expectSame(servers: Servers, { primary, relay }: Chain): Promise<void> {
  await waitForSync(primary, relay);
  const below = await servers.redis({ replicaOf: relay.port });
  await waitForSync(primary, below);
  await expectSameData(primary, relay);
  await expectSameData(primary, below);
  expect(await librariesOf(below)).toEqual(await librariesOf(primary));
  const client = await relay.client();
  expect(await client.infoField('stats', 'unexpected_error_replies')).toBe('0');
  await client.close();
}

describe('libraries of functions in the stream', () => {
  test('those that are loaded, replaced and deleted', { timeout: 60_000 }, async ({ servers }) => {
    const made = await chain(servers);
    const { primary } = made;
    await call(primary, 'FUNCTION', 'LOAD', libraryOf('one'));
    await call(primary, 'FUNCTION', 'LOAD', libraryOf('two'));
    await call(primary, 'FUNCTION', 'LOAD', libraryOf('gone'));
    await call(primary, 'FUNCTION', 'LOAD', 'REPLACE', libraryOf('two', 'other'));
    await call(primary, 'FUNCTION', 'DELETE', 'gone');
    expect(await librariesOf(primary)).toEqual([libraryOf('one'), libraryOf('two', 'other')]);
    await expectSame(servers, made);
    await call(primary, 'FUNCTION', 'FLUSH', 'ASYNC');
    await call(primary, 'FUNCTION', 'LOAD', libraryOf('last'));
    await expectSame(servers, made);
  });

  test('a transaction with one runs whole', { timeout: 60_000 }, async ({ servers }) => {
    const made = await chain(servers);
    const client = await made.primary.client();
    await client.pipeline([
      ['MULTI'],
      ['SET', 'a', '1'],
      ['FUNCTION', 'LOAD', libraryOf('one')],
      ['SET', 'b', '2'],
      ['EXEC'],
    ]);
    await client.close();
    expect(await call(made.primary, 'DBSIZE')).toBe(2);
    await expectSame(servers, made);
  });

  test.for(['APPEND', 'REPLACE', 'FLUSH'])(
    'those of FUNCTION RESTORE … %s',
    { timeout: 60_000 },
    async (policy, { servers }) => {
      const other = await servers.redis();
      // Long enough to be compressed.
      await call(other, 'FUNCTION', 'LOAD', libraryOf('one', 'x'.repeat(5000)));
      await call(other, 'FUNCTION', 'LOAD', libraryOf('two'));
      const client = await other.client({ bulk: 'buffer' });
      const payload = (await client.command('FUNCTION', 'DUMP')) as Buffer;
      await client.close();
      const made = await chain(servers);
      await call(made.primary, 'FUNCTION', 'LOAD', libraryOf('three'));
      if (policy !== 'APPEND') await call(made.primary, 'FUNCTION', 'LOAD', libraryOf('one'));
      await call(made.primary, 'FUNCTION', 'RESTORE', payload, policy);
      expect(await librariesOf(made.primary)).toHaveLength(policy === 'FLUSH' ? 2 : 3);
      await expectSame(servers, made);
    },
  );

  test('the payload without any', { timeout: 60_000 }, async ({ servers }) => {
    const made = await chain(servers);
    const client = await made.primary.client({ bulk: 'buffer' });
    const payload = (await client.call('FUNCTION', 'DUMP')) as Buffer;
    await client.close();
    await call(made.primary, 'FUNCTION', 'LOAD', libraryOf('gone'));
    await call(made.primary, 'FUNCTION', 'RESTORE', payload, 'FLUSH');
    expect(await librariesOf(made.primary)).toEqual([]);
    await expectSame(servers, made);
  });

  test('those of an append only file', { timeout: 60_000 }, async ({ servers }) => {
    const dir = temporaryDirectory('functions');
    const aof = ['--appendonly', 'yes', '--aof-use-rdb-preamble', 'no'];
    const primary = await servers.redis();
    const first = await servers.headwater({
      replicaOf: primary.port,
      dir,
      args: [...DEBUG, ...aof],
    });
    await waitForSync(primary, first);
    const client = await first.client();
    // A base of commands: what follows is in an increment.
    await waitFor(async () => (await client.command('DEBUG', 'LOADAOF')) === 'OK');
    await call(primary, 'FUNCTION', 'LOAD', libraryOf('kept'));
    await call(primary, 'FUNCTION', 'LOAD', libraryOf('gone'));
    await call(primary, 'FUNCTION', 'DELETE', 'gone');
    await waitForSync(primary, first);
    await client.call('REPLICAOF', 'NO', 'ONE');
    expect(await client.call('DEBUG', 'LOADAOF')).toBe('OK');
    await client.close();
    await first.stop();
    const second = await servers.headwater({ dir, args: [...DEBUG, ...aof] });
    const below = await servers.redis({ replicaOf: second.port });
    await waitForSync(second, below);
    expect(await librariesOf(below)).toEqual([libraryOf('kept')]);
  });
});
