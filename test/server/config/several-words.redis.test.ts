/**
 * Directives of several words: given as one word and as several, in a file, on standard input, on
 * the command line and to CONFIG SET, as the real server takes them. It has no environment; there a
 * value is what it is in a file.
 */
import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OperatingError } from '../../../src/base/errors.ts';
import { parseArguments } from '../../../src/cli-arguments.ts';
import { Config } from '../../../src/server/config/config.ts';
import {
  type DirectiveName,
  directiveNames,
  directiveOf,
} from '../../../src/server/config/directives.ts';
import { quote } from '../../../src/server/config/grammar.ts';
import { loadConfig, type Sources } from '../../../src/server/config/load.ts';
import { findRedisServer, startRedis } from '../../support/real-redis.ts';
import { RespClient } from '../../support/resp-client.ts';
import { RespError } from '../../support/resp-parser.ts';
import { type TestServer, temporaryDirectory } from '../../support/server-process.ts';
import { waitFor } from '../../support/wait-for.ts';

const directory = temporaryDirectory('several-words');
const SOCKET = join(directory, 'redis.sock');

/** Values that stand for all of one directive. */
const VALUES: readonly (readonly [DirectiveName, readonly (readonly string[])[]])[] = [
  ['save', [['3600 1'], ['3600', '1'], ['3600 1 60 2'], ['3600  1'], ['3600 1', '60 2'], ['']]],
  ['bind', [['127.0.0.1 127.0.0.2'], ['127.0.0.1', '127.0.0.2'], ['127.0.0.1'], ['']]],
  [
    'client-output-buffer-limit',
    [
      ['replica 1mb 512kb 1'],
      ['replica', '1mb', '512kb', '1'],
      ['normal 1 1 1 pubsub 2 2 2'],
      ['normal 1'],
      [''],
    ],
  ],
  ['latency-tracking-info-percentiles', [['50 99.5'], ['50', '99.5'], ['50 x'], ['']]],
  ['oom-score-adj-values', [['0 1 2'], ['0', '1', '2'], ['0 1'], ['']]],
  ['shutdown-on-sigint', [['now force'], ['now', 'force'], ['now  force'], ['now x'], ['']]],
  ['replicaof', [['127.0.0.1 1'], ['127.0.0.1', '1'], ['no one'], ['no', 'one'], ['a'], ['']]],
  ['shutdown-on-sigterm', [['nosave now'], ['save', 'nosave']]],
];

const CASES = VALUES.flatMap(([name, values]) => values.map((words) => [name, words] as const));

/** What the real server comes to: the text of CONFIG GET, or the reason of its refusal. */
async function real(name: string, args: readonly string[], stdin: string | null): Promise<string> {
  const child = spawn(findRedisServer(), args, { cwd: directory });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  let hasEnded = false;
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      hasEnded = true;
      resolve();
    });
  });
  // Who is refused by its options reads nothing.
  child.stdin.on('error', () => {});
  child.stdin.end(stdin ?? '');
  await waitFor(() => hasEnded || output.includes('ready to accept connections at'), {
    what: 'redis',
  });
  if (hasEnded) return `refused: ${output.trimEnd().split('\n').at(-1)}`;
  const client = await RespClient.connect(SOCKET);
  const [, text] = (await client.call('CONFIG', 'GET', name)) as [string, string];
  await client.close();
  child.kill('SIGKILL');
  await ended;
  expect(existsSync(SOCKET)).toBe(true);
  return text;
}

function own(name: DirectiveName, sources: Omit<Sources, 'directory'>): string {
  try {
    return loadConfig({ ...sources, directory }).text(name);
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    return `refused: ${error.message.split('\n').at(-1)}`;
  }
}

function ownOfArguments(name: DirectiveName, args: readonly string[]): string {
  const parsed = parseArguments(args);
  if (parsed.mode !== 'serve') return expect.fail('no options');
  return own(name, { options: parsed.options });
}

/** Redis does not know these. */
const OWN: readonly DirectiveName[] = ['replica-dialect'];

test('all directives of several words are looked at', () => {
  const multi = directiveNames.filter(
    (name) => directiveOf(name).kind.multi && !OWN.includes(name),
  );
  expect(VALUES.map(([name]) => name).sort()).toEqual(multi.sort());
});

describe.each(CASES)('%s %j', (name, words) => {
  const line = `${name} ${words.map((word) => quote(word)).join(' ')}`;
  const base = `port 0\nunixsocket ${SOCKET}\n`;

  test('in a file, on standard input and in the environment', async () => {
    const file = join(directory, 'case.conf');
    writeFileSync(file, `${base}${line}\n`);
    const expected = await real(name, [file], null);
    expect(own(name, { file })).toBe(expected);
    expect(await real(name, ['-'], `${base}${line}\n`)).toBe(expected);
    expect(own(name, { stdin: line })).toBe(expected);
    const value = words.length === 1 ? words[0]! : words.map((word) => quote(word)).join(' ');
    const environment = { [`HEADWATER_${name.toUpperCase().replaceAll('-', '_')}`]: value };
    expect(own(name, { environment })).toBe(expected);
  });

  test('as an option, with its value in the same word and in others', async () => {
    const options = ['--port', '0', '--unixsocket', SOCKET];
    for (const args of [
      [`--${name}`, ...words],
      [`--${name} ${words.join(' ')}`],
      [`--${name} ${words.map((word) => quote(word)).join(' ')}`],
    ]) {
      expect(ownOfArguments(name, args)).toBe(await real(name, [...options, ...args], null));
    }
  });
});

describe('CONFIG SET', () => {
  let redis: TestServer;
  let client: RespClient;

  beforeAll(async () => {
    redis = await startRedis({ args: ['--bind', '127.0.0.1 127.0.0.2'] });
    client = await redis.client();
  });

  afterAll(async () => {
    await client.close();
    await redis.stop();
  });

  test.each(CASES)('%s %j', async (name, words) => {
    const reply = await client.command('CONFIG', 'SET', name, words.join(' '));
    const config = new Config(directory);
    const { error } = config.set([name, words.join(' ')], { loading: false, local: true });
    expect(error).toBe(reply instanceof RespError ? reply.message : null);
  });
});
