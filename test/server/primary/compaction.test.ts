/** Compressed history: what is kept, what peers get of it, and what happens when it is damaged. */
import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import { SystemClock } from '../../../src/base/clock.ts';
import { ErrorCode, OperatingError } from '../../../src/base/errors.ts';
import { Prng } from '../../../src/base/prng.ts';
import { SharedMemory } from '../../../src/base/shared-memory.ts';
import { asOffset, KIB, MIB } from '../../../src/base/units.ts';
import type { Block } from '../../../src/replication/log-cursor.ts';
import { StreamLog } from '../../../src/replication/stream-log.ts';
import { Compaction } from '../../../src/server/primary/compaction.ts';
import type { Server } from '../../../src/server/server.ts';
import { type CompactPool, createCompactPool } from '../../../src/workers/compact-job.ts';
import type { CompactTask } from '../../../src/workers/compact-task.ts';
import { createPool } from '../../../src/workers/pool.ts';
import { expectSameData } from '../../support/digest.ts';
import { FakeReplica, type FakeReplicaOptions } from '../../support/fake-replica.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { testSeed } from '../../support/seed.ts';
import { type Servers, test } from '../../support/servers.ts';
import { waitFor } from '../../support/wait-for.ts';

function record(number: number): string {
  const user = { id: number, name: `user-${number % 977}`, active: number % 3 === 0 };
  return JSON.stringify({
    user,
    tags: ['alpha', 'beta', 'gamma'],
    created: 1_700_000_000 + number,
  });
}

interface Started {
  readonly primary: NodeInProcess;
  readonly client: RespClient;
  log(): StreamLog;
  compaction(): Compaction;
  attach(options?: FakeReplicaOptions): Promise<FakeReplica>;
  packedAll(): Promise<boolean>;
  /** Writes about `bytes` bytes of JSON, no faster than a worker packs them. */
  write(bytes: number): Promise<void>;
}

async function start(servers: Servers, ...lines: string[]): Promise<Started> {
  const primary = await startNode(...lines);
  servers.atEnd(() => primary.stop());
  const client = await primary.client();
  servers.atEnd(() => client.close());
  const log = (): StreamLog => primary.node.server.streamLog;
  const packedAll = (): Promise<boolean> =>
    waitFor(() => log().packedBlocks.toPack === 0, { what: 'all sealed blocks to be packed' });
  return {
    primary,
    client,
    log,
    compaction: () => primary.node.primary.compaction,
    attach: async (options = {}) => {
      const replica = await FakeReplica.attach(primary.port, options);
      servers.atEnd(() => replica.close());
      return replica;
    },
    packedAll,
    write: async (bytes) => {
      const until = log().endOffset + bytes;
      const packs = (): boolean => primary.node.server.config.values.replBacklogCompression;
      for (let i = 0; log().endOffset < until; i += 200) {
        await client.pipeline(
          Array.from({ length: 200 }, (_, j) => ['SET', `key:${(i + j) % 5000}`, record(i + j)]),
        );
        if (packs()) await packedAll();
      }
    },
  };
}

test.concurrent('counts in used_memory as what it takes, not as what it is long', async ({
  servers,
}) => {
  const { client, log, attach, write } = await start(servers, 'repl-backlog-size 1mb');
  await attach();
  await write(8 * MIB);
  const memory = await client.info('memory');
  const stored = log().storedBytes;
  expect(log().histlen).toBeGreaterThan(stored + 2 * MIB);
  expect(Number(memory.get('mem_total_replication_buffers'))).toBeLessThan(stored + 512 * KIB);
  // What the backlog does not hold is there for replicas only: a block at most, as none lags.
  expect(Number(memory.get('mem_clients_slaves'))).toBeLessThan(MIB);
});

test.concurrent('keeps several times its size, and a peer from far back gets every byte', async ({
  servers,
}) => {
  const { client, log, compaction, attach, packedAll, write } = await start(
    servers,
    'repl-backlog-size 256kb',
  );
  const first = await attach();
  await first.waitForDump();
  await first.waitForOffset(log().endOffset);
  const { offset, replid } = first;
  await write(900 * KIB);
  await first.waitForOffset(log().endOffset);
  await packedAll();
  const { histlen, storedBytes } = log();
  expect(histlen).toBeGreaterThan(3 * storedBytes);
  expect(histlen).toBeGreaterThan(900 * KIB);
  expect(storedBytes).toBeLessThan(256 * KIB + log().blockBytes);

  const back = await attach({ replid, from: offset + 1 });
  expect(back.resync).toBe('partial');
  await back.waitForOffset(log().endOffset);
  expect(back.stream.equals(first.stream.subarray(first.stream.length - back.stream.length))).toBe(
    true,
  );
  expect(compaction().unpackedCount).toBeGreaterThan(3);
  // Nobody stands in the old blocks any more: their bytes are gone again.
  await waitFor(() => log().memoryBytes < 2 * MIB);
  const info = await client.info('headwater');
  expect(Number(info.get('headwater_backlog_ratio'))).toBeGreaterThan(3);
  expect(Number(info.get('headwater_backlog_raw_bytes'))).toBe(log().histlen);
});

/** About 300 bytes of words in no order. */
function prose(random: Prng): string {
  const words = 'a block of the log that no replica reads is compressed by a thread'.split(' ');
  return Array.from({ length: 60 }, () => words[random.below(words.length)]).join(' ');
}

test.concurrent('a peer from far back gets every byte, whatever codec made its history', async ({
  servers,
}) => {
  const { client, log, attach, packedAll } = await start(servers, 'repl-backlog-size 256kb');
  const first = await attach();
  await first.waitForDump();
  await first.waitForOffset(log().endOffset);
  const { offset, replid } = first;
  const random = new Prng(testSeed('history of both codecs'));
  for (let round = 0; round < 20; round++) {
    const command = (i: number): string[] =>
      round < 12
        ? ['INCR', `counter:${random.below(1e6)}`]
        : ['SET', `key:${round}:${i}`, prose(random)];
    await client.pipeline(Array.from({ length: round < 12 ? 1500 : 150 }, (_, i) => command(i)));
    await first.waitForOffset(log().endOffset);
    await packedAll();
  }
  const codecs = new Set<number>();
  const unpack = log().onWanted!;
  log().onWanted = (block) => {
    const { slab, start: at } = block.packed!.pieces[0]!;
    codecs.add(slab.bytes[at]!);
    unpack(block);
  };
  const back = await attach({ replid, from: offset + 1 });
  expect(back.resync).toBe('partial');
  await back.waitForOffset(log().endOffset);
  expect(back.stream.equals(first.stream.subarray(first.stream.length - back.stream.length))).toBe(
    true,
  );
  // The codec of blocks made the commands; in haste, it also made the prose.
  expect(codecs).toContain(2);
});

test.concurrent('a replica that stood still while its history was compressed goes on by itself', async ({
  servers,
}) => {
  const node = await servers.headwater({
    args: ['--repl-backlog-size', '1mb', '--enable-debug-command', 'yes'],
  });
  const replica = await servers.redis({ replicaOf: node.port });
  const writer = await node.client();
  await waitFor(async () => (await writer.info('replication')).get('connected_slaves') === '1');
  await expectSameData(node, replica);
  replica.pause();
  for (let i = 0; i < 40_000; i += 500) {
    await writer.pipeline(
      Array.from({ length: 500 }, (_, j) => ['SET', `key:${(i + j) % 5000}`, record(i + j)]),
    );
  }
  await waitFor(
    async () => Number((await writer.info('headwater')).get('headwater_backlog_packs')) > 3,
  );
  replica.resume();
  await expectSameData(node, replica);
  expect((await writer.info('stats')).get('sync_full')).toBe('1');
  await writer.close();
});

test.concurrent('data that does not get smaller stays as it is, and is rarely tried', async ({
  servers,
}) => {
  const { client, log, compaction, attach } = await start(servers, 'repl-backlog-size 1mb');
  await (await attach({ countOnly: true })).waitForDump();
  for (let i = 0; i < 300; i++) await client.call('SET', `noise:${i}`, randomBytes(32 * KIB));
  await waitFor(() => log().packedBlocks.toPack === 0);
  expect(compaction().packedCount).toBe(0);
  expect(log().storedBytes).toBe(log().histlen);
});

test.concurrent('can be switched off and on', async ({ servers }) => {
  const { client, log, compaction, attach, packedAll, write } = await start(
    servers,
    'repl-backlog-size 256kb',
    'repl-backlog-compression no',
  );
  await (await attach({ countOnly: true })).waitForDump();
  await write(600 * KIB);
  // The replica reads behind the writes.
  await waitFor(() => log().histlen < 256 * KIB + 2 * log().blockBytes);
  expect(compaction().packedCount).toBe(0);
  await client.call('CONFIG', 'SET', 'repl-backlog-compression', 'yes');
  await write(600 * KIB);
  await packedAll();
  expect(compaction().packedCount).toBeGreaterThan(3);
  await client.call('CONFIG', 'SET', 'repl-backlog-compression', 'no');
  const before = compaction().packedCount;
  await write(600 * KIB);
  expect(compaction().packedCount).toBeLessThanOrEqual(before + 1);
});

test.concurrent('a block with another checksum ends the link, and the next sync is a full one', async ({
  servers,
}) => {
  const { primary, log, attach, packedAll, write } = await start(
    servers,
    'repl-backlog-size 256kb',
  );
  const first = await attach({ countOnly: true });
  await first.waitForDump();
  const { offset, replid } = first;
  await write(600 * KIB);
  await first.waitForOffset(log().endOffset);
  await packedAll();
  damageOldest(log());
  const back = await attach({ replid, from: offset + 1, countOnly: true });
  expect(back.resync).toBe('partial');
  await back.closed;
  await waitFor(() =>
    primary.messages.some((line) => line.includes('A part of the backlog is lost')),
  );
  expect(log().covers(offset + 1)).toBe(false);
  const again = await attach({ replid, from: offset + 1, countOnly: true });
  expect(again.resync).toBe('full');
  await again.waitForDump();
});

test.concurrent('the age of the history begins again with another stream, also at a lower offset', () => {
  let ms = 0;
  const streamLog = new StreamLog(MIB, asOffset(0));
  const server = {
    streamLog,
    clock: { monotonicMs: () => ms },
    config: { values: { replBacklogCompression: false }, onChange: () => {} },
  } as unknown as Server;
  const ages = new Compaction(server);
  streamLog.start(asOffset(1_000_000));
  for (ms = 0; ms <= 60_000; ms += 1000) {
    streamLog.append(new Uint8Array(10), 0, 10);
    ages.tick();
  }
  expect(ages.historySeconds).toBe(61);
  streamLog.drop();
  streamLog.start(asOffset(500));
  ms += 1000;
  ages.tick();
  expect(ages.historySeconds).toBe(0);
});

test.concurrent('a block that leaves while it is expanded is no loss', async () => {
  const streamLog = new StreamLog(64 * KIB, asOffset(0));
  const lines: string[] = [];
  const server = {
    streamLog,
    log: { warning: (line: string) => lines.push(line) },
    config: { values: { replBacklogCompression: false }, onChange: () => {} },
  } as unknown as Server;
  let fail: (error: Error) => void = () => {};
  const run = (): Promise<never> =>
    new Promise((_, reject) => {
      fail = reject;
    });
  const unpacks = new Compaction(server, { run } as unknown as CompactPool);
  streamLog.start(asOffset(0));
  const fill = (): void => streamLog.append(new Uint8Array(64 * KIB), 0, 64 * KIB);
  fill();
  const block = streamLog.beginPack()!;
  streamLog.packed(block, new Uint8Array(100), 100, 0, 0);
  const cursor = streamLog.openCursor(block.start);
  expect(cursor.next(1)).toBe(0);
  streamLog.closeCursor(cursor);
  fill();
  fill();
  expect(streamLog.covers(block.start)).toBe(false);
  fail(new OperatingError(ErrorCode.CORRUPT, 'overwritten'));
  await new Promise(setImmediate);
  expect([lines, unpacks.failures]).toEqual([[], 0]);
  streamLog.validate();
});

test.concurrent('workers that die leave blocks as they are, and a peer may ask again', async () => {
  const entry = new URL('../../support/dying-snapshot-task.mjs', import.meta.url);
  const dying = createPool<unknown, unknown>({ duty: 'compact', entry, threads: 1 });
  const healthy = createCompactPool();
  let dies = true;
  const run: CompactPool['run'] = (task) =>
    dies ? (dying.run(task) as ReturnType<CompactPool['run']>) : healthy.run(task);
  const streamLog = new StreamLog(64 * KIB, asOffset(0));
  const lines: string[] = [];
  const values = { replBacklogCompression: true };
  const server = {
    streamLog,
    memory: new SharedMemory(),
    clock: new SystemClock(),
    log: { warning: (line: string) => lines.push(line) },
    config: { values, onChange: () => {} },
  } as unknown as Server;
  const pool = { run } as unknown as CompactPool;
  const work = new Compaction(server, pool, pool);
  streamLog.start(asOffset(0));
  const fill = (byte: number): void =>
    streamLog.append(new Uint8Array(16 * KIB).fill(byte), 0, 16 * KIB);
  fill(1);
  fill(2);
  await waitFor(() => work.failures === 1, { what: 'the worker to die' });
  expect(lines).toEqual([expect.stringMatching(/stays uncompressed: compact worker died/)]);
  expect(streamLog.packedBlocks).toEqual({ packed: 0, toPack: 1 });

  // The next sealed block tries again, with a worker that lives.
  dies = false;
  fill(3);
  await waitFor(() => streamLog.packedBlocks.packed === 2);
  dies = true;
  const first = streamLog.openCursor(streamLog.firstOffset);
  expect(first.next(1)).toBe(0);
  await waitFor(() => first.failed, { what: 'three workers to have died' });
  expect(lines.at(-1)).toMatch(/A part of the backlog cannot be read now: compact worker died/);
  streamLog.closeCursor(first);
  // Nothing is lost: the next reader gets it.
  expect(streamLog.readableFrom).toBe(streamLog.firstOffset);
  dies = false;
  const second = streamLog.openCursor(streamLog.firstOffset);
  expect(second.next(1)).toBe(0);
  await waitFor(() => !second.isWaiting);
  expect(second.next(16 * KIB)).toBe(16 * KIB);
  expect([second.bytes[second.start], second.bytes[second.end - 1]]).toEqual([1, 1]);
  second.advance(16 * KIB);
  streamLog.closeCursor(second);
  streamLog.validate();
  await Promise.all([dying.close(), healthy.close()]);
});

test.concurrent('a replica that stands before a lost part is cut off at once, and the log lets go of it', async ({
  servers,
}) => {
  const { primary, client, log, attach, packedAll, write } = await start(
    servers,
    'repl-backlog-size 256kb',
  );
  const first = await attach({ countOnly: true, listeningPort: 7001 });
  const slow = await attach({ countOnly: true, listeningPort: 7002 });
  await first.waitForDump();
  await slow.waitForDump();
  const { offset, replid } = first;
  const { blockBytes } = log();
  await write(600 * KIB);
  await first.waitForOffset(log().endOffset);
  await slow.waitForOffset(log().endOffset);
  await packedAll();
  // It has asked for the oldest bytes and stands there. The block behind it is damaged.
  const peer = [...primary.node.primary.peers].find(({ state }) => state.listeningPort === 7002)!;
  const cursor = log().openCursor(asOffset(offset + 1));
  const atEnd = peer.cursor!;
  peer.cursor = cursor;
  damageOldest(log());
  const from = offset + 1 + 2 * blockBytes;
  const back = await attach({ replid, from, countOnly: true, listeningPort: 7003 });
  await back.closed;
  await slow.closed;
  log().closeCursor(atEnd);
  await waitFor(() => primary.node.primary.peers.size === 1);
  expect(first.isClosed).toBe(false);
  expect(log().firstOffset).toBeGreaterThan(from);
  const info = await client.info('replication');
  expect(Number(info.get('repl_backlog_first_byte_offset'))).toBe(log().firstOffset);
  log().validate();
});

interface Packs {
  readonly streamLog: StreamLog;
  readonly compaction: Compaction;
  /** Seals one more block. */
  readonly seal: () => void;
  /** The tasks that the thread that compresses was given; each block becomes 100 bytes. */
  readonly tasks: CompactTask[];
  /** How often the thread that expands was told to stay. */
  readonly warmed: () => number;
}

function packsOf(blockBytes: number): Packs {
  const memory = new SharedMemory();
  const streamLog = new StreamLog(blockBytes * 4, asOffset(0), memory);
  const tasks: CompactTask[] = [];
  let warmed = 0;
  let ms = 0;
  const server = {
    streamLog,
    memory,
    // A block takes no time: the thread rests behind each while the loop is busy.
    clock: { monotonicMs: () => ms },
    config: { values: { replBacklogCompression: true }, onChange: () => {} },
  } as unknown as Server;
  const packer = {
    run: async (task: CompactTask) => {
      tasks.push(task);
      const count = task.kind === 'pack' ? task.from.length : 0;
      return Array.from({ length: count }, () => ({ bytes: 100, crcLow: 0, crcHigh: 0 }));
    },
  };
  const unpacker = { warm: () => warmed++ };
  const compaction = new Compaction(
    server,
    unpacker as unknown as CompactPool,
    packer as unknown as CompactPool,
  );
  streamLog.start(asOffset(0));
  const bytes = new Uint8Array(streamLog.blockBytes);
  const seal = (): void => {
    ms += 1000;
    streamLog.append(bytes, 0, bytes.length);
  };
  return { streamLog, compaction, seal, tasks, warmed: () => warmed };
}

const effortOf = (task: CompactTask | undefined): string =>
  task?.kind === 'pack' ? task.effort : 'none';

test('compresses quickly while blocks wait, and thoroughly when the loop is calm', async () => {
  const { streamLog, seal, tasks } = packsOf(64 * KIB);
  for (let i = 0; i < 4; i++) seal();
  await waitFor(() => streamLog.packedBlocks.toPack === 0);
  expect(effortOf(tasks[0])).toBe('quick');
  await waitFor(async () => {
    seal();
    await waitFor(() => streamLog.packedBlocks.toPack === 0);
    return effortOf(tasks.at(-1)) === 'thorough';
  });
});

test('the thread that expands stays while compression spares more than it takes', async () => {
  const { streamLog, compaction, seal, warmed } = packsOf(MIB);
  while (streamLog.histlen - streamLog.storedBytes <= 16 * MIB) {
    compaction.tick();
    expect(warmed()).toBe(0);
    seal();
    await waitFor(() => streamLog.packedBlocks.toPack === 0);
  }
  compaction.tick();
  expect(warmed()).toBe(1);
});

/** Turns a bit of the oldest compressed block. */
function damageOldest(streamLog: StreamLog): void {
  const original = streamLog.onWanted!;
  streamLog.onWanted = (block: Block) => {
    const { slab, start } = block.packed!.pieces[0]!;
    slab.bytes[start + 40]! ^= 1;
    original(block);
  };
}

test.concurrent('peers come and go in compressed history, and nothing is held for those that left', async ({
  servers,
}) => {
  const { primary, log, attach, packedAll, write } = await start(
    servers,
    'repl-backlog-size 256kb',
  );
  const first = await attach({ countOnly: true });
  await first.waitForDump();
  const { offset, replid } = first;
  await write(900 * KIB);
  await packedAll();
  for (let round = 0; round < 10; round++) {
    const peer = await attach({ replid, from: offset + 1, countOnly: true });
    expect(peer.resync).toBe('partial');
    await peer.vanish();
  }
  await first.waitForOffset(log().endOffset);
  await waitFor(() => primary.node.primary.peers.size === 1);
  await waitFor(() => log().memoryBytes < 2 * MIB);
  log().validate();
  expect(log().openCursors).toBe(1);
});
