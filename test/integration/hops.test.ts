/**
 * The hops of a chain in INFO: each headwater tells those above and below it, with their lag, as far
 * as nodes of other products let it know. What it takes for that never enters the stream.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { call } from '../support/ask.ts';
import { CutLink } from '../support/cut-link.ts';
import { waitForSync } from '../support/digest.ts';
import { FakeReplica } from '../support/fake-replica.ts';
import { startHeadwater } from '../support/headwater.ts';
import { startRedis } from '../support/real-redis.ts';
import type { TestServer } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const OPTIONS = ['--repl-timeout', '20', '--repl-ping-replica-period', '1'];
const running: TestServer[] = [];
const links: CutLink[] = [];

afterEach(async () => {
  for (const server of running.splice(0).reverse()) await server.stop();
  for (const link of links.splice(0)) await link.close();
});

async function started(server: Promise<TestServer>): Promise<TestServer> {
  running.push(await server);
  return server;
}

const headwater = (replicaOf?: number, ...args: string[]): Promise<TestServer> =>
  started(
    startHeadwater({
      ...(replicaOf === undefined ? {} : { replicaOf }),
      args: [...OPTIONS, '--enable-debug-command', 'yes', ...args],
    }),
  );
const redis = (replicaOf?: number): Promise<TestServer> =>
  started(startRedis({ ...(replicaOf === undefined ? {} : { replicaOf }), args: OPTIONS }));

async function link(target: number): Promise<CutLink> {
  const made = await CutLink.to(target);
  links.push(made);
  return made;
}

type Fields = ReadonlyMap<string, string>;

async function own(server: TestServer): Promise<Fields> {
  const client = await server.client();
  const fields = await client.info('headwater');
  await client.close();
  return fields;
}

/** The lines `headwater_<what>0`, `…1` and so on, as maps of their words. */
function lines(fields: Fields, what: 'above' | 'below' | 'replica'): Fields[] {
  const found: Fields[] = [];
  for (;;) {
    const line = fields.get(`headwater_${what}${found.length}`);
    if (line === undefined) return found;
    found.push(new Map(line.split(',').map((pair) => pair.split('=') as [string, string])));
  }
}

async function runId(server: TestServer): Promise<string> {
  const client = await server.client();
  const id = await client.infoField('server', 'run_id');
  await client.close();
  return id;
}

const words = (hops: readonly Fields[], ...names: string[]): string[] =>
  hops.map((hop) => names.map((name) => hop.get(name)).join(' '));
const address = (server: { port: number }): string => `127.0.0.1:${server.port}`;

/** Waits until the hops of `server` are as `check` wants them, and returns the fields. */
async function until(
  server: TestServer,
  what: string,
  check: (fields: Fields) => boolean,
): Promise<Fields> {
  let fields: Fields = new Map();
  await waitFor(
    async () => {
      fields = await own(server);
      return check(fields);
    },
    { what: `${what} at ${server.port}`, timeoutMs: 60_000 },
  );
  return fields;
}

/** Whether each hop is told to be in `state`. */
const areAll = (what: 'above' | 'below', state: string) => (fields: Fields) =>
  lines(fields, what).every((hop) => hop.get('state') === state);

const depth = (count: number) => (fields: Fields) => lines(fields, 'above').length === count;

describe('a chain', { timeout: 180_000 }, () => {
  test('of four headwaters: each tells all hops above and below it', async () => {
    const head = await headwater();
    const first = await headwater(head.port);
    const second = await headwater(first.port);
    const tail = await headwater(second.port);
    await waitForSync(head, tail);
    await call(head, 'SET', 'k', 'v');
    // What is told of a hop is as old as its last answer.
    const isWhole = (fields: Fields): boolean =>
      depth(3)(fields) &&
      fields.get('headwater_chain_behind_ms') !== '-1' &&
      areAll('above', 'connected')(fields);
    const atTail = await until(tail, 'three hops above', isWhole);
    expect(words(lines(atTail, 'above'), 'node', 'role', 'state')).toEqual([
      `${address(second)} replica connected`,
      `${address(first)} replica connected`,
      `${address(head)} primary connected`,
    ]);
    expect(words(lines(atTail, 'above'), 'id')).toEqual(
      await Promise.all([second, first, head].map(runId)),
    );
    const all = (fields: Fields): boolean =>
      lines(fields, 'below').length === 2 && areAll('below', 'online')(fields);
    const atHead = await until(head, 'two hops below its replica', all);
    const via = address(first);
    expect(words(lines(atHead, 'below'), 'depth', 'via', 'node', 'state')).toEqual([
      `2 ${via} ${address(second)} online`,
      `3 ${via} ${address(tail)} online`,
    ]);
    expect(words(lines(atHead, 'replica'), 'id')).toEqual([await runId(first)]);
    expect(atHead.get('headwater_chain_below')).toBe('3');
    expect(atHead.get('headwater_chain_above')).toBe('0');
    for (const hop of [...lines(atTail, 'above'), ...lines(atHead, 'below')]) {
      expect(Number(hop.get('lag_ms'))).toBeLessThan(5000);
      expect(Number(hop.get('age_ms'))).toBeLessThan(10_000);
    }
    const figures = ['state', 'lag_bytes', 'lag_ms', 'age_ms'];
    expect([...lines(atTail, 'above')[0]!.keys()]).toEqual(['node', 'id', 'role', ...figures]);
    expect([...lines(atHead, 'below')[0]!.keys()]).toEqual([
      'node',
      'id',
      'depth',
      'via',
      ...figures,
    ]);
    const middle = await until(second, 'two hops above', depth(2));
    expect(middle.get('headwater_link_trouble')).toBe('none');
  });

  test('the lag of a hop is told where it is, at each node above and below', async () => {
    const head = await headwater();
    const first = await headwater(head.port);
    const slow = await link(first.port);
    const second = await headwater(slow.port);
    const tail = await headwater(second.port);
    await waitForSync(head, tail);
    await until(tail, 'three hops above', depth(3));
    await until(head, 'two hops below', (fields) => lines(fields, 'below').length === 2);
    slow.hold();
    await call(head, 'SET', 'k', 'v'.repeat(1000));
    // The replica is silent: that of the head sees how long its first missing byte waits.
    const lag = (fields: Fields): number => Number(lines(fields, 'below')[0]?.get('lag_ms'));
    // The near hop acknowledges each second, so it lacks an ACK for a part of the time only.
    const near = (fields: Fields): number => Number(lines(fields, 'replica')[0]!.get('ack_lag_ms'));
    const bytes = (fields: Fields): number => Number(lines(fields, 'below')[0]?.get('lag_bytes'));
    await until(
      head,
      'a lag of two seconds and of the write, and none of the near hop',
      (fields) =>
        lag(fields) > 2000 && bytes(fields) >= 1000 && near(fields) >= 0 && near(fields) < 1000,
    );
    slow.release();
    await waitForSync(head, tail);
    await until(head, 'no lag', (fields) => lag(fields) === 0);
    const caughtUp = await until(
      tail,
      'a known lag behind the head',
      (fields) => fields.get('headwater_chain_behind_bytes') === '0',
    );
    expect(words(lines(caughtUp, 'above'), 'lag_ms')).toEqual(['0', '0', '0']);
  });

  test('a hop that is cut is told at once below it, and what is above it grows old', async () => {
    const head = await headwater();
    const first = await headwater(head.port);
    const cut = await link(first.port);
    const second = await headwater(cut.port);
    const tail = await headwater(second.port);
    await waitForSync(head, tail);
    await until(tail, 'three hops above', depth(3));
    cut.cut();
    const isDown = (fields: Fields): boolean => {
      const hop = lines(fields, 'above')[1];
      return hop !== undefined && hop.get('state') !== 'connected';
    };
    const down = await until(tail, 'the cut hop', isDown);
    expect(lines(down, 'above')[0]!.get('state')).toBe('connected');
    await until(tail, 'hops that grow old', (fields) => {
      const hops = lines(fields, 'above');
      return hops.length === 3 && Number(hops[2]!.get('age_ms')) > 6000;
    });
    await until(head, 'no hop below its replica', (fields) => lines(fields, 'below').length === 0);
    cut.mend();
    await waitForSync(head, tail);
    const mended = await until(tail, 'fresh hops', (fields) => {
      const hops = lines(fields, 'above');
      const areFresh = hops.every((hop) => Number(hop.get('age_ms')) < 5000);
      return hops.length === 3 && areFresh && areAll('above', 'connected')(fields);
    });
    expect(words(lines(mended, 'above'), 'state')).toEqual(Array(3).fill('connected'));
  });

  test('ends at a stock node, above and below, which is asked nothing', async () => {
    const head = await headwater();
    const stock = await redis(head.port);
    await waitForSync(head, stock);
    const below = await headwater(stock.port);
    const tail = await headwater(below.port);
    await waitForSync(head, tail);
    const atTail = await until(tail, 'two hops above', depth(2));
    expect(words(lines(atTail, 'above'), 'node', 'role', 'id')).toEqual([
      `${address(below)} replica ${await runId(below)}`,
      `${address(stock)} unknown `,
    ]);
    expect(atTail.get('headwater_chain_behind_ms')).toBe('-1');
    const atHead = await own(head);
    expect(words(lines(atHead, 'replica'), 'id')).toEqual(['']);
    expect(lines(atHead, 'below')).toEqual([]);
    // This client and no other one; nothing that it refused.
    const client = await stock.client();
    await waitFor(
      async () => {
        const clients = String(await client.call('CLIENT', 'LIST', 'TYPE', 'normal'));
        return clients.trim().split('\n').length === 1;
      },
      { what: 'the clients of the test to be gone, and no other' },
    );
    expect([...(await client.info('errorstats'))]).toEqual([]);
    await client.close();
    expect((await own(below)).get('headwater_chain_answers')).toBe('0');
  });

  test('below a stock primary: nothing of it enters the stream', async () => {
    const head = await redis();
    const relay = await headwater(head.port);
    const tail = await headwater(relay.port);
    const stock = await redis(head.port);
    for (const node of [tail, stock]) await waitForSync(head, node);
    await until(tail, 'two hops above', depth(2));
    await until(tail, 'ten answers', (fields) => Number(fields.get('headwater_chain_answers')) > 9);
    for (const node of [tail, stock]) await waitForSync(head, node);
    const client = await head.client();
    expect([...(await client.info('errorstats'))]).toEqual([]);
    await client.close();
  });

  test('chain-reports no: the node neither asks nor answers', async () => {
    const head = await headwater();
    const silent = await headwater(head.port, '--chain-reports', 'no');
    const tail = await headwater(silent.port);
    await waitForSync(head, tail);
    expect(words(lines(await own(head), 'replica'), 'id')).toEqual(['']);
    const atTail = await own(tail);
    expect(words(lines(atTail, 'above'), 'node', 'role', 'id')).toEqual([
      `${address(silent)} unknown `,
    ]);
    for (const node of [silent, tail])
      expect((await own(node)).get('headwater_chain_answers')).toBe('0');
    const reply = await call(
      silent,
      'REPLCONF',
      'headwater-hops',
      'a'.repeat(40),
      'headwater-below',
      '',
    );
    expect(String(reply)).toContain('Unrecognized REPLCONF option');
  });

  test('with a password: the hops are asked for with the name and password of the link', async () => {
    const head = await headwater();
    await call(head, 'CONFIG', 'SET', 'requirepass', 'secret');
    const tail = await headwater(head.port, '--masterauth', 'secret');
    const fields = await until(
      tail,
      'the hop',
      (each) => each.get('headwater_chain_behind_ms') === '0',
    );
    expect(words(lines(fields, 'above'), 'role')).toEqual(['primary']);
  });
});

test('what is no question for the chain is an error, and an unknown asker learns no lag', async () => {
  const head = await headwater();
  const id = 'b'.repeat(40);
  const bad = await call(head, 'REPLCONF', 'headwater-hops', id, 'headwater-below', 'x');
  expect(String(bad)).toContain('ERR invalid list of hops');
  const answer = await call(head, 'REPLCONF', 'headwater-hops', id, 'headwater-below', '');
  expect(String(answer)).toBe(`1 - ${await runId(head)} primary none -1 -1 0\n`);
  expect((await own(head)).get('headwater_chain_below')).toBe('0');
});

test('what replicas tell is theirs: nobody speaks for a stock one, and no name breaks a field', async () => {
  const head = await headwater();
  const stock = await FakeReplica.attach(head.port, { countOnly: true });
  const id = 'b'.repeat(40);
  const odd = await FakeReplica.attach(head.port, {
    countOnly: true,
    handshake: [
      ['REPLCONF', 'ip-address', 'a,id=x', 'capa', 'psync2', 'capa', 'eof'],
      ['REPLCONF', 'capa', `headwater-hops-${id}`],
    ],
  });
  for (const replica of [stock, odd]) await replica.waitForDump();
  const below = `1 10.0.0.1:7000 ${'c'.repeat(40)} replica online 0 0 0\n`;
  for (const forged of ['', 'b']) {
    const reply = await call(head, 'REPLCONF', 'headwater-hops', forged, 'headwater-below', below);
    expect(String(reply)).toContain('ERR invalid list of hops');
  }
  expect(lines(await own(head), 'below')).toEqual([]);
  await call(head, 'REPLCONF', 'headwater-hops', id, 'headwater-below', below);
  const [hop, ...others] = lines(await own(head), 'below');
  expect(others).toEqual([]);
  expect(hop!.get('via')).toMatch(/^a\?id\?x:/);
  expect(hop!.get('id')).toBe('c'.repeat(40));
  const replicas = lines(await own(head), 'replica');
  expect(words(replicas, 'id')).toEqual(['', id]);
  expect(replicas[1]!.get('peer')).toBe(hop!.get('via'));
  for (const replica of [stock, odd]) await replica.vanish();
});

test('a ring of three whose links are up is a loop at once, and its lists do not grow', async () => {
  const first = await headwater();
  const second = await headwater(first.port);
  const third = await headwater(second.port);
  await waitForSync(first, third);
  // Longer than the test: no link ends by silence.
  for (const node of [first, second, third])
    await call(node, 'CONFIG', 'SET', 'repl-timeout', 3600);
  await call(first, 'REPLICAOF', '127.0.0.1', third.port);
  for (const node of [first, second, third]) {
    const fields = await until(
      node,
      'the loop',
      (each) =>
        each.get('headwater_link_trouble') === 'loop' &&
        depth(3)(each) &&
        areAll('above', 'connected')(each),
    );
    expect(words(lines(fields, 'above'), 'id').at(-1)).toBe(await runId(node));
    expect(words(lines(fields, 'above'), 'state')).toEqual(Array(3).fill('connected'));
    expect(Number(fields.get('headwater_chain_below'))).toBeLessThan(3);
  }
  await call(second, 'REPLICAOF', 'NO', 'ONE');
  await call(second, 'SET', 'k', 'v');
  for (const node of [third, first]) {
    await waitForSync(second, node);
    await until(node, 'no loop', (fields) => fields.get('headwater_link_trouble') === 'none');
  }
}, 180_000);
