/**
 * Large arguments that are read to where the reader wants them, mixed with chunks of all clients,
 * as a socket brings them. What runs is what was sent, what the stream log borrows reaches it, and
 * no buffer goes back to the pool while the system may write to it.
 */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { asOffset, MIB } from '../../src/base/units.ts';
import { StreamLog } from '../../src/replication/stream-log.ts';
import { BufferPool } from '../../src/resp/buffer-pool.ts';
import { defaultLimits, Parse, RequestReader } from '../../src/resp/parser.ts';
import { testSeed } from '../support/seed.ts';
import { multibulk } from './requests.ts';

const SHARED_BYTES = 64 * 1024;

/** Requests of all sizes, some with several large arguments. */
function requestOf(prng: Prng, number: number): Buffer {
  const size = (): number => {
    const kind = prng.below(20);
    if (kind < 12) return prng.below(100);
    if (kind < 18) return prng.below(200_000);
    return prng.below(6 * MIB);
  };
  const words = ['MSET', `k${number}`, `${number}.`.padEnd(size(), 'x')];
  if (prng.below(4) === 0) words.push(`l${number}`, `${number}:`.padEnd(size(), 'y'));
  return Buffer.from(multibulk(words), 'latin1');
}

describe('what is read to a target', () => {
  test.each([1, 2, 3, 4])('is run as it was sent, round %i', (round) => {
    const prng = new Prng(testSeed(`targets ${round}`));
    const pool = new BufferPool();
    const log = new StreamLog(64 * MIB, asOffset(0));
    log.start(asOffset(0));
    const reader = new RequestReader(defaultLimits(), log.lease, pool);
    const requests = Array.from({ length: 150 }, (_, i) => requestOf(prng, i));
    const all = Buffer.concat(requests);
    const shared = Buffer.alloc(SHARED_BYTES);
    let sent = 0;
    let run = 0;
    let position = 0;
    let direct = 0;
    let target: Uint8Array | undefined;
    while (sent < all.length) {
      const into = target ?? shared;
      const most = prng.below(3) === 0 ? 1 + prng.below(into.length) : into.length;
      const count = Math.min(most, all.length - sent);
      into.set(all.subarray(sent, sent + count));
      sent += count;
      if (target === undefined) reader.push(shared, 0, count);
      else {
        reader.filled(count);
        direct += count;
      }
      while (reader.next() === Parse.REQUEST) {
        const { bytes, start, end } = reader.request;
        const expected = all.subarray(position, position + end - start);
        if (Buffer.compare(Buffer.from(bytes.subarray(start, end)), expected) !== 0)
          throw new Error(`request ${run} differs`);
        position += end - start;
        log.appendDeferred(bytes, start, end);
        run++;
      }
      log.settle();
      reader.keep();
      shared.fill(0xee);
      target = reader.target();
    }
    expect(run).toBe(requests.length);
    expect(direct).toBeGreaterThan(all.length / 3);
    log.validate();
    expect(log.endOffset).toBe(all.length);
    reader.release();
    expect(reader.ownBytes).toBe(0);
    reader.release();
  });

  const head = Buffer.from(`*2\r\n$3\r\nGET\r\n$${MIB}\r\n${'x'.repeat(1000)}`);

  /** A reader in the middle of a large argument. */
  function waiting(pool: BufferPool): RequestReader {
    const reader = new RequestReader(defaultLimits(), undefined, pool);
    reader.push(head, 0, head.length);
    expect(reader.next()).toBe(Parse.MORE);
    reader.keep();
    return reader;
  }

  test('ends where the argument ends, and is read once', () => {
    const pool = new BufferPool();
    const reader = waiting(pool);
    const target = reader.target()!;
    expect(target).toHaveLength(MIB + 2 - 1000);
    target.fill(0x79).set([13, 10], target.length - 2);
    reader.filled(target.length);
    expect(reader.next()).toBe(Parse.REQUEST);
    // Where it was read to is where the command finds it.
    expect(reader.request.bytes.buffer).toBe(target.buffer);
    expect(reader.request.length[1]).toBe(MIB);
    expect(reader.target()).toBeUndefined();
    reader.keep();
    expect(reader.ownBytes).toBe(0);
    expect(pool.heldBytes).toBeGreaterThan(MIB);
  });

  test('stays out of the pool while the system may write to it', () => {
    const pool = new BufferPool();
    const reader = waiting(pool);
    const target = reader.target()!;
    reader.release();
    expect(pool.heldBytes).toBe(0);
    // Nobody else gets these bytes, so a late write does no harm.
    const other = pool.take(MIB);
    expect(other.buffer).not.toBe(target.buffer);
    const second = waiting(pool);
    second.target();
    second.filled(10);
    second.release();
    expect(pool.heldBytes).toBeGreaterThan(0);
  });

  test('does not move while the system may write to it', () => {
    const reader = waiting(new BufferPool());
    reader.target();
    expect(() => reader.filled(MIB)).not.toThrow();
    expect(() => reader.filled(1)).toThrow('what is filled was asked for');
  });

  test('is not offered for what is short, or before a length is known', () => {
    const reader = new RequestReader(defaultLimits(), undefined, new BufferPool());
    for (const text of [
      '*2\r\n$3\r\nGET\r\n$30000\r\nabc',
      'd'.repeat(29_997),
      '\r\n*2\r\n$',
      '3\r\nGET\r\n$999999',
    ]) {
      const bytes = Buffer.from(text);
      reader.push(bytes, 0, bytes.length);
      while (reader.next() === Parse.REQUEST);
      reader.keep();
      expect(reader.target()).toBeUndefined();
    }
  });
});
