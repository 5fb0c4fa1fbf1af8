/**
 * A spool over chunks that the main thread gathers: pieces of random sizes, readers of random
 * speeds, little memory.
 */
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { MemoryKind, SharedMemory } from '../../../src/base/shared-memory.ts';
import { GatheredChunks } from '../../../src/server/persistence/gathered-chunks.ts';
import type { RawFile } from '../../../src/server/persistence/spill-file.ts';
import { Spool } from '../../../src/server/persistence/spool.ts';
import { ReaderNeed } from '../../../src/server/snapshot-source.ts';
import { testSeed } from '../../support/seed.ts';
import { waitFor } from '../../support/wait-for.ts';

const CHUNK_BYTES = 64;
const CHUNK_COUNT = 8;
const DUMP_BYTES = 6000;

/** A file in memory, each of whose operations takes a turn. */
function memoryFile(): RawFile {
  let bytes = Buffer.alloc(0);
  return {
    async write(from, offset, length, position) {
      await new Promise(setImmediate);
      const grown = Buffer.alloc(Math.max(bytes.length, position + length));
      grown.set(bytes);
      grown.set(from.subarray(offset, offset + length), position);
      bytes = grown;
      return { bytesWritten: length };
    },
    async read(into, _offset, length, position) {
      await new Promise(setImmediate);
      const part = bytes.subarray(position, position + length);
      into.set(part);
      return { bytesRead: part.length };
    },
    async close() {},
  };
}

function setUp({ memory = new SharedMemory(), growthDelayMs = 0 } = {}) {
  const shape = { chunkBytes: CHUNK_BYTES, chunkCount: CHUNK_COUNT, spareCount: CHUNK_COUNT };
  const chunks = new GatheredChunks(shape, memory, growthDelayMs);
  let spilledBytes = 0;
  const spool = new Spool(chunks, {
    openSpill: async () => memoryFile(),
    onFirstByteGone: () => {},
    onIdle: () => {},
    onSpilled: (bytes) => {
      spilledBytes += bytes;
    },
    onReleased: () => chunks.giveBack(),
  });
  return { chunks, spool, pumped: spool.pump(), spilledBytes: () => spilledBytes };
}

/** Puts `dump` in pieces of up to three chunks, and waits when there is no room. */
async function gather(chunks: GatheredChunks, dump: Uint8Array, prng: Prng): Promise<void> {
  let position = 0;
  while (position < dump.length) {
    const end = Math.min(dump.length, position + 1 + prng.below(3 * CHUNK_BYTES));
    while (position < end) {
      position = chunks.put(dump, position, end);
      if (position < end) await chunks.waitForRoom();
    }
    if (prng.below(3) === 0) await new Promise(setImmediate);
  }
  chunks.end();
}

/** Reads all, each slice in flight for `holdTurns` turns; returns the bytes. */
async function read(spool: Spool, prng: Prng, holdTurns: number): Promise<Buffer> {
  let wake: () => void = () => {};
  const reader = spool.openReader(() => wake(), ReaderNeed.OWN_PACE);
  const got: Buffer[] = [];
  while (!reader.atEnd) {
    const count = reader.next(1 + prng.below(2 * CHUNK_BYTES));
    if (count === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      continue;
    }
    for (let turn = 0; turn < holdTurns; turn++) await new Promise(setImmediate);
    // Only now: a slice may not change while it is in flight.
    got.push(Buffer.from(reader.bytes.slice(reader.start, reader.end)));
    reader.advance(count);
  }
  reader.close();
  return Buffer.concat(got);
}

describe('gathered chunks', () => {
  for (let round = 0; round < 8; round++) {
    test(`reach readers of all speeds, as they came: round ${round}`, async () => {
      const prng = new Prng(testSeed('gathered chunks') + round);
      const dump = Buffer.from(Uint8Array.from({ length: DUMP_BYTES }, () => prng.below(256)));
      const { chunks, spool, pumped } = setUp({ growthDelayMs: round % 2 });
      const readers = [0, 1, 3, 20].map((holdTurns) => read(spool, prng, holdTurns));
      await Promise.all([gather(chunks, dump, prng), pumped]);
      for (const got of await Promise.all(readers)) expect(got.equals(dump)).toBe(true);
      expect(spool.readBytes).toBe(4 * DUMP_BYTES);
    });
  }

  test('are read while the chunk still grows, byte by byte, and take one chunk together', async () => {
    const { chunks, spool } = setUp();
    let woken = 0;
    const reader = spool.openReader(() => woken++, ReaderNeed.OWN_PACE);
    for (let i = 0; i < CHUNK_BYTES; i++) {
      expect(reader.next(1000)).toBe(0);
      chunks.put(Uint8Array.of(i), 0, 1);
      await new Promise(setImmediate);
      expect(woken).toBe(i + 1);
      expect(reader.next(1000)).toBe(1);
      expect(reader.bytes[reader.start]).toBe(i);
      reader.advance(1);
    }
    expect(chunks.available).toBe(1);
  });

  test('in pieces go on together: whole chunks at once, the rest after a moment', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { chunks, spool } = setUp({ growthDelayMs: 20 });
    let woken = 0;
    const reader = spool.openReader(() => woken++, ReaderNeed.OWN_PACE);
    expect(reader.next(1000)).toBe(0);
    const piece = new Uint8Array(CHUNK_BYTES / 4 + 1);
    for (let i = 0; i < 3; i++) {
      chunks.put(piece, 0, piece.length);
      await new Promise(setImmediate);
    }
    expect([woken, spool.producedBytes]).toEqual([0, 0]);
    chunks.put(piece, 0, piece.length);
    await new Promise(setImmediate);
    expect([woken, spool.producedBytes]).toEqual([1, CHUNK_BYTES]);
    vi.advanceTimersByTime(20);
    await new Promise(setImmediate);
    expect(spool.producedBytes).toBe(4 * piece.length);
    vi.useRealTimers();
    // Bytes that no moment and no full chunk has shown yet are shown by the end.
    chunks.put(piece, 0, 1);
    chunks.end();
    await waitFor(() => spool.ended);
    expect(spool.producedBytes).toBe(4 * piece.length + 1);
  });

  test('have no room beyond their memory while a reader stands still and nothing can spill', async () => {
    const { chunks, spool } = setUp();
    spool.openReader(() => {}, ReaderNeed.WORKER_WAITS);
    const bytes = new Uint8Array(2 * CHUNK_BYTES * CHUNK_COUNT);
    expect(chunks.put(bytes, 0, bytes.length)).toBe(CHUNK_BYTES * CHUNK_COUNT);
    let hasRoom = false;
    const waiting = chunks.waitForRoom().then(() => {
      hasRoom = true;
    });
    await new Promise(setImmediate);
    expect(hasRoom).toBe(false);
    chunks.cancel();
    await waiting;
    expect(chunks.put(bytes, 0, bytes.length)).toBe(bytes.length);
  });

  test('without readers keep the newest, and give all memory back when the spool closes', async () => {
    const memory = new SharedMemory();
    const { chunks, spool, pumped, spilledBytes } = setUp({ memory });
    const prng = new Prng(testSeed('gathered chunks'));
    await Promise.all([gather(chunks, Buffer.alloc(DUMP_BYTES), prng), pumped]);
    expect([spool.hasFirstByte, spool.totalBytes, spilledBytes()]).toEqual([false, DUMP_BYTES, 0]);
    expect(memory.usedBytes(MemoryKind.RING)).toBe(2 * CHUNK_BYTES * CHUNK_COUNT);
    spool.close();
    expect(memory.usedBytes(MemoryKind.RING)).toBe(0);
  });
});
