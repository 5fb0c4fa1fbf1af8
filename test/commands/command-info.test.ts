/** The command tables against COMMAND INFO of a real server: what clients and proxies route by. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { replyCommandInfo } from '../../src/commands/command-info.ts';
import { payloadCommands } from '../../src/commands/keys/payload.ts';
import type { CommandSpec } from '../../src/commands/spec.ts';
import { commandTables } from '../../src/commands/tables.ts';
import { BufferPool } from '../../src/resp/buffer-pool.ts';
import { Reply } from '../../src/resp/reply.ts';
import { type RealRedis, startRedis } from '../support/real-redis.ts';
import type { RespClient } from '../support/resp-client.ts';
import { RespParser, type RespValue } from '../support/resp-parser.ts';

const commands: [string, CommandSpec][] = [
  ...commandTables,
  payloadCommands(
    () => ({ version: 10, plainTypes: false }),
    () => undefined,
  ),
].flatMap((table) => Object.entries(table));

let redis: RealRedis;
let client: RespClient;

beforeAll(async () => {
  redis = await startRedis();
  client = await redis.client({ protocol: 3, bulk: 'latin1' });
});

afterAll(async () => {
  await client.close();
  await redis.stop();
});

interface Info {
  readonly name: RespValue;
  readonly arity: RespValue;
  readonly flags: RespValue[];
  readonly keys: RespValue[];
  readonly categories: RespValue[];
  readonly tips: RespValue[];
  readonly keySpecs: RespValue[];
  readonly subcommands: Info[];
}

/** The ten elements by name; sets and subcommands in one order. */
function infoOf(reply: RespValue): Info {
  const elements = reply as RespValue[];
  const set = (index: number): RespValue[] => [...(elements[index] as Set<RespValue>)];
  return {
    name: elements[0]!,
    arity: elements[1]!,
    flags: set(2).sort(),
    keys: elements.slice(3, 6),
    categories: set(6),
    tips: set(7),
    keySpecs: set(8),
    subcommands: [...(elements[9] as Iterable<RespValue>)]
      .map(infoOf)
      .sort((a, b) => String(a.name).localeCompare(String(b.name))),
  };
}

function ourInfo(name: string, spec: CommandSpec): Info {
  const reply = new Reply(new BufferPool());
  reply.protocol = 3;
  replyCommandInfo(reply, name.toLowerCase(), spec);
  const parser = new RespParser('latin1');
  parser.push(reply.take());
  return infoOf(parser.next() as RespValue);
}

test('no name stands in two tables', () => {
  const names = commands.map(([name]) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) expect(name).toBe(name.toUpperCase());
});

/** WITHSCORE came with Redis 7.2; the real server is a 7.0. */
const arityOfLater = new Map<string, number>([
  ['ZRANK', -3],
  ['ZREVRANK', -3],
]);

/** Since 7.2 scripts may call these, which wait for nothing there. */
const NOSCRIPT_BEFORE = new Set('BLPOP BRPOP BRPOPLPUSH BLMOVE BZPOPMIN BZPOPMAX'.split(' '));

test.each(commands)('%s is described as by the real server', async (name, spec) => {
  const reply = (await client.call('COMMAND', 'INFO', name)) as RespValue[];
  expect(reply[0], `${name} is unknown to the real server`).not.toBeNull();
  const info = infoOf(reply[0]!);
  if (NOSCRIPT_BEFORE.has(name)) {
    expect(info.flags).toContain('noscript');
    info.flags.splice(info.flags.indexOf('noscript'), 1);
  }
  expect(ourInfo(name, spec)).toEqual({ ...info, arity: arityOfLater.get(name) ?? info.arity });
});

test.each(commands)(
  '%s is documented as since the same version, in the same group',
  async (name, spec) => {
    const docs = (await client.call('COMMAND', 'DOCS', name)) as Map<
      string,
      Map<string, RespValue>
    >;
    const [doc] = docs.values();
    expect({ since: spec.since, group: spec.group }).toEqual({
      since: doc?.get('since'),
      group: doc?.get('group'),
    });
    expect(spec.summary).not.toBe('');
  },
);
