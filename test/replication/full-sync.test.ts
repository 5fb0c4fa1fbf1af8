import { describe, expect, test } from 'vitest';
import { asOffset, KIB } from '../../src/base/units.ts';
import {
  canJoin,
  fullSyncLine,
  type JoinableSnapshot,
  JoinVerdict,
  payloadHeader,
  payloadTrailer,
  readsVersion,
} from '../../src/replication/full-sync.ts';
import type { OutputLimit } from '../../src/replication/output-limit.ts';
import { Channel, DumpFilter, Framing, ReplicaState } from '../../src/replication/replica-state.ts';
import { ReplicationHistory } from '../../src/replication/replid.ts';
import { StreamLog } from '../../src/replication/stream-log.ts';

const LIMIT: OutputLimit = { hardBytes: 1000, softBytes: 500, softMs: 60_000 };
const NO_LIMIT: OutputLimit = { hardBytes: 0, softBytes: 0, softMs: 0 };
const history = new ReplicationHistory((count) => new Uint8Array(count).fill(0xab));
const window = { active: true, readableFrom: asOffset(501), endOffset: asOffset(1087) };
const snapshot: JoinableSnapshot = {
  isReadable: true,
  isAhead: false,
  filter: DumpFilter.NONE,
  replid: history.replid,
  offset: asOffset(1000),
  hasFirstChunk: true,
  failed: false,
  streamDb: 0,
};
const peer = (set: Partial<ReplicaState> = {}): ReplicaState =>
  Object.assign(new ReplicaState('10.0.0.2'), set);

describe('joining a snapshot', () => {
  test.each([
    ['that runs', snapshot, peer(), JoinVerdict.JOIN],
    [
      'whose framing another peer chose otherwise',
      snapshot,
      peer({ capaEof: true }),
      JoinVerdict.JOIN,
    ],
    ['frozen just now', { ...snapshot, offset: asOffset(1087) }, peer(), JoinVerdict.JOIN],
    [
      'whose next byte is the first retained',
      { ...snapshot, offset: asOffset(500) },
      peer(),
      JoinVerdict.JOIN,
    ],
    [
      'whose next byte has left the log',
      { ...snapshot, offset: asOffset(499) },
      peer(),
      JoinVerdict.LOG,
    ],
    [
      'the same, without wanting a stream',
      { ...snapshot, offset: asOffset(499) },
      peer({ rdbOnly: true }),
      JoinVerdict.JOIN,
    ],
    [
      'of before the request, by a second connection',
      { ...snapshot, offset: asOffset(1080) },
      peer({ rdbOnly: true, isDumpChannel: true, channel: Channel.VALKEY }),
      JoinVerdict.JOIN,
    ],
    [
      'whose stream has left the log, by a second connection',
      { ...snapshot, offset: asOffset(499) },
      peer({ rdbOnly: true, isDumpChannel: true, channel: Channel.REDIS }),
      JoinVerdict.LOG,
    ],
    [
      'that does not tell its database, by the second connection of Valkey',
      { ...snapshot, streamDb: -1 },
      peer({ rdbOnly: true, isDumpChannel: true, channel: Channel.VALKEY }),
      JoinVerdict.DATABASE,
    ],
    [
      'the same, by the second connection of Redis',
      { ...snapshot, streamDb: -1 },
      peer({ rdbOnly: true, isDumpChannel: true, channel: Channel.REDIS }),
      JoinVerdict.JOIN,
    ],
    [
      'that arrives, by a second connection',
      { ...snapshot, isAhead: true },
      peer({ rdbOnly: true, isDumpChannel: true, channel: Channel.REDIS }),
      JoinVerdict.FILTER,
    ],
    ['of another dialect', { ...snapshot, isReadable: false }, peer(), JoinVerdict.DIALECT],
    [
      'that is whole, for functions only',
      snapshot,
      peer({ filter: DumpFilter.NO_DATA }),
      JoinVerdict.FILTER,
    ],
    ['whose first chunk is gone', { ...snapshot, hasFirstChunk: false }, peer(), JoinVerdict.SPOOL],
    [
      'of the time before a promotion',
      { ...snapshot, replid: 'cd'.repeat(20) },
      peer(),
      JoinVerdict.HISTORY,
    ],
    ['that failed', { ...snapshot, failed: true }, peer(), JoinVerdict.FAILED],
    ['that is not there', null, peer(), JoinVerdict.NONE],
    [
      'that arrives, of a stream that this node does not have yet',
      { ...snapshot, isAhead: true, replid: 'cd'.repeat(20), offset: asOffset(9999) },
      peer(),
      JoinVerdict.JOIN,
    ],
    [
      'that arrives, without wanting a stream',
      { ...snapshot, isAhead: true },
      peer({ rdbOnly: true }),
      JoinVerdict.FILTER,
    ],
    [
      'that arrives, and failed',
      { ...snapshot, isAhead: true, failed: true },
      peer(),
      JoinVerdict.FAILED,
    ],
  ])('%s', (_name, running, state, verdict) => {
    expect(canJoin(running, state, history, window, LIMIT)).toBe(verdict);
  });

  test.each([
    ['its lag is below each limit', 999, LIMIT, {}, JoinVerdict.JOIN],
    ['its lag reaches the hard limit', 1000, LIMIT, {}, JoinVerdict.LIMIT],
    ['it wants no stream', 5000, LIMIT, { rdbOnly: true }, JoinVerdict.JOIN],
    ['there is no limit', 5000, NO_LIMIT, {}, JoinVerdict.JOIN],
    ['the soft limit has no patience', 600, { ...LIMIT, softMs: 0 }, {}, JoinVerdict.LIMIT],
  ])('depends on the output limit: %s', (_name, lag, limit, set, verdict) => {
    const wide = { active: true, readableFrom: asOffset(1), endOffset: asOffset(1000 + lag) };
    expect(canJoin(snapshot, peer(set), history, wide, limit)).toBe(verdict);
  });

  // While an image lives, a cursor at S+1 keeps the log for those who come late.
  test('stays possible for as long as a cursor pins its offset', () => {
    const log = new StreamLog(16 * KIB, asOffset(1000));
    log.start(asOffset(1000));
    const pin = log.openCursor(asOffset(1001));
    const block = new Uint8Array(16 * KIB);
    for (let i = 0; i < 10; i++) log.append(block, 0, block.length);
    expect(canJoin(snapshot, peer(), history, log, NO_LIMIT)).toBe(JoinVerdict.JOIN);
    log.closeCursor(pin);
    expect(canJoin(snapshot, peer(), history, log, NO_LIMIT)).toBe(JoinVerdict.LOG);
  });
});

describe('a dump of another node', () => {
  const redis = (version: number) => ({ isValkey: false, version });
  const valkey = (version: number) => ({ isValkey: true, version });
  test.each([
    ['a peer that tells nothing, up to what it would get', redis(10), {}, 10, false, true],
    ['the same, not beyond', redis(11), {}, 10, false, false],
    ['the same, of Valkey', valkey(80), {}, 12, false, false],
    ['one that needs plain types', redis(9), {}, 9, true, false],
    ['a headwater, any that it reads', redis(12), { readsRedis: 12 }, 9, true, true],
    ['a headwater, none that it does not read', redis(13), { readsRedis: 12 }, 10, false, false],
    ['a headwater, of Valkey', valkey(80), { readsRedis: 12, readsValkey: 80 }, 10, false, true],
    ['a Valkey 8', redis(11), { version: 0x080100 }, 10, false, true],
    ['a Valkey 8, not what Valkey never read', redis(12), { version: 0x080100 }, 12, false, false],
    ['a Valkey 8, not that of Valkey 9', valkey(80), { version: 0x080100 }, 10, false, false],
    ['a Valkey 9', valkey(80), { version: 0x090001 }, 10, false, true],
  ] as const)('is read by %s', (_name, dump, set, own, isPlain, expected) => {
    expect(readsVersion(peer(set), dump, own, isPlain)).toBe(expected);
  });
});

describe('around the dump', () => {
  const mark = 'ef'.repeat(20);
  test.each([
    [Framing.EOF_MARK, `$EOF:${mark}\r\n`, mark],
    [Framing.LENGTH, '$276\r\n', ''],
  ])('framing %i', (framing, header, trailer) => {
    expect([payloadHeader(framing, 276, mark), payloadTrailer(framing, mark)]).toEqual([
      header,
      trailer,
    ]);
  });

  test('capa eof chooses the framing, SYNC goes without +FULLRESYNC', () => {
    expect([peer().framing, peer({ capaEof: true }).framing]).toEqual([
      Framing.LENGTH,
      Framing.EOF_MARK,
    ]);
    expect(fullSyncLine(peer(), history.replid, asOffset(1000))).toBe(
      `+FULLRESYNC ${'ab'.repeat(20)} 1000\r\n`,
    );
    expect(fullSyncLine(peer({ legacy: true }), history.replid, asOffset(1000))).toBe('');
  });
});
