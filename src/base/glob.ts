/**
 * Glob matching over bytes, as KEYS, SCAN MATCH, PSUBSCRIBE and CONFIG GET understand it. Hot path.
 *
 *   *        any run of bytes, also the empty one
 *   ?        any one byte
 *   [abc]    one of these; [a-z] a range, in either order; [^abc] none of these; \ makes the next
 *            byte literal
 *   \x       the byte x
 *
 * A class that is not closed ends with the pattern. Empty text matches the empty pattern and `*`,
 * but not `**`. Redis' commands do the same: there `*` never reaches the matcher.
 *
 * The matcher remembers only the last star. When a byte does not match, that star takes one more
 * byte; everything before the star stays matched. So the cost is at most pattern times text, and
 * `a*a*a*a*b` costs no more than other patterns.
 */

const STAR = 0x2a;
const QUESTION = 0x3f;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const CARET = 0x5e;
const DASH = 0x2d;
const BACKSLASH = 0x5c;

/**
 * True when `len` bytes of `bytes` at `start` match the pattern, as a whole. Letter case means
 * ASCII letters.
 */
export function globMatch(
  pattern: Uint8Array,
  patternStart: number,
  patternLen: number,
  bytes: Uint8Array,
  start: number,
  len: number,
  ignoreCase: boolean,
): boolean {
  if (len === 0) return patternLen === 0 || (patternLen === 1 && pattern[patternStart] === STAR);
  const patternEnd = patternStart + patternLen;
  const end = start + len;
  let at = patternStart;
  let position = start;
  let afterStar = -1;
  let starPosition = 0;
  while (position < end) {
    if (at < patternEnd) {
      if (pattern[at] === STAR) {
        at++;
        if (at === patternEnd) return true;
        afterStar = at;
        starPosition = position;
        continue;
      }
      const next = matchOne(pattern, at, patternEnd, bytes[position]!, ignoreCase);
      if (next >= 0) {
        at = next;
        position++;
        continue;
      }
    }
    if (afterStar < 0) return false;
    at = afterStar;
    starPosition++;
    position = starPosition;
  }
  while (at < patternEnd && pattern[at] === STAR) at++;
  return at === patternEnd;
}

/** True when the pattern has a special byte; without one, matching is comparing. */
export function globHasMagic(pattern: Uint8Array, start: number, len: number): boolean {
  for (let i = start; i < start + len; i++) {
    const byte = pattern[i];
    if (byte === STAR || byte === QUESTION || byte === OPEN || byte === BACKSLASH) return true;
  }
  return false;
}

/**
 * The position after the pattern's element at `at` when `byte` matches that element, else -1. Not
 * for a star.
 */
function matchOne(
  pattern: Uint8Array,
  at: number,
  patternEnd: number,
  byte: number,
  ignoreCase: boolean,
): number {
  const element = pattern[at]!;
  if (element === QUESTION) return at + 1;
  if (element === OPEN) return matchClass(pattern, at + 1, patternEnd, byte, ignoreCase);
  if (element === BACKSLASH && at + 1 < patternEnd) {
    return sameByte(pattern[at + 1]!, byte, ignoreCase) ? at + 2 : -1;
  }
  return sameByte(element, byte, ignoreCase) ? at + 1 : -1;
}

/** As {@link matchOne} for a class whose bracket lies before `at`. */
function matchClass(
  pattern: Uint8Array,
  at: number,
  patternEnd: number,
  byte: number,
  ignoreCase: boolean,
): number {
  let i = at;
  const negated = i < patternEnd && pattern[i] === CARET;
  if (negated) i++;
  let found = false;
  for (; i < patternEnd; i++) {
    const member = pattern[i]!;
    if (member === BACKSLASH && i + 1 < patternEnd) {
      i++;
      // An escaped member keeps its case even when case is ignored, as in Redis.
      if (pattern[i] === byte) found = true;
    } else if (member === CLOSE) {
      break;
    } else if (i + 2 < patternEnd && pattern[i + 1] === DASH) {
      if (inRange(member, pattern[i + 2]!, byte, ignoreCase)) found = true;
      i += 2;
    } else if (sameByte(member, byte, ignoreCase)) {
      found = true;
    }
  }
  if (found === negated) return -1;
  return i < patternEnd ? i + 1 : patternEnd;
}

function inRange(from: number, to: number, byte: number, ignoreCase: boolean): boolean {
  let low = Math.min(from, to);
  let high = Math.max(from, to);
  let value = byte;
  if (ignoreCase) {
    low = lower(low);
    high = lower(high);
    value = lower(value);
  }
  return value >= low && value <= high;
}

function sameByte(a: number, b: number, ignoreCase: boolean): boolean {
  return a === b || (ignoreCase && lower(a) === lower(b));
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}
