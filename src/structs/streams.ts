/**
 * Streams as wholes: copies them, and frees them in slices. Holds one instance of each of their
 * parts. stream-entries.ts draws a stream, and stream-groups.ts its groups. For the thread that
 * owns the arena.
 */
import type { Arena } from '../arena/arena.ts';
import { SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { codeOf, ErrorCode } from '../base/errors.ts';
import { asRef, NIL, type Ref } from '../base/units.ts';
import { ID_ENTRY_WORDS, IdCursor, IdTree, type ValueVisitor } from './id-tree.ts';
import type { Listpack } from './listpack.ts';
import { StreamEntries, StreamWord } from './stream-entries.ts';
import { StreamGroups } from './stream-groups.ts';

export class Streams {
  /** The stream that a command works on. */
  readonly entries: StreamEntries;
  readonly groups: StreamGroups;
  readonly #arena: Arena;
  readonly #tree: IdTree;
  readonly #free: ValueVisitor = (ref) => this.#arena.free(ref);

  constructor(arena: Arena, listpacks: Listpack) {
    this.#arena = arena;
    this.#tree = new IdTree(arena);
    this.entries = new StreamEntries(arena, listpacks, this.#tree);
    this.groups = new StreamGroups(arena, this.#tree);
  }

  /** Copies a stream with its groups and returns the ref of the copy. */
  copy(ref: Ref): Ref {
    this.entries.open(ref);
    const to = this.entries.copyEntries();
    try {
      this.groups.copyGroups(ref, to);
    } catch (error) {
      // There is no memory for the whole copy.
      this.freeSome(to, Number.POSITIVE_INFINITY);
      throw error;
    }
    return to;
  }

  /**
   * Removes a group from a stream. Returns a new stream that has only this group, to be freed in
   * slices. When there is no memory for that, frees the group at once and returns NIL.
   */
  takeGroup(stream: Ref, group: Ref): Ref {
    let heir: Ref = NIL;
    try {
      this.entries.create();
      heir = this.entries.ref;
      this.groups.moveGroup(stream, group, heir);
      return heir;
    } catch (error) {
      if (codeOf(error) !== ErrorCode.ARENA_FULL) throw error;
      if (heir !== NIL) this.freeSome(heir, Number.POSITIVE_INFINITY);
      this.groups.removeGroup(stream, group);
      return NIL;
    }
  }

  /**
   * Frees up to `steps` leaves of the trees of a stream that nobody reads any more. Returns true
   * once all of it is freed.
   */
  freeSome(ref: Ref, steps: number): boolean {
    const left = this.groups.freeGroups(ref, steps);
    if (left <= 0) return false;
    const nodes = asRef(
      this.#arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + StreamWord.NODES]!,
    );
    if (!this.#tree.freeSome(nodes, left, this.#free)) return false;
    this.#arena.free(ref);
    return true;
  }

  /**
   * Returns the allocated bytes of a stream, estimated from `samples` of its nodes, or from all of
   * them for 0.
   */
  bytes(ref: Ref, samples: number): number {
    this.entries.open(ref);
    const { nodes, nodeCount } = this.entries;
    const cursor = new IdCursor(this.#arena);
    let looked = 0;
    let bytes = 0;
    for (let more = cursor.seekFirst(nodes); more; more = cursor.next()) {
      bytes += this.#arena.blockBytes(cursor.value) + ID_ENTRY_WORDS * 4;
      if (++looked === samples) break;
    }
    const all = looked === 0 ? 0 : Math.round((bytes / looked) * nodeCount);
    return this.#arena.blockBytes(ref) + all + this.groups.bytes(ref);
  }

  validate(ref: Ref): void {
    this.entries.open(ref);
    this.entries.validate();
    this.groups.validate(ref);
  }
}
