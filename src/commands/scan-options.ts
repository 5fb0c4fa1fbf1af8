/** The cursor and the options of SCAN, HSCAN, SSCAN and ZSCAN. Main thread. */
import { globMatch } from '../base/glob.ts';
import { integerArgument, SYNTAX_ERROR } from './arguments.ts';
import type { CommandContext } from './context.ts';

const COUNT_DEFAULT = 10;
/** A higher COUNT is reduced to this, so that one call does not hold up other clients. */
const COUNT_MAX = 65_536;
/**
 * A call looks at up to this many positions of a table per requested element. Then it answers, even
 * with fewer elements.
 */
export const SCAN_STEPS_PER_ELEMENT = 10;
const STAR = 0x2a;
const UINT64_MAX = 0xffff_ffff_ffff_ffffn;

export interface ScanOptions {
  count: number;
  /** Indexes of the arguments with the pattern and the type, 0 for none. */
  matchAt: number;
  typeAt: number;
}

/**
 * Returns the cursor in argument `index`, or -1 after an error reply. Redis parses it with strtoul:
 * an empty text is 0, and a negative number counts from 2^64 down. Only the low 32 bits can be a
 * cursor of ours.
 */
export function cursorArgument(context: CommandContext, index: number): number {
  const text = context.request.latin1(index);
  if (text === '') return 0;
  const [, sign, digits] = /^([+-]?)(\d{1,40})$/.exec(text) ?? [];
  const value = digits === undefined ? UINT64_MAX + 1n : BigInt(digits);
  if (value <= UINT64_MAX) return Number(BigInt.asUintN(32, sign === '-' ? -value : value));
  context.reply.error('ERR invalid cursor');
  return -1;
}

/**
 * Reads the options from argument `from` on, including TYPE if `ofKeys`. Returns undefined after an
 * error reply.
 */
export function scanOptions(
  context: CommandContext,
  from: number,
  ofKeys: boolean,
): ScanOptions | undefined {
  const { request, reply } = context;
  const options: ScanOptions = { count: COUNT_DEFAULT, matchAt: 0, typeAt: 0 };
  for (let i = from; i < request.argc; i += 2) {
    const hasValue = i + 1 < request.argc;
    if (hasValue && request.equalsIgnoreCase(i, 'COUNT')) {
      const count = integerArgument(context, i + 1);
      if (Number.isNaN(count)) return undefined;
      if (count >= 1) {
        options.count = Math.min(count, COUNT_MAX);
        continue;
      }
    } else if (hasValue && request.equalsIgnoreCase(i, 'MATCH')) {
      options.matchAt = i + 1;
      continue;
    } else if (hasValue && ofKeys && request.equalsIgnoreCase(i, 'TYPE')) {
      options.typeAt = i + 1;
      continue;
    }
    reply.error(SYNTAX_ERROR);
    return undefined;
  }
  return options;
}

/**
 * Returns whether the bytes match the pattern in argument `patternAt`. Everything matches when that
 * is 0.
 */
export function matchesPattern(
  context: CommandContext,
  patternAt: number,
  bytes: Uint8Array,
  position: number,
  length: number,
): boolean {
  if (patternAt === 0) return true;
  const { request } = context;
  const start = request.position[patternAt]!;
  const patternLength = request.length[patternAt]!;
  if (patternLength === 1 && request.bytes[start] === STAR) return true;
  return globMatch(request.bytes, start, patternLength, bytes, position, length, false);
}
