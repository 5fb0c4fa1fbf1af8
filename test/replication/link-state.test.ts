/**
 * The link to a primary as transcripts: what happens on the left, what this node does on the right.
 *
 *   ['>', text]   the primary sends a line, or an event comes
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { asOffset } from '../../src/base/units.ts';
import type { LinkOptions } from '../../src/replication/link-handshake.ts';
import type { CachedStream, LinkAction } from '../../src/replication/link-phase.ts';
import { LinkReader } from '../../src/replication/link-reader.ts';
import type { LinkState } from '../../src/replication/link-state.ts';
import { LoadWay } from '../../src/replication/load-way.ts';
import { LINK_OPTIONS, type PlayedLink, playLink } from '../support/played-link.ts';

const OLD = '0a'.repeat(20);
const NEW = '0b'.repeat(20);
const request = (...words: string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
const CAPA = request('REPLCONF', 'capa', 'eof', 'capa', 'psync2');
const PORT = request('REPLCONF', 'listening-port', '6380');
const line = (text: string) => (link: LinkState, nowMs: number) => link.line(text, nowMs);
const opened = (link: LinkState, nowMs: number) => link.opened(nowMs);
const follow = (link: LinkState, nowMs: number) => link.follow('10.0.0.1:6379', nowMs);
const closed = (link: LinkState, nowMs: number) => link.closed('', nowMs);
const tick = (link: LinkState, nowMs: number) => link.tick(asOffset(77), -1, nowMs);

/** Plays up to the answer of PSYNC. */
function asked(options: Partial<LinkOptions> = {}, cached?: CachedStream): PlayedLink {
  const played = playLink(options, cached);
  played.at(0, follow);
  played.at(1, opened);
  played.at(2, line('+PONG'));
  played.at(3, line('+OK'));
  played.at(4, line('+OK'));
  expect(played.link.phase).toBe('asked');
  return played;
}

describe('the handshake', () => {
  test('of a node that holds nothing', () => {
    const { at, link, log } = playLink();
    expect(at(0, follow)).toEqual(['connect']);
    expect(link.roleState).toBe('connecting');
    expect(at(1, opened)).toEqual([request('PING')]);
    expect(at(2, line('+PONG'))).toEqual([PORT + CAPA]);
    expect(at(3, line('+OK'))).toEqual([]);
    expect(link.roleState).toBe('handshake');
    expect(at(4, line('+OK'))).toEqual([request('PSYNC', '?', '-1')]);
    expect(at(5, line(''))).toEqual([]);
    expect(at(6, line(`+FULLRESYNC ${NEW} 4711`))).toEqual([`full ${NEW} 4711`]);
    expect(link.roleState).toBe('sync');
    expect(at(7, line(''))).toEqual([]);
    expect(at(8, line(`$EOF:${OLD}`))).toEqual([`payload ${OLD}`]);
    link.received(100, 9);
    link.payloadEnded(10);
    expect(link.roleState).toBe('sync');
    expect(at(11, (l, now) => l.loaded(asOffset(4711), now))).toEqual([
      request('REPLCONF', 'ACK', '4711'),
    ]);
    expect(link.roleState).toBe('connected');
    expect(log).toEqual([
      'Connecting to MASTER 10.0.0.1:6379',
      'MASTER <-> REPLICA sync started',
      'Non blocking connect for SYNC fired the event.',
      'Master replied to PING, replication can continue...',
      'Partial resynchronization not possible (no cached master)',
      `Full resync from master: ${NEW}:4711`,
      'MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to parser',
      'MASTER <-> REPLICA sync: Loading DB in memory',
      'MASTER <-> REPLICA sync: Swapping active DB with loaded DB',
      'MASTER <-> REPLICA sync: Discarding old DB in background',
      'MASTER <-> REPLICA sync: Finished with success',
    ]);
  });

  test('says who it is, in one write', () => {
    const { at } = playLink({
      user: 'repl',
      password: 'pw',
      announceIp: '1.2.3.4',
      version: '9.1.0',
    });
    at(0, follow);
    at(1, opened);
    expect(at(2, line('-NOAUTH Authentication required.'))).toEqual([
      request('AUTH', 'repl', 'pw') +
        PORT +
        request('REPLCONF', 'ip-address', '1.2.3.4') +
        CAPA +
        request('REPLCONF', 'version', '9.1.0'),
    ]);
  });

  test('tells further capabilities with the others', () => {
    const { at } = playLink({ capability: 'headwater-reads-12-80', hopsCapability: 'x' });
    at(0, follow);
    at(1, opened);
    const all = ['eof', 'psync2', 'headwater-reads-12-80', 'x'].flatMap((name) => ['capa', name]);
    expect(at(2, line('+PONG'))).toEqual([PORT + request('REPLCONF', ...all)]);
  });

  test('knows the run id of a headwater, and of no other primary', () => {
    const { at, link } = playLink();
    const shake = (...answers: string[]): string => {
      at(0, (state) => state.follow('127.0.0.1:6379', 0));
      at(1, opened);
      for (const answer of ['+PONG', ...answers]) at(2, line(answer));
      return link.primaryId;
    };
    expect(shake('+OK', `+OK headwater-hops ${NEW}`)).toBe(NEW);
    // The id stays while another attempt is made, and goes when another node answers.
    at(3, (state, nowMs) => state.closed('', nowMs));
    expect(link.primaryId).toBe(NEW);
    expect(shake('+OK', '+OK')).toBe('');
    expect(shake('+OK', `+OK headwater-hops ${NEW.slice(1)}`)).toBe('');
    expect(shake('+OK', `+OK headwater-hops ${NEW}`)).toBe(NEW);
    at(4, (state, nowMs) => state.unfollow(nowMs));
    expect(link.primaryId).toBe('');
  });

  test('goes on when a primary does not know an option', () => {
    const { at, log } = playLink();
    at(0, follow);
    at(1, opened);
    at(2, line('+PONG'));
    at(3, line("-ERR unknown command 'REPLCONF'"));
    expect(at(4, line('-ERR Unrecognized REPLCONF option: capa'))).toEqual([
      request('PSYNC', '?', '-1'),
    ]);
    expect(log).toContain(
      '(Non critical) Master does not understand REPLCONF capa: -ERR Unrecognized REPLCONF option: capa',
    );
  });

  test.each([
    [
      'a wrong password',
      '-WRONGPASS invalid username-password pair or user is disabled.',
      'Unable to AUTH',
    ],
    ['another product', ':1', 'Unexpected reply to REPLCONF'],
  ])('ends at %s, and is tried again in a second', (_, answer, complaint) => {
    const { at, link, log } = playLink({ password: 'pw' });
    at(0, follow);
    at(1, opened);
    at(2, line('+PONG'));
    expect(at(3, line(answer))).toEqual(['close']);
    expect(log.at(-1)).toContain(complaint);
    expect(link.roleState).toBe('connect');
    expect(at(1002, tick)).toEqual([]);
    expect(at(1003, tick)).toEqual(['connect']);
  });

  test('ends at an answer to PING that is none', () => {
    const { at, log } = playLink();
    at(0, follow);
    at(1, opened);
    expect(at(2, line('HTTP/1.1 400 Bad Request'))).toEqual(['close']);
    expect(log.at(-1)).toBe("Error reply to PING from master: 'HTTP/1.1 400 Bad Request'");
  });
});

describe('the answer to PSYNC', () => {
  const cached: CachedStream = { replid: OLD, offset: asOffset(100) };

  test('continues under the same id', () => {
    const { at, link } = asked({}, cached);
    expect(at(5, line('+CONTINUE'))).toEqual(['continue same', request('REPLCONF', 'ACK', '100')]);
    expect(link.isUp).toBe(true);
  });

  test('asks for what follows', () => {
    const { at } = playLink({}, cached);
    at(0, follow);
    at(1, opened);
    at(2, line('+PONG'));
    at(3, line('+OK'));
    expect(at(4, line('+OK'))).toEqual([request('PSYNC', OLD, '101')]);
  });

  test('continues under a new id', () => {
    const { at, log } = asked({}, cached);
    expect(at(5, line(`+CONTINUE ${NEW}`))[0]).toBe(`continue ${NEW}`);
    expect(log.at(-1)).toBe(`Master replication ID changed to ${NEW}`);
  });

  test.each([
    '-NOMASTERLINK Can’t SYNC while not connected with my master',
    '-LOADING Redis is loading',
  ])('that says later keeps what is held: %s', (answer) => {
    const { at, link } = asked({}, cached);
    expect(at(5, line(answer))).toEqual(['close']);
    expect(link.roleState).toBe('connect');
    expect(at(1005, tick)).toEqual(['connect']);
  });

  test('of a primary without PSYNC leads to SYNC, and to no ACKs', () => {
    const { at, link } = asked({}, cached);
    expect(at(5, line("-ERR unknown command 'PSYNC'"))).toEqual([
      'SYNC\r\n',
      `full ${'0'.repeat(40)} -1`,
    ]);
    expect(at(6, line('$7'))).toEqual(['payload 7']);
    link.payloadEnded(7);
    expect(at(8, (l, now) => l.loaded(asOffset(0), now))).toEqual([]);
    expect(at(3000, tick)).toEqual([]);
  });

  test('with a wrong offset brings a dump, and no ACKs', () => {
    const { at, log } = asked();
    expect(at(5, line(`+FULLRESYNC ${NEW} x`))).toEqual([`full ${'0'.repeat(40)} -1`]);
    expect(log.at(-1)).toBe('Master replied with wrong +FULLRESYNC syntax.');
  });

  test('that continues what this node does not hold ends the attempt', () => {
    const { at } = asked();
    expect(at(5, line(`+CONTINUE ${NEW}`))).toEqual(['close']);
  });
});

describe('the header of the dump', () => {
  const granted = (): PlayedLink => {
    const played = asked();
    played.at(5, line(`+FULLRESYNC ${NEW} 0`));
    return played;
  };

  test.each([
    ['-ERR BGSAVE failed, replication can’t continue', 'MASTER aborted replication with an error'],
    ['+OK', "the first byte is not '$'"],
    ['$EOF:short', 'a mark of 5 bytes'],
    ['$-1', "a dump of '-1' bytes"],
    ['$9999999999999999', 'bytes'],
    ['$12x', "a dump of '12x' bytes"],
  ])('%s ends the attempt', (text, complaint) => {
    const { at, log } = granted();
    expect(at(6, line(text))).toEqual(['close']);
    expect(log.at(-1)).toContain(complaint);
  });

  test('of an empty dump is taken', () => {
    expect(granted().at(6, line('$0'))).toEqual(['payload 0']);
  });
});

describe('a link that is lost', () => {
  const connected = (cached?: CachedStream): PlayedLink => {
    const played = asked({}, cached);
    if (cached !== undefined) played.at(5, line('+CONTINUE'));
    return played;
  };

  test('is tried again at once, and then each second', () => {
    const { at, link } = connected({ replid: OLD, offset: asOffset(5) });
    expect(at(100, closed)).toEqual(['connect']);
    expect(at(101, (l, now) => l.closed('ECONNREFUSED', now))).toEqual([]);
    expect(link.roleState).toBe('connect');
    expect(at(1100, tick)).toEqual([]);
    expect(at(1101, tick)).toEqual(['connect']);
  });

  test('is one that says nothing for repl-timeout', () => {
    const { at, log } = connected({ replid: OLD, offset: asOffset(5) });
    expect(at(60_005, tick)).toEqual([request('REPLCONF', 'ACK', '77')]);
    expect(at(60_006, tick)).toEqual(['close', 'connect']);
    expect(log).toContain('MASTER timeout: no data nor PING received...');
  });

  test('acknowledges each second while it is up', () => {
    const { at, link } = connected({ replid: OLD, offset: asOffset(5) });
    link.heard(900);
    expect(at(1000, tick)).toEqual([]);
    expect(at(1005, tick)).toEqual([request('REPLCONF', 'ACK', '77')]);
    expect(at(1006, (l, now) => l.acknowledge(asOffset(80), 60, now))).toEqual([
      request('REPLCONF', 'ACK', '80', 'FACK', '60'),
    ]);
  });

  test('is dropped at once by NO ONE, and by another primary', () => {
    const { at, link } = connected({ replid: OLD, offset: asOffset(5) });
    expect(at(10, (l, now) => l.follow('10.0.0.2:1', now))).toEqual(['close', 'connect']);
    expect(at(11, (l, now) => l.unfollow(now))).toEqual(['close']);
    expect(link.roleState).toBe('none');
    expect(at(5000, tick)).toEqual([]);
    expect(at(5001, closed)).toEqual([]);
  });
});

test.each([
  [LoadWay.BESIDE, 'parser', ['Loading DB in memory', 'Swapping active DB with loaded DB']],
  [LoadWay.FLUSH_FIRST, 'parser', []],
  [LoadWay.STORE_FIRST, 'disk', []],
])('the log tells where the dump goes, way %i', (loadWay, target, lines) => {
  const { link, log, at } = playLink({ loadWay });
  at(0, follow);
  at(0, opened);
  for (const text of ['+PONG', '+OK', '+OK', `+FULLRESYNC ${NEW} 0`, '$5']) at(0, line(text));
  link.payloadEnded(0);
  at(0, (l, now) => l.loaded(asOffset(0), now));
  expect(log).toContain(`MASTER <-> REPLICA sync: receiving 5 bytes from master to ${target}`);
  // The others are told where the old data is flushed.
  const told = log.filter((text) => /Loading DB|Swapping/.test(text));
  expect(told).toEqual(lines.map((text) => `MASTER <-> REPLICA sync: ${text}`));
});

describe('a circle of replicas', () => {
  const answers = (p: PlayedLink, now: number, answer: string): void => {
    p.at(now, opened);
    for (const text of ['+PONG', '+OK', '+OK', answer]) p.at(now, line(text));
  };

  test('is no trouble any more once a full sync is granted', () => {
    const played = playLink();
    played.at(0, follow);
    const path = `${'c'.repeat(40)} ${LINK_OPTIONS.ownId}`;
    answers(played, 0, `-NOMASTERLINK Can't SYNC while not connected with my master: ${path}`);
    expect(played.link.trouble.kind).toBe('loop');
    played.at(10_000, tick);
    answers(played, 10_000, `+FULLRESYNC ${NEW} 0`);
    expect(played.link.trouble).toMatchObject({ kind: 'none', path: [], isOrphan: false });
  });

  test('is suspected after a silence, until bytes of the stream have come', () => {
    const played = playLink({}, { replid: OLD, offset: asOffset(10) });
    const { link, at } = played;
    at(0, follow);
    answers(played, 0, '+CONTINUE');
    expect(link.isConfirmed).toBe(true);
    at(70_000, tick);
    answers(played, 80_000, '+CONTINUE');
    expect([link.isUp, link.isConfirmed]).toEqual([true, false]);
    // A hold says nothing about the primary.
    link.heldBack(81_000);
    expect(link.isConfirmed).toBe(false);
    link.heard(82_000);
    expect(link.isConfirmed).toBe(true);
  });
});

describe('dumps that cannot be read', () => {
  /** A full sync whose dump ends with `reason`; returns the pause before the next attempt. */
  function refuse({ at, link }: PlayedLink, nowMs: number, reason: string, isFinal = true): number {
    let now = nowMs;
    at(now, opened);
    at(now, line('+PONG'));
    at(now, line('+OK'));
    at(now, line('+OK'));
    at(now, line(`+FULLRESYNC ${NEW} 0`));
    at(now, line('$5'));
    link.payloadEnded(now);
    expect(at(now, (l, t) => l.loadFailed(reason, isFinal, t))).toEqual(['close']);
    while (link.phase === 'waiting') {
      expect(link.attemptInMs(now)).toBe(nowMs + link.retryMs - now);
      now += 500;
      at(now, tick);
    }
    expect(link.attemptInMs(now)).toBe(0);
    return now - nowMs;
  }

  const complaints = (log: readonly string[]): string[] =>
    log.filter((text) => text.startsWith('Failed trying') || text.startsWith('A full sync'));

  test('are asked for with growing pauses, and the log tells why once', () => {
    const played = playLink();
    let now = 0;
    played.at(now, follow);
    const pauses: number[] = [];
    for (let i = 0; i < 8; i++) {
      pauses.push(refuse(played, now, `RDB of version 99, at position ${i}`));
      now += pauses.at(-1)!;
    }
    expect(pauses).toEqual([2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    expect(played.link).toMatchObject({ refusedDumps: 8, refusal: 'RDB of version 99' });
    expect(complaints(played.log)).toEqual([
      'Failed trying to load the MASTER synchronization DB: RDB of version 99, at position 0',
      'A full sync is tried again after pauses of up to 60 seconds, until a dump of MASTER can be loaded.',
    ]);
    refuse(played, now, 'another\nreason');
    expect(complaints(played.log)[2]).toMatch(/: another\?reason$/);
    // INFO shows it as a line.
    expect(played.link.refusal).toBe('another?reason');
  });

  test.each([
    ['a dump that fits', (p: PlayedLink, now: number) => loadOne(p, now)],
    ['another primary', (p: PlayedLink, now: number) => p.at(now, follow)],
    ['its end as a replica', (p: PlayedLink, now: number) => p.at(now, (l, t) => l.unfollow(t))],
    ['a dump that was cut', (p: PlayedLink, now: number) => refuse(p, now, 'short', false)],
  ])('are forgotten after %s', (_, event) => {
    const played = playLink();
    played.at(0, follow);
    let now = refuse(played, 0, 'RDB of version 99');
    now += refuse(played, now, 'RDB of version 99');
    event(played, now);
    expect(played.link).toMatchObject({ refusedDumps: 0, refusal: '', retryMs: 1000 });
  });

  function loadOne({ at, link }: PlayedLink, now: number): void {
    at(now, opened);
    for (const text of ['+PONG', '+OK', '+OK', `+FULLRESYNC ${NEW} 0`, '$5']) at(now, line(text));
    link.payloadEnded(now);
    at(now, (l, t) => l.loaded(asOffset(0), t));
  }
});

test('while a dump is loaded the primary hears an empty line each second', () => {
  const { at, link } = asked();
  at(5, line(`+FULLRESYNC ${NEW} 0`));
  at(6, line('$5'));
  link.payloadEnded(7);
  expect(at(1007, tick)).toEqual(['\n']);
});

test.each([
  ['opening', (p: PlayedLink) => p.at(0, follow), 60_001, 'Timeout connecting to the MASTER...'],
  [
    'PING',
    (p: PlayedLink) => [p.at(0, follow), p.at(0, opened)],
    5001,
    'Master did not respond to command',
  ],
])('a primary that does not answer %s is given up', (_, begin, afterMs, complaint) => {
  const played = playLink();
  begin(played);
  expect(played.at(afterMs - 1, tick)).toEqual([]);
  expect(played.at(afterMs, tick)).toEqual(['close']);
  expect(played.log.at(-1)).toContain(complaint);
});

/**
 * A full sync of a Redis 5.9 primary, as a system-call trace has it:
 * test/fixtures/replication/handshake.txt.
 */
test('the recorded full sync of a real primary', () => {
  const dump = readFileSync(new URL('../fixtures/replication/handshake.rdb', import.meta.url));
  const replid = 'd28bd808c0922b5679039db98a7493f76689084e';
  const own: CachedStream = {
    replid: '48f9e4f8d75856f90b65299ce0c6ae57a8a69814',
    offset: asOffset(0),
  };
  const played = playLink({ listeningPort: 6379 }, own);
  const written: string[] = [];
  const payload: Buffer[] = [];
  const stream: Buffer[] = [];
  const reader: LinkReader = new LinkReader({
    line: (text) => run((link, now) => link.line(text, now)),
    payload: (bytes, start, end) => payload.push(Buffer.from(bytes.slice(start, end))),
    payloadEnded: () => {
      played.link.payloadEnded(1059);
      run((link, now) => link.loaded(asOffset(0), now));
      reader.expectStream();
    },
    stream: (bytes, start, end) => stream.push(Buffer.from(bytes.slice(start, end))),
  });
  const run = (event: (link: LinkState, nowMs: number) => readonly LinkAction[]): void => {
    for (const text of played.at(1000, event)) {
      if (text.startsWith('payload ')) reader.expectPayload(Number(text.slice('payload '.length)));
      else written.push(text);
    }
  };
  run(follow);
  run(opened);
  const sent = Buffer.concat([
    Buffer.from(`+PONG\r\n+OK\r\n+OK\r\n+FULLRESYNC ${replid} 0\r\n\n\n$276\r\n`),
    dump,
    Buffer.from('*1\r\n$4\r\nPING\r\n'),
  ]);
  // Cut at every third byte, as a slow link may.
  for (let at = 0; at < sent.length; at += 3) reader.push(sent, at, Math.min(at + 3, sent.length));
  expect(written).toEqual([
    'connect',
    '*1\r\n$4\r\nPING\r\n',
    request('REPLCONF', 'listening-port', '6379') + CAPA,
    request('PSYNC', own.replid, '1'),
    `full ${replid} 0`,
    '*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$1\r\n0\r\n',
  ]);
  expect(Buffer.concat(payload).equals(dump)).toBe(true);
  expect(Buffer.concat(stream).toString()).toBe('*1\r\n$4\r\nPING\r\n');
});

describe('FAILOVER', () => {
  const cached: CachedStream = { replid: OLD, offset: asOffset(76) };

  test('asks the target to be the primary, and tries ten times a second until it is there', () => {
    const { at } = playLink({ failover: true }, cached);
    at(0, follow);
    expect(at(1, (link, now) => link.closed('ECONNREFUSED', now))).toEqual([]);
    expect(at(50, tick)).toEqual([]);
    expect(at(101, tick)).toEqual(['connect']);
    at(102, opened);
    at(103, line('+PONG'));
    at(104, line('+OK'));
    expect(at(105, line('+OK'))).toEqual([request('PSYNC', OLD, '77', 'FAILOVER')]);
    expect(at(106, line(''))).toEqual([]);
    expect(at(107, line(`+CONTINUE ${NEW}`))).toEqual([
      'failover accepted',
      `continue ${NEW}`,
      request('REPLCONF', 'ACK', '76'),
    ]);
  });

  test('has succeeded with a full sync, too', () => {
    const { at } = asked({ failover: true }, cached);
    expect(at(5, line(`+FULLRESYNC ${NEW} 4`))).toEqual(['failover accepted', `full ${NEW} 4`]);
  });

  test.each([
    '-ERR PSYNC FAILOVER replid must match my replid.',
    "-NOMASTERLINK Can't SYNC while failing over",
    '+CONTINUE x',
    '+HELLO',
  ])('has failed with %s: no SYNC, no further attempt', (text) => {
    const { at } = asked({ failover: true }, cached);
    expect(at(5, line(text))).toEqual(['failover refused']);
  });

  test('has failed when the target is gone or silent', () => {
    const { at } = asked({ failover: true }, cached);
    expect(at(5, closed)).toEqual(['failover refused']);
    const silent = asked({ failover: true }, cached);
    expect(silent.at(70_000, tick)).toEqual(['failover refused']);
  });
});
