/**
 * What becomes of a handler that throws. The handlers here are put in the place of real ones: what
 * they throw is what structures throw when the system has no memory, or when an assertion fails.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { assert } from '../../../src/base/assert.ts';
import { ErrorCode, OperatingError } from '../../../src/base/errors.ts';
import type { CommandContext } from '../../../src/commands/context.ts';
import type { Handler } from '../../../src/commands/spec.ts';
import { Request } from '../../../src/resp/request.ts';
import { answerFor } from '../../../src/server/dispatch/boundary.ts';
import type { CommandRow } from '../../../src/server/dispatch/command-lookup.ts';
import { FakeReplica } from '../../support/fake-replica.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { waitFor } from '../../support/wait-for.ts';

const OOM = "OOM command not allowed when used memory > 'maxmemory'.";
const full = (): never => {
  throw new OperatingError(ErrorCode.ARENA_FULL, 'no memory, says the test');
};

let node: NodeInProcess;
let client: RespClient;
const undo: (() => void)[] = [];

beforeAll(async () => {
  node = await startNode();
  client = await node.client();
});
afterAll(async () => {
  await client.close();
  await node.stop();
});
afterEach(() => {
  for (const each of undo.splice(0)) each();
});

/** Puts `handler` in the place of a command's own until the test ends. */
function replaceHandler(name: string, handler: Handler): Handler {
  const row = node.node.dispatcher.lookup.byName(name) as { handler: Handler } & CommandRow;
  const own = row.handler;
  row.handler = handler;
  undo.push(() => {
    row.handler = own;
  });
  return own;
}

describe('an operating error', () => {
  test('takes back what was answered, and the client goes on', async () => {
    replaceHandler('APPEND', ({ reply }: CommandContext) => {
      reply.array(3);
      reply.integer(1);
      full();
    });
    const replies = await client.pipeline([
      ['SET', 'k', '1'],
      ['APPEND', 'k', 'x'],
      ['GET', 'k'],
      ['PING'],
    ]);
    expect(replies.map(String)).toEqual(['OK', expect.stringContaining(OOM), '1', 'PONG']);
  });

  test('inside a transaction is the reply of its command, and the others run', async () => {
    replaceHandler('APPEND', full);
    await client.call('MULTI');
    await client.call('SET', 'k', '2');
    await client.call('APPEND', 'k', 'x');
    await client.call('INCR', 'k');
    const replies = (await client.call('EXEC')) as unknown[];
    expect(replies.map(String)).toEqual(['OK', expect.stringContaining(OOM), '3']);
  });

  test('is counted as a failed call, and leaves nothing for the stream', async () => {
    const replica = await FakeReplica.attach(node.port);
    replaceHandler('APPEND', full);
    await client.call('CONFIG', 'RESETSTAT');
    const changes = node.node.server.dirty;
    await client.pipeline([
      ['APPEND', 'k', 'x'],
      ['SET', 'last', '1'],
    ]);
    await replica.waitForCommand('SET', 'last', '1');
    expect(replica.stream.toString()).not.toContain('APPEND');
    expect(node.node.server.dirty).toBe(changes + 1);
    expect(String(await client.call('INFO', 'commandstats'))).toContain('cmdstat_append:calls=1');
    expect(String(await client.call('INFO', 'errorstats'))).toContain('errorstat_OOM:count=1');
    await replica.close();
  });
});

test('that comes when a part was done ends the links of replicas, which get a full sync', async () => {
  const replica = await FakeReplica.attach(node.port);
  await replica.waitForDump();
  replaceHandler('APPEND', (context: CommandContext) => {
    context.changed(1);
    context.replicateAs('SET', 'k', 'never');
    full();
  });
  const { replid } = node.node.server.history;
  await client.command('APPEND', 'k', 'x');
  await replica.closed;
  expect(replica.stream.toString()).not.toContain('never');
  expect(node.node.server.history.replid).not.toBe(replid);
});

describe('memory that is scarce', () => {
  test('lets what fails halfway be taken back, and the stream go on', async () => {
    const replica = await FakeReplica.attach(node.port);
    await replica.waitForDump();
    const { keyspace } = node.node.server;
    undo.push(() => {
      delete (keyspace as { mustGuard?: unknown }).mustGuard;
    });
    Object.defineProperty(keyspace, 'mustGuard', { value: () => true, configurable: true });
    await client.call('SET', 'k', 'before');
    replaceHandler('APPEND', (context: CommandContext) => {
      const entry = context.lookupWrite(1);
      context.db.remove(entry);
      context.changed(1);
      full();
    });
    expect(String(await client.command('APPEND', 'k', 'x'))).toContain(OOM);
    expect(await client.call('GET', 'k')).toBe('before');
    await client.call('SET', 'last', '2');
    await replica.waitForCommand('SET', 'last', '2');
    keyspace.validate();
    await replica.close();
  });
});

describe('a broken assertion', () => {
  /** Runs words through the dispatcher, as a connection of the node. */
  function runBroken(words: readonly string[]): () => void {
    const connection = [...node.node.server.clients.values()][0]!;
    const request = new Request();
    const bytes = Buffer.from(words.join(''), 'latin1');
    request.begin(bytes, 0, words.length);
    let at = 0;
    for (const word of words) {
      request.add(at, word.length);
      at += word.length;
    }
    request.end = at;
    return () => node.node.dispatcher.run(connection, request);
  }

  test('is thrown on, and the report tells command, client and INFO, but no secret', () => {
    replaceHandler('AUTH', () => assert(false, 'a test breaks it'));
    expect(runBroken(['AUTH', 'hunter2'])).toThrow('a test breaks it');
    let error: unknown;
    try {
      runBroken(['AUTH', 'hunter2'])();
    } catch (thrown) {
      error = thrown;
    }
    const before = node.messages.length;
    node.node.crashed(error);
    const report = node.messages.slice(before).join('\n');
    expect(report).toContain('BUG REPORT START');
    expect(report).toContain('a test breaks it');
    expect(report).toContain('boundary.test.ts');
    expect(report).toContain('argv[0] = "AUTH"');
    expect(report).toContain('argv[1] = (redacted)');
    expect(report).toContain('# Server');
    expect(report).not.toContain('hunter2');
  });

  test('inside a transaction leaves no frame behind', async () => {
    const own = replaceHandler('APPEND', () => assert(false, 'a test breaks it'));
    const connection = [...node.node.server.clients.values()][0]!;
    await client.call('MULTI');
    await client.call('APPEND', 'k', 'x');
    expect(connection.queued).toHaveLength(1);
    expect(runBroken(['EXEC'])).toThrow('a test breaks it');
    connection.reply.truncate(0);
    const row = node.node.dispatcher.lookup.byName('APPEND') as { handler: Handler } & CommandRow;
    row.handler = own;
    expect(await client.call('SET', 'k', '1')).toBe('OK');
    await client.call('MULTI');
    await client.call('APPEND', 'k', 'x');
    expect(await client.call('EXEC')).toEqual([2]);
  });
});

test.each([
  [new OperatingError(ErrorCode.ARENA_FULL, 'x'), true, OOM],
  [new OperatingError(ErrorCode.IO, 'disk says no'), false, 'ERR disk says no'],
  [new RangeError('Array buffer allocation failed'), false, OOM],
  [new RangeError('Array buffer allocation failed'), true, undefined],
  [new RangeError('Invalid string length'), false, OOM],
  [Object.assign(new Error('too long'), { code: 'ERR_STRING_TOO_LONG' }), false, OOM],
  [new RangeError('Maximum call stack size exceeded'), false, undefined],
  [new TypeError('x is not a function'), false, undefined],
])('%s, with changes %s, is answered by %s', (error, hasChanged, answer) => {
  expect(answerFor(error, hasChanged)).toBe(answer);
});

describe('a command of the primary that finds no memory', () => {
  test('is followed by a full sync, not by what comes behind it', async () => {
    const head = await startNode();
    const above = await head.client();
    try {
      await client.command('REPLICAOF', '127.0.0.1', String(head.node.port));
      await waitFor(
        async () => (await client.infoField('replication', 'master_link_status')) === 'up',
      );
      const own = replaceHandler('APPEND', full);
      await above.pipeline([
        ['MULTI'],
        ['APPEND', 'k', 'x'],
        ['INCR', 'n'],
        ['EXEC'],
        ['INCR', 'n'],
      ]);
      await waitFor(async () => (await above.infoField('stats', 'sync_full')) === '2');
      replaceHandler('APPEND', own);
      await waitFor(async () => (await client.command('GET', 'n'))?.toString() === '2');
      expect((await client.command('GET', 'k'))?.toString()).toBe('x');
      expect(await client.infoField('replication', 'master_replid')).toBe(
        await above.infoField('replication', 'master_replid'),
      );
    } finally {
      await client.command('REPLICAOF', 'NO', 'ONE');
      await above.close();
      await head.stop();
    }
  });
});
