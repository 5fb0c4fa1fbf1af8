/**
 * What is about all replicas, with a replica in each phase of its sync, beside a real server: what
 * INFO, ROLE and CLIENT LIST tell, what min-replicas-to-write counts, what CLIENT KILL TYPE ends,
 * what CLIENT PAUSE holds back, whether SHUTDOWN waits, and when a snapshot starts.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { FakeReplica, type FakeReplicaOptions } from '../../support/fake-replica.ts';
import { startHeadwater } from '../../support/headwater.ts';
import { fillWithNoise } from '../../support/links.ts';
import { startRedis } from '../../support/real-redis.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { RespError } from '../../support/resp-parser.ts';
import type { TestServer } from '../../support/server-process.ts';
import { waitFor } from '../../support/wait-for.ts';

/** More than sockets hold, so that a replica that does not read stays in its dump. */
const NOISE_BYTES = 24 << 20;
const NEVER_S = '3600';

interface PhaseCase {
  readonly name: string;
  /** As INFO names it. */
  readonly state: string;
  readonly args: readonly string[];
  readonly options: FakeReplicaOptions;
  /** It reads what it gets. */
  readonly reads: boolean;
  /** It has all that was written. */
  readonly hasAll: boolean;
}

const phases: readonly PhaseCase[] = [
  {
    name: 'waits for a snapshot',
    state: 'wait_bgsave',
    args: ['--repl-diskless-sync', 'yes', '--repl-diskless-sync-delay', NEVER_S],
    options: { ack: 'never' },
    reads: true,
    hasAll: false,
  },
  {
    name: 'gets the dump',
    state: 'send_bulk',
    args: ['--repl-diskless-sync', 'no'],
    options: { ack: 'never' },
    reads: false,
    hasAll: false,
  },
  {
    name: 'has not acknowledged its dump',
    state: 'online',
    args: ['--repl-diskless-sync', 'yes'],
    options: { ack: 'never' },
    reads: true,
    hasAll: false,
  },
  {
    name: 'is online and behind',
    state: 'online',
    args: ['--repl-diskless-sync', 'no'],
    options: { ack: 'never' },
    reads: true,
    hasAll: false,
  },
  {
    name: 'is online',
    state: 'online',
    args: ['--repl-diskless-sync', 'yes'],
    options: { ack: 'steadily' },
    reads: true,
    hasAll: true,
  },
];

let servers: TestServer[] = [];
let clients: RespClient[] = [];
let replicas: Promise<FakeReplica>[] = [];

afterEach(async () => {
  for (const client of clients) await client.close();
  for (const server of servers) await server.kill();
  await Promise.allSettled(replicas);
  servers = [];
  clients = [];
  replicas = [];
});

type Kind = 'headwater' | 'redis';

async function startServer(kind: Kind, args: readonly string[]): Promise<TestServer> {
  const all = ['--rdbcompression', 'no', '--repl-ping-replica-period', NEVER_S, ...args];
  const server =
    kind === 'redis' ? await startRedis({ args: all }) : await startHeadwater({ args: all });
  servers.push(server);
  return server;
}

async function connect(server: TestServer): Promise<RespClient> {
  const client = await server.client();
  clients.push(client);
  return client;
}

/** Attaches in the background: some are answered late, or never. */
function attach(server: TestServer, options: FakeReplicaOptions): Promise<FakeReplica> {
  const replica = FakeReplica.attach(server.port, { countOnly: true, ...options });
  replica.catch(() => {});
  replicas.push(replica);
  return replica;
}

/** `state` and `offset` of each replica in INFO. */
async function statesOf(client: RespClient): Promise<string[]> {
  const info = await client.info('replication');
  const count = Number(info.get('connected_slaves'));
  return Array.from({ length: count }, (_, i) =>
    String(/state=([a-z_]+)/.exec(info.get(`slave${i}`) ?? '')?.[1]),
  );
}

async function stateReached(client: RespClient, state: string): Promise<void> {
  await waitFor(async () => (await statesOf(client)).join() === state, { what: state });
}

/** Waits until the only replica has acknowledged all there is. */
async function acknowledged(client: RespClient): Promise<void> {
  await waitFor(
    async () => {
      const info = await client.info('replication');
      return info.get('slave0')?.includes(`offset=${info.get('master_repl_offset')},`) === true;
    },
    { what: 'the acknowledgement' },
  );
}

/** A server with one replica in the phase. */
async function enter(kind: Kind, each: PhaseCase): Promise<[TestServer, RespClient]> {
  const server = await startServer(kind, each.args);
  const client = await connect(server);
  await fillWithNoise(client, NOISE_BYTES / 32768, 32768);
  const attaching = attach(server, each.options);
  if (!each.reads) (await attaching).pause();
  await stateReached(client, each.state);
  if (each.hasAll) await (await attaching).waitForDump();
  return [server, client];
}

/** Waits for two seconds of the server. */
async function secondsLater(client: RespClient): Promise<void> {
  const uptime = async (): Promise<number> =>
    Number((await client.info('server')).get('uptime_in_seconds'));
  const before = await uptime();
  await waitFor(async () => (await uptime()) >= before + 2, { what: 'two seconds' });
}

const errorOr = (reply: unknown): unknown => (reply instanceof RespError ? reply.message : reply);

describe.each(phases)('while a replica $name', (each) => {
  const { hasAll } = each;
  const isOnline = each.state === 'online';

  /** All that is asked, in an order in which nothing disturbs what follows. */
  async function observe(kind: Kind): Promise<object> {
    const [server, client] = await enter(kind, each);
    const list = String(await client.call('CLIENT', 'LIST', 'TYPE', 'replica'));
    const role = (await client.call('ROLE')) as [string, number, unknown[]];
    await client.call('CONFIG', 'SET', 'min-replicas-to-write', '1');
    const good = (await client.info('replication')).get('min_slaves_good_slaves');
    const written = errorOr(await client.command('SET', 'k', 'v'));
    await client.call('CONFIG', 'SET', 'min-replicas-to-write', '0');
    await client.call('SET', 'k', 'w');
    if (hasAll) expect(await client.call('WAIT', '1', '0')).toBe(1);

    // A pause of writes holds back no sync.
    await client.call('CLIENT', 'PAUSE', '60000', 'WRITE');
    attach(server, { listeningPort: 7000, ack: 'asked' });
    const second = each.state === 'wait_bgsave' ? 'wait_bgsave' : 'online';
    await waitFor(
      async () => {
        const states = await statesOf(client);
        return states.length === 2 && states[1] === second;
      },
      { what: 'a second replica' },
    );
    const during = await statesOf(client);
    await client.call('CLIENT', 'UNPAUSE');

    const killed = await client.call('CLIENT', 'KILL', 'TYPE', 'replica');
    await waitFor(async () => (await statesOf(client)).length === 0, { what: 'all to be gone' });
    return {
      flags: [...list.matchAll(/ flags=(\S+)/g)].map(([, flags]) => flags),
      rows: role[2].length,
      good,
      written,
      during,
      killed,
    };
  }

  test('it is counted, and killed, as by a real server', async () => {
    const [own, real] = [await observe('headwater'), await observe('redis')];
    expect(own).toEqual(real);
    expect(real).toMatchObject({ good: isOnline ? '1' : '0', killed: 2 });
  }, 180_000);

  /** Whether SHUTDOWN waits for it. */
  async function shutDown(kind: Kind): Promise<string> {
    const [server, client] = await enter(kind, each);
    await client.call('SET', 'k', 'v');
    if (hasAll) await acknowledged(client);
    const asker = await connect(server);
    asker.socket.write('SHUTDOWN NOSAVE\r\n');
    let isWaiting = false;
    await waitFor(
      async () => {
        if (server.hasExited) return true;
        const info = await client.info('server').catch(() => undefined);
        isWaiting = info?.has('shutdown_in_milliseconds') === true;
        return isWaiting;
      },
      { what: 'the end, or that it waits' },
    );
    if (!isWaiting) return 'ends';
    // Writes wait meanwhile.
    const writer = await connect(server);
    const write = writer.command('SET', 'k', 'late').catch(() => 'no answer');
    // The end may come before the reply: both servers end in the turn in which nobody lags.
    await client.call('CLIENT', 'KILL', 'TYPE', 'replica').catch(() => undefined);
    await server.exited;
    return `waits until it has gone, ${errorOr(await write)}`;
  }

  test('SHUTDOWN does what that of a real server does', async () => {
    const [own, real] = [await shutDown('headwater'), await shutDown('redis')];
    expect(own).toBe(real);
    expect(real).toBe(hasAll ? 'ends' : 'waits until it has gone, no answer');
  }, 180_000);
});

describe('repl-diskless-sync-delay', () => {
  const EOF: FakeReplicaOptions = { capa: ['eof', 'psync2'] };

  /** The states of all replicas after each step. */
  async function play(kind: Kind, max: string, steps: readonly Step[]): Promise<string[][]> {
    const server = await startServer(kind, [
      ...['--repl-diskless-sync', 'yes', '--repl-diskless-sync-delay', NEVER_S],
      ...['--repl-diskless-sync-max-replicas', max],
    ]);
    const client = await connect(server);
    await client.call('SET', 'k', 'v');
    const seen: string[][] = [];
    let port = 7000;
    for (const { come, leave, set, becomes } of steps) {
      if (come !== undefined) attach(server, { listeningPort: port++, ...come });
      if (leave === true) await client.call('CLIENT', 'KILL', 'TYPE', 'replica');
      if (set !== undefined) await client.call('CONFIG', 'SET', ...set);
      const wanted = becomes.join();
      await waitFor(async () => (await statesOf(client)).join() === wanted, {
        what: `${kind}: ${wanted}`,
      });
      // One that is not to be served stays so over some turns of the server's timer.
      if (wanted.includes(waits)) await secondsLater(client);
      seen.push(await statesOf(client));
    }
    return seen;
  }

  interface Step {
    readonly come?: FakeReplicaOptions;
    readonly leave?: true;
    readonly set?: readonly string[];
    readonly becomes: readonly string[];
  }

  const waits = 'wait_bgsave';
  const cases: readonly (readonly [name: string, max: string, steps: readonly Step[]])[] = [
    [
      'ends once enough replicas wait, and those that have left do not count',
      '2',
      [
        { come: EOF, becomes: [waits] },
        { leave: true, becomes: [] },
        { come: EOF, becomes: [waits] },
        { come: EOF, becomes: ['online', 'online'] },
      ],
    ],
    [
      'ends when it is made shorter',
      '0',
      [
        { come: EOF, becomes: [waits] },
        { come: EOF, becomes: [waits, waits] },
        { set: ['repl-diskless-sync-delay', '0'], becomes: ['online', 'online'] },
      ],
    ],
    [
      'ends when fewer are to be waited for',
      '3',
      [
        { come: EOF, becomes: [waits] },
        { come: EOF, becomes: [waits, waits] },
        { set: ['repl-diskless-sync-max-replicas', '2'], becomes: ['online', 'online'] },
      ],
    ],
    [
      'is not for a replica that needs the length first, which takes the others along',
      '0',
      [
        { come: EOF, becomes: [waits] },
        { come: { capa: ['psync2'] }, becomes: ['online', 'online'] },
      ],
    ],
  ];
  test.each(cases)(
    '%s',
    async (_name, max, steps) => {
      const wanted = steps.map(({ becomes }) => [...becomes]);
      expect(await play('redis', max, steps)).toEqual(wanted);
      expect(await play('headwater', max, steps)).toEqual(wanted);
    },
    180_000,
  );
});
