/** `aof-use-rdb-preamble no`: bases that are commands, and what a start makes of them. */
import { appendFileSync, cpSync, readdirSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { createLogger } from '../../../../src/base/log.ts';
import { Node } from '../../../../src/node.ts';
import { loadConfig } from '../../../../src/server/config/load.ts';
import { EVERY_ENCODING_CONFIG, everyEncoding } from '../../../support/every-encoding.ts';
import { type Argument, RespClient } from '../../../support/resp-client.ts';
import { temporaryDirectory } from '../../../support/server-process.ts';
import { waitFor } from '../../../support/wait-for.ts';

interface Running {
  readonly node: Node;
  readonly client: RespClient;
  readonly directory: string;
  readonly lines: readonly string[];
}

const running: Running[] = [];
afterEach(async () => {
  for (const each of running.splice(0)) await stop(each);
});

const ENCODINGS = Array.from({ length: EVERY_ENCODING_CONFIG.length / 2 }, (_, i) =>
  [EVERY_ENCODING_CONFIG[2 * i]!.slice(2), EVERY_ENCODING_CONFIG[2 * i + 1]].join(' '),
);

async function start(
  directory = temporaryDirectory('aof-plain'),
  ...more: readonly string[]
): Promise<Running> {
  const options = ['port 0', 'bind 127.0.0.1', 'save ""', `dir ${directory}`, 'appendonly yes'];
  options.push(
    'aof-use-rdb-preamble no',
    'enable-debug-command yes',
    'auto-aof-rewrite-percentage 0',
    ...ENCODINGS,
    ...more,
  );
  const config = loadConfig({ options: options.join('\n'), directory });
  const lines: string[] = [];
  const sink = (line: string): void => {
    lines.push((JSON.parse(line) as { msg: string }).msg);
  };
  const node = new Node(config, createLogger({ level: 'notice', format: 'json', sink }));
  await node.start({ anyPort: true });
  const made = { node, client: await RespClient.connect(node.port), directory, lines };
  running.push(made);
  return made;
}

async function stop(each: Running): Promise<void> {
  await each.client.close();
  await each.node.stop();
}

const folderOf = ({ directory }: Running): string => join(directory, 'appendonlydir');

async function rewritten({ node, client }: Running): Promise<void> {
  const { appendOnly } = node.dumps;
  const { rewrites } = appendOnly;
  await client.call('BGREWRITEAOF');
  await waitFor(() => appendOnly.rewrites > rewrites && !appendOnly.isRewriting);
}

function baseName(each: Running): string {
  const names = readdirSync(folderOf(each)).filter((name) => name.includes('.base.'));
  expect(names).toHaveLength(1);
  return names[0]!;
}

const baseText = (each: Running): string =>
  readFileSync(join(folderOf(each), baseName(each)), 'latin1');

/** A node that has what a SIGKILL now would have left. */
async function afterKill(
  each: Running,
  change: (folder: string) => void = () => {},
  ...more: readonly string[]
) {
  const { appendOnly } = each.node.dumps;
  await waitFor(() => appendOnly.journal.waitingBytes === 0 && !appendOnly.isRewriting);
  const copy = temporaryDirectory('aof-plain-killed');
  cpSync(each.directory, copy, { recursive: true });
  change(join(copy, 'appendonlydir'));
  return await start(copy, ...more);
}

/** The words of the commands of a base, without its lines. */
function commandsOf(text: string): string[][] {
  const commands: string[][] = [];
  for (let at = 0; at < text.length; ) {
    const lineEnd = text.indexOf('\r\n', at);
    const line = text.slice(at, lineEnd);
    at = lineEnd + 2;
    if (line.startsWith('#')) continue;
    const words: string[] = [];
    for (let left = Number(line.slice(1)); left > 0; left--) {
      const behind = text.indexOf('\r\n', at);
      const length = Number(text.slice(at + 1, behind));
      words.push(text.slice(behind + 2, behind + 2 + length));
      at = behind + 2 + length + 2;
    }
    commands.push(words);
  }
  return commands;
}

/** XINFO STREAM FULL, without what commands cannot tell. */
async function streamState(client: RespClient, key: string): Promise<unknown> {
  const leave = new Set(['seen-time', 'active-time', 'radix-tree-keys', 'radix-tree-nodes']);
  const walk = (value: unknown): unknown => {
    if (!Array.isArray(value)) return value;
    const kept: unknown[] = [];
    for (let i = 0; i < value.length; i++) {
      if (typeof value[i] === 'string' && leave.has(value[i] as string)) i++;
      else kept.push(walk(value[i]));
    }
    return kept;
  };
  return walk(await client.call('XINFO', 'STREAM', key, 'FULL', 'COUNT', '0'));
}

test('a base of commands has every value, and a restart goes on with the history', async () => {
  const first = await start();
  await first.client.pipeline(everyEncoding as Argument[][]);
  await rewritten(first);
  await first.client.call('SET', 'behind', '1');
  const digest = await first.client.call('DEBUG', 'DIGEST');
  const { history, streamLog } = first.node.server;
  expect(baseName(first)).toBe('appendonly.aof.2.base.aof');
  expect(baseText(first)).toMatch(/^#headwater:base [0-9a-f]{40} \d+ \d+\r\n\*2\r\n\$6\r\nSELECT/);
  expect(baseText(first)).toMatch(/\r\n#headwater:end \d+\r\n$/);
  const offset = streamLog.endOffset;
  const state = await streamState(first.client, 'stream:groups');
  const second = await afterKill(first);
  expect(await second.client.call('DEBUG', 'DIGEST')).toBe(digest);
  expect(second.node.server.history.replid2).toBe(history.replid);
  expect(second.node.server.streamLog.endOffset).toBe(offset);
  expect(await streamState(second.client, 'stream:groups')).toEqual(state);
  expect(await second.client.call('PEXPIRETIME', 'hash:table')).toBe(4_102_444_800_001);
});

test('collections go to commands of 64 elements', async () => {
  const node = await start();
  const numbers = Array.from({ length: 130 }, (_, i) => String(i));
  await node.client.call('RPUSH', 'list', ...numbers);
  await node.client.call('HSET', 'hash', ...numbers.flatMap((n) => [`f${n}`, n]));
  await node.client.call('ZADD', 'zset', ...numbers.flatMap((n) => [n, `m${n}`]), '-0', 'zero');
  await node.client.call('SADD', 'set', ...numbers.slice(0, 64));
  await rewritten(node);
  const commands = commandsOf(baseText(node));
  const of = (key: string): string[][] => commands.filter((words) => words[1] === key);
  expect(of('list').map((words) => words.length)).toEqual([66, 66, 4]);
  expect(of('list').flatMap((words) => words.slice(2))).toEqual(numbers);
  expect(of('hash').map((words) => words.length)).toEqual([130, 130, 6]);
  expect(of('hash')[0]![0]).toBe('HMSET');
  expect(of('zset').map((words) => words.length)).toEqual([130, 130, 8]);
  const zero = of('zset')
    .flatMap((words) => words.slice(2))
    .indexOf('zero');
  expect(of('zset').flatMap((words) => words.slice(2))[zero - 1]).toBe('-0');
  expect(of('set').map((words) => words.length)).toEqual([66]);
});

test('values and keys beyond the staging area', async () => {
  const first = await start();
  const { client } = first;
  const long = 'x'.repeat(9_000_000);
  const key = 'k'.repeat(70_000);
  await client.call('SET', 'string', long, 'PXAT', '4102444800000');
  await client.call('RPUSH', key, 'a', long, 'b');
  await client.call('HSET', 'hash', 'f', long, long, 'v');
  await client.call('SADD', 'set', long, 'b');
  await client.call('ZADD', 'zset', '1', long);
  await client.call('XADD', 'stream', '1-1', 'f', long);
  await client.call('SET', long, 'its value');
  await client.call('RPUSH', `${long}list`, 'a');
  await rewritten(first);
  const digest = await client.call('DEBUG', 'DIGEST');
  const second = await afterKill(first);
  expect(await second.client.call('DEBUG', 'DIGEST')).toBe(digest);
}, 180_000);

test('long elements get commands of their own, which a reader takes', async () => {
  const first = await start();
  const { client } = first;
  const middle = 'm'.repeat(100_000);
  const long = 'x'.repeat(300_000);
  const sizes = [long, 'a', middle, 'b', middle, middle, long, long, 'c', '', middle];
  const elements = Array.from({ length: 6 }, (_, i) => sizes.map((e, j) => `${e}${i}:${j}`)).flat();
  await client.call('RPUSH', 'list', ...elements);
  await client.call('SADD', 'set', ...elements);
  // Each length as a field before each length, and as its value.
  await client.call('HSET', 'hash', ...elements.flatMap((e, i) => [e, elements.at(-i)!]));
  await client.call('ZADD', 'zset', ...elements.flatMap((e, i) => [`${i}.5`, e]));
  await rewritten(first);
  const commands = commandsOf(baseText(first));
  for (const [name, perItem] of [
    ['RPUSH', 1],
    ['SADD', 1],
    ['HMSET', 2],
    ['ZADD', 2],
  ] as const) {
    const of = commands.filter((words) => words[0] === name);
    const items = of.map((words) => (words.length - 2) / perItem);
    expect(items.reduce((sum, count) => sum + count)).toBe(elements.length);
    expect(Math.max(...items)).toBeGreaterThan(1);
    for (const [i, words] of of.entries()) {
      const bytes = words.reduce((sum, word) => sum + word.length, 0);
      if (items[i]! > 1) expect(bytes).toBeLessThan(256 * 1024 + 100);
    }
  }
  const second = await afterKill(first);
  expect(await second.client.call('LRANGE', 'list', '0', '-1')).toEqual(elements);
  const digest = await client.call('DEBUG', 'DIGEST');
  expect(await second.client.call('DEBUG', 'DIGEST')).toBe(digest);
}, 180_000);

test.each([
  ['keys in a database', false],
  ['only a stream in a database', true],
])('%s that the next start has not: replicas get a full sync', async (_, isEmptied) => {
  const first = await start();
  const { client } = first;
  await client.call('SET', 'a', '0');
  await client.call('SELECT', '10');
  await client.call('SET', 'b', '10');
  if (isEmptied) await client.call('DEL', 'b');
  await rewritten(first);
  await client.call('SET', 'c', '10');
  const second = await afterKill(first, undefined, 'databases 4');
  // As in Redis, what follows a failed SELECT runs in the database before.
  expect(await second.client.call('DBSIZE')).toBe(isEmptied ? 2 : 3);
  expect(second.node.server.history.replid2).not.toBe(first.node.server.history.replid);
  expect(second.lines.join()).toContain('will get a full sync');
});

test('an increment that selects a database which is not there is no known history', async () => {
  const first = await start();
  const { client } = first;
  await client.call('SET', 'a', '0');
  await rewritten(first);
  await client.call('SELECT', '10');
  await client.call('SET', 'b', '10');
  await client.call('MULTI');
  await client.call('SET', 'c', '10');
  await client.call('EXEC');
  const second = await afterKill(first, undefined, 'databases 4');
  expect(await second.client.call('DBSIZE')).toBe(3);
  expect(second.node.server.history.replid2).not.toBe(first.node.server.history.replid);
});

test('streams keep pending entries that are deleted, and counts of empty ones', async () => {
  const first = await start();
  const { client } = first;
  const add = async (key: string, ...ids: string[]): Promise<void> => {
    for (const id of ids) await client.call('XADD', key, id, 'f', id);
  };
  await add('a', '1-1', '2-2', '3-3', '4-4', '5-5');
  await client.call('XGROUP', 'CREATE', 'a', 'g', '0');
  await client.call('XGROUP', 'CREATE', 'a', 'h', '0', 'ENTRIESREAD', '2');
  await client.call('XREADGROUP', 'GROUP', 'g', 'one', 'COUNT', '3', 'STREAMS', 'a', '>');
  await client.call('XREADGROUP', 'GROUP', 'h', 'two', 'STREAMS', 'a', '>');
  await client.call('XDEL', 'a', '1-1', '3-3', '5-5');
  // All entries gone, all pending.
  await add('b', '1-1', '2-2');
  await client.call('XGROUP', 'CREATE', 'b', 'g', '0');
  await client.call('XREADGROUP', 'GROUP', 'g', 'one', 'STREAMS', 'b', '>');
  await client.call('XTRIM', 'b', 'MAXLEN', '0');
  // Trimmed and deleted ones, before and behind what is there.
  await add('f', '1-1', '2-2', '3-3', '4-4', '5-5', '6-6');
  await client.call('XGROUP', 'CREATE', 'f', 'g', '0');
  await client.call('XREADGROUP', 'GROUP', 'g', 'one', 'STREAMS', 'f', '>');
  await client.call('XTRIM', 'f', 'MAXLEN', '4');
  await client.call('XDEL', 'f', '5-5');
  await client.call('XGROUP', 'CREATE', 'c', 'g', '$', 'MKSTREAM');
  await client.call('XGROUP', 'CREATECONSUMER', 'c', 'g', 'idle');
  await add('d', '7-7');
  await client.call('XSETID', 'd', '18446744073709551615-18446744073709551615');
  // Far more than a node holds.
  await client.pipeline(
    Array.from({ length: 500 }, (_, i) => ['XADD', 'e', `${i + 1}-0`, 'a', '']),
  );
  await client.call('XGROUP', 'CREATE', 'e', 'g', '0');
  await client.call('XREADGROUP', 'GROUP', 'g', 'one', 'STREAMS', 'e', '>');
  await client.pipeline(Array.from({ length: 150 }, (_, i) => ['XDEL', 'e', `${3 * i + 1}-0`]));
  await rewritten(first);
  const keys = ['a', 'b', 'c', 'd', 'e', 'f'];
  const states = [];
  for (const key of keys) states.push(await streamState(client, key));
  const second = await afterKill(first);
  for (const [i, key] of keys.entries())
    expect(await streamState(second.client, key), key).toEqual(states[i]);
  expect(second.lines.filter((line) => line.includes('CRITICAL'))).toEqual([]);
});

test('pending entries beyond the last id of their stream', async () => {
  const first = await start();
  const { client } = first;
  const keys = ['empty', 'behind', 'deleted', 'two', 'between'];
  for (const key of keys) {
    await client.call('XADD', key, '5-5', 'f', 'v');
    await client.call('XADD', key, '6-6', 'f', 'v');
    await client.call('XGROUP', 'CREATE', key, 'g', '0');
    await client.call('XREADGROUP', 'GROUP', 'g', 'one', 'COUNT', '1', 'STREAMS', key, '>');
    await client.call('XREADGROUP', 'GROUP', 'g', 'two', 'STREAMS', key, '>');
    await client.call('XTRIM', key, 'MAXLEN', '0');
    await client.call('XSETID', key, '3-3');
  }
  for (const key of keys.slice(1)) {
    await client.call('XADD', key, '4-4', 'f', 'v');
    await client.call('XADD', key, '4-5', 'f', 'v');
  }
  await client.call('XDEL', 'deleted', '4-4');
  await client.call('XADD', 'between', '7-7', 'f', 'v');
  await client.call('XGROUP', 'CREATE', 'two', 'h', '0', 'ENTRIESREAD', '1');
  await client.call('XGROUP', 'SETID', 'two', 'g', '0');
  await client.call('XREADGROUP', 'GROUP', 'g', 'one', 'COUNT', '1', 'STREAMS', 'two', '>');
  await client.call('XREADGROUP', 'GROUP', 'h', 'three', 'STREAMS', 'two', '>');
  await client.call('XTRIM', 'two', 'MAXLEN', '1');
  await rewritten(first);
  const states = [];
  for (const key of keys) states.push(await streamState(client, key));
  const second = await afterKill(first);
  for (const [i, key] of keys.entries())
    expect(await streamState(second.client, key), key).toEqual(states[i]);
  expect(second.lines.filter((line) => line.includes('CRITICAL'))).toEqual([]);
  expect(second.node.server.history.replid2).toBe(first.node.server.history.replid);
});

test('CONFIG SET decides the form of the next base', async () => {
  const node = await start();
  expect(baseName(node)).toBe('appendonly.aof.1.base.aof');
  await node.client.call('SET', 'a', '1');
  await node.client.call('CONFIG', 'SET', 'aof-use-rdb-preamble', 'yes');
  await rewritten(node);
  expect(baseName(node)).toBe('appendonly.aof.2.base.rdb');
  expect(baseText(node).startsWith('REDIS')).toBe(true);
  await node.client.call('CONFIG', 'SET', 'aof-use-rdb-preamble', 'no');
  await node.client.call('CONFIG', 'SET', 'aof-timestamp-enabled', 'yes');
  await rewritten(node);
  expect(baseName(node)).toBe('appendonly.aof.3.base.aof');
  expect(baseText(node)).toMatch(/^#headwater:base [^\r]+\r\n#TS:\d+\r\n/);
  expect(await (await afterKill(node)).client.call('GET', 'a')).toBe('1');
});

test('a base that has lost its end is refused, or begins another history', async () => {
  const first = await start();
  await first.client.call('SET', 'a', '1');
  await first.client.call('SET', 'b', '2');
  await rewritten(first);
  const { replid } = first.node.server.history;
  const text = baseText(first);
  const name = baseName(first);
  await expect(
    afterKill(first, (folder) => truncateSync(join(folder, name), text.length - 40)),
  ).rejects.toThrow();
  const end = text.indexOf('#headwater:end');
  const second = await afterKill(first, (folder) => truncateSync(join(folder, name), end));
  expect(await second.client.call('MGET', 'a', 'b')).toEqual(['1', '2']);
  expect(second.node.server.history.replid2).not.toBe(replid);
  expect(second.lines.join()).toContain('has lost its end');
});

test.each(['no', 'yes'])('an empty base is no known history (preamble %s)', async (preamble) => {
  const first = await start(undefined, `aof-use-rdb-preamble ${preamble}`);
  await first.client.call('SET', 'a', '1');
  await rewritten(first);
  await first.client.call('SET', 'b', '2');
  const { replid } = first.node.server.history;
  const name = baseName(first);
  const second = await afterKill(first, (folder) => truncateSync(join(folder, name), 0));
  expect(await second.client.call('MGET', 'a', 'b')).toEqual([null, '2']);
  expect(second.node.server.history.replid2).not.toBe(replid);
});

test('a base that somebody has added to is no known history', async () => {
  const first = await start();
  await first.client.call('SET', 'a', '1');
  await rewritten(first);
  const { replid } = first.node.server.history;
  const name = baseName(first);
  const second = await afterKill(first, (folder) =>
    appendFileSync(join(folder, name), '*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n2\r\n'),
  );
  expect(await second.client.call('GET', 'a')).toBe('2');
  expect(second.node.server.history.replid2).not.toBe(replid);
});

test('libraries of functions are kept', async () => {
  const first = await start();
  first.node.dumps.libraries.codes = [Buffer.from('#!lua name=one\n-- é')];
  await first.client.call('SET', 'a', '1');
  await rewritten(first);
  expect(commandsOf(baseText(first))[0]).toEqual([
    'FUNCTION',
    'LOAD',
    Buffer.from('#!lua name=one\n-- é').toString('latin1'),
  ]);
  const second = await afterKill(first);
  expect(second.node.dumps.libraries.codes.map((code) => Buffer.from(code).toString())).toEqual([
    '#!lua name=one\n-- é',
  ]);
  expect(second.node.server.history.replid2).toBe(first.node.server.history.replid);
});

test('a replica gets a dump while a base of commands is written', async () => {
  const first = await start(undefined, 'repl-diskless-sync-delay 0');
  await first.client.pipeline(
    Array.from({ length: 20_000 }, (_, i) => ['SET', `key:${i}`, 'x'.repeat(100)]),
  );
  await first.client.call('BGREWRITEAOF');
  const replica = await start(undefined, `replicaof 127.0.0.1 ${first.node.port}`);
  await waitFor(() => replica.node.upstream.isUp);
  await waitFor(async () => (await replica.client.call('DBSIZE')) === 20_000);
  const digest = await first.client.call('DEBUG', 'DIGEST');
  expect(await replica.client.call('DEBUG', 'DIGEST')).toBe(digest);
});
