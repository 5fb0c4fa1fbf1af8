/** Checks whether a sorted index has the structure that sorted-index.ts draws. For tests. */
import { bytePosition, SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { assert } from '../base/assert.ts';
import { compareBytes } from '../base/bytes.ts';
import { asRef, NIL, type Ref } from '../base/units.ts';
import type { SortedIndex } from './sorted-index.ts';
import { COUNTS_WORD, IndexWord, NodeWord, placesAt } from './sorted-index-nodes.ts';
import { MEMBER_HEADER_BYTES, MEMBER_LENGTH_WORD } from './sorted-set-member.ts';

/**
 * Checks order, counts, links and separators of all nodes. Returns the number of nodes. For tests.
 */
export function validateIndex(tree: SortedIndex, index: Ref): number {
  const height = tree.word(index, IndexWord.HEIGHT);
  let start = asRef(tree.word(index, IndexWord.ROOT));
  let nodes = 0;
  assert(height === 0 || tree.word(start, NodeWord.COUNT) > 1, 'the root has more than one child');
  assert(tree.countBelow(start, height) === tree.count(index), 'the count is that of the entries');
  for (let level = height; level >= 0; level--) {
    let previous: Ref = NIL;
    for (let node = start; node !== NIL; node = asRef(tree.word(node, NodeWord.NEXT))) {
      nodes++;
      assert(tree.word(node, NodeWord.PREVIOUS) === previous, 'links lead to and fro');
      validateNode(tree, node, level, level === height);
      if (level > 0) validateChildren(tree, node, level);
      if (previous !== NIL) {
        const last = tree.word(previous, NodeWord.COUNT) - 1;
        assert(ordered(tree, previous, last, node, 0, level), 'nodes of a level are in order');
      }
      previous = node;
    }
    if (level > 0) start = tree.child(start, 0);
  }
  return nodes;
}

function validateNode(tree: SortedIndex, node: Ref, level: number, isRoot: boolean): void {
  const count = tree.word(node, NodeWord.COUNT);
  assert(count <= placesAt(level), 'a node holds no more than it can');
  assert(count > 0 || isRoot, 'no node but the root is empty');
  for (let i = 1; i < count; i++)
    assert(ordered(tree, node, i - 1, node, i, level), 'a node is in order');
}

function validateChildren(tree: SortedIndex, node: Ref, level: number): void {
  const count = tree.word(node, NodeWord.COUNT);
  for (let i = 0; i < count; i++) {
    const child = tree.child(node, i);
    const below = tree.word(node, COUNTS_WORD + i);
    assert(below === tree.countBelow(child, level - 1), 'a node counts what is below it');
    const same = tree.memberAt(node, i, level) === tree.memberAt(child, 0, level - 1);
    assert(
      same && Object.is(tree.scoreAt(node, i), tree.scoreAt(child, 0)),
      'a child begins as is noted',
    );
    const after = i + 1 < count ? tree.child(node, i + 1) : tree.word(node, NodeWord.NEXT);
    const next = i + 1 < count || after === NIL ? after : tree.child(asRef(after), 0);
    assert(tree.word(child, NodeWord.NEXT) === next, 'the links of a level follow the parents');
  }
}

/** Returns whether entry `i` of node `a` is before entry `j` of node `b`. */
function ordered(tree: SortedIndex, a: Ref, i: number, b: Ref, j: number, level: number): boolean {
  const first = tree.scoreAt(a, i);
  const second = tree.scoreAt(b, j);
  if (first !== second) return first < second;
  return compareMembers(tree, tree.memberAt(a, i, level), tree.memberAt(b, j, level)) < 0;
}

function compareMembers(tree: SortedIndex, a: Ref, b: Ref): number {
  const { u8 } = tree.arena;
  return compareBytes(
    u8[a >>> SEGMENT_SHIFT]!,
    bytePosition(a) + MEMBER_HEADER_BYTES,
    memberBytes(tree, a),
    u8[b >>> SEGMENT_SHIFT]!,
    bytePosition(b) + MEMBER_HEADER_BYTES,
    memberBytes(tree, b),
  );
}

function memberBytes(tree: SortedIndex, member: Ref): number {
  return tree.arena.i32[member >>> SEGMENT_SHIFT]![wordPosition(member) + MEMBER_LENGTH_WORD]!;
}
