/**
 * Hot path. Walks over the entries of a stream that lie between two ids, both included, in either
 * direction.
 *
 *   open(nodes, from, to, backwards) ─▶ next ─▶ id · fieldCount ─▶ nextField ─▶ field · value
 *
 * Deleted entries are passed over. Stale after a change of the stream's nodes; its groups may
 * change meanwhile.
 */
import type { Arena } from '../arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT } from '../arena/layout.ts';
import { NIL, type Ref } from '../base/units.ts';
import { IdCursor } from './id-tree.ts';
import { StreamId } from './stream-id.ts';
import { StreamNode } from './stream-node.ts';

export class StreamCursor {
  /** The node that the entry is in, and the entry. */
  readonly node = new StreamNode();
  readonly #arena: Arena;
  readonly #nodes: IdCursor;
  readonly #from = new StreamId();
  readonly #to = new StreamId();
  #backwards = false;
  /** Whether `node` is one, and its entry has been read. */
  #inNode = false;

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#nodes = new IdCursor(arena);
  }

  /** Id of the entry. */
  get id(): StreamId {
    return this.node.id;
  }

  /** Ref of the node that the entry is in. */
  get nodeRef(): Ref {
    return this.#nodes.value;
  }

  /**
   * Goes before the first entry of the tree of nodes from `from` on, or behind the last one up to
   * `to`.
   */
  open(nodes: Ref, from: StreamId, to: StreamId, backwards: boolean): void {
    this.#from.copyFrom(from);
    this.#to.copyFrom(to);
    this.#backwards = backwards;
    this.#inNode = false;
    const start = backwards ? to : from;
    if (!this.#nodes.seekFloor(nodes, start) && !backwards) this.#nodes.seekFirst(nodes);
  }

  /** Goes to the next entry; false when there is none. */
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
