/**
 * A spool beside a plain array of bytes: readers of random speeds, late joins, a file that fails,
 * sockets that stall.
 */
import { describe, expect, test } from 'vitest';
import { OperatingError } from '../../../src/base/errors.ts';
import { Prng } from '../../../src/base/prng.ts';
import type { RawFile } from '../../../src/server/persistence/spill-file.ts';
import { Spool, type SpoolReader } from '../../../src/server/persistence/spool.ts';
import { ReaderNeed } from '../../../src/server/snapshot-source.ts';
import { createRingMemory, RingConsumer, RingProducer } from '../../../src/workers/byte-ring.ts';
import { testSeed } from '../../support/seed.ts';
import { waitFor } from '../../support/wait-for.ts';

const CHUNK_BYTES = 64;
const CHUNK_COUNT = 8;
const DUMP_BYTES = 4000;

/** A file in memory; every operation takes a turn of the loop. */
class MemoryFile implements RawFile {
  bytes = new Uint8Array(0);
  closed = false;

  async write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesWritten: number }> {
    await new Promise(setImmediate);
    expect(this.closed).toBe(false);
    // Sometimes a file takes less than it is offered.
    const bytesWritten = Math.max(1, length >> 1);
    const grown = new Uint8Array(Math.max(this.bytes.length, position + bytesWritten));
    grown.set(this.bytes);
    grown.set(bytes.subarray(offset, offset + bytesWritten), position);
    this.bytes = grown;
    return { bytesWritten };
  }

  async read(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesRead: number }> {
    await new Promise(setImmediate);
    expect(this.closed).toBe(false);
    const part = this.bytes.subarray(position, position + length);
    bytes.set(part, offset);
    return { bytesRead: part.length };
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

class FullFile extends MemoryFile {
  /** Writes that it takes before it is full. */
  #left: number;

  constructor(writes = 0) {
    super();
    this.#left = writes;
  }

  override async write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesWritten: number }> {
    if (this.#left-- > 0) return super.write(bytes, offset, length, position);
    await new Promise(setImmediate);
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  }
}

interface Setup {
  readonly producer: RingProducer;
  readonly spool: Spool;
  readonly pumped: Promise<void>;
  readonly files: MemoryFile[];
  idle: number;
  firstByteGone: number;
  spilledBytes: number;
  /** Why files were refused. */
  readonly refused: string[];
}

function setUp(
  makeFile: () => MemoryFile = () => new MemoryFile(),
  spareCount = CHUNK_COUNT,
): Setup {
  const memory = createRingMemory({ chunkBytes: CHUNK_BYTES, chunkCount: CHUNK_COUNT, spareCount });
  const files: MemoryFile[] = [];
  const setup = {
    producer: new RingProducer(memory),
    files,
    idle: 0,
    firstByteGone: 0,
    spilledBytes: 0,
    refused: [],
  } as Omit<Setup, 'spool' | 'pumped'>;
  const spool = new Spool(new RingConsumer(memory), {
    openSpill: async () => {
      const file = makeFile();
      files.push(file);
      return file;
    },
    onFirstByteGone: () => {
      setup.firstByteGone++;
    },
    onIdle: () => {
      setup.idle++;
    },
    onSpilled: (bytes) => {
      setup.spilledBytes += bytes;
    },
    onFileRefused: (reason) => setup.refused.push(reason),
  });
  return Object.assign(setup, { spool, pumped: spool.pump() });
}

function dumpOf(prng: Prng): Uint8Array {
  return Uint8Array.from({ length: DUMP_BYTES }, () => prng.below(256));
}

/**
 * Publishes `dump` in pieces of random size, waiting for room as a worker would. Resolves when all
 * is published.
 */
async function produce(producer: RingProducer, dump: Uint8Array, prng: Prng): Promise<void> {
  let position = 0;
  while (position < dump.length) {
    await producer.waitForSpace();
    const chunk = producer.tryAcquire();
    if (chunk === undefined) return;
    const count = Math.min(1 + prng.below(CHUNK_BYTES), dump.length - position);
    chunk.set(dump.subarray(position, position + count));
    producer.publish(count);
    position += count;
    if (prng.below(3) === 0) await new Promise(setImmediate);
  }
  producer.end();
}

/**
 * Reads as a socket does: slices stay in flight for `holdTurns` turns and are compared only then.
 */
async function consume(
  spool: Spool,
  prng: Prng,
  dump: Uint8Array,
  holdTurns: number,
  onReader: (reader: SpoolReader) => void = () => {},
  need: ReaderNeed = ReaderNeed.OWN_PACE,
): Promise<'complete' | 'failed'> {
  let wake: () => void = () => {};
  const reader = spool.openReader(() => wake(), need);
  onReader(reader);
  try {
    for (;;) {
      const count = reader.next(1 + prng.below(2 * CHUNK_BYTES));
      if (count === 0) {
        if (reader.failed) return 'failed';
        if (reader.atEnd) return reader.position === dump.length ? 'complete' : 'failed';
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      const { bytes, start, end, position } = reader;
      for (let turn = 0; turn < holdTurns; turn++) await new Promise(setImmediate);
      const slice = Buffer.from(bytes.subarray(start, end));
      expect(slice.equals(dump.subarray(position, position + count))).toBe(true);
      reader.advance(1 + prng.below(count));
    }
  } finally {
    reader.close();
  }
}

describe('a spool gives every reader the whole dump', () => {
  for (let round = 0; round < 6; round++) {
    test(`readers of different speeds, some of them late: round ${round}`, async () => {
      const prng = new Prng(testSeed('spool') + round);
      const dump = dumpOf(prng);
      const { producer, spool, pumped, files } = setUp();
      const readers = Array.from({ length: 5 }, (_, i) =>
        consume(spool, prng, dump, i * prng.below(4)),
      );
      const produced = produce(producer, dump, prng);
      let joined = 0;
      while (!spool.ended) {
        await new Promise(setImmediate);
        if (joined < 5 && spool.hasFirstByte && prng.below(4) === 0) {
          joined++;
          readers.push(consume(spool, prng, dump, prng.below(5)));
        }
      }
      expect(await Promise.all(readers)).toEqual(readers.map(() => 'complete'));
      await Promise.all([produced, pumped]);
      expect(spool.totalBytes).toBe(DUMP_BYTES);
      expect(spool.readerCount).toBe(0);
      spool.close();
      expect(spool.hasFirstByte).toBe(false);
      expect(spool.memoryBytes + spool.fileBytes).toBe(0);
      await new Promise(setImmediate);
      expect(files.every((file) => file.closed)).toBe(true);
    });
  }

  test('a reader that never takes its slice holds up neither the worker nor the others', async () => {
    const prng = new Prng(testSeed('spool'));
    const dump = dumpOf(prng);
    const { producer, spool, pumped } = setUp();
    const stalled = spool.openReader(() => {}, ReaderNeed.OWN_PACE);
    // Its first slice is in flight while everything else happens.
    const produced = produce(producer, dump, prng);
    while (spool.producedBytes === 0) await new Promise(setImmediate);
    const count = stalled.next(CHUNK_BYTES);
    expect(count).toBeGreaterThan(0);
    const { bytes, start, end } = stalled;
    expect(await consume(spool, prng, dump, 0)).toBe('complete');
    await Promise.all([produced, pumped]);
    expect(Buffer.from(bytes.subarray(start, end)).equals(dump.subarray(0, count))).toBe(true);
    stalled.advance(count);
    expect(stalled.failed).toBe(false);
    stalled.close();
  });

  test('with readers that keep up nothing is written to disk', async () => {
    const prng = new Prng(testSeed('spool'));
    const dump = dumpOf(prng);
    const setup = setUp();
    const { producer, spool } = setup;
    let reader: SpoolReader | undefined;
    const consumed = consume(spool, prng, dump, 0, (opened) => {
      reader = opened;
    });
    for (let position = 0; position < dump.length; position += CHUNK_BYTES) {
      await waitFor(() => reader?.position === position);
      const count = Math.min(CHUNK_BYTES, dump.length - position);
      producer.tryAcquire()?.set(dump.subarray(position, position + count));
      producer.publish(count);
    }
    producer.end();
    expect(await consumed).toBe('complete');
    await setup.pumped;
    expect(setup.files).toEqual([]);
    expect(setup.firstByteGone).toBe(1);
    expect(setup.idle).toBe(1);
  });
});

describe('nothing goes to the file', () => {
  test('for a save, for which the worker waits', async () => {
    const prng = new Prng(testSeed('spool'));
    const dump = dumpOf(prng);
    const { producer, spool, pumped, files } = setUp();
    const saved = consume(spool, prng, dump, 6, () => {}, ReaderNeed.WORKER_WAITS);
    let most = 0;
    const produced = produce(producer, dump, prng);
    while (!spool.ended) {
      most = Math.max(most, spool.memoryBytes);
      await new Promise(setImmediate);
    }
    expect(await saved).toBe('complete');
    await Promise.all([produced, pumped]);
    expect(files).toEqual([]);
    expect(most).toBeLessThanOrEqual(CHUNK_BYTES * CHUNK_COUNT);
  });

  test('for who only keeps the dump open, and byte 0 is let go', async () => {
    const prng = new Prng(testSeed('spool'));
    const dump = dumpOf(prng);
    const setup = setUp();
    const { producer, spool, pumped, files } = setup;
    const keeper = spool.openReader(() => {}, ReaderNeed.NOTHING);
    await Promise.all([produce(producer, dump, prng), pumped]);
    expect(spool.totalBytes).toBe(DUMP_BYTES);
    expect(files).toEqual([]);
    expect([spool.hasFirstByte, setup.firstByteGone, setup.idle]).toEqual([false, 1, 0]);
    keeper.close();
    expect(setup.idle).toBe(1);
  });

  test('that a save needs still, and what a slow replica needs does', async () => {
    const prng = new Prng(testSeed('spool'));
    const dump = dumpOf(prng);
    const setup = setUp();
    const { producer, spool, pumped } = setup;
    const save: SpoolReader[] = [];
    const saved = consume(
      spool,
      prng,
      dump,
      2,
      (reader) => save.push(reader),
      ReaderNeed.WORKER_WAITS,
    );
    const slow = consume(spool, prng, dump, 40);
    const produced = produce(producer, dump, prng);
    let spilledAhead = false;
    while (!spool.ended) {
      const end = spool.fileAt(0)?.end ?? 0;
      spilledAhead ||= end > save[0]!.position;
      await new Promise(setImmediate);
    }
    expect(await Promise.all([saved, slow])).toEqual(['complete', 'complete']);
    await Promise.all([produced, pumped]);
    expect(spilledAhead).toBe(false);
    expect(setup.spilledBytes).toBeGreaterThan(0);
  });
});

describe('without a file', () => {
  test.each([
    ['a full disk', () => new FullFile()],
    [
      'a directory that takes no file',
      (): MemoryFile => {
        throw Object.assign(new Error('EACCES: permission denied, open'), { code: 'EACCES' });
      },
    ],
    ['a disk that is full after a while', () => new FullFile(5)],
  ])('%s: the slowest reader sets the pace, in bounded memory', async (_name, makeFile) => {
    const prng = new Prng(testSeed('spool'));
    const dump = dumpOf(prng);
    const setup = setUp(makeFile);
    const { producer, spool, pumped } = setup;
    const readers: SpoolReader[] = [];
    const note = (reader: SpoolReader): number => readers.push(reader);
    const consumed = [consume(spool, prng, dump, 0, note), consume(spool, prng, dump, 12, note)];
    const produced = produce(producer, dump, prng);
    let most = 0;
    while (!spool.ended) {
      const buffers = readers.reduce((sum, { bufferBytes }) => sum + bufferBytes, 0);
      most = Math.max(most, spool.memoryBytes - buffers);
      if (setup.refused.length > 0 && spool.fileBytes === 0) {
        expect(spool.producedBytes - readers[1]!.position).toBeLessThanOrEqual(
          CHUNK_BYTES * CHUNK_COUNT,
        );
      }
      await new Promise(setImmediate);
    }
    expect(await Promise.all(consumed)).toEqual(['complete', 'complete']);
    await Promise.all([produced, pumped]);
    expect(setup.refused.length).toBe(1);
    expect(most).toBeLessThanOrEqual(CHUNK_BYTES * CHUNK_COUNT);
    // It was told that nobody can join any more.
    expect([spool.hasFirstByte, setup.firstByteGone]).toEqual([false, 1]);
    await waitFor(() => setup.files.every((file) => file.closed), {
      what: 'the file to be closed',
    });
  });

  test('a reader that waits for the end of the dump fails, and the others go on', async () => {
    const prng = new Prng(testSeed('spool'));
    const dump = dumpOf(prng);
    const { producer, spool, pumped } = setUp(() => new FullFile());
    let failures = 0;
    const whole = spool.openReader(() => {
      failures++;
    }, ReaderNeed.WHOLE);
    const produced = produce(producer, dump, prng);
    expect(await consume(spool, prng, dump, 3)).toBe('complete');
    await Promise.all([produced, pumped]);
    expect([whole.failed, whole.error?.code, failures]).toEqual([true, 'IO', 1]);
    whole.close();
  });

  test('a reader that stands still holds the worker until it is closed', async () => {
    const prng = new Prng(testSeed('spool'));
    const dump = dumpOf(prng);
    const setup = setUp(() => new FullFile());
    const { producer, spool, pumped } = setup;
    const stalled = spool.openReader(() => {}, ReaderNeed.OWN_PACE);
    const consumed = consume(spool, prng, dump, 0);
    const produced = produce(producer, dump, prng);
    await waitFor(() => setup.refused.length === 1, { what: 'the file to be refused' });
    await waitFor(() => producer.tryAcquire() === undefined, { what: 'the ring to be full' });
    expect(spool.ended).toBe(false);
    expect(spool.hasFirstByte).toBe(true);
    stalled.close();
    expect(await consumed).toBe('complete');
    await Promise.all([produced, pumped]);
  });
});

describe('what fails', () => {
  test('when spare memory runs out, the readers that hold it fail and the dump goes on', async () => {
    const prng = new Prng(testSeed('spool'));
    const dump = dumpOf(prng);
    const { producer, spool, pumped } = setUp(undefined, 0);
    // As a socket does that is destroyed: its slice is over.
    const stalled: SpoolReader = spool.openReader(() => {
      if (stalled.failed) {
        stalled.advance(0);
        stalled.close();
      }
    }, ReaderNeed.OWN_PACE);
    const produced = produce(producer, dump, prng);
    while (spool.producedBytes === 0) await new Promise(setImmediate);
    stalled.next(1);
    expect(await consume(spool, prng, dump, 0)).toBe('complete');
    await Promise.all([produced, pumped]);
    expect(stalled.failed).toBe(true);
  });

  test('the failure of the snapshot reaches every reader, and the worker is told', async () => {
    const prng = new Prng(testSeed('spool'));
    const dump = dumpOf(prng);
    const { producer, spool, pumped } = setUp();
    const readers = [consume(spool, prng, dump, 0), consume(spool, prng, dump, 3)];
    const produced = produce(producer, dump, prng);
    while (spool.producedBytes < DUMP_BYTES / 2) await new Promise(setImmediate);
    spool.fail(new OperatingError('WORKER_DIED', 'gone'));
    expect(await Promise.all(readers)).toEqual(['failed', 'failed']);
    await Promise.all([produced, pumped]);
    expect(producer.cancelled).toBe(true);
    expect(spool.ended).toBe(false);
    expect(spool.totalBytes).toBe(-1);
  });
});
