import { mkdirSync, rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ErrorCode, OperatingError } from '../../../src/base/errors.ts';
import { FakeReplica, type FakeReplicaOptions } from '../../support/fake-replica.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { waitFor } from '../../support/wait-for.ts';

let primary: NodeInProcess;
let client: RespClient;
let replicas: FakeReplica[];

async function start(...lines: string[]): Promise<void> {
  primary = await startNode(...lines);
  client = await primary.client();
}

async function attach(options: FakeReplicaOptions = {}): Promise<FakeReplica> {
  const replica = await FakeReplica.attach(primary.port, options);
  replicas.push(replica);
  return replica;
}

async function fill(keys: number, valueBytes: number): Promise<void> {
  const value = 'x'.repeat(valueBytes);
  await client.pipeline(
    Array.from({ length: keys }, (_, i) => ['SET', `key:${i}`, `${value}${i}`]),
  );
}

const endOffset = (): number => primary.node.server.streamLog.endOffset;
const started = (): number => primary.node.primary.fullSyncs.snapshotsStarted;

beforeEach(() => {
  replicas = [];
});
afterEach(async () => {
  for (const replica of replicas) await replica.close();
  await client.close();
  await primary.stop();
});

describe('a full sync', () => {
  test.each([
    ['eof', { capa: ['eof', 'psync2'] }],
    ['length', { capa: ['psync2'] }],
    ['length', { capa: [] }],
    ['eof', { capa: ['eof'], legacySync: true }],
    ['length', { capa: [], legacySync: true }],
  ] as const)('is framed by %s for %j and followed by the stream', async (framing, options) => {
    await start();
    await fill(100, 100);
    const replica = await attach(options);
    await replica.waitForDump();
    expect(replica.framing).toBe(framing);
    expect(replica.dump.toString('latin1')).toMatch(/^REDIS0010/);
    await client.call('SET', 'later', '1');
    expect(await replica.waitForCommand('SET', 'later')).toEqual(['SET', 'later', '1']);
    expect(replica.commands[0]).toEqual(['SELECT', '0']);
    if (!('legacySync' in options)) expect(replica.offset).toBe(endOffset());
  });

  test('sends nothing behind the mark before the first ACK', async () => {
    await start();
    await fill(10, 10);
    const replica = await attach({ ack: 'never' });
    await replica.waitForDump();
    await client.call('SET', 'k', 'v');
    const other = await attach();
    await other.waitForCommand('SET', 'k');
    expect(replica.streamBytes).toBe(0);
    replica.ack();
    await replica.waitForCommand('SET', 'k');
    expect(replica.bytesRightBehindDump).toBe(0);
  });

  test('waits for the whole dump with repl-diskless-sync no', async () => {
    await start('repl-diskless-sync no');
    await fill(100, 100);
    const replica = await attach();
    await replica.waitForDump();
    expect(replica.framing).toBe('length');
    expect(primary.messages).toContain('Starting BGSAVE for SYNC with target: disk');
  });

  test('ends the connection of a replica that wants the dump alone', async () => {
    await start();
    await fill(10, 10);
    const replica = await attach({ handshake: [['REPLCONF', 'rdb-only', '1']], ack: 'never' });
    await replica.closed;
    expect(replica.dumpBytes).toBeGreaterThan(100);
    expect(replica.streamBytes).toBe(0);
    await waitFor(() => primary.node.primary.peers.size === 0, { what: 'the primary to notice' });
  });

  test('carries no keys for an empty filter', async () => {
    await start();
    await fill(100, 100);
    const replica = await attach({ handshake: [['REPLCONF', 'rdb-filter-only', '']] });
    await replica.waitForDump();
    expect(replica.dump.includes('key:')).toBe(false);
  });

  test.each([
    ['rdb-version 9', 'REDIS0009'],
    ['rdb-version 12', 'REDIS0012'],
  ])('is in the dialect of %s', async (line, magic) => {
    await start(line);
    const replica = await attach();
    await replica.waitForDump();
    expect(replica.dump.toString('latin1', 0, 9)).toBe(magic);
  });

  test('is in a dialect that Valkey reads when a replica announces its version', async () => {
    await start('rdb-version 12');
    const replica = await attach({ handshake: [['REPLCONF', 'version', '8.1.0']] });
    await replica.waitForDump();
    expect(replica.dump.toString('latin1', 0, 9)).toBe('REDIS0011');
  });
});

describe('snapshots are shared', () => {
  test('ten replicas that attach at once during writes are served by one', async () => {
    await start();
    await fill(2000, 200);
    const writing = fill(5000, 50);
    await Promise.all(Array.from({ length: 10 }, () => attach({ countOnly: true })));
    await writing;
    for (const replica of replicas) {
      await replica.waitForDump();
      await replica.waitForOffset(endOffset());
      expect(replica.dumpBytes).toBe(replicas[0]!.dumpBytes);
    }
    expect(started()).toBe(1);
    expect(primary.node.server.stats.syncFull).toBe(10);
  });

  test('a replica that comes after the end joins, and gets what was written since', async () => {
    await start();
    await fill(100, 10);
    const first = await attach();
    await first.waitForDump();
    await client.call('SET', 'between', '1');
    const second = await attach();
    await second.waitForDump();
    await second.waitForCommand('SET', 'between');
    expect(second.dump.equals(first.dump)).toBe(true);
    expect(started()).toBe(1);
    expect(primary.node.primary.fullSyncs.lateJoins).toBe(1);
  });

  test('a dump without a stream behind it is never older than its request', async () => {
    await start();
    const first = await attach();
    await first.waitForDump();
    await client.call('SET', 'between', '1');
    const backup = await attach({ handshake: [['REPLCONF', 'rdb-only', '1']], ack: 'never' });
    await backup.closed;
    expect(backup.dump.includes('between')).toBe(true);
    expect(started()).toBe(2);
  });

  test('another dialect or filter gets a snapshot of its own', async () => {
    await start('rdb-version 12');
    await fill(100, 10);
    const plain = await attach();
    const valkey = await attach({ handshake: [['REPLCONF', 'version', '8.0.0']] });
    const empty = await attach({ handshake: [['REPLCONF', 'rdb-filter-only', '']] });
    for (const replica of [plain, valkey, empty]) await replica.waitForDump();
    expect(started()).toBe(3);
  });

  test('with a delay the snapshot waits for more replicas, and lines keep them from giving up', async () => {
    await start('repl-diskless-sync-delay 2');
    const attached = Promise.all([attach(), attach()]);
    await attached;
    for (const replica of replicas) await replica.waitForDump();
    expect(replicas[0]!.keepalives).toBeGreaterThan(0);
    expect(primary.messages).toContain('Delay next BGSAVE for diskless SYNC');
    expect(primary.node.primary.fullSyncs.lateJoins).toBe(0);
    expect(started()).toBe(1);
  });

  test('with a delay enough replicas end it', async () => {
    await start('repl-diskless-sync-delay 3600', 'repl-diskless-sync-max-replicas 2');
    await Promise.all([attach(), attach()]);
    for (const replica of replicas) await replica.waitForDump();
    expect(started()).toBe(1);
  });
});

describe('a replica that misbehaves', () => {
  test('may vanish at any byte of its sync, and harms nobody', async () => {
    await start();
    await fill(3000, 100);
    const steady = await attach({ countOnly: true });
    await steady.waitForDump();
    const total = steady.receivedBytes;
    const points = Array.from({ length: 25 }, (_, i) => 20 + Math.floor((i / 24) * (total - 20)));
    await Promise.all(
      points.map(async (vanishAfterBytes) => {
        const replica = await attach({ vanishAfterBytes, countOnly: true }).catch(() => undefined);
        await replica?.closed;
      }),
    );
    await fill(100, 10);
    await steady.waitForOffset(endOffset());
    await waitFor(() => primary.node.primary.peers.size === 1, {
      what: 'the vanished to be noticed',
    });
    primary.node.primary.fullSyncs.stop();
    // One cursor is the steady replica's; all others were given back.
    await waitFor(() => primary.node.server.streamLog.openCursors === 1, {
      what: 'cursors to be closed',
    });
    primary.node.server.streamLog.validate();
  });

  test('cancels its snapshot when it was the only one, and the next gets another', async () => {
    await start();
    await fill(20_000, 100);
    const replica = await attach({ countOnly: true });
    replica.pause();
    await replica.vanish();
    const next = await attach({ countOnly: true });
    await next.waitForDump();
    expect(next.dumpBytes).toBeGreaterThan(300_000);
  });

  test('may stall in its sync without holding up the others', async () => {
    await start('snapshot-spool-memory 1mb');
    await fill(40_000, 200);
    const stalled = await attach({ countOnly: true });
    stalled.pause();
    const other = await attach({ countOnly: true });
    await other.waitForDump();
    expect(stalled.phase).not.toBe('stream');
    expect(started()).toBe(1);
    stalled.resume();
    await stalled.waitForDump();
    expect(stalled.dumpBytes).toBe(other.dumpBytes);
  });

  test('is disconnected for a command that is answered', async () => {
    await start();
    const replica = await attach();
    await replica.waitForDump();
    replica.send('PING');
    await replica.closed;
    expect(
      primary.messages.some((line) =>
        line.startsWith("Replica generated a reply to command 'ping'"),
      ),
    ).toBe(true);
  });

  test('is timed out without ACKs, unless it came by SYNC or sends empty lines', async () => {
    await start('repl-timeout 2', 'repl-ping-replica-period 3600');
    const legacy = await attach({ legacySync: true, ack: 'asked' });
    const newlines = await attach({ ack: 'asked' });
    const silent = await attach({ ack: 'asked' });
    for (const replica of replicas) await replica.waitForDump();
    const timer = setInterval(() => newlines.socket.write('\n'), 50);
    await silent.closed;
    clearInterval(timer);
    expect(newlines.isClosed).toBe(false);
    expect(legacy.isClosed).toBe(false);
    expect(
      primary.messages.some((line) =>
        line.startsWith('Disconnecting timedout replica (streaming sync)'),
      ),
    ).toBe(true);
  });

  test('is cut off when it lags beyond its limit, and may come back for the rest', async () => {
    await start('client-output-buffer-limit replica 2mb 0 0', 'repl-backlog-size 1mb');
    const replica = await attach({ countOnly: true });
    await replica.waitForDump();
    const other = await attach({ countOnly: true });
    await other.waitForDump();
    replica.pause();
    for (let round = 0; !replica.isClosed && primary.node.primary.peers.size === 2; round++) {
      expect(round).toBeLessThan(200);
      await fill(200, 5000);
      // On a busy machine the other one would fall behind as well.
      await other.waitForOffset(endOffset());
    }
    expect(primary.node.server.stats.outputLimitDisconnections).toBe(1);
    expect(
      primary.messages.some((line) => line.includes('overcoming of output buffer limits')),
    ).toBe(true);
    const { offset } = other;
    await fill(10, 100);
    const back = await attach({ replid: other.replid, from: offset + 1, countOnly: true });
    expect(back.resync).toBe('partial');
    await back.waitForOffset(endOffset());
  });
});

describe('a snapshot that fails', () => {
  test('to start is told to those who wait, and the next attempt goes well', async () => {
    await start();
    const { snapshots } = primary.node.dumps;
    const startSnapshot = snapshots.start.bind(snapshots);
    snapshots.start = () => {
      throw new OperatingError(ErrorCode.IO, 'no memory');
    };
    const refused = await attach();
    expect(refused.refusal).toBe("-ERR BGSAVE failed, replication can't continue");
    await refused.closed;
    snapshots.start = startSnapshot;
    const replica = await attach();
    await replica.waitForDump();
    expect(started()).toBe(1);
  });

  test('on its way ends the links of those who read it, and the next attempt goes well', async () => {
    await start('rdb-version 12', 'rdbcompression no', 'snapshot-spool-memory 64kb');
    await fill(3000, 10_000);
    // Without a file the worker waits for the replica, and is not done before it is cancelled.
    const { dir } = primary.node.server.config.values;
    rmSync(dir, { recursive: true });
    const replica = await attach({ countOnly: true });
    replica.pause();
    // Another dialect: it waits for the end of the snapshot that runs.
    const waiting = attach({ handshake: [['REPLCONF', 'version', '8.0.0']], countOnly: true });
    await waitFor(() => primary.node.primary.peers.size === 2, { what: 'both to be attached' });
    primary.node.dumps.snapshots.inProgress!.cancel();
    replica.resume();
    await replica.closed;
    mkdirSync(dir);
    const other = await waiting;
    await other.waitForDump();
    expect(replica.phase).toBe('dump');
    expect(started()).toBe(2);
  });
});
