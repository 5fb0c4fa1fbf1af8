import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { asOffset, KIB } from '../../src/base/units.ts';
import type { StreamCursor } from '../../src/replication/log-cursor.ts';
import { BLOCK_BYTES_MIN, StreamLog } from '../../src/replication/stream-log.ts';
import { testSeed } from '../support/seed.ts';

interface Reader {
  readonly cursor: StreamCursor;
  /** Offset of the next byte by the model's reckoning. */
  next: number;
  /** A slice in flight, with the bytes that it had when it was taken. */
  taken: { bytes: Uint8Array; start: number; end: number; copy: Buffer } | null;
}

describe('StreamLog beside a plain buffer of everything ever appended', () => {
  for (let round = 0; round < 6; round++) {
    test(`round ${round}`, () => {
      const random = new Prng(testSeed('stream log') + round);
      const first = round % 3 === 0 ? 0 : random.below(1_000_000);
      const log = new StreamLog(64 * KIB, asOffset(first));
      log.start(asOffset(first));
      const everything = Buffer.alloc(16 * 1024 * KIB);
      let length = 0;
      let readers: Reader[] = [];
      /** Writes of closed cursors that are still in flight. */
      let orphans: Reader[] = [];
      const source = new Uint8Array(96 * KIB);
      const at = (offset: number): number => offset - first - 1;
      /** What was retained when trimming last had the chance to finish. */
      const settleTrim = (): void => {
        while (log.trim() > 0);
      };
      const checkTaken = (reader: Reader): void => {
        const { bytes, start, end, copy } = reader.taken!;
        expect(copy.equals(Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start))).toBe(
          true,
        );
      };

      for (let step = 0; step < 2000; step++) {
        const what = random.below(100);
        if (what < 40) {
          const count = random.below(20) === 0 ? random.below(source.length) : random.below(400);
          if (length + count > everything.length) continue;
          for (let i = 0; i < count; i += 7) source[i] = random.u32();
          everything.set(source.subarray(0, count), length);
          length += count;
          if (what < 20) {
            log.append(source, 0, count);
          } else {
            // As pipelined commands side by side in a read buffer.
            const middle = random.below(count + 1);
            log.appendDeferred(source, 0, middle);
            log.appendDeferred(source, middle, count);
            if (random.below(2) === 0 || readers.length === 0) log.settle();
            else takeSlice(readers[random.below(readers.length)]!);
            log.settle();
          }
        } else if (what < 45 && readers.length < 40) {
          const offset = log.firstOffset + random.below(log.histlen + 2);
          if (log.covers(offset))
            readers.push({ cursor: log.openCursor(asOffset(offset)), next: offset, taken: null });
        } else if (what < 90 && readers.length > 0) {
          const reader = readers[random.below(readers.length)]!;
          if (reader.taken === null) takeSlice(reader);
          else confirm(reader);
        } else if (what < 94 && readers.length > 0) {
          const [reader] = readers.splice(random.below(readers.length), 1);
          log.closeCursor(reader!.cursor);
          if (reader!.taken !== null) orphans.push(reader!);
        } else if (what < 96) {
          for (const orphan of orphans) {
            checkTaken(orphan);
            orphan.cursor.advance(0);
          }
          orphans = [];
        } else if (what < 98) {
          log.backlogBytesMax = 1 + random.below(1024 * KIB);
        } else if (what === 98 && random.below(40) === 0) {
          for (const { cursor, taken } of readers) {
            log.closeCursor(cursor);
            if (taken !== null) cursor.advance(0);
          }
          readers = [];
          settleTrim();
          // Nothing is pinned but what orphans hold: the window is the backlog and less than a
          // block (of any past size).
          if (orphans.length === 0) expect(log.pinnedBytes).toBeLessThan(1024 * KIB);
        }

        log.validate();
        expect(log.endOffset).toBe(first + length);
        expect(log.histlen).toBeLessThanOrEqual(length);
        expect(log.openCursors).toBe(readers.length);
        // Plain comparisons: a matcher per reader and step costs most of the test's time.
        for (const { cursor, next } of readers) {
          if (
            cursor.offset !== next ||
            !log.covers(next) ||
            cursor.lag !== first + length - next + 1
          ) {
            expect.fail(
              `step ${step}: a reader at ${next} lost its place, cursor at ${cursor.offset}`,
            );
          }
        }
      }

      // Every reader can go on to the end, and reads what was appended.
      for (const reader of readers) {
        if (reader.taken !== null) confirm(reader);
        while (reader.cursor.lag > 0) {
          takeSlice(reader);
          confirm(reader);
        }
        log.closeCursor(reader.cursor);
      }
      for (const orphan of orphans) orphan.cursor.advance(0);
      log.drop();
      expect(log.memoryBytes).toBe(0);

      function takeSlice(reader: Reader): void {
        if (reader.taken !== null) return;
        const { cursor } = reader;
        const count = cursor.next(1 + random.below(300 * KIB));
        if (count === 0) {
          expect(cursor.lag).toBe(0);
          return;
        }
        expect(cursor.end - cursor.start).toBe(count);
        const copy = Buffer.from(cursor.bytes.subarray(cursor.start, cursor.end));
        expect(copy.equals(everything.subarray(at(reader.next), at(reader.next) + count))).toBe(
          true,
        );
        reader.taken = { bytes: cursor.bytes, start: cursor.start, end: cursor.end, copy };
      }

      function confirm(reader: Reader): void {
        checkTaken(reader);
        const { start, end } = reader.taken!;
        const bytes = random.below(4) === 0 ? random.below(end - start + 1) : end - start;
        reader.cursor.advance(bytes);
        reader.next += bytes;
        reader.taken = null;
      }
    });
  }

  test('the backlog never retains less than its size, nor a block more when nothing pins it', () => {
    const random = new Prng(testSeed('backlog window'));
    const log = new StreamLog(100 * KIB, asOffset(0));
    log.start(asOffset(0));
    const source = new Uint8Array(8 * KIB);
    for (let step = 0; step < 5000; step++) {
      log.append(source, 0, 1 + random.below(source.length));
      expect(log.histlen).toBeGreaterThanOrEqual(Math.min(100 * KIB, log.endOffset));
      expect(log.histlen).toBeLessThan(100 * KIB + 2 * BLOCK_BYTES_MIN + source.length);
    }
    expect(log.firstOffset).toBe(log.endOffset - log.histlen + 1);
  });
});
