/**
 * Runs the same commands through a {@link CommandHarness} and a {@link RecordedRedis}. Compares
 * replies, stream, key events, counted changes and, at the end, all keys with value, encoding and
 * deadline.
 *
 * The two clocks differ, so numbers that look like times of this century may differ a little. The
 * reply of a command without a defined order (KEYS) is sorted before it is compared.
 */
import { expect } from 'vitest';
import { CommandHarness, type HarnessOptions } from './command-harness.ts';
import type { RecordedRedis } from './recorded-redis.ts';
import type { Argument } from './resp-client.ts';
import { RespError, type RespValue } from './resp-parser.ts';

/** A test ends long before its times differ by this much. */
const DRIFT_MS = 60_000;
const YEAR_2020_MS = 1_577_836_800_000;
/** Commands whose reply is a time from now, in seconds or ms. OBJECT IDLETIME is one, too. */
const TIME_LEFT: Readonly<Record<string, number>> = {
  TTL: DRIFT_MS / 1000,
  PTTL: DRIFT_MS,
  OBJECT: 60,
};
/** Commands whose reply is a time since 1970. */
const TIMES = new Set(['EXPIRETIME', 'PEXPIRETIME']);
const UNORDERED = new Set([
  'KEYS',
  'SMEMBERS',
  'SPOP',
  'SINTER',
  'SUNION',
  'SDIFF',
  'HKEYS',
  'HVALS',
]);
/** Commands whose reply has pairs in any order. */
const UNORDERED_PAIRS = new Set(['HGETALL']);

export interface Difference {
  readonly command: readonly Argument[];
  readonly ours: unknown;
  readonly theirs: unknown;
}

export class Differential {
  readonly harness: CommandHarness;
  readonly redis: RecordedRedis;
  /** False while commands run whose form in the stream differs from Redis'. */
  comparesStream = true;
  #streamTaken = 0;

  constructor(redis: RecordedRedis, options: HarnessOptions = {}) {
    this.redis = redis;
    this.harness = new CommandHarness({ nowMs: Date.now(), ...options });
  }

  /**
   * Runs a batch on both sides and compares all results. `between` is called before each of our
   * commands.
   */
  async run(
    commands: readonly (readonly Argument[])[],
    between?: (index: number) => void,
  ): Promise<void> {
    const dirtyBefore = await this.redis.dirty();
    const changesBefore = this.harness.dirty;
    this.harness.server.nowMs = Date.now();
    const theirs = await this.redis.run(commands);
    const events: unknown[] = [];
    const differences: Difference[] = [];
    for (const [i, command] of commands.entries()) {
      between?.(i);
      const outcome = this.harness.run(...command);
      events.push(...outcome.events.map((event) => ({ ...event })));
      if (!sameReply(command, outcome.reply, theirs[i]!)) {
        differences.push({ command, ours: outcome.reply, theirs: theirs[i] });
      }
    }
    expect(differences.slice(0, 5).map(shown), 'replies').toEqual([]);
    const stream = this.harness.stream.slice(this.#streamTaken);
    this.#streamTaken = this.harness.stream.length;
    const theirStream = await this.redis.takeStream();
    if (this.comparesStream) expectSameStream(stream.map(as7_0), theirStream);
    expectSameList(
      'key events',
      events.map(eventText),
      (await this.redis.takeEvents()).map(eventText),
    );
    expect(this.harness.dirty - changesBefore, 'changes').toBe(
      (await this.redis.dirty()) - dirtyBefore,
    );
  }

  /** Leaves our stream so far out of the next comparison. */
  skipStream(): void {
    this.#streamTaken = this.harness.stream.length;
  }

  /**
   * Compares all keys of the given databases: value, encoding, deadline. Reads them with commands
   * on both sides.
   */
  async compareKeyspace(
    databases: readonly number[],
    read: (type: string, key: Buffer) => Argument[],
  ): Promise<void> {
    const before = this.harness.client.dbIndex;
    for (const db of databases) {
      await this.run([['SELECT', db], ['DBSIZE'], ['KEYS', '*']]);
      const keys = (this.harness.call('KEYS', '*') as string[]).map((key) =>
        Buffer.from(key, 'latin1'),
      );
      const looks = keys.flatMap((key): Argument[][] => [
        ['TYPE', key],
        ['OBJECT', 'ENCODING', key],
        ['PEXPIRETIME', key],
      ]);
      await this.run(looks);
      await this.run(keys.map((key) => read(String(this.harness.call('TYPE', key)), key)));
    }
    await this.run([['SELECT', before]]);
    this.harness.keyspace.validate();
  }
}

function shown({ command, ours, theirs }: Difference): string {
  const text = (value: unknown): string =>
    JSON.stringify(value, (_, inner) => {
      if (inner instanceof RespError) return `-${inner.message}`;
      return typeof inner === 'bigint' ? `${inner}n` : inner;
    });
  const words = command.map((word) =>
    Buffer.isBuffer(word) ? word.toString('latin1') : String(word),
  );
  return `${words.join(' ')}: ours ${text(ours)}, theirs ${text(theirs)}`;
}

function eventText(event: unknown): string {
  const { db, event: name, key } = event as { db: number; event: string; key: string };
  return `${db} ${name} ${key}`;
}

function sameReply(command: readonly Argument[], ours: RespValue, theirs: RespValue): boolean {
  const name = String(command[0]).toUpperCase();
  const drift = TIME_LEFT[name];
  if (drift !== undefined && isInteger(ours) && isInteger(theirs)) {
    const [a, b] = [Number(ours), Number(theirs)];
    return a === b || (a >= 0 && b >= 0 && Math.abs(a - b) <= drift + a * Number.EPSILON);
  }
  if (TIMES.has(name) && isInteger(ours) && isInteger(theirs)) {
    return ours === theirs || nearTimes(Number(ours), Number(theirs));
  }
  // Short lists are listpacks from Redis 7.2 on; the real server is a 7.0.
  if (name === 'OBJECT' && ours === 'listpack' && theirs === 'quicklist') return true;
  if (name === 'XPENDING') return sameValue(withoutIdleTimes(ours), withoutIdleTimes(theirs));
  if (UNORDERED_PAIRS.has(name)) return sameValue(sortedPairs(ours), sortedPairs(theirs));
  return sameValue(
    UNORDERED.has(name) ? sorted(ours) : ours,
    UNORDERED.has(name) ? sorted(theirs) : theirs,
  );
}

/** Deliveries of XPENDING: id, consumer, ms since then, count. */
function withoutIdleTimes(value: RespValue): RespValue {
  if (!Array.isArray(value)) return value;
  return value.map((each) =>
    Array.isArray(each) && each.length === 4 ? [each[0]!, each[1]!, each[3]!] : each,
  );
}

function isInteger(value: RespValue): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}

function sortedPairs(value: RespValue): RespValue {
  if (!Array.isArray(value)) return value;
  const pairs = value.flatMap((first, i) => (i % 2 === 0 ? [[first, value[i + 1]!]] : []));
  return pairs.sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1));
}

function sorted(value: RespValue): RespValue {
  return Array.isArray(value) ? [...value].sort() : value;
}

function sameValue(ours: RespValue, theirs: RespValue): boolean {
  if (Array.isArray(ours) && Array.isArray(theirs)) {
    return ours.length === theirs.length && ours.every((value, i) => sameValue(value, theirs[i]!));
  }
  if (ours instanceof RespError && theirs instanceof RespError)
    return ours.message === theirs.message;
  return ours === theirs;
}

/**
 * Returns whether these are two times of this century or later, in seconds or ms, that differ
 * little. Ours are doubles, so they are inexact beyond 2^53.
 */
function nearTimes(a: number, b: number): boolean {
  const drift = DRIFT_MS + a * Number.EPSILON;
  if (a >= YEAR_2020_MS && b >= YEAR_2020_MS) return Math.abs(a - b) <= drift;
  const seconds = YEAR_2020_MS / 1000;
  return a >= seconds && b >= seconds && Math.abs(a - b) <= drift / 1000;
}

function sameWord(ours: string, theirs: string): boolean {
  if (ours === theirs) return true;
  return (
    /^\d{13,}$/.test(ours) && /^\d{13,}$/.test(theirs) && nearTimes(Number(ours), Number(theirs))
  );
}

/** Redis 7.0 rewrites a SET that came with PXAT. Redis 7.2 and headwater leave it unchanged. */
function as7_0(words: readonly string[]): readonly string[] {
  const at = words.findLastIndex((word, i) => i >= 3 && word.toUpperCase() === 'PXAT');
  if (words[0]!.toUpperCase() !== 'SET' || at < 0) return words;
  return ['SET', words[1]!, words[2]!, 'PXAT', words[at + 1]!];
}

function expectSameStream(
  ours: readonly (readonly string[])[],
  theirs: readonly (readonly string[])[],
): void {
  const same = (i: number): boolean =>
    ours[i]!.length === theirs[i]!.length &&
    ours[i]!.every((word, j) => sameWord(word, theirs[i]![j]!));
  let i = 0;
  while (i < ours.length && i < theirs.length && same(i)) i++;
  if (i === ours.length && i === theirs.length) return;
  const near = (list: readonly (readonly string[])[]): string[] =>
    list.slice(Math.max(0, i - 3), i + 3).map((words) => words.join(' '));
  expect(near(ours), `the stream from command ${i} on`).toEqual(near(theirs));
}

function expectSameList(what: string, ours: readonly string[], theirs: readonly string[]): void {
  let i = 0;
  while (i < ours.length && i < theirs.length && ours[i] === theirs[i]) i++;
  if (i === ours.length && i === theirs.length) return;
  const near = (list: readonly string[]): readonly string[] =>
    list.slice(Math.max(0, i - 3), i + 3);
  expect(near(ours), `${what} from ${i} on`).toEqual(near(theirs));
}
