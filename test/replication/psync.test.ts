import { describe, expect, test } from 'vitest';
import { asOffset } from '../../src/base/units.ts';
import {
  backlogCreatedLine,
  decidePsync,
  fullResyncLine,
  type PsyncClient,
  type PsyncDecision,
  type PsyncNode,
  type PsyncRequest,
  parseInt64,
  secondIdLine,
} from '../../src/replication/psync.ts';
import { Channel } from '../../src/replication/replica-state.ts';
import { NO_REPLID, ReplicationHistory } from '../../src/replication/replid.ts';

const OLD = '0a'.repeat(20);
const NEW = '0b'.repeat(20);

function history(): ReplicationHistory {
  let next = 9;
  return new ReplicationHistory((count) => new Uint8Array(count).fill(++next));
}
/** Ids NEW, and OLD up to offset 1088. */
function promoted(): ReplicationHistory {
  const made = history();
  made.shift(asOffset(1087));
  return made;
}

const CLIENT: PsyncClient = {
  name: '10.0.0.2:6380',
  isReplica: false,
  hasPendingReplies: false,
  capaEof: true,
  capaPsync2: true,
  filtered: false,
  channel: Channel.NONE,
  isDumpChannel: false,
};
const PRIMARY: PsyncNode = {
  isReplica: false,
  linkUp: false,
  linkRising: false,
  resyncs: false,
  failingOver: false,
  serveStalePsync: false,
  catchingUp: false,
  path: '',
};
const RELAY: PsyncNode = {
  isReplica: true,
  linkUp: true,
  linkRising: false,
  resyncs: false,
  failingOver: false,
  serveStalePsync: false,
  catchingUp: false,
  path: '',
};
const WINDOW = { active: true, readableFrom: asOffset(501), endOffset: asOffset(1087) };
const INACTIVE = { active: false, readableFrom: asOffset(1), endOffset: asOffset(0) };

const psync = (replid: string, offset: string, failover = false): PsyncRequest => ({
  command: 'PSYNC',
  replid,
  offset,
  failover,
});
const SYNC: PsyncRequest = { command: 'SYNC', replid: '', offset: '', failover: false };
const texts = (decision: PsyncDecision): string[] =>
  'log' in decision ? decision.log.map((line) => line.text) : [];
const ASKS = 'Replica 10.0.0.2:6380 asks for synchronization';

describe('PSYNC by id and offset', () => {
  const mismatch = (asked: string): string =>
    `Partial resynchronization not accepted: Replication ID mismatch (Replica asked for '${asked}', ` +
    `my replication IDs are '${NEW}' and '${OLD}')`;
  const second = (asked: number): string =>
    `Partial resynchronization not accepted: Requested offset for second ID was ${asked}, but I can reply up to 1088`;
  const lack = (asked: number): string =>
    `Unable to partial resync with replica 10.0.0.2:6380 for lack of backlog (Replica request was: ${asked}).`;
  const begins = 'The backlog begins at offset 501 and ends at 1087.';
  const beyond =
    'Warning: replica 10.0.0.2:6380 tried to PSYNC with an offset that is greater than the master replication offset.';
  const accepted = (from: number): string =>
    `Partial resynchronization request from 10.0.0.2:6380 accepted. Sending ${1088 - from} bytes of backlog ` +
    `starting from offset ${from}.`;

  test.each([
    ['a byte in the middle', NEW, '1000', 'continue', [accepted(1000)]],
    ['upper-case id', NEW.toUpperCase(), '1000', 'continue', [accepted(1000)]],
    ['the first byte retained', NEW, '501', 'continue', [accepted(501)]],
    ['a byte before that', NEW, '500', 'full', [lack(500), begins]],
    ['the last byte', NEW, '1087', 'continue', [accepted(1087)]],
    ['nothing missing: end + 1', NEW, '1088', 'continue', [accepted(1088)]],
    ['beyond the end', NEW, '1089', 'full', [lack(1089), begins, beyond]],
    ['known id without an offset (Dragonfly)', NEW, '-1', 'full', [lack(-1), begins]],
    ['offset 0', NEW, '0', 'full', [lack(0), begins]],
    ['second id up to its offset, inclusive', OLD, '1088', 'continue', [accepted(1088)]],
    ['second id, upper case', OLD.toUpperCase(), '700', 'continue', [accepted(700)]],
    ['second id beyond its offset', OLD, '1089', 'full', [second(1089)]],
    ['unknown id', 'f'.repeat(40), '1000', 'full', [mismatch('f'.repeat(40))]],
    ['shortened id', NEW.slice(0, 39), '1000', 'full', [mismatch(NEW.slice(0, 39))]],
    ['an id of control bytes cannot break the log', 'a\r\nb', '1', 'full', [mismatch('a??b')]],
    ['no history', '?', '-1', 'full', ['Full resync requested by replica 10.0.0.2:6380']],
    [
      '? with an offset in the window',
      '?',
      '1000',
      'full',
      ['Full resync requested by replica 10.0.0.2:6380'],
    ],
  ])('%s', (_name, replid, offset, kind, lines) => {
    const decision = decidePsync(psync(replid, offset), CLIENT, PRIMARY, promoted(), WINDOW);
    expect([decision.kind, texts(decision)]).toEqual([kind, [ASKS, ...lines]]);
    if (decision.kind === 'continue') {
      expect([decision.from, decision.replyLine]).toEqual([Number(offset), `+CONTINUE ${NEW}\r\n`]);
    }
    if (decision.kind === 'full') {
      expect([decision.needsNewHistory, decision.countsAsPartialError, decision.legacy]).toEqual([
        false,
        replid !== '?',
        false,
      ]);
    }
  });

  test('a replica without psync2 gets +CONTINUE alone', () => {
    const decision = decidePsync(
      psync(NEW, '600'),
      { ...CLIENT, capaPsync2: false },
      PRIMARY,
      promoted(),
      WINDOW,
    );
    expect(decision).toMatchObject({ kind: 'continue', replyLine: '+CONTINUE\r\n' });
  });

  test('forty zeros are no id', () => {
    for (const offset of ['-1', '0', '1', '501']) {
      expect(decidePsync(psync(NO_REPLID, offset), CLIENT, PRIMARY, history(), WINDOW).kind).toBe(
        'full',
      );
    }
  });

  test.each(['', 'abc', '1.5', '01', '+1', '-0', ' 1', '9223372036854775808', '1'.repeat(500)])(
    'offset %j is refused as Redis does',
    (offset) => {
      const decision = decidePsync(psync(NEW, offset), CLIENT, PRIMARY, promoted(), WINDOW);
      expect(decision).toMatchObject({
        kind: 'refuse',
        errorLine: '-ERR value is not an integer or out of range\r\n',
      });
      expect(texts(decision)).toEqual([ASKS, `${ASKS} but with a wrong offset`]);
    },
  );
});

describe('without a backlog', () => {
  test.each([
    ['PSYNC ? -1', psync('?', '-1')],
    ['PSYNC with our own id at end + 1', psync(OLD, '1')],
    ['SYNC', SYNC],
  ])('%s is a full resync under a new id', (_name, request) => {
    const own = history();
    const decision = decidePsync(request, CLIENT, PRIMARY, own, INACTIVE);
    expect(decision).toMatchObject({ kind: 'full', needsNewHistory: true });
    own.renew();
    expect(backlogCreatedLine(own).text).toBe(
      `Replication backlog created, my new replication IDs are '${NEW}' and '${NO_REPLID}'`,
    );
    expect(fullResyncLine(own.replid, asOffset(0))).toBe(`+FULLRESYNC ${NEW} 0\r\n`);
  });
});

describe('SYNC', () => {
  test('is a full resync of a peer that will not acknowledge', () => {
    const decision = decidePsync(SYNC, CLIENT, PRIMARY, history(), WINDOW);
    expect(decision).toMatchObject({
      kind: 'full',
      legacy: true,
      needsNewHistory: false,
      countsAsPartialError: false,
    });
  });
});

describe('what is refused, in Redis order and words', () => {
  const down = { ...RELAY, linkUp: false };
  const pending = { ...CLIENT, hasPendingReplies: true };
  const filtered = { ...CLIENT, filtered: true, capaEof: false };
  const NOT_CONNECTED = "-NOMASTERLINK Can't SYNC while not connected with my master\r\n";
  test.each([
    [
      'failing over',
      psync('?', '-1'),
      pending,
      { ...down, failingOver: true },
      "-NOMASTERLINK Can't SYNC while failing over\r\n",
    ],
    ['upstream link down', psync('?', '-1'), pending, down, NOT_CONNECTED],
    ['upstream link down, SYNC', SYNC, CLIENT, down, NOT_CONNECTED],
    ['upstream link down, covered by the backlog', psync(OLD, '1000'), CLIENT, down, NOT_CONNECTED],
    [
      'replies pending',
      psync('?', '-1'),
      pending,
      PRIMARY,
      '-ERR SYNC and PSYNC are invalid with pending output\r\n',
    ],
    [
      'filter without EOF',
      psync('?', '-1'),
      filtered,
      PRIMARY,
      '-ERR Filtered replica requires EOF capability\r\n',
    ],
    [
      'FAILOVER to a primary',
      psync(OLD, '1', true),
      CLIENT,
      PRIMARY,
      "-ERR PSYNC FAILOVER can't be sent to a master.\r\n",
    ],
    [
      'FAILOVER with another id',
      psync(NEW, '1', true),
      CLIENT,
      RELAY,
      '-ERR PSYNC FAILOVER replid must match my replid.\r\n',
    ],
  ])('%s', (_name, request, client, node, errorLine) => {
    expect(decidePsync(request, client, node, history(), WINDOW)).toMatchObject({
      kind: 'refuse',
      errorLine,
    });
  });

  test('a replica that asks again is ignored', () => {
    const decision = decidePsync(
      psync('?', '-1'),
      { ...CLIENT, isReplica: true },
      PRIMARY,
      history(),
      WINDOW,
    );
    expect(decision).toEqual({ kind: 'ignore' });
  });
});

describe('a replica that can open a second connection for its dump', () => {
  const redis = { ...CLIENT, channel: Channel.REDIS };
  const valkey = { ...CLIENT, channel: Channel.VALKEY };
  const decide = (request: PsyncRequest, client: PsyncClient, node = PRIMARY, window = WINDOW) =>
    decidePsync(request, client, node, history(), window);

  test.each([
    ['of Redis, for a full sync', psync('?', '-1'), redis, 'channel'],
    ['of Valkey, for a full sync', psync('?', '-1'), valkey, 'channel'],
    ['whose history is not known', psync(NEW, '5'), redis, 'channel'],
    ['that can go on', psync(OLD, '1000'), redis, 'continue'],
    ['that comes by SYNC', SYNC, redis, 'full'],
    ['that is the second connection', psync('?', '-1'), { ...redis, isDumpChannel: true }, 'full'],
  ])('%s', (_name, request, client, kind) => {
    expect(decide(request, client).kind).toBe(kind);
  });

  test('is told so in the words of its kind', () => {
    const told = (client: PsyncClient): string[] => {
      const decision = decide(psync('?', '-1'), client);
      return 'log' in decision ? decision.log.map(({ text }) => text) : [];
    };
    const common = "synchronization, and partial sync isn't possible. Full sync will continue with";
    expect(told(redis)).toContain(
      `Replica 10.0.0.2:6380 is capable of rdb channel ${common} dedicated rdb channel.`,
    );
    expect(told(valkey)).toContain(
      `Replica 10.0.0.2:6380 is capable of dual channel ${common} dedicated RDB channel.`,
    );
    expect(told({ ...CLIENT, isDumpChannel: true })).toContain(
      'Full resync requested by replica 10.0.0.2:6380 (rdb-channel)',
    );
  });

  test('counts as a partial resync that failed only when it named a history', () => {
    for (const [request, counts] of [
      [psync('?', '-1'), false],
      [psync(NEW, '5'), true],
    ] as const)
      expect(decide(request, valkey)).toMatchObject({ countsAsPartialError: counts });
  });

  // Valkey makes it when the second connection asks.
  test('gets a new history at once only from Redis', () => {
    expect(decide(psync('?', '-1'), redis, PRIMARY, INACTIVE)).toMatchObject({
      needsNewHistory: true,
    });
    expect(decide(psync('?', '-1'), valkey, PRIMARY, INACTIVE)).toMatchObject({
      needsNewHistory: false,
    });
  });

  test('gets the dump that arrives on its one connection', () => {
    const rising = { ...RELAY, linkUp: false, linkRising: true };
    expect(decide(psync('?', '-1'), redis, rising).kind).toBe('full');
    expect(decide(psync('?', '-1'), redis, RELAY).kind).toBe('channel');
  });
});

describe('a relay whose link is on its way up', () => {
  const rising = { ...RELAY, linkUp: false, linkRising: true };
  const granted = { ...rising, resyncs: true };
  const stale = { serveStalePsync: true };
  const covered = psync(OLD, '1000');
  test.each([
    ['lets a full sync wait for the outcome', rising, psync('?', '-1'), 'full'],
    ['the same by SYNC', rising, SYNC, 'full'],
    ['the same for another history', rising, psync(NEW, '5'), 'full'],
    ['refuses what it could continue: the link may come up as it was', rising, covered, 'refuse'],
    ['continues it by its option', { ...rising, ...stale }, covered, 'continue'],
    ['gives a dump that is granted to all', granted, covered, 'full'],
    ['but continues by its option', { ...granted, ...stale }, covered, 'continue'],
  ])('%s', (_name, node, request, kind) => {
    expect(decidePsync(request, CLIENT, node, history(), WINDOW).kind).toBe(kind);
  });

  test('makes no history while it waits for one', () => {
    for (const request of [psync('?', '-1'), SYNC]) {
      const decision = decidePsync(request, CLIENT, rising, history(), INACTIVE);
      expect(decision).toMatchObject({ kind: 'full', needsNewHistory: false });
    }
  });
});

describe('a relay', () => {
  test('answers as a primary does while its link is up', () => {
    expect(decidePsync(psync(OLD, '1000'), CLIENT, RELAY, history(), WINDOW).kind).toBe('continue');
  });

  test('may serve what its backlog covers while the link is down, and nothing else', () => {
    const stale = { ...RELAY, linkUp: false, serveStalePsync: true };
    const decide = (request: PsyncRequest): string =>
      decidePsync(request, CLIENT, stale, history(), WINDOW).kind;
    expect([
      decide(psync(OLD, '1000')),
      decide(psync('?', '-1')),
      decide(psync(OLD, '3')),
      decide(SYNC),
    ]).toEqual(['continue', 'refuse', 'refuse', 'refuse']);
  });
});

describe('a relay that has just come back', () => {
  const catching = { ...RELAY, catchingUp: true };
  const decide = (request: PsyncRequest, place = catching): PsyncDecision =>
    decidePsync(request, CLIENT, place, history(), WINDOW);

  test('asks one that is ahead of it to come later, and does not make it start again', () => {
    expect(decide(psync(OLD, '1089'))).toMatchObject({
      kind: 'refuse',
      errorLine: "-NOMASTERLINK Can't SYNC while not connected with my master\r\n",
    });
  });

  test('continues one that is not ahead, and gives all others a full sync', () => {
    expect(decide(psync(OLD, '1088')).kind).toBe('continue');
    expect(decide(psync(OLD, '3')).kind).toBe('full');
    expect(decide(psync(NEW, '1089')).kind).toBe('full');
    expect(decide(psync('?', '-1')).kind).toBe('full');
    expect(decide(psync(OLD, '1089'), RELAY).kind).toBe('full');
  });
});

// From PROTOCOL: the replica at 1087 is promoted; a sibling comes with the old id.
test('promotion by PSYNC FAILOVER, then a sibling resumes under the new id', () => {
  const own = history();
  const request = psync(OLD, '1088', true);
  expect(decidePsync(request, CLIENT, RELAY, own, WINDOW).kind).toBe('promote');
  own.shift(WINDOW.endOffset);
  expect(secondIdLine(own).text).toBe(
    `Setting secondary replication ID to ${OLD}, valid up to offset: 1088. New replication ID is ${NEW}`,
  );
  const after = decidePsync({ ...request, failover: false }, CLIENT, PRIMARY, own, WINDOW);
  expect(after).toMatchObject({ kind: 'continue', from: 1088, replyLine: `+CONTINUE ${NEW}\r\n` });
  const late = decidePsync(psync(OLD, '1089'), CLIENT, PRIMARY, own, {
    ...WINDOW,
    endOffset: asOffset(2000),
  });
  expect(texts(late)[1]).toContain(
    'Requested offset for second ID was 1089, but I can reply up to 1088',
  );
});

test.each([
  ['0', 0],
  ['-1', -1],
  ['9007199254740993', 9007199254740992],
  ['9223372036854775807', 2 ** 63],
  ['-9223372036854775808', -(2 ** 63)],
  ['-9223372036854775809', Number.NaN],
  ['1e3', Number.NaN],
])('parseInt64(%j) is %d', (text, value) => {
  expect(parseInt64(text)).toBe(value);
});
