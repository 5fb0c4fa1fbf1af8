// Either of the two connections of a replica ends, or stops, in each phase of its full sync.
import { afterEach, describe, expect, test } from 'vitest';
import { ErrorCode, OperatingError } from '../../../src/base/errors.ts';
import { ORPHANS_MAX } from '../../../src/server/primary/channels.ts';
import {
  askRedis,
  continueValkey,
  endOffset,
  granted,
  openMain,
  openRedisDump,
  openValkeyDump,
} from '../../support/channel-replica.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { waitFor } from '../../support/wait-for.ts';
import type { Wire } from '../../support/wire.ts';

let primary: NodeInProcess;
let client: RespClient;
const wires: Wire[] = [];

async function start(...lines: string[]): Promise<void> {
  const both = ['repl-rdb-channel yes', 'dual-channel-replication-enabled yes'];
  primary = await startNode('rdbcompression no', ...both, ...lines);
  client = await primary.client();
}

afterEach(async () => {
  for (const wire of wires.splice(0)) wire.socket.destroy();
  await client.close();
  const { streamLog } = primary.node.server;
  await waitFor(() => primary.node.primary.peers.size === 0, { what: 'the peers to be gone' });
  primary.node.primary.channels.releaseAll();
  primary.node.primary.fullSyncs.stop();
  streamLog.validate();
  await waitFor(() => streamLog.openCursors === 0, { what: 'the log to be let go' });
  await primary.stop();
});

function keep(wire: Wire): Wire {
  wires.push(wire);
  return wire;
}

const fill = (keys: number, valueBytes: number): Promise<unknown> =>
  client.pipeline(
    Array.from({ length: keys }, (_, i) => ['SET', `key:${i}`, 'x'.repeat(valueBytes)]),
  );
/** More than the sockets hold: the dump stays on its way while nobody reads. */
const fillALot = (): Promise<unknown> => fill(300, 100_000);
const logEnd = (): number => primary.node.server.streamLog.endOffset;
/** A line of the log. */
const until = (line: string | RegExp): Promise<unknown> =>
  waitFor(
    () =>
      primary.messages.some((text) => (typeof line === 'string' ? text === line : line.test(text))),
    { what: String(line) },
  );
const replicas = (): Promise<string> => client.infoField('replication', 'connected_slaves');
const waiting = (): number => primary.node.primary.channels.reservedCount;
const tick = (): void => primary.node.primary.tick();

interface Pair {
  readonly main: Wire;
  readonly dump: Wire;
  readonly id: number;
  readonly replid: string;
  readonly offset: number;
}

/** A replica of Redis whose dump has begun, and is not read. */
async function redisPair(): Promise<Pair> {
  const main = keep(await openMain(primary.port, 'rdb-channel-repl'));
  const id = await askRedis(main);
  const dump = keep(await openRedisDump(primary.port, id));
  const grant = await granted(dump);
  dump.socket.pause();
  return { main, dump, id, ...grant };
}

async function valkeyMain(): Promise<Wire> {
  const main = keep(await openMain(primary.port, 'dual-channel'));
  expect(await main.call('PSYNC', '?', -1)).toBe('+DUALCHANNELSYNC');
  return main;
}

/** The same of Valkey, whose main connection has not asked for the stream yet. */
async function valkeyPair(): Promise<
  Pair & { readonly end: Awaited<ReturnType<typeof endOffset>> }
> {
  const main = await valkeyMain();
  const dump = keep(await openValkeyDump(primary.port));
  const end = await endOffset(dump);
  dump.socket.pause();
  return { main, dump, id: end.dumpId, replid: end.replid, offset: end.offset, end };
}

describe('the dump connection ends', () => {
  test('of Redis, before its dump begins: another one may come', async () => {
    await start('repl-diskless-sync-delay 1000');
    const main = keep(await openMain(primary.port, 'rdb-channel-repl'));
    const id = await askRedis(main);
    const first = keep(await openRedisDump(primary.port, id));
    await until('Delay next BGSAVE for diskless SYNC');
    expect(await replicas()).toBe('1');
    // An empty line would be counted as a byte of the stream.
    await first.waitForBytes(1);
    expect([first.pending.toString('latin1')[0], main.pending.length]).toEqual(['\n', 0]);
    await first.vanish();
    await until('Connection with replica (rdbchannel) 127.0.0.1:6380 lost.');
    const second = keep(await openRedisDump(primary.port, id));
    await client.call('CONFIG', 'SET', 'repl-diskless-sync-delay', 0);
    const { offset } = await granted(second);
    await second.takeDump(await second.line());
    await client.call('SET', 'k', 'v');
    await main.waitForBytes(logEnd() - offset);
  });

  test('of Redis, where another one came for the same main connection: the later one counts', async () => {
    await start('repl-diskless-sync-delay 1000');
    const main = keep(await openMain(primary.port, 'rdb-channel-repl'));
    const id = await askRedis(main);
    const first = keep(await openRedisDump(primary.port, id));
    await waitFor(() => primary.node.primary.peers.size === 2);
    const second = keep(await openRedisDump(primary.port, id));
    await waitFor(() => primary.node.primary.peers.size === 3);
    expect(await replicas()).toBe('2');
    await client.call('CONFIG', 'SET', 'repl-diskless-sync-delay', 0);
    const { offset } = await granted(second);
    await granted(first);
    expect(primary.messages).toContain(
      'Starting to deliver RDB to replica 127.0.0.1:6380 but it has no associated main channel',
    );
    await client.call('SET', 'k', 'v');
    await main.waitForBytes(logEnd() - offset);
  });

  test.each([
    ['of Redis', redisPair, /^Closing the main channel of replica 127.0.0.1:6380/],
    [
      'of Valkey',
      async () => {
        const pair = await valkeyPair();
        await continueValkey(pair.main, pair.end);
        return pair;
      },
      /^Closing the main channel of replica 127.0.0.1:6380/,
    ],
  ])('%s, in the middle of its dump: the stream is of no use', async (_name, open, line) => {
    await start();
    await fillALot();
    const { main, dump } = await open();
    await dump.vanish();
    await main.waitForClose();
    await until(line);
    await until('Diskless rdb transfer, last replica dropped, its snapshot is cancelled');
    expect(await replicas()).toBe('0');
  });

  test('of Valkey, in the middle of its dump: its stream is not kept', async () => {
    await start();
    await fillALot();
    const { main, dump, id } = await valkeyPair();
    expect(waiting()).toBe(1);
    await dump.vanish();
    await waitFor(() => waiting() === 0);
    expect(await main.call('REPLCONF', 'set-rdb-client-id', id)).toBe(
      `-ERR Unrecognized RDB client id ${id}`,
    );
    // It is a client as any other, and may begin again.
    expect(await main.call('PSYNC', '?', -1)).toBe('+DUALCHANNELSYNC');
  });
});

test('a second connection that asks for a stream which is kept leaves nothing behind', async () => {
  await start();
  await fillALot();
  const { dump, end } = await valkeyPair();
  const other = keep(await openMain(primary.port, 'dual-channel'));
  await other.call('REPLCONF', 'rdb-channel', 1);
  expect(await continueValkey(other, end)).toEqual(['+OK', `+CONTINUE ${end.replid}`]);
  const { channels } = primary.node.primary;
  expect(channels.mainCount).toBe(1);
  await other.vanish();
  await dump.vanish();
  await waitFor(() => primary.node.primary.peers.size === 0);
  expect(channels.mainCount).toBe(0);
});

describe('a snapshot that fails', () => {
  test('to start is told to the connection for the dump, and the main one waits for another', async () => {
    await start();
    await fill(10, 10);
    const main = keep(await openMain(primary.port, 'rdb-channel-repl'));
    const id = await askRedis(main);
    const { snapshots } = primary.node.dumps;
    const startSnapshot = snapshots.start.bind(snapshots);
    snapshots.start = () => {
      throw new OperatingError(ErrorCode.IO, 'no memory');
    };
    const refused = keep(await openRedisDump(primary.port, id));
    expect(await refused.line()).toBe("-ERR BGSAVE failed, replication can't continue");
    await refused.waitForClose();
    snapshots.start = startSnapshot;
    const dump = keep(await openRedisDump(primary.port, id));
    const { offset } = await granted(dump);
    await dump.takeDump(await dump.line());
    await client.call('SET', 'k', 'v');
    await main.waitForBytes(logEnd() - offset);
  });

  test('on its way ends both connections', async () => {
    await start();
    await fillALot();
    const redis = await redisPair();
    const valkey = await valkeyPair();
    await continueValkey(valkey.main, valkey.end);
    primary.node.dumps.snapshots.inProgress?.cancel();
    for (const { main, dump } of [redis, valkey]) {
      dump.socket.resume();
      await main.waitForClose();
      await dump.waitForClose();
    }
    expect(await replicas()).toBe('0');
  });
});

describe('the main connection ends', () => {
  test('of Redis, before the other one asks: that one is told nothing else', async () => {
    await start();
    await fill(10, 10);
    const main = keep(await openMain(primary.port, 'rdb-channel-repl'));
    const id = await askRedis(main);
    await main.vanish();
    await until('Connection with replica 127.0.0.1:6380 lost.');
    await expect(openRedisDump(primary.port, id)).rejects.toThrow(
      `-ERR Unrecognized RDB client id: ${id}`,
    );
  });

  test('of Redis, before the dump begins: the dump goes on alone', async () => {
    await start('repl-diskless-sync-delay 1000');
    await fill(10, 10);
    const main = keep(await openMain(primary.port, 'rdb-channel-repl'));
    const dump = keep(await openRedisDump(primary.port, await askRedis(main)));
    await until('Delay next BGSAVE for diskless SYNC');
    await main.vanish();
    await until('Connection with replica 127.0.0.1:6380 lost.');
    expect(await replicas()).toBe('1');
    await client.call('CONFIG', 'SET', 'repl-diskless-sync-delay', 0);
    await granted(dump);
    await dump.takeDump(await dump.line());
    expect(primary.messages).toContain(
      'Starting to deliver RDB to replica 127.0.0.1:6380 but it has no associated main channel',
    );
  });

  test.each([
    ['of Redis', redisPair],
    [
      'of Valkey',
      async () => {
        const pair = await valkeyPair();
        await continueValkey(pair.main, pair.end);
        return pair;
      },
    ],
  ])(
    '%s, in the middle of the dump: that is sent, and the stream goes on by another',
    async (_name, open) => {
      await start('repl-backlog-size 1mb');
      await fillALot();
      const { main, dump, replid, offset } = await open();
      await client.call('SET', 'k', 'v');
      await main.waitForBytes(logEnd() - offset);
      await main.vanish();
      await until('Connection with replica 127.0.0.1:6380 lost.');
      expect(await replicas()).toBe('1');
      dump.socket.resume();
      await dump.takeDump(await dump.line());
      await dump.waitForClose();
      const again = keep(await openMain(primary.port, 'rdb-channel-repl'));
      expect(await again.call('PSYNC', replid, offset + 1)).toBe(`+CONTINUE ${replid}`);
      await again.waitForBytes(logEnd() - offset);
      expect(again.pending.toString('latin1')).toContain('$1\r\nk\r\n$1\r\nv\r\n');
    },
  );

  test('of Valkey, before it asks for its stream: another one may ask', async () => {
    await start();
    await fillALot();
    const { main, end, offset } = await valkeyPair();
    await main.vanish();
    const again = await valkeyMain();
    await client.call('SET', 'k', 'v');
    expect(await continueValkey(again, end)).toEqual(['+OK', `+CONTINUE ${end.replid}`]);
    await again.waitForBytes(logEnd() - offset);
    expect(await replicas()).toBe('1');
  });
});

describe('nobody reads the stream', () => {
  const limit = 'client-output-buffer-limit replica 1mb 0 0';
  const writeMuch = async (): Promise<void> => {
    for (let i = 0; i < 30; i++) await client.call('SET', 'much', 'z'.repeat(1_000_000));
  };

  test('of Redis: the main connection is cut off, the stream let go', async () => {
    await start(limit);
    await fillALot();
    const { main } = await redisPair();
    main.socket.pause();
    await writeMuch();
    await until(/overcoming of output buffer limits/);
    expect(primary.node.server.stats.outputLimitDisconnections).toBe(1);
    await waitFor(() => primary.node.server.streamLog.histlen < 5_000_000);
  });

  test('of Valkey, beside the dump: its connection is cut off, and the stream is not kept', async () => {
    await start(limit);
    await fillALot();
    const { dump, main, end } = await valkeyPair();
    await writeMuch();
    await until(/flags=SC\w* .* overcoming of output buffer limits/);
    dump.socket.resume();
    await dump.waitForClose();
    expect(waiting()).toBe(0);
    const reply = await main.call('REPLCONF', 'set-rdb-client-id', end.dumpId);
    expect(reply).toBe(`-ERR Unrecognized RDB client id ${end.dumpId}`);
    expect(await main.call('PSYNC', end.replid, end.offset + 1)).toBe('+DUALCHANNELSYNC');
    expect(primary.node.server.stats.outputLimitDisconnections).toBe(1);
  });

  test('of Valkey, behind the dump: the stream is not kept', async () => {
    await start(limit, 'snapshot-keep 0');
    await fill(10, 10);
    const { dump } = await valkeyPair();
    dump.socket.resume();
    await dump.takeDump(await dump.line());
    await dump.waitForClose();
    expect(waiting()).toBe(1);
    await writeMuch();
    await until(/flags=SC\w* .* overcoming of output buffer limits/);
    expect(waiting()).toBe(0);
    await waitFor(() => primary.node.server.streamLog.histlen < 5_000_000);
  });

  test('of many that never come back: only so many are waited for', async () => {
    await start();
    await fill(1, 10);
    for (let i = 0; i < ORPHANS_MAX + 3; i++) {
      const dump = await openValkeyDump(primary.port);
      await endOffset(dump);
      await dump.takeDump(await dump.line());
      await dump.waitForClose();
    }
    await waitFor(() => primary.node.primary.peers.size === 0);
    expect(waiting()).toBe(ORPHANS_MAX);
  });
});

describe('after repl-timeout', () => {
  test('a main connection without another one is dropped', async () => {
    await start('repl-timeout 1');
    const main = keep(await openMain(primary.port, 'rdb-channel-repl'));
    await askRedis(main);
    await main.waitForClose();
    await until('Disconnecting timedout replica (full sync): 127.0.0.1:6380');
  });

  test('a stream that no main connection has asked for is let go', async () => {
    await start('repl-timeout 1');
    await fill(10, 10);
    const { dump, end, main } = await valkeyPair();
    dump.socket.resume();
    await dump.takeDump(await dump.line());
    await dump.waitForClose();
    expect(waiting()).toBe(1);
    await until(
      /failed to establish PSYNC within the grace period \(\d+ seconds\). Freeing RDB client/,
    );
    expect(waiting()).toBe(0);
    expect(await main.call('REPLCONF', 'set-rdb-client-id', end.dumpId)).toContain('-ERR');
  });

  test('a replica that tells nothing behind its dump is dropped, one that tells that it loads is not', async () => {
    await start('repl-timeout 2', 'repl-ping-replica-period 1000');
    await fill(10, 10);
    const pairs = [await redisPair(), await redisPair()];
    for (const { dump } of pairs) {
      dump.socket.resume();
      await dump.takeDump(await dump.line());
      await dump.waitForClose();
    }
    const newlines = setInterval(() => pairs[1]!.main.socket.write('\n'), 200);
    try {
      await pairs[0]!.main.waitForClose();
      expect(pairs[1]!.main.isClosed).toBe(false);
    } finally {
      clearInterval(newlines);
    }
  });
});

test('a node that becomes a replica, or loses its log, lets go of all that is kept', async () => {
  await start();
  await fill(10, 10);
  const { dump } = await valkeyPair();
  dump.socket.resume();
  await dump.takeDump(await dump.line());
  await dump.waitForClose();
  const { main: other } = await redisPair();
  expect(waiting()).toBe(1);
  primary.node.primary.dropAll('a test');
  tick();
  expect(waiting()).toBe(0);
  await other.waitForClose();
});
