/**
 * SORT and SORT_RO: the elements of a list, a set or a sorted set in another order, and the values
 * of keys whose names contain these elements. Main thread.
 *
 *   elements ──BY──▶ weights ──▶ sorted ──LIMIT──▶ part of them ──GET──▶ answered or stored
 *
 * Texts are compared byte by byte, whatever the locale. The command copies the elements to the
 * heap, because a lookup of a key may delete expired keys.
 */
import { cStringLength, leadingSpaces, parseFloat64 } from '../../base/bytes.ts';
import { NIL, type Ref } from '../../base/units.ts';
import { BytesView, Encoding, ValueType } from '../../keyspace/entry.ts';
import {
  ELEMENT_TEXT_BYTES_MAX,
  ElementView,
  elementToBytes,
} from '../../structs/listpack-read.ts';
import { integerArgument, SYNTAX_ERROR } from '../arguments.ts';
import { type CommandContext, WRONGTYPE } from '../context.ts';
import { openHash } from '../hash/value.ts';
import { addList, newList, openList } from '../list/value.ts';
import { EventClass } from '../ports.ts';
import { openMembers } from '../set/value.ts';
import { type CommandTable, Flag, type KeySpec, keyAt } from '../spec.ts';
import { openSet } from '../zset/value.ts';

const { WRITE, READONLY, DENYOOM, MOVABLEKEYS } = Flag;
const SORT = { group: 'generic', categories: ['set', 'sortedset', 'list', 'dangerous'] } as const;
const SORTED_KEY = keyAt(1, 'RO', 'access');
const NAMED_KEYS: KeySpec = {
  notes:
    "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key " +
    'we sort',
  access: 'RO',
  flags: ['access'],
  begin: { unknown: true },
  find: { kind: 'unknown' },
};
const STORED_KEY: KeySpec = {
  notes:
    "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the argument " +
    'array',
  access: 'OW',
  flags: ['update'],
  begin: { unknown: true },
  find: { kind: 'unknown' },
};

export const sortCommands = {
  SORT: {
    ...SORT,
    arity: -2,
    flags: WRITE | DENYOOM | MOVABLEKEYS,
    keys: [SORTED_KEY, NAMED_KEYS, STORED_KEY],
    since: '1.0.0',
    summary: 'Answers the elements of a list or a set in an order, or stores them as a list.',
    handler: sort,
    findKeys,
  },
  SORT_RO: {
    ...SORT,
    arity: -2,
    flags: READONLY | MOVABLEKEYS,
    keys: [SORTED_KEY, NAMED_KEYS],
    since: '7.0.0',
    summary: 'Answers the elements of a list or a set in an order.',
    handler: sortReadOnly,
    findKeys: () => [1],
  },
} as const satisfies CommandTable;

const STAR = 0x2a;
const HASH_MARK = 0x23;
/** One RPUSH in the stream carries at most this many elements. */
const PUSHED_AT_ONCE = 1024;
/** strtod reports smaller numbers as out of range. */
const NORMAL_DOUBLE_MIN = 2 ** -1022;
const NO_BYTES = new Uint8Array(0);
const NOT_A_DOUBLE = "ERR One or more scores can't be converted into double";

/** The options of a request. */
interface SortQuery {
  by: Uint8Array | undefined;
  readonly get: Uint8Array[];
  descending: boolean;
  alpha: boolean;
  offset: number;
  /** A negative count means all. */
  count: number;
  /** Argument of the key to store to, 0 for none. */
  storeAt: number;
}

interface Item {
  readonly bytes: Uint8Array;
  /** The sort key: a score or a text. */
  score: number;
  text: Uint8Array | undefined;
}

function sort(context: CommandContext): void {
  const query = parse(context, true);
  if (query !== undefined) run(context, query);
}

function sortReadOnly(context: CommandContext): void {
  const query = parse(context, false);
  if (query !== undefined) run(context, query);
}

/** The sorted key, and the key that is stored to. */
function findKeys({ request }: CommandContext): number[] {
  const keys = [1];
  for (let i = 2; i < request.argc; i++) {
    if (request.equalsIgnoreCase(i, 'LIMIT')) i += 2;
    else if (request.equalsIgnoreCase(i, 'GET') || request.equalsIgnoreCase(i, 'BY')) i++;
    else if (request.equalsIgnoreCase(i, 'STORE') && i + 1 < request.argc) keys[1] = ++i;
  }
  return keys;
}

/** Reads the options. Returns undefined after an error reply. */
function parse(context: CommandContext, mayStore: boolean): SortQuery | undefined {
  const { request } = context;
  const query: SortQuery = {
    by: undefined,
    get: [],
    descending: false,
    alpha: false,
    offset: 0,
    count: -1,
    storeAt: 0,
  };
  for (let i = 2; i < request.argc; i++) {
    const left = request.argc - i - 1;
    if (request.equalsIgnoreCase(i, 'ASC')) query.descending = false;
    else if (request.equalsIgnoreCase(i, 'DESC')) query.descending = true;
    else if (request.equalsIgnoreCase(i, 'ALPHA')) query.alpha = true;
    else if (request.equalsIgnoreCase(i, 'LIMIT') && left >= 2) {
      query.offset = integerArgument(context, ++i);
      if (Number.isNaN(query.offset)) return undefined;
      query.count = integerArgument(context, ++i);
      if (Number.isNaN(query.count)) return undefined;
    } else if (mayStore && request.equalsIgnoreCase(i, 'STORE') && left >= 1) query.storeAt = ++i;
    else if (request.equalsIgnoreCase(i, 'BY') && left >= 1) query.by = request.copy(++i);
    else if (request.equalsIgnoreCase(i, 'GET') && left >= 1) query.get.push(request.copy(++i));
    else {
      context.reply.error(SYNTAX_ERROR);
      return undefined;
    }
  }
  return query;
}

function run(context: CommandContext, query: SortQuery): void {
  const entry = context.lookupRead(1);
  const type = entry === NIL ? ValueType.LIST : context.db.type(entry);
  if (type !== ValueType.LIST && type !== ValueType.SET && type !== ValueType.ZSET) {
    context.reply.error(WRONGTYPE);
    return;
  }
  let { by, alpha } = query;
  let unsorted = by !== undefined && !by.includes(STAR);
  if (unsorted && type === ValueType.SET && query.storeAt > 0) {
    // A set has no order of its own, and a stored result must be the same on every replica.
    unsorted = false;
    alpha = true;
    by = undefined;
  }
  const items = entry === NIL ? [] : itemsOf(context, entry, type);
  if (unsorted) {
    if (query.descending && type !== ValueType.SET) items.reverse();
  } else {
    if (!weigh(context, items, by, alpha)) {
      context.reply.error(NOT_A_DOUBLE);
      return;
    }
    sortItems(items, alpha, query.descending);
  }
  const from = Math.min(Math.max(query.offset, 0), items.length);
  const until = query.count < 0 ? items.length : Math.min(from + query.count, items.length);
  const part = items.slice(from, until);
  const isSure = unsorted || (alpha && by === undefined);
  if (query.storeAt > 0) store(context, query, part, !isSure);
  else answer(context, query, part);
}

/** Returns copies of all elements. Those of a list or a sorted set keep their order. */
function itemsOf(context: CommandContext, entry: Ref, type: ValueType): Item[] {
  const items: Item[] = [];
  if (type === ValueType.LIST) {
    const list = openList(context, entry);
    const view = new ElementView();
    const text = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
    for (let more = list.seek(0); more; more = list.cursor.next()) {
      list.cursor.read(view);
      elementToBytes(view, text);
      items.push(itemOf(view));
    }
    return items;
  }
  if (type === ValueType.SET) {
    const members = openMembers(context, entry);
    for (let more = members.first(); more; more = members.next())
      items.push(itemOf(members.member()));
    return items;
  }
  const set = openSet(context, entry);
  for (let more = set.seek(0); more; more = set.next()) items.push(itemOf(set.member()));
  return items;
}

const itemOf = (view: BytesView): Item => ({ bytes: copyOf(view), score: 0, text: undefined });

const copyOf = ({ bytes, position, length }: BytesView): Uint8Array =>
  Uint8Array.from(bytes.subarray(position, position + length));

/** Gives each item its sort key. Returns false when that should be a number and is not. */
function weigh(
  context: CommandContext,
  items: Item[],
  by: Uint8Array | undefined,
  alpha: boolean,
): boolean {
  let valid = true;
  const view = new BytesView();
  for (const item of items) {
    if (by !== undefined) {
      if (!lookUp(context, by, item.bytes, view)) continue;
    } else {
      view.bytes = item.bytes;
      view.position = 0;
      view.length = item.bytes.length;
    }
    if (alpha) item.text = by === undefined ? item.bytes : copyOf(view);
    else {
      const score = scoreOf(view);
      if (score === undefined) valid = false;
      else item.score = score;
    }
  }
  return valid;
}

/**
 * Returns the number that strtod would read: leading spaces are allowed, and a zero byte ends the
 * text. An empty text is 0. Returns undefined when the text is not a number, or is out of the range
 * of normal doubles.
 */
function scoreOf({ bytes, position, length }: BytesView): number | undefined {
  const textLength = cStringLength(bytes, position, length);
  if (textLength === 0) return 0;
  const spaces = leadingSpaces(bytes, position, textLength);
  const score = parseFloat64(bytes, position + spaces, textLength - spaces);
  return score !== undefined && score !== 0 && Math.abs(score) < NORMAL_DOUBLE_MIN
    ? undefined
    : score;
}

function sortItems(items: Item[], alpha: boolean, descending: boolean): void {
  const compare = alpha ? compareTexts : compareScores;
  items.sort(descending ? (a, b) => compare(b, a) : compare);
}

/** Elements with equal scores are compared themselves, so that the order is always the same. */
function compareScores(a: Item, b: Item): number {
  if (a.score < b.score) return -1;
  return a.score > b.score ? 1 : Buffer.compare(a.bytes, b.bytes);
}

/** Items without a text come first. */
function compareTexts(a: Item, b: Item): number {
  if (a.text === undefined || b.text === undefined)
    return Number(b.text === undefined) - Number(a.text === undefined);
  return Buffer.compare(a.text, b.text);
}

/**
 * Sets `view` to the value that the pattern gives for an element: `#` is the element itself,
 * `weight_*` a string, `obj_*->f` a field of a hash. Returns false when there is no such value.
 */
function lookUp(
  context: CommandContext,
  pattern: Uint8Array,
  element: Uint8Array,
  view: BytesView,
): boolean {
  if (pattern.length === 1 && pattern[0] === HASH_MARK) {
    view.bytes = element;
    view.position = 0;
    view.length = element.length;
    return true;
  }
  const star = pattern.indexOf(STAR);
  if (star < 0) return false;
  const arrow = Buffer.from(pattern.buffer, pattern.byteOffset, pattern.length).indexOf(
    '->',
    star + 1,
  );
  const hasField = arrow >= 0 && arrow + 2 < pattern.length;
  const rest = pattern.subarray(star + 1, hasField ? arrow : pattern.length);
  const key = Buffer.concat([pattern.subarray(0, star), element, rest]);
  const { db, server } = context;
  const entry = context.findLive(db, key, 0, key.length, false);
  if (entry === NIL) {
    server.stats.keyspaceMisses++;
    context.notifyKey(EventClass.KEY_MISS, 'keymiss', context.client.dbIndex, key, 0, key.length);
    return false;
  }
  server.stats.keyspaceHits++;
  context.noteAccess(entry);
  if (!hasField) {
    if (db.type(entry) !== ValueType.STRING) return false;
    db.stringInto(entry, view);
    return true;
  }
  if (db.type(entry) !== ValueType.HASH) return false;
  const fields = openHash(context, entry);
  if (!fields.find(pattern, arrow + 2, pattern.length - arrow - 2)) return false;
  fields.readFound();
  view.bytes = fields.value.bytes;
  view.position = fields.value.position;
  view.length = fields.value.length;
  return true;
}

function answer(context: CommandContext, query: SortQuery, part: readonly Item[]): void {
  const { reply } = context;
  const view = new BytesView();
  reply.array(part.length * Math.max(1, query.get.length));
  for (const { bytes } of part) {
    if (query.get.length === 0) reply.bulk(bytes, 0, bytes.length);
    for (const pattern of query.get) {
      if (lookUp(context, pattern, bytes, view)) reply.bulk(view.bytes, view.position, view.length);
      else reply.nil();
    }
  }
}

/**
 * Stores the result as a list. A missing value becomes an empty string. With `asList` the
 * stream carries the list instead of the command: after a sort by numbers, since Redis' SORT checks
 * errno, which an earlier command may have set, so a replica might refuse the command; and after one
 * by the texts of other keys, since elements whose texts are equal have no order there that is sure.
 */
function store(
  context: CommandContext,
  query: SortQuery,
  part: readonly Item[],
  asList: boolean,
): void {
  const { reply, server, db } = context;
  const { storeAt } = query;
  const count = part.length * Math.max(1, query.get.length);
  reply.integer(count);
  if (count === 0) {
    const entry = context.lookupWrite(storeAt);
    if (entry === NIL) return;
    context.removeEntry(entry);
    if (asList) context.replicateAs('DEL', context.request.copy(storeAt));
    context.changed(storeAt);
    context.notify(EventClass.GENERIC, 'del', storeAt);
    return;
  }
  const elements: Uint8Array[] = [];
  const { list } = server.keyspace.structures;
  const view = new BytesView();
  newList(context, list);
  const push = (bytes: Uint8Array, position: number, length: number): void => {
    list.prepareFor(1, length);
    list.push(false, bytes, position, length);
    if (asList) elements.push(Uint8Array.from(bytes.subarray(position, position + length)));
  };
  for (const { bytes } of part) {
    if (query.get.length === 0) push(bytes, 0, bytes.length);
    for (const pattern of query.get) {
      if (lookUp(context, pattern, bytes, view)) push(view.bytes, view.position, view.length);
      else push(NO_BYTES, 0, 0);
    }
  }
  const entry = context.lookupWrite(storeAt);
  if (entry === NIL) addList(context, storeAt, list);
  else
    db.overwriteObject(
      entry,
      ValueType.LIST,
      list.large ? Encoding.QUICKLIST : Encoding.LISTPACK,
      list.ref,
      false,
    );
  if (asList) replicateList(context, storeAt, elements);
  context.changes += count;
  context.modified(storeAt);
  context.notify(EventClass.LIST, 'sortstore', storeAt);
}

/** Sends commands to the stream that replace the value of the key in argument `index` by a list. */
function replicateList(
  context: CommandContext,
  index: number,
  elements: readonly Uint8Array[],
): void {
  const key = context.request.copy(index);
  context.replicateAs('DEL', key);
  for (let at = 0; at < elements.length; at += PUSHED_AT_ONCE)
    context.replicateAs('RPUSH', key, ...elements.slice(at, at + PUSHED_AT_ONCE));
}
