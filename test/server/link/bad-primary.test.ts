/**
 * A primary misbehaves at one stage of the link, and behaves on the next connection. The node serves
 * its old dataset whole until then, and follows again. A node goes through many tests, so each
 * dataset replaces that of the test before.
 */
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { MIB } from '../../../src/base/units.ts';
import type { LinkState } from '../../../src/replication/link-state.ts';
import {
  aux,
  bytesOfParts,
  dump,
  i64,
  moduleId,
  pair,
  str,
  withChecksum,
} from '../../support/dump-writer.ts';
import {
  dumpOf,
  END,
  type FakePrimary,
  MARK,
  type PrimaryScript,
  REPLID,
  RESET,
  STALL,
  type Stage,
  startFakePrimary,
  streamOf,
} from '../../support/fake-primary.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import { encodeCommand, type RespClient } from '../../support/resp-client.ts';
import { testSeed } from '../../support/seed.ts';
import { waitFor } from '../../support/wait-for.ts';

// Most of the time of these tests is waiting for pauses and timeouts of nodes in this process.
vi.setConfig({ maxConcurrency: 12 });

/** A node, and the text in the dataset that it serves. */
class Follower {
  readonly node: NodeInProcess;
  readonly client: RespClient;
  held = '';
  readonly #primaries: FakePrimary[] = [];

  private constructor(node: NodeInProcess, client: RespClient) {
    this.node = node;
    this.client = client;
  }

  static async start(): Promise<Follower> {
    const node = await startNode('repl-timeout 2');
    return new Follower(node, await node.client());
  }

  get link(): LinkState {
    return this.node.node.upstream.link;
  }

  /** The log since it had `logged` lines. */
  log(logged: number): readonly string[] {
    return this.node.messages.slice(logged);
  }

  get logged(): number {
    return this.node.messages.length;
  }

  /** Follows a new primary, whose first connection has this script and all others `later`. */
  async follow(
    script: PrimaryScript,
    framing: 'mark' | 'length' = 'mark',
    text = `text ${names++}`,
    later: PrimaryScript = {},
  ): Promise<{ primary: FakePrimary; text: string }> {
    const primary = await startFakePrimary(text, script, later, framing);
    this.#primaries.push(primary);
    await this.client.call('REPLICAOF', '127.0.0.1', primary.port);
    // The last one stays: the node follows it.
    while (this.#primaries.length > 1) await this.#primaries.shift()!.close();
    return { primary, text };
  }

  /** The keys that are served. They are a whole dataset, of the present primary or of the last. */
  async served(text: string): Promise<{ k: unknown; s: unknown }> {
    const [k, s, size] = await this.client.pipeline([['GET', 'k'], ['GET', 's'], ['DBSIZE']]);
    const { held } = this;
    if (k === text) expect([s, size]).toEqual(s === null ? [null, 1] : [text, 2]);
    else if (held === '') expect([k, s, size]).toEqual([null, null, 0]);
    else expect([k, s, size]).toEqual([held, held, 2]);
    return { k, s };
  }

  /** Waits until all of the primary's data is served, and looks at what is served meanwhile. */
  async expectFollowed(text: string): Promise<void> {
    await waitFor(async () => (await this.served(text)).s === text, {
      what: `the data of ${text}`,
      timeoutMs: 60_000,
    });
    this.held = text;
  }

  async close(): Promise<void> {
    await this.client.close();
    await this.node.stop();
    for (const primary of this.#primaries) await primary.close();
  }
}

let names = 0;
const idle: Follower[] = [];
const started: Follower[] = [];

/** Lends a follower of a dataset to a test. */
async function withFollower(use: (follower: Follower) => Promise<void>): Promise<void> {
  let follower = idle.pop();
  if (follower === undefined) {
    follower = await Follower.start();
    started.push(follower);
    await follower.expectFollowed((await follower.follow({})).text);
  }
  // One that has failed is not lent again.
  await use(follower);
  idle.push(follower);
}

afterAll(async () => {
  for (const follower of started) await follower.close();
});

/**
 * The attempts of the link. A node that is refused for long also asks its primary, over a
 * connection of its own, who its primary is.
 */
const attemptsAt = ({ visits }: FakePrimary): number =>
  visits.filter(({ requests }) => requests[0]?.[0] === 'PING').length;

/** Goes through a bad connection and the good one after it. */
async function expectSurvived(
  script: PrimaryScript,
  complaint: RegExp,
  framing: 'mark' | 'length' = 'mark',
): Promise<void> {
  await withFollower(async (follower) => {
    const { logged } = follower;
    const { primary, text } = await follower.follow(script, framing);
    await follower.expectFollowed(text);
    expect(follower.log(logged).join('\n')).toMatch(complaint);
    // No tight loop: one bad connection, then the good one.
    expect(attemptsAt(primary)).toBe(2);
    // The link of the good one stays.
    expect(follower.link.isUp).toBe(true);
  });
}

test('a primary that behaves is followed', async () => {
  await withFollower(async (follower) => {
    for (const framing of ['mark', 'length'] as const) {
      const { text, primary } = await follower.follow({}, framing);
      await follower.expectFollowed(text);
      expect(attemptsAt(primary)).toBe(1);
    }
  });
});

const HTTP = 'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n';
const ENDLESS = 'x'.repeat(3000);
const BINARY = Buffer.from([0, 255, 1, 2, 10, 13, 10, 128, 10]);

describe.concurrent('garbage for the answer to PING:', () => {
  test.each<[string, Stage, RegExp]>([
    ['HTTP', HTTP, /Error reply to PING from master: 'HTTP\/1.1 400 Bad Request'/],
    ['bytes', BINARY, /Error reply to PING from master: '\?\?\?\?'/],
    ['an integer', ':1\r\n', /Error reply to PING/],
    [
      'an error',
      '-ERR max number of clients reached\r\n',
      /Error reply to PING from master: '-ERR max/,
    ],
    ['a line that does not end', ENDLESS, /Protocol error from MASTER: .*does not end/],
    ['half of it, then the end', ['+PO', END], /Master did not respond to command/],
    ['a reset', RESET, /Master did not respond to command/],
    ['nothing', STALL, /Master did not respond to command/],
  ])('%s', async (_name, pong, complaint) => {
    await expectSurvived({ pong }, complaint);
  });
});

describe.concurrent('garbage for the answer to REPLCONF:', () => {
  test.each<[string, Stage, RegExp]>([
    ['an integer', ':1\r\n', /Unexpected reply to REPLCONF from master: :1/],
    ['nil', '$-1\r\n', /Unexpected reply to REPLCONF/],
    ['an empty line', '\r\n', /Unexpected reply to REPLCONF/],
    ['bytes', BINARY, /Unexpected reply to REPLCONF/],
    ['a line that does not end', ENDLESS, /Protocol error from MASTER/],
    ['one reply too many', '+OK\r\n+OK\r\n', /Unexpected reply to PSYNC from master: \+OK/],
    ['the end', END, /Master did not respond to command/],
    ['a reset', ['+OK\r\n', RESET], /Master did not respond to command/],
    ['nothing', STALL, /Master did not respond to command/],
  ])('%s', async (_name, ok, complaint) => {
    await expectSurvived({ ok }, complaint);
  });
});

describe.concurrent('anything for the answer to PSYNC:', () => {
  const noSync = /MASTER aborted replication with an error: -ERR unknown command 'SYNC'/;
  test.each<[string, Stage, RegExp]>([
    // Dragonfly, Garnet and Kvrocks know no PSYNC of this kind, or none at all.
    ['unknown', '-ERR unknown command `PSYNC`\r\n', noSync],
    ['a text that asks for more', '-ERR Master does not support PSYNC\r\n', noSync],
    ['OK', '+OK\r\n', noSync],
    ['bytes', BINARY, /Unexpected reply to PSYNC from master: /],
    ['another channel', '+RDBCHANNELSYNC 42\r\n', noSync],
    ['another channel of Valkey', '+DUALCHANNELSYNC\r\n', noSync],
    ['a bulk string', '$5\r\nhello\r\n', /Unexpected reply to PSYNC from master: \$5/],
    [
      'an id that is none',
      '+CONTINUE xyz\r\n',
      /Unexpected reply to PSYNC from master: \+CONTINUE xyz/,
    ],
    ['later', "-NOMASTERLINK Can't SYNC while not connected\r\n", /unable to PSYNC but should be/],
    ['while it loads', '-LOADING Redis is loading the dataset in memory\r\n', /unable to PSYNC/],
    ['a line that does not end', ENDLESS, /Protocol error from MASTER/],
    ['the end', END, /Master did not reply to PSYNC, will try later/],
    ['a reset', RESET, /Master did not reply to PSYNC, will try later/],
    ['nothing', STALL, /Master did not reply to PSYNC, will try later/],
    ['empty lines only', ['\n\n\n', END], /Master did not reply to PSYNC, will try later/],
  ])('%s', async (_name, psync, complaint) => {
    await expectSurvived({ psync, header: '', dump: '', mark: '' }, complaint);
  });

  test.each(['+FULLRESYNC\r\n', '+FULLRESYNC x 5\r\n', `+FULLRESYNC ${REPLID} -1\r\n`])(
    '%j brings a dump, and no offset',
    async (psync) => {
      await withFollower(async (follower) => {
        // Without an offset there are no ACKs, so the stream follows the dump at once.
        const script: PrimaryScript = { psync, mark: [MARK, STALL] };
        const { primary, text } = await follower.follow(script);
        await waitFor(() => follower.link.isUp);
        expect(await follower.client.pipeline([['GET', 'k'], ['DBSIZE']])).toEqual([text, 1]);
        expect(primary.visits[0]!.requests.some((words) => words[1] === 'ACK')).toBe(false);
        // Its link ends by the timeout, and the next one has an offset again.
        await waitFor(async () => (await follower.client.call('GET', 's')) === text);
        follower.held = text;
      });
    },
  );
});

describe.concurrent('garbage for the header of the dump:', () => {
  test.each<[string, Stage, RegExp]>([
    ['OK', '+OK\r\n', /Bad protocol from MASTER, the first byte is not '\$'/],
    ['bytes', BINARY, /Bad protocol from MASTER/],
    ['an array', '*3\r\n', /Bad protocol from MASTER/],
    [
      'an error',
      "-ERR BGSAVE failed, replication can't continue\r\n",
      /MASTER aborted replication/,
    ],
    ['a negative length', '$-1\r\n', /Bad protocol from MASTER, a dump of '-1' bytes/],
    ['a length beyond all', '$99999999999999999999\r\n', /a dump of '99999999999999999999' bytes/],
    ['a length that is none', '$12x\r\n', /a dump of '12x' bytes/],
    ['a short mark', '$EOF:0123\r\n', /Bad protocol from MASTER, a mark of 4 bytes/],
    ['a line that does not end', ENDLESS, /Protocol error from MASTER/],
    ['the end', ['$2', END], /I\/O error trying to sync with MASTER: connection lost/],
    ['a reset', RESET, /I\/O error trying to sync with MASTER: /],
    ['nothing', STALL, /Timeout receiving bulk data from MASTER/],
  ])('%s', async (_name, header, complaint) => {
    await expectSurvived({ header, dump: STALL }, complaint);
  });
});

const broken = (...parts: Parameters<typeof bytesOfParts>): Buffer => bytesOfParts(...parts);
const wrongSum = dumpOf('wrong sum');
wrongSum[wrongSum.length - 1]! ^= 1;

describe.concurrent('a dump that is none:', () => {
  const failed = (reason: string): RegExp =>
    new RegExp(`Failed trying to load the MASTER synchronization DB: ${reason}`);
  test.each<[string, Buffer, RegExp]>([
    ['garbage', Buffer.alloc(500, 'garbage '), failed('Wrong signature')],
    ['with a wrong checksum', wrongSum, failed('Wrong RDB checksum')],
    ['of the future', dump('REDIS0099'), failed("Can't handle RDB format version 99")],
    ["of Valkey's future", dump('VALKEY099'), failed("Can't handle RDB format version 99")],
    [
      'with an unknown type',
      dump('REDIS0011', 99, str('k')),
      failed('Unknown RDB encoding type 99'),
    ],
    [
      'with an unknown opcode',
      dump('REDIS0011', 241, str('k')),
      failed('Unknown RDB encoding type 241'),
    ],
    [
      'with a key twice',
      dump('REDIS0011', pair('a', '1'), pair('a', '2')),
      failed('RDB has duplicated'),
    ],
    ['with a database too many', dump('REDIS0011', 254, 99), failed('Data file was created')],
    [
      'with templates of hashes',
      dump('REDIS0015', 242, 1),
      failed('RDB version 15 .*hash templates'),
    ],
    [
      'with an array',
      dump('REDIS0014', pair('a', '1'), 28, str('list'), 1),
      failed(`RDB version 14 holds .*'list' in DB 0, with a value of type 28 \\(array\\)`),
    ],
    [
      'with a set of vectors',
      dump('REDIS0012', 7, str('v'), moduleId('vectorset', 1), 0),
      failed(`.*'v' in DB 0, .*'vectorset'`),
    ],
    [
      'with a field that expires',
      dump('VALKEY080', 22, str('h'), 1, str('f'), str('v'), i64(5_000_000_000_000)),
      failed(`Valkey RDB version 80 .*'h' in DB 0, with a hash with fields that expire`),
    ],
    [
      'with a string that lies about its length',
      withChecksum(broken(['REDIS0011', 0, str('k'), 0x80, 0xff, 0xff, 0xff, 0xff, 'short'])),
      failed('a string of 4294967295 bytes|.*a string of'),
    ],
  ])('%s', async (_name, bytes, complaint) => {
    await expectSurvived({ dump: bytes }, complaint);
  });

  test('is refused again and again with growing pauses, which INFO tells', async () => {
    await withFollower(async (follower) => {
      const { logged } = follower;
      const future = { dump: dump('REDIS0099') };
      const { primary, text } = await follower.follow(future, 'mark', 'last', future);
      const info = await waitFor(
        async () => {
          const fields = await follower.client.info('headwater');
          return fields.get('headwater_upstream_refused_dumps') === '2' ? fields : undefined;
        },
        { timeoutMs: 60_000 },
      );
      expect(info.get('headwater_upstream_phase')).toBe('waiting');
      expect(info.get('headwater_upstream_refusal')).toBe("Can't handle RDB format version 99");
      // Twice the pause before; a part of it has passed.
      expect(follower.link.retryMs).toBe(4000);
      const left = Number(info.get('headwater_upstream_retry_ms'));
      expect(left).toBeGreaterThan(0);
      expect(left).toBeLessThanOrEqual(4000);
      expect(attemptsAt(primary)).toBe(2);
      const told = follower.log(logged).filter((line) => line.startsWith('Failed trying'));
      expect(told.length).toBe(1);
      expect((await follower.served(text)).k).toBe(follower.held);
      const next = await follower.follow({});
      await follower.expectFollowed(next.text);
      const after = await follower.client.info('headwater');
      expect(after.get('headwater_upstream_refusal')).toBe('');
      expect(after.get('headwater_upstream_phase')).toBe('connected');
    });
  });

  test('has parts that are passed over, which is told', async () => {
    await withFollower(async (follower) => {
      const { logged } = follower;
      const text = 'slots';
      const bytes = dump('REDIS0015', aux('redis-ver', '8.10.0'), 244, 5, 1, 0, pair('k', text));
      await follower.follow({ dump: bytes }, 'mark', text);
      await follower.expectFollowed(text);
      const log = follower.log(logged);
      expect(log).toContain('Loading RDB produced by version 8.10.0');
      expect(log).toContain('RDB part of no use here was passed over: slot info (1 times)');
    });
  });
});

/** The dump that a real primary sent in 2020. */
const recorded = readFileSync(new URL('../../fixtures/replication/handshake.rdb', import.meta.url));

describe.concurrent('the end of the dump:', { timeout: 180_000 }, () => {
  const whole = dumpOf('some text of some length');
  test.each<[string, PrimaryScript, RegExp]>([
    // The worker does not see the last bytes of a dump before more come, or its mark.
    ['a wrong mark', { mark: 'f'.repeat(40) }, /EOF marker is broken|Timeout receiving bulk/],
    ['bytes before its mark', { mark: `x${MARK}` }, /Replication stream EOF marker is broken/],
    ['a stream for a mark', { mark: streamOf('x'.repeat(MIB)) }, /EOF marker is broken/],
    ['half of a mark, and no more', { mark: [MARK.slice(20), STALL] }, /Timeout receiving bulk/],
    ['half of a mark, and the end', { mark: [MARK.slice(20), END] }, /I\/O error trying to sync/],
    ['none: it stalls', { dump: [whole.subarray(0, 30), STALL] }, /Timeout receiving bulk data/],
    ['none: it is reset', { dump: [whole.subarray(0, 30), RESET] }, /I\/O error trying to sync/],
  ])('%s', async (_name, script, complaint) => {
    await expectSurvived(script, complaint);
  });

  test.each(['mark', 'length'] as const)('it is cut at any byte (%s)', async (framing) => {
    await withFollower(async (follower) => {
      const bytes = Buffer.concat([recorded, Buffer.from(framing === 'mark' ? MARK : '')]);
      const header = framing === 'mark' ? `$EOF:${MARK}\r\n` : `$${bytes.length}\r\n`;
      for (let at = 0; at < bytes.length; at++) {
        const end = at % 2 === 0 ? END : RESET;
        const script: PrimaryScript = { header, dump: [bytes.subarray(0, at), end], mark: '' };
        // Another REPLICAOF each time: it does not wait for the pause.
        const { primary, text } = await follower.follow(script, framing, 'cut', { pong: STALL });
        await waitFor(() => primary.visits[0]?.closed === true);
        await waitFor(() => follower.link.phase === 'waiting');
        expect((await follower.served(text)).k).toBe(follower.held);
      }
      const next = await follower.follow({});
      await follower.expectFollowed(next.text);
    });
  });

  test('it is changed at any byte, and told by its checksum or its form', async () => {
    await withFollower(async (follower) => {
      const prng = new Prng(testSeed('changed bytes'));
      const bytes = dumpOf('a text that is changed');
      for (let at = 0; at < bytes.length; at++) {
        const bad = Buffer.from(bytes);
        bad[at]! ^= 1 << prng.below(8);
        const { text } = await follower.follow({ dump: bad }, 'mark', 'changed', { pong: STALL });
        await waitFor(() => follower.link.phase === 'waiting');
        expect((await follower.served(text)).k).toBe(follower.held);
      }
      const next = await follower.follow({});
      await follower.expectFollowed(next.text);
    });
  });
});

describe.concurrent('a stream that is none:', () => {
  /** The dump of the bad connection is a good one, and the good connection brings the stream. */
  async function expectStreamLost(stream: Stage, complaint: RegExp): Promise<void> {
    await withFollower(async (follower) => {
      const { logged } = follower;
      const { primary, text } = await follower.follow({ stream });
      await follower.expectFollowed(text);
      expect(follower.log(logged).join('\n')).toMatch(complaint);
      expect(attemptsAt(primary)).toBe(2);
    });
  }

  test.each<[string, Stage, RegExp]>([
    ['a bulk string', '$5\r\nhello\r\n', /Protocol error from MASTER: /],
    ['an array that is none', '*x\r\n', /Protocol error from MASTER: /],
    ['an argument that is none', '*1\r\n+PING\r\n', /Protocol error from MASTER: /],
    ['a negative length', '*1\r\n$-5\r\n', /Protocol error from MASTER: /],
    [
      'an inline request',
      'SET k inline\r\n',
      /Protocol error from MASTER: an inline request 'SET'/,
    ],
    // Without a zero: in Redis, too, that hides the end of an inline request.
    ['bytes', BINARY.subarray(1), /Protocol error from MASTER: /],
    [
      'half a request, and the end',
      ['*3\r\n$3\r\nSET\r\n$1\r\nk', END],
      /Connection with master lost/,
    ],
    [
      'half a transaction, and a reset',
      [encodeCommand(['MULTI']), encodeCommand(['SET', 'k', 'half']), RESET],
      /Connection with master lost/,
    ],
    ['nothing', STALL, /MASTER timeout: no data nor PING received/],
  ])('%s', async (_name, stream, complaint) => {
    await expectStreamLost(stream, complaint);
  });

  test('a command that fails here, or that nobody knows, is told, and the stream goes on', async () => {
    await withFollower(async (follower) => {
      const errors = async (): Promise<number> =>
        Number((await follower.client.info('stats')).get('unexpected_error_replies'));
      const before = await errors();
      const { logged } = follower;
      const text = 'failing';
      const words = [
        ['LPUSH', 'k', 'x'],
        ['NOSUCH', 'k'],
        ['SET', 'k'],
        ['INCR', 'k'],
      ];
      const stream = Buffer.concat([...words.map((word) => encodeCommand(word)), streamOf(text)]);
      const { primary } = await follower.follow({ stream }, 'mark', text);
      await follower.expectFollowed(text);
      expect(await errors()).toBe(before + words.length);
      const told = follower.log(logged).filter((line) => line.includes('== CRITICAL =='));
      expect(told.length).toBe(words.length);
      expect(told[1]).toContain("unknown command 'NOSUCH'");
      // The whole stream counts, also what has failed.
      const role = (await follower.client.call('ROLE')) as unknown[];
      expect(Number(role[4])).toBeGreaterThanOrEqual(stream.length);
      expect(attemptsAt(primary)).toBe(1);
    });
  });
});
