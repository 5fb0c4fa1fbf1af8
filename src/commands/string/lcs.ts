/**
 * LCS: the longest common subsequence of two strings. It fills a table with the lengths for all
 * pairs of prefixes.
 *
 *   length[i][j] = length[i-1][j-1] + 1                 when a[i-1] = b[j-1]
 *                  max(length[i-1][j], length[i][j-1])  otherwise
 *
 * The table has (|a|+1)(|b|+1) numbers. As in Redis, proto-max-bulk-len limits its bytes. The table
 * is read from its end to find the characters, so matches are answered from the last to the first.
 * Main thread.
 */
import { NIL, type Ref } from '../../base/units.ts';
import { BytesView, ValueType } from '../../keyspace/entry.ts';
import { Aggregate } from '../../resp/reply.ts';
import { integerArgument, SYNTAX_ERROR } from '../arguments.ts';
import type { CommandContext } from '../context.ts';

interface Options {
  indexes: boolean;
  lengthOnly: boolean;
  withMatchLength: boolean;
  /** Shorter matches are left out. */
  matchLengthMin: number;
}

interface LengthTable {
  readonly a: BytesView;
  readonly b: BytesView;
  /** Numbers per row: |b| + 1. */
  readonly width: number;
  readonly lengths: Uint32Array;
}

export function lcs(context: CommandContext): void {
  const { reply } = context;
  const first = context.lookupRead(1);
  const second = context.lookupRead(2);
  if (!isStringOrNone(context, first) || !isStringOrNone(context, second)) {
    reply.error('ERR The specified keys must contain string values');
    return;
  }
  const options = parseOptions(context);
  if (options === undefined) return;
  const table = buildTable(context, viewOf(context, first), viewOf(context, second));
  if (table === undefined) return;
  const { a, b, width, lengths } = table;
  const length = lengths[a.length * width + b.length]!;
  if (options.indexes) {
    reply.map(2);
    reply.bulkLatin1('matches');
    replyMatches(context, table, options);
    reply.bulkLatin1('len');
    reply.integer(length);
  } else if (options.lengthOnly) {
    reply.integer(length);
  } else {
    reply.bulk(subsequence(table, length), 0, length);
  }
}

function isStringOrNone(context: CommandContext, entry: Ref): boolean {
  return entry === NIL || context.db.type(entry) === ValueType.STRING;
}

function viewOf(context: CommandContext, entry: Ref): BytesView {
  const view = new BytesView();
  if (entry !== NIL) context.db.stringInto(entry, view);
  return view;
}

function parseOptions(context: CommandContext): Options | undefined {
  const { request, reply } = context;
  const options: Options = {
    indexes: false,
    lengthOnly: false,
    withMatchLength: false,
    matchLengthMin: 0,
  };
  for (let i = 3; i < request.argc; i++) {
    if (request.equalsIgnoreCase(i, 'IDX')) options.indexes = true;
    else if (request.equalsIgnoreCase(i, 'LEN')) options.lengthOnly = true;
    else if (request.equalsIgnoreCase(i, 'WITHMATCHLEN')) options.withMatchLength = true;
    else if (request.equalsIgnoreCase(i, 'MINMATCHLEN') && i + 1 < request.argc) {
      options.matchLengthMin = integerArgument(context, ++i);
      if (Number.isNaN(options.matchLengthMin)) return undefined;
    } else {
      reply.error(SYNTAX_ERROR);
      return undefined;
    }
  }
  if (options.indexes && options.lengthOnly) {
    reply.error('ERR If you want both the length and indexes, please just use IDX.');
    return undefined;
  }
  return options;
}

/** Returns the filled table, or undefined after an error reply. */
function buildTable(context: CommandContext, a: BytesView, b: BytesView): LengthTable | undefined {
  const width = b.length + 1;
  const count = (a.length + 1) * width;
  if (count * 4 > context.server.settings.protoMaxBulkLen) {
    context.reply.error(
      'ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len',
    );
    return undefined;
  }
  const lengths = allocate(count);
  if (lengths === undefined) {
    context.reply.error('ERR Insufficient memory, failed allocating transient memory for LCS');
    return undefined;
  }
  for (let i = 1; i <= a.length; i++) {
    const byte = a.bytes[a.position + i - 1];
    const row = i * width;
    const above = row - width;
    for (let j = 1; j <= b.length; j++) {
      if (b.bytes[b.position + j - 1] === byte) lengths[row + j] = lengths[above + j - 1]! + 1;
      else lengths[row + j] = Math.max(lengths[above + j]!, lengths[row + j - 1]!);
    }
  }
  return { a, b, width, lengths };
}

function allocate(count: number): Uint32Array | undefined {
  try {
    return new Uint32Array(count);
  } catch (error) {
    // The engine throws this when a typed array is too long or there is no memory for it.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function subsequence({ a, b, width, lengths }: LengthTable, length: number): Uint8Array {
  const result = new Uint8Array(length);
  let at = length;
  let i = a.length;
  let j = b.length;
  while (at > 0) {
    if (a.bytes[a.position + i - 1] === b.bytes[b.position + j - 1]) {
      result[--at] = a.bytes[a.position + i - 1]!;
      i--;
      j--;
    } else if (lengths[(i - 1) * width + j]! > lengths[i * width + j - 1]!) {
      i--;
    } else {
      j--;
    }
  }
  return result;
}

/** Answers the runs of characters that are contiguous in both strings. */
function replyMatches(
  context: CommandContext,
  { a, b, width, lengths }: LengthTable,
  options: Options,
): void {
  const { reply } = context;
  const token = reply.deferArray();
  let matches = 0;
  let i = a.length;
  let j = b.length;
  let run = 0;
  while (i > 0 && j > 0) {
    const same = a.bytes[a.position + i - 1] === b.bytes[b.position + j - 1];
    if (same) {
      run++;
      i--;
      j--;
    }
    // A run ends when the next characters differ, or at the start of one of the strings.
    if (run > 0 && (!same || i === 0 || j === 0)) {
      if (run >= options.matchLengthMin) {
        matches++;
        replyMatch(context, i, j, run, options.withMatchLength);
      }
      run = 0;
    }
    if (!same) {
      if (lengths[(i - 1) * width + j]! > lengths[i * width + j - 1]!) i--;
      else j--;
    }
  }
  reply.setDeferred(token, matches, Aggregate.ARRAY);
}

function replyMatch(
  context: CommandContext,
  aStart: number,
  bStart: number,
  length: number,
  withLength: boolean,
): void {
  const { reply } = context;
  reply.array(withLength ? 3 : 2);
  reply.array(2);
  reply.integer(aStart);
  reply.integer(aStart + length - 1);
  reply.array(2);
  reply.integer(bStart);
  reply.integer(bStart + length - 1);
  if (withLength) reply.integer(length);
}
