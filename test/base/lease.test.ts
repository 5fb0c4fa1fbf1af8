import { describe, expect, test } from 'vitest';
import { Lease, poison } from '../../src/base/lease.ts';

/** A borrower that collects what it has copied. */
function borrower(): { lease: Lease; copied: string[] } {
  const copied: string[] = [];
  const lease: Lease = new Lease(() => {
    copied.push(Buffer.from(lease.bytes.slice(lease.start, lease.end)).toString('latin1'));
    lease.over();
  });
  return { lease, copied };
}

describe('a lease', () => {
  test('is settled before the owner overwrites the buffer', () => {
    const { lease, copied } = borrower();
    const buffer = Buffer.from('one two');
    lease.take(buffer, 4, 7);
    expect(lease.size).toBe(3);
    lease.reclaim(buffer);
    buffer.fill(0);
    expect(copied).toEqual(['two']);
    expect(lease.size).toBe(0);
  });

  test('on another buffer stays out', () => {
    const { lease, copied } = borrower();
    lease.take(Buffer.from('one'), 0, 3);
    lease.reclaim(Buffer.from('one'));
    expect(copied).toEqual([]);
    expect(lease.size).toBe(3);
  });

  test('is settled once', () => {
    const { lease, copied } = borrower();
    const buffer = Buffer.from('one');
    lease.take(buffer, 0, 3);
    lease.reclaim(buffer);
    lease.reclaim(buffer);
    expect(copied).toEqual(['one']);
  });

  test('is one at a time', () => {
    const { lease } = borrower();
    lease.take(Buffer.from('one'), 0, 3);
    expect(() => lease.take(Buffer.from('two'), 0, 3)).toThrow('one lease at a time');
  });
});

test('what was given back is overwritten in the debug mode', () => {
  const buffer = Buffer.from('abcdef');
  poison(buffer, 2, 4);
  expect(buffer.toString('latin1')).toBe('ab\xdb\xdbef');
  poison(buffer);
  expect(new Set(buffer)).toEqual(new Set([0xdb]));
});
