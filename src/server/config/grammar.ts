/**
 * The grammar of redis.conf: one directive a line, words split as in Redis' sdssplitargs.
 *
 *   # comment
 *   name word "quoted \n \x41 \"" 'single \' quoted'
 *
 * Text of a configuration is handled as *byte strings*: JavaScript strings with one character (0 …
 * 255) per byte. So a password may be any bytes, and lengths count bytes. {@link toBytes} and
 * {@link fromBytes} convert from and to text.
 */

/** One directive: its words and its line number. `raw` is the trimmed line. */
export interface Line {
  readonly number: number;
  readonly raw: string;
  /** The first word is in lower case; null when a quote is not closed. */
  readonly words: readonly string[] | null;
}

/** The byte string of a text's UTF-8 form. */
export const toBytes = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');

/** The text of a byte string; bytes that are no UTF-8 become U+FFFD. */
export const fromBytes = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8');

/** A byte string up to its first zero byte. No path, address or name can have one. */
export function upToZero(bytes: string): string {
  const zero = bytes.indexOf('\0');
  return zero < 0 ? bytes : bytes.slice(0, zero);
}

/** The directives of a text, in order, without comments and blank lines. Lines count from 1. */
export function parseLines(text: string): Line[] {
  const lines: Line[] = [];
  const all = text.split('\n');
  for (let i = 0; i < all.length; i++) {
    const raw = trimLine(all[i]!);
    if (raw === '' || raw.startsWith('#')) continue;
    const words = splitWords(raw);
    if (words !== null && words.length === 0) continue;
    if (words !== null) words[0] = words[0]!.toLowerCase();
    lines.push({ number: i + 1, raw, words });
  }
  return lines;
}

export function trimLine(line: string): string {
  return line.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, '');
}

/**
 * The words of a line, or null when a quote is not closed or is followed by anything but a blank. A
 * quote may open in the middle of a word.
 */
export function splitWords(line: string): string[] | null {
  const words: string[] = [];
  let at = 0;
  for (;;) {
    while (at < line.length && isSpace(line[at]!)) at++;
    if (at === line.length) return words;
    let word = '';
    // A word goes on over a vertical tab and a form feed, which only separate words before it.
    while (at < line.length && !endsWord(line[at]!)) {
      const char = line[at]!;
      if (char !== '"' && char !== "'") {
        word += char;
        at++;
        continue;
      }
      const closing = char === '"' ? doubleQuoted(line, at + 1) : singleQuoted(line, at + 1);
      if (closing === null) return null;
      word += closing.word;
      at = closing.end;
      if (at < line.length && !isSpace(line[at]!)) return null;
      break;
    }
    words.push(word);
  }
}

interface Quoted {
  readonly word: string;
  /** Position after the closing quote. */
  readonly end: number;
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', a: '\x07' };

function doubleQuoted(line: string, start: number): Quoted | null {
  let word = '';
  for (let at = start; at < line.length; at++) {
    const char = line[at]!;
    if (char === '"') return { word, end: at + 1 };
    if (char !== '\\' || at + 1 === line.length) {
      word += char;
      continue;
    }
    const hex = line.slice(at + 2, at + 4);
    if (line[at + 1] === 'x' && /^[0-9a-fA-F]{2}$/.test(hex)) {
      word += String.fromCharCode(Number.parseInt(hex, 16));
      at += 3;
    } else {
      at++;
      word += ESCAPES[line[at]!] ?? line[at]!;
    }
  }
  return null;
}

function singleQuoted(line: string, start: number): Quoted | null {
  let word = '';
  for (let at = start; at < line.length; at++) {
    if (line[at] === "'") return { word, end: at + 1 };
    if (line[at] === '\\' && line[at + 1] === "'") at++;
    word += line[at]!;
  }
  return null;
}

/** `bytes` as a double-quoted word that {@link splitWords} reads back. */
export function quote(bytes: string): string {
  let out = '"';
  for (const char of bytes) out += quotedChar(char);
  return `${out}"`;
}

function quotedChar(char: string): string {
  switch (char) {
    case '\\':
    case '"':
      return `\\${char}`;
    case '\n':
      return '\\n';
    case '\r':
      return '\\r';
    case '\t':
      return '\\t';
    case '\x07':
      return '\\a';
    case '\b':
      return '\\b';
    default:
      if (char >= ' ' && char <= '~') return char;
      return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
  }
}

function isSpace(char: string): boolean {
  return char === ' ' || (char >= '\t' && char <= '\r');
}

function endsWord(char: string): boolean {
  return char === ' ' || char === '\n' || char === '\r' || char === '\t';
}
