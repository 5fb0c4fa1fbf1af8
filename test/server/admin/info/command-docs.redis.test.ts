/** COMMAND DOCS: the same as the real server's but for summaries, and for what 7.2 has added. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startHeadwater } from '../../../support/headwater.ts';
import { startRedis } from '../../../support/real-redis.ts';
import type { RespClient } from '../../../support/resp-client.ts';
import type { TestServer } from '../../../support/server-process.ts';

/** Where 7.2 tells more than 7.0: a golden test of what is told. */
const NEWER = new Set(['xinfo|consumers', 'xinfo|stream', 'zrank', 'zrevrank']);

let ours: TestServer;
let theirs: TestServer;
let own: RespClient;
let real: RespClient;

beforeAll(async () => {
  [ours, theirs] = await Promise.all([startHeadwater(), startRedis()]);
  own = await ours.client();
  real = await theirs.client();
});

afterAll(async () => {
  await Promise.all([own.close(), real.close()]);
  await Promise.all([ours.stop(), theirs.stop()]);
});

type Doc = Map<string, unknown>;

/** The docs by full name, subcommands among them. RESP2 pairs become maps. */
function docsOf(reply: unknown): Map<string, Doc> {
  const found = new Map<string, Doc>();
  const visit = (pairs: unknown): void => {
    for (const [name, fields] of pairsOf(pairs)) {
      const doc = new Map(pairsOf(fields));
      if (doc.has('subcommands')) visit(doc.get('subcommands'));
      doc.delete('subcommands');
      doc.delete('summary');
      if (doc.has('arguments'))
        doc.set('arguments', (doc.get('arguments') as unknown[]).map(argument));
      found.set(name, doc);
    }
  };
  visit(reply);
  return found;
}

function pairsOf(flat: unknown): [string, unknown][] {
  const list = flat as unknown[];
  return Array.from({ length: list.length / 2 }, (_, i) => [
    list[2 * i] as string,
    list[2 * i + 1],
  ]);
}

/** An argument without the field that only 7.2 has. */
function argument(fields: unknown): Doc {
  const made = new Map(pairsOf(fields));
  made.delete('display_text');
  if (made.has('arguments'))
    made.set('arguments', (made.get('arguments') as unknown[]).map(argument));
  return made;
}

test('of every command that both have is the same but for summaries', async () => {
  const docs = docsOf(await own.call('COMMAND', 'DOCS'));
  const expected = docsOf(await real.call('COMMAND', 'DOCS'));
  let compared = 0;
  for (const [name, doc] of docs) {
    const other = expected.get(name);
    if (other === undefined || NEWER.has(name)) continue;
    expect([name, [...doc]]).toEqual([name, [...other]]);
    compared++;
  }
  expect(compared).toBeGreaterThan(230);
});

test('has the types of RESP3 that Redis has', async () => {
  const raw = async (server: TestServer): Promise<string> => {
    const client = await server.client({ protocol: 3 });
    const bytes = (await client.raw('COMMAND', 'DOCS', 'set', 'getset', 'nothing')).toString(
      'latin1',
    );
    await client.close();
    return bytes;
  };
  const shape = (bytes: string): string =>
    bytes
      .replace(/\$12\r\ndisplay_text\r\n\$\d+\r\n[^\r]*\r\n/g, '')
      .replace(/(summary\r\n)\$\d+\r\n[^\r]*\r\n/g, '$1')
      .replace(/%\d+/g, '%');
  expect(shape(await raw(ours))).toBe(shape(await raw(theirs)));
});

describe('of what 7.2 has added', () => {
  test.each([
    ['zrank', ['key', 'member', 'withscore'], '7.2.0 Added the optional `WITHSCORE` argument.'],
    ['zrevrank', ['key', 'member', 'withscore'], '7.2.0 Added the optional `WITHSCORE` argument.'],
    ['xinfo|consumers', ['key', 'group'], '7.2.0 Added the `inactive` field.'],
    [
      'xinfo|stream',
      ['key', 'full-block'],
      '7.2.0 Added the `active-time` field, and changed the meaning of `seen-time`.',
    ],
    ['client|setinfo', ['attr'], undefined],
    ['client|no-touch', ['enabled'], undefined],
    ['waitaof', ['numlocal', 'numreplicas', 'timeout'], undefined],
  ])('%s', async (name, args, change) => {
    const doc = docsOf(await own.call('COMMAND', 'DOCS')).get(name)!;
    expect((doc.get('arguments') as Doc[]).map((arg) => arg.get('name'))).toEqual(args);
    const history = doc.get('history') as string[][] | undefined;
    expect(history?.at(-1)?.join(' ')).toBe(change);
  });
});

test('of each command has a complexity', async () => {
  const docs = docsOf(await own.call('COMMAND', 'DOCS'));
  const without = [...docs].filter(([, doc]) => !doc.has('complexity')).map(([name]) => name);
  // Redis has none for these either.
  expect(without.sort()).toEqual(['monitor', 'psync', 'sync']);
});
