/**
 * Consumer groups: where `-` and `+` are ids, and what is known of a group that a dump before RDB
 * 10 brings.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bytesOf } from '../../../src/base/bytes.ts';
import { PayloadCodec } from '../../../src/rdb/payload.ts';
import { CommandHarness } from '../../support/command-harness.ts';
import { startHeadwater } from '../../support/headwater.ts';
import { startRedis } from '../../support/real-redis.ts';
import type { Argument, RespClient } from '../../support/resp-client.ts';
import { RespError } from '../../support/resp-parser.ts';
import type { TestServer } from '../../support/server-process.ts';

let servers: TestServer[];
let clients: RespClient[];

beforeAll(async () => {
  servers = await Promise.all([startHeadwater(), startRedis()]);
  clients = await Promise.all(servers.map((server) => server.client()));
});

afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await Promise.all(servers.map((server) => server.stop()));
});

const shown = (reply: unknown): unknown => (reply instanceof RespError ? reply.message : reply);

/** The replies of both servers to the commands. */
async function both(commands: readonly (readonly Argument[])[]): Promise<unknown[][]> {
  return Promise.all(
    clients.map(async (client) => (await client.pipeline([['FLUSHALL'], ...commands])).map(shown)),
  );
}

describe.each(['-', '+', '(1', '5', '$'])('the id %s', (id) => {
  test.each<[name: string, command: readonly Argument[]]>([
    ['XGROUP SETID', ['XGROUP', 'SETID', 's', 'g', id]],
    ['XGROUP SETID ENTRIESREAD', ['XGROUP', 'SETID', 's', 'g', id, 'ENTRIESREAD', 1]],
    ['XGROUP CREATE', ['XGROUP', 'CREATE', 's', 'h', id]],
    ['XSETID', ['XSETID', 's', id]],
    ['XSETID MAXDELETEDID', ['XSETID', 's', '9-9', 'ENTRIESADDED', 9, 'MAXDELETEDID', id]],
    ['XADD', ['XADD', 's', id, 'a', 'b']],
    ['XADD MINID', ['XADD', 's', 'MINID', id, '*', 'a', 'b']],
    ['XDEL', ['XDEL', 's', id]],
    ['XACK', ['XACK', 's', 'g', id]],
    ['XTRIM', ['XTRIM', 's', 'MINID', id]],
    ['XREAD', ['XREAD', 'STREAMS', 's', id]],
    ['XREADGROUP', ['XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 's', id]],
    ['XCLAIM', ['XCLAIM', 's', 'g', 'c', 0, id]],
    ['XCLAIM LASTID', ['XCLAIM', 's', 'g', 'c', 0, '1-1', 'LASTID', id]],
    ['XAUTOCLAIM', ['XAUTOCLAIM', 's', 'g', 'c', 0, id]],
    ['XPENDING', ['XPENDING', 's', 'g', id, '+', 5]],
    ['XRANGE', ['XRANGE', 's', id, '+']],
    ['XREVRANGE', ['XREVRANGE', 's', '+', id]],
  ])('in %s', async (name, command) => {
    const [ours, theirs] = await both([
      ['XADD', 's', '1-1', 'a', 'b'],
      ['XADD', 's', '5-0', 'a', 'b'],
      ['XGROUP', 'CREATE', 's', 'g', 0],
      ['XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 1, 'STREAMS', 's', '>'],
      command,
      ['XPENDING', 's', 'g'],
      ['XINFO', 'GROUPS', 's'],
    ]);
    // An entry that is added gets an id of the clock.
    if (name === 'XADD MINID')
      ours![5] = theirs![5] =
        String(ours![5]).startsWith('ERR') === String(theirs![5]).startsWith('ERR');
    // How long an entry has been pending is the clock's, too.
    if (name === 'XPENDING')
      for (const replies of [ours!, theirs!]) replies[5] = withoutIdleTimes(replies[5]);
    expect(ours).toEqual(theirs);
  });
});

/** The entries of XPENDING with whether they have an idle time below a minute. */
function withoutIdleTimes(reply: unknown): unknown {
  if (!Array.isArray(reply)) return reply;
  return reply.map(([id, consumer, idleMs, deliveries]) => [
    id,
    consumer,
    idleMs >= 0 && idleMs < 60_000,
    deliveries,
  ]);
}

test('XGROUP SETID - is 0-0, also in the stream', () => {
  const harness = new CommandHarness();
  for (const words of [
    ['XADD', 's', '1-1', 'a', 'b'],
    ['XGROUP', 'CREATE', 's', 'g', '$'],
  ])
    harness.run(...words);
  const { reply, stream } = harness.run('XGROUP', 'SETID', 's', 'g', '-');
  expect(reply).toBe('OK');
  expect(stream).toEqual([{ db: 0, words: ['XGROUP', 'SETID', 's', 'g', '-'] }]);
  expect(harness.call('XINFO', 'GROUPS', 's')).toEqual([
    expect.arrayContaining(['last-delivered-id', '0-0', 'lag', 1]),
  ]);
});

describe('a group of a dump before RDB 10', () => {
  const codec = new PayloadCodec();

  test.each<
    [
      name: string,
      commands: readonly (readonly Argument[])[],
      read: number | null,
      lag: number | null,
    ]
  >([
    ['that has read all', [['XGROUP', 'CREATE', 's', 'g', '$']], 5, 0],
    ['that has read nothing', [['XGROUP', 'CREATE', 's', 'g', 0]], 0, 5],
    ['before the first entry', [['XGROUP', 'CREATE', 's', 'g', '0-7']], 0, 5],
    ['at the first entry', [['XGROUP', 'CREATE', 's', 'g', '1-0']], 1, 4],
    ['in the middle', [['XGROUP', 'CREATE', 's', 'g', '3-0']], null, null],
    ['past the end', [['XGROUP', 'CREATE', 's', 'g', '9-0']], null, null],
    [
      'at the end, where an entry behind the last one was deleted',
      [
        ['XDEL', 's', '5-0'],
        ['XGROUP', 'CREATE', 's', 'g', '$'],
      ],
      4,
      0,
    ],
    [
      'of an empty stream',
      [
        ['XTRIM', 's', 'MAXLEN', 0],
        ['XGROUP', 'CREATE', 's', 'g', '$'],
      ],
      0,
      0,
    ],
    [
      'that had been told how much it read',
      [['XGROUP', 'CREATE', 's', 'g', '3-0', 'ENTRIESREAD', 3]],
      null,
      null,
    ],
  ])('%s', async (_, commands, read, lag) => {
    const harness = new CommandHarness();
    for (let i = 1; i <= 5; i++) harness.run('XADD', 's', `${i}-0`, 'n', i);
    for (const words of commands) harness.run(...words);
    const key = bytesOf('s');
    const db = harness.keyspace.databases[0]!;
    const payload = codec.dump(db.arena, db.find(key, 0, key.length), {
      version: 9,
      plainTypes: true,
    });
    const [ours, theirs] = await both([
      ['RESTORE', 'r', 0, payload],
      ['XINFO', 'GROUPS', 'r'],
    ]);
    expect(ours).toEqual(theirs);
    const [info] = ours!.at(-1) as RespPairs[];
    const fieldOf = (name: string): unknown => info![info!.indexOf(name) + 1];
    expect([fieldOf('entries-read'), fieldOf('lag')]).toEqual([read, lag]);
  });
});

type RespPairs = unknown[];
