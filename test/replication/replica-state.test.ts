import { describe, expect, test } from 'vitest';
import { asOffset } from '../../src/base/units.ts';
import { pair, unpair } from '../../src/replication/channels.ts';
import {
  Channel,
  countAcked,
  countFsynced,
  countGood,
  countReplicas,
  infoLine,
  PeerEvent,
  Phase,
  phaseAfter,
  ReplicaState,
  replicaName,
  roleRow,
} from '../../src/replication/replica-state.ts';

function peer(set: (state: ReplicaState) => void = () => {}): ReplicaState {
  const state = new ReplicaState('10.0.0.2');
  state.listeningPort = 6380;
  state.capaEof = true;
  state.capaPsync2 = true;
  set(state);
  return state;
}
/** A peer that came by PSYNC CONTINUE at time 0 and has acknowledged `ack`. */
function online(ack: number, heardMs = 0): ReplicaState {
  const state = peer();
  state.apply(PeerEvent.CONTINUE, 0);
  state.acked(ack, 0, heardMs);
  return state;
}

describe('the drawing', () => {
  const { HANDSHAKE, WAIT_START, WAIT_DUMP, SEND_BULK, WAIT_STREAM, CORKED, ONLINE, CLOSED } =
    Phase;
  const { WAIT_CHANNEL, BESIDE_DUMP } = Phase;
  const arrows: readonly (readonly [Phase, PeerEvent, Phase])[] = [
    [HANDSHAKE, PeerEvent.CONTINUE, ONLINE],
    [HANDSHAKE, PeerEvent.FULL, WAIT_START],
    [WAIT_START, PeerEvent.STREAM_DUMP, SEND_BULK],
    [WAIT_START, PeerEvent.SPOOL_DUMP, WAIT_DUMP],
    [WAIT_DUMP, PeerEvent.DUMP_READY, SEND_BULK],
    [SEND_BULK, PeerEvent.DUMP_SENT_EOF, CORKED],
    [SEND_BULK, PeerEvent.DUMP_SENT_LENGTH, ONLINE],
    [SEND_BULK, PeerEvent.DUMP_SENT_RDB_ONLY, CLOSED],
    [SEND_BULK, PeerEvent.DUMP_SENT_AHEAD, WAIT_STREAM],
    [WAIT_STREAM, PeerEvent.STREAM_CORKED, CORKED],
    [WAIT_STREAM, PeerEvent.STREAM_FLOWS, ONLINE],
    [CORKED, PeerEvent.ACK, ONLINE],
    [HANDSHAKE, PeerEvent.OFFER_CHANNEL, WAIT_CHANNEL],
    [WAIT_CHANNEL, PeerEvent.STREAM_BESIDE, BESIDE_DUMP],
    [HANDSHAKE, PeerEvent.CONTINUE_BESIDE, BESIDE_DUMP],
    [BESIDE_DUMP, PeerEvent.ACK, ONLINE],
  ];

  test('has these arrows, CLOSE from everywhere, and no others', () => {
    for (const phase of Object.values(Phase)) {
      for (const event of Object.values(PeerEvent)) {
        const arrow = arrows.find(([from, by]) => from === phase && by === event);
        const expected = event === PeerEvent.CLOSE ? CLOSED : (arrow?.[2] ?? -1);
        expect(phaseAfter(phase, event)).toBe(expected);
      }
    }
  });

  test('an arrow that it lacks is an assertion', () => {
    expect(() => peer().apply(PeerEvent.DUMP_SENT_EOF, 0)).toThrow('moves along the arrows');
  });
});

describe('transcripts', () => {
  // Stream bytes right behind the mark hide it from a replica that stores to disk: it hangs until
  // its timeout.
  test('$EOF: nothing after the mark until the first ACK, and a newline while loading is no ACK', () => {
    const state = peer();
    state.apply(PeerEvent.FULL, 0);
    expect([state.needsKeepalive, state.takesStream, state.isReplica]).toEqual([true, false, true]);
    state.apply(PeerEvent.STREAM_DUMP, 1000);
    expect([state.needsKeepalive, state.takesStream]).toEqual([false, false]);
    expect(state.acked(5, 0, 1500)).toBe(false);
    state.dumpSent(2000);
    expect([state.phase, state.takesStream, state.isOnline]).toEqual([Phase.CORKED, false, true]);
    state.heardNewline(3000);
    expect(state.takesStream).toBe(false);
    expect([state.acked(1000, 0, 4000), state.takesStream, state.ackOffset]).toEqual([
      true,
      true,
      1000,
    ]);
    expect(state.acked(1050, 0, 5000)).toBe(false);
  });

  test('$len: the stream may follow in the next byte', () => {
    const state = peer((s) => {
      s.capaEof = false;
    });
    state.apply(PeerEvent.FULL, 0);
    state.apply(PeerEvent.SPOOL_DUMP, 0);
    expect(state.needsKeepalive).toBe(true);
    state.apply(PeerEvent.DUMP_READY, 0);
    expect(state.needsKeepalive).toBe(false);
    state.dumpSent(0);
    expect([state.phase, state.takesStream]).toEqual([Phase.ONLINE, true]);
    expect(state.dumpSentText()).toBe('Synchronization with replica 10.0.0.2:6380 succeeded');
  });

  // A dump that is passed on may be sent before this node has loaded it.
  describe('a dump that is ahead of the stream here', () => {
    function sent(capaEof: boolean): ReplicaState {
      const state = peer((s) => {
        s.capaEof = capaEof;
      });
      state.apply(PeerEvent.FULL, 0);
      state.apply(PeerEvent.STREAM_DUMP, 0);
      state.dumpSent(1000, true);
      return state;
    }

    test.each([
      ['$EOF:, acknowledged before', true, true, Phase.ONLINE],
      ['$EOF:, not acknowledged', true, false, Phase.CORKED],
      ['$len', false, false, Phase.ONLINE],
    ])('%s', (_name, capaEof, acks, phase) => {
      const state = sent(capaEof);
      if (acks) expect(state.acked(700, 0, 1500)).toBe(false);
      expect([state.needsKeepalive, state.takesStream, state.isOnline]).toEqual([
        false,
        false,
        false,
      ]);
      expect(infoLine(0, state, 1500)).toContain('state=send_bulk');
      state.streamBegins(2000);
      expect([state.phase, state.ackOffset]).toEqual([phase, acks ? 700 : 0]);
    });

    test('ends when the replica is silent, and not when it tells that it loads', () => {
      const state = sent(true);
      expect(state.timedOut(61_000, 60_000)).toBe('');
      expect(state.timedOut(61_001, 60_000)).toContain('(full sync)');
      state.heardNewline(50_000);
      expect(state.timedOut(61_001, 60_000)).toBe('');
    });
  });

  test('rdb-only: over with the dump', () => {
    const state = peer((s) => {
      s.rdbOnly = true;
    });
    state.apply(PeerEvent.FULL, 0);
    state.apply(PeerEvent.STREAM_DUMP, 0);
    state.dumpSent(0);
    expect(state.phase).toBe(Phase.CLOSED);
    expect(state.dumpSentText()).toContain('rdb only replica (10.0.0.2:6380)');
  });
});

// The stream waits at the replica, and not here, while the dump takes its time.
describe('two connections', () => {
  const second = (main?: ReplicaState): ReplicaState => {
    const state = peer((s) => {
      s.rdbOnly = s.isDumpChannel = true;
      s.channel = main?.channel ?? Channel.VALKEY;
    });
    state.apply(PeerEvent.FULL, 0);
    if (main !== undefined) pair(main, state);
    return state;
  };

  test('of Redis: the stream flows beside the dump, and the first ACK ends the sync', () => {
    const main = peer((s) => {
      s.channel = Channel.REDIS;
    });
    main.apply(PeerEvent.OFFER_CHANNEL, 0);
    expect([main.isReplica, main.needsKeepalive, main.takesStream]).toEqual([true, false, false]);
    expect(infoLine(0, main, 0)).toContain('state=wait_bgsave,offset=0,lag=0\r\n');
    const dump = second(main);
    dump.apply(PeerEvent.STREAM_DUMP, 0);
    main.apply(PeerEvent.STREAM_BESIDE, 1000);
    expect([main.takesStream, main.isOnline, dump.takesStream]).toEqual([true, false, false]);
    expect(infoLine(0, main, 9000)).toContain('state=send_bulk_and_stream,offset=0,lag=0\r\n');
    expect([infoLine(1, dump, 0), countReplicas([main, dump])]).toEqual(['', 1]);
    expect(countAcked([main, dump], 0)).toBe(0);
    expect(main.acked(1087, 0, 9000)).toBe(true);
    expect(infoLine(0, main, 9000)).toContain('state=online,offset=1087,lag=0\r\n');
    expect(countAcked([main, dump], 1087)).toBe(1);
  });

  test('of Valkey: told by type, until the sync is over', () => {
    const dump = second();
    expect(infoLine(0, dump, 0)).toContain('state=wait_bgsave,offset=0,lag=0,type=rdb-channel\r\n');
    const main = peer((s) => {
      s.channel = Channel.VALKEY;
    });
    main.apply(PeerEvent.CONTINUE_BESIDE, 0);
    pair(main, dump);
    expect(infoLine(0, main, 0)).toContain(
      'state=bg_transfer,offset=0,lag=0,type=main-channel\r\n',
    );
    expect(infoLine(0, dump, 0)).toBe('');
    expect(main.acked(5, 0, 0)).toBe(true);
    expect(infoLine(0, main, 0)).toContain('state=online,offset=5,lag=0\r\n');
  });

  test('count twice when they do not belong together any more', () => {
    const main = peer();
    main.apply(PeerEvent.OFFER_CHANNEL, 0);
    const [first, other] = [second(main), second(main)];
    expect(countReplicas([main, first, other])).toBe(2);
    expect(unpair(other)).toBe(main);
    expect(unpair(other)).toBeUndefined();
    expect(countReplicas([main, first, other])).toBe(3);
  });

  test('the main one ends only when it is alone and silent', () => {
    const TEXT = 'Disconnecting timedout replica (full sync): 10.0.0.2:6380';
    const main = peer();
    main.apply(PeerEvent.OFFER_CHANNEL, 0);
    expect([main.timedOut(60_000, 60_000), main.timedOut(60_001, 60_000)]).toEqual(['', TEXT]);
    const dump = second(main);
    expect(main.timedOut(90_000, 60_000)).toBe('');
    main.apply(PeerEvent.STREAM_BESIDE, 0);
    expect(main.timedOut(90_000, 60_000)).toBe('');
    unpair(dump);
    expect(main.timedOut(60_001, 60_000)).toBe(TEXT);
    main.wrote(50_000);
    expect(main.timedOut(60_001, 60_000)).toBe('');
    expect(main.timedOut(110_001, 60_000)).toBe(TEXT);
    main.heardNewline(100_000);
    expect(main.timedOut(110_001, 60_000)).toBe('');
  });
});

describe('acknowledgements', () => {
  test('only move forward, while their time always does', () => {
    const state = online(100, 1000);
    state.acked(90, 80, 2000);
    state.acked(95, 70, 3000);
    expect([state.ackOffset, state.fsyncedOffset, state.lagSeconds(5500)]).toEqual([100, 80, 2]);
  });

  test('WAIT, WAITAOF and min-replicas count peers that are online', () => {
    const waiting = peer();
    waiting.apply(PeerEvent.FULL, 0);
    const peers = [waiting, online(100, 1000), online(200, 9000), online(300, 10_500)];
    peers[3]!.acked(0, 250, 10_500);
    expect([99, 100, 101, 300, 301].map((offset) => countAcked(peers, offset))).toEqual([
      3, 3, 2, 1, 0,
    ]);
    expect([250, 251].map((offset) => countFsynced(peers, offset))).toEqual([1, 0]);
    expect([0, 1, 8, 9, 10].map((lag) => countGood(peers, 10_500, lag))).toEqual([1, 2, 2, 3, 3]);
  });
});

describe('timeouts', () => {
  const at = (events: readonly PeerEvent[], legacy = false): ReplicaState => {
    const state = peer((s) => {
      s.legacy = legacy;
    });
    for (const event of events) state.apply(event, 0);
    return state;
  };
  const { CONTINUE, FULL, STREAM_DUMP, SPOOL_DUMP, DUMP_SENT_EOF } = PeerEvent;
  const STREAMING = 'Disconnecting timedout replica (streaming sync): 10.0.0.2:6380';
  const SYNCING = 'Disconnecting timedout replica (full sync): 10.0.0.2:6380';
  test.each([
    ['online', at([CONTINUE]), STREAMING],
    ['corked', at([FULL, STREAM_DUMP, DUMP_SENT_EOF]), STREAMING],
    ['sending', at([FULL, STREAM_DUMP]), SYNCING],
    ['waiting for a snapshot', at([FULL]), ''],
    ['waiting for the spool', at([FULL, SPOOL_DUMP]), ''],
    ['in handshake', at([]), ''],
    ['online by SYNC', at([FULL, STREAM_DUMP, DUMP_SENT_EOF], true), ''],
    ['sending by SYNC', at([FULL, STREAM_DUMP], true), SYNCING],
  ])('%s', (_name, state, text) => {
    expect([state.timedOut(60_000, 60_000), state.timedOut(60_001, 60_000)]).toEqual(['', text]);
  });

  test('a newline and write progress count as life', () => {
    const loading = at([FULL, STREAM_DUMP, DUMP_SENT_EOF]);
    loading.heardNewline(50_000);
    expect(loading.timedOut(100_000, 60_000)).toBe('');
    const sending = at([FULL, STREAM_DUMP]);
    sending.wrote(50_000);
    expect(sending.timedOut(100_000, 60_000)).toBe('');
  });
});

describe('what operators see', () => {
  test('INFO lines by phase', () => {
    const state = peer();
    expect(infoLine(0, state, 0)).toBe('');
    state.apply(PeerEvent.FULL, 0);
    expect(infoLine(0, state, 9000)).toBe(
      'slave0:ip=10.0.0.2,port=6380,state=wait_bgsave,offset=0,lag=0\r\n',
    );
    state.apply(PeerEvent.STREAM_DUMP, 0);
    expect(infoLine(1, state, 9000)).toBe(
      'slave1:ip=10.0.0.2,port=6380,state=send_bulk,offset=0,lag=0\r\n',
    );
    state.dumpSent(0);
    expect(infoLine(1, state, 9000)).toBe(
      'slave1:ip=10.0.0.2,port=6380,state=online,offset=0,lag=9\r\n',
    );
    state.acked(1087, 0, 9000);
    expect(infoLine(1, state, 9999)).toBe(
      'slave1:ip=10.0.0.2,port=6380,state=online,offset=1087,lag=0\r\n',
    );
    state.apply(PeerEvent.CLOSE, 0);
    expect(infoLine(0, state, 0)).toBe('');
  });

  test('ROLE has rows of online peers', () => {
    const waiting = peer();
    waiting.apply(PeerEvent.FULL, 0);
    expect(roleRow(waiting)).toBeNull();
    const state = online(14);
    state.announcedAddress = 'replica-2.example';
    expect(roleRow(state)).toEqual(['replica-2.example', '6380', '14']);
    expect(state.ackOffset).toBe(asOffset(14));
  });

  test.each([
    ['10.0.0.2', 6380, '10.0.0.2:6380'],
    ['::1', 6380, '[::1]:6380'],
    ['10.0.0.2', 0, '10.0.0.2:<unknown-replica-port>'],
  ])('%s and %i are %s in the log', (address, port, name) => {
    const state = new ReplicaState(address);
    state.listeningPort = port;
    expect(replicaName(state)).toBe(name);
  });
});
