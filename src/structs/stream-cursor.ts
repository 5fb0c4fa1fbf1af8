/**
 * Hot path. Walks over the entries of a stream between two ids, both included, in either direction.
 *
 *   open(nodes, from, to, backwards) ─▶ next ─▶ id · fieldCount ─▶ nextField ─▶ field · value
 *
 * The walk skips deleted entries. Stale after a change of the stream's nodes. The stream's groups
 * may change during the walk.
 */
import type { Arena } from '../arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT } from '../arena/layout.ts';
import { NIL, type Ref } from '../base/units.ts';
import { IdCursor } from './id-tree.ts';
import { StreamId } from './stream-id.ts';
import { StreamNode } from './stream-node.ts';

export class StreamCursor {
  /** The node of the current entry, and that entry. */
  readonly node = new StreamNode();
  readonly #arena: Arena;
  readonly #nodes: IdCursor;
  readonly #from = new StreamId();
  readonly #to = new StreamId();
  #backwards = false;
  /** Whether `node` holds a node whose current entry has been read. */
  #inNode = false;

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#nodes = new IdCursor(arena);
  }

  /** The id of the current entry. */
  get id(): StreamId {
    return this.node.id;
  }

  /** The ref of the node of the current entry. */
  get nodeRef(): Ref {
    return this.#nodes.value;
  }

  /**
   * Goes to the place before the first entry at or behind `from`, or, for `backwards`, behind the
   * last entry at or before `to`. `nodes` is the tree of nodes.
   */
  open(nodes: Ref, from: StreamId, to: StreamId, backwards: boolean): void {
    this.#from.copyFrom(from);
    this.#to.copyFrom(to);
    this.#backwards = backwards;
    this.#inNode = false;
    const start = backwards ? to : from;
    if (!this.#nodes.seekFloor(nodes, start) && !backwards) this.#nodes.seekFirst(nodes);
  }

  /** Goes to the next entry. Returns false when there is none. */
  next(): boolean {
    return this.#backwards ? this.#goBackwards() : this.#goForwards();
  }

  #goForwards(): boolean {
    const { node } = this;
    for (;;) {
      const read = this.#inNode ? node.readNext() : this.#openNode() && node.readFirst();
      if (read) {
        if (node.id.compare(this.#to) > 0) return false;
        if (!node.isDeleted && node.id.compare(this.#from) >= 0) return true;
      } else {
        if (this.#nodes.value === NIL || !this.#nodes.next()) return false;
        this.#inNode = false;
      }
    }
  }

  #goBackwards(): boolean {
    const { node } = this;
    for (;;) {
      const read = this.#inNode ? node.readPrevious() : this.#openNode() && node.readLast();
      if (read) {
        if (node.id.compare(this.#from) < 0) return false;
        if (!node.isDeleted && node.id.compare(this.#to) <= 0) return true;
      } else {
        if (this.#nodes.value === NIL || !this.#nodes.previous()) return false;
        this.#inNode = false;
      }
    }
  }

  #openNode(): boolean {
    const ref = this.#nodes.value;
    if (ref === NIL) return false;
    this.node.open(this.#arena.u8[ref >>> SEGMENT_SHIFT]!, bytePosition(ref), this.#nodes.id);
    this.#inNode = true;
    return true;
  }
}
