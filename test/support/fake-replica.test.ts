import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CutLink } from './cut-link.ts';
import { digestOf, expectSameData, syncCounts } from './digest.ts';
import { FakeReplica } from './fake-replica.ts';
import { type RealRedis, startRedis } from './real-redis.ts';
import type { RespClient } from './resp-client.ts';
import { testSeed } from './seed.ts';
import { temporaryDirectory } from './server-process.ts';
import { waitFor } from './wait-for.ts';

const EMPTY_DIGEST = '0'.repeat(40);

/** A primary that forgets its history would answer these tests with full resyncs. */
let primary: RealRedis;
let client: RespClient;

beforeAll(async () => {
  primary = await startRedis({ args: ['--repl-ping-replica-period', '3600'] });
  client = await primary.client();
  for (let i = 0; i < 200; i++) client.send('SET', `key:${i}`, 'v'.repeat(100 + i));
  await client.pipeline(Array.from({ length: 200 }, () => ['PING']));
});
afterAll(async () => {
  await client.close();
  await primary.stop();
});

describe('a fake replica', () => {
  test.each([
    ['eof', ['eof', 'psync2']],
    ['length', ['psync2']],
  ] as const)('receives a dump framed by %s, then the stream', async (framing, capa) => {
    const replica = await FakeReplica.attach(primary.port, { capa });
    expect(replica.resync).toBe('full');
    await replica.waitForDump();
    expect(replica.framing).toBe(framing);
    expect(replica.bytesRightBehindDump).toBe(0);
    const file = join(temporaryDirectory('dump'), 'dump.rdb');
    writeFileSync(file, replica.dump);
    const check = spawnSync('redis-check-rdb', [file], { encoding: 'utf8' });
    expect(check.stdout).toContain('RDB looks OK');

    await client.call('SET', 'after', 'dump');
    expect(await replica.waitForCommand('SET', 'after')).toEqual(['SET', 'after', 'dump']);
    expect(await client.call('WAIT', 1, 30_000)).toBe(1);
    expect(replica.getAcks).toBeGreaterThan(0);
    const offset = Number(await client.infoField('replication', 'master_repl_offset'));
    await replica.waitForOffset(offset);
    expect(replica.offset).toBe(offset);
    expect(replica.stream.length).toBe(replica.streamBytes);
    await replica.close();
  });

  test('continues where it left', async () => {
    const first = await FakeReplica.attach(primary.port);
    await first.waitForDump();
    await client.call('SET', 'one', 1);
    await first.waitForCommand('SET', 'one');
    await first.vanish();
    await client.call('SET', 'two', 2);
    const before = await syncCounts(primary);
    const second = await FakeReplica.attach(primary.port, {
      replid: first.replid,
      from: first.offset + 1,
    });
    expect(second.resync).toBe('partial');
    expect(await second.waitForCommand('SET', 'two')).toEqual(['SET', 'two', '2']);
    expect(await syncCounts(primary)).toEqual({ ...before, partial: before.partial + 1 });
    await second.close();
  });

  test('speaks SYNC as old replicas did', async () => {
    const replica = await FakeReplica.attach(primary.port, {
      legacySync: true,
      capa: [],
      ack: 'never',
    });
    await replica.waitForDump();
    expect(replica.framing).toBe('length');
    expect(replica.dump.toString('latin1', 0, 5)).toBe('REDIS');
    expect(replica.acksSent).toBe(0);
    await replica.close();
  });

  test('reads nothing while it is paused', async () => {
    const replica = await FakeReplica.attach(primary.port, { countOnly: true });
    await replica.waitForDump();
    replica.pause();
    const before = replica.receivedBytes;
    await client.call('SET', 'big', 'x'.repeat(2_000_000));
    expect(replica.receivedBytes).toBe(before);
    replica.resume();
    await waitFor(() => replica.streamBytes > 2_000_000);
    expect(replica.dump.length).toBe(0);
    await replica.close();
  });

  test.each([[1], [30], [120], [2000]])('vanishes at byte %i', async (vanishAfterBytes) => {
    const replica = await FakeReplica.attach(primary.port, { vanishAfterBytes });
    await replica.closed;
    expect(replica.receivedBytes).toBe(vanishAfterBytes);
    expect(await client.call('PING')).toBe('PONG');
  });

  test('tells what a primary without a history says', async () => {
    const orphan = await startRedis({ replicaOf: 1 });
    const replica = await FakeReplica.attach(orphan.port);
    expect(replica.resync).toBe('refused');
    expect(replica.refusal).toContain('NOMASTERLINK');
    await replica.close();
    await orphan.stop();
  });
});

test('a real replica of a real primary has the same data', async () => {
  const replica = await startRedis({ replicaOf: primary.port });
  await expectSameData(primary, replica);
  expect(await digestOf(replica)).not.toBe(EMPTY_DIGEST);
  await replica.stop();
  expect(replica.hasExited).toBe(true);
});

test('a link that is cut and mended costs no full resync', async () => {
  const link = await CutLink.to(primary.port);
  const replica = await startRedis({ replicaOf: link.port });
  await expectSameData(primary, replica);
  const before = await syncCounts(primary);
  link.cut();
  await client.call('SET', 'while', 'cut');
  link.mend();
  await expectSameData(primary, replica);
  link.hold();
  const held = link.bytesDown;
  await client.call('SET', 'while', 'held');
  expect(await client.call('WAIT', 1, 50)).toBe(0);
  expect(link.bytesDown).toBe(held);
  link.release();
  await expectSameData(primary, replica);
  expect(link.connections).toBe(2);
  expect(await syncCounts(primary)).toEqual({ ...before, partial: before.partial + 1 });
  await replica.stop();
  await link.close();
});

test('a server that cannot start tells why', async () => {
  await expect(startRedis({ args: ['--no-such-option', '1'] })).rejects.toThrow('no-such-option');
});

test('a condition that never comes true ends with a sentence', async () => {
  await expect(waitFor(() => null, { what: 'rain', timeoutMs: 1 })).rejects.toThrow(
    'waited 1 ms for rain',
  );
});

test('a seed can be given', () => {
  const given = process.env['HEADWATER_SEED'];
  process.env['HEADWATER_SEED'] = '42';
  try {
    expect(testSeed('given')).toBe(42);
  } finally {
    if (given === undefined) delete process.env['HEADWATER_SEED'];
    else process.env['HEADWATER_SEED'] = given;
  }
});
