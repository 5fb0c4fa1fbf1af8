import { describe, expect, test } from 'vitest';
import { MemoryKind, SharedMemory } from '../../src/base/shared-memory.ts';
import { asOffset, KIB, MIB } from '../../src/base/units.ts';
import type { Block, StreamCursor } from '../../src/replication/log-cursor.ts';
import { BLOCK_BYTES_MIN, blockBytesFor, StreamLog } from '../../src/replication/stream-log.ts';

const text = (value: string): Buffer => Buffer.from(value, 'latin1');
const append = (log: StreamLog, value: string): void => log.append(text(value), 0, value.length);
const sliceText = (cursor: StreamCursor): string =>
  Buffer.from(cursor.bytes.subarray(cursor.start, cursor.end)).toString('latin1');

function started(backlogBytesMax: number, endOffset = 0): StreamLog {
  const log = new StreamLog(backlogBytesMax, asOffset(endOffset));
  log.start(asOffset(endOffset));
  return log;
}

describe('block size', () => {
  test.each([
    [1, 16 * KIB],
    [16 * KIB, 16 * KIB],
    [1 * MIB, 256 * KIB],
    [2 * MIB, 512 * KIB],
    [4 * MIB, 1 * MIB],
    [10_000_000_000, 1 * MIB],
  ])('backlog of %i bytes has blocks of %i', (backlog, block) => {
    expect(blockBytesFor(backlog)).toBe(block);
  });
});

describe('an inactive log', () => {
  test('keeps its offset, has no history and takes no bytes', () => {
    const log = new StreamLog(MIB, asOffset(500));
    expect([log.active, log.endOffset, log.firstOffset, log.histlen, log.memoryBytes]).toEqual([
      false,
      500,
      501,
      0,
      0,
    ]);
    expect(log.covers(501)).toBe(false);
    expect(() => append(log, 'x')).toThrow('only an active log takes bytes');
  });

  test('starts again behind another offset after drop', () => {
    const log = started(MIB);
    append(log, 'abc');
    log.drop();
    expect([log.active, log.endOffset, log.histlen, log.memoryBytes]).toEqual([false, 3, 0, 0]);
    log.start(asOffset(1000));
    append(log, 'de');
    expect([log.firstOffset, log.endOffset, log.histlen]).toEqual([1001, 1002, 2]);
  });
});

describe('a cursor', () => {
  test('at end + 1 has nothing to read, and reads on when bytes come', () => {
    const log = started(MIB, 1000);
    const cursor = log.openCursor(asOffset(1001));
    expect([cursor.lag, cursor.next(100)]).toEqual([0, 0]);
    append(log, 'hello');
    expect([cursor.lag, cursor.next(3), sliceText(cursor)]).toEqual([5, 3, 'hel']);
    cursor.advance(2);
    expect([cursor.offset, cursor.lag, cursor.next(100), sliceText(cursor)]).toEqual([
      1003,
      3,
      3,
      'llo',
    ]);
  });

  test('opens at any retained byte and nowhere else', () => {
    const log = started(MIB, 10);
    append(log, 'abcdef');
    expect(() => log.openCursor(asOffset(10))).toThrow('opens inside the log');
    expect(() => log.openCursor(asOffset(18))).toThrow('opens inside the log');
    const cursor = log.openCursor(asOffset(13));
    cursor.next(100);
    expect(sliceText(cursor)).toBe('cdef');
  });

  test('opens nowhere in what deferred bytes push out', () => {
    const log = started(BLOCK_BYTES_MIN);
    log.append(Buffer.alloc(2 * BLOCK_BYTES_MIN), 0, 2 * BLOCK_BYTES_MIN);
    const { firstOffset } = log;
    log.appendDeferred(Buffer.alloc(3 * BLOCK_BYTES_MIN), 0, 3 * BLOCK_BYTES_MIN);
    expect(log.readableFrom).toBeGreaterThan(firstOffset);
    log.closeCursor(log.openCursor(log.readableFrom));
  });

  test('takes no second slice while one is in flight', () => {
    const log = started(MIB);
    append(log, 'abc');
    const cursor = log.openCursor(asOffset(1));
    cursor.next(1);
    expect(() => cursor.next(1)).toThrow('one slice in flight');
    expect(() => cursor.advance(2)).toThrow('within its slice');
  });

  test('sees deferred bytes at once', () => {
    const log = started(MIB);
    const cursor = log.openCursor(asOffset(1));
    const buffer = text('one two ');
    log.appendDeferred(buffer, 0, 4);
    log.appendDeferred(buffer, 4, 8);
    expect(log.endOffset).toBe(8);
    expect([cursor.next(100), sliceText(cursor)]).toEqual([8, 'one two ']);
  });

  test('reads settled bytes although their buffer has been reused at the same positions', () => {
    const log = started(MIB);
    const buffer = text('one.two.');
    log.appendDeferred(buffer, 0, 4);
    log.settle();
    buffer.write('ONE.TWO.', 'latin1');
    log.appendDeferred(buffer, 4, 8);
    const cursor = log.openCursor(asOffset(1));
    cursor.next(100);
    expect(sliceText(cursor)).toBe('one.TWO.');
  });

  test('pins its block and what follows; both are counted once, and leave when it closes', () => {
    const log = started(32 * KIB);
    const block = new Uint8Array(BLOCK_BYTES_MIN);
    log.append(block, 0, block.length);
    const slow = [log.openCursor(asOffset(1)), log.openCursor(asOffset(1))];
    for (let i = 0; i < 9; i++) log.append(block, 0, block.length);
    expect([log.firstOffset, log.histlen, log.pinnedBytes]).toEqual([1, 160 * KIB, 128 * KIB]);
    log.closeCursor(slow[0]!);
    expect(log.firstOffset).toBe(1);
    log.closeCursor(slow[1]!);
    expect([log.histlen, log.pinnedBytes]).toEqual([32 * KIB, 0]);
  });

  test('closed with a write in flight keeps those bytes until the write is over', () => {
    const log = started(16 * KIB);
    const block = new Uint8Array(BLOCK_BYTES_MIN).fill(7);
    log.append(block, 0, block.length);
    const cursor = log.openCursor(asOffset(1));
    cursor.next(MIB);
    const inFlight = cursor.bytes.subarray(cursor.start, cursor.end);
    log.closeCursor(cursor);
    block.fill(9);
    for (let i = 0; i < 8; i++) log.append(block, 0, block.length);
    expect(inFlight.every((byte) => byte === 7)).toBe(true);
    expect(log.firstOffset).toBe(1);
    cursor.advance(0);
    expect(log.histlen).toBe(16 * KIB);
  });

  test('closed with a write in flight outlives the log itself', () => {
    const log = started(16 * KIB);
    append(log, 'in flight');
    const cursor = log.openCursor(asOffset(1));
    cursor.next(MIB);
    log.closeCursor(cursor);
    log.drop();
    log.start(asOffset(0));
    append(log, 'different');
    expect(sliceText(cursor)).toBe('in flight');
    cursor.advance(9);
    log.validate();
  });
});

test('blocks that left the window are recycled, and the pool is bounded', () => {
  const memory = new SharedMemory();
  const log = new StreamLog(16 * KIB, asOffset(0), memory);
  log.start(asOffset(0));
  const block = new Uint8Array(BLOCK_BYTES_MIN);
  const cursor = log.openCursor(asOffset(1));
  for (let i = 0; i < 40; i++) log.append(block, 0, block.length);
  log.closeCursor(cursor);
  const held = (): number[] => [
    memory.usedBytes(MemoryKind.LOG),
    log.memoryBytes + memory.pooledBytes,
  ];
  // One more is kept for a refusal.
  const expected = (): number[] => [log.memoryBytes + BLOCK_BYTES_MIN, (1 + 4) * BLOCK_BYTES_MIN];
  expect(held()).toEqual(expected());
  for (let i = 0; i < 40; i++) log.append(block, 0, block.length);
  expect(held()).toEqual(expected());
  log.drop();
  expect(memory.usedBytes(MemoryKind.LOG)).toBe(0);
});

test('a great step of the head is made in parts', () => {
  const log = started(16 * KIB);
  const block = new Uint8Array(BLOCK_BYTES_MIN);
  const cursor = log.openCursor(asOffset(1));
  for (let i = 0; i < 200; i++) log.append(block, 0, block.length);
  log.closeCursor(cursor);
  expect(log.histlen).toBe((200 - 64) * BLOCK_BYTES_MIN);
  expect([log.trim(), log.trim(), log.trim(), log.histlen]).toEqual([64, 64, 7, BLOCK_BYTES_MIN]);
});

test('a smaller backlog takes effect, a larger one retains more from then on', () => {
  const log = started(128 * KIB);
  const block = new Uint8Array(BLOCK_BYTES_MIN);
  for (let i = 0; i < 20; i++) log.append(block, 0, block.length);
  expect(log.histlen).toBeGreaterThanOrEqual(128 * KIB);
  log.backlogBytesMax = 16 * KIB;
  expect(log.histlen).toBeLessThan(128 * KIB);
  expect(log.histlen).toBeGreaterThanOrEqual(16 * KIB);
  log.backlogBytesMax = 64 * KIB;
  for (let i = 0; i < 20; i++) log.append(block, 0, block.length);
  expect(log.histlen).toBe(64 * KIB);
});

test('a reader may not begin before a lost block, though a slow one stands before it', () => {
  const log = started(64 * KIB);
  const block = new Uint8Array(BLOCK_BYTES_MIN);
  const slow = log.openCursor(asOffset(1));
  for (let i = 0; i < 4; i++) log.append(block, 0, block.length);
  append(log, 'tail');
  const second = log.beginPack()!;
  log.packed(second, block, 100, 0, 0);
  let wanted: Block | undefined;
  log.onWanted = (each) => {
    wanted = each;
  };
  const reader = log.openCursor(second.start);
  expect(reader.next(10)).toBe(0);
  log.lost(wanted!, log.takeBlock(wanted!));
  expect(reader.failed).toBe(true);
  log.closeCursor(reader);
  expect(log.firstOffset).toBe(1);
  const behind = second.start + second.used;
  expect([second.start, behind - 1, behind].map((offset) => log.covers(offset))).toEqual([
    false,
    false,
    true,
  ]);
  log.closeCursor(slow);
  expect(log.firstOffset).toBe(behind);
  log.validate();
});

test('does not grow because a block is being compressed, and leaves that its bytes', () => {
  const memory = new SharedMemory();
  const log = new StreamLog(64 * KIB, asOffset(0), memory);
  log.start(asOffset(0));
  const block = new Uint8Array(BLOCK_BYTES_MIN).fill(65);
  for (let i = 0; i < 2; i++) log.append(block, 0, block.length);
  const packing = log.beginPack()!;
  expect(packing.start).toBe(1);
  block.fill(66);
  for (let i = 0; i < 100; i++) log.append(block, 0, block.length);
  log.validate();
  expect(log.histlen).toBeLessThanOrEqual(64 * KIB + log.blockBytes);
  expect(packing.bytes.every((byte) => byte === 65)).toBe(true);
  const pooledBytes = memory.pooledBytes;
  log.packed(packing, block, 100, 0, 0);
  log.validate();
  expect(log.storedBytes).toBe(log.histlen);
  expect(memory.pooledBytes).toBe(pooledBytes + BLOCK_BYTES_MIN);
});

test('offsets beyond 2^32 and 2^40 stay exact', () => {
  const log = started(MIB, 2 ** 40);
  append(log, 'abc');
  const cursor = log.openCursor(asOffset(2 ** 40 + 2));
  cursor.next(10);
  expect([log.endOffset, sliceText(cursor)]).toEqual([2 ** 40 + 3, 'bc']);
});
