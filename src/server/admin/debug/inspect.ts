/**
 * DEBUG LISTPACK, QUICKLIST, HTSTATS and HTSTATS-KEY show the memory layout of a value or a
 * database. The first two write to the log, as Redis does to its standard output.
 */
import { bytePosition, SEGMENT_SHIFT } from '../../../arena/layout.ts';
import { latin1 } from '../../../base/bytes.ts';
import { NIL, type Ref } from '../../../base/units.ts';
import type { CommandContext } from '../../../commands/context.ts';
import type { Database } from '../../../keyspace/database.ts';
import { Encoding, ValueType } from '../../../keyspace/entry.ts';
import {
  behindEntry,
  ELEMENT_TEXT_BYTES_MAX,
  ElementView,
  elementToBytes,
  LISTPACK_HEADER_BYTES,
  listpackBytes,
  readElement,
  TERMINATOR,
} from '../../../structs/listpack-read.ts';
import type { Server } from '../../server.ts';

const NO_SUCH_KEY = 'ERR no such key';
/** The limit of elements and nodes in the log; a list may have millions. */
const SHOWN_MAX = 100;
const ELEMENT_CHARS_MAX = 40;
const CHAINS_SHOWN_MAX = 50;

/** The entry of the key in argument 2, or NIL after the error was sent. */
function entryOf({ request, reply, db }: CommandContext): Ref {
  const entry = db.find(request.bytes, request.position[2]!, request.length[2]!);
  if (entry === NIL) reply.error(NO_SUCH_KEY);
  return entry;
}

export function debugListpack(context: CommandContext, server: Server): void {
  const { reply, db } = context;
  const entry = entryOf(context);
  if (entry === NIL) return;
  if (db.encoding(entry) !== Encoding.LISTPACK) {
    reply.error('ERR Not a listpack encoded object.');
    return;
  }
  const block = db.value(entry);
  const u8 = server.keyspace.arena.u8[block >>> SEGMENT_SHIFT]!;
  for (const line of listpackLines(u8, bytePosition(block))) server.log.notice(line);
  reply.simple('Listpack structure printed on stdout');
}

export function debugQuicklist(context: CommandContext, server: Server): void {
  const { request, reply, db } = context;
  const entry = entryOf(context);
  if (entry === NIL) return;
  if (db.encoding(entry) !== Encoding.QUICKLIST) {
    reply.error('ERR Not a quicklist encoded object.');
    return;
  }
  const isFull = request.argc === 4 && request.integer(3) !== 0;
  const { quicklists } = server.keyspace.structures;
  const list = db.value(entry);
  server.log.notice(`{count: ${quicklists.count(list)}} {nodes: ${quicklists.nodeCount(list)}}`);
  let shown = 0;
  quicklists.eachNode(list, (u8, base, bytes, count, isPacked) => {
    if (shown >= SHOWN_MAX) return;
    shown++;
    server.log.notice(
      `{quicklist node(${shown})} {container: ${isPacked ? 'PACKED' : 'PLAIN'}, count: ${count}, size: ${bytes}}`,
    );
    if (isFull && isPacked) for (const line of listpackLines(u8, base)) server.log.notice(line);
  });
  reply.simple('Quicklist structure printed on stdout');
}

/** What DEBUG OBJECT adds for a list of several nodes, with a space before it; '' for others. */
export function quicklistFields(db: Database, entry: Ref, server: Server): string {
  if (db.encoding(entry) !== Encoding.QUICKLIST) return '';
  const { quicklists } = server.keyspace.structures;
  const list = db.value(entry);
  const nodes = quicklists.nodeCount(list);
  let total = 0;
  quicklists.eachNode(list, (_u8, _base, bytes) => {
    total += bytes;
  });
  const average = (quicklists.count(list) / nodes).toFixed(2);
  const limit = server.config.values.listMaxListpackSize;
  return ` ql_nodes:${nodes} ql_avg_node:${average} ql_listpack_max:${limit} ql_compressed:0 ql_uncompressed_size:${total}`;
}

function listpackLines(u8: Uint8Array, base: number): string[] {
  const view = new ElementView();
  const scratch = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  const lines: string[] = [];
  let count = 0;
  for (let at = base + LISTPACK_HEADER_BYTES; u8[at] !== TERMINATOR; at = behindEntry(u8, at)) {
    if (count < SHOWN_MAX) {
      readElement(u8, at, view);
      const kind = view.isInteger ? 'int' : 'str';
      elementToBytes(view, scratch);
      const text = latin1(view.bytes, view.position, Math.min(view.length, ELEMENT_CHARS_MAX));
      lines.push(`{entry: ${count}, at: ${at - base}, ${kind}} ${JSON.stringify(text)}`);
    }
    count++;
  }
  return [`{total bytes ${listpackBytes(u8, base)} num entries ${count}}`, ...lines];
}

/** Counts buckets by their number of entries. */
class ChainCount {
  readonly buckets: number[] = [];

  readonly add = (entries: number): void => {
    this.buckets[entries] = (this.buckets[entries] ?? 0) + 1;
  };

  /** In the form of Redis' own tables; a chain is the content of one bucket. */
  text(elements: number): string {
    const size = this.buckets.reduce((sum, count) => sum + (count ?? 0), 0);
    const used = size - (this.buckets[0] ?? 0);
    if (elements === 0) return `${FIRST_TABLE}No stats available for empty dictionaries\n`;
    let text = `${FIRST_TABLE} table size: ${size}\n number of elements: ${elements}\n`;
    text += ` different slots: ${used}\n max chain length: ${this.buckets.length - 1}\n`;
    text += ` avg chain length (counted): ${(elements / used).toFixed(2)}\n`;
    text += ` avg chain length (computed): ${(elements / used).toFixed(2)}\n`;
    text += ' Chain length distribution:\n';
    for (const [length, count] of [...this.buckets.entries()].slice(0, CHAINS_SHOWN_MAX)) {
      if ((count ?? 0) > 0)
        text += `   ${length}: ${count} (${((100 * count) / size).toFixed(2)}%)\n`;
    }
    return text;
  }
}

const FIRST_TABLE = 'Hash table 0 stats (main hash table):\n';

export function debugTables({ request, reply }: CommandContext, server: Server): void {
  const index = request.integer(2);
  if (!Number.isInteger(index)) {
    reply.error('ERR value is not an integer or out of range');
    return;
  }
  const db = server.keyspace.databases[index];
  if (db === undefined) {
    reply.error('ERR Out of range database');
    return;
  }
  const chains = new ChainCount();
  db.eachBucket(chains.add);
  const expires = `number of elements: ${db.deadlineCount} (a heap ordered by time, no hash table)\n`;
  reply.verbatim('txt', `[Dictionary HT]\n${chains.text(db.keyCount)}[Expires HT]\n ${expires}`);
}

export function debugTableOf(context: CommandContext, server: Server): void {
  const { reply, db } = context;
  const entry = entryOf(context);
  if (entry === NIL) return;
  const chains = new ChainCount();
  if (!countChains(server, db, entry, chains)) {
    reply.error('ERR The value stored at the specified key is not represented using an hash table');
    return;
  }
  const elements = chains.buckets.reduce((sum, count, length) => sum + (count ?? 0) * length, 0);
  reply.verbatim('txt', chains.text(elements));
}

/** False when the value has no hash table. */
function countChains(server: Server, db: Database, entry: Ref, chains: ChainCount): boolean {
  const { fields, members, sortedTables } = server.keyspace.structures;
  const value = db.value(entry);
  switch (db.encoding(entry)) {
    case Encoding.HASHTABLE:
      if (db.type(entry) === ValueType.HASH) fields.eachBucket(value, chains.add);
      else members.eachBucket(value, chains.add);
      return true;
    case Encoding.SKIPLIST:
      sortedTables.eachBucket(value, chains.add);
      return true;
    default:
      return false;
  }
}
