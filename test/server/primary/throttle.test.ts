/**
 * `repl-throttling`: writers are slowed while a replica is near its output limit. Replicas here are
 * sockets behind a relay that passes so many bytes per second, or that stand still.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SlowLink } from '../../../native-free-bench/lib/slow-link.ts';
import { KIB, MIB } from '../../../src/base/units.ts';
import { FakeReplica } from '../../support/fake-replica.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import { encodeCommand, type RespClient } from '../../support/resp-client.ts';
import { waitFor } from '../../support/wait-for.ts';

const LIMIT = ['client-output-buffer-limit replica 4mb 0 0', 'repl-backlog-size 1mb'];
const VALUE = 'x'.repeat(10_000);

let primary: NodeInProcess;
let client: RespClient;
let replicas: FakeReplica[];
let links: SlowLink[];

async function start(...lines: string[]): Promise<void> {
  primary = await startNode(...LIMIT, ...lines);
  client = await primary.client();
}

/** A replica that is online and reads nothing any more. */
async function attachStalled(): Promise<FakeReplica> {
  const replica = await FakeReplica.attach(primary.port, { countOnly: true });
  replicas.push(replica);
  await replica.waitForDump();
  await waitFor(() => [...primary.node.primary.states].some((state) => state.takesStream));
  replica.pause();
  return replica;
}

async function attachSlow(bytesPerSecond: number): Promise<FakeReplica> {
  const link = await SlowLink.to(primary.port, bytesPerSecond);
  links.push(link);
  const replica = await FakeReplica.attach(link.port, { countOnly: true });
  replicas.push(replica);
  return replica;
}

const throttle = () => primary.node.primary.throttle;
const cuts = (): number => primary.node.server.stats.outputLimitDisconnections;
const lag = (): number => Math.max(0, ...[...primary.node.primary.peers].map((p) => p.streamLag));

/**
 * Brings a stalled replica so far behind that each write waits as long as it may, and begins to
 * throttle.
 */
async function writeUntilStopped(): Promise<void> {
  const value = 'x'.repeat(32 * KIB);
  while (lag() < 3.85 * MIB) await client.call('SET', 'large', value);
  await client.call('CONFIG', 'SET', 'repl-throttling', 'yes');
  await waitFor(() => throttle().isSlowing);
  expect(throttle().rate).toBe(0);
}

beforeEach(() => {
  replicas = [];
  links = [];
});
afterEach(async () => {
  for (const replica of replicas) await replica.close();
  for (const link of links) await link.close();
  await client.close();
  await primary.stop();
});

describe('a replica that reads slowly', () => {
  test('is cut off without throttling', async () => {
    await start();
    await attachStalled();
    await client.pipeline(Array.from({ length: 1500 }, () => ['SET', 'k', VALUE]));
    await waitFor(() => cuts() === 1);
    expect(throttle().begun).toBe(0);
  });

  test('stays, and gets everything, and writers write as fast as it reads', async () => {
    await start('repl-throttling yes');
    const replica = await attachSlow(4 * MIB);
    await replica.waitForDump();
    let most = 0;
    const writers = await Promise.all(Array.from({ length: 4 }, () => primary.client()));
    await Promise.all(
      writers.map(async (writer, w) => {
        for (let i = 0; i < 60; i++) {
          await writer.pipeline(Array.from({ length: 10 }, () => ['SET', `k${w}`, VALUE]));
          most = Math.max(most, lag());
        }
      }),
    );
    expect(cuts()).toBe(0);
    expect(most).toBeGreaterThan(2 * MIB);
    expect(most).toBeLessThan(4 * MIB);
    const info = await client.info('headwater');
    expect(Number(info.get('headwater_throttled_writes'))).toBeGreaterThan(0);
    expect(Number(info.get('headwater_throttled_ms'))).toBeGreaterThan(0);
    expect(Number(info.get('headwater_throttle_begun'))).toBeGreaterThan(0);
    await waitFor(() => replica.offset === primary.node.server.streamLog.endOffset);
    await waitFor(() => !throttle().isSlowing, { what: 'writers to be free again' });
    expect(await client.infoField('headwater', 'headwater_throttled')).toBe('0');
    expect(throttle().heldCount).toBe(0);
    for (const writer of writers) await writer.close();
  });

  test('is slowed for in its full sync, too', async () => {
    await start('repl-throttling yes', 'rdbcompression no', 'repl-throttling-max-delay 60000');
    await client.pipeline(Array.from({ length: 600 }, (_, i) => ['SET', `key:${i}`, VALUE]));
    const replica = await attachSlow(6 * MIB);
    let isDone = false;
    const writers = await Promise.all(Array.from({ length: 4 }, () => primary.client()));
    const writing = writers.map(async (writer) => {
      while (!isDone) await writer.call('SET', 'k', VALUE);
    });
    await replica.waitForDump();
    await waitFor(() => replica.offset > 0 && replica.streamBytes > MIB);
    isDone = true;
    await Promise.all(writing);
    expect(cuts()).toBe(0);
    expect(primary.node.primary.fullSyncs.snapshotsStarted).toBe(1);
    expect(throttle().begun).toBeGreaterThan(0);
    for (const writer of writers) await writer.close();
  });
});

describe('while writers are slowed', () => {
  test('no write waits longer than repl-throttling-max-delay, and reads do not wait', async () => {
    await start('repl-throttling-max-delay 300');
    await attachStalled();
    await writeUntilStopped();
    const other = await primary.client();
    const began = performance.now();
    const write = client.call('SET', 'k', '1');
    await waitFor(() => throttle().heldCount === 1);
    const reads: number[] = [];
    for (let i = 0; i < 20; i++) {
      const at = performance.now();
      await other.call('GET', 'nothing');
      reads.push(performance.now() - at);
      // Later ones may come behind the write on a busy machine.
      if (i === 0) expect(throttle().heldCount).toBe(1);
    }
    expect(await write).toBe('OK');
    const tookMs = performance.now() - began;
    expect(tookMs).toBeGreaterThanOrEqual(290);
    expect(throttle().delayMsTotal / throttle().writes).toBeGreaterThanOrEqual(100);
    // The replica reads nothing, so that alone ends each wait; the rest is this machine's load.
    expect(Math.min(...reads)).toBeLessThan(100);
    expect(cuts()).toBe(0);
    await other.close();
  });

  test('writers get the same share of bytes, whatever the size of their writes', async () => {
    await start('repl-throttling yes', 'repl-throttling-max-delay 60000');
    await attachSlow(MIB);
    const small = await primary.client();
    const large = await primary.client();
    const written = { small: 0, large: 0 };
    // What it reads at first goes to the buffers of sockets, and tells nothing.
    while (lag() < 2.9 * MIB) await client.call('SET', 'k', VALUE);
    let isDone = false;
    const smallWriter = (async () => {
      while (!isDone) {
        await small.pipeline(Array.from({ length: 20 }, () => ['SET', 's', VALUE.slice(0, 1000)]));
        written.small += 20 * 1000;
      }
    })();
    const largeWriter = (async () => {
      while (!isDone) {
        await large.pipeline(Array.from({ length: 4 }, () => ['SET', 'l', VALUE]));
        written.large += 4 * VALUE.length;
      }
    })();
    await waitFor(() => written.small + written.large > 4 * MIB, { timeoutMs: 60_000 });
    isDone = true;
    await Promise.all([smallWriter, largeWriter]);
    expect(written.small / written.large).toBeGreaterThan(0.6);
    expect(written.small / written.large).toBeLessThan(1.6);
    await small.close();
    await large.close();
  });

  test('a transaction waits once, at its EXEC, and a client blocked on a key is served', async () => {
    await start('repl-throttling-max-delay 200');
    await attachStalled();
    const popper = await primary.client();
    const popped = popper.call('BLPOP', 'list', '0');
    await waitFor(() => primary.node.blocking.clientCount === 1);
    await writeUntilStopped();
    const before = throttle().writes;
    expect(await client.call('MULTI')).toBe('OK');
    for (let i = 0; i < 5; i++) expect(await client.call('RPUSH', 'list', i)).toBe('QUEUED');
    expect(throttle().writes).toBe(before);
    expect(await client.call('EXEC')).toEqual([1, 2, 3, 4, 5]);
    expect(throttle().writes).toBe(before + 1);
    expect(await popped).toEqual(['list', '0']);
    // A read only transaction does not wait.
    await client.call('MULTI');
    await client.call('GET', 'k');
    expect(await client.call('EXEC')).toEqual([null]);
    expect(throttle().writes).toBe(before + 1);
    await popper.close();
  });

  test('CLIENT PAUSE holds what was released, and the wait goes on behind it', async () => {
    await start('repl-throttling-max-delay 400');
    await attachStalled();
    await writeUntilStopped();
    const admin = await primary.client();
    const write = client.call('SET', 'behind', '1');
    await waitFor(() => throttle().heldCount === 1);
    await admin.call('CLIENT', 'PAUSE', '60000', 'WRITE');
    await waitFor(() => throttle().heldCount === 0);
    expect(await admin.call('GET', 'behind')).toBe(null);
    await admin.call('CLIENT', 'UNPAUSE');
    expect(await write).toBe('OK');
    await admin.close();
  });

  test('a client that leaves is forgotten, and its write does not run', async () => {
    await start('repl-throttling-max-delay 60000');
    await attachStalled();
    await writeUntilStopped();
    void client.call('SET', 'k', '1').catch(() => {});
    await waitFor(() => throttle().heldCount === 1);
    const other = await primary.client();
    void other.call('SET', 'other', '1').catch(() => {});
    await waitFor(() => throttle().heldCount === 2);
    await other.close();
    await waitFor(() => throttle().heldCount === 1);
    await client.close();
    await waitFor(() => throttle().heldCount === 0);
    client = await primary.client();
    expect(await client.call('EXISTS', 'other')).toBe(0);
  });

  test('a pipeline that nobody waits for is not read into memory', async () => {
    await start('repl-throttling-max-delay 60000');
    await attachStalled();
    const writer = await primary.client();
    await writeUntilStopped();
    void client.call('SET', 'k', '1').catch(() => {});
    await waitFor(() => throttle().heldCount === 1);
    const bytes = encodeCommand(['SET', 'k', VALUE]);
    for (let i = 0; i < 3000; i++) writer.socket.write(bytes);
    await waitFor(() => throttle().heldCount === 2);
    const of = [...primary.node.server.clients.values()].find(
      (connection) => connection.slowed && connection.reader.pendingBytes > 0,
    );
    // The rest of the 30 MB fills the sockets and waits at the client, however long others work.
    const other = await primary.client();
    for (let i = 0; i < 500; i++) await other.call('GET', 'k');
    await other.close();
    expect(of!.reader.pendingBytes).toBeLessThan(MIB);
    expect(writer.socket.writableLength).toBeGreaterThan(10 * MIB);
    // Once nothing is in the way any more, all of it runs.
    const { commandsProcessed } = primary.node.server.stats;
    primary.node.server.config.assign('repl-throttling', ['no']);
    throttle().judge();
    await waitFor(() => primary.node.server.stats.commandsProcessed >= commandsProcessed + 3000, {
      timeoutMs: 60_000,
    });
    writer.socket.destroy();
  });

  test('switching it off lets everybody go on, and a shutdown does not wait', async () => {
    await start('repl-throttling-max-delay 60000');
    await attachStalled();
    await writeUntilStopped();
    const writing = client.call('SET', 'k', '1');
    await waitFor(() => throttle().heldCount === 1);
    const admin = await primary.client();
    await admin.call('CONFIG', 'SET', 'repl-throttling', 'no');
    expect(await writing).toBe('OK');
    await waitFor(() => !throttle().isSlowing);
    await admin.call('CONFIG', 'SET', 'repl-throttling', 'yes', 'shutdown-timeout', '0');
    void client.call('SET', 'k', '1').catch(() => {});
    await waitFor(() => throttle().heldCount === 1);
    let code = -1;
    primary.node.onExit = (exit) => {
      code = exit;
    };
    await admin.call('SHUTDOWN', 'NOSAVE').catch(() => {});
    await waitFor(() => code === 0);
    expect(throttle().heldCount).toBe(0);
  });
});
