/**
 * Replicas that stall, close half of their connection or vanish, at each stage of a sync: nothing
 * of them may stay.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MIB } from '../../../src/base/units.ts';
import { Phase } from '../../../src/replication/replica-state.ts';
import type { ReplicaPeer } from '../../../src/server/primary/replica-peer.ts';
import { FakeReplica, type FakeReplicaOptions } from '../../support/fake-replica.ts';
import { expectNothingHeld, fillWithNoise } from '../../support/links.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import { encodeCommand, type RespClient } from '../../support/resp-client.ts';
import { waitFor } from '../../support/wait-for.ts';

const DUMP_BYTES = 24 * MIB;

let primary: NodeInProcess;
let client: RespClient;

async function start(...lines: string[]): Promise<void> {
  primary = await startNode('snapshot-spool-memory 1mb', 'rdbcompression no', ...lines);
  client = await primary.client();
  await fillWithNoise(client, DUMP_BYTES / 32768, 32768);
}

/** Stops to read once it has been answered, whatever the stage. */
async function attachStalled(options: FakeReplicaOptions): Promise<FakeReplica> {
  const replica = await FakeReplica.attach(primary.port, { countOnly: true, ...options });
  replica.pause();
  return replica;
}

const peers = (): ReplicaPeer[] => [...primary.node.primary.peers];
const logged = (text: string): number =>
  primary.messages.filter((line) => line.includes(text)).length;

beforeEach(() => {
  primary = undefined as unknown as NodeInProcess;
});
afterEach(async () => {
  await expectNothingHeld(primary.node);
  await client.close();
  await primary.stop();
});

const endings: readonly (readonly [name: string, end: (socket: Socket) => void])[] = [
  ['resets its connection', (socket) => socket.resetAndDestroy()],
  ['closes half of its connection', (socket) => socket.end()],
  ['closes its connection', (socket) => socket.destroy()],
];

interface Stage {
  readonly name: string;
  readonly phase: Phase;
  readonly lines: readonly string[];
  readonly options: FakeReplicaOptions;
  readonly reads: boolean;
}

const EOF: FakeReplicaOptions = { capa: ['eof', 'psync2'], ack: 'never' };
const stages: readonly Stage[] = [
  {
    name: 'waits for a snapshot',
    phase: Phase.WAIT_START,
    lines: ['repl-diskless-sync-delay 3600'],
    options: { legacySync: true, capa: ['eof'] },
    reads: false,
  },
  {
    name: 'waits for the end of the dump',
    phase: Phase.WAIT_DUMP,
    lines: ['repl-diskless-sync no'],
    options: {},
    reads: false,
  },
  { name: 'gets the dump', phase: Phase.SEND_BULK, lines: [], options: EOF, reads: false },
  {
    name: 'gets the dump alone',
    phase: Phase.SEND_BULK,
    lines: [],
    options: { ...EOF, handshake: [['REPLCONF', 'rdb-only', '1']] },
    reads: false,
  },
  {
    name: 'has not acknowledged the dump',
    phase: Phase.CORKED,
    lines: [],
    options: EOF,
    reads: true,
  },
  {
    name: 'is online',
    phase: Phase.ONLINE,
    lines: [],
    options: { ...EOF, ack: 'asked' },
    reads: true,
  },
];

describe.each(stages)('a replica that $name', ({ phase, lines, options, reads }) => {
  test.each(endings)('and %s leaves nothing behind', async (_name, end) => {
    await start(...lines);
    const attaching = reads
      ? FakeReplica.attach(primary.port, { countOnly: true, ...options })
      : attachStalled(options);
    await waitFor(() => peers()[0]?.state.phase === phase, { what: 'the stage' });
    const replica = await attaching;
    end(replica.socket);
    await waitFor(() => peers().length === 0, { what: 'the end to be noticed' });
    replica.socket.destroy();
    // The next one is served as if nothing had been.
    await client.call('CONFIG', 'SET', 'repl-diskless-sync-delay', '0');
    const next = await FakeReplica.attach(primary.port, { countOnly: true });
    await next.waitForDump();
    expect(next.dumpBytes).toBeGreaterThan(DUMP_BYTES);
    await next.close();
  });
});

test('a hundred PSYNCs in one write are one request', async () => {
  await start();
  const again = Array.from({ length: 99 }, () => ['PSYNC', '?', '-1']);
  const replica = await FakeReplica.attach(primary.port, { countOnly: true, behindPsync: again });
  await replica.waitForDump();
  expect(peers().length).toBe(1);
  expect(primary.node.server.stats.syncFull).toBe(1);
  await client.call('SET', 'k', 'v');
  await replica.waitForOffset(primary.node.server.streamLog.endOffset);
  await replica.close();
});

test('replicas that ask, vanish and ask again leave nothing behind', async () => {
  await start();
  for (let round = 0; round < 30; round++) {
    const replica = await FakeReplica.attach(primary.port, { countOnly: true });
    await replica.vanish();
  }
});

test('a hundred replicas that come back each second go on where they were, and cost no memory', async () => {
  await start('repl-backlog-size 1mb', 'maxclients 1000');
  const { streamLog, stats } = primary.node.server;
  const come = (port: number, last?: FakeReplica): Promise<FakeReplica> =>
    FakeReplica.attach(primary.port, {
      countOnly: true,
      listeningPort: port,
      ...(last === undefined ? {} : { replid: last.replid, from: last.offset + 1 }),
    });
  let fleet = await Promise.all(Array.from({ length: 100 }, (_, i) => come(10_000 + i)));
  await Promise.all(fleet.map((replica) => replica.waitForDump()));
  expect(stats.syncFull).toBe(100);
  const memoryBytes = streamLog.memoryBytes;
  for (let round = 0; round < 10; round++) {
    await Promise.all(fleet.map((replica) => replica.vanish()));
    // Less than the history.
    await client.pipeline(
      Array.from({ length: 50 }, (_, i) => ['SET', `k${i}`, `${round} `.repeat(500)]),
    );
    fleet = await Promise.all(fleet.map((replica, i) => come(10_000 + i, replica)));
    expect(fleet.filter(({ resync }) => resync !== 'partial')).toEqual([]);
  }
  await Promise.all(fleet.map((replica) => replica.waitForOffset(streamLog.endOffset)));
  expect(stats.syncFull).toBe(100);
  expect(stats.syncPartialOk).toBe(1000);
  expect(peers().length).toBe(100);
  expect(streamLog.memoryBytes).toBeLessThan(memoryBytes + 2 * MIB);
  await Promise.all(fleet.map((replica) => replica.vanish()));
}, 180_000);

test('a hundred replicas that never come further than their dump share one at a time', async () => {
  await start('snapshot-keep 5');
  const { fullSyncs } = primary.node.primary;
  const { snapshots } = primary.node.dumps;
  for (let round = 0; round < 5; round++) {
    const fleet = await Promise.all(
      Array.from({ length: 100 }, (_, i) => attachStalled({ listeningPort: 10_000 + i })),
    );
    expect(snapshots.openCount).toBeLessThanOrEqual(4);
    await Promise.all(fleet.map((replica) => replica.vanish()));
    await waitFor(() => peers().length === 0, { what: 'the fleet to be gone' });
  }
  expect(fullSyncs.snapshotsStarted).toBeLessThanOrEqual(10);
}, 180_000);

test('a replica that never reads its dump is dropped after repl-timeout', async () => {
  await start('repl-timeout 1');
  const replica = await attachStalled({});
  await waitFor(() => peers().length === 0, { what: 'the replica to be dropped' });
  expect(logged('Disconnecting timedout replica (full sync)')).toBe(1);
  replica.socket.destroy();
});

test('a stalled reader of the dump alone is dropped after repl-timeout', async () => {
  await start('repl-timeout 1');
  const replica = await attachStalled({ handshake: [['REPLCONF', 'rdb-only', '1']], ack: 'never' });
  await waitFor(() => peers().length === 0, { what: 'the replica to be dropped' });
  expect(logged('Disconnecting timedout replica (full sync)')).toBe(1);
  replica.socket.destroy();
});

test('a reader of the dump alone that does not close its end is gone behind the last byte', async () => {
  await start();
  const socket = connect({ port: primary.port, host: '127.0.0.1', allowHalfOpen: true });
  await once(socket, 'connect');
  socket.on('error', () => {});
  socket.write(encodeCommand(['REPLCONF', 'capa', 'eof', 'rdb-only', '1']));
  await once(socket, 'data');
  socket.resume();
  const ended = once(socket, 'end');
  socket.write(encodeCommand(['PSYNC', '?', '-1']));
  await ended;
  await waitFor(() => peers().length === 0, { what: 'the replica to be gone' });
  socket.destroy();
});

test('a replica that asks for acknowledgements of acknowledgements changes nothing', async () => {
  await start();
  const replica = await FakeReplica.attach(primary.port, { countOnly: true });
  await replica.waitForDump();
  const words = Array.from({ length: 2000 }, () => ['ack', '0']).flat();
  replica.send('REPLCONF', ...words);
  replica.send('REPLCONF', 'ip-address', 'x'.repeat(100_000), 'ack', '0');
  await client.call('SET', 'k', 'v');
  await replica.waitForOffset(primary.node.server.streamLog.endOffset);
  expect(peers()[0]!.state.announcedAddress).toBe('');
  await replica.close();
});
