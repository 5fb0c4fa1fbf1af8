/** MULTI and EXEC: what is watched, what the stream carries, and who is killed inside. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FakeReplica } from '../../support/fake-replica.ts';
import { startHeadwater } from '../../support/headwater.ts';
import { startRedis } from '../../support/real-redis.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { RespError } from '../../support/resp-parser.ts';
import type { TestServer } from '../../support/server-process.ts';
import { waitFor } from '../../support/wait-for.ts';

let ours: TestServer;
let theirs: TestServer;

beforeAll(async () => {
  [ours, theirs] = await Promise.all([
    startHeadwater({ args: ['--enable-debug-command', 'yes'] }),
    startRedis({ args: ['--repl-ping-replica-period', '3600'] }),
  ]);
});

afterAll(async () => {
  await Promise.all([ours.stop(), theirs.stop()]);
});

describe('WATCH', () => {
  let watcher: RespClient;
  let other: RespClient;

  beforeAll(async () => {
    [watcher, other] = await Promise.all([ours.client(), ours.client()]);
  });

  afterAll(async () => {
    await Promise.all([watcher.close(), other.close()]);
  });

  const cases: readonly (readonly [
    what: string,
    before: string[],
    change: string[],
    runs: boolean,
  ])[] = [
    ['another client sets the key', ['SET', 'w', '1'], ['SET', 'w', '1'], false],
    ['another client deletes the key', ['SET', 'w', '1'], ['DEL', 'w'], false],
    ['a key that was absent is made', ['DEL', 'w'], ['SET', 'w', '1'], false],
    ['the database is flushed', ['SET', 'w', '1'], ['FLUSHDB'], false],
    ['everything is flushed', ['SET', 'w', '1'], ['FLUSHALL'], false],
    ['an empty database is flushed', ['DEL', 'w'], ['FLUSHDB'], true],
    ['the key gets a deadline', ['SET', 'w', '1'], ['EXPIRE', 'w', '100'], false],
    [
      'the key is in the database that is swapped away',
      ['SET', 'w', '1'],
      ['SWAPDB', '0', '1'],
      false,
    ],
    ['another key changes', ['SET', 'w', '1'], ['SET', 'x', '1'], true],
    ['a deletion finds nothing', ['DEL', 'w'], ['DEL', 'w'], true],
    ['the key is only read', ['SET', 'w', '1'], ['GET', 'w'], true],
  ];

  test.each(cases)('%s', async (_, before, change, runs) => {
    await other.call('FLUSHALL');
    await other.call(...(before as [string]));
    await watcher.call('WATCH', 'w');
    await other.call(...(change as [string]));
    await watcher.call('MULTI');
    await watcher.call('PING');
    expect(await watcher.call('EXEC')).toEqual(runs ? ['PONG'] : null);
  });

  test('a key that expires meanwhile is a change, one that had expired before is none', async () => {
    await other.call('DEBUG', 'SET-ACTIVE-EXPIRE', 0);
    // In one write: the key is there when it is watched.
    await watcher.pipeline([
      ['SET', 'w', '1', 'PX', 50],
      ['WATCH', 'w'],
      ['DEBUG', 'SLEEP', '0.1'],
    ]);
    await watcher.call('MULTI');
    await watcher.call('PING');
    expect(await watcher.call('EXEC')).toBeNull();
    await watcher.call('WATCH', 'w');
    expect(await other.call('GET', 'w')).toBeNull();
    await watcher.call('MULTI');
    await watcher.call('PING');
    expect(await watcher.call('EXEC')).toEqual(['PONG']);
    await other.call('DEBUG', 'SET-ACTIVE-EXPIRE', 1);
  });

  test('is forgotten after EXEC and on RESET', async () => {
    await watcher.call('WATCH', 'w');
    await watcher.call('MULTI');
    expect(await watcher.call('EXEC')).toEqual([]);
    await other.call('SET', 'w', '2');
    await watcher.call('WATCH', 'w');
    await watcher.call('RESET');
    await other.call('SET', 'w', '3');
    await watcher.call('MULTI');
    await watcher.call('GET', 'w');
    expect(await watcher.call('EXEC')).toEqual(['3']);
  });
});

test('errors of commands inside are elements of the reply, and the rest runs', async () => {
  const client = await ours.client();
  await client.pipeline([
    ['SET', 's', 'text'],
    ['MULTI'],
    ['INCR', 's'],
    ['SET', 's', '5'],
    ['INCR', 's'],
  ]);
  const replies = (await client.call('EXEC')) as unknown[];
  expect(replies[0]).toBeInstanceOf(RespError);
  expect(replies.slice(1)).toEqual(['OK', 6]);
  await client.close();
});

test('CLIENT KILL of the caller inside a transaction lets EXEC answer first', async () => {
  const client = await ours.client();
  const id = await client.call('CLIENT', 'ID');
  await client.call('MULTI');
  client.send('SET', 'last', 'words');
  client.send('CLIENT', 'KILL', 'ID', String(id), 'SKIPME', 'no');
  client.send('GET', 'last');
  await Promise.all([client.reply(), client.reply(), client.reply()]);
  expect(await client.call('EXEC')).toEqual(['OK', 1, 'words']);
  await client.closed;
  expect(client.isClosed).toBe(true);
});

test('what memory forbids to a command of a transaction, it forbids to EXEC', async () => {
  const client = await ours.client();
  await client.call('MULTI');
  await client.call('SET', 'big', 'value');
  const other = await ours.client();
  await other.call('CONFIG', 'SET', 'maxmemory', 1);
  const reply = await client.command('EXEC');
  await other.call('CONFIG', 'SET', 'maxmemory', 0);
  expect(reply).toEqual(
    new RespError(
      "EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.",
    ),
  );
  expect(await client.call('GET', 'big')).toBeNull();
  await Promise.all([client.close(), other.close()]);
});

/** Conversations whose stream is compared with that of the real server. */
const streams: Readonly<Record<string, readonly (readonly string[])[]>> = {
  'a transaction of several writes': [['MULTI'], ['SET', 'a', '1'], ['INCR', 'a'], ['EXEC']],
  'a transaction of one write among reads': [
    ['MULTI'],
    ['GET', 'a'],
    ['SET', 'a', '1'],
    ['GET', 'a'],
    ['EXEC'],
  ],
  'a transaction that only reads': [['MULTI'], ['GET', 'a'], ['EXEC']],
  'an empty transaction': [['MULTI'], ['EXEC']],
  'a transaction that is dropped': [['MULTI'], ['SET', 'a', '2'], ['DISCARD']],
  'a write that fails inside': [
    ['SET', 't', 'x'],
    ['MULTI'],
    ['INCR', 't'],
    ['SET', 'b', '1'],
    ['SET', 'c', '1'],
    ['EXEC'],
  ],
  'several databases in one transaction': [
    ['MULTI'],
    ['SET', 'a', '1'],
    ['SELECT', '5'],
    ['SET', 'a', '1'],
    ['SELECT', '0'],
    ['SET', 'a', '2'],
    ['EXEC'],
  ],
  'rewritten commands inside': [
    ['MULTI'],
    ['INCRBYFLOAT', 'f', '1.5'],
    ['SET', 'f2', 'x', 'KEEPTTL'],
    ['EXEC'],
  ],
  messages: [
    ['PUBLISH', 'ch', 'one'],
    ['SPUBLISH', 'sh', 'two'],
    ['MULTI'],
    ['PUBLISH', 'ch', 'three'],
    ['SET', 'a', '1'],
    ['EXEC'],
  ],
};

test.each(Object.keys(streams))('the stream of %s is that of the real server', async (name) => {
  const carried = await Promise.all(
    [ours, theirs].map(async (server) => {
      const replica = await FakeReplica.attach(server.port);
      await replica.waitForDump();
      const client = await server.client();
      // The marks: a replica that joins a snapshot of before gets the stream from there. SELECT
      // comes with the first one, because 7.0 has it before MULTI and 7.2 behind it.
      await client.call('SET', 'begin', name);
      for (const words of streams[name]!) await client.command(...words);
      await client.call('SET', 'end', name);
      await waitFor(() =>
        replica.commands.some(([, key, value]) => key === 'end' && value === name),
      );
      const from = replica.commands.findIndex(
        ([, key, value]) => key === 'begin' && value === name,
      );
      const commands = replica.commands
        .slice(from)
        .filter(([first]) => !/^(PING|REPLCONF)$/i.test(first!));
      replica.socket.destroy();
      await replica.closed;
      await client.close();
      return commands;
    }),
  );
  expect(carried[0]).toEqual(carried[1]);
});
