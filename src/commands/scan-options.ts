/** What SCAN, HSCAN, SSCAN and ZSCAN have in common: cursor and options. Main thread. */
import { globMatch } from '../base/glob.ts';
import { integerArgument, SYNTAX_ERROR } from './arguments.ts';
import type { CommandContext } from './context.ts';

const COUNT_DEFAULT = 10;
/** A higher COUNT is taken for this: what one call does must not hold up all others. */
const COUNT_MAX = 65_536;
/**
 * Positions of a table that a call looks at, per element asked for, before it answers with less.
 */
export const SCAN_STEPS_PER_ELEMENT = 10;
const STAR = 0x2a;
const UINT64_MAX = 0xffff_ffff_ffff_ffffn;

export interface ScanOptions {
  count: number;
  /** Arguments of the pattern and the type; 0 for none. */
  matchAt: number;
  typeAt: number;
}

/**
 * The cursor in argument `index`, or -1 after the error has been answered. Redis reads it by
 * strtoul: nothing is 0, and with a minus it counts down from 2^64. Only its low 32 bits can be
 * ours.
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
 * The options from argument `from` on; TYPE where `ofKeys`. Undefined after the error has been
 * answered.
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

/** Whether the bytes match the pattern in argument `patternAt`; all do when that is 0. */
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
