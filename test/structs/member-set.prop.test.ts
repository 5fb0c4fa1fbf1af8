/**
 * Random operations on sets of all forms beside a Set, with images of the arena begun and checked
 * in between.
 */
import { expect, test } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { bytesOf, latin1 } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { MIB } from '../../src/base/units.ts';
import { Intset } from '../../src/structs/intset.ts';
import { Listpack } from '../../src/structs/listpack.ts';
import { MemberSet, SetForm, type SetLimits } from '../../src/structs/member-set.ts';
import { MemberTable } from '../../src/structs/member-table.ts';
import { testSeed } from '../support/seed.ts';
import { randomText } from './listpack-fixture.ts';

const LIMITS: SetLimits = {
  setMaxIntsetEntries: 512,
  setMaxListpackEntries: 128,
  setMaxListpackValue: 64,
};
const WIDE = [
  '9223372036854775807',
  '-9223372036854775808',
  '9223372036854775808',
  '-0',
  '01',
  '',
  ' 1',
];

const ignore = (): void => {};

class Pair {
  readonly arena = new Arena();
  readonly tables = new MemberTable(this.arena, 1, 2);
  readonly #intsets = new Intset(this.arena);
  readonly #listpacks = new Listpack(this.arena);
  readonly set = this.newSet();
  readonly model = new Set<string>();
  readonly #limits: SetLimits;

  constructor(limits: SetLimits, form: SetForm) {
    this.#limits = limits;
    this.set.create(form);
  }

  newSet(): MemberSet {
    return new MemberSet(this.arena, this.#intsets, this.#listpacks, this.tables);
  }

  add(text: string): void {
    const bytes = bytesOf(`_${text}_`);
    expect(this.set.has(bytes, 1, text.length)).toBe(this.model.has(text));
    expect(this.set.add(bytes, 1, text.length, this.#limits)).toBe(!this.model.has(text));
    this.model.add(text);
  }

  remove(text: string): void {
    expect(this.set.remove(bytesOf(text), 0, text.length)).toBe(this.model.delete(text));
  }

  removeAtRandom(prng: Prng): void {
    if (this.model.size === 0) return;
    this.set.random(prng);
    const text = textOf(this.set);
    expect(latin1(this.set.copyMember(), 0, text.length)).toBe(text);
    this.set.removeCurrent();
    expect(this.model.delete(text)).toBe(true);
  }

  check(set = this.set): void {
    set.validate();
    expect(set.count()).toBe(this.model.size);
    const seen: string[] = [];
    for (let more = set.first(); more; more = set.next()) seen.push(textOf(set));
    expect(seen.length).toBe(this.model.size);
    expect(new Set(seen)).toEqual(this.model);
    const scanned = new Set<string>();
    let cursor = 0;
    do cursor = set.scan(cursor, () => void scanned.add(textOf(set)));
    while (cursor !== 0);
    expect(scanned).toEqual(this.model);
  }

  checkCopy(): void {
    const copy = this.newSet();
    copy.open(this.set.copy(), this.set.form);
    this.check(copy);
    copy.reduceToIntset(this.#limits);
    this.check(copy);
    const integers = [...this.model].every((text) => /^(0|-?[1-9]\d{0,17})$/.test(text));
    if (integers && this.model.size <= this.#limits.setMaxIntsetEntries)
      expect(copy.form).toBe(SetForm.INTSET);
    if (copy.form !== SetForm.TABLE) copy.enlarge();
    this.check(copy);
    copy.free();
  }
}

function textOf(set: MemberSet): string {
  const { bytes, position, length } = set.member();
  return latin1(bytes, position, length);
}

test.each([
  ['integers', SetForm.INTSET, LIMITS, 40, 0],
  ['many integers', SetForm.INTSET, { ...LIMITS, setMaxIntsetEntries: 50 }, 150, 0],
  ['integers, then texts', SetForm.INTSET, LIMITS, 60, 20],
  ['few texts', SetForm.LISTPACK, LIMITS, 60, 1],
  ['many texts', SetForm.LISTPACK, { ...LIMITS, setMaxListpackEntries: 30 }, 400, 1],
  ['a table', SetForm.TABLE, LIMITS, 1000, 1],
] as const)('a set of %s is a Set', (_, form, limits, members, texts) => {
  const prng = new Prng(testSeed('member-set'));
  for (let round = 0; round < 2; round++) {
    const pair = new Pair(limits, form);
    const choices = Array.from({ length: members }, (_value, i) => {
      if (texts > 0 && prng.below(texts) === 0)
        return i < WIDE.length ? WIDE[i]! : randomText(prng, 60);
      return String(Math.floor((prng.float() - 0.5) * 10 ** prng.below(16)) || 0);
    });
    for (let step = 0; step < 1200; step++) {
      const text = choices[prng.below(members)]!;
      const kind = prng.below(10);
      if (kind < 6) pair.add(text);
      else if (kind < 9) pair.remove(text);
      else pair.removeAtRandom(prng);
      if (step % 80 === 0) pair.arena.freeze(64 * MIB, ignore, ignore);
      if (step % 80 === 40) {
        pair.arena.thaw();
        pair.check();
        if (step % 400 === 40) pair.checkCopy();
      }
    }
    pair.set.free();
    expect(pair.arena.usedBytes).toBe(0);
  }
});

const nine = ['1', '2', '3', '4', '5', '6', '7', '8', '9'];

test.each([
  ['the first integer', LIMITS, [], '5', SetForm.INTSET],
  ['a text in a few integers', LIMITS, nine, 'a', SetForm.LISTPACK],
  [
    'a text in as many integers as a listpack has',
    { ...LIMITS, setMaxListpackEntries: 9 },
    nine,
    'a',
    SetForm.TABLE,
  ],
  ['the last text', { ...LIMITS, setMaxListpackEntries: 10 }, nine, 'a', SetForm.LISTPACK],
  ['a long text', LIMITS, nine, 'a'.repeat(65), SetForm.TABLE],
  [
    'a text beside a long integer',
    { ...LIMITS, setMaxListpackValue: 3 },
    ['-100'],
    'a',
    SetForm.TABLE,
  ],
  ['an integer too many', { ...LIMITS, setMaxIntsetEntries: 9 }, nine, '10', SetForm.TABLE],
  ['a text too many', { ...LIMITS, setMaxListpackEntries: 2 }, ['a', 'b'], 'c', SetForm.TABLE],
  ['an integer among texts', LIMITS, ['a'], '1', SetForm.LISTPACK],
] as const)('%s decides the form', (_, limits, members, last, form) => {
  const pair = new Pair(limits, SetForm.INTSET);
  for (const text of members) pair.add(text);
  pair.add(last);
  expect(pair.set.form).toBe(form);
  pair.check();
});

test('a large set is freed in slices', () => {
  const { arena, tables } = new Pair(LIMITS, SetForm.INTSET);
  const before = arena.usedBytes;
  const table = tables.create();
  for (let i = 0; i < 5000; i++) {
    const bytes = bytesOf(`member ${i}`);
    tables.find(table, bytes, 0, bytes.length);
    tables.add(table, bytes, 0, bytes.length);
  }
  tables.validate(table);
  let slices = 1;
  while (!tables.freeSome(table, 10)) slices++;
  expect(slices).toBeGreaterThan(40);
  expect(arena.usedBytes).toBe(before);
});
