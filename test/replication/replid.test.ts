import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { asOffset } from '../../src/base/units.ts';
import {
  isReplid,
  NO_REPLID,
  ReplicationHistory,
  randomHex40,
} from '../../src/replication/replid.ts';

/** Ids 0101…, 0202…, so that tests can name them. */
function counting(): (count: number) => Uint8Array {
  let next = 0;
  return (count) => new Uint8Array(count).fill(++next);
}
const id = (n: number): string => n.toString(16).padStart(2, '0').repeat(20);
const fields = (h: ReplicationHistory): unknown[] => [h.replid, h.replid2, h.secondOffset];

test('an id is 40 lower-case hex digits', () => {
  expect(randomHex40(randomBytes)).toMatch(/^[0-9a-f]{40}$/);
  expect([isReplid(id(171)), isReplid('?'), isReplid('g'.repeat(40)), isReplid(NO_REPLID)]).toEqual(
    [true, false, false, true],
  );
});

describe('a history', () => {
  test('begins with an id and no past', () => {
    expect(fields(new ReplicationHistory(counting()))).toEqual([id(1), NO_REPLID, -1]);
  });

  test('shifts at promotion: the old id is good for the next offset and no further', () => {
    const history = new ReplicationHistory(counting());
    history.shift(asOffset(1087));
    expect(fields(history)).toEqual([id(2), id(1), 1088]);
  });

  test('keeps only the last second id', () => {
    const history = new ReplicationHistory(counting());
    history.shift(asOffset(10));
    history.shift(asOffset(20));
    expect(fields(history)).toEqual([id(3), id(2), 21]);
  });

  test.each([
    ['renew', (h: ReplicationHistory) => h.renew(), [id(3), NO_REPLID, -1]],
    ['adopt', (h: ReplicationHistory) => h.adopt(id(99)), [id(99), NO_REPLID, -1]],
    [
      'continue with the same id',
      (h: ReplicationHistory) => h.continueAs(id(2), asOffset(50)),
      [id(2), id(1), 11],
    ],
    [
      'continue with another id',
      (h: ReplicationHistory) => h.continueAs(id(7), asOffset(50)),
      [id(7), id(2), 51],
    ],
    [
      'restore from a dump',
      (h: ReplicationHistory) => h.restore(id(8), asOffset(70)),
      [id(2), id(8), 71],
    ],
  ])('%s', (_name, change, expected) => {
    const history = new ReplicationHistory(counting());
    history.shift(asOffset(10));
    change(history);
    expect(fields(history)).toEqual(expected);
  });

  test('tells whether the peers below must learn another id', () => {
    const history = new ReplicationHistory(counting());
    expect([
      history.continueAs(id(1), asOffset(5)),
      history.continueAs(id(9), asOffset(5)),
    ]).toEqual([false, true]);
  });
});
