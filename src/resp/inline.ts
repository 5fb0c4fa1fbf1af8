/**
 * Splits an inline request into words, with the quoting of Redis' sdssplitargs:
 *
 *   SET key "a\x41\n"   double quotes know \n \r \t \b \a \xHH and take any other
 *                       escaped byte as it is
 *   SET key 'it\'s'     single quotes know \' only
 *   SET a"b c" d        quotes may begin inside a word, and a closing quote ends it: a space or
 *                       the end must follow
 *
 * Configuration files use the same grammar. Main thread. Not hot: only people and health checks
 * send inline requests.
 */
import { CR, LF, SPACE } from './tokens.ts';

const DOUBLE_QUOTE = 0x22;
const SINGLE_QUOTE = 0x27;
const BACKSLASH = 0x5c;
const TAB = 0x09;
const LOWER_X = 0x78;

interface Words {
  bytes: Uint8Array;
  start: number;
  end: number;
  add(position: number, length: number): void;
}

/**
 * Adds the words of source[start, end) to `words`. Returns false when the quotes do not balance.
 * Words without a quote stay in place. If there is a quote, `words.bytes` becomes a new array with
 * the line and, behind it, the words, which need at most as many bytes again. `words.start` and
 * `words.end` are then moved to the copy of the line. The caller has set them to the line with its
 * line end.
 */
export function splitWords(words: Words, source: Uint8Array, start: number, end: number): boolean {
  words.bytes = source;
  for (let at = start; at < end; at++) {
    if (source[at] === DOUBLE_QUOTE || source[at] === SINGLE_QUOTE)
      return splitQuoted(words, source, start, end);
  }
  let at = start;
  while (true) {
    while (at < end && isSpace(source[at]!)) at++;
    if (at === end) return true;
    const word = at;
    while (at < end && !endsWord(source[at]!)) at++;
    words.add(word, at - word);
  }
}

function splitQuoted(words: Words, source: Uint8Array, start: number, end: number): boolean {
  const lineBytes = words.end - words.start;
  const bytes = new Uint8Array(lineBytes * 2);
  bytes.set(source.subarray(words.start, words.end));
  words.bytes = bytes;
  words.start = 0;
  words.end = lineBytes;

  let out = lineBytes;
  let at = start;
  while (true) {
    while (at < end && isSpace(source[at]!)) at++;
    if (at === end) return true;
    const word = out;
    let quote = 0;
    for (; ; at++) {
      if (at === end) {
        if (quote !== 0) return false;
        break;
      }
      const byte = source[at]!;
      if (quote === 0) {
        if (endsWord(byte)) break;
        if (byte === DOUBLE_QUOTE || byte === SINGLE_QUOTE) quote = byte;
        else bytes[out++] = byte;
      } else if (byte === quote) {
        at++;
        if (at < end && !isSpace(source[at]!)) return false;
        break;
      } else if (byte !== BACKSLASH || at + 1 === end) {
        bytes[out++] = byte;
      } else if (quote === SINGLE_QUOTE) {
        if (source[at + 1] === SINGLE_QUOTE) at++;
        bytes[out++] = source[at]!;
      } else {
        const hex =
          source[at + 1] === LOWER_X && at + 3 < end
            ? hexByte(source[at + 2]!, source[at + 3]!)
            : -1;
        bytes[out++] = hex >= 0 ? hex : unescaped(source[at + 1]!);
        at += hex >= 0 ? 3 : 1;
      }
    }
    words.add(word, out - word);
  }
}

/**
 * Returns whether C's isspace accepts the byte. Vertical tab and form feed are skipped between
 * words, but do not end a word.
 */
function isSpace(byte: number): boolean {
  return byte === SPACE || (byte >= TAB && byte <= CR);
}

function endsWord(byte: number): boolean {
  return byte === SPACE || byte === TAB || byte === LF || byte === CR;
}

function hexByte(high: number, low: number): number {
  const value = hexDigit(high) * 16 + hexDigit(low);
  return Number.isNaN(value) ? -1 : value;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : Number.NaN;
}

function unescaped(byte: number): number {
  switch (byte) {
    case 0x6e:
      return LF;
    case 0x72:
      return CR;
    case 0x74:
      return TAB;
    case 0x62:
      return 0x08;
    case 0x61:
      return 0x07;
    default:
      return byte;
  }
}
