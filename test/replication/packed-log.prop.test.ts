/**
 * The log with blocks that are compressed and expanded at any moment, beside a plain buffer of
 * everything ever appended.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { asOffset, KIB } from '../../src/base/units.ts';
import type { Block, StreamCursor } from '../../src/replication/log-cursor.ts';
import { StreamLog } from '../../src/replication/stream-log.ts';
import { testSeed } from '../support/seed.ts';

interface Reader {
  readonly cursor: StreamCursor;
  next: number;
  /** Bytes in flight. */
  taken: number;
}

const BACKLOG = 128 * KIB;

describe('a log with compressed blocks', () => {
  for (let round = 0; round < 6; round++) {
    test(`round ${round}`, () => {
      const random = new Prng(testSeed('packed log') + round);
      const log = new StreamLog(BACKLOG, asOffset(0));
      log.start(asOffset(0));
      const everything = Buffer.alloc(8 * 1024 * KIB);
      let length = 0;
      const readers: Reader[] = [];
      /** Work that a worker has not ended. */
      const packing: Block[] = [];
      const wanted: Block[] = [];
      let expanded = 0;
      let mostRaw = 0;
      log.onWanted = (block) => wanted.push(block);

      const endPack = (): void => {
        const block = packing.shift();
        if (block === undefined) return;
        const bytes = block.bytes.slice(0, block.used);
        const packed = deflateRawSync(bytes);
        const what = random.below(10);
        if (what === 0) log.packed(block, packed, -1, 0, 0);
        else if (what === 1) log.packed(block, packed, 0, 0, 0);
        else log.packed(block, packed, packed.length, 0, 0);
      };
      const endUnpack = (): void => {
        const block = wanted.shift();
        if (block?.packed === undefined) return;
        const parts = block.packed.pieces.map(({ slab, start, length: bytes }) =>
          slab.bytes.slice(start, start + bytes),
        );
        const memory = log.takeBlock(block);
        new Uint8Array(memory).set(inflateRawSync(Buffer.concat(parts)));
        log.unpacked(block, memory);
        expanded++;
      };
      const read = (reader: Reader): void => {
        const { cursor } = reader;
        if (reader.taken > 0) {
          // The slice is still what it was.
          const now = cursor.bytes.slice(cursor.start, cursor.start + reader.taken);
          expect(
            Buffer.from(now).equals(
              everything.subarray(reader.next - 1, reader.next - 1 + reader.taken),
            ),
          ).toBe(true);
          const confirmed = random.below(4) === 0 ? random.below(reader.taken + 1) : reader.taken;
          cursor.advance(confirmed);
          reader.next += confirmed;
          reader.taken = 0;
          return;
        }
        reader.taken = cursor.next(1 + random.below(40 * KIB));
        if (reader.taken === 0) expect(cursor.lag === 0 || cursor.isWaiting).toBe(true);
      };

      for (let step = 0; step < 2000; step++) {
        const what = random.below(100);
        if (what < 40) {
          const count = random.below(3000);
          if (length + count > everything.length) break;
          // Half of it repeats itself.
          for (let i = 0; i < count; i++)
            everything[length + i] = i % 2 === 0 ? 65 : random.below(8) === 0 ? random.u32() : 66;
          log.append(everything, length, length + count);
          length += count;
        } else if (what < 50) {
          const block = log.beginPack();
          if (block !== undefined) packing.push(block);
        } else if (what < 62) {
          endPack();
        } else if (what < 70) {
          endUnpack();
        } else if (what < 75 && readers.length < 12) {
          const offset = log.firstOffset + random.below(log.histlen + 1);
          readers.push({ cursor: log.openCursor(asOffset(offset)), next: offset, taken: 0 });
        } else if (what < 97 && readers.length > 0) {
          read(readers[random.below(readers.length)]!);
        } else if (readers.length > 0) {
          const [reader] = readers.splice(random.below(readers.length), 1);
          log.closeCursor(reader!.cursor);
          if (reader!.taken > 0) reader!.cursor.advance(0);
        }
        log.validate();
        mostRaw = Math.max(mostRaw, log.histlen);
        expect(log.endOffset).toBe(length);
        for (const { cursor, next } of readers) expect(cursor.offset).toBe(next);
      }
      expect(expanded).toBeGreaterThan(0);
      expect(mostRaw).toBeGreaterThan(BACKLOG * 1.5);

      while (packing.length > 0) endPack();
      for (const reader of readers) {
        while (reader.cursor.lag > 0 || reader.taken > 0) {
          read(reader);
          if (reader.cursor.isWaiting) endUnpack();
        }
        log.closeCursor(reader.cursor);
      }
      while (wanted.length > 0) endUnpack();
      while (log.trim() > 0);
      // Nothing is pinned: what is stored is the backlog and less than a block.
      expect(log.storedBytes).toBeLessThan(BACKLOG + log.blockBytes);
      log.drop();
      expect(log.memoryBytes).toBe(0);
    });
  }
});

test('bytes that are lost end who stands there, and the history begins behind them', () => {
  const log = new StreamLog(64 * KIB, asOffset(0));
  log.start(asOffset(0));
  let wanted: Block | undefined;
  log.onWanted = (block) => {
    wanted = block;
  };
  const bytes = new Uint8Array(20 * KIB).fill(65);
  for (let i = 0; i < 6; i++) log.append(bytes, 0, bytes.length);
  const first = log.firstOffset;
  let block = log.beginPack()!;
  while (block.start !== first) {
    log.packed(block, block.bytes, 0, 0, 0);
    block = log.beginPack()!;
  }
  log.packed(block, new Uint8Array(100), 100, 1, 2);
  const cursor = log.openCursor(first);
  let called = 0;
  cursor.onReady = () => {
    called++;
    log.closeCursor(cursor);
  };
  expect(cursor.next(1000)).toBe(0);
  expect(cursor.isWaiting).toBe(true);
  log.lost(wanted!, log.takeBlock(wanted!));
  expect(called).toBe(1);
  expect(cursor.failed).toBe(true);
  expect(log.firstOffset).toBe(block.start + block.used);
  log.validate();
});

test('the newest sealed block is compressed first, since the oldest leave first', () => {
  const log = new StreamLog(64 * KIB, asOffset(0));
  log.start(asOffset(0));
  const bytes = new Uint8Array(log.blockBytes);
  for (let i = 0; i < 3; i++) log.append(bytes, 0, bytes.length);
  log.append(bytes, 0, 1);
  const starts: number[] = [];
  for (let block = log.beginPack(); block !== undefined; block = log.beginPack()) {
    starts.push(block.start);
    log.packed(block, bytes, 100, 0, 0);
  }
  expect(starts).toEqual([2, 1, 0].map((nth) => 1 + nth * log.blockBytes));
  log.validate();
});
