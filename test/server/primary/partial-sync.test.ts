import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeReplica, type FakeReplicaOptions } from '../../support/fake-replica.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import { encodeCommand, type RespClient } from '../../support/resp-client.ts';
import { RespError } from '../../support/resp-parser.ts';
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

const endOffset = (): number => primary.node.server.streamLog.endOffset;
const errorOf = (value: unknown): string =>
  value instanceof RespError ? value.message : `no error: ${value}`;

beforeEach(() => {
  replicas = [];
});
afterEach(async () => {
  for (const replica of replicas) await replica.close();
  await client.close();
  await primary.stop();
});

describe('a replica that comes back', () => {
  test('goes on where it was, without a SELECT', async () => {
    await start();
    const replica = await attach();
    await replica.waitForDump();
    await client.call('SET', 'a', '1');
    await replica.waitForOffset(endOffset());
    const { offset, replid } = replica;
    await replica.vanish();
    await client.call('SET', 'b', '2');
    const back = await attach({ replid, from: offset + 1 });
    expect(back.resync).toBe('partial');
    await back.waitForOffset(endOffset());
    expect(back.commands).toEqual([['SET', 'b', '2']]);
    expect(primary.node.server.stats).toMatchObject({
      syncFull: 1,
      syncPartialOk: 1,
      syncPartialErr: 0,
    });
  });

  test('gets many blocks of backlog whole', async () => {
    await start('repl-backlog-size 8mb');
    const replica = await attach({ countOnly: true });
    await replica.waitForDump();
    const { offset, replid } = replica;
    await replica.vanish();
    const value = 'x'.repeat(10_000);
    await client.pipeline(Array.from({ length: 500 }, (_, i) => ['SET', `k${i}`, value]));
    const back = await attach({ replid, from: offset + 1, countOnly: true });
    await back.waitForOffset(endOffset());
    expect(back.resync).toBe('partial');
    expect(back.streamBytes).toBe(endOffset() - offset);
  });

  test.each([
    ['another id', (id: string) => ({ replid: id.replace(/./g, 'f') }), 'Replication ID mismatch'],
    [
      'an offset from the future',
      (id: string) => ({ replid: id, from: 10 ** 9 }),
      'lack of backlog',
    ],
    [
      'an offset that has left the backlog',
      (id: string) => ({ replid: id, from: 1 }),
      'lack of backlog',
    ],
  ])('with %s gets a full sync', async (_, options, line) => {
    await start('repl-backlog-size 16kb');
    const replica = await attach();
    await replica.waitForDump();
    // A snapshot that may still be joined keeps the stream behind it.
    primary.node.primary.fullSyncs.stop();
    const value = 'x'.repeat(1000);
    await client.pipeline(Array.from({ length: 200 }, (_, i) => ['SET', `k${i}`, value]));
    await replica.waitForOffset(endOffset());
    const back = await attach(options(replica.replid));
    expect(back.resync).toBe('full');
    expect(primary.messages.some((text) => text.includes(line))).toBe(true);
    expect(primary.node.server.stats.syncPartialErr).toBe(1);
  });

  test('finds the backlog gone when its time to live is over', async () => {
    await start('repl-backlog-ttl 1');
    const replica = await attach();
    await replica.waitForDump();
    const { replid, offset } = replica;
    await replica.close();
    primary.node.primary.fullSyncs.stop();
    await waitFor(() => !primary.node.server.streamLog.active, {
      what: 'the backlog to be dropped',
    });
    expect(primary.messages).toContain(
      'Replication backlog freed after 1 seconds without connected replicas.',
    );
    const back = await attach({ replid, from: offset + 1 });
    expect(back.resync).toBe('full');
    expect(back.replid).not.toBe(replid);
  });
});

describe('the stream', () => {
  test('carries a PING when it is quiet', async () => {
    await start('repl-ping-replica-period 1');
    const replica = await attach();
    await replica.waitForDump();
    expect(await replica.waitForCommand('PING')).toEqual(['PING']);
  });

  test('reaches all replicas in the same bytes, whatever the databases', async () => {
    await start();
    for (let i = 0; i < 5; i++) await (await attach()).waitForDump();
    await client.pipeline(
      Array.from({ length: 300 }, (_, i) =>
        i % 7 === 0 ? ['SELECT', i % 3] : ['SET', `k${i}`, `v${i}`],
      ),
    );
    for (const replica of replicas) await replica.waitForOffset(endOffset());
    const last = replicas[4]!.stream;
    expect(last.length).toBeGreaterThan(1000);
    // The others joined the first snapshot, and so began at the same offset.
    for (const replica of replicas) expect(replica.stream.equals(last)).toBe(true);
  });

  test('carries deletions of expired keys without a client that asks', async () => {
    await start();
    const replica = await attach();
    await replica.waitForDump();
    await client.call('SET', 'k', 'v', 'PX', '30');
    expect(await replica.waitForCommand('DEL', 'k')).toEqual(['DEL', 'k']);
  });
});

describe('WAIT', () => {
  test('counts the replicas that have the last write of its client', async () => {
    await start();
    for (let i = 0; i < 2; i++) await (await attach({ ack: 'asked' })).waitForDump();
    await client.call('SET', 'k', 'v');
    expect(await client.call('WAIT', 2, 0)).toBe(2);
    expect(replicas[0]!.getAcks).toBe(1);
    expect(await client.call('WAIT', 0, 0)).toBe(2);
  });

  test('is about all of a transaction', async () => {
    await start();
    const replica = await attach({ ack: 'asked' });
    await replica.waitForDump();
    await client.pipeline([['MULTI'], ['SET', 'a', '1'], ['SET', 'b', '2'], ['EXEC']]);
    expect(await client.call('WAIT', 1, 0)).toBe(1);
    expect(replica.getAcks).toBe(1);
  });

  test('answers what there is when time is up', async () => {
    await start();
    const replica = await attach({ ack: 'asked' });
    await replica.waitForDump();
    await client.call('SET', 'k', 'v');
    // Its ACK may take longer than that on a busy machine.
    expect(await client.call('WAIT', 1, 0)).toBe(1);
    expect(await client.call('WAIT', 5, 50)).toBe(1);
  });

  test('lets the commands behind it run afterwards, in order', async () => {
    await start();
    const replies = await client.pipeline([
      ['SET', 'k', 'v'],
      ['WAIT', 1, 20],
      ['GET', 'k'],
      ['WAIT', 1, 20],
    ]);
    expect(replies).toEqual(['OK', 0, 'v', 0]);
  });

  test('forgets a client that goes away', async () => {
    await start();
    const other = await primary.client();
    other.send('WAIT', 1, 0);
    await waitFor(() => primary.node.primary.waiters.count === 1);
    await other.close();
    await waitFor(() => primary.node.primary.waiters.count === 0);
    expect(primary.node.primary.waiters.count).toBe(0);
  });

  test.each([
    [['WAIT', 'a', 0], 'ERR value is not an integer or out of range'],
    [['WAIT', 1, 'b'], 'ERR timeout is not an integer or out of range'],
    [['WAIT', 1, -1], 'ERR timeout is negative'],
    [
      ['WAITAOF', 1, 0, 0],
      'ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.',
    ],
    [['WAITAOF', 2, 0, 0], 'ERR value is out of range, value must between 0 and 1'],
    [['WAITAOF', 0, -1, 0], 'ERR value is out of range, must be positive'],
    [['REPLICAOF', 'h', 'x'], 'ERR Invalid master port'],
    [['REPLCONF', 'x'], 'ERR syntax error'],
    [['REPLCONF', 'uuid', 'x'], 'ERR Unrecognized REPLCONF option: uuid'],
    [['PSYNC', '?', 'x'], 'ERR value is not an integer or out of range'],
    [['PSYNC', '?', '-1', 'FAILOVER'], "ERR PSYNC FAILOVER can't be sent to a master."],
  ])('and its like refuse %j', async (command, error) => {
    await start();
    expect(errorOf(await client.command(...(command as string[])))).toBe(error);
  });

  test('of the append only file counts replicas that synced theirs', async () => {
    await start();
    const replica = await attach({ ack: 'asked' });
    await replica.waitForDump();
    await client.call('SET', 'k', 'v');
    const waiting = client.call('WAITAOF', 0, 1, 0);
    await replica.waitForCommand('REPLCONF', 'GETACK');
    replica.send('REPLCONF', 'ACK', replica.offset, 'FACK', replica.offset);
    expect(await waiting).toEqual([0, 1]);
  });
});

describe('a primary', () => {
  test('refuses writes without enough good replicas', async () => {
    await start('min-replicas-to-write 1', 'min-replicas-max-lag 10');
    const refusal = 'NOREPLICAS Not enough good replicas to write.';
    expect(errorOf(await client.command('SET', 'k', 'v'))).toBe(refusal);
    expect(await client.call('GET', 'k')).toBeNull();
    const replica = await attach();
    await replica.waitForDump();
    await waitFor(async () => (await client.command('SET', 'k', 'v')) === 'OK');
    await replica.vanish();
    await waitFor(async () => errorOf(await client.command('SET', 'k', 'v')) === refusal);
    expect(primary.node.primary.goodReplicas).toBe(0);
  });

  test('refuses PSYNC behind replies that have not been sent', async () => {
    await start();
    const [pong, refusal] = await client.pipeline([['PING'], ['PSYNC', '?', '-1']]);
    expect(pong).toBe('PONG');
    expect(errorOf(refusal)).toBe('ERR SYNC and PSYNC are invalid with pending output');
  });

  test('grants no history that the writes before PSYNC push out in the same read', async () => {
    await start('repl-backlog-size 16kb', 'repl-backlog-compression no', 'snapshot-keep 0');
    const replica = await attach({ countOnly: true });
    await replica.waitForDump();
    const writes = (count: number) =>
      Array.from({ length: count }, (_, i) => ['SET', `key:${i}`, 'x'.repeat(1000)]);
    await client.pipeline(writes(100));
    // It has confirmed all blocks but the last, and no snapshot keeps one: what is left may leave.
    const [peer] = primary.node.primary.peers;
    const { streamLog } = primary.node.server;
    await waitFor(() => peer?.streamLag === 0 && streamLog.openCursors === 1);
    const { firstOffset } = streamLog;
    // PSYNC is refused behind replies that wait, so there are none.
    const commands = [
      ['CLIENT', 'REPLY', 'OFF'],
      ...writes(50),
      ['PSYNC', replica.replid, firstOffset],
    ];
    const late = await primary.client();
    late.write(Buffer.concat(commands.map((command) => encodeCommand(command))));
    await waitFor(() => primary.node.server.stats.syncFull === 2);
    expect(primary.node.server.stats).toMatchObject({ syncPartialOk: 0, syncPartialErr: 1 });
    await late.close();
  });

  test('tells of its replicas by ROLE', async () => {
    await start();
    expect(await client.call('ROLE')).toEqual(['master', 0, []]);
    const replica = await attach({ listeningPort: 7777, ack: 'asked' });
    await replica.waitForDump();
    await client.call('SET', 'k', 'v');
    await client.call('WAIT', 1, 0);
    const [role, offset, rows] = (await client.call('ROLE')) as [string, number, string[][]];
    expect(role).toBe('master');
    expect(offset).toBe(endOffset());
    expect(rows).toEqual([['127.0.0.1', '7777', String(offset - 37)]]);
  });

  test('says before its end who lags, and asks once', async () => {
    await start();
    const quick = await attach({ ack: 'asked' });
    const slow = await attach({ ack: 'never' });
    await quick.waitForDump();
    await slow.waitForDump();
    slow.ack();
    await client.call('SET', 'k', 'v');
    await quick.waitForOffset(endOffset());
    const { node } = primary;
    expect(node.primary.replicasInSync()).toBe(false);
    await waitFor(() => {
      expect(node.primary.replicasInSync()).toBe(false);
      return quick.getAcks === 1 && node.primary.replicaReport().length === 2;
    });
    const report = node.primary.replicaReport();
    expect(report[0]).toMatch(
      /^Lagging replica 127\.0\.0\.1:6380 reported offset 50 behind master, lag=\d+/,
    );
    expect(report[1]).toBe('1 of 2 replicas are in sync when shutting down.');
    slow.ack();
    await waitFor(() => node.primary.replicasInSync());
    expect(quick.getAcks).toBe(1);
  });

  test('stays one by REPLICAOF NO ONE', async () => {
    await start();
    expect(await client.call('REPLICAOF', 'no', 'one')).toBe('OK');
    expect(await client.call('SLAVEOF', 'NO', 'ONE')).toBe('OK');
  });
});
