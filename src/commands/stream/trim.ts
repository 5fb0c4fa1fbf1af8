/**
 * Hot path. The trim options of XADD and XTRIM, and their form in the stream. Main thread.
 *
 * `~` may stop anywhere, so the stream carries the result: `MAXLEN = length` or `MINID = first id`.
 * A LIMIT is kept in place but has no effect there.
 */

import type { StreamEntries } from '../../structs/stream-entries.ts';
import { StreamId } from '../../structs/stream-id.ts';
import { integerArgument, SYNTAX_ERROR } from '../arguments.ts';
import type { CommandContext } from '../context.ts';
import { idArgument } from './value.ts';

const NO_MAXLEN = -1;
const LIMIT_NODES = 100;
/** The default limit in entries, when the configuration sets none for a node. */
const LIMIT_ENTRIES_DEFAULT = 10_000;
const LIMIT_ENTRIES_MAX = 1_000_000;

export class TrimOptions {
  noMakeStream = false;
  trims = false;
  maxLength = NO_MAXLEN;
  byId = false;
  readonly minId = new StreamId();
  approximate = false;
  #limit = 0;
  #limitGiven = false;
  /** Index of the argument with the bound. */
  #boundAt = 0;
  /** Index of the argument behind the options, which is the id in XADD. */
  end = 0;

  /** Reads the options from argument 2 on. Returns false after an error reply. */
  parse(context: CommandContext, isAdd: boolean): boolean {
    this.noMakeStream = false;
    this.trims = false;
    this.approximate = false;
    this.#limit = 0;
    this.#limitGiven = false;
    const { request, reply } = context;
    let at = 2;
    for (; at < request.argc; at++) {
      const more = request.argc - 1 - at;
      const length = request.length[at]!;
      if (isAdd && length === 1 && request.equalsIgnoreCase(at, '*')) break;
      if (length === 6 && more > 0 && request.equalsIgnoreCase(at, 'MAXLEN')) {
        at = this.#parseBound(context, at, false);
      } else if (length === 5 && more > 0 && request.equalsIgnoreCase(at, 'MINID')) {
        at = this.#parseBound(context, at, true);
      } else if (length === 5 && more > 0 && request.equalsIgnoreCase(at, 'LIMIT')) {
        at = this.#parseLimit(context, at);
      } else if (isAdd && length === 10 && request.equalsIgnoreCase(at, 'NOMKSTREAM')) {
        this.noMakeStream = true;
      } else if (isAdd) break;
      else {
        reply.error(SYNTAX_ERROR);
        return false;
      }
      if (at < 0) return false;
    }
    this.end = at;
    return true;
  }

  /**
   * Reads the bound whose name is argument `at`. Returns the index of its last argument, or -1
   * after an error reply.
   */
  #parseBound(context: CommandContext, at: number, byId: boolean): number {
    const { request, reply } = context;
    if (this.trims) {
      reply.error('ERR syntax error, MAXLEN and MINID options at the same time are not compatible');
      return -1;
    }
    this.approximate = false;
    let index = at + 1;
    if (request.argc - 1 - at > 1 && request.length[index] === 1) {
      if (request.equalsIgnoreCase(index, '~')) {
        this.approximate = true;
        index++;
      } else if (request.equalsIgnoreCase(index, '=')) index++;
    }
    this.trims = true;
    this.byId = byId;
    this.#boundAt = index;
    if (byId) return idArgument(context, index, this.minId, 0) ? index : -1;
    this.maxLength = integerArgument(context, index);
    if (Number.isNaN(this.maxLength)) return -1;
    if (this.maxLength < 0) {
      reply.error('ERR The MAXLEN argument must be >= 0.');
      return -1;
    }
    return index;
  }

  #parseLimit(context: CommandContext, at: number): number {
    this.#limit = integerArgument(context, at + 1);
    if (Number.isNaN(this.#limit)) return -1;
    if (this.#limit < 0) {
      context.reply.error('ERR The LIMIT argument must be >= 0.');
      return -1;
    }
    this.#limitGiven = true;
    return at + 1;
  }

  /**
   * Returns whether the options are consistent. Otherwise answers the error. A primary's stream may
   * have `=` together with LIMIT.
   */
  areConsistent(context: CommandContext, isAdd: boolean): boolean {
    if (this.#limit !== 0 && !this.trims) {
      context.reply.error(
        'ERR syntax error, LIMIT cannot be used without specifying a trimming strategy',
      );
      return false;
    }
    if (!isAdd && !this.trims) {
      context.reply.error('ERR syntax error, XTRIM must be called with a trimming strategy');
      return false;
    }
    if (this.#limitGiven && !this.approximate && !context.client.fromPrimary) {
      context.reply.error('ERR syntax error, LIMIT cannot be used without the special ~ option');
      return false;
    }
    return true;
  }

  /** Trims as the options say. Returns the number of deleted entries. */
  apply(context: CommandContext, entries: StreamEntries): number {
    let limit = 0;
    // A command of a primary is exact, whatever its LIMIT.
    if (this.approximate && !context.client.fromPrimary) {
      limit = this.#limitGiven
        ? this.#limit
        : defaultLimit(context.server.settings.streamNodeMaxEntries);
    }
    return this.byId
      ? entries.trimBefore(this.minId, this.approximate, limit)
      : entries.trimToLength(this.maxLength, this.approximate, limit);
  }

  /** Returns the words of the request for the stream, with the generated id and an exact trim. */
  replicated(
    context: CommandContext,
    entries: StreamEntries,
    id: StreamId | undefined,
  ): (Uint8Array | string)[] {
    const { request } = context;
    const words: (Uint8Array | string)[] = [];
    for (let i = 0; i < request.argc; i++) words.push(request.copy(i));
    if (id !== undefined) words[this.end] = id.toString();
    if (this.trims && this.approximate) {
      const bound = this.#boundAt;
      words[bound - 1] = '=';
      if (this.byId) {
        // No entry is left, so all were before the bound.
        if (!entries.readFirstStored(edge)) edge.setMax();
        words[bound] = edge.toString();
      } else words[bound] = String(entries.length);
    }
    return words;
  }
}
const edge = new StreamId();

function defaultLimit(nodeEntriesMax: number): number {
  const limit = nodeEntriesMax * LIMIT_NODES;
  if (limit <= 0) return LIMIT_ENTRIES_DEFAULT;
  return Math.min(limit, LIMIT_ENTRIES_MAX);
}
