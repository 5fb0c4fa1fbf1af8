/**
 * ZUNION, ZINTER and ZDIFF, their variants that store the result, and ZINTERCARD. Main thread.
 *
 * A result is a sorted set in the arena. It is stored, or answered and freed. As in Redis, inputs
 * are read in the order of their lengths, shortest first, because sums of fractions depend on the
 * order.
 */
import { parseFloat64 } from '../../base/bytes.ts';
import type { SortedSet } from '../../structs/sorted-set.ts';
import { integerArgument, SYNTAX_ERROR } from '../arguments.ts';
import type { CommandContext } from '../context.ts';
import { type Input, type MemberSource, readInputs } from './sources.ts';
import { replyMember, storeSet } from './value.ts';

const Combination = { UNION: 0, INTERSECTION: 1, DIFFERENCE: 2 } as const;
type Combination = (typeof Combination)[keyof typeof Combination];

type Aggregation = (a: number, b: number) => number;

const sum: Aggregation = (a, b) => orZero(a + b);
/**
 * `b` is NaN when the weight of an infinite score is 0. The comparison ignores it; Math.min and
 * Math.max would return it.
 */
const least: Aggregation = (a, b) => {
  if (b < a) return b;
  return a;
};
const greatest: Aggregation = (a, b) => {
  if (b > a) return b;
  return a;
};

/** The sum of infinities of both signs, and zero times infinity, are zero. */
const orZero = (value: number): number => (Number.isNaN(value) ? 0 : value);

interface CombineRequest {
  readonly combination: Combination;
  /** Argument of the key to store to, 0 for none. */
  readonly storeAt: number;
  readonly cardinalityOnly: boolean;
  readonly inputs: readonly Input[];
  aggregate: Aggregation;
  withScores: boolean;
  /** The limit of ZINTERCARD, 0 for none. */
  limit: number;
}

export function zunion(context: CommandContext): void {
  combine(context, Combination.UNION, 'zunion');
}

export function zinter(context: CommandContext): void {
  combine(context, Combination.INTERSECTION, 'zinter');
}

export function zdiff(context: CommandContext): void {
  combine(context, Combination.DIFFERENCE, 'zdiff');
}

export function zunionstore(context: CommandContext): void {
  store(context, Combination.UNION, 'zunionstore');
}

export function zinterstore(context: CommandContext): void {
  store(context, Combination.INTERSECTION, 'zinterstore');
}

export function zdiffstore(context: CommandContext): void {
  store(context, Combination.DIFFERENCE, 'zdiffstore');
}

export function zintercard(context: CommandContext): void {
  const asked = parse(context, Combination.INTERSECTION, 1, 'zintercard', true);
  if (asked === undefined) return;
  let count = 0;
  eachCommon(asked, () => {
    count++;
    return count !== asked.limit;
  });
  context.reply.integer(count);
}

function store(context: CommandContext, combination: Combination, name: string): void {
  const asked = parse(context, combination, 2, name, false);
  if (asked !== undefined) storeSet(context, asked.storeAt, resultOf(context, asked), name);
}

function combine(context: CommandContext, combination: Combination, name: string): void {
  const asked = parse(context, combination, 1, name, false);
  if (asked === undefined) return;
  const { reply } = context;
  const result = resultOf(context, asked);
  const { withScores } = asked;
  const count = result.count();
  reply.array(withScores && reply.protocol === 2 ? count * 2 : count);
  for (let more = result.seek(0); more; more = result.next()) {
    if (withScores && reply.protocol === 3) reply.array(2);
    replyMember(context, result);
    if (withScores) reply.double(result.score);
  }
  result.free();
}

/** Reads the arguments from the number of keys on. Returns undefined after an error reply. */
function parse(
  context: CommandContext,
  combination: Combination,
  countAt: number,
  name: string,
  cardinalityOnly: boolean,
): CombineRequest | undefined {
  const { request, reply } = context;
  const keys = integerArgument(context, countAt);
  if (Number.isNaN(keys)) return undefined;
  if (keys < 1) {
    reply.error(`ERR at least 1 input key is needed for '${name}' command`);
    return undefined;
  }
  if (keys > request.argc - countAt - 1) {
    reply.error(SYNTAX_ERROR);
    return undefined;
  }
  const inputs = readInputs(context, countAt + 1, keys);
  if (inputs === undefined) return undefined;
  const asked: CombineRequest = {
    combination,
    storeAt: countAt - 1,
    cardinalityOnly,
    inputs,
    aggregate: sum,
    withScores: false,
    limit: 0,
  };
  return parseOptions(context, asked, countAt + 1 + keys) ? asked : undefined;
}

function parseOptions(context: CommandContext, asked: CombineRequest, from: number): boolean {
  const { request } = context;
  const { inputs, cardinalityOnly } = asked;
  const weighted = asked.combination !== Combination.DIFFERENCE && !cardinalityOnly;
  for (let at = from; at < request.argc; at++) {
    const left = request.argc - at - 1;
    if (weighted && left >= inputs.length && request.equalsIgnoreCase(at, 'WEIGHTS')) {
      if (!parseWeights(context, inputs, at + 1)) return false;
      at += inputs.length;
    } else if (weighted && left >= 1 && request.equalsIgnoreCase(at, 'AGGREGATE')) {
      const aggregation = aggregationAt(context, ++at);
      if (aggregation === undefined) return syntaxError(context);
      asked.aggregate = aggregation;
    } else if (
      asked.storeAt === 0 &&
      !cardinalityOnly &&
      request.equalsIgnoreCase(at, 'WITHSCORES')
    ) {
      asked.withScores = true;
    } else if (cardinalityOnly && left >= 1 && request.equalsIgnoreCase(at, 'LIMIT')) {
      asked.limit = limitArgument(context, ++at);
      if (Number.isNaN(asked.limit)) return false;
    } else {
      return syntaxError(context);
    }
  }
  return true;
}

function syntaxError(context: CommandContext): false {
  context.reply.error(SYNTAX_ERROR);
  return false;
}

function parseWeights(context: CommandContext, inputs: readonly Input[], from: number): boolean {
  const { request, reply } = context;
  for (const [i, input] of inputs.entries()) {
    const weight = parseFloat64(
      request.bytes,
      request.position[from + i]!,
      request.length[from + i]!,
    );
    if (weight === undefined) {
      reply.error('ERR weight value is not a float');
      return false;
    }
    input.weight = weight;
  }
  return true;
}

function aggregationAt(context: CommandContext, at: number): Aggregation | undefined {
  const { request } = context;
  if (request.equalsIgnoreCase(at, 'SUM')) return sum;
  if (request.equalsIgnoreCase(at, 'MIN')) return least;
  return request.equalsIgnoreCase(at, 'MAX') ? greatest : undefined;
}

function limitArgument(context: CommandContext, at: number): number {
  const error = "ERR LIMIT can't be negative";
  const limit = integerArgument(context, at, error);
  if (Number.isNaN(limit) || limit >= 0) return limit;
  context.reply.error(error);
  return Number.NaN;
}

/** Returns the result, a set that the caller stores or frees. */
function resultOf(context: CommandContext, asked: CombineRequest): SortedSet {
  const result = context.server.keyspace.structures.newSortedSet();
  // As in Redis the result is large at first. Otherwise -0 would lose its sign in a reply.
  result.create(true);
  try {
    if (asked.combination === Combination.UNION) unite(context, asked, result);
    else if (asked.combination === Combination.DIFFERENCE) subtract(context, asked, result);
    else {
      eachCommon(asked, (score, source) => {
        addFrom(context, source, score, result);
        return true;
      });
    }
  } catch (error) {
    // There is no memory for the whole result.
    result.free();
    throw error;
  }
  return result;
}

/** Sorts by length, shortest first. Inputs of equal length keep their order. */
function byLength(inputs: readonly Input[]): Input[] {
  return [...inputs].sort((a, b) => (a.source?.count() ?? 0) - (b.source?.count() ?? 0));
}

/** Adds the current member of a source to the result, unless it is there already. */
function addFrom(
  context: CommandContext,
  source: MemberSource,
  score: number,
  result: SortedSet,
): void {
  const { zsetMaxListpackEntries, zsetMaxListpackValue } = context.server.settings;
  const { bytes, position, length } = source.member();
  if (result.find(bytes, position, length)) return;
  result.add(score, bytes, position, length, zsetMaxListpackEntries, zsetMaxListpackValue);
}

function unite(context: CommandContext, asked: CombineRequest, result: SortedSet): void {
  for (const { source, weight } of byLength(asked.inputs)) {
    if (source === undefined) continue;
    for (let more = source.seek(0); more; more = source.next()) {
      const score = orZero(source.score * weight);
      const { bytes, position, length } = source.member();
      if (!result.find(bytes, position, length)) {
        addFrom(context, source, score, result);
        continue;
      }
      const total = asked.aggregate(result.score, score);
      if (!Object.is(total, result.score)) result.setFoundScore(total);
    }
  }
}

/**
 * Calls `visit` with each member that all inputs have, until it returns false. Its arguments are
 * the score, and the source that stands at the member.
 */
function eachCommon(
  asked: CombineRequest,
  visit: (score: number, source: MemberSource) => boolean,
): void {
  const [first, ...others] = byLength(asked.inputs);
  const source = first!.source;
  if (source === undefined) return;
  for (let more = source.seek(0); more; more = source.next()) {
    let score = orZero(source.score * first!.weight);
    let common = true;
    for (const other of others) {
      const value = scoreIn(other, first!, source);
      common = !Number.isNaN(value);
      if (!common) break;
      score = asked.aggregate(score, value * other.weight);
    }
    if (common && !visit(score, source)) return;
  }
}

/**
 * Returns the score that the current member of `source`, the first input, has in another input, or
 * NaN.
 */
function scoreIn(input: Input, first: Input, source: MemberSource): number {
  if (input.entry === first.entry) return source.score;
  const { bytes, position, length } = source.member();
  return input.source?.find(bytes, position, length) === true ? input.source.score : Number.NaN;
}

function subtract(context: CommandContext, asked: CombineRequest, result: SortedSet): void {
  const [first, ...others] = asked.inputs;
  const source = first!.source;
  if (source === undefined) return;
  for (let more = source.seek(0); more; more = source.next()) {
    const elsewhere = others.some((other) => !Number.isNaN(scoreIn(other, first!, source)));
    if (!elsewhere) addFrom(context, source, source.score, result);
  }
}
