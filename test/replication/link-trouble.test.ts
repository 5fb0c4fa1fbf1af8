import { describe, expect, test } from 'vitest';
import { LinkTrouble } from '../../src/replication/link-trouble.ts';

const A = 'a'.repeat(40);
const B = 'b'.repeat(40);
const C = 'c'.repeat(40);
const WORDS = "-NOMASTERLINK Can't SYNC while not connected with my master";

/** The refusal of a node in this state. */
const refusal = (node: LinkTrouble, id: string): string => {
  const path = node.pathBelow(id);
  return path === '' ? WORDS : `${WORDS}: ${path}`;
};

describe('a loop', () => {
  test('of one node is found at its second attempt, and pauses grow up to eight seconds', () => {
    const node = new LinkTrouble();
    expect(node.refused(refusal(node, A), A)).toBe(1000);
    expect(node.kind).toBe('none');
    const pauses = [1, 2, 3, 4, 5, 6].map(() => node.refused(refusal(node, A), A));
    expect(pauses).toEqual([1000, 2000, 4000, 8000, 8000, 8000]);
    expect(node.kind).toBe('loop');
  });

  test('of three nodes is found by all of them, and is over when one is promoted', () => {
    const ids = [A, B, C];
    const nodes = ids.map(() => new LinkTrouble());
    const ask = (i: number): void => {
      const above = (i + 1) % 3;
      nodes[i]!.refused(refusal(nodes[above]!, ids[above]!), ids[i]!);
    };
    for (let round = 0; round < 4; round++) for (const i of [0, 1, 2]) ask(i);
    expect(nodes.map(({ kind }) => kind)).toEqual(['loop', 'loop', 'loop']);
    for (let round = 0; round < 50; round++) for (const i of [0, 1, 2]) ask(i);
    for (const { path } of nodes) expect(path.length).toBeLessThanOrEqual(16);
    // The third is promoted and takes the second back; the first asks the second.
    nodes[1]!.answered();
    ask(0);
    expect(nodes[0]!.kind).toBe('none');
    expect(nodes[0]!.refused(WORDS, A)).toBe(1000);
  });

  test('is not found where the nodes above are only without a primary', () => {
    const node = new LinkTrouble();
    for (let i = 0; i < 5; i++) expect(node.refused(`${WORDS}: ${B} ${C}`, A)).toBe(1000);
    expect(node.kind).toBe('none');
    expect(node.pathBelow(A)).toBe(`${A} ${B} ${C}`);
  });

  test.each([
    WORDS,
    `${WORDS}: `,
    `${WORDS}: x`,
    `${WORDS}: ${A} x`,
    `${WORDS}: ${Array(17).fill(A).join(' ')}`,
  ])('is not found in %j', (line) => {
    const node = new LinkTrouble();
    expect(node.refused(line, A)).toBe(1000);
    expect(node.kind).toBe('none');
  });
});

test('what is no primary gets pauses up to a minute, and a fresh start after a good link', () => {
  const node = new LinkTrouble();
  const pauses = [1, 2, 3, 4, 5, 6, 7, 8].map(() => node.garbled(0));
  expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  expect(node.kind).toBe('not-a-primary');
  node.answered();
  expect(node.kind).toBe('none');
  expect(node.garbled(500)).toBe(60_000);
  node.answered();
  expect(node.garbled(10_000)).toBe(1000);
  node.reset();
  expect(node.garbled(0)).toBe(1000);
});

test('links that end at once are tried later each time; one that stood is tried at once', () => {
  const node = new LinkTrouble();
  const pauses = [10, 10, 10, 10, 10, 10, 5000, 10].map((upMs) => node.lost(upMs));
  expect(pauses).toEqual([0, 1000, 2000, 4000, 8000, 8000, 0, 0]);
});
