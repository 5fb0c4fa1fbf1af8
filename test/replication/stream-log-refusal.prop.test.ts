/**
 * The stream log while the system refuses memory now and then: it takes every byte, what it retains
 * is what was appended, and no byte of a slice changes before that is confirmed.
 */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { MemoryKind, SharedMemory } from '../../src/base/shared-memory.ts';
import { asOffset, KIB } from '../../src/base/units.ts';
import type { StreamCursor } from '../../src/replication/log-cursor.ts';
import { BLOCK_BYTES_MIN, StreamLog } from '../../src/replication/stream-log.ts';
import { testSeed } from '../support/seed.ts';

class Scarce extends SharedMemory {
  refuses = (): boolean => false;

  override take(kind: MemoryKind, bytes: number): SharedArrayBuffer {
    if (this.refuses()) throw new RangeError('Array buffer allocation failed');
    return super.take(kind, bytes);
  }
}

/** The stream repeats after so many bytes, a prime: blocks differ. */
const PERIOD = 65_521;
const PATTERN = Uint8Array.from(
  { length: PERIOD * 3 },
  (_, i) => Math.imul(i % PERIOD, 0x9e3779b1) >>> 24,
);

/** The bytes of the stream from an offset on. */
const bytesFrom = (offset: number, count: number): Uint8Array =>
  PATTERN.slice(offset % PERIOD, (offset % PERIOD) + count);

function started(memory: SharedMemory): StreamLog {
  const log = new StreamLog(64 * KIB, asOffset(0), memory);
  log.start(asOffset(0));
  return log;
}

function fill(log: StreamLog, blocks: number): void {
  for (let i = 0; i < blocks; i++) {
    const bytes = bytesFrom(log.endOffset + 1, BLOCK_BYTES_MIN);
    log.append(bytes, 0, bytes.length);
  }
}

/** Reads all that is retained. */
function expectRetained(log: StreamLog): void {
  const cursor = log.openCursor(log.firstOffset);
  for (let offset: number = log.firstOffset; offset <= log.endOffset; ) {
    const count = cursor.next(1_000_000);
    expect(count).toBeGreaterThan(0);
    const wanted = bytesFrom(offset, count);
    expect(Buffer.compare(wanted, cursor.bytes.slice(cursor.start, cursor.end))).toBe(0);
    cursor.advance(count);
    offset += count;
  }
  log.closeCursor(cursor);
}

test('the backlog becomes shorter while nobody reads its end', () => {
  const memory = new Scarce();
  const log = started(memory);
  fill(log, 2);
  memory.refuses = () => true;
  fill(log, 10);
  expect(log.histlen).toBeLessThan(64 * KIB);
  expect(log.endOffset).toBe(12 * BLOCK_BYTES_MIN);
  log.validate();
  expectRetained(log);
  memory.refuses = () => false;
  fill(log, 10);
  expect(log.histlen).toBeGreaterThanOrEqual(64 * KIB);
  log.validate();
  expectRetained(log);
});

test('readers are told, and the stream goes on without them', () => {
  const memory = new Scarce();
  const log = started(memory);
  const slow = log.openCursor(asOffset(1));
  const writing = log.openCursor(asOffset(1));
  fill(log, 3);
  const count = writing.next(1000);
  memory.refuses = () => true;
  let told = 0;
  log.onRefused = () => {
    told++;
    for (const cursor of [slow, writing]) if (!cursor.closed) log.closeCursor(cursor);
  };
  fill(log, 10);
  expect(told).toBeGreaterThanOrEqual(1);
  // Its write has not ended yet.
  expect(Buffer.compare(bytesFrom(1, count), writing.bytes.slice(writing.start, writing.end))).toBe(
    0,
  );
  writing.advance(0);
  log.validate();
  expectRetained(log);
  log.drop();
  expect(memory.usedBytes(MemoryKind.LOG)).toBe(0);
});

test('a log that finds no memory does not start', () => {
  const memory = new Scarce();
  memory.refuses = () => true;
  const log = new StreamLog(64 * KIB, asOffset(7), memory);
  expect(() => log.start(asOffset(9))).toThrow('refuses memory');
  expect([log.active, log.endOffset]).toEqual([false, 7]);
  memory.refuses = () => false;
  log.start(asOffset(9));
  fill(log, 1);
  log.validate();
});

describe('random refusals', () => {
  test('leave a stream that can be read', () => {
    const prng = new Prng(testSeed('stream-log-refusal'));
    const memory = new Scarce();
    let scarcity = 0;
    memory.refuses = () => prng.below(100) < scarcity;
    const log = started(memory);
    /** Open ones, and closed ones whose write has not ended, with the offset of its first byte. */
    const readers = new Set<{ cursor: StreamCursor; offset: number; count: number }>();
    log.onRefused = () => {
      for (const { cursor } of readers) if (!cursor.closed) log.closeCursor(cursor);
    };
    for (let step = 0; step < 2000; step++) {
      if (step % 100 === 0) scarcity = [0, 30, 90, 100][prng.below(4)]!;
      // As in the turn of the loop behind the end of a connection.
      for (const reader of readers) {
        const { cursor, offset, count } = reader;
        if (!cursor.closed) continue;
        readers.delete(reader);
        if (!cursor.inFlight) continue;
        const sent = cursor.bytes.slice(cursor.start, cursor.end);
        expect(Buffer.compare(bytesFrom(offset, count), sent)).toBe(0);
        cursor.advance(0);
      }
      const from = log.endOffset + 1;
      const bytes = bytesFrom(from, 1 + prng.below(prng.below(10) === 0 ? 100_000 : 3000));
      if (prng.below(2) === 0) log.append(bytes, 0, bytes.length);
      else log.appendDeferred(bytes, 0, bytes.length);
      if (readers.size < 10 && log.covers(log.firstOffset)) {
        const offset = log.firstOffset + prng.below(log.histlen);
        readers.add({ cursor: log.openCursor(asOffset(offset)), offset, count: 0 });
      }
      for (const reader of readers) {
        const { cursor } = reader;
        if (cursor.inFlight) {
          const sent = cursor.bytes.slice(cursor.start, cursor.end);
          expect(Buffer.compare(bytesFrom(reader.offset, reader.count), sent)).toBe(0);
          if (prng.below(3) > 0) continue;
          const done = 1 + prng.below(reader.count);
          reader.offset += done;
          cursor.advance(done);
        } else if (!cursor.closed && prng.below(2) === 0) {
          reader.count = cursor.next(1 + prng.below(40_000));
        }
      }
      log.settle();
      log.validate();
    }
    for (const { cursor } of readers) {
      if (!cursor.closed) log.closeCursor(cursor);
      if (cursor.inFlight) cursor.advance(0);
    }
    expectRetained(log);
    log.drop();
    expect(memory.usedBytes(MemoryKind.LOG)).toBe(0);
  });
});
