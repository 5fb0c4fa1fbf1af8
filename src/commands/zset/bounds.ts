/**
 * The bounds of ranges in sorted sets: ranks, scores or members. All are converted to ranks [from,
 * until). Main thread.
 */
import { cStringLength, latin1, leadingSpaces, parseFloat64 } from '../../base/bytes.ts';
import type { SortedSet } from '../../structs/sorted-set.ts';
import { integerArgument } from '../arguments.ts';
import type { CommandContext } from '../context.ts';

export const RangeKind = { RANK: 0, SCORE: 1, MEMBER: 2 } as const;
export type RangeKind = (typeof RangeKind)[keyof typeof RangeKind];

const PARENTHESIS = 0x28;
const BRACKET = 0x5b;
const PLUS = 0x2b;
const MINUS = 0x2d;
/**
 * A bound that is not a plain number is parsed again as strtod does, unless it is longer than this,
 * in bytes.
 */
const ODD_BOUND_BYTES_MAX = 512;

/** An end of a range of members. */
const End = { LOWEST: 0, HIGHEST: 1, INCLUSIVE: 2, EXCLUSIVE: 3, NONE: 4 } as const;
type End = (typeof End)[keyof typeof End];

/** A range that two arguments give. All commands of a kind share one object. */
export class RangeBounds {
  /** Ranks [from, until) after {@link apply}. */
  from = 0;
  until = 0;
  #kind: RangeKind = RangeKind.RANK;
  /** The bounds of kinds RANK and SCORE: numbers. */
  #min = 0;
  #max = 0;
  #minExclusive = false;
  #maxExclusive = false;
  /** The bounds of kind MEMBER: the arguments and the kinds of ends. */
  #minAt = 0;
  #maxAt = 0;
  #minEnd: End = End.NONE;
  #maxEnd: End = End.NONE;

  /** Reads the arguments `minAt` and `maxAt`. Returns false after an error reply. */
  parse(context: CommandContext, kind: RangeKind, minAt: number, maxAt: number): boolean {
    this.#kind = kind;
    this.#minAt = minAt;
    this.#maxAt = maxAt;
    if (kind === RangeKind.RANK) return this.#parseRanks(context);
    if (kind === RangeKind.SCORE) return this.#parseScores(context);
    return this.#parseMembers(context);
  }

  /**
   * Sets {@link from} and {@link until}. With `reverse` the given ranks count from the end, but the
   * results still count from the start.
   */
  apply(context: CommandContext, set: SortedSet, reverse: boolean): void {
    const count = set.count();
    if (this.#kind === RangeKind.RANK) this.#applyRanks(count, reverse);
    else if (this.#kind === RangeKind.SCORE) this.#applyScores(set);
    else this.#applyMembers(context, set, count);
    if (this.until < this.from) this.until = this.from;
  }

  #parseRanks(context: CommandContext): boolean {
    this.#min = integerArgument(context, this.#minAt);
    if (Number.isNaN(this.#min)) return false;
    this.#max = integerArgument(context, this.#maxAt);
    return !Number.isNaN(this.#max);
  }

  #parseScores(context: CommandContext): boolean {
    this.#minExclusive = isExclusive(context, this.#minAt);
    this.#maxExclusive = isExclusive(context, this.#maxAt);
    this.#min = scoreBound(context, this.#minAt, this.#minExclusive);
    this.#max = scoreBound(context, this.#maxAt, this.#maxExclusive);
    if (!Number.isNaN(this.#min) && !Number.isNaN(this.#max)) return true;
    context.reply.error('ERR min or max is not a float');
    return false;
  }

  #parseMembers(context: CommandContext): boolean {
    this.#minEnd = memberEnd(context, this.#minAt);
    this.#maxEnd = memberEnd(context, this.#maxAt);
    if (this.#minEnd !== End.NONE && this.#maxEnd !== End.NONE) return true;
    context.reply.error('ERR min or max not valid string range item');
    return false;
  }

  #applyRanks(count: number, reverse: boolean): void {
    const min = Math.max(0, this.#min < 0 ? this.#min + count : this.#min);
    const max = Math.min(count - 1, this.#max < 0 ? this.#max + count : this.#max);
    this.from = reverse ? count - 1 - max : min;
    this.until = reverse ? count - min : max + 1;
    if (min > max) this.until = this.from;
  }

  #applyScores(set: SortedSet): void {
    this.from = set.countBeforeScore(this.#min, this.#minExclusive);
    this.until = set.countBeforeScore(this.#max, !this.#maxExclusive);
  }

  #applyMembers(context: CommandContext, set: SortedSet, count: number): void {
    this.from = this.#memberRank(context, set, count, this.#minAt, this.#minEnd, End.EXCLUSIVE);
    this.until = this.#memberRank(context, set, count, this.#maxAt, this.#maxEnd, End.INCLUSIVE);
  }

  /**
   * Returns the number of members before an end. When the end is of the kind `counted`, the member
   * of the end is counted, too.
   */
  #memberRank(
    context: CommandContext,
    set: SortedSet,
    count: number,
    at: number,
    end: End,
    counted: End,
  ): number {
    if (end === End.LOWEST) return 0;
    if (end === End.HIGHEST) return count;
    const { bytes, position, length } = context.request;
    return set.countBeforeMember(bytes, position[at]! + 1, length[at]! - 1, end === counted);
  }
}

function isExclusive(context: CommandContext, at: number): boolean {
  const { request } = context;
  return request.length[at]! > 0 && request.bytes[request.position[at]!] === PARENTHESIS;
}

/**
 * Returns the number in a bound, or NaN. Redis parses it with strtod: a zero byte ends it, leading
 * spaces are allowed, an empty text is 0, and a number that is too great is infinity.
 */
function scoreBound(context: CommandContext, at: number, exclusive: boolean): number {
  const { request } = context;
  const skip = exclusive ? 1 : 0;
  const start = request.position[at]! + skip;
  const length = request.length[at]! - skip;
  const value = parseFloat64(request.bytes, start, length);
  if (value !== undefined) return value;
  return oddScoreBound(request.bytes, start, cStringLength(request.bytes, start, length));
}

function oddScoreBound(bytes: Uint8Array, start: number, length: number): number {
  if (length === 0) return 0;
  if (length > ODD_BOUND_BYTES_MAX) return Number.NaN;
  const spaces = leadingSpaces(bytes, start, length);
  const value = parseFloat64(bytes, start + spaces, length - spaces);
  if (value !== undefined) return value;
  const text = latin1(bytes, start + spaces, length - spaces);
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
}

function memberEnd(context: CommandContext, at: number): End {
  const { request } = context;
  const length = request.length[at]!;
  if (length === 0) return End.NONE;
  switch (request.bytes[request.position[at]!]) {
    case PARENTHESIS:
      return End.EXCLUSIVE;
    case BRACKET:
      return End.INCLUSIVE;
    case PLUS:
      return length === 1 ? End.HIGHEST : End.NONE;
    case MINUS:
      return length === 1 ? End.LOWEST : End.NONE;
    default:
      return End.NONE;
  }
}
