/**
 * The same questions to a real redis-server 7.0 and to us: defaults, CONFIG SET and GET, start-up
 * errors, rewrite.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OperatingError } from '../../../src/base/errors.ts';
import { Config } from '../../../src/server/config/config.ts';
import { loadConfig } from '../../../src/server/config/load.ts';
import { findRedisServer } from '../../support/real-redis.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { RespError } from '../../support/resp-parser.ts';
import { launch, type TestServer, temporaryDirectory } from '../../support/server-process.ts';

let redis: TestServer;
let client: RespClient;
let config: Config;

beforeAll(async () => {
  redis = await launch({
    name: 'redis-server',
    command: findRedisServer(),
    args: (port) => ['--port', String(port), '--enable-protected-configs', 'yes'],
  });
  client = await redis.client({ bulk: 'latin1' });
  config = new Config(redis.dir);
  config.load('enable-protected-configs', ['yes'], false);
  config.load('port', [String(redis.port)], false);
});

afterAll(async () => {
  await client.close();
  // Not SAVE points but the test's end stops it.
  await redis.kill();
});

async function realGet(...patterns: string[]): Promise<[string, string][]> {
  const flat = (await client.call('CONFIG', 'GET', ...patterns)) as string[];
  const pairs: [string, string][] = [];
  for (let i = 0; i < flat.length; i += 2) pairs.push([flat[i]!, flat[i + 1]!]);
  return pairs.sort();
}

test('every name of CONFIG GET * is known, with the same default', async () => {
  const ours = new Map(config.get(['*']));
  const differences = (await realGet('*')).filter(([name, text]) => ours.get(name) !== text);
  // On purpose: data is served while a new dataset is loaded beside it, and late replicas join a
  // running snapshot.
  expect(differences).toEqual([
    ['repl-diskless-load', 'disabled'],
    ['repl-diskless-sync-delay', '5'],
  ]);
});

const SET_CASES: readonly string[][] = [
  ['foo', '1'],
  ['port'],
  ['port', '1', 'hz'],
  ['fo\ro', '1'],
  ['maxmemory', '1', 'foo', '2'],
  ['databases', '1', 'foo', '1'],
  ['foo', '1', 'databases', '1'],
  ['maxmemory', '1', 'maxmemory', '2'],
  ['maxmemory', '1', 'MAXMEMORY', '2'],
  ['slave-priority', '7', 'replica-priority', '8'],
  ['SLAVE-PRIORITY', 'x'],
  ['DATABASES', '1'],
  ['replicaof', 'a 1'],
  ['maxmemory', '1mb', 'hz', 'x'],
  ['port', 'x'],
  ['port', '65536'],
  ['port', '-1'],
  ['maxmemory', ''],
  ['maxmemory', 'mb'],
  ['maxmemory', '1MB'],
  ['maxmemory', '1k'],
  ['maxmemory', '-1'],
  ['maxmemory', '1tb'],
  ['maxmemory', '1.5mb'],
  ['maxmemory', '5%'],
  ['maxmemory', '18446744073709551615'],
  ['maxmemory', '0'],
  ['maxmemory-clients', '5%'],
  ['maxmemory-clients', '0%'],
  ['maxmemory-clients', '101%'],
  ['maxmemory-clients', '-5%'],
  ['maxmemory-clients', 'x'],
  ['maxmemory-clients', '0'],
  ['repl-backlog-size', '0'],
  ['repl-backlog-size', '9223372036854775808'],
  ['proto-max-bulk-len', '1'],
  ['proto-max-bulk-len', '5gb'],
  ['client-query-buffer-limit', '1kb'],
  ['slowlog-max-len', '007'],
  ['slowlog-max-len', '+7'],
  ['slowlog-max-len', ' 7'],
  ['slowlog-max-len', '-0'],
  ['slowlog-max-len', ''],
  ['slowlog-max-len', '9223372036854775807'],
  ['slowlog-max-len', '9223372036854775808'],
  ['slowlog-log-slower-than', '-2'],
  ['list-max-listpack-size', '-2147483649'],
  ['active-defrag-cycle-min', '0'],
  ['hz', '1000'],
  ['hz', '0'],
  ['loglevel', 'NOTICE'],
  ['loglevel', 'loud'],
  ['maxmemory-policy', 'x'],
  ['oom-score-adj', 'x'],
  ['appendfsync', 'x'],
  ['repl-diskless-load', 'SWAPDB'],
  ['repl-diskless-load', 'x'],
  ['sanitize-dump-payload', 'x'],
  ['acl-pubsub-default', 'x'],
  ['propagation-error-behavior', 'x'],
  ['cluster-preferred-endpoint-type', 'x'],
  ['appendonly', 'YESS'],
  ['protected-mode', 'YES'],
  ['activerehashing', '1'],
  ['save', '1'],
  ['save', '900 1 5'],
  ['save', '900 x'],
  ['save', '0 1'],
  ['save', '900  1'],
  ['save', '60 1 300 10'],
  ['save', ''],
  ['client-output-buffer-limit', 'slave 1mb 1 1'],
  ['client-output-buffer-limit', 'NORMAL 1gb 2gb 3 pubsub 4 5 6'],
  ['client-output-buffer-limit', 'replica 2mb 1'],
  ['client-output-buffer-limit', 'master 1 1 1'],
  ['client-output-buffer-limit', 'foo 1 1 1'],
  ['client-output-buffer-limit', 'normal x 1 1'],
  ['client-output-buffer-limit', 'normal 1 1 -1'],
  ['client-output-buffer-limit', ''],
  ['notify-keyspace-events', 'KEA'],
  ['notify-keyspace-events', 'Elg$'],
  ['notify-keyspace-events', 'q'],
  ['notify-keyspace-events', 'AKEmd'],
  ['notify-keyspace-events', ''],
  ['oom-score-adj-values', '1 2'],
  ['oom-score-adj-values', '1 2 x'],
  ['oom-score-adj-values', '1 2 3'],
  ['oom-score-adj-values', '1 2 3000'],
  ['latency-tracking-info-percentiles', '1 x'],
  ['latency-tracking-info-percentiles', '1 101'],
  ['latency-tracking-info-percentiles', '0.10 99.999999 50 1e1 100'],
  ['latency-tracking-info-percentiles', ''],
  ['dir', '/no/such/folder'],
  ['dir', '/dev/null'],
  ['dir', '.'],
  ['dbfilename', 'a/b'],
  ['dbfilename', ''],
  ['dbfilename', 'x.rdb'],
  ['shutdown-on-sigint', 'save now'],
  ['shutdown-on-sigint', 'force nosave'],
  ['shutdown-on-sigint', 'save nosave'],
  ['shutdown-on-sigint', 'default save'],
  ['shutdown-on-sigint', 'force  now'],
  ['shutdown-on-sigint', ''],
  ['shutdown-on-sigterm', 'default'],
  ['proc-title-template', '{foo}'],
  ['proc-title-template', ''],
  ['proc-title-template', '{title} {port}'],
  ['cluster-announce-hostname', 'a_b'],
  ['cluster-announce-hostname', 'a.b-c'],
  ['bind', Array.from({ length: 17 }, () => '127.0.0.1').join(' ')],
  ['replica-announce-ip', '1.2.3.4'],
  ['requirepass', ''],
  ['masterauth', 'a\xffb'],
  // Texts end at a zero byte; passwords go on.
  ['masterauth', 'a\0b'],
  ['masteruser', 'a\0b'],
  ['dbfilename', 'a\0/b'],
  ['dir', '.\0x'],
  ['bind-source-addr', '\0'],
  ['replica-announce-ip', 'a\0b'],
  ['proc-title-template', '\0'],
  ['cluster-announce-hostname', 'a\0_'],
  // Counts as C reads them.
  ['save', '\t5 \x0b+1'],
  ['save', '-5 1'],
  ['client-output-buffer-limit', 'normal 1 1 +5'],
  ['latency-tracking-info-percentiles', '0x10 +5'],
  ['latency-tracking-info-percentiles', 'inf'],
  ['latency-tracking-info-percentiles', '-Infinity'],
  ['latency-tracking-info-percentiles', 'nan'],
  ['latency-tracking-info-percentiles', '1e'],
];

test.each(SET_CASES.map((words) => [words] as const))('CONFIG SET %j', async (words) => {
  const reply = await client.command('CONFIG', 'SET', ...words);
  // The command table answers a wrong arity before us.
  const arity = words.length < 2 ? "ERR wrong number of arguments for 'config|set' command" : null;
  const result = arity ?? config.set(words, { loading: false, local: true }).error;
  expect(result).toBe(reply instanceof RespError ? reply.message : null);
  const names = words.filter((_, i) => i % 2 === 0);
  expect(config.get(names).sort()).toEqual(await realGet(...names));
});

test.each([
  ['PORT', 'port'],
  ['Replica-Prio*', '*slave-prio*'],
  ['h[yz]', 'hz', 'hz'],
  ['watchdog-period', 'watch*', 'rdb-key-save-*'],
  ['?', '[', 'appen[d-f]*', '[h]z'],
])('CONFIG GET %j', async (...patterns) => {
  expect(config.get(patterns).sort()).toEqual(await realGet(...patterns));
});

describe('a bad line at start', () => {
  const directory = temporaryDirectory('config-fatal');
  const file = join(directory, 'bad.conf');
  const lines = [
    'foo bar',
    'port',
    'port 1 2',
    'port\v1',
    'dir "/no\\x00/such"',
    'include "/no/such\\x00/file"',
    'PORT 99999',
    'port "8',
    'port "80"x',
    "port '8\\'0'",
    'unixsocketperm 999',
    'unixsocketperm 1000',
    'databases 0',
    'io-threads 129',
    'supervised x',
    'syslog-facility x',
    'enable-debug-command x',
    'aclfile',
    'appendfilename a/b',
    'appendfilename ""',
    'appenddirname a/b',
    'replicaof a',
    'slaveof a 70000',
    'sentinel x',
    'save 5',
    'notify-keyspace-events',
    'client-output-buffer-limit normal 1',
    'shutdown-on-sigterm',
    'oom-score-adj-values 1 2 3 4',
    'dir /no/such/folder',
    'include',
    'include /no/such/file',
  ];

  test.each(lines)('%j', (line) => {
    writeFileSync(file, `# comment\n\n  ${line}\t\n`);
    const run = spawnSync(findRedisServer(), [file], { encoding: 'latin1', cwd: directory });
    expect(run.status).toBe(1);
    let message = '';
    try {
      loadConfig({ file, directory });
    } catch (error) {
      message = error instanceof OperatingError ? error.message : String(error);
    }
    if (/^include "?\//.test(line)) {
      expect(run.stdout.trimEnd().endsWith(message)).toBe(true);
      expect(message).not.toBe('');
    } else {
      expect(message.replace(/\(headwater \S+\)/, '')).toBe(
        run.stderr.trimEnd().replace(/\(Redis \S+\)/, ''),
      );
    }
  });
});

test('CONFIG REWRITE leaves the same lines', async () => {
  const dir = temporaryDirectory('config-same-rewrite');
  const file = join(dir, 'both.conf');
  const text = `# head
timeout 5


maxmemory 100mb
slave-priority 5
save 900 1
save 300 10
requirepass ""
notify-keyspace-events "KEA"
client-output-buffer-limit replica 1mb 512kb 10
oom-score-adj-values 0 1 2
unixsocketperm 770
include ${dir}/none*.conf
hz 10
`;
  writeFileSync(file, text);
  const server = await launch({
    name: 'redis-server',
    command: findRedisServer(),
    args: (port) => [file, '--port', String(port)],
    dir,
  });
  const connection = await server.client();
  const ours = loadConfig({ file, directory: dir, options: `port ${server.port}` });
  const words = [
    'maxmemory',
    '3gb',
    'save',
    '60 5',
    'timeout',
    '0',
    'masterauth',
    'a b',
    'maxmemory-clients',
    '7%',
  ];
  await connection.call('CONFIG', 'SET', ...words);
  expect(ours.set(words, { loading: false, local: true }).error).toBeNull();
  await connection.call('CONFIG', 'REWRITE');
  const theirs = readFileSync(file, 'latin1');
  writeFileSync(file, text);
  expect(ours.rewrite()).toBeNull();
  const mine = readFileSync(file, 'latin1');
  await connection.close();
  await server.kill();
  const signature = '# Generated by CONFIG REWRITE';
  const [theirHead, theirTail] = theirs.split(signature) as [string, string];
  const [head, tail] = mine.split(signature) as [string, string];
  expect(head).toBe(theirHead);
  // Theirs are in the order of a hash table, and one of them is the ACL user.
  const sorted = (lines: string): string[] =>
    lines
      .split('\n')
      .filter((line) => !line.startsWith('user '))
      .sort();
  expect(sorted(tail)).toEqual(sorted(theirTail));
});
