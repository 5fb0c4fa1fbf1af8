/**
 * Full syncs over two connections, from primaries that are only sockets: the way itself, and each
 * fault in it. The old dataset is served whole until the new one is there, and offsets are exact.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  type ChannelData,
  ChannelPrimary,
  type ChannelScript,
} from '../../support/channel-primary.ts';
import { dump, pair } from '../../support/dump-writer.ts';
import { END, MARK, RESET, STALL } from '../../support/fake-primary.ts';
import { FakeReplica } from '../../support/fake-replica.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import { encodeCommand, type RespClient } from '../../support/resp-client.ts';
import { waitFor } from '../../support/wait-for.ts';

let names = 0;

/** A dataset of its own: `k` is in the dump, in database 0, and `s` behind it, in database 3. */
function dataOf(text: string): ChannelData {
  names++;
  const stream = [encodeCommand(['SELECT', 3]), encodeCommand(['SET', 's', text])];
  return {
    replid: names.toString(16).padStart(40, 'f'),
    offset: 1000 + names,
    dump: dump('REDIS0011', pair('k', text)),
    stream: Buffer.concat(stream),
  };
}

type Kind = 'redis' | 'valkey';
const DIRECTIVES = {
  redis: 'repl-rdb-channel',
  valkey: 'dual-channel-replication-enabled',
} as const;

/** A node that follows one primary after the other. */
class Rig {
  readonly kind: Kind;
  readonly node: NodeInProcess;
  readonly client: RespClient;
  /** What the node holds of the last primary. */
  held = '';
  readonly closing: (() => Promise<unknown>)[] = [];

  private constructor(kind: Kind, node: NodeInProcess, client: RespClient) {
    this.kind = kind;
    this.node = node;
    this.client = client;
  }

  static async start(kind: Kind): Promise<Rig> {
    const node = await startNode('repl-timeout 2', 'rehearsal no', `${DIRECTIVES[kind]} yes`);
    return new Rig(kind, node, await node.client());
  }

  async closeAll(): Promise<void> {
    for (const close of this.closing.splice(0).reverse()) await close();
  }

  async stop(): Promise<void> {
    await this.closeAll();
    await this.client.close();
    await this.node.stop();
  }

  async follow(script: ChannelScript = {}, later: ChannelScript = {}, data?: ChannelData) {
    const text = `text ${names}`;
    const primary = await ChannelPrimary.start(this.kind, data ?? dataOf(text), script, later);
    this.closing.push(() => primary.close());
    const logged = this.node.messages.length;
    await this.client.call('REPLICAOF', '127.0.0.1', primary.port);
    const log = (): string => this.node.messages.slice(logged).join('\n');
    return { primary, text, log };
  }

  /** What is served is a whole dataset: the old one or the new one. */
  async served(text: string): Promise<unknown> {
    const k = await this.client.call('GET', 'k');
    expect([this.held === '' ? null : this.held, text]).toContain(k);
    return k;
  }

  async offset(): Promise<number> {
    return Number(await this.client.infoField('replication', 'slave_repl_offset'));
  }

  async expectFollowed(primary: ChannelPrimary, text: string): Promise<void> {
    const { client, node } = this;
    await waitFor(async () => (await this.served(text)) === text, { timeoutMs: 60_000 });
    await waitFor(
      async () => node.node.upstream.isUp && (await this.offset()) === primary.endOffset,
      { what: 'the end of the stream', timeoutMs: 60_000 },
    );
    expect(
      await client.pipeline([
        ['SELECT', 3],
        ['GET', 's'],
        ['SELECT', 0],
      ]),
    ).toEqual(['OK', text, 'OK']);
    expect(await client.infoField('replication', 'master_replid')).toBe(primary.data.replid);
    expect(node.node.upstream.held.memoryBytes).toBe(0);
    this.held = text;
  }
}

describe.each(['redis', 'valkey'] as const)('a primary as %s', (kind) => {
  let rig: Rig;

  beforeAll(async () => {
    rig = await Rig.start(kind);
  });

  afterAll(() => rig.stop());
  afterEach(() => rig.closeAll());

  test('is followed', async () => {
    const { primary, text, log } = await rig.follow();
    await rig.expectFollowed(primary, text);
    expect([primary.mains.length, primary.seconds.length]).toEqual([1, 1]);
    await waitFor(() => primary.seconds[0]!.isClosed && primary.main.acks.length > 0);
    expect(primary.main.acks[0]).toBe(primary.data.offset);
    expect(log()).toMatch(/Successfully streamed replication buffer into the db \(\d+ bytes/);
    const fields = await rig.client.info('replication');
    const name = kind === 'redis' ? 'replica_full_sync_buffer' : 'replicas_repl_buffer';
    expect(fields.get(`${name}_size`)).toBe('0');
    expect(Number(fields.get(`${name}_peak`))).toBeGreaterThan(0);
  });

  test('continues a link that was cut', async () => {
    const { primary, text } = await rig.follow();
    await rig.expectFollowed(primary, text);
    // A PING that was sent may be lost with the connection.
    const at = await rig.offset();
    primary.main.socket.resetAndDestroy();
    const psync = await waitFor(
      () => primary.mains.length === 2 && primary.main.requests.find(([word]) => word === 'PSYNC'),
      { what: 'the link to ask again' },
    );
    expect(psync[1]).toBe(primary.data.replid);
    // PINGs may have come in between.
    const beyond = Number(psync[2]) - at - 1;
    expect([beyond >= 0, beyond % encodeCommand(['PING']).length]).toEqual([true, 0]);
    await waitFor(() => rig.node.node.upstream.isUp);
    expect(primary.seconds.length).toBe(1);
  });

  test('holds the stream while the dump comes, and serves the old data', async () => {
    const { primary, text } = await rig.follow({ dump: '', mark: '' });
    const { upstream } = rig.node.node;
    await waitFor(() => upstream.held.heldBytes === primary.data.stream.length);
    expect(await rig.served(text)).toBe(rig.held === '' ? null : rig.held);
    const fields = await rig.client.info('replication');
    expect(fields.get('master_sync_in_progress')).toBe('1');
    expect(fields.get('master_link_status')).toBe('down');
    const name = kind === 'redis' ? 'replica_full_sync_buffer' : 'replicas_repl_buffer';
    expect(Number(fields.get(`${name}_size`))).toBe(upstream.held.memoryBytes);
    expect(await rig.client.infoField('memory', 'mem_replica_full_sync_buffer')).toBe(
      String(upstream.held.memoryBytes),
    );
    primary.seconds[0]!.say([primary.data.dump, MARK]);
    await rig.expectFollowed(primary, text);
  });

  test('holds no more than the limit, and leaves the rest with the primary', async () => {
    await rig.client.call('CONFIG', 'SET', 'replica-full-sync-buffer-limit', '100kb');
    const text = 'limit';
    const data = dataOf(text);
    const value = 'x'.repeat(1000);
    const more = Array.from({ length: 40_000 }, (_, i) =>
      encodeCommand(['SET', `more:${i % 100}`, `${value}${i}`]),
    );
    const stream = Buffer.concat([...more, data.stream]);
    const whole = { ...data, stream };
    const { primary, log } = await rig.follow({ dump: '', mark: '' }, {}, whole);
    const { upstream } = rig.node.node;
    await waitFor(() => log().includes('Replication buffer limit has been reached'), {
      what: 'the limit to be reached',
    });
    expect(upstream.held.heldBytes).toBeGreaterThanOrEqual(100 * 1024);
    // One read may lie beyond it, and the blocks that it needs.
    expect(upstream.held.heldBytes).toBeLessThanOrEqual(164 * 1024);
    await waitFor(() => primary.main.socket.writableLength > 0);
    primary.seconds[0]!.say([primary.data.dump, MARK]);
    await rig.expectFollowed(primary, text);
    expect(primary.mains.length).toBe(1);
    await rig.client.call('SELECT', 0);
    expect(await rig.client.call('GET', 'more:99')).toBe(`${value}39999`);
    await rig.client.call('CONFIG', 'SET', 'replica-full-sync-buffer-limit', '0');
  });

  test('passes its dump and its stream on, byte for byte, under the same offsets', async () => {
    const text = 'relay';
    const large = dump('REDIS0011', pair('k', text), pair('large', 'x'.repeat(5000)));
    const data = { ...dataOf(text), dump: large };
    const { primary } = await rig.follow({ dump: '', mark: '' }, {}, data);
    await waitFor(() => rig.node.node.upstream.link.phase === 'transfer');
    const { dump: bytes, stream, replid, offset: at } = primary.data;
    primary.seconds[0]!.say(bytes.subarray(0, 1000));
    const capa = ['eof', 'psync2', 'headwater-reads-12-80'];
    const below = await FakeReplica.attach(rig.node.port, { capa });
    rig.closing.push(() => below.close());
    expect(below.refusal).toBe('');
    primary.seconds[0]!.say([bytes.subarray(1000), MARK]);
    await below.waitForDump();
    await rig.expectFollowed(primary, text);
    await below.waitForOffset(at + stream.length);
    expect(below.replid).toBe(replid);
    expect(below.dump.equals(bytes)).toBe(true);
    expect(below.stream.subarray(0, stream.length).equals(stream)).toBe(true);
    const late = await FakeReplica.attach(rig.node.port, { replid, from: at + 1 });
    rig.closing.push(() => late.close());
    await late.waitForOffset(at + stream.length);
    expect(late.resync).toBe('partial');
    expect(late.stream.subarray(0, stream.length).equals(stream)).toBe(true);
  });

  test('keeps what has come when the main connection is cut behind the whole dump', async () => {
    const { upstream } = rig.node.node;
    const { link } = upstream;
    const { payloadEnded } = link;
    // The swap waits behind the whole dump.
    link.payloadEnded = (nowMs) => {
      payloadEnded.call(link, nowMs);
      upstream.hold();
    };
    const { primary, text, log } = await rig.follow({ mark: '' });
    await waitFor(() => upstream.held.heldBytes === primary.data.stream.length);
    primary.seconds[0]!.say(MARK);
    await waitFor(() => link.phase === 'loading');
    link.payloadEnded = payloadEnded;
    primary.main.socket.resetAndDestroy();
    await waitFor(() => log().includes('After loading RDB, replica will try psync with master.'));
    expect(await rig.served(text)).toBe(rig.held);
    upstream.release();
    await waitFor(() => primary.mains.length === 2, { timeoutMs: 60_000 });
    await rig.expectFollowed(primary, text);
    // What was held was applied: only what follows it was asked for.
    const { offset: at, stream, replid } = primary.data;
    const psync = primary.main.requests.find(([word]) => word === 'PSYNC');
    expect(psync).toEqual(['PSYNC', replid, String(at + stream.length + 1)]);
    expect(primary.seconds.length).toBe(1);
  });

  // Redis tells no database beside its dump.
  if (kind === 'valkey')
    test('is in the database that it tells', async () => {
      const text = 'database';
      const data = { ...dataOf(text), dbIndex: 3, stream: encodeCommand(['SET', 's', text]) };
      const { primary } = await rig.follow({}, {}, data);
      await rig.expectFollowed(primary, text);
    });

  test('that ignores the capability does a classic sync', async () => {
    const text = 'classic';
    const data = dataOf(text);
    const grant = `+FULLRESYNC ${data.replid} ${data.offset}\r\n$${data.dump.length}\r\n`;
    const { primary } = await rig.follow({ begin: [grant, data.dump, data.stream] }, {}, data);
    // The offset of the stream before may be larger.
    await waitFor(async () => (await rig.served(text)) === text, { what: 'the new dataset' });
    await waitFor(async () => (await rig.offset()) >= data.offset + data.stream.length);
    expect(primary.seconds.length).toBe(0);
    rig.held = text;
  });

  test('gets no capability when the directive is off', async () => {
    await rig.client.call('CONFIG', 'SET', DIRECTIVES[kind], 'no');
    const { primary, text } = await rig.follow();
    await rig.expectFollowed(primary, text);
    await rig.client.call('CONFIG', 'SET', DIRECTIVES[kind], 'yes');
    expect(primary.seconds.length).toBe(0);
    expect(primary.main.requests.flat()).not.toContain('rdb-channel-repl');
    expect(primary.main.requests.flat()).not.toContain('dual-channel');
  });

  test('whose second connections never come about is followed by a classic sync', async () => {
    const refuses = { replconf: '-ERR no\r\n' };
    const { primary, text, log } = await rig.follow(refuses, refuses);
    await rig.expectFollowed(primary, text);
    expect([primary.mains.length, primary.seconds.length]).toEqual([4, 3]);
    expect(log()).toContain('the next one is to be a classic one');
  });

  const broken = Buffer.from(dump('REDIS0011', pair('k', 'broken')));
  broken[broken.length - 1]! ^= 1;
  const wrongGrant = kind === 'redis' ? /unexpected psync reply/ : /unexpected \$ENDOFF response/;
  const mainLost = kind === 'redis' ? /Main channel error/ : /Provisional primary closed/;
  const faults: [string, ChannelScript, RegExp][] = [
    ['a second connection that is reset', { resetsSecond: true }, /condition on socket|respond to/],
    ['an error to REPLCONF', { replconf: '-ERR Unrecognized\r\n' }, /-ERR Unrecognized/],
    ['garbage for REPLCONF', { replconf: '$5\r\nhello\r\n' }, /: \$5/],
    ['no answer to REPLCONF', { replconf: STALL }, /did not respond to replconf/],
    ['the end instead of a grant', { grant: END }, wrongGrant],
    ['a reset instead of a grant', { grant: RESET }, wrongGrant],
    ['an error instead of a grant', { grant: '-ERR BGSAVE failed\r\n', header: END }, wrongGrant],
    ['garbage instead of a grant', { grant: '\x01\x02\r\n', header: END }, wrongGrant],
    ['no grant', { grant: STALL }, /Timeout connecting to the MASTER/],
    ['a grant with a wrong offset', { grant: '+FULLRESYNC x -5\r\n', header: END }, wrongGrant],
    ['an error for a header', { header: '-ERR no\r\n' }, /MASTER aborted replication/],
    ['garbage for a header', { header: 'hello\r\n' }, /the first byte is not '\$'/],
    ['no header', { header: STALL }, /Timeout receiving bulk data/],
    ['half a dump, and the end', { mark: '', dump: [broken.subarray(0, 20), END] }, /I\/O error/],
    ['half a dump, and a reset', { mark: '', dump: [broken.subarray(0, 20), RESET] }, /I\/O error/],
    ['half a dump, and silence', { dump: [broken.subarray(0, 20), STALL] }, /Timeout receiving/],
    ['a broken dump', { dump: broken }, /Wrong RDB checksum/],
    ['a dump that is none', { dump: Buffer.alloc(500, 'x') }, /Wrong signature/],
    ['a main connection that ends', { stream: END, mark: STALL }, mainLost],
    ['a main connection that is reset', { stream: RESET, mark: STALL }, mainLost],
    [
      'an error instead of the stream',
      { stream: '-ERR no\r\n', mark: STALL },
      /Protocol error from MASTER: a stream that begins with '-ERR no/,
    ],
    ['a stream that is none', { stream: '*1\r\n+x\r\n' }, /Protocol error from MASTER/],
  ];
  if (kind === 'valkey') {
    faults.push(
      ['an error to its id', { identify: '-ERR no\r\n', mark: STALL }, /REPLCONF identify: -ERR/],
      ['no answer to its id', { identify: STALL }, /did not reply on the main channel/],
      ['another id', { resume: `+CONTINUE ${'0'.repeat(40)}\r\n` }, /psync result \+CONTINUE 0/],
      ['a full sync again', { resume: `+FULLRESYNC ${'0'.repeat(40)} 5\r\n` }, /result \+FULLRES/],
      [
        'an error instead of the stream it asks for',
        { resume: '-LOADING\r\n' },
        /psync result -LO/,
      ],
      ['no stream', { resume: STALL }, /did not reply on the main channel/],
      ['an end of 2^63', { grant: `$ENDOFF:9223372036854775808 ${MARK} 0 7\r\n` }, wrongGrant],
    );
  } else {
    faults.push(
      ['no id', { begin: '+RDBCHANNELSYNC\r\n' }, /wrong \+RDBCHANNELSYNC syntax/],
      ['garbage for an id', { begin: '+RDBCHANNELSYNC x\r\n' }, /wrong \+RDBCHANNELSYNC syntax/],
    );
  }

  test.concurrent.each(faults)(
    '%s: the old data stays, and the next attempt goes well',
    async (_, script, complaint) => {
      const own = await Rig.start(kind);
      try {
        // A dataset of before.
        const first = await own.follow();
        await own.expectFollowed(first.primary, first.text);
        const { primary, text, log } = await own.follow(script);
        await own.expectFollowed(primary, text);
        expect(log()).toMatch(complaint);
        // No tight loop: one bad attempt, then the good one.
        expect(primary.mains.length).toBe(2);
        await waitFor(() => primary.links.filter(({ isClosed }) => !isClosed).length === 1);
      } finally {
        await own.stop();
      }
    },
  );

  test('whose dump is cut at any byte leaves the old data', async () => {
    const bytes = dump('REDIS0011', pair('k', 'cut'));
    for (let at = 0; at < bytes.length; at += 3) {
      const script = { dump: [bytes.subarray(0, at), at % 2 === 0 ? END : RESET], mark: '' };
      const { primary, text } = await rig.follow(script, { begin: STALL });
      await waitFor(() => primary.mains[0]?.isClosed === true);
      await waitFor(() => rig.node.node.upstream.link.phase === 'waiting');
      expect(await rig.served(text)).toBe(rig.held);
      expect(rig.node.node.upstream.held.memoryBytes).toBe(0);
    }
    const { primary, text } = await rig.follow();
    await rig.expectFollowed(primary, text);
  });
});
