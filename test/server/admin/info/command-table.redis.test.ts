/** The tables of the server's own commands against COMMAND INFO and DOCS of a real server. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startHeadwater } from '../../../support/headwater.ts';
import { type RealRedis, startRedis } from '../../../support/real-redis.ts';
import type { RespClient } from '../../../support/resp-client.ts';
import type { RespValue } from '../../../support/resp-parser.ts';
import type { TestServer } from '../../../support/server-process.ts';

/** Commands that came with 7.2, which the real server here does not know. */
const NEWER = new Set(['client|no-touch', 'client|setinfo']);
/** One row stands for all of these: cluster mode is refused as a whole. */
const CONTAINERS_AS_ONE = new Set(['cluster']);

const names = (
  'hello auth reset client multi exec discard watch unwatch info config command debug memory slowlog latency module acl ' +
  'time monitor readonly readwrite asking cluster subscribe unsubscribe psubscribe punsubscribe ssubscribe sunsubscribe ' +
  'publish spublish pubsub'
).split(' ');

interface Row {
  readonly name: string;
  readonly arity: RespValue;
  readonly flags: string[];
  readonly keys: RespValue[];
  readonly categories: string[];
  readonly tips: string[];
  readonly keySpecs: RespValue[];
}

let ours: TestServer;
let theirs: RealRedis;
let mine: RespClient;
let real: RespClient;

beforeAll(async () => {
  [ours, theirs] = await Promise.all([startHeadwater(), startRedis()]);
  [mine, real] = await Promise.all([ours.client({ protocol: 3 }), theirs.client({ protocol: 3 })]);
});

afterAll(async () => {
  await Promise.all([mine.close(), real.close()]);
  await Promise.all([ours.stop(), theirs.stop()]);
});

const sorted = (value: RespValue): string[] => [...(value as Set<string>)].map(String).sort();

/** A command and its subcommands, flat. */
function rowsOf(reply: RespValue): Row[] {
  const elements = reply as RespValue[];
  const row: Row = {
    name: String(elements[0]),
    arity: elements[1]!,
    flags: sorted(elements[2]!),
    keys: elements.slice(3, 6),
    categories: sorted(elements[6]!),
    tips: sorted(elements[7]!),
    keySpecs: [...(elements[8] as Iterable<RespValue>)],
  };
  const subcommands = [...(elements[9] as Iterable<RespValue>)];
  return [row, ...subcommands.flatMap(rowsOf)];
}

test.each(names)('%s is described as by the real server', async (name) => {
  const infos = await Promise.all(
    [mine, real].map((client) => client.call('COMMAND', 'INFO', name)),
  );
  const [own, other] = infos.map(
    (info) => new Map(rowsOf((info as RespValue[])[0]!).map((row) => [row.name, row])),
  );
  for (const [rowName, row] of own!) {
    if (!NEWER.has(rowName)) expect(row).toEqual(other!.get(rowName));
  }
  const administersUsers = name === 'acl';
  const missing = [...other!.keys()].filter((rowName) => !own!.has(rowName));
  if (!administersUsers && !CONTAINERS_AS_ONE.has(name)) expect(missing).toEqual([]);
});

test.each(names)(
  '%s is since the same version, in the same group, and is summarized',
  async (name) => {
    const docs = await Promise.all(
      [mine, real].map(async (client) => {
        const reply = (await client.call('COMMAND', 'DOCS', name)) as Map<
          string,
          Map<string, RespValue>
        >;
        return reply.get(name)!;
      }),
    );
    const [own, other] = docs as [Map<string, RespValue>, Map<string, RespValue>];
    expect([own.get('since'), own.get('group')]).toEqual([other.get('since'), other.get('group')]);
    expect(own.get('summary')).not.toBe('');
  },
);

test('COUNT and LIST tell of all commands, and COMMAND of each', async () => {
  const all = (await mine.call('COMMAND')) as RespValue[];
  expect(await mine.call('COMMAND', 'COUNT')).toBe(all.length);
  const listed = (await mine.call('COMMAND', 'LIST')) as string[];
  expect(listed).toEqual(expect.arrayContaining(['get', 'client', 'client|id']));
  expect(listed.filter((name) => !name.includes('|'))).toHaveLength(all.length);
});
