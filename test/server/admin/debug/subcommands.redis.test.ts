/**
 * DEBUG subcommands that Redis' own tests use: replies as the real server's, and that they do what
 * they say.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Prng } from '../../../../src/base/prng.ts';
import { directiveNames } from '../../../../src/server/config/directives.ts';
import { loadConfig } from '../../../../src/server/config/load.ts';
import { startHeadwater } from '../../../support/headwater.ts';
import { startNode } from '../../../support/node-in-process.ts';
import { startRedis } from '../../../support/real-redis.ts';
import type { RespClient } from '../../../support/resp-client.ts';
import { RespError } from '../../../support/resp-parser.ts';
import { testSeed } from '../../../support/seed.ts';
import type { TestServer } from '../../../support/server-process.ts';
import { waitFor } from '../../../support/wait-for.ts';

let ours: TestServer;
let theirs: TestServer;
let own: RespClient;
let real: RespClient;

beforeAll(async () => {
  [ours, theirs] = await Promise.all([
    startHeadwater({ args: ['--enable-debug-command', 'yes'] }),
    startRedis(),
  ]);
  own = await ours.client();
  real = await theirs.client();
  for (const client of [own, real]) {
    await client.pipeline([
      ['HSET', 'hash', 'a', '1', 'b', 'text'],
      ['SADD', 'set', 'a', 'b', 'x'.repeat(100)],
      ['CONFIG', 'SET', 'list-max-listpack-size', '2'],
      ['RPUSH', 'list', 'a', 'b', 'c', 'd', 'e'],
      ['SET', 'string', 'x'],
    ]);
  }
});

afterAll(async () => {
  await Promise.all([own.close(), real.close()]);
  await Promise.all([ours.stop(), theirs.stop()]);
});

test('OBJECT tells the nodes of a list', async () => {
  const nodes = async (client: RespClient, key: string): Promise<string> =>
    / ql_.*/.exec(String(await client.call('DEBUG', 'OBJECT', key)))?.[0] ?? '';
  expect(await nodes(own, 'list')).toMatch(/^ ql_nodes:3 ql_avg_node:1\.67 ql_listpack_max:2 /);
  expect(await nodes(own, 'list')).toBe(await nodes(real, 'list'));
  for (const client of [own, real]) {
    await client.call('CONFIG', 'SET', 'list-max-listpack-size', '-2');
    await client.call('RPUSH', 'long', ...Array.from({ length: 900 }, (_, i) => `${i}`.repeat(30)));
    await client.call('CONFIG', 'SET', 'list-max-listpack-size', '2');
  }
  // Redis keeps the limit with which a list was made.
  const rest = (fields: string): string => fields.replace(/ ql_listpack_max:\S+/, '');
  expect(rest(await nodes(own, 'long'))).toMatch(/^ ql_nodes:\d+ /);
  expect(rest(await nodes(own, 'long'))).toBe(rest(await nodes(real, 'long')));
  expect(await nodes(own, 'hash')).toBe('');
  for (const client of [own, real]) await client.call('DEL', 'long');
});

test.each([
  ['LISTPACK', 'hash'],
  ['LISTPACK', 'string'],
  ['LISTPACK', 'none'],
  ['LISTPACK'],
  ['QUICKLIST', 'list'],
  ['QUICKLIST', 'list', '1'],
  ['QUICKLIST', 'hash'],
  ['QUICKLIST', 'none'],
  ['HTSTATS', '99'],
  ['HTSTATS', 'x'],
  ['HTSTATS-KEY', 'string'],
  ['HTSTATS-KEY', 'none'],
  ['QUICKLIST-PACKED-THRESHOLD', '5gb'],
  ['QUICKLIST-PACKED-THRESHOLD', 'x'],
  ['QUICKLIST-PACKED-THRESHOLD', '100b'],
  ['QUICKLIST-PACKED-THRESHOLD', '0'],
  ['REPLICATE', 'PING'],
  ['PAUSE-CRON', 'x'],
  ['PAUSE-CRON'],
  ['REPLYBUFFER', 'x', 'y'],
  ['REPLYBUFFER', 'RESIZING', '0'],
  ['REPLYBUFFER', 'peak-reset-time', 'never'],
  ['REPLYBUFFER', 'peak-reset-time', 'RESET'],
  ['REPLYBUFFER', 'peak-reset-time', '100'],
  ['REPLYBUFFER', 'peak-reset-time', 'x'],
  ['CHANGE-REPL-ID'],
  ['STRINGMATCH-LEN', '10', 'a*'],
  ['NOSUCH'],
])('DEBUG %s %s %s is answered as by Redis', async (...words) => {
  expect(await own.command('DEBUG', ...words)).toEqual(await real.command('DEBUG', ...words));
});

test.each(['DICT-RESIZING', 'CLIENT-ENFORCE-REPLY-LIST'])(
  '%s, which 7.2 has, is OK',
  async (name) => {
    expect(await own.call('DEBUG', name, '1')).toBe('OK');
    expect(await own.command('DEBUG', name)).toBeInstanceOf(RespError);
  },
);

test('HELP names every subcommand, and each that it names is known', async () => {
  const help = (await own.call('DEBUG', 'HELP')) as string[];
  const lines = help.filter(
    (line) => /^[A-Z-]+(?: [A-Z<[]|$)/.test(line) && !line.startsWith('DEBUG'),
  );
  expect(lines.length).toBeGreaterThanOrEqual(30);
  for (const line of lines) {
    const words: string[] = [];
    for (const word of line.split(' ')) {
      if (word.startsWith('[')) break;
      words.push(word.startsWith('<') ? '0' : word);
    }
    // Those that end the process have a test of their own.
    const deadly = ['ASSERT', 'CRASH-AND-RECOVER', 'PANIC', 'RESTART', 'SEGFAULT'];
    if (deadly.includes(words[0]!)) continue;
    const reply = await own.command('DEBUG', ...words);
    const text = reply instanceof RespError ? reply.message : '';
    expect([line, text]).toEqual([line, expect.not.stringContaining('unknown subcommand')]);
  }
});

describe('what they do:', () => {
  test('LISTPACK and QUICKLIST write to the log', async () => {
    await own.call('DEBUG', 'LISTPACK', 'hash');
    expect(await ours.waitForLine(/\{total bytes \d+ num entries 4\}/)).toBeTruthy();
    await own.call('DEBUG', 'QUICKLIST', 'list', '1');
    expect(await ours.waitForLine('{count: 5} {nodes: 3}')).toBeTruthy();
  });

  test('HTSTATS counts buckets', async () => {
    const text = String(await own.call('DEBUG', 'HTSTATS', '0'));
    expect(text).toMatch(
      /^\[Dictionary HT\]\nHash table 0 stats \(main hash table\):\n table size: \d+\n/,
    );
    expect(text).toContain(' number of elements: 4\n');
    const ofSet = String(await own.call('DEBUG', 'HTSTATS-KEY', 'set', 'full'));
    expect(ofSet).toContain(' number of elements: 3\n');
    const sizes = [...ofSet.matchAll(/^ {3}(\d+): (\d+) \(/gm)].map(([, length, count]) => [
      Number(length),
      Number(count),
    ]);
    expect(sizes.reduce((sum, [length, count]) => sum + length! * count!, 0)).toBe(3);
  });

  test('CONFIG-REWRITE-FORCE-ALL writes every directive', async () => {
    expect(await own.command('DEBUG', 'CONFIG-REWRITE-FORCE-ALL')).toEqual(
      new RespError(
        'ERR CONFIG-REWRITE-FORCE-ALL failed: The server is running without a config file',
      ),
    );
    const server = await startHeadwater({ conf: 'enable-debug-command yes\n' });
    const client = await server.client();
    const [, dir] = (await client.call('CONFIG', 'GET', 'dir')) as string[];
    const file = String((await client.info('server')).get('config_file'));
    await client.call('DEBUG', 'CONFIG-REWRITE-FORCE-ALL');
    const lines = readFileSync(file, 'latin1').split('\n');
    const written = new Set(lines.map((line) => line.split(' ')[0]));
    // A directive that is unset has no line that would say so.
    const missing = directiveNames.filter((name) => !written.has(name));
    const config = loadConfig({ file, directory: dir! });
    for (const name of missing) expect([name, config.text(name)]).toEqual([name, '']);
    expect(written.size).toBeGreaterThan(150);
    await server.stop();
  });

  test('REPLICATE reaches replicas and nothing here', async () => {
    const replica = await startRedis({ replicaOf: ours.port });
    const below = await replica.client();
    await waitFor(
      async () => (await below.info('replication')).get('master_link_status') === 'up',
      {
        what: 'the link',
      },
    );
    await own.call('DEBUG', 'REPLICATE', 'SET', 'only-below', '1');
    await waitFor(async () => (await below.call('GET', 'only-below')) === '1', { what: 'the key' });
    expect(await own.call('GET', 'only-below')).toBeNull();
    await below.close();
    await replica.stop();
  });

  test('PAUSE-CRON 1 stops active expiry until 0', async () => {
    const { node, client, stop } = await startNode('enable-debug-command yes');
    const one = await client();
    await one.call('DEBUG', 'PAUSE-CRON', '1');
    await one.call('SET', 'k', 'v', 'PX', '1');
    await waitFor(() => Date.now() > node.server.nowMs + 2, { what: 'the deadline' });
    node.housekeeping.tick();
    expect(node.server.keyspace.databases[0]!.keyCount).toBe(1);
    await one.call('DEBUG', 'PAUSE-CRON', '0');
    node.housekeeping.tick();
    expect(node.server.keyspace.databases[0]!.keyCount).toBe(0);
    await stop();
  });

  test('STRINGMATCH-TEST ends', async () => {
    expect(await own.call('DEBUG', 'STRINGMATCH-TEST')).toBe(
      'Apparently Redis did not crash: test passed',
    );
  });

  test.each(['SEGFAULT', 'ASSERT', 'PANIC'])('%s ends the process', async (name) => {
    const server = await startHeadwater({ args: ['--enable-debug-command', 'yes'] });
    const client = await server.client();
    client.write(`DEBUG ${name}\r\n`);
    await server.exited;
    expect(server.exitCode).not.toBe(0);
  });
});

test('QUICKLIST-PACKED-THRESHOLD makes plain nodes, and lists stay what they are', async () => {
  const { node, client, stop } = await startNode(
    'enable-debug-command yes',
    'list-max-listpack-size 5',
  );
  const [mine, seed] = [await client(), testSeed('packed threshold')];
  const prng = new Prng(seed);
  for (const one of [mine, real]) {
    await one.call('CONFIG', 'SET', 'list-max-listpack-size', '5');
    await one.call('DEBUG', 'QUICKLIST-PACKED-THRESHOLD', '50b');
    await one.call('FLUSHALL');
  }
  const element = (): string => String(prng.below(1000)).repeat(1 + prng.below(40));
  const index = (): string => String(prng.below(30) - 15);
  const commands = (): string[] => {
    const made = [
      ['RPUSH', 'l', element(), element()],
      ['LPUSH', 'l', element(), element(), element()],
      ['LINSERT', 'l', prng.below(2) === 0 ? 'BEFORE' : 'AFTER', element(), element()],
      ['LSET', 'l', index(), element()],
      ['LREM', 'l', '1', element()],
      ['LPOP', 'l'],
      ['LTRIM', 'l', '0', '200'],
      ['COPY', 'l', 'm', 'REPLACE'],
    ];
    return made[prng.below(made.length)]!;
  };
  let plain = 0;
  for (let round = 0; round < 40; round++) {
    const batch = Array.from({ length: 20 }, commands);
    expect(await mine.pipeline(batch), `seed ${seed}`).toEqual(await real.pipeline(batch));
    const range = ['LRANGE', 'l', '0', '-1'];
    expect(await mine.call(...(range as [string])), `seed ${seed}`).toEqual(
      await real.call(...(range as [string])),
    );
    const db = node.server.keyspace.databases[0]!;
    const entry = db.find(Buffer.from('l'), 0, 1);
    const { quicklists } = node.server.keyspace.structures;
    if (String(await mine.call('OBJECT', 'ENCODING', 'l')) !== 'quicklist') continue;
    quicklists.validate(db.value(entry));
    quicklists.eachNode(db.value(entry), (_u8, _base, bytes, count, isPacked) => {
      if (isPacked) return;
      plain++;
      expect([count, bytes >= 50]).toEqual([1, true]);
    });
  }
  expect(plain).toBeGreaterThan(20);
  expect(await mine.call('DEBUG', 'DIGEST')).toBe(await real.call('DEBUG', 'DIGEST'));
  await mine.call('DEBUG', 'QUICKLIST-PACKED-THRESHOLD', '0');
  await real.call('DEBUG', 'QUICKLIST-PACKED-THRESHOLD', '0');
  await stop();
});
