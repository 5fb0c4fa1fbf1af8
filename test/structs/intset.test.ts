/** Bytes, widths, what is refused, and random operations beside a plain set. */
import { describe, expect, test } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT } from '../../src/arena/layout.ts';
import { Prng } from '../../src/base/prng.ts';
import { MIB, type Ref } from '../../src/base/units.ts';
import { Int64 } from '../../src/structs/int64.ts';
import { Intset } from '../../src/structs/intset.ts';
import { NOT_FOUND, validateIntset } from '../../src/structs/intset-read.ts';
import { testSeed } from '../support/seed.ts';

const highOf = (value: bigint): number => Number(BigInt.asIntN(32, value >> 32n));
const lowOf = (value: bigint): number => Number(BigInt.asIntN(32, value));

class Fixture {
  readonly arena = new Arena();
  readonly intset = new Intset(this.arena);

  add(ref: Ref, value: bigint): Ref {
    return this.intset.add(ref, highOf(value), lowOf(value));
  }

  remove(ref: Ref, value: bigint): Ref {
    return this.intset.remove(ref, highOf(value), lowOf(value));
  }

  of(values: readonly bigint[]): Ref {
    let ref = this.intset.create();
    for (const value of values) ref = this.add(ref, value);
    return ref;
  }

  values(ref: Ref): bigint[] {
    const out = new Int64();
    return Array.from({ length: this.intset.count(ref) }, (_, index) => {
      this.intset.get(ref, index, out);
      return (BigInt(out.high) << 32n) + BigInt(out.low >>> 0);
    });
  }

  hex(ref: Ref): string {
    const base = bytePosition(ref);
    const bytes = this.arena.u8[ref >>> SEGMENT_SHIFT]!.slice(
      base,
      base + this.intset.byteLength(ref),
    );
    return Buffer.from(bytes).toString('hex');
  }
}

test.each([
  ['nothing', [], '0200000000000000'],
  ['16 bits', [3n, -1n, 32767n, -32768n], '02000000040000000080ffff0300ff7f'],
  ['32 bits, from above', [1n, 32768n], '04000000020000000100000000800000'],
  ['32 bits, from below', [1n, -32769n], '0400000002000000ff7fffff01000000'],
  ['64 bits, from above', [1n, 2147483648n], '080000000200000001000000000000000000008000000000'],
  ['64 bits, from below', [-1n, -2147483649n], '0800000002000000ffffff7fffffffffffffffffffffffff'],
])('the bytes of %s', (_, values, expected) => {
  const fixture = new Fixture();
  const ref = fixture.of(values);
  expect(fixture.hex(ref)).toBe(expected);
  fixture.intset.validate(ref);
});

test('a removal tells whether there was something, and keeps the width', () => {
  const fixture = new Fixture();
  let ref = fixture.of([1n, 1n << 40n]);
  ref = fixture.remove(ref, 2n);
  expect(fixture.intset.changed).toBe(false);
  ref = fixture.remove(ref, 1n << 40n);
  expect([fixture.intset.changed, fixture.intset.width(ref), fixture.values(ref)]).toEqual([
    true,
    8,
    [1n],
  ]);
});

describe('validation', () => {
  test.each([
    ['one', '02000000 01000000 0100', true],
    ['a width of 3', '03000000 01000000 010000', false],
    ['a width of 0', '00000000 01000000', false],
    ['none', '02000000 00000000', false],
    ['a count too high', '02000000 02000000 0100', false],
    ['a count too low', '02000000 01000000 0100 0200', false],
    ['a count whose bytes pass 32 bits', '08000000 00000020', false],
    ['descending', '02000000 02000000 0200 0100', false],
    ['twice the same', '02000000 02000000 0200 0200', false],
    ['ascending by sign', '02000000 02000000 ffff 0100', true],
    ['ascending without sign', '02000000 02000000 0100 ffff', false],
    ['64 bits in the low half', '08000000 02000000 ffffff7f00000000 0000008000000000', true],
    ['half a header', '02000000 0100', false],
  ])('of %s', (_, text, valid) => {
    const bytes = Uint8Array.from(Buffer.from(`00${text.replaceAll(' ', '')}`, 'hex'));
    expect(validateIntset(bytes, 1, bytes.length - 1)).toBe(valid);
  });
});

const STEPS = 6000;
const FREEZE_EVERY = 300;

test('an intset is the set of what was put into it', () => {
  const prng = new Prng(testSeed('intset'));
  const fixture = new Fixture();
  const { arena, intset } = fixture;
  let ref = intset.create();
  let model = new Set<bigint>();
  for (let step = 0; step < STEPS; step++) {
    if (step % FREEZE_EVERY === 0)
      arena.freeze(
        64 * MIB,
        () => {},
        () => {
          throw new Error('the image was lost');
        },
      );
    // Wider as the rounds go on; a fresh set now and then.
    const bits = BigInt(8 + prng.below(Math.min(57, 4 + (step % 1500) / 20)));
    const value = BigInt.asIntN(Number(bits), (BigInt(prng.u32()) << 32n) | BigInt(prng.u32()));
    const had = model.has(value);
    const grows = prng.below(model.size > 80 ? 3 : 2) === 0;
    if (grows) {
      ref = fixture.add(ref, value);
      expect(intset.changed).toBe(!had);
      model.add(value);
    } else {
      const known = [...model][prng.below(Math.max(1, model.size))] ?? value;
      ref = fixture.remove(ref, known);
      expect(intset.changed).toBe(model.delete(known));
    }
    const sorted = [...model].sort((a, b) => (a < b ? -1 : 1));
    intset.validate(ref);
    expect(fixture.values(ref)).toEqual(sorted);
    const index = sorted.indexOf(value);
    expect(intset.find(ref, highOf(value), lowOf(value))).toBe(index < 0 ? NOT_FOUND : index);
    if (model.size > 0) expect(intset.random(ref, prng)).toBeLessThan(model.size);
    if (step % FREEZE_EVERY === FREEZE_EVERY / 2) arena.thaw();
    if (step % 1500 === 1499) {
      intset.free(ref);
      ref = intset.create();
      model = new Set();
    }
  }
  arena.validate();
  intset.free(ref);
  expect(arena.usedBytes).toBe(0);
});

test('a range is removed, and the block given up', () => {
  const fixture = new Fixture();
  const { arena, intset } = fixture;
  let ref = fixture.of(Array.from({ length: 1000 }, (_, i) => BigInt(i)));
  const full = arena.blockBytes(ref);
  ref = intset.removeRange(ref, 10, 980);
  expect(fixture.values(ref)).toEqual(
    [...Array(10).keys(), ...Array(10).keys()].map((i, at) => BigInt(at < 10 ? i : 990 + i)),
  );
  expect(arena.blockBytes(ref)).toBeLessThan(full / 2);
  const copy = intset.copy(ref);
  expect(fixture.hex(copy)).toBe(fixture.hex(ref));
});
