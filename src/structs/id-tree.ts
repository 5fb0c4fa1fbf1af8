/**
 * Hot path. Ordered maps of stream ids (stream-id.ts) to refs in the arena: the nodes of a stream
 * by their first id, and the pending entries of a group or of a consumer. They are B+trees whose
 * inner nodes and leaves have the same layout:
 *
 *   tree     word 0 ROOT    NIL while it is empty     word 1 COUNT   entries
 *
 *   node     word 0 COUNT   word 1 LEVEL, 0 in a leaf
 *            then per entry: 4 words of id, 1 word of ref
 *            the ref is the value, or the child that begins with the id
 *
 * An id belongs to the last child that begins at or before it, or to the first child. Ids mostly
 * come in ascending order, so a full last leaf is not split in halves: it stays full, and a new
 * leaf begins behind it. The block of the first leaf grows with its entries. A leaf with few
 * entries is joined with the next leaf if both together fill at most half a node.
 *
 * An insertion that finds no memory changes nothing; a removal never fails. Stale after a change:
 * cursors.
 */
import type { Arena } from '../arena/arena.ts';
import { SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { assert } from '../base/assert.ts';
import { asRef, NIL, type Ref } from '../base/units.ts';
import { ID_WORDS, StreamId } from './stream-id.ts';

export const IdTreeWord = { ROOT: 0, COUNT: 1 } as const;
export const ID_TREE_BYTES = 16;
export const IdNodeWord = { COUNT: 0, LEVEL: 1, ENTRIES: 2 } as const;
export const ID_ENTRY_WORDS = ID_WORDS + 1;
/** This many entries fill a block of 1280 bytes. */
export const ID_NODE_ENTRIES_MAX = 63;
export const ID_NODE_WORDS_MAX = IdNodeWord.ENTRIES + ID_NODE_ENTRIES_MAX * ID_ENTRY_WORDS;
/** 2^31 ids need fewer levels, even if all nodes are sparse. */
export const ID_TREE_LEVELS_MAX = 12;

const HEADER_BYTES = IdNodeWord.ENTRIES * 4;
const ENTRY_BYTES = ID_ENTRY_WORDS * 4;
const FIRST_ENTRIES = 2;
/** A leaf with fewer entries is joined with the next one. */
const SPARSE_ENTRIES = 16;

export type ValueVisitor = (value: Ref) => void;

const nodeBytes = (entries: number): number => HEADER_BYTES + entries * ENTRY_BYTES;

/** A place in a tree, and the path to it. */
export class IdCursor {
  /** The value at the place, or NIL when there is none. */
  value: Ref = NIL;
  /** The id at the place. */
  readonly id = new StreamId();
  /** The nodes on the path and the places in them, by depth from the root. */
  readonly nodes = new Int32Array(ID_TREE_LEVELS_MAX);
  readonly places = new Int32Array(ID_TREE_LEVELS_MAX);
  /** Depth of the leaf. */
  leaf = -1;
  readonly #arena: Arena;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /** Goes to the place of `id`, or to the place where it belongs. Returns whether it is there. */
  descend(tree: Ref, id: StreamId): boolean {
    this.value = NIL;
    this.leaf = -1;
    const i32s = this.#arena.i32;
    let node = i32s[tree >>> SEGMENT_SHIFT]![wordPosition(tree) + IdTreeWord.ROOT]!;
    if (node === NIL) return false;
    for (;;) {
      const i32 = i32s[node >>> SEGMENT_SHIFT]!;
      const word = wordPosition(node);
      const depth = ++this.leaf;
      const place = placeOf(i32, word, id);
      this.nodes[depth] = node;
      if (i32[word + IdNodeWord.LEVEL] === 0) {
        this.places[depth] = place;
        return (
          place < i32[word]! && compareAt(i32, entryWord(word, place), id) === 0 && this.#read()
        );
      }
      // Selects the child that begins at or before the id.
      const exact = place < i32[word]! && compareAt(i32, entryWord(word, place), id) === 0;
      const child = exact || place === 0 ? place : place - 1;
      this.places[depth] = child;
      node = i32[entryWord(word, child) + ID_WORDS]!;
    }
  }

  /** Goes to the first entry at or behind `id`. Returns whether there is one. */
  seekCeiling(tree: Ref, id: StreamId): boolean {
    if (this.descend(tree, id)) return true;
    return this.leaf >= 0 && this.#settle();
  }

  /** Goes to the last entry at or before `id`. Returns whether there is one. */
  seekFloor(tree: Ref, id: StreamId): boolean {
    if (this.descend(tree, id)) return true;
    return this.leaf >= 0 && this.previous();
  }

  seekFirst(tree: Ref): boolean {
    return this.#seekEdge(tree, false);
  }

  seekLast(tree: Ref): boolean {
    return this.#seekEdge(tree, true);
  }

  next(): boolean {
    this.places[this.leaf]!++;
    return this.#settle();
  }

  previous(): boolean {
    let depth = this.leaf;
    while (depth >= 0 && this.places[depth] === 0) depth--;
    if (depth < 0) {
      this.value = NIL;
      return false;
    }
    this.places[depth]!--;
    return this.#follow(depth, true);
  }

  #seekEdge(tree: Ref, last: boolean): boolean {
    this.value = NIL;
    this.leaf = -1;
    const root = this.#arena.i32[tree >>> SEGMENT_SHIFT]![wordPosition(tree) + IdTreeWord.ROOT]!;
    if (root === NIL) return false;
    this.nodes[0] = root;
    this.places[0] = last ? this.#countOf(root) - 1 : 0;
    return this.#follow(0, last);
  }

  /** Goes to the next leaf when the place is behind the last entry of its leaf. */
  #settle(): boolean {
    let depth = this.leaf;
    if (this.places[depth]! < this.#countOf(this.nodes[depth]!)) return this.#read();
    do depth--;
    while (depth >= 0 && this.places[depth]! + 1 >= this.#countOf(this.nodes[depth]!));
    if (depth < 0) {
      this.value = NIL;
      return false;
    }
    this.places[depth]!++;
    return this.#follow(depth, false);
  }

  /** Goes down from the place at `depth` to the first or last entry below it. */
  #follow(depth: number, last: boolean): boolean {
    const i32s = this.#arena.i32;
    let node = this.nodes[depth]!;
    let i32 = i32s[node >>> SEGMENT_SHIFT]!;
    let word = wordPosition(node);
    while (i32[word + IdNodeWord.LEVEL] !== 0) {
      node = i32[entryWord(word, this.places[depth]!) + ID_WORDS]!;
      i32 = i32s[node >>> SEGMENT_SHIFT]!;
      word = wordPosition(node);
      this.nodes[++depth] = node;
      this.places[depth] = last ? i32[word + IdNodeWord.COUNT]! - 1 : 0;
    }
    this.leaf = depth;
    return this.#read();
  }

  #read(): true {
    const node = this.nodes[this.leaf]!;
    const i32 = this.#arena.i32[node >>> SEGMENT_SHIFT]!;
    const word = entryWord(wordPosition(node), this.places[this.leaf]!);
    this.id.fromWords(i32, word);
    this.value = asRef(i32[word + ID_WORDS]!);
    return true;
  }

  #countOf(node: number): number {
    return this.#arena.i32[node >>> SEGMENT_SHIFT]![wordPosition(node) + IdNodeWord.COUNT]!;
  }
}

export class IdTree {
  readonly #arena: Arena;
  /** The place where the last descent ended. */
  readonly #cursor: IdCursor;

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#cursor = new IdCursor(arena);
  }

  create(): Ref {
    const tree = this.#arena.alloc(ID_TREE_BYTES);
    const word = wordPosition(tree);
    this.#arena.i32[tree >>> SEGMENT_SHIFT]!.fill(0, word, word + ID_TREE_BYTES / 4);
    return tree;
  }

  count(tree: Ref): number {
    return this.#word(tree, IdTreeWord.COUNT);
  }

  /** Returns the value of an id, or NIL. */
  find(tree: Ref, id: StreamId): Ref {
    this.#cursor.descend(tree, id);
    return this.#cursor.value;
  }

  /** Replaces the value at the place of `cursor`. */
  setAt(cursor: IdCursor, value: Ref): void {
    const { nodes, places, leaf } = cursor;
    this.#setWord(nodes[leaf]!, entryWord(0, places[leaf]!) + ID_WORDS, value);
    cursor.value = value;
  }

  /** Adds an id with its value. Returns false and changes nothing when the id is there already. */
  insert(tree: Ref, id: StreamId, value: Ref): boolean {
    const cursor = this.#cursor;
    if (cursor.descend(tree, id)) return false;
    if (cursor.leaf < 0) {
      const leaf = this.#newNode(FIRST_ENTRIES, 0);
      this.#put(leaf, 0, id, value);
      this.#setWord(tree, IdTreeWord.ROOT, leaf);
    } else {
      this.#lowerFirst(id);
      this.#insertAt(tree, cursor.leaf, cursor.places[cursor.leaf]!, id, value);
    }
    this.#setWord(tree, IdTreeWord.COUNT, this.count(tree) + 1);
    return true;
  }

  /** Removes an id. Returns its value, or NIL when it is not there. */
  remove(tree: Ref, id: StreamId): Ref {
    const cursor = this.#cursor;
    if (!cursor.descend(tree, id)) return NIL;
    const { value } = cursor;
    this.#removeAt(tree, cursor.leaf, cursor.places[cursor.leaf]!);
    this.#dropLoneRoots(tree);
    this.#setWord(tree, IdTreeWord.COUNT, this.count(tree) - 1);
    return value;
  }

  /**
   * Frees up to `leaves` leaves and calls `visit` with their values; frees the tree itself at the
   * end. Returns true once all of it is freed.
   */
  freeSome(tree: Ref, leaves: number, visit: ValueVisitor): boolean {
    const cursor = this.#cursor;
    const arena = this.#arena;
    for (let left = leaves; left > 0; left--) {
      if (!cursor.seekLast(tree)) break;
      const { nodes } = cursor;
      let depth = cursor.leaf;
      const leaf = nodes[depth]!;
      const count = this.#word(leaf, IdNodeWord.COUNT);
      for (let place = 0; place < count; place++)
        visit(asRef(this.#word(leaf, entryWord(0, place) + ID_WORDS)));
      this.#setWord(tree, IdTreeWord.COUNT, this.count(tree) - count);
      for (;;) {
        arena.free(asRef(nodes[depth]!));
        depth--;
        if (depth < 0) {
          this.#setWord(tree, IdTreeWord.ROOT, NIL);
          break;
        }
        const rest = this.#word(nodes[depth]!, IdNodeWord.COUNT) - 1;
        this.#setWord(nodes[depth]!, IdNodeWord.COUNT, rest);
        if (rest > 0) break;
      }
    }
    if (this.#word(tree, IdTreeWord.ROOT) !== NIL) return false;
    arena.free(tree);
    return true;
  }

  /** Checks order, counts and levels. For tests. */
  validate(tree: Ref): void {
    const root = this.#word(tree, IdTreeWord.ROOT);
    const count = root === NIL ? 0 : this.#validateNode(root, undefined, undefined);
    assert(count === this.count(tree), 'a tree knows how many ids it has');
  }

  #validateNode(node: number, from: StreamId | undefined, to: StreamId | undefined): number {
    const level = this.#word(node, IdNodeWord.LEVEL);
    const count = this.#word(node, IdNodeWord.COUNT);
    assert(
      count > 0 && nodeBytes(count) <= this.#arena.blockBytes(asRef(node)),
      'entries fit their node',
    );
    let entries = 0;
    let before: StreamId | undefined;
    for (let place = 0; place < count; place++) {
      const id = this.#idAt(node, place);
      assert(before === undefined || before.compare(id) < 0, 'ids ascend');
      before = id;
      if (level === 0) {
        assert(from === undefined || from.compare(id) <= 0, 'an id is not before its leaf');
        assert(to === undefined || id.compare(to) < 0, 'an id is before the next leaf');
        entries++;
        continue;
      }
      const child = this.#word(node, entryWord(0, place) + ID_WORDS);
      assert(this.#word(child, IdNodeWord.LEVEL) === level - 1, 'a child is one level below');
      const next = place + 1 < count ? this.#idAt(node, place + 1) : to;
      entries += this.#validateNode(child, place === 0 ? from : id, next);
    }
    return entries;
  }

  #idAt(node: number, place: number): StreamId {
    const id = new StreamId();
    const i32 = this.#arena.i32[node >>> SEGMENT_SHIFT]!;
    id.fromWords(i32, wordPosition(node) + entryWord(0, place));
    return id;
  }

  /**
   * Sets the ids of the first children on the path to `id` where they were greater than `id`.
   */
  #lowerFirst(id: StreamId): void {
    const { nodes, places, leaf } = this.#cursor;
    for (let depth = 0; depth < leaf; depth++) {
      const node = nodes[depth]!;
      const i32 = this.#arena.i32[node >>> SEGMENT_SHIFT]!;
      const word = entryWord(wordPosition(node), 0);
      if (places[depth] !== 0 || compareAt(i32, word, id) <= 0) continue;
      this.#arena.touch(node, entryWord(0, 0) * 4, ID_WORDS * 4);
      id.toWords(i32, word);
    }
  }

  /**
   * Inserts an entry at a place of the cursor's node at `depth`. Allocates all memory before it
   * changes anything.
   */
  #insertAt(tree: Ref, depth: number, place: number, id: StreamId, value: number): void {
    const { nodes, places } = this.#cursor;
    const node = nodes[depth]!;
    const count = this.#word(node, IdNodeWord.COUNT);
    const room = Math.floor((this.#arena.blockBytes(asRef(node)) - HEADER_BYTES) / ENTRY_BYTES);
    if (count < room && count < ID_NODE_ENTRIES_MAX) {
      this.#put(node, place, id, value);
      return;
    }
    const level = this.#word(node, IdNodeWord.LEVEL);
    if (count < ID_NODE_ENTRIES_MAX) {
      const longer = this.#newNode(Math.min(count * 2, ID_NODE_ENTRIES_MAX), level);
      this.#move(node, 0, longer, count);
      this.#put(longer, place, id, value);
      if (depth === 0) this.#setWord(tree, IdTreeWord.ROOT, longer);
      else this.#setWord(nodes[depth - 1]!, entryWord(0, places[depth - 1]!) + ID_WORDS, longer);
      this.#arena.free(asRef(node));
      return;
    }
    const kept = place === count ? count : count >>> 1;
    const right = this.#newNode(ID_NODE_ENTRIES_MAX, level);
    const separator = kept === count ? id : this.#idAt(node, kept);
    try {
      if (depth > 0) this.#insertAt(tree, depth - 1, places[depth - 1]! + 1, separator, right);
      else this.#newRoot(tree, node, right, separator, level + 1);
    } catch (error) {
      // There is no memory for a node further up. Nothing has changed there.
      this.#arena.free(right);
      throw error;
    }
    this.#move(node, kept, right, count - kept);
    this.#setWord(node, IdNodeWord.COUNT, kept);
    if (place > kept || kept === count) this.#put(right, place - kept, id, value);
    else this.#put(node, place, id, value);
  }

  #newRoot(tree: Ref, left: number, right: number, separator: StreamId, level: number): void {
    const root = this.#newNode(ID_NODE_ENTRIES_MAX, level);
    this.#put(root, 0, this.#idAt(left, 0), left);
    this.#put(root, 1, separator, right);
    this.#setWord(tree, IdTreeWord.ROOT, root);
  }

  #removeAt(tree: Ref, depth: number, place: number): void {
    const { nodes, places } = this.#cursor;
    const node = nodes[depth]!;
    const count = this.#word(node, IdNodeWord.COUNT) - 1;
    if (count === 0) {
      this.#arena.free(asRef(node));
      if (depth === 0) this.#setWord(tree, IdTreeWord.ROOT, NIL);
      else this.#removeAt(tree, depth - 1, places[depth - 1]!);
      return;
    }
    this.#takeOut(node, place, count);
    if (count < SPARSE_ENTRIES && depth > 0) this.#joinNext(tree, depth);
  }

  /**
   * Joins the node at `depth` with the next one, if both have the same parent, together fill at
   * most half a node, and fit into the block of the first.
   */
  #joinNext(tree: Ref, depth: number): void {
    const { nodes, places } = this.#cursor;
    const parent = nodes[depth - 1]!;
    const place = places[depth - 1]! + 1;
    if (place >= this.#word(parent, IdNodeWord.COUNT)) return;
    const node = nodes[depth]!;
    const right = this.#word(parent, entryWord(0, place) + ID_WORDS);
    const count = this.#word(node, IdNodeWord.COUNT);
    const moved = this.#word(right, IdNodeWord.COUNT);
    const bytes = nodeBytes(count + moved);
    if (count + moved > ID_NODE_ENTRIES_MAX / 2 || bytes > this.#arena.blockBytes(asRef(node)))
      return;
    this.#move(right, 0, node, moved);
    // The first child of `right` may hold ids before the id in its entry. It is not a first child
    // any more, so its entry must be a lower bound: it takes the id of `right`.
    if (this.#word(node, IdNodeWord.LEVEL) > 0) {
      const i32 = this.#arena.i32[node >>> SEGMENT_SHIFT]!;
      this.#idAt(parent, place).toWords(i32, wordPosition(node) + entryWord(0, count));
    }
    this.#arena.free(asRef(right));
    places[depth - 1] = place;
    this.#removeAt(tree, depth - 1, place);
  }

  #takeOut(node: number, place: number, count: number): void {
    const arena = this.#arena;
    const i32 = arena.i32[node >>> SEGMENT_SHIFT]!;
    const word = wordPosition(node);
    arena.touch(node, entryWord(0, place) * 4, (count - place) * ENTRY_BYTES);
    i32.copyWithin(entryWord(word, place), entryWord(word, place + 1), entryWord(word, count + 1));
    this.#setWord(node, IdNodeWord.COUNT, count);
  }

  #dropLoneRoots(tree: Ref): void {
    for (;;) {
      const root = this.#word(tree, IdTreeWord.ROOT);
      if (root === NIL || this.#word(root, IdNodeWord.LEVEL) === 0) return;
      if (this.#word(root, IdNodeWord.COUNT) > 1) return;
      this.#setWord(tree, IdTreeWord.ROOT, this.#word(root, entryWord(0, 0) + ID_WORDS));
      this.#arena.free(asRef(root));
    }
  }

  #newNode(entries: number, level: number): Ref {
    const node = this.#arena.alloc(nodeBytes(entries));
    const i32 = this.#arena.i32[node >>> SEGMENT_SHIFT]!;
    const word = wordPosition(node);
    i32[word + IdNodeWord.COUNT] = 0;
    i32[word + IdNodeWord.LEVEL] = level;
    return node;
  }

  /** Copies the `count` entries of `from` that begin at `place` behind the entries of `to`. */
  #move(from: number, place: number, to: number, count: number): void {
    const arena = this.#arena;
    const source = arena.i32[from >>> SEGMENT_SHIFT]!;
    const start = entryWord(wordPosition(from), place);
    const before = this.#word(to, IdNodeWord.COUNT);
    arena.touch(to, entryWord(0, before) * 4, count * ENTRY_BYTES);
    const target = arena.i32[to >>> SEGMENT_SHIFT]!;
    const at = entryWord(wordPosition(to), before);
    for (let i = 0; i < count * ID_ENTRY_WORDS; i++) target[at + i] = source[start + i]!;
    this.#setWord(to, IdNodeWord.COUNT, before + count);
  }

  /** Puts an entry at a place of a node that has room. */
  #put(node: number, place: number, id: StreamId, value: number): void {
    const arena = this.#arena;
    const i32 = arena.i32[node >>> SEGMENT_SHIFT]!;
    const word = wordPosition(node);
    const count = i32[word + IdNodeWord.COUNT]!;
    const at = entryWord(word, place);
    arena.touch(node, entryWord(0, place) * 4, (count - place + 1) * ENTRY_BYTES);
    if (place < count) i32.copyWithin(at + ID_ENTRY_WORDS, at, entryWord(word, count));
    id.toWords(i32, at);
    i32[at + ID_WORDS] = value;
    this.#setWord(node, IdNodeWord.COUNT, count + 1);
  }

  #word(ref: number, word: number): number {
    return this.#arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + word]!;
  }

  #setWord(ref: number, word: number, value: number): void {
    this.#arena.touch(ref, word * 4, 4);
    this.#arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + word] = value;
  }
}

/** Returns the word of the entry at a place of the node that begins at `word`. */
function entryWord(word: number, place: number): number {
  return word + IdNodeWord.ENTRIES + place * ID_ENTRY_WORDS;
}

/**
 * Returns the place of the first entry at or behind `id`, or the number of entries when there is
 * none.
 */
function placeOf(i32: Int32Array, word: number, id: StreamId): number {
  let low = 0;
  let high = i32[word + IdNodeWord.COUNT]!;
  // Most ids come behind all others.
  if (compareAt(i32, entryWord(word, high - 1), id) < 0) return high;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareAt(i32, entryWord(word, middle), id) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Compares the id at `word` with another. */
function compareAt(i32: Int32Array, word: number, id: StreamId): number {
  let a = i32[word]!;
  if (a !== id.msHigh) return (a >>> 0) - (id.msHigh >>> 0);
  a = i32[word + 1]!;
  if (a !== id.msLow) return (a >>> 0) - (id.msLow >>> 0);
  a = i32[word + 2]!;
  if (a !== id.seqHigh) return (a >>> 0) - (id.seqHigh >>> 0);
  return (i32[word + 3]! >>> 0) - (id.seqLow >>> 0);
}
