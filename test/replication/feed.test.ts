import { beforeEach, describe, expect, test } from 'vitest';
import { asOffset, MIB } from '../../src/base/units.ts';
import { Feed, NO_DB } from '../../src/replication/feed.ts';
import { StreamLog } from '../../src/replication/stream-log.ts';

const bulk = (...words: string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
const SELECT = (db: number): string => bulk('SELECT', String(db));
const MULTI = bulk('MULTI');
const EXEC = bulk('EXEC');
const SET = bulk('SET', 'k', 'v');
const DEL = bulk('DEL', 'x');

let log: StreamLog;
let feed: Feed;
beforeEach(() => {
  log = new StreamLog(4 * MIB, asOffset(1000));
  log.start(asOffset(1000));
  feed = new Feed(log);
});

function streamed(): string {
  const cursor = log.openCursor(log.firstOffset);
  const parts: Buffer[] = [];
  while (cursor.next(MIB) > 0) {
    parts.push(Buffer.from(cursor.bytes.subarray(cursor.start, cursor.end)));
    cursor.advance(cursor.end - cursor.start);
  }
  log.closeCursor(cursor);
  return Buffer.concat(parts).toString('latin1');
}
const verbatim = (db: number, command: string): void =>
  feed.appendVerbatim(db, Buffer.from(command, 'latin1'), 0, command.length);
const queue = (db: number, command: string): void =>
  feed.queue(db, Buffer.from(command, 'latin1'), 0, command.length);

// Numbers that reach the wire: replicas count them.
describe('bytes that a primary adds by itself', () => {
  test.each([
    ['PING', () => feed.ping(), bulk('PING'), 14],
    ['GETACK', () => feed.getack(), bulk('REPLCONF', 'GETACK', '*'), 37],
    ['SELECT 0 and SET', () => verbatim(0, SET), SELECT(0) + SET, 23 + 27],
    ['SELECT 15 and SET', () => verbatim(15, SET), SELECT(15) + SET, 24 + 27],
    ['SELECT 1234 and SET', () => verbatim(1234, SET), SELECT(1234) + SET, 26 + 27],
  ])('%s', (_name, act, bytes, size) => {
    act();
    expect(streamed()).toBe(bytes);
    expect(log.endOffset).toBe(1000 + size);
  });

  test('MULTI counts 15 and EXEC 14', () => {
    verbatim(0, SET);
    const before = log.endOffset;
    queue(0, SET);
    queue(0, SET);
    feed.flush(true);
    expect(log.endOffset - before).toBe(15 + 27 + 27 + 14);
  });
});

// The offsets of the transcript in PROTOCOL: SELECT 1001..1023, SET 1024..1050, GETACK 1051..1087.
test('offsets after a full sync at 1000', () => {
  verbatim(0, SET);
  expect(log.endOffset).toBe(1050);
  feed.getack();
  expect(log.endOffset).toBe(1087);
});

describe('SELECT', () => {
  test('goes out when the database changes, and only then', () => {
    verbatim(0, SET);
    verbatim(0, SET);
    verbatim(3, SET);
    verbatim(3, SET);
    verbatim(0, SET);
    expect(streamed()).toBe(SELECT(0) + SET + SET + SELECT(3) + SET + SET + SELECT(0) + SET);
  });

  test('goes out again after the snapshot turn reset it', () => {
    verbatim(0, SET);
    feed.invalidateSelect();
    feed.ping();
    verbatim(0, SET);
    expect(streamed()).toBe(SELECT(0) + SET + bulk('PING') + SELECT(0) + SET);
  });
});

describe('an execution unit', () => {
  test.each([
    ['one command is not wrapped', [[0, SET]], true, SELECT(0) + SET],
    [
      'two commands are',
      [
        [0, SET],
        [0, DEL],
      ],
      true,
      MULTI + SELECT(0) + SET + DEL + EXEC,
    ],
    [
      'unless they touch arbitrary keys',
      [
        [0, DEL],
        [0, SET],
      ],
      false,
      SELECT(0) + DEL + SET,
    ],
    [
      'databases change inside',
      [
        [1, SET],
        [1, DEL],
        [2, SET],
        [1, DEL],
      ],
      true,
      MULTI + SELECT(1) + SET + DEL + SELECT(2) + SET + SELECT(1) + DEL + EXEC,
    ],
    [
      'databases change, not wrapped',
      [
        [1, SET],
        [2, SET],
      ],
      false,
      SELECT(1) + SET + SELECT(2) + SET,
    ],
    ['no command at all', [], true, ''],
  ] as const)('%s', (_name, commands, wrap, expected) => {
    for (const [db, command] of commands) queue(db, command);
    feed.flush(wrap);
    expect(streamed()).toBe(expected);
    expect(feed.queuedCommands).toBe(0);
  });

  test('larger than the scratch survives its growth, and the next unit starts clean', () => {
    const big = bulk('SET', 'k', 'v'.repeat(3 * MIB));
    queue(0, SET);
    queue(0, big);
    queue(0, SET);
    feed.flush(true);
    queue(0, DEL);
    feed.flush(true);
    expect(streamed()).toBe(MULTI + SELECT(0) + SET + big + SET + EXEC + DEL);
  });

  test('discarded leaves no trace', () => {
    queue(5, SET);
    feed.discard();
    feed.flush(true);
    expect([streamed(), feed.selectedDb]).toEqual(['', NO_DB]);
  });

  test('must be over before the next command', () => {
    queue(0, SET);
    expect(() => verbatim(0, SET)).toThrow('flushed before the next command');
  });
});

test('pipelined neighbours keep their order with what is added in between', () => {
  const buffer = Buffer.from(SET + SET + DEL + SET, 'latin1');
  const at = [0, 27, 54, 54 + DEL.length, buffer.length];
  feed.appendDeferred(0, buffer, at[0]!, at[1]!);
  feed.appendDeferred(0, buffer, at[1]!, at[2]!);
  feed.appendDeferred(2, buffer, at[2]!, at[3]!);
  feed.getack();
  feed.appendDeferred(2, buffer, at[3]!, at[4]!);
  feed.settle();
  buffer.fill(0);
  expect(streamed()).toBe(
    SELECT(0) + SET + SET + SELECT(2) + DEL + bulk('REPLCONF', 'GETACK', '*') + SET,
  );
});

test('without a log nothing is streamed and the offset stands still', () => {
  log.drop();
  verbatim(0, SET);
  feed.appendDeferred(0, Buffer.from(SET), 0, SET.length);
  queue(0, SET);
  feed.flush(true);
  feed.ping();
  feed.getack();
  expect([
    log.endOffset,
    feed.selectedDb,
    feed.pingWhenQuiet(0, 1),
    feed.pingWhenQuiet(100, 1),
  ]).toEqual([1000, NO_DB, false, false]);
});

test('PING comes after a quiet period and not while commands flow', () => {
  const pings: boolean[] = [];
  for (let second = 0; second < 25; second++) {
    if (second === 3) verbatim(0, SET);
    pings.push(feed.pingWhenQuiet(second * 1000, 10_000));
  }
  expect(pings.flatMap((sent, second) => (sent ? [second] : []))).toEqual([13, 23]);
});
