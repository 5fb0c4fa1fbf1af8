/**
 * Reads trees of stream ids (structs/id-tree.ts) and lists of names (structs/name-list.ts) through
 * a reader: nodes, pending entries, groups and consumers of a stream. A walk must not begin inside
 * of another one of the same object; lists have no such limit.
 */
import {
  ID_ENTRY_WORDS,
  ID_NODE_WORDS_MAX,
  ID_TREE_LEVELS_MAX,
  IdNodeWord,
  IdTreeWord,
} from '../structs/id-tree.ts';
import { NAME_LIST_FIRST_WORD } from '../structs/name-list.ts';
import { ID_WORDS, StreamId } from '../structs/stream-id.ts';
import type { ObjectReader } from './object-reader.ts';

/** Told of each entry of a tree. The id is stale afterwards. */
export type IdVisitor = (id: StreamId, value: number) => void;

/** Refs of a list of names that are read at once. */
const NAMES = 256;

export class IdTreeWalk {
  readonly #reader: ObjectReader;
  /** By depth: the nodes on the way down a tree. */
  readonly #nodes = Array.from(
    { length: ID_TREE_LEVELS_MAX },
    () => new Int32Array(ID_NODE_WORDS_MAX),
  );
  readonly #two = new Int32Array(2);
  /** The id of the present entry, or that {@link floor} has found. */
  readonly id = new StreamId();

  constructor(reader: ObjectReader) {
    this.#reader = reader;
  }

  /** The entries of a tree. */
  count(tree: number): number {
    this.#reader.read(tree, 0, 2, this.#two, 0);
    return this.#two[IdTreeWord.COUNT]!;
  }

  /** Visits all entries of a tree in order. */
  walk(tree: number, visit: IdVisitor): void {
    const root = this.#root(tree);
    if (root !== 0) this.#walkNode(root, 0, visit);
  }

  /**
   * Returns the value of the last entry whose id is not behind `wanted`, and sets {@link id} to its
   * id. Returns 0 when there is none. An entry before it that was removed may hide it.
   */
  floor(tree: number, wanted: StreamId): number {
    const node = this.#nodes[0]!;
    for (let ref = this.#root(tree); ref !== 0; ) {
      this.#readNode(ref, node);
      const count = node[IdNodeWord.COUNT]!;
      let word: number = IdNodeWord.ENTRIES + (count - 1) * ID_ENTRY_WORDS;
      for (; word >= IdNodeWord.ENTRIES; word -= ID_ENTRY_WORDS) {
        this.id.fromWords(node, word);
        if (this.id.compare(wanted) <= 0) break;
      }
      if (node[IdNodeWord.LEVEL] === 0)
        return word < IdNodeWord.ENTRIES ? 0 : node[word + ID_WORDS]!;
      // An id before all belongs to the first child.
      ref = node[Math.max(word, IdNodeWord.ENTRIES) + ID_WORDS]!;
    }
    return 0;
  }

  /** The names of a list, which may be 0 for none. */
  nameCount(list: number): number {
    if (list === 0) return 0;
    this.#reader.read(list, 0, 1, this.#two, 0);
    return this.#two[0]!;
  }

  /** Calls `visit` for each object of a list of names. */
  eachName(list: number, visit: (ref: number) => void): void {
    const count = this.nameCount(list);
    // An array of its own: consumers are visited while their groups are.
    const names = new Int32Array(Math.min(count, NAMES));
    for (let from = 0; from < count; from += NAMES) {
      const some = Math.min(count - from, NAMES);
      this.#reader.read(list, NAME_LIST_FIRST_WORD + from, some, names, 0);
      for (let i = 0; i < some; i++) visit(names[i]!);
    }
  }

  #root(tree: number): number {
    this.#reader.read(tree, 0, 2, this.#two, 0);
    return this.#two[IdTreeWord.ROOT]!;
  }

  #walkNode(ref: number, depth: number, visit: IdVisitor): void {
    const node = this.#nodes[depth]!;
    this.#readNode(ref, node);
    const count = node[IdNodeWord.COUNT]!;
    const isLeaf = node[IdNodeWord.LEVEL] === 0;
    for (let i = 0, word: number = IdNodeWord.ENTRIES; i < count; i++, word += ID_ENTRY_WORDS) {
      if (isLeaf) {
        this.id.fromWords(node, word);
        visit(this.id, node[word + ID_WORDS]!);
      } else this.#walkNode(node[word + ID_WORDS]!, depth + 1, visit);
    }
  }

  #readNode(ref: number, node: Int32Array): void {
    // The read stays within the entries, since the bytes after them may be no part of the image.
    this.#reader.read(ref, 0, IdNodeWord.ENTRIES, node, 0);
    const words = node[IdNodeWord.COUNT]! * ID_ENTRY_WORDS;
    this.#reader.read(ref, IdNodeWord.ENTRIES, words, node, IdNodeWord.ENTRIES);
  }
}
