/**
 * Bytes of requests that somebody copies later: whatever a reader does to its buffer meanwhile, the
 * copies are those of the requests that were run. The borrower is the stream log, as in a node:
 * without the reader's `reclaim` the log holds parts of other requests, and offsets agree all the
 * same.
 */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { asOffset } from '../../src/base/units.ts';
import { StreamLog } from '../../src/replication/stream-log.ts';
import { defaultLimits, Parse, RequestReader } from '../../src/resp/parser.ts';
import { testSeed } from '../support/seed.ts';
import { multibulk } from './requests.ts';

/** All bytes that the log holds. */
function streamOf(log: StreamLog): string {
  const cursor = log.openCursor(asOffset(1));
  let text = '';
  for (let count = cursor.next(1 << 20); count > 0; count = cursor.next(1 << 20)) {
    text += Buffer.from(cursor.bytes.slice(cursor.start, cursor.end)).toString('latin1');
    cursor.advance(count);
  }
  log.closeCursor(cursor);
  return text;
}

function request(random: Prng, number: number): string {
  const bytes = random.below(50) === 0 ? random.below(20_000) : random.below(40);
  return multibulk(['SET', `k${number}`, `${number}.`.padEnd(bytes, 'x')]);
}

describe('what is lent of a read buffer', () => {
  test.each([1, 2, 3, 4, 5])('reaches the log as it was run, round %i', (round) => {
    const random = new Prng(testSeed(`leased requests ${round}`));
    const log = new StreamLog(1 << 27, asOffset(0));
    log.start(asOffset(0));
    const reader = new RequestReader(defaultLimits(), log.lease);
    const all = Array.from({ length: 3000 }, (_, i) => request(random, i)).join('');
    // One buffer for all reads, as the sockets of a node have it.
    const shared = Buffer.alloc(8 * 1024);
    let sent = 0;
    let run = 0;
    while (sent < all.length) {
      const count = Math.min(1 + random.below(shared.length), all.length - sent);
      shared.write(all.slice(sent, sent + count), 'latin1');
      sent += count;
      reader.push(shared, 0, count);
      // A turn runs some requests and leaves the others in the reader, as a turn of a node does.
      const some = random.below(3) === 0 ? random.below(60) : Number.POSITIVE_INFINITY;
      for (let left = some; left > 0 && reader.next() === Parse.REQUEST; left--) {
        log.appendDeferred(reader.request.bytes, reader.request.start, reader.request.end);
        run++;
      }
      log.settle();
      reader.keep();
      shared.fill(0xee);
    }
    while (reader.next() === Parse.REQUEST) {
      log.appendDeferred(reader.request.bytes, reader.request.start, reader.request.end);
      run++;
    }
    reader.keep();
    log.settle();
    expect(run).toBe(3000);
    expect(streamOf(log) === all).toBe(true);
  });

  test('survives a reader that makes room by moving', () => {
    const log = new StreamLog(1 << 20, asOffset(0));
    log.start(asOffset(0));
    const reader = new RequestReader(defaultLimits(), log.lease);
    const request = (n: number): string => multibulk(['INCR', `k${n}`.padEnd(10, '.')]);
    const requests = Array.from({ length: 300 }, (_, i) => request(i));
    const all = requests.join('');
    const push = (from: number, to: number): void => {
      const chunk = Buffer.from(all.slice(from, to), 'latin1');
      reader.push(chunk, 0, chunk.length);
    };
    let run = 0;
    const runAll = (): void => {
      while (reader.next() === Parse.REQUEST) {
        log.appendDeferred(reader.request.bytes, reader.request.start, reader.request.end);
        run++;
      }
    };
    // Twice as large as what it keeps first, and then full to the last bytes.
    const bytes = requests[0]!.length;
    push(0, bytes * 40);
    reader.keep();
    const capacity = reader.ownBytes;
    runAll();
    log.settle();
    reader.keep();
    push(bytes * 40, bytes * 40 + capacity - 4);
    reader.keep();
    expect(reader.ownBytes).toBe(capacity);
    push(bytes * 40 + capacity - 4, all.length);
    runAll();
    log.settle();
    reader.keep();
    expect(run).toBe(300);
    expect(streamOf(log)).toBe(all);
  });
});
