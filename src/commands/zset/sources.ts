/**
 * The inputs of ZUNION, ZINTER and ZDIFF: sorted sets, and plain sets, whose members all have score
 * 1. Main thread.
 */
import { NIL, type Ref } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import type { ElementView } from '../../structs/listpack-read.ts';
import type { MemberSet } from '../../structs/member-set.ts';
import { type CommandContext, WRONGTYPE } from '../context.ts';
import { openMembersIn } from '../set/value.ts';
import { openIn } from './value.ts';

/** Members with scores. The view that `member` returns is stale after the next call. */
export interface MemberSource {
  /** The score of the current member. */
  readonly score: number;
  count(): number;
  /** Looks up a member. When it is there, sets the score and returns true. */
  find(bytes: Uint8Array, start: number, length: number): boolean;
  /** Goes to the member of a rank. Callers use only rank 0. */
  seek(rank: number): boolean;
  next(): boolean;
  member(): Pick<ElementView, 'bytes' | 'position' | 'length'>;
}

/**
 * An input of a command: a source with its weight. Keys that are named twice have the same entry.
 */
export interface Input {
  readonly entry: Ref;
  /** Undefined for an absent key, which counts as an empty set. */
  readonly source: MemberSource | undefined;
  weight: number;
}

/** Returns the inputs in `count` arguments from `first` on, or undefined after WRONGTYPE. */
export function readInputs(
  context: CommandContext,
  first: number,
  count: number,
): Input[] | undefined {
  const entries: Ref[] = [];
  for (let at = first; at < first + count; at++) {
    const entry = context.lookupRead(at);
    if (entry !== NIL && !isSource(context, entry)) {
      context.reply.error(WRONGTYPE);
      return undefined;
    }
    entries.push(entry);
  }
  // A lookup may have deleted its own expired key, but no other, so the entries are still valid.
  return entries.map((entry) => ({ entry, source: sourceOf(context, entry), weight: 1 }));
}

function isSource(context: CommandContext, entry: Ref): boolean {
  const type = context.db.type(entry);
  return type === ValueType.ZSET || type === ValueType.SET;
}

function sourceOf(context: CommandContext, entry: Ref): MemberSource | undefined {
  if (entry === NIL) return undefined;
  const { db, server } = context;
  const { structures } = server.keyspace;
  if (db.type(entry) === ValueType.ZSET) return openIn(context, entry, structures.newSortedSet());
  return new SetSource(openMembersIn(db, entry, structures.newMemberSet()));
}

/** A plain set as a source. Every member has score 1. */
class SetSource implements MemberSource {
  readonly score = 1;
  readonly #set: MemberSet;

  constructor(set: MemberSet) {
    this.#set = set;
  }

  count(): number {
    return this.#set.count();
  }

  find(bytes: Uint8Array, start: number, length: number): boolean {
    return this.#set.has(bytes, start, length);
  }

  seek(): boolean {
    return this.#set.first();
  }

  next(): boolean {
    return this.#set.next();
  }

  member(): ElementView {
    return this.#set.member();
  }
}
