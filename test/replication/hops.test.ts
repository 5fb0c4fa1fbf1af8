/** What nodes tell each other about the hops of their chain: bounds, rings, and what is unknown. */
import { describe, expect, test } from 'vitest';
import {
  deeper,
  HOP_AGE_MS_MAX,
  HOP_DEPTH_MAX,
  HOPS_BYTES_MAX,
  HOPS_MAX,
  type Hop,
  hopsText,
  lagBehindHead,
  leadsBack,
  parseHops,
  pathAbove,
  treeBelow,
} from '../../src/replication/hops.ts';
import { LinkPhase } from '../../src/replication/link-phase.ts';
import { infoState, Phase, type ReplicaState } from '../../src/replication/replica-state.ts';

const NOW = 100_000;
const id = (name: string): string => name.repeat(40);

function hop(depth: number, name: string, more: Partial<Hop> = {}): Hop {
  return {
    depth,
    node: `10.0.0.1:${6379 + depth}`,
    id: name === '' ? '' : id(name),
    role: 'replica',
    state: 'online',
    lagBytes: 10,
    lagMs: 2,
    measuredMs: NOW,
    ...more,
  };
}

const ids = (hops: readonly Hop[]): string => hops.map((each) => each.id[0] ?? '-').join('');

describe('the text of hops', () => {
  test('comes back as the same hops, with their age in place of a time', () => {
    const hops = [
      hop(1, 'a', { measuredMs: NOW - 40, role: 'primary' }),
      hop(2, '', { lagBytes: -1, lagMs: -1, role: 'unknown', node: '[::1]:7000' }),
    ];
    const text = hopsText(hops, NOW);
    expect(text).toBe(
      `1 10.0.0.1:6380 ${id('a')} primary online 10 2 40\n2 [::1]:7000 - unknown online -1 -1 0\n`,
    );
    // The other node has another clock.
    expect(parseHops(text, 5)).toEqual(
      hops.map((each) => ({ ...each, measuredMs: each.measuredMs - NOW + 5 })),
    );
    expect(parseHops('', NOW)).toEqual([]);
  });

  test('is bounded in hops and bytes, and has no word that breaks a line', () => {
    const many = Array.from({ length: 1000 }, () => hop(1, '', { node: 'x'.repeat(280) }));
    const text = hopsText(many, NOW);
    expect(text.length).toBeLessThanOrEqual(HOPS_BYTES_MAX);
    expect(parseHops(text, NOW)!.length).toBe(HOPS_MAX);
    const odd = hopsText([hop(1, '', { node: 'a b\n,c=1' })], NOW);
    expect(parseHops(odd, NOW)![0]!.node).toBe('a?b??c?1');
  });

  const peerStates = Object.values(Phase).map((phase) => infoState({ phase } as ReplicaState));
  test.each([...new Set([...peerStates, ...Object.values(LinkPhase)])])(
    'has the state %s, as a primary or a link may tell it',
    (state) => {
      const text = hopsText([hop(1, 'a', { state })], NOW);
      expect(parseHops(text, NOW)?.map((each) => each.state)).toEqual([state]);
    },
  );

  test('has the largest lag that an offset can tell', () => {
    const lagBytes = Number.MAX_SAFE_INTEGER;
    const text = hopsText([hop(1, 'a', { lagBytes, lagMs: 1e16 })], NOW);
    const largest = 999_999_999_999_999;
    expect(parseHops(text, NOW)).toMatchObject([{ lagBytes: largest, lagMs: largest }]);
  });

  const line = `1 a:1 ${id('a')} replica online 0 0 0\n`;
  test.each([
    ['without its end', line.slice(0, -1)],
    ['with too few words', '1 a:1 - replica online 0 0\n'],
    ['of another role', line.replace('replica', 'king')],
    ['with a negative lag', line.replace('0 0 0', '-2 0 0')],
    ['with a fraction', line.replace('0 0 0', '0.5 0 0')],
    ['with a figure of sixteen digits', line.replace('0 0 0', `${'1'.repeat(16)} 0 0`)],
    ['with a comma', line.replace('a:1', 'a,1')],
    ['that begins deeper', line.replace('1 a:1', '2 a:1')],
    ['that leaves a depth out', line + line.replace('1 a:1', '3 a:1')],
    ['of depth 0', line.replace('1 a:1', '0 a:1')],
    ['of too many lines', line.repeat(HOPS_MAX + 1)],
    ['of too many bytes', line.repeat(1000)],
  ])('%s is none', (_, text) => {
    expect(parseHops(text, NOW)).toBeUndefined();
  });

  test('too deep is none', () => {
    const path = (length: number): string =>
      hopsText(
        Array.from({ length }, (_, i) => hop(i + 1, '')),
        NOW,
      );
    expect(parseHops(path(HOP_DEPTH_MAX), NOW)!.length).toBe(HOP_DEPTH_MAX);
    expect(parseHops(path(HOP_DEPTH_MAX + 1), NOW)).toBeUndefined();
  });
});

describe('the path above', () => {
  test('ends where it comes back to this node, and tells so', () => {
    const path = pathAbove(id('a'), [hop(1, 'b'), hop(2, 'c'), hop(3, 'a'), hop(4, 'b')], NOW);
    expect(ids(path)).toBe('bca');
    expect(leadsBack(path, id('a'))).toBe(true);
  });

  test('ends where it comes back to another node', () => {
    const hops = [hop(1, 'b'), hop(2, 'c'), hop(3, 'd'), hop(4, 'c'), hop(5, 'd')];
    const path = pathAbove(id('a'), hops, NOW);
    expect(ids(path)).toBe('bcdc');
    expect(leadsBack(path, id('a'))).toBe(false);
  });

  test('does not grow in a ring, however often the nodes tell each other', () => {
    const names = ['a', 'b', 'c'];
    const above = new Map<string, readonly Hop[]>(names.map((name) => [name, []]));
    for (let round = 0; round < 50; round++) {
      names.forEach((name, i) => {
        const primary = names[(i + 1) % 3]!;
        const told = [hop(1, primary), ...above.get(primary)!.map(deeper)];
        const heard = parseHops(hopsText(pathAbove(id(name), told, NOW), NOW), NOW)!;
        above.set(name, pathAbove(id(name), heard, NOW));
      });
    }
    expect(names.map((name) => ids(above.get(name)!))).toEqual(['bca', 'cab', 'abc']);
  });

  test('ends at HOP_DEPTH_MAX where no node tells its id', () => {
    const hops = Array.from({ length: 40 }, (_, i) => hop(i + 1, ''));
    expect(pathAbove(id('a'), hops, NOW).length).toBe(HOP_DEPTH_MAX);
  });

  test('leaves out what is too old, but for the own hop', () => {
    const old = { measuredMs: NOW - HOP_AGE_MS_MAX - 1 };
    const hops = [hop(1, 'b', old), hop(2, 'c'), hop(3, 'd', old), hop(4, 'e')];
    expect(ids(pathAbove(id('a'), hops, NOW))).toBe('bc');
  });

  test('sums the lag when all of it is known', () => {
    const head = hop(2, 'c', { role: 'primary', lagMs: 5 });
    expect(lagBehindHead([hop(1, 'b'), head])).toEqual({ bytes: 20, ms: 7 });
    const unknown = { bytes: -1, ms: -1 };
    expect(lagBehindHead([hop(1, 'b')])).toEqual(unknown);
    expect(lagBehindHead([hop(1, 'b', { lagMs: -1 }), head])).toEqual(unknown);
    expect(lagBehindHead([])).toEqual(unknown);
  });
});

describe('the tree below', () => {
  test('names each replica before those behind it', () => {
    const branches = [
      { hop: hop(1, 'b'), told: [hop(1, 'c'), hop(2, ''), hop(1, 'd')] },
      { hop: hop(1, ''), told: [] },
    ];
    const { hops, leftOut } = treeBelow(id('a'), branches, NOW);
    expect(hops.map(({ depth }) => depth)).toEqual([1, 2, 3, 2, 1]);
    expect(ids(hops)).toBe('bc-d-');
    expect(leftOut).toBe(0);
  });

  test('leaves out this node, and what is told to be behind it', () => {
    const branches = [
      { hop: hop(1, 'b'), told: [hop(1, 'a'), hop(2, 'b'), hop(3, 'x'), hop(1, 'c')] },
    ];
    expect(ids(treeBelow(id('a'), branches, NOW).hops)).toBe('bc');
  });

  test('leaves out what is too old, and what is behind it', () => {
    const old = hop(1, 'c', { measuredMs: NOW - HOP_AGE_MS_MAX - 1 });
    const branches = [{ hop: hop(1, 'b'), told: [old, hop(2, 'd'), hop(1, 'e')] }];
    expect(ids(treeBelow(id('a'), branches, NOW).hops)).toBe('be');
  });

  test('has at most so many hops, and counts the others', () => {
    const told = Array.from({ length: HOPS_MAX }, () => hop(1, ''));
    const branches = [
      { hop: hop(1, 'b'), told },
      { hop: hop(1, 'c'), told },
    ];
    const { hops, leftOut } = treeBelow(id('a'), branches, NOW);
    expect([hops.length, leftOut]).toEqual([HOPS_MAX, HOPS_MAX + 2]);
  });

  test('does not grow in a ring', () => {
    const names = ['a', 'b', 'c'];
    const below = new Map<string, readonly Hop[]>(names.map((name) => [name, []]));
    for (let round = 0; round < 50; round++) {
      names.forEach((name, i) => {
        const replica = names[(i + 1) % 3]!;
        const told = parseHops(hopsText(below.get(replica)!, NOW), NOW)!;
        below.set(name, treeBelow(id(name), [{ hop: hop(1, replica), told }], NOW).hops);
      });
    }
    expect(names.map((name) => ids(below.get(name)!))).toEqual(['bc', 'ca', 'ab']);
  });
});
