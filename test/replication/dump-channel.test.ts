/**
 * Full syncs over two connections as transcripts: what happens on the left, what this node does on
 * the right. `main` is the connection of the stream, `second` that of the dump.
 */
import { describe, expect, test } from 'vitest';
import { asOffset } from '../../src/base/units.ts';
import type { LinkOptions } from '../../src/replication/link-handshake.ts';
import type { CachedStream } from '../../src/replication/link-phase.ts';
import { type LinkEvent, type PlayedLink, playLink } from '../support/played-link.ts';

const OLD = '0a'.repeat(20);
const NEW = '0b'.repeat(20);

const play = (options: Partial<LinkOptions> = {}, cached?: CachedStream): PlayedLink =>
  playLink({ rdbChannel: true, dualChannel: true, ...options }, cached, (action) => {
    switch (action.kind) {
      case 'write':
        return `main ${action.text}`;
      case 'write-second':
        return `second ${action.text}`;
      case 'full':
        return `full ${action.replid} ${action.offset} db ${action.dbIndex}`;
      case 'continue':
        return action.kind;
      default:
        return undefined;
    }
  });

const request = (...words: string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
const main =
  (text: string): LinkEvent =>
  (link, nowMs) =>
    link.line(text, nowMs);
const second =
  (text: string): LinkEvent =>
  (link, nowMs) =>
    link.secondLine(text, nowMs);
const secondOpened: LinkEvent = (link, nowMs) => link.secondOpened(nowMs);
const secondClosed: LinkEvent = (link, nowMs) => link.secondClosed('', nowMs);
const mainClosed: LinkEvent = (link, nowMs) => link.closed('', nowMs);
const tick: LinkEvent = (link, nowMs) => link.tick(asOffset(77), -1, nowMs);
const payloadEnded: LinkEvent = (link, nowMs) => {
  link.payloadEnded(nowMs);
  return [];
};

const RDB_REPLCONF = request(
  ...['REPLCONF', 'capa', 'eof', 'rdb-only', '1', 'rdb-channel', '1'],
  ...['main-ch-client-id', '42', 'listening-port', '6380'],
);
const DUAL_REPLCONF = request(
  ...['REPLCONF', 'capa', 'eof', 'rdb-only', '1', 'rdb-channel', '1', 'listening-port', '6380'],
);
const FULLRESYNC = `+FULLRESYNC ${NEW} 4711`;
const ENDOFF = `$ENDOFF:4711 ${NEW} 3 77`;
const SET_ID = request('REPLCONF', 'set-rdb-client-id', '77');
const PSYNC = request('PSYNC', NEW, '4712');

/** Plays up to the answer of PSYNC. */
function asked(options: Partial<LinkOptions> = {}, cached?: CachedStream): PlayedLink {
  const played = play(options, cached);
  again(played, 0);
  return played;
}

/** The same on a link that waits, or on a new one. */
function again({ at, link }: PlayedLink, nowMs: number): void {
  if (link.phase === 'none') at(nowMs, (l, now) => l.follow('10.0.0.1:6379', now));
  else expect(at(nowMs, tick)).toEqual(['connect']);
  at(nowMs, (l, now) => l.opened(now));
  at(nowMs, main('+PONG'));
  while (link.phase === 'shaking') at(nowMs, main('+OK'));
  expect(link.phase).toBe('asked');
}

/** Plays a way of events from the answer of PSYNC on; each must be taken as in a sync. */
const WAYS = {
  redis: [
    main('+RDBCHANNELSYNC 42'),
    secondOpened,
    second('+OK'),
    second(FULLRESYNC),
    second(`$EOF:${OLD}`),
    payloadEnded,
  ],
  valkey: [
    main('+DUALCHANNELSYNC'),
    secondOpened,
    second('+OK'),
    second(ENDOFF),
    main('+OK'),
    main(`+CONTINUE ${NEW}`),
    second(`$EOF:${OLD}`),
    payloadEnded,
  ],
} as const;

/** A link after the first `steps` events of a way, at time 10. */
function reached(
  way: keyof typeof WAYS,
  steps: number,
  options?: Partial<LinkOptions>,
): PlayedLink {
  const played = asked(options);
  for (const event of WAYS[way].slice(0, steps)) played.at(10, event);
  return played;
}

describe('the handshake', () => {
  test.each([
    [true, false, ['eof', 'psync2', 'rdb-channel-repl']],
    [false, true, ['eof', 'psync2', 'dual-channel']],
    [true, true, ['eof', 'psync2', 'rdb-channel-repl', 'dual-channel']],
    [false, false, ['eof', 'psync2']],
  ])('offers what is switched on: %s, %s', (rdbChannel, dualChannel, names) => {
    const { at } = play({ rdbChannel, dualChannel });
    at(0, (l, now) => l.follow('10.0.0.1:6379', now));
    at(1, (l, now) => l.opened(now));
    const capa = request('REPLCONF', ...names.flatMap((name) => ['capa', name]));
    expect(at(2, main('+PONG'))[0]).toContain(capa);
  });

  test.each(['+RDBCHANNELSYNC 42', '+DUALCHANNELSYNC'])(
    'leads to SYNC when the answer is %s and nothing was offered',
    (answer) => {
      const { at } = asked({ rdbChannel: false, dualChannel: false });
      expect(at(5, main(answer))[0]).toBe('main SYNC\r\n');
    },
  );

  test('of a primary that grants a classic sync goes on as ever', () => {
    const { at, link } = asked();
    expect(at(5, main(FULLRESYNC))).toEqual([`full ${NEW} 4711 db -1`]);
    expect(at(6, main(`$EOF:${OLD}`))).toEqual([`payload ${OLD}`]);
    link.payloadEnded(7);
    expect(at(8, (l, now) => l.loaded(asOffset(4711), now))).toEqual([
      `main ${request('REPLCONF', 'ACK', '4711')}`,
    ]);
  });
});

describe('over the channel of Redis', () => {
  test('the dump comes with the stream, which is held from the answer on', () => {
    const { at, link, log } = asked();
    expect(at(5, main('+RDBCHANNELSYNC 42'))).toEqual(['hold-stream', 'connect-second']);
    expect(link.roleState).toBe('handshake');
    expect(link.isSyncing).toBe(false);
    expect(at(6, secondOpened)).toEqual([`second ${RDB_REPLCONF}`]);
    expect(at(7, second('+OK'))).toEqual([`second ${request('PSYNC', '?', '-1')}`]);
    expect(at(8, second(''))).toEqual([]);
    expect(at(9, second(FULLRESYNC))).toEqual([`full ${NEW} 4711 db -1`]);
    expect(link.roleState).toBe('sync');
    expect(at(1009, tick)).toEqual(['main \n']);
    expect(at(1010, second(`$EOF:${OLD}`))).toEqual([`payload ${OLD}`]);
    link.received(100, 2000);
    expect(at(2009, tick)).toEqual(['main \n']);
    link.payloadEnded(2010);
    expect(at(2011, secondClosed)).toEqual([]);
    expect(link.hasStream).toBe(true);
    expect(at(2012, (l, now) => l.loaded(asOffset(4711), now))).toEqual([
      'close-second',
      `main ${request('REPLCONF', 'ACK', '4711')}`,
    ]);
    expect(link.roleState).toBe('connected');
    expect(log.slice(log.indexOf('PSYNC is not possible, initialize RDB channel.'))).toEqual([
      'PSYNC is not possible, initialize RDB channel.',
      `Full resync from master: ${NEW}:4711`,
      'Starting to receive RDB and replication stream in parallel.',
      'MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to parser',
      'MASTER <-> REPLICA sync: Loading DB in memory',
      'MASTER <-> REPLICA sync: Swapping active DB with loaded DB',
      'MASTER <-> REPLICA sync: Discarding old DB in background',
      'MASTER <-> REPLICA sync: Finished with success',
    ]);
  });

  test('says who it is, in one write', () => {
    const options = { user: 'repl', password: 'pw', announceIp: '1.2.3.4', capability: 'reads-9' };
    const { at } = reached('redis', 1, options);
    expect(at(11, secondOpened)).toEqual([
      `second ${request('AUTH', 'repl', 'pw')}${request(
        ...['REPLCONF', 'capa', 'eof', 'rdb-only', '1', 'rdb-channel', '1'],
        ...['main-ch-client-id', '42', 'listening-port', '6380', 'ip-address', '1.2.3.4'],
        ...['capa', 'reads-9'],
      )}`,
    ]);
    expect(at(12, second('+OK'))).toEqual([]);
    expect(at(13, second('+OK'))).toEqual([`second ${request('PSYNC', '?', '-1')}`]);
  });

  test.each(['+RDBCHANNELSYNC', '+RDBCHANNELSYNC x', '+RDBCHANNELSYNC 1 2', '+RDBCHANNELSYNC -1'])(
    'an id that is none ends the attempt: %s',
    (answer) => {
      const { at, log } = asked();
      expect(at(5, main(answer))).toEqual(['close']);
      expect(log.at(-1)).toBe(`Master replied with wrong +RDBCHANNELSYNC syntax: ${answer}`);
    },
  );
});

describe('over the channel of Valkey', () => {
  test('the stream is asked for once the dump is granted', () => {
    const { at, link, log } = asked();
    expect(at(5, main('+DUALCHANNELSYNC'))).toEqual(['connect-second']);
    expect(at(6, secondOpened)).toEqual([`second ${DUAL_REPLCONF}`]);
    expect(at(7, second('+OK'))).toEqual(['second SYNC\r\n']);
    expect(at(8, second(''))).toEqual([]);
    expect(at(9, main(''))).toEqual([]);
    expect(at(10, second(ENDOFF))).toEqual([`full ${NEW} 4711 db 3`, `main ${SET_ID}`]);
    expect(at(11, second(`$EOF:${OLD}`))).toEqual([`payload ${OLD}`]);
    expect(at(1012, tick)).toEqual([]);
    expect(at(1013, main('+OK'))).toEqual([`main ${PSYNC}`]);
    expect(at(1014, main(''))).toEqual([]);
    expect(link.hasStream).toBe(false);
    expect(at(1015, main(`+CONTINUE ${NEW}`))).toEqual(['hold-stream']);
    expect(link.hasStream).toBe(true);
    expect(at(2012, tick)).toEqual(['main \n']);
    link.payloadEnded(2013);
    expect(at(2014, (l, now) => l.loaded(asOffset(4711), now))).toEqual([
      'close-second',
      `main ${request('REPLCONF', 'ACK', '4711')}`,
    ]);
    const prefix = 'Dual channel replication: ';
    expect(log).toContain(`${prefix}PSYNC is not possible, initialize RDB channel.`);
    expect(log).toContain(
      `${prefix}Trying a partial resynchronization using main channel (request ${NEW}:4712).`,
    );
  });

  test('a dump that is here before the stream waits for it', () => {
    const { at, link } = reached('valkey', 5);
    at(11, second('$7'));
    link.payloadEnded(12);
    expect(link.hasStream).toBe(false);
    expect(link.outlivesMain).toBe(false);
    expect(at(13, main('+CONTINUE'))).toEqual(['hold-stream']);
    expect([link.hasStream, link.outlivesMain]).toEqual([true, true]);
  });

  test('says who it is in two requests', () => {
    const { at } = reached('valkey', 1, {
      password: 'pw',
      announceIp: '1.2.3.4',
      version: '9.1.0',
    });
    const replconf = request(
      ...['REPLCONF', 'capa', 'eof', 'rdb-only', '1', 'rdb-channel', '1'],
      ...['listening-port', '6380', 'version', '9.1.0'],
    );
    expect(at(11, secondOpened)).toEqual([
      `second ${request('AUTH', 'pw')}${replconf}${request('REPLCONF', 'ip-address', '1.2.3.4')}`,
    ]);
    at(12, second('+OK'));
    at(13, second('+OK'));
    expect(at(14, second('+OK'))).toEqual(['second SYNC\r\n']);
  });

  test.each([
    `$ENDOFF:x ${NEW} 0 77`,
    `$ENDOFF:-1 ${NEW} 0 77`,
    '$ENDOFF:1 short 0 77',
    `$ENDOFF:1 ${NEW} -2 77`,
    `$ENDOFF:1 ${NEW} 4294967296 77`,
    `$ENDOFF:1 ${NEW} 0 -7`,
    `$ENDOFF:1 ${NEW} 0`,
    `$ENDOFF:1 ${NEW} 0 77 8`,
    '-ERR BGSAVE failed',
    FULLRESYNC,
  ])('an end that is none ends the attempt: %s', (text) => {
    const { at, log } = reached('valkey', 3);
    expect(at(11, second(text))).toEqual(['close']);
    expect(log).toContain(
      `Dual channel replication: Received unexpected $ENDOFF response: ${text}`,
    );
    expect(log.at(-1)).toBe('Dual channel replication: Aborting dual channel sync');
  });

  test.each([
    ['another id', `+CONTINUE ${OLD}`],
    ['a full sync', FULLRESYNC],
    ['an error', '-NOMASTERLINK'],
    ['garbage', ':1'],
  ])('%s on the main connection ends the attempt', (_, text) => {
    const { at, log } = reached('valkey', 5);
    expect(at(11, main(text))).toEqual(['close']);
    expect(log).toContain(
      `Dual channel replication: Aborting dual channel sync. Main channel psync result ${text}`,
    );
  });

  test('an error to its id on the main connection ends the attempt', () => {
    const { at, log } = reached('valkey', 4);
    expect(at(11, main('-ERR Unrecognized'))).toEqual(['close']);
    expect(log).toContain(
      'Dual channel replication: Primary does not understand REPLCONF identify: -ERR Unrecognized',
    );
  });

  test('a line on the main connection that nobody has asked for ends the attempt', () => {
    expect(reached('valkey', 2).at(11, main('+OK'))).toEqual(['close']);
  });
});

describe.each(['redis', 'valkey'] as const)('a fault with %s', (way) => {
  const prefix = way === 'redis' ? '' : 'Dual channel replication: ';
  const aborts =
    way === 'redis' ? 'Aborting rdb channel sync' : `${prefix}Aborting dual channel sync`;
  const all = WAYS[way].length;
  const beforeDump = way === 'redis' ? 4 : 6;

  test('the main connection is cut at each step before the whole dump is here', () => {
    for (let steps = 1; steps < all; steps++) {
      const { at, link, log } = reached(way, steps);
      expect(link.outlivesMain, `step ${steps}`).toBe(false);
      expect(at(11, mainClosed)).toEqual(['close']);
      expect(log.at(-1)).toBe(aborts);
      expect(link.phase).toBe('waiting');
      expect(at(1011, tick)).toEqual(['connect']);
    }
  });

  test('the main connection is cut after that: the dump counts, and then PSYNC', () => {
    const { at, link, log } = reached(way, all);
    expect(link.outlivesMain).toBe(true);
    expect(at(11, (l) => l.mainLost('ECONNRESET'))).toEqual([]);
    expect(log.at(-1)).toBe('After loading RDB, replica will try psync with master.');
    at(12, (l, now) => l.loaded(asOffset(4711), now));
    expect(link.outlivesMain).toBe(true);
    expect(at(13, mainClosed)).toEqual(['connect']);
  });

  test('the second connection is cut at each step', () => {
    for (let steps = 1; steps < all; steps++) {
      const { at, link, log } = reached(way, steps);
      expect(at(11, secondClosed), `step ${steps}`).toEqual(['close']);
      expect(log.at(-1)).toBe(aborts);
      expect(link.phase).toBe('waiting');
    }
  });

  test('the second connection says nothing at each step', () => {
    for (let steps = 1; steps < all; steps++) {
      const { at, link } = reached(way, steps);
      // Valkey's main connection is asked between these steps, and is silent as well.
      const answersMain = way === 'valkey' && (steps === 4 || steps === 5);
      const isShaking = steps === 2 || (way === 'valkey' && steps === 4);
      const limitMs = isShaking ? 5000 : 60_000;
      if (!answersMain) expect(at(10 + limitMs, tick)).not.toContain('close');
      expect(at(11 + limitMs, tick), `step ${steps}`).toContain('close');
      expect(link.phase).toBe('waiting');
    }
  });

  test('a silence of our own making is none', () => {
    const { at, link } = reached(way, 4);
    link.heldBack(70_000);
    expect(at(70_001, tick)).not.toContain('close');
  });

  test.each([
    ['an error', '-NOPERM no', false],
    ['garbage', '$5', true],
  ])('the answer to REPLCONF is %s', (_, text, isGarbage) => {
    const { at, link, log } = reached(way, 2);
    expect(at(11, second(text))).toEqual(['close']);
    expect(log.at(-2)).toContain(text);
    expect(link.trouble.kind).toBe(isGarbage ? 'not-a-primary' : 'none');
  });

  test('a wrong password', () => {
    const { at, log } = reached(way, 2, { password: 'pw' });
    expect(at(11, second('-WRONGPASS no'))).toEqual(['close']);
    expect(log.at(-2)).toMatch(/Unable to AUTH to (master|Primary): -WRONGPASS no$/);
  });

  test.each([
    '-ERR BGSAVE failed',
    '+OK',
    `+FULLRESYNC ${NEW}`,
    '+FULLRESYNC x 5',
    `+FULLRESYNC ${NEW} -1`,
  ])('the answer to what it asks for is %s', (text) => {
    const { at, link } = reached(way, 3);
    expect(at(11, second(text))).toEqual(['close']);
    expect(link.phase).toBe('waiting');
  });

  test('the header of the dump is an error', () => {
    const { at, log } = reached(way, beforeDump);
    expect(at(11, second('-ERR no'))).toEqual(['close']);
    expect(log.at(-2)).toBe('MASTER aborted replication with an error: -ERR no');
  });

  test('a stream that is none leaves what is held', () => {
    const { at, log } = reached(way, all - 1);
    expect(at(11, (l, now) => l.streamFailed('bytes', now))).toEqual(['close']);
    expect(log).toContain('Protocol error from MASTER: bytes');
  });

  test('REPLICAOF NO ONE ends it', () => {
    for (let steps = 1; steps <= all; steps++) {
      const { at, link } = reached(way, steps);
      expect(at(11, (l, now) => l.unfollow(now))).toEqual(['close']);
      expect([link.phase, link.hasStream]).toEqual(['none', true]);
    }
  });

  test('three in a row before the dump make the next one a classic sync', () => {
    const offers = (played: PlayedLink, nowMs: number): boolean => {
      played.at(nowMs, tick);
      played.at(nowMs, (l, now) => l.opened(now));
      return played.at(nowMs, main('+PONG')).join('').includes('channel');
    };
    const played = play();
    for (let i = 0; i < 3; i++) {
      again(played, i * 5000);
      for (const event of WAYS[way].slice(0, 2)) played.at(i * 5000, event);
      played.at(i * 5000, second('-ERR no'));
    }
    expect(played.log.filter((line) => line.includes('a classic one')).length).toBe(1);
    expect(offers(played, 15_000)).toBe(false);
    while (played.link.phase === 'shaking') played.at(15_001, main('+OK'));
    for (const text of [FULLRESYNC, '$0']) played.at(15_002, main(text));
    played.link.payloadEnded(15_003);
    played.at(15_004, (l, now) => l.loaded(asOffset(4711), now));
    // A full sync that went well ends that.
    played.at(30_000, mainClosed);
    played.at(30_001, (l, now) => l.opened(now));
    expect(played.at(30_002, main('+PONG')).join('')).toContain('channel');
  });
});

test.each(['+RDBCHANNELSYNC 42', '+DUALCHANNELSYNC'])('FAILOVER is accepted by %s', (answer) => {
  const { at } = asked({ failover: true }, { replid: OLD, offset: asOffset(5) });
  expect(at(5, main(answer))[0]).toBe('failover accepted');
});
