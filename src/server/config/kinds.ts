/**
 * Kinds of configuration values: how each is read, shown by CONFIG GET, and written by CONFIG
 * REWRITE.
 *
 * A setting has two forms that always agree. CONFIG GET shows `text` (a byte string), and the
 * program uses `value`. An integer above 2^53 is exact in `text`, and the nearest double in
 * `value`.
 */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { systemErrorText } from '../../base/errors.ts';
import { fromBytes, quote, toBytes, upToZero } from './grammar.ts';

export interface Setting<T> {
  readonly value: T;
  readonly text: string;
}

/**
 * The text that CONFIG REWRITE writes after the name. Without `force`, it only replaces a line that
 * already exists.
 */
export interface RewrittenLine {
  readonly words: string;
  readonly force: boolean;
}

export interface Kind<T> {
  /** The shape of a value, for help. */
  readonly shape: string;
  /** True when a line may hold any number of words; else it holds one. */
  readonly multi: boolean;
  readonly initial: Setting<T>;
  /**
   * The new setting, or the error text in Redis' words. `append`: a line of a file adds to lines
   * before it.
   */
  parse(words: readonly string[], before: Setting<T>, append: boolean): Setting<T> | string;
  /** The lines of CONFIG REWRITE; none to remove the directive from the file. */
  rewrite(setting: Setting<T>): readonly RewrittenLine[];
}

export const INT_MAX = 2147483647n;
export const LONG_MAX = 9223372036854775807n;
export const ULONG_MAX = 18446744073709551615n;

const WRONG_COUNT = 'wrong number of arguments';

/** A kind of one word and one line; `parse` sees that word. */
function single<T>(
  shape: string,
  initial: Setting<T>,
  parse: (word: string, before: Setting<T>) => Setting<T> | string,
  shown: (text: string) => string = (text) => text,
): Kind<T> {
  return {
    shape,
    multi: false,
    initial,
    parse: (words, before) => (words.length === 1 ? parse(words[0]!, before) : WRONG_COUNT),
    rewrite: ({ text }) => [{ words: shown(text), force: text !== initial.text }],
  };
}

export function yesNo(initial: 'yes' | 'no'): Kind<boolean> {
  return single('yes|no', { value: initial === 'yes', text: initial }, (word) => {
    const text = word.toLowerCase();
    if (text !== 'yes' && text !== 'no') return "argument must be 'yes' or 'no'";
    return { value: text === 'yes', text };
  });
}

function outOfRange(min: bigint, max: bigint, radix = 10): string {
  return `argument must be between ${min.toString(radix)} and ${max.toString(radix)} inclusive`;
}

const ofInteger = (n: bigint): Setting<number> => ({ value: Number(n), text: n.toString() });

/**
 * A decimal integer. With `clampTo` a value in range is silently brought into that narrower range.
 */
export function integer(
  initial: number,
  min: number | bigint = 0,
  max: number | bigint = INT_MAX,
  clampTo?: readonly [bigint, bigint],
): Kind<number> {
  const low = BigInt(min);
  const high = BigInt(max);
  return single(`integer ${low}..${high}`, ofInteger(BigInt(initial)), (word) => {
    if (!/^(0|-?[1-9][0-9]{0,18})$/.test(word))
      return "argument couldn't be parsed into an integer";
    const n = BigInt(word);
    if (n > LONG_MAX || n < -LONG_MAX - 1n) return "argument couldn't be parsed into an integer";
    if (n < low || n > high) return outOfRange(low, high);
    if (clampTo === undefined) return ofInteger(n);
    return ofInteger(n < clampTo[0] ? clampTo[0] : n > clampTo[1] ? clampTo[1] : n);
  });
}

const UNITS: Readonly<Record<string, bigint>> = {
  '': 1n,
  b: 1n,
  k: 1000n,
  kb: 1024n,
  m: 1000000n,
  mb: 1048576n,
  g: 1000000000n,
  gb: 1073741824n,
};

/**
 * The count of bytes in a word such as `64mb`, or null. A count that does not fit 64 bits is
 * invalid.
 */
export function parseMemory(word: string): bigint | null {
  const match = /^([0-9]{0,20})([a-zA-Z]{0,2})$/.exec(word);
  const unit = match === null ? undefined : UNITS[match[2]!.toLowerCase()];
  if (match === null || unit === undefined) return null;
  const bytes = BigInt(match[1]!) * unit;
  return bytes <= ULONG_MAX ? bytes : null;
}

/** `bytes` in the largest unit that divides it, as CONFIG REWRITE writes it. */
export function formatMemory(bytes: bigint): string {
  if (bytes === 0n) return '0';
  for (const unit of ['gb', 'mb', 'kb']) {
    if (bytes % UNITS[unit]! === 0n) return `${bytes / UNITS[unit]!}${unit}`;
  }
  return bytes.toString();
}

/** A count of bytes, with an optional unit. */
export function memory(
  initial: string,
  min: number | bigint = 0,
  max: number | bigint = LONG_MAX,
): Kind<number> {
  const low = BigInt(min);
  const high = BigInt(max);
  return single(
    'bytes, as in 64mb',
    ofInteger(parseMemory(initial)!),
    (word) => {
      const bytes = parseMemory(word);
      if (bytes === null) return 'argument must be a memory value';
      return bytes < low || bytes > high ? outOfRange(low, high) : ofInteger(bytes);
    },
    (text) => formatMemory(BigInt(text)),
  );
}

/** Bytes, or `n%` of maxmemory, which is a negative value. */
export function memoryOrPercent(initial: string): Kind<number> {
  return single(
    'bytes or percent',
    ofInteger(parseMemory(initial)!),
    (word) => {
      const bytes = parseMemory(word);
      if (bytes !== null) return bytes > LONG_MAX ? outOfRange(-100n, LONG_MAX) : ofInteger(bytes);
      if (!/^(0|[1-9][0-9]{0,17})%$/.test(word))
        return 'argument must be a memory or percent value';
      const percent = Number(word.slice(0, -1));
      if (percent > 100) return 'percentage argument must be less or equal to 100';
      return percent === 0 ? ofInteger(0n) : { value: -percent, text: word };
    },
    (text) => (text.endsWith('%') ? text : formatMemory(BigInt(text))),
  );
}

/** File permissions in octal. */
export function octal(initial: number, max: number): Kind<number> {
  const of = (n: number): Setting<number> => ({ value: n, text: n.toString(8) });
  return single(`octal 0..${max.toString(8)}`, of(initial), (word) => {
    if (!/^[0-7]{0,20}$/.test(word)) return "argument couldn't be parsed as an octal number";
    const n = word === '' ? 0 : Number.parseInt(word, 8);
    return n > max ? outOfRange(0n, BigInt(max), 8) : of(n);
  });
}

function notOneOf(names: readonly string[]): string {
  return `argument(s) must be one of the following: ${names.join(', ')}`;
}

/** `more` are further names, which Redis 7.2 does not know: its error does not list them. */
export function oneOf<
  const Names extends readonly string[],
  const More extends readonly string[] = readonly [],
>(initial: Names[number], names: Names, more?: More): Kind<Names[number] | More[number]> {
  type Name = Names[number] | More[number];
  const all: readonly Name[] = [...names, ...(more ?? [])];
  return single<Name>(all.join('|'), { value: initial, text: initial }, (word) => {
    const text = all.find((name) => name === word.toLowerCase());
    return text === undefined ? notOneOf(names) : { value: text, text };
  });
}

/** An integer from a short list. */
export function oneNumberOf<const Numbers extends readonly number[]>(
  initial: Numbers[number],
  numbers: Numbers,
): Kind<Numbers[number]> {
  const of = (value: Numbers[number]): Setting<Numbers[number]> => ({ value, text: String(value) });
  return single(numbers.join('|'), of(initial), (word) => {
    const value = numbers.find((n) => String(n) === word);
    return value === undefined ? notOneOf(numbers.map(String)) : of(value);
  });
}

const SHUTDOWN_WORDS = ['save', 'nosave', 'now', 'force'] as const;
export type ShutdownWord = (typeof SHUTDOWN_WORDS)[number];

/** Options of a shutdown by signal: `default`, or any of save, nosave, now, force. */
export function shutdownOptions(): Kind<readonly ShutdownWord[]> {
  const initial: Setting<readonly ShutdownWord[]> = { value: [], text: 'default' };
  return {
    shape: 'default, or any of save nosave now force',
    multi: true,
    initial,
    parse(words) {
      const given = words.map((word) => word.toLowerCase());
      const known = (word: string): boolean =>
        word === 'default' || SHUTDOWN_WORDS.some((w) => w === word);
      if (given.length === 0 || !given.every(known))
        return notOneOf(['default', ...SHUTDOWN_WORDS]);
      const value = SHUTDOWN_WORDS.filter((word) => given.includes(word));
      if (value.includes('save') && value.includes('nosave')) {
        return "shutdown options SAVE and NOSAVE can't be used simultaneously";
      }
      return { value, text: value.length === 0 ? 'default' : value.join(' ') };
    },
    rewrite: ({ text }) => [{ words: text, force: text !== initial.text }],
  };
}

const ofText = (text: string): Setting<string> => ({ value: fromBytes(text), text });

/** Bytes up to the first zero byte. `check` returns an error text or null. */
export function string(
  initial: string,
  check: (text: string) => string | null = () => null,
): Kind<string> {
  const parse = (word: string): Setting<string> | string => {
    const text = upToZero(word);
    return check(text) ?? ofText(text);
  };
  return single('text', ofText(initial), parse, quote);
}

/** An empty text means unset, and CONFIG REWRITE removes its line. */
const rewriteOptional = ({ text }: Setting<string>): readonly RewrittenLine[] =>
  text === '' ? [] : [{ words: quote(text), force: true }];

/** As {@link string}. The empty text means unset. */
export function optional(check: (text: string) => string | null = () => null): Kind<string> {
  return { ...string('', check), rewrite: rewriteOptional };
}

/** Any bytes, zero bytes among them. The empty text means unset. */
export function password(): Kind<string> {
  return { ...single('text', ofText(''), ofText), rewrite: rewriteOptional };
}

/** A file's name without a path. */
export function fileName(
  name: string,
  initial: string,
  what = 'filename',
  mayBeEmpty = false,
): Kind<string> {
  return string(initial, (text) => {
    if (text === '' && !mayBeEmpty) return `${name} can't be empty`;
    return /[/\\]/.test(text) ? `${name} can't be a path, just a ${what}` : null;
  });
}

/**
 * The working directory. The process keeps its own: two nodes may run in it. A relative path
 * follows `before`.
 */
export function directory(): Kind<string> {
  return {
    shape: 'path',
    multi: false,
    initial: ofText(''),
    parse(words, before) {
      if (words.length !== 1) return WRONG_COUNT;
      const path = resolve(before.value, fromBytes(upToZero(words[0]!)));
      try {
        if (!statSync(path).isDirectory()) return 'Not a directory';
      } catch (error) {
        return systemErrorText(error);
      }
      return { value: path, text: toBytes(path) };
    },
    rewrite: ({ text }) => [{ words: quote(text), force: true }],
  };
}

export interface SavePoint {
  readonly seconds: number;
  readonly changes: number;
}

const ofSavePoints = (value: readonly SavePoint[]): Setting<readonly SavePoint[]> => ({
  value,
  text: value.map(({ seconds, changes }) => `${seconds} ${changes}`).join(' '),
});

/** The times of automatic saves: pairs of seconds and changes. The empty word means never. */
export function savePoints(initial: readonly SavePoint[]): Kind<readonly SavePoint[]> {
  return {
    shape: 'seconds changes ..., or ""',
    multi: true,
    initial: ofSavePoints(initial),
    parse(words, before, append) {
      if (words.length === 1 && words[0] === '') return ofSavePoints([]);
      if (words.length % 2 !== 0) return 'Invalid save parameters';
      const points: SavePoint[] = append ? [...before.value] : [];
      for (let i = 0; i < words.length; i += 2) {
        const seconds = parseCount(words[i]!, 1);
        const changes = parseCount(words[i + 1]!, 0);
        if (seconds === null || changes === null) return 'Invalid save parameters';
        points.push({ seconds, changes });
      }
      return ofSavePoints(points);
    },
    rewrite: ({ value }) =>
      value.length === 0
        ? [{ words: '""', force: true }]
        : value.map(({ seconds, changes }) => ({ words: `${seconds} ${changes}`, force: true })),
  };
}

/** A count as C's strtoll reads it, with blanks and a plus before it; null below `min`. */
function parseCount(word: string, min: number): number | null {
  if (!/^[ \t-\r]*\+?[0-9]{1,15}$/.test(word)) return null;
  const n = Number(word);
  return n >= min ? n : null;
}

export interface OutputLimit {
  readonly hardBytes: number;
  readonly softBytes: number;
  readonly softSeconds: number;
}

export interface OutputLimits {
  readonly normal: OutputLimit;
  readonly replica: OutputLimit;
  readonly pubsub: OutputLimit;
}

const LIMIT_CLASSES = ['normal', 'replica', 'pubsub'] as const;

const ofLimits = (value: OutputLimits): Setting<OutputLimits> => ({
  value,
  // CONFIG GET says slave, CONFIG REWRITE says replica.
  text: LIMIT_CLASSES.map((name) => {
    const { hardBytes, softBytes, softSeconds } = value[name];
    return `${name === 'replica' ? 'slave' : name} ${hardBytes} ${softBytes} ${softSeconds}`;
  }).join(' '),
});

/**
 * client-output-buffer-limit: groups of class, hard limit, soft limit, seconds. Classes not named
 * keep theirs.
 */
export function outputLimits(initial: OutputLimits): Kind<OutputLimits> {
  return {
    shape: 'normal|replica|pubsub hard soft seconds ...',
    multi: true,
    initial: ofLimits(initial),
    parse(words, before) {
      if (words.length % 4 !== 0) return 'Wrong number of arguments in buffer limit configuration.';
      const limits: { -readonly [K in keyof OutputLimits]: OutputLimit } = { ...before.value };
      for (let i = 0; i < words.length; i += 4) {
        const word = words[i]!.toLowerCase();
        const name = LIMIT_CLASSES.find((c) => c === (word === 'slave' ? 'replica' : word));
        if (name === undefined)
          return 'Invalid client class specified in buffer limit configuration.';
        const hard = parseMemory(words[i + 1]!);
        const soft = parseMemory(words[i + 2]!);
        const softSeconds = parseCount(words[i + 3]!, 0);
        if (hard === null || soft === null || softSeconds === null) {
          return 'Error in hard, soft or soft_seconds setting in buffer limit configuration.';
        }
        limits[name] = { hardBytes: Number(hard), softBytes: Number(soft), softSeconds };
      }
      return ofLimits(limits);
    },
    rewrite: ({ value }) =>
      LIMIT_CLASSES.map((name) => {
        const { hardBytes, softBytes, softSeconds } = value[name];
        const first = initial[name];
        const bytes = `${formatMemory(BigInt(hardBytes))} ${formatMemory(BigInt(softBytes))}`;
        return {
          words: `${name} ${bytes} ${softSeconds}`,
          force:
            hardBytes !== first.hardBytes ||
            softBytes !== first.softBytes ||
            softSeconds !== first.softSeconds,
        };
      }),
  };
}

/** oom-score-adj-values: for primary, replica and child. */
export function oomScores(initial: readonly [number, number, number]): Kind<readonly number[]> {
  const of = (value: readonly number[]): Setting<readonly number[]> => ({
    value,
    text: value.join(' '),
  });
  return {
    shape: 'three integers -2000..2000',
    multi: true,
    initial: of(initial),
    parse(words) {
      if (words.length !== 3) return WRONG_COUNT;
      const scores = words.map((word) =>
        /^[+-]?[0-9]{1,5}$/.test(word) ? Number(word) : Number.NaN,
      );
      return scores.every((score) => Math.abs(score) <= 2000)
        ? of(scores)
        : 'Invalid oom-score-adj-values, elements must be between -2000 and 2000.';
    },
    rewrite: ({ text }) => [{ words: text, force: text !== initial.join(' ') }],
  };
}

/** Classes of keyspace events, as bits of the value of notify-keyspace-events. */
export const KeyspaceEvent = {
  KEYSPACE: 1 << 0,
  KEYEVENT: 1 << 1,
  GENERIC: 1 << 2,
  STRING: 1 << 3,
  LIST: 1 << 4,
  SET: 1 << 5,
  HASH: 1 << 6,
  ZSET: 1 << 7,
  EXPIRED: 1 << 8,
  EVICTED: 1 << 9,
  STREAM: 1 << 10,
  KEY_MISS: 1 << 11,
  MODULE: 1 << 13,
  NEW: 1 << 14,
} as const;

/** The letters that `A` includes, in the order of CONFIG GET; then the others. */
const EVENTS_OF_A: readonly (readonly [string, number])[] = [
  ['g', KeyspaceEvent.GENERIC],
  ['$', KeyspaceEvent.STRING],
  ['l', KeyspaceEvent.LIST],
  ['s', KeyspaceEvent.SET],
  ['h', KeyspaceEvent.HASH],
  ['z', KeyspaceEvent.ZSET],
  ['x', KeyspaceEvent.EXPIRED],
  ['e', KeyspaceEvent.EVICTED],
  ['t', KeyspaceEvent.STREAM],
  ['d', KeyspaceEvent.MODULE],
];
const OTHER_EVENTS: readonly (readonly [string, number])[] = [
  ['K', KeyspaceEvent.KEYSPACE],
  ['E', KeyspaceEvent.KEYEVENT],
  ['m', KeyspaceEvent.KEY_MISS],
  ['n', KeyspaceEvent.NEW],
];
const EVENT_BITS = new Map<string, number>([
  ...EVENTS_OF_A,
  ...OTHER_EVENTS,
  ['A', EVENTS_OF_A.reduce((bits, [, bit]) => bits | bit, 0)],
]);

/**
 * notify-keyspace-events. Unlike Redis 7.0, CONFIG GET also shows `n` beside `A`, so that a rewrite
 * keeps it.
 */
export function keyspaceEvents(): Kind<number> {
  return single(
    'letters of Ag$lshzxeKEtmdn',
    { value: 0, text: '' },
    (word) => {
      let value = 0;
      for (const letter of word) {
        const bit = EVENT_BITS.get(letter);
        if (bit === undefined) return "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";
        value |= bit;
      }
      const letters = (table: typeof OTHER_EVENTS): string =>
        table.map(([letter, bit]) => ((value & bit) !== 0 ? letter : '')).join('');
      const all = EVENT_BITS.get('A')!;
      const classes = (value & all) === all ? 'A' : letters(EVENTS_OF_A);
      return { value, text: classes + letters(OTHER_EVENTS) };
    },
    quote,
  );
}

export const BIND_ADDRESSES_MAX = 16;

/** bind: addresses; a leading dash means that a missing one is no error. */
export function addresses(initial: readonly string[]): Kind<readonly string[]> {
  const of = (value: readonly string[]): Setting<readonly string[]> => ({
    value,
    text: value.join(' '),
  });
  return {
    shape: 'address ...',
    multi: true,
    initial: of(initial),
    parse(words) {
      if (words.length > BIND_ADDRESSES_MAX) return 'Too many bind addresses specified.';
      return of(words.length === 1 && words[0] === '' ? [] : words.map(upToZero));
    },
    rewrite: ({ text }) => {
      if (text === initial.join(' ')) return [];
      return [{ words: text === '' ? '""' : text, force: true }];
    },
  };
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** replicaof: host and port of the primary, or null. */
export function primaryAddress(): Kind<HostPort | null> {
  const none: Setting<HostPort | null> = { value: null, text: '' };
  return {
    shape: 'host port, or no one',
    multi: true,
    initial: none,
    parse(words) {
      if (words.length !== 2) return WRONG_COUNT;
      const [host, port] = [upToZero(words[0]!), words[1]!];
      if (host.toLowerCase() === 'no' && port.toLowerCase() === 'one') return none;
      if (!/^[0-9]{1,5}$/.test(port) || Number(port) > 65535) return 'Invalid master port';
      return {
        value: { host: fromBytes(host), port: Number(port) },
        text: `${host} ${Number(port)}`,
      };
    },
    rewrite: ({ text }) => (text === '' ? [] : [{ words: text, force: true }]),
  };
}

/** A number as C's strtod reads it, or null. Of hexadecimal ones, integers only; no NaN. */
function parseDouble(word: string): number | null {
  const [, sign, digits] =
    /^[ \t-\r]*([+-]?)(inf|infinity|0x[0-9a-f]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)$/i.exec(
      word,
    ) ?? [];
  if (digits === undefined) return null;
  const size = /^inf/i.test(digits) ? Number.POSITIVE_INFINITY : Number(digits);
  return sign === '-' ? -size : size;
}

/** latency-tracking-info-percentiles. */
export function percentiles(initial: readonly number[]): Kind<readonly number[]> {
  const of = (value: readonly number[]): Setting<readonly number[]> => ({
    value,
    text: value.map((p) => p.toFixed(6).replace(/\.?0+$/, '')).join(' '),
  });
  return {
    shape: 'percent ...',
    multi: true,
    initial: of(initial),
    parse(words) {
      if (words.length === 1 && words[0] === '') return of([]);
      const value: number[] = [];
      for (const word of words) {
        const percent = parseDouble(word);
        if (percent === null) return 'Invalid latency-tracking-info-percentiles parameters';
        if (percent < 0 || percent > 100) {
          return 'latency-tracking-info-percentiles parameters should sit between [0.0,100.0]';
        }
        value.push(percent);
      }
      return of(value);
    },
    rewrite: ({ text }) => [{ words: text === '' ? '""' : text, force: true }],
  };
}
