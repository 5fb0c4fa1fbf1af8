import { describe, expect, test } from 'vitest';
import { asOffset, KIB } from '../../src/base/units.ts';
import {
  canJoin,
  fullSyncLine,
  type JoinableSnapshot,
  JoinVerdict,
  payloadHeader,
  payloadTrailer,
} from '../../src/replication/full-sync.ts';
import { DumpFilter, Framing, ReplicaState } from '../../src/replication/replica-state.ts';
import { ReplicationHistory } from '../../src/replication/replid.ts';
import { StreamLog } from '../../src/replication/stream-log.ts';

const DIALECT = 10;
const history = new ReplicationHistory((count) => new Uint8Array(count).fill(0xab));
const window = { active: true, firstOffset: asOffset(501), endOffset: asOffset(1087) };
const snapshot: JoinableSnapshot = {
  dialect: DIALECT,
  filter: DumpFilter.NONE,
  replid: history.replid,
  offset: asOffset(1000),
  hasFirstChunk: true,
  failed: false,
};
const peer = (set: Partial<ReplicaState> = {}): ReplicaState =>
  Object.assign(new ReplicaState('10.0.0.2'), set);

describe('joining a snapshot', () => {
  test.each([
    ['that runs', snapshot, peer(), JoinVerdict.JOIN],
    ['whose framing another peer chose otherwise', snapshot, peer({ capaEof: true }), JoinVerdict.JOIN],
    ['frozen just now', { ...snapshot, offset: asOffset(1087) }, peer(), JoinVerdict.JOIN],
    [
      'whose next byte is the first retained',
      { ...snapshot, offset: asOffset(500) },
      peer(),
      JoinVerdict.JOIN,
    ],
    ['whose next byte has left the log', { ...snapshot, offset: asOffset(499) }, peer(), JoinVerdict.LOG],
    [
      'the same, without wanting a stream',
      { ...snapshot, offset: asOffset(499) },
      peer({ rdbOnly: true }),
      JoinVerdict.JOIN,
    ],
    ['of another dialect', { ...snapshot, dialect: 9 }, peer(), JoinVerdict.DIALECT],
    ['that is whole, for functions only', snapshot, peer({ filter: DumpFilter.NO_DATA }), JoinVerdict.FILTER],
    ['whose first chunk is gone', { ...snapshot, hasFirstChunk: false }, peer(), JoinVerdict.SPOOL],
    ['of the time before a promotion', { ...snapshot, replid: 'cd'.repeat(20) }, peer(), JoinVerdict.HISTORY],
    ['that failed', { ...snapshot, failed: true }, peer(), JoinVerdict.FAILED],
    ['that is not there', null, peer(), JoinVerdict.NONE],
  ])('%s', (_name, running, state, verdict) => {
    expect(canJoin(running, state, DIALECT, history, window)).toBe(verdict);
  });

  // While an image lives, a cursor at S+1 keeps the log for those who come late.
  test('stays possible for as long as a cursor pins its offset', () => {
    const log = new StreamLog(16 * KIB, asOffset(1000));
    log.start(asOffset(1000));
    const pin = log.openCursor(asOffset(1001));
    const block = new Uint8Array(16 * KIB);
    for (let i = 0; i < 10; i++) log.append(block, 0, block.length);
    expect(canJoin(snapshot, peer(), DIALECT, history, log)).toBe(JoinVerdict.JOIN);
    log.closeCursor(pin);
    expect(canJoin(snapshot, peer(), DIALECT, history, log)).toBe(JoinVerdict.LOG);
  });
});

describe('around the dump', () => {
  const mark = 'ef'.repeat(20);
  test.each([
    [Framing.EOF_MARK, `$EOF:${mark}\r\n`, mark],
    [Framing.LENGTH, '$276\r\n', ''],
  ])('framing %i', (framing, header, trailer) => {
    expect([payloadHeader(framing, 276, mark), payloadTrailer(framing, mark)]).toEqual([header, trailer]);
  });

  test('capa eof chooses the framing, SYNC goes without +FULLRESYNC', () => {
    expect([peer().framing, peer({ capaEof: true }).framing]).toEqual([Framing.LENGTH, Framing.EOF_MARK]);
    expect(fullSyncLine(peer(), history, asOffset(1000))).toBe(`+FULLRESYNC ${'ab'.repeat(20)} 1000\r\n`);
    expect(fullSyncLine(peer({ legacy: true }), history, asOffset(1000))).toBe('');
  });
});
