/**
 * Compression of a log beside a plain model of its bytes, while workers are slow, die or are refused
 * memory, memory is refused here, the backlog changes its size, and the stream begins again.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ErrorCode, OperatingError } from '../../../src/base/errors.ts';
import { Prng } from '../../../src/base/prng.ts';
import { MemoryKind, SharedMemory } from '../../../src/base/shared-memory.ts';
import { asOffset, KIB } from '../../../src/base/units.ts';
import type { StreamCursor } from '../../../src/replication/log-cursor.ts';
import { blockBytesFor, StreamLog } from '../../../src/replication/stream-log.ts';
import { Compaction } from '../../../src/server/primary/compaction.ts';
import type { Server } from '../../../src/server/server.ts';
import type { CompactPool } from '../../../src/workers/compact-job.ts';
import type { CompactResult, CompactTask, SharedRange } from '../../../src/workers/compact-task.ts';
import { testSeed } from '../../support/seed.ts';
import { waitFor } from '../../support/wait-for.ts';

const BACKLOG = 128 * KIB;
/** The size of the backlog changes. */
const BACKLOG_MOST = 600 * KIB;
const BLOCK_BYTES_MOST = blockBytesFor(BACKLOG_MOST);
const STREAM_MAX = 6000 * KIB;

class Scarce extends SharedMemory {
  refuses = (): boolean => false;

  override take(kind: MemoryKind, bytes: number): SharedArrayBuffer {
    if (this.refuses()) throw new RangeError('Array buffer allocation failed');
    return super.take(kind, bytes);
  }
}

interface Waiting {
  readonly task: CompactTask;
  readonly resolve: (results: readonly CompactResult[]) => void;
  readonly reject: (error: Error) => void;
}

const bytesOf = ({ memory, start, length }: SharedRange): Buffer =>
  Buffer.from(new Uint8Array(memory, start, length));

/** What a worker does, with another codec. Blocks that begin with 1 do not get smaller. */
function work(task: CompactTask): CompactResult[] {
  if (task.kind === 'unpack') {
    const block = inflateRawSync(Buffer.concat(task.from.map(bytesOf)));
    expect(block.length).toBe(task.to.length);
    new Uint8Array(task.to.memory, task.to.start).set(block);
    return [];
  }
  let start = 0;
  return task.from.map((range) => {
    const block = bytesOf(range);
    const packed = deflateRawSync(block);
    if (packed.length > block.length * 0.9) return { bytes: 0, crcLow: 0, crcHigh: 0 };
    new Uint8Array(task.to, start).set(packed);
    start += packed.length;
    return { bytes: packed.length, crcLow: 0, crcHigh: 0 };
  });
}

/** A thread that ends its tasks when the test says so. */
class SlowPool {
  readonly waiting: Waiting[] = [];

  readonly run = (task: CompactTask): Promise<readonly CompactResult[]> =>
    new Promise((resolve, reject) => {
      this.waiting.push({ task, resolve, reject });
    });

  end(error?: Error): boolean {
    const next = this.waiting.shift();
    if (next === undefined) return false;
    if (error === undefined) next.resolve(work(next.task));
    else next.reject(error);
    return true;
  }
}

const failure = (random: Prng): Error =>
  random.below(2) === 0
    ? new OperatingError(ErrorCode.WORKER_DIED, 'it died')
    : new OperatingError(ErrorCode.ARENA_FULL, 'it has no memory');

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Reader {
  readonly cursor: StreamCursor;
  next: number;
}

interface Started {
  readonly log: StreamLog;
  readonly compaction: Compaction;
  readonly packer: SlowPool;
  readonly unpacker: SlowPool;
  readonly toggle: () => void;
}

function started(memory: SharedMemory): Started {
  const log = new StreamLog(BACKLOG, asOffset(0), memory);
  const values = { replBacklogCompression: true };
  let changed = (): null => null;
  const onChange = (_names: string[], call: () => null): void => {
    changed = call;
  };
  const server = {
    streamLog: log,
    memory,
    clock: { monotonicMs: () => 0 },
    log: { warning: () => {} },
    config: { values, onChange },
  } as unknown as Server;
  const unpacker = new SlowPool();
  const packer = new SlowPool();
  const compaction = new Compaction(
    server,
    unpacker as unknown as CompactPool,
    packer as unknown as CompactPool,
  );
  log.start(asOffset(0));
  const toggle = (): void => {
    values.replBacklogCompression = !values.replBacklogCompression;
    changed();
  };
  return { log, compaction, packer, unpacker, toggle };
}

test('blocks of a task stay as they are, and leave, when memory is refused for one result', async () => {
  const memory = new Scarce();
  const { log, compaction, packer } = started(memory);
  const fill = (): void => log.append(new Uint8Array(log.blockBytes), 0, log.blockBytes);
  for (let i = 0; i < 4; i++) fill();
  await waitFor(() => packer.waiting.length === 1);
  const batch = log.packedBlocks.toPack;
  memory.refuses = () => true;
  packer.end();
  await waitFor(() => compaction.failures === 1);
  memory.refuses = () => false;
  expect(log.packedBlocks).toEqual({ packed: 0, toPack: batch });
  for (let i = 0; i < 10; i++) fill();
  expect(log.histlen).toBeLessThanOrEqual(BACKLOG + log.blockBytes);
  log.validate();
});

describe('compression of the log', () => {
  for (let round = 0; round < 8; round++) {
    test(`round ${round}`, async () => {
      const random = new Prng(testSeed('compaction') + round);
      const memory = new Scarce();
      const { log, compaction, packer, unpacker, toggle } = started(memory);
      let losses = 0;
      compaction.onLost = () => losses++;
      const everything = Buffer.alloc(STREAM_MAX);
      let length = 0;
      let readers: Reader[] = [];
      let batchMost = 0;

      const close = (reader: Reader): void => {
        log.closeCursor(reader.cursor);
        readers = readers.filter((other) => other !== reader);
      };
      const closeAll = (): void => {
        for (const reader of readers) close(reader);
      };
      log.onRefused = closeAll;
      const read = (reader: Reader): void => {
        const { cursor } = reader;
        if (cursor.failed) {
          close(reader);
          return;
        }
        const count = cursor.next(1 + random.below(40 * KIB));
        if (count === 0) return;
        const slice = Buffer.from(cursor.bytes.slice(cursor.start, cursor.end));
        const wanted = everything.subarray(reader.next - 1, reader.next - 1 + count);
        expect(slice.equals(wanted), `bytes from ${reader.next} on`).toBe(true);
        cursor.advance(count);
        reader.next += count;
      };
      const append = (count: number): void => {
        const isNoise = random.below(4) === 0;
        for (let i = 0; i < count; i++)
          everything[length + i] = isNoise || random.below(9) === 0 ? random.u32() >>> 24 : 65;
        log.append(everything, length, length + count);
        length += count;
      };

      for (let step = 0; step < 3000; step++) {
        // The log itself survives one refusal at a time: stream-log-refusal.prop.test.ts.
        const what = random.below(100);
        if (what < 30) {
          const count = random.below(12_000);
          if (length + count > STREAM_MAX) break;
          append(count);
        } else if (what < 55) {
          memory.refuses = () => random.below(4) === 0;
          batchMost = Math.max(batchMost, packer.waiting[0]?.task.from.length ?? 0);
          if (random.below(3) > 0) packer.end(random.below(5) === 0 ? failure(random) : undefined);
          else unpacker.end(random.below(5) === 0 ? failure(random) : undefined);
          await turn();
          memory.refuses = () => false;
        } else if (what < 62 && readers.length < 12) {
          const offset = log.readableFrom + random.below(log.readableBytes + 1);
          readers.push({ cursor: log.openCursor(asOffset(offset)), next: offset });
        } else if (what < 92 && readers.length > 0) {
          read(readers[random.below(readers.length)]!);
        } else if (what < 95 && readers.length > 0) {
          close(readers[random.below(readers.length)]!);
        } else if (what < 97) {
          log.backlogBytesMax = 16 * KIB + random.below(BACKLOG_MOST - 16 * KIB);
        } else if (what < 98) {
          toggle();
        } else if (random.below(20) === 0) {
          closeAll();
          log.drop();
          log.start(asOffset(length));
        }
        log.validate();
        expect(log.endOffset).toBe(length);
      }
      expect(losses, 'nothing is damaged').toBe(0);
      expect(compaction.packedCount).toBeGreaterThan(10);
      expect(batchMost).toBe(4);

      // Everything comes to its end, and nobody holds anything.
      memory.refuses = () => false;
      log.backlogBytesMax = BACKLOG;
      while (readers.length > 0) {
        const [reader] = readers;
        if (reader!.cursor.lag === 0) close(reader!);
        else read(reader!);
        unpacker.end();
        await turn();
      }
      while (packer.end() || unpacker.end()) await turn();
      while (log.trim() > 0);
      expect(log.storedBytes).toBeLessThan(BACKLOG + BLOCK_BYTES_MOST);
      log.drop();
      expect(memory.usedBytes(MemoryKind.LOG)).toBe(0);
      expect(memory.usedBytes(MemoryKind.RING)).toBeLessThanOrEqual(4 * BLOCK_BYTES_MOST);
    });
  }
});
