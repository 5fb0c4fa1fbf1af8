/**
 * A full sync that arrives at a node is passed on, as it comes, to the replicas below that need one.
 * Where the order of events counts, the primary is a fake one that sends a part of a dump and waits.
 */
import { beforeAll, describe, expect } from 'vitest';
import { asOffset } from '../../src/base/units.ts';
import { DUMPS_OPEN_MAX } from '../../src/server/persistence/snapshots.ts';
import { CutLink } from '../support/cut-link.ts';
import { digestOf, expectSameData, syncCounts, waitForSync } from '../support/digest.ts';
import { FakeReplica, type FakeReplicaOptions } from '../support/fake-replica.ts';
import { fillWithNoise } from '../support/links.ts';
import { type FakeLink, FakePrimary } from '../support/manual-primary.ts';
import { type NodeInProcess, startNode } from '../support/node-in-process.ts';
import { encodeCommand } from '../support/resp-client.ts';
import type { TestServer } from '../support/server-process.ts';
import { type Servers, test } from '../support/servers.ts';
import { waitFor } from '../support/wait-for.ts';

const DEBUG = ['--enable-debug-command', 'yes'];
const ID = 'ab'.repeat(20);
const MARK = 'cd'.repeat(20);
const OFFSET = 1000;
const SELECT = encodeCommand(['SELECT', '0']);
const SET = encodeCommand(['SET', 'behind', 'the dump']);
/** A link holds back as many bytes of a dump with a mark: they may be the mark. */
const HELD_BYTES = 40;
const EOF: FakeReplicaOptions = { capa: ['eof', 'psync2'] };
const BY_LENGTH: FakeReplicaOptions = { capa: ['psync2'] };
/** What a headwater announces. */
const LIKE_HEADWATER: FakeReplicaOptions = { capa: ['eof', 'psync2', 'headwater-reads-12-80'] };

function closeAtEnd<T>(servers: Servers, what: T, close: (what: T) => Promise<unknown>): T {
  servers.atEnd(() => close(what));
  return what;
}

const redis = (servers: Servers, ...args: string[]): Promise<TestServer> => servers.redis({ args });

const headwater = (servers: Servers, ...args: string[]): Promise<TestServer> =>
  servers.headwater({ args: [...DEBUG, ...args] });

/** Dumps of a few kinds, made once. */
let small: Buffer;
let large: Buffer;
let newest: Buffer;

async function dumpOf(server: TestServer | NodeInProcess, options = EOF): Promise<Buffer> {
  const replica = await FakeReplica.attach(server.port, options);
  await replica.waitForDump();
  await replica.close();
  return replica.dump;
}

beforeAll(async () => {
  const node = await startNode();
  const client = await node.client();
  await fillWithNoise(client, 2000, 200);
  small = await dumpOf(node);
  await client.call('CONFIG', 'SET', 'rdb-version', '12');
  newest = await dumpOf(node);
  await client.call('CONFIG', 'SET', 'rdb-version', '10');
  await fillWithNoise(client, 4000, 5000);
  large = await dumpOf(node);
  await client.close();
  await node.stop();
  expect([small.toString('latin1', 0, 9), newest.toString('latin1', 0, 9)]).toEqual([
    'REDIS0010',
    'REDIS0012',
  ]);
}, 180_000);

interface Relay {
  readonly node: NodeInProcess;
  readonly primary: FakePrimary;
  attach(options?: FakeReplicaOptions): Promise<FakeReplica>;
  call(...words: (string | number)[]): Promise<unknown>;
  field(name: string): Promise<number>;
  /** Waits until the link is up. */
  up(): Promise<void>;
}

/** A node that holds one key and follows a fake primary. */
async function relay(servers: Servers, ...lines: string[]): Promise<Relay> {
  const primary = closeAtEnd(servers, await FakePrimary.listen(), (fake) => fake.close());
  const node = closeAtEnd(servers, await startNode(...lines), (started) => started.stop());
  const client = closeAtEnd(servers, await node.client(), (open) => open.close());
  await client.call('SET', 'old', '1');
  await client.call('REPLICAOF', '127.0.0.1', primary.port);
  return {
    node,
    primary,
    attach: async (options = EOF) =>
      closeAtEnd(servers, await FakeReplica.attach(node.port, options), (replica) =>
        replica.close(),
      ),
    call: (...words) => client.command(...words),
    field: async (name) => Number(await client.infoField('headwater', name)),
    up: async () => {
      await waitFor(() => node.node.upstream.isUp, {
        what: 'the link to be up',
        timeoutMs: 60_000,
      });
    },
  };
}

type Frame = 'eof' | 'length';
const grant = (frame: Frame, dump: Buffer): string =>
  `+FULLRESYNC ${ID} ${OFFSET}\r\n${frame === 'eof' ? `$EOF:${MARK}` : `$${dump.length}`}\r\n`;
const ending = (frame: Frame): string => (frame === 'eof' ? MARK : '');

/** Sends all of a full sync, and one command behind it once it is acknowledged. */
async function finish(link: FakeLink, frame: Frame, rest: Buffer): Promise<void> {
  link.write(rest, ending(frame));
  await waitFor(() => link.acks.includes(OFFSET), {
    what: 'the ACK of the dump',
    timeoutMs: 60_000,
  });
  link.write(SELECT, SET);
}

/** The replica has the dump, its place in the stream, and what came behind it. */
async function expectSynced(replica: FakeReplica, dump: Buffer): Promise<void> {
  await replica.waitForOffset(OFFSET + SELECT.length + SET.length);
  expect(replica.dump.equals(dump)).toBe(true);
  expect(replica.replid).toBe(ID);
  expect(replica.stream.equals(Buffer.concat([SELECT, SET]))).toBe(true);
  if (replica.framing === 'eof') expect(replica.bytesRightBehindDump).toBe(0);
}

describe.concurrent('a dump that arrives', () => {
  test.for([
    ['eof', EOF],
    ['length', EOF],
    ['length', BY_LENGTH],
  ] as const)(
    'framed by %s is below as far as it came here, under the same id and offset: %j',
    async ([frame, options], { servers }) => {
      const { primary, attach, call, up, field } = await relay(servers);
      const link = await primary.nextSync();
      const joining = attach(options);
      const half = small.subarray(0, small.length / 2);
      link.write(grant(frame, small), half);
      const replica = await joining;
      const sure = half.length - (frame === 'eof' ? HELD_BYTES : 0);
      // It may keep the last bytes for its own mark.
      const mark = options === EOF ? HELD_BYTES : 0;
      await waitFor(() => replica.dumpBytes >= sure - mark, { what: 'the first half below' });
      expect([replica.replid, replica.offset, replica.phase]).toEqual([ID, OFFSET, 'dump']);
      expect(await field('headwater_cut_through_peers')).toBe(1);
      expect(await call('GET', 'old')).toBe('1');
      await finish(link, frame, small.subarray(half.length));
      await up();
      await expectSynced(replica, small);
      expect(await field('headwater_cut_through_joins')).toBe(1);
      expect(await field('headwater_cut_through_peers')).toBe(0);
      expect(await field('headwater_cut_through_bytes')).toBe(small.length);
      expect(await field('headwater_snapshots_started')).toBe(0);
      expect(await call('GET', 'old')).toBeNull();
    },
  );

  test('with a mark reaches a replica that needs the length once it is whole', async ({
    servers,
  }) => {
    const { primary, attach, field } = await relay(servers);
    const link = await primary.nextSync();
    const joining = attach(BY_LENGTH);
    link.write(grant('eof', small), small.subarray(0, 5000));
    const replica = await joining;
    await waitFor(async () => (await field('headwater_cut_through_peers')) === 1);
    await waitFor(() => replica.keepalives > 0, { what: 'a sign of life' });
    expect([replica.phase, replica.dumpBytes]).toEqual(['header', 0]);
    await finish(link, 'eof', small.subarray(5000));
    await expectSynced(replica, small);
    expect(replica.framing).toBe('length');
  });

  test('is joined late, while it arrives and after it was loaded', async ({ servers }) => {
    const { primary, attach, up, field } = await relay(servers);
    const link = await primary.nextSync();
    link.write(grant('eof', small), small.subarray(0, 200_000));
    await waitFor(async () => (await field('headwater_snapshots_open')) === 1);
    const late = await attach();
    await finish(link, 'eof', small.subarray(200_000));
    await up();
    const later = await attach(BY_LENGTH);
    for (const replica of [late, later]) await expectSynced(replica, small);
    expect(await field('headwater_cut_through_joins')).toBe(1);
    expect(await field('headwater_late_joins')).toBe(1);
    expect(await field('headwater_snapshots_started')).toBe(0);
  });

  test('serves twenty replicas, some of which vanish', async ({ servers }) => {
    const { primary, attach, field } = await relay(servers);
    const link = await primary.nextSync();
    const joining = Array.from({ length: 20 }, (_, i) => attach(i % 2 === 0 ? EOF : BY_LENGTH));
    link.write(grant('length', small), small.subarray(0, 100_000));
    const replicas = await Promise.all(joining);
    await waitFor(() => replicas.every((replica) => replica.dumpBytes >= 100_000 - HELD_BYTES));
    for (const replica of replicas.splice(0, 5)) await replica.vanish();
    await finish(link, 'length', small.subarray(100_000));
    for (const replica of replicas) await expectSynced(replica, small);
    expect(await field('headwater_snapshots_started')).toBe(0);
  });

  test('that nobody reads is not kept beyond its memory, and who comes then waits for the load', async ({
    servers,
  }) => {
    const { node, primary, attach, up, field } = await relay(
      servers,
      'snapshot-spool-memory 256kb',
    );
    const link = await primary.nextSync();
    link.write(grant('eof', large), large.subarray(0, 5_000_000));
    await waitFor(() => node.node.upstream.link.payloadReceived > 4_000_000);
    await waitFor(async () => (await field('headwater_snapshots_open')) === 0, {
      what: 'the dump to be let go',
    });
    expect(await field('headwater_spool_spilled_bytes')).toBe(0);
    const late = attach();
    await waitFor(async () => (await field('headwater_syncs_waiting')) === 1);
    link.write(large.subarray(5_000_000), MARK);
    await up();
    const replica = await late;
    await replica.waitForDump();
    expect([replica.replid, replica.offset]).toEqual([ID, OFFSET]);
    expect(await field('headwater_cut_through_joins')).toBe(0);
    expect(await field('headwater_snapshots_started')).toBe(1);
  });

  test('goes to a file for a slow replica, which holds up neither the link nor the others', async ({
    servers,
  }) => {
    const { primary, attach, field } = await relay(servers, 'snapshot-spool-memory 1mb');
    const link = await primary.nextSync();
    const joining = [attach(), attach()];
    link.write(grant('eof', large), large.subarray(0, 100_000));
    const [slow, quick] = (await Promise.all(joining)) as [FakeReplica, FakeReplica];
    slow.pause();
    await finish(link, 'eof', large.subarray(100_000));
    await expectSynced(quick, large);
    expect(await field('headwater_spool_spilled_bytes')).toBeGreaterThan(5_000_000);
    slow.resume();
    await expectSynced(slow, large);
    await waitFor(async () => (await field('headwater_spool_file_bytes')) === 0, {
      what: 'the file to be gone',
    });
  });

  test('is not for a replica that may not read its version; a headwater tells that it does', async ({
    servers,
  }) => {
    const { primary, attach, up, field } = await relay(servers);
    const link = await primary.nextSync();
    const joining = [attach(EOF), attach(LIKE_HEADWATER)];
    link.write(grant('eof', newest), newest.subarray(0, 100_000));
    const able = (await joining[1]) as FakeReplica;
    expect(await field('headwater_cut_through_joins')).toBe(1);
    await waitFor(async () => (await field('headwater_syncs_waiting')) === 1, {
      what: 'the other one to wait',
    });
    await finish(link, 'eof', newest.subarray(100_000));
    await up();
    await expectSynced(able, newest);
    const other = (await joining[0]) as FakeReplica;
    await other.waitForDump();
    expect(other.dump.toString('latin1', 0, 9)).toBe('REDIS0010');
    expect(other.replid).toBe(ID);
  });

  test('is not for one that wants a part, or no stream', async ({ servers }) => {
    const { primary, attach, field } = await relay(servers);
    const link = await primary.nextSync();
    const handshakes = [
      ['rdb-only', '1'],
      ['rdb-filter-only', 'functions'],
    ] as const;
    const joining = handshakes.map((words) => attach({ handshake: [['REPLCONF', ...words]] }));
    link.write(grant('eof', small), small.subarray(0, 100_000));
    await waitFor(async () => (await field('headwater_snapshots_open')) === 1);
    await waitFor(async () => (await field('headwater_syncs_waiting')) === 2);
    expect(await field('headwater_cut_through_joins')).toBe(0);
    link.write(small.subarray(100_000), MARK);
    for (const replica of await Promise.all(joining)) {
      await waitFor(() => replica.dumpBytes > 0 && replica.phase !== 'dump');
    }
  });
});

describe.concurrent('a replica whose dump is whole before it is loaded here', () => {
  test.for([
    ['eof', EOF],
    ['length', BY_LENGTH],
  ] as const)('framed by %s gets nothing more until then', async ([, options], { servers }) => {
    const { node, primary, attach, up, field, call } = await relay(servers, 'repl-timeout 2');
    const { upstream } = node.node;
    const link = await primary.nextSync();
    const joining = attach(options);
    const payloadEnded = upstream.link.payloadEnded.bind(upstream.link);
    // The load is held up from the end of the dump on.
    upstream.link.payloadEnded = (nowMs) => {
      payloadEnded(nowMs);
      upstream.hold();
    };
    link.write(grant('length', small), small);
    const replica = await joining;
    await replica.waitForDump();
    const { acksSent } = replica;
    // Long enough for keepalives, and for the timeout, if one of them were due.
    await waitFor(() => replica.acksSent > acksSent + 30, { what: 'three seconds of ACKs' });
    expect([replica.isClosed, replica.streamBytes, upstream.isUp]).toEqual([false, 0, false]);
    expect(await call('INFO', 'replication')).toMatch(/slave0:.*state=send_bulk,offset=1000/);
    expect(await field('headwater_cut_through_peers')).toBe(1);
    expect(await call('GET', 'old')).toBe('1');
    upstream.release();
    await up();
    await waitFor(async () => String(await call('INFO', 'replication')).includes('state=online'));
    link.write(SELECT, SET);
    await expectSynced(replica, small);
  });
});

describe.concurrent('while a dump arrives', () => {
  test('a replica of the old stream keeps it until the new one is here, and gets that dump then', async ({
    servers,
  }) => {
    const primary = closeAtEnd(servers, await FakePrimary.listen(), (fake) => fake.close());
    const node = closeAtEnd(servers, await startNode(), (started) => started.stop());
    const client = closeAtEnd(servers, await node.client(), (open) => open.close());
    await client.call('SET', 'old', '1');
    const before = await FakeReplica.attach(node.port);
    await before.waitForDump();
    await client.call('REPLICAOF', '127.0.0.1', primary.port);
    const link = await primary.nextSync();
    link.write(grant('eof', small), small.subarray(0, 100_000));
    await waitFor(() => node.node.upstream.link.payloadReceived > 99_000);
    const { acksSent } = before;
    await waitFor(() => before.acksSent > acksSent + 2);
    expect(before.isClosed).toBe(false);
    link.write(small.subarray(100_000), MARK);
    await before.closed;
    await waitFor(() => node.node.upstream.isUp);
    const options = { ...EOF, replid: before.replid, from: before.offset + 1 };
    const again = closeAtEnd(servers, await FakeReplica.attach(node.port, options), (one) =>
      one.close(),
    );
    link.write(SELECT, SET);
    await expectSynced(again, small);
    // The first of them was for the old stream.
    expect(await client.infoField('headwater', 'headwater_snapshots_started')).toBe('1');
    expect(await client.infoField('headwater', 'headwater_late_joins')).toBe('1');
  });

  test('a save holds the old data, and one after it the new data', async ({ servers }) => {
    const { node, primary, call, attach, up } = await relay(servers);
    const link = await primary.nextSync();
    const joining = attach();
    link.write(grant('eof', small), small.subarray(0, 100_000));
    const replica = await joining;
    expect(await call('SAVE')).toBe('OK');
    expect(node.node.dumps.snapshots.lastFigures?.keys).toBe(1);
    await finish(link, 'eof', small.subarray(100_000));
    await up();
    await expectSynced(replica, small);
    expect(await call('SAVE')).toBe('OK');
    expect(node.node.dumps.snapshots.lastFigures?.keys).toBe(2001);
  });

  test('it counts as one of the dumps that may be open', async ({ servers }) => {
    const { node } = await relay(servers);
    const { snapshots } = node.node.dumps;
    const open = () => snapshots.passOn(ID, asOffset(OFFSET), -1, () => {});
    const opened = Array.from({ length: DUMPS_OPEN_MAX }, open);
    expect([opened.includes(undefined), snapshots.hasRoom, open()]).toEqual([
      false,
      false,
      undefined,
    ]);
    for (const dump of opened) dump?.fail();
    expect([snapshots.hasRoom, snapshots.openCount]).toEqual([true, 0]);
  });

  test('it is not passed on without memory for it, and is loaded all the same', async ({
    servers,
  }) => {
    const { node, primary, call, up } = await relay(servers);
    const link = await primary.nextSync();
    const { snapshots } = node.node.dumps;
    const { memory } = node.node.server;
    const take = memory.take.bind(memory);
    const passOn = snapshots.passOn.bind(snapshots);
    snapshots.passOn = (...args) => {
      memory.take = () => {
        throw new RangeError('Array buffer allocation failed');
      };
      const dump = passOn(...args);
      memory.take = take;
      return dump;
    };
    link.write(grant('length', small), small);
    await up();
    expect(await call('DBSIZE')).toBe(2000);
    expect(node.messages.some((text) => text.startsWith('The dump is not passed on'))).toBe(true);
  });
});

describe.concurrent('a full sync that fails', () => {
  test.for([0, 1, 8, 9, 10, 4096, 65_537, 300_000])(
    'after %i bytes of the dump cuts off those that read it, and changes nothing here',
    async (bytes, { servers }) => {
      const { primary, attach, call, up, field } = await relay(servers);
      const link = await primary.nextSync();
      const joining = attach();
      link.write(grant('length', small), small.subarray(0, bytes));
      // Below nine bytes the version of the dump is not known, and the replica waits.
      if (bytes >= 9) {
        const replica = await joining;
        // The header may come behind the answer to PSYNC.
        await waitFor(() => replica.phase === 'dump' && replica.dumpBytes >= bytes - HELD_BYTES);
        link.cut();
        await replica.closed;
        expect(replica.phase).toBe('dump');
      } else {
        await waitFor(async () => (await field('headwater_syncs_waiting')) === 1);
        link.cut();
        expect((await joining).refusal).toContain("-NOMASTERLINK Can't SYNC while not connected");
      }
      expect(await call('GET', 'old')).toBe('1');
      expect(await field('headwater_snapshots_open')).toBe(0);
      // The next one goes well.
      const again = await primary.nextSync();
      const rejoining = attach();
      again.write(grant('eof', small));
      await finish(again, 'eof', small);
      await up();
      await expectSynced(await rejoining, small);
    },
  );

  test('at its very end, by a wrong checksum, cuts off those that have the whole dump', async ({
    servers,
  }) => {
    const { primary, attach, call, field } = await relay(servers);
    const broken = Buffer.from(small);
    broken[broken.length - 1]! ^= 1;
    const link = await primary.nextSync();
    const joining = [attach(EOF), attach(BY_LENGTH)];
    link.write(grant('length', broken), broken.subarray(0, -1));
    const replicas = await Promise.all(joining);
    for (const replica of replicas)
      await waitFor(() => replica.dumpBytes >= broken.length - 1 - HELD_BYTES);
    link.write(broken.subarray(-1));
    for (const replica of replicas) await replica.closed;
    expect(link.isClosed || (await waitFor(() => link.isClosed))).toBe(true);
    expect(await call('GET', 'old')).toBe('1');
    expect(await field('headwater_sync_failures')).toBe(0);
    expect(await field('headwater_cut_through_peers')).toBe(0);
  });

  test('with a dump that none of this program reads cuts off those below, too', async ({
    servers,
  }) => {
    const { primary, attach, call } = await relay(servers);
    // A type that no version has; the checksum is left out.
    const garbage = Buffer.from(`REDIS0010\x7f\x7f\x7f\xff${'\0'.repeat(8)}`, 'latin1');
    const link = await primary.nextSync();
    const joining = attach();
    link.write(grant('length', garbage), garbage);
    await (await joining).closed;
    expect(await call('GET', 'old')).toBe('1');
  });
});

describe.concurrent('a replica that asks while the link of this node is on its way', () => {
  test('waits, and gets the dump, whatever history it had', async ({ servers }) => {
    const { primary, attach } = await relay(servers);
    const link = await primary.nextSync();
    const joining = attach();
    let replica: FakeReplica | undefined;
    joining.then((attached) => {
      replica = attached;
    });
    link.write('\n');
    await waitFor(async () => link.requests.length > 0);
    const other = attach({ ...EOF, replid: 'ef'.repeat(20), from: 5 });
    link.write(grant('eof', small));
    await finish(link, 'eof', small);
    for (const attached of await Promise.all([joining, other])) {
      await expectSynced(attached, small);
    }
    expect(replica).toBeDefined();
  });

  test('is refused when the link fails', async ({ servers }) => {
    const { primary, attach, field } = await relay(servers);
    primary.answers = false;
    const joining = attach();
    await waitFor(async () => (await field('headwater_syncs_waiting')) === 1);
    await waitFor(() => primary.links.length > 0);
    for (const link of primary.links) link.cut();
    const replica = await joining;
    expect(replica.refusal).toBe("-NOMASTERLINK Can't SYNC while not connected with my master");
    await replica.closed;
  });

  test('that has what the backlog here covers is refused until the link is up', async ({
    servers,
  }) => {
    const { node, primary, attach, up } = await relay(servers);
    const link = await primary.nextSync();
    link.write(grant('eof', small));
    await finish(link, 'eof', small);
    await up();
    const end = OFFSET + SELECT.length + SET.length;
    await waitFor(() => node.node.server.streamLog.endOffset === end, { what: 'the stream' });
    link.cut();
    await primary.nextSync();
    const refused = await attach({ ...EOF, replid: ID, from: end + 1 });
    expect(refused.refusal).toContain('-NOMASTERLINK');
  });
});

test.concurrent('two nodes made replicas of each other wait, without a storm, until one is promoted', async ({
  servers,
}) => {
  const nodes = [await startNode(), await startNode()];
  for (const node of nodes) closeAtEnd(servers, node, (started) => started.stop());
  const [one, other] = nodes as [NodeInProcess, NodeInProcess];
  const clients = [await one.client(), await other.client()];
  for (const client of clients) closeAtEnd(servers, client, (open) => open.close());
  await clients[0]!.call('SET', 'k', 'v');
  await clients[0]!.call('REPLICAOF', '127.0.0.1', other.port);
  await clients[1]!.call('REPLICAOF', '127.0.0.1', one.port);
  const waiting = async (): Promise<boolean> => {
    for (const client of clients)
      if ((await client.infoField('headwater', 'headwater_syncs_waiting')) !== '1') return false;
    return true;
  };
  await waitFor(waiting, { what: 'both to wait for each other' });
  await clients[0]!.call('REPLICAOF', 'NO', 'ONE');
  await waitFor(() => other.node.upstream.isUp, { what: 'the other one to follow' });
  expect(await clients[1]!.call('GET', 'k')).toBe('v');
  for (const { node } of nodes) expect(node.upstream.link.totalAttempts).toBeLessThan(5);
});

describe.concurrent('a chain whose nodes are all attached at once', () => {
  async function write(server: TestServer, rounds: number): Promise<void> {
    const client = await server.client();
    for (let round = 0; round < rounds; round++) {
      const commands = Array.from({ length: 50 }, (_, i) =>
        i % 10 === 0 ? ['SELECT', (round + i) % 3] : ['SET', `w${i}`, `${round} ${i}`],
      );
      await client.pipeline(commands);
    }
    await client.close();
  }

  test.for([
    ['without a file', 'yes'],
    ['from a file', 'no'],
  ])(
    'of a real head that syncs %s, three headwaters and a real tail holds the same',
    { timeout: 180_000 },
    async ([, diskless], { servers }) => {
      const head = await redis(
        servers,
        '--repl-diskless-sync',
        diskless,
        '--repl-diskless-sync-delay',
        '0',
      );
      const client = closeAtEnd(servers, await head.client(), (open) => open.close());
      await client.call('DEBUG', 'POPULATE', 50_000, 'key', 200);
      // All nodes are attached before the dump is over. One that is read as it is made takes
      // seconds. For the file a node below the second one waits no longer than five.
      await client.call('CONFIG', 'SET', 'rdb-key-save-delay', diskless === 'yes' ? 20 : -4);
      const relays = [await headwater(servers), await headwater(servers), await headwater(servers)];
      const tail = await redis(servers);
      const chain = [head, ...relays, tail];
      for (let i = 1; i < chain.length; i++) {
        const below = await chain[i]!.client();
        await below.call('REPLICAOF', '127.0.0.1', chain[i - 1]!.port);
        await below.close();
      }
      await write(head, 100);
      for (const server of chain.slice(1)) await waitForSync(head, server, { timeoutMs: 60_000 });
      await write(head, 20);
      for (const server of chain.slice(1)) await expectSameData(head, server);
      for (const server of [head, ...relays]) expect((await syncCounts(server)).full).toBe(1);
      for (const server of relays) {
        const info = await (await server.client()).info('headwater');
        expect(info.get('headwater_cut_through_joins')).toBe('1');
        expect(info.get('headwater_snapshots_started')).toBe('0');
      }
    },
  );

  test('is cut at any hop while it syncs, and still ends with the same everywhere', async ({
    servers,
  }) => {
    const head = await redis(servers);
    const client = closeAtEnd(servers, await head.client(), (open) => open.close());
    await client.call('DEBUG', 'POPULATE', 40_000, 'key', 200);
    await client.call('CONFIG', 'SET', 'rdb-key-save-delay', 20);
    const upper = closeAtEnd(servers, await CutLink.to(head.port), (link) => link.close());
    const first = await headwater(servers, '--replicaof', `127.0.0.1 ${upper.port}`);
    const lower = closeAtEnd(servers, await CutLink.to(first.port), (link) => link.close());
    const second = await headwater(servers, '--replicaof', `127.0.0.1 ${lower.port}`);
    const tail = await redis(servers, '--replicaof', `127.0.0.1 ${second.port}`);
    const writing = write(head, 200);
    for (const link of [upper, lower, upper, lower]) {
      const seen = link.bytesDown;
      await waitFor(() => link.bytesDown > seen + 200_000, { timeoutMs: 60_000 });
      link.cut();
      link.mend();
    }
    await client.call('CONFIG', 'SET', 'rdb-key-save-delay', 0);
    await writing;
    for (const server of [first, second, tail])
      await expectSameData(head, server, { timeoutMs: 60_000 });
    expect(await digestOf(tail)).toBe(await digestOf(head));
  }, 180_000);
});
