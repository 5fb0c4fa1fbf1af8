/**
 * Hot path. Lists as values of keys: opens them, notes their new places, and answers elements. Main
 * thread.
 */
import { NIL, type Ref } from '../../base/units.ts';
import { Encoding, ValueType } from '../../keyspace/entry.ts';
import type { List } from '../../structs/list.ts';
import type { ListCursor } from '../../structs/list-cursor.ts';
import {
  behindEntry,
  ELEMENT_TEXT_BYTES_MAX,
  ElementCode,
  elementToBytes,
  SHORT_LENGTH_MASK,
  TERMINATOR,
} from '../../structs/listpack-read.ts';
import { PACKED } from '../../structs/quicklist-nodes.ts';
import type { CommandContext } from '../context.ts';
import { EventClass } from '../ports.ts';

/** The text of the answered element. It is not used beyond one call. */
const elementText = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);

/** Opens the list of `entry`. Stale once another one is opened. */
export function openList(context: CommandContext, entry: Ref): List {
  return openIn(context, entry, context.server.keyspace.structures.list);
}

/** As {@link openList}, with a List of the caller. */
export function openIn(context: CommandContext, entry: Ref, list: List): List {
  const { db } = context;
  list.configure(context.server.settings.listMaxListpackSize);
  list.open(db.value(entry), db.encoding(entry) === Encoding.QUICKLIST);
  return list;
}

const encodingOf = (list: List): Encoding => (list.large ? Encoding.QUICKLIST : Encoding.LISTPACK);

/** Makes a new, empty list, which belongs to no key yet. */
export function newList(context: CommandContext, list: List): void {
  list.configure(context.server.settings.listMaxListpackSize);
  list.create();
}

/** Notes in `entry` the place of its list after a change. */
export function settleList(context: CommandContext, entry: Ref, list: List): void {
  if (!list.hasMoved) return;
  context.db.setObject(entry, encodingOf(list), list.ref);
  list.noted();
}

/** Adds a new list under the key in argument `index`, which was looked up last and is absent. */
export function addList(context: CommandContext, index: number, list: List): void {
  const { request, db } = context;
  const { bytes, position, length } = request;
  db.addObject(bytes, position[index]!, length[index]!, ValueType.LIST, encodingOf(list), list.ref);
  context.notify(EventClass.NEW, 'new', index);
}

/**
 * Call this after removing elements from the list of `entry`, when all other events are sent.
 * Removes the key when the list is empty.
 */
export function settleShrunk(context: CommandContext, entry: Ref, list: List, index: number): void {
  if (list.count === 0) {
    list.free();
    context.db.removeEmptied(entry);
    context.notify(EventClass.GENERIC, 'del', index);
    return;
  }
  list.shrink();
  settleList(context, entry, list);
}

/** Removes `count` elements of `list` from `index` on. A long range is freed in slices. */
export function removeElements(
  context: CommandContext,
  list: List,
  index: number,
  count: number,
): void {
  const gone = list.removeRange(index, count);
  if (gone !== NIL) context.server.keyspace.releaseObject(ValueType.LIST, Encoding.QUICKLIST, gone);
}

/** Answers the element at the cursor of `list`. */
export function replyElement(context: CommandContext, list: List): void {
  replyAt(context, list.cursor);
}

function replyAt({ reply, element }: CommandContext, cursor: ListCursor): void {
  cursor.read(element);
  if (element.isInteger && !element.isWide) {
    reply.bulkInteger(element.int);
    return;
  }
  elementToBytes(element, elementText);
  reply.bulk(element.bytes, element.position, element.length);
}

/**
 * Answers an array of the `count` elements from `index` on, which must exist. With `backwards`
 * walks from there to the head.
 */
export function replyElements(
  context: CommandContext,
  list: List,
  index: number,
  count: number,
  backwards: boolean,
): void {
  context.reply.array(count);
  if (count === 0) return;
  const { cursor } = list;
  list.seek(index);
  if (!backwards) {
    for (
      let left = replyRun(context, cursor, count);
      left > 0;
      left = replyRun(context, cursor, left)
    )
      cursor.nextNode();
    return;
  }
  replyAt(context, cursor);
  for (let left = count - 1; left > 0; left--) {
    cursor.previous();
    replyAt(context, cursor);
  }
}

/**
 * Answers up to `count` elements from the cursor to the end of its node. Returns the number that is
 * left.
 */
function replyRun(context: CommandContext, cursor: ListCursor, count: number): number {
  if (cursor.plainBytes !== PACKED) {
    replyAt(context, cursor);
    return count - 1;
  }
  const { reply } = context;
  const { u8 } = cursor;
  let { at } = cursor;
  let left = count;
  for (; left > 0; left--) {
    const byte = u8[at]!;
    if (byte === TERMINATOR) return left;
    if (byte >= ElementCode.STRING_6 && byte < ElementCode.INT_13) {
      const length = byte & SHORT_LENGTH_MASK;
      reply.bulk(u8, at + 1, length);
      at += length + 2;
    } else {
      cursor.at = at;
      replyAt(context, cursor);
      at = behindEntry(u8, at);
    }
  }
  return 0;
}
