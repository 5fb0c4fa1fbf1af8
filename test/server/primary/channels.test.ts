// Replicas that get their dump by a second connection, as Redis 8 and Valkey 8 do. No such server is
// at hand: what these replicas send and expect is taken from replication.c of Redis 8.0 and of
// Valkey 8.0.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { asOffset } from '../../../src/base/units.ts';
import {
  askRedis,
  continueValkey,
  endOffset,
  granted,
  openMain,
  openRedisDump,
  openValkeyDump,
} from '../../support/channel-replica.ts';
import { FakeReplica } from '../../support/fake-replica.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { INCOMPLETE, RespParser } from '../../support/resp-parser.ts';
import { waitFor } from '../../support/wait-for.ts';
import type { Wire } from '../../support/wire.ts';

const REDIS = 'repl-rdb-channel yes';
const VALKEY = 'dual-channel-replication-enabled yes';
/** The client id that a test cannot have been given. */
const NOBODY = 999_999;

let primary: NodeInProcess;
let client: RespClient;
const nodes: NodeInProcess[] = [];
const wires: Wire[] = [];

async function start(...lines: string[]): Promise<NodeInProcess> {
  const node = await startNode('rdbcompression no', 'enable-debug-command yes', ...lines);
  nodes.push(node);
  if (nodes.length === 1) {
    primary = node;
    client = await node.client();
  }
  return node;
}

afterEach(async () => {
  for (const wire of wires.splice(0)) wire.socket.destroy();
  await client.close();
  for (const node of nodes.splice(0)) await node.stop();
});

function keep(wire: Wire): Wire {
  wires.push(wire);
  return wire;
}

const fill = (keys: number, valueBytes: number): Promise<unknown> =>
  client.pipeline(
    Array.from({ length: keys }, (_, i) => ['SET', `key:${i}`, 'x'.repeat(valueBytes)]),
  );

/** More than the sockets of two connections hold: the dump stays on its way while nobody reads. */
const fillALot = (): Promise<unknown> => fill(300, 100_000);

const logEnd = (): number => primary.node.server.streamLog.endOffset;

/** The stream from `from` on, as the log has it. */
function logged(from: number): Buffer {
  const { streamLog } = primary.node.server;
  const cursor = streamLog.openCursor(asOffset(from));
  const parts: Buffer[] = [];
  for (let bytes = cursor.next(1 << 20); bytes > 0; bytes = cursor.next(1 << 20)) {
    parts.push(Buffer.from(cursor.bytes.slice(cursor.start, cursor.end)));
    cursor.advance(bytes);
  }
  streamLog.closeCursor(cursor);
  return Buffer.concat(parts);
}

async function slaves(): Promise<string[]> {
  const info = await client.info('replication');
  return [...info].filter(([name]) => /^slave\d/.test(name)).map(([, value]) => value);
}
const field = (name: string): Promise<string> => client.infoField('replication', name);

/** Of each replica in CLIENT LIST: its id and its flags. */
async function listed(): Promise<string[]> {
  const text = String(await client.call('CLIENT', 'LIST', 'TYPE', 'replica'));
  return [...text.matchAll(/id=(\d+) .* flags=(\w+) /g)].map(([, id, flags]) => `${id} ${flags}`);
}

/** A line of the log. */
const until = (line: string | RegExp): Promise<unknown> =>
  waitFor(
    () =>
      primary.messages.some((text) => (typeof line === 'string' ? text === line : line.test(text))),
    { what: String(line) },
  );

/** A main connection of Redis that was told to open another one. */
async function redisMain(): Promise<{ main: Wire; id: number }> {
  const main = keep(await openMain(primary.port, 'rdb-channel-repl'));
  return { main, id: await askRedis(main) };
}

async function valkeyMain(): Promise<Wire> {
  const main = keep(await openMain(primary.port, 'dual-channel'));
  expect(await main.call('PSYNC', '?', -1)).toBe('+DUALCHANNELSYNC');
  return main;
}

/** A dump that is loaded by another node, and the stream behind it: the digest of both. */
async function digestOf(dump: Buffer, stream: Buffer): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'channels-'));
  try {
    writeFileSync(join(directory, 'dump.rdb'), dump);
    const node = await start(`dir ${directory}`);
    const other = await node.client();
    const parser = new RespParser('latin1');
    parser.push(stream);
    for (;;) {
      const command = parser.next();
      if (command === INCOMPLETE) break;
      await other.call(...(command as string[]));
    }
    const digest = String(await other.call('DEBUG', 'DIGEST'));
    await other.close();
    return digest;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describe('a replica of Redis 8', () => {
  test.each([
    ['by default', [], /^\+FULLRESYNC/],
    ['when dumps are complete first', [REDIS, 'repl-diskless-sync no'], /^\+FULLRESYNC/],
    ['when it is enabled', [REDIS], /^\+RDBCHANNELSYNC \d+$/],
  ])('is answered %s', async (_name, lines, answer) => {
    await start(...lines);
    const main = keep(await openMain(primary.port, 'rdb-channel-repl'));
    expect(await main.call('PSYNC', '?', -1)).toMatch(answer);
  });

  test('is asked again when the directive changes at run time', async () => {
    await start();
    await client.call('CONFIG', 'SET', 'repl-rdb-channel', 'yes');
    expect(await client.call('CONFIG', 'GET', 'repl-rdb-channel')).toEqual([
      'repl-rdb-channel',
      'yes',
    ]);
    await redisMain();
  });

  test('gets dump and stream side by side, and counts once', async () => {
    await start(REDIS);
    await fillALot();
    const { main, id } = await redisMain();
    expect(await listed()).toEqual([`${id} S`]);
    expect(await slaves()).toEqual(['ip=127.0.0.1,port=6380,state=wait_bgsave,offset=0,lag=0']);
    expect(primary.node.server.stats.syncFull).toBe(0);

    const dump = keep(await openRedisDump(primary.port, id));
    const { replid, offset } = await granted(dump);
    dump.socket.pause();
    expect(replid).toBe(await field('master_replid'));
    expect((await listed())[1]).toMatch(/^\d+ SC$/);
    expect(await slaves()).toEqual([
      'ip=127.0.0.1,port=6380,state=send_bulk_and_stream,offset=0,lag=0',
    ]);
    expect(await field('connected_slaves')).toBe('1');

    // The stream comes although the dump is not read.
    await client.call('SET', 'meanwhile', '1');
    expect(await client.call('WAIT', 1, 20)).toBe(0);
    await client.call('CONFIG', 'SET', 'min-replicas-to-write', 1);
    await expect(client.call('SET', 'meanwhile', '2')).rejects.toThrow('NOREPLICAS');
    await main.waitForBytes(logEnd() - offset);
    expect(main.pending).toEqual(logged(offset + 1));
    expect(main.pending.toString('latin1')).toMatch(/^\*2\r\n\$6\r\nSELECT/);

    dump.socket.resume();
    await dump.takeDump(await dump.line());
    await dump.waitForClose();
    expect(dump.pending).toHaveLength(0);
    expect((await slaves())[0]).toContain('state=send_bulk_and_stream');
    main.send('REPLCONF', 'ACK', logEnd());
    await until(/^Synchronization with replica 127.0.0.1:6380 succeeded$/);
    expect((await slaves())[0]).toContain(`state=online,offset=${logEnd()}`);
    expect(await listed()).toEqual([`${id} S`]);
    await client.call('SET', 'later', '1');
    const waiting = client.command('WAIT', 1, 0);
    await waitFor(() => main.pending.includes('GETACK'));
    main.send('REPLCONF', 'ACK', logEnd());
    expect(await waiting).toBe(1);
    expect(main.pending).toEqual(logged(offset + 1));
    const { syncFull, syncPartialOk, syncPartialErr } = primary.node.server.stats;
    expect([syncFull, syncPartialOk, syncPartialErr]).toEqual([1, 0, 0]);
    for (const line of [
      "Replica 127.0.0.1:6380 is capable of rdb channel synchronization, and partial sync isn't possible. Full sync will continue with dedicated rdb channel.",
      'Full resync requested by replica 127.0.0.1:6380 (rdb-channel)',
      'Starting BGSAVE for SYNC with target: replicas sockets (rdb-channel)',
      'Starting to deliver RDB and replication stream to replica: 127.0.0.1:6380',
      'RDB transfer completed, rdb only replica (127.0.0.1:6380) should be disconnected asap',
      'Connection with replica (rdbchannel) 127.0.0.1:6380 lost.',
    ])
      expect(primary.messages).toContain(line);
  });

  test('has what the primary has, with dump and stream together', async () => {
    await start(REDIS);
    await fill(500, 1000);
    await client.call('SELECT', 3);
    await client.call('RPUSH', 'list', 'a', 'b');
    const { main, id } = await redisMain();
    const dump = keep(await openRedisDump(primary.port, id));
    const { offset } = await granted(dump);
    for (let i = 0; i < 200; i++) await client.call('APPEND', `key:${i}`, 'y');
    await client.call('LPOP', 'list');
    await dump.takeDump(await dump.line());
    await main.waitForBytes(logEnd() - offset);
    const digest = await client.call('DEBUG', 'DIGEST');
    expect(await digestOf(dump.dump, main.pending)).toBe(digest);
  });

  test('shares its dump with classic replicas, late ones among them', async () => {
    await start(REDIS, VALKEY);
    await fill(1000, 100);
    const classic = await FakeReplica.attach(primary.port, { ack: 'asked' });
    await classic.waitForDump();
    await client.call('SET', 'between', '1');
    const { main, id } = await redisMain();
    const dump = keep(await openRedisDump(primary.port, id));
    const { offset } = await granted(dump);
    await dump.takeDump(await dump.line());
    const other = await valkeyMain();
    const otherDump = keep(await openValkeyDump(primary.port));
    const end = await endOffset(otherDump);
    expect(end.offset).toBe(offset);
    await continueValkey(other, end);
    await otherDump.takeDump(await otherDump.line());
    await classic.waitForOffset(logEnd());
    await main.waitForBytes(logEnd() - offset);
    await other.waitForBytes(logEnd() - offset);
    expect(primary.node.primary.fullSyncs.snapshotsStarted).toBe(1);
    expect(dump.dump.equals(classic.dump)).toBe(true);
    expect(otherDump.dump.equals(classic.dump)).toBe(true);
    expect(main.pending).toEqual(classic.stream);
    expect(other.pending).toEqual(classic.stream);
    await classic.close();
  });

  test('may ask for its dump in the dialect of its main connection', async () => {
    await start(REDIS, 'rdb-version 12');
    const main = keep(await openMain(primary.port, 'rdb-channel-repl'));
    await main.call('REPLCONF', 'version', '8.1.0', 'rdb-no-checksum', 1);
    const dump = keep(await openRedisDump(primary.port, await askRedis(main)));
    await granted(dump);
    await dump.takeDump(await dump.line());
    expect(dump.dump.toString('latin1', 0, 9)).toBe('REDIS0011');
    expect(dump.dump.subarray(-8)).toEqual(Buffer.alloc(8));
  });

  test('continues on one connection when the backlog has what it lacks', async () => {
    await start(REDIS);
    const { main, id } = await redisMain();
    const dump = keep(await openRedisDump(primary.port, id));
    const { replid, offset } = await granted(dump);
    await client.call('SET', 'k', 'v');
    await main.waitForBytes(logEnd() - offset);
    await main.vanish();
    const again = keep(await openMain(primary.port, 'rdb-channel-repl'));
    expect(await again.call('PSYNC', replid, offset + 1)).toBe(`+CONTINUE ${replid}`);
    await again.waitForBytes(logEnd() - offset);
    expect((await slaves()).at(-1)).toContain('state=online');
  });
});

describe('a replica of Valkey 8', () => {
  test.each([
    ['by default', [], /^\+FULLRESYNC/],
    ['when dumps are complete first', [VALKEY, 'repl-diskless-sync no'], /^\+FULLRESYNC/],
    ['when it is enabled', [VALKEY], /^\+DUALCHANNELSYNC$/],
  ])('is answered %s', async (_name, lines, answer) => {
    await start(...lines);
    const main = keep(await openMain(primary.port, 'dual-channel'));
    expect(await main.call('PSYNC', '?', -1)).toMatch(answer);
  });

  test('gets dump and stream side by side, and counts once', async () => {
    await start(VALKEY);
    await fillALot();
    const main = await valkeyMain();
    // It is no replica yet.
    expect(await field('connected_slaves')).toBe('0');
    const dump = keep(await openValkeyDump(primary.port));
    const end = await endOffset(dump);
    dump.socket.pause();
    expect(end).toMatchObject({ replid: await field('master_replid'), db: 0, offset: logEnd() });
    expect(await slaves()).toEqual([
      'ip=127.0.0.1,port=6380,state=send_bulk,offset=0,lag=0,type=rdb-channel',
    ]);
    expect(await listed()).toEqual([`${end.dumpId} SC`]);
    expect(await field('replicas_waiting_psync')).toBe('1');
    await client.call('SET', 'meanwhile', '1');

    expect(await continueValkey(main, end)).toEqual(['+OK', `+CONTINUE ${end.replid}`]);
    expect(await field('replicas_waiting_psync')).toBe('0');
    expect(await slaves()).toEqual([
      'ip=127.0.0.1,port=6380,state=bg_transfer,offset=0,lag=0,type=main-channel',
    ]);
    expect(await field('connected_slaves')).toBe('1');
    await main.waitForBytes(logEnd() - end.offset);
    expect(main.pending).toEqual(logged(end.offset + 1));
    expect(await client.call('WAIT', 1, 20)).toBe(0);

    dump.socket.resume();
    await dump.takeDump(await dump.line());
    await dump.waitForClose();
    main.send('REPLCONF', 'ACK', logEnd());
    await until(/^Synchronization with replica 127.0.0.1:6380 succeeded$/);
    expect(await slaves()).toEqual([
      `ip=127.0.0.1,port=6380,state=online,offset=${logEnd()},lag=0`,
    ]);
    const { syncFull, syncPartialOk } = primary.node.server.stats;
    expect([syncFull, syncPartialOk]).toEqual([1, 1]);
    expect(primary.messages).toContain(
      'Starting BGSAVE for SYNC with target: replicas sockets using: dual-channel',
    );
    const digest = await client.call('DEBUG', 'DIGEST');
    const commands = main.pending.toString('latin1').replaceAll(GETACK, '');
    expect(await digestOf(dump.dump, Buffer.from(commands, 'latin1'))).toBe(digest);
  });

  test('finds its stream kept, however far the backlog has gone on, and behind the dump', async () => {
    await start(VALKEY, 'repl-backlog-size 16kb', 'repl-backlog-compression no');
    await fill(10, 10);
    const main = await valkeyMain();
    const dump = keep(await openValkeyDump(primary.port));
    const end = await endOffset(dump);
    await dump.takeDump(await dump.line());
    await dump.waitForClose();
    // A snapshot that is kept for late replicas holds the stream, too.
    await client.call('CONFIG', 'SET', 'snapshot-keep', 0);
    primary.node.primary.fullSyncs.tick();
    for (let i = 0; i < 40; i++) await client.call('SET', `much:${i}`, 'z'.repeat(50_000));
    expect(await field('replicas_waiting_psync')).toBe('1');
    expect(await continueValkey(main, end)).toEqual(['+OK', `+CONTINUE ${end.replid}`]);
    await main.waitForBytes(logEnd() - end.offset);
    expect(main.pending.toString('latin1')).toContain('much:39');
    expect(await field('replicas_waiting_psync')).toBe('0');
    main.send('REPLCONF', 'ACK', logEnd());
    await until(/^Synchronization with replica/);
    const { streamLog } = primary.node.server;
    await waitFor(() => streamLog.histlen < 1_100_000, { what: 'the log to let go' });
  });

  test('is told the database that the stream of a relay has selected', async () => {
    await start();
    const relay = await start(VALKEY);
    const other = await relay.client();
    await other.call('REPLICAOF', '127.0.0.1', primary.port);
    await waitFor(() => relay.node.upstream.isUp, { what: 'the link' });
    await client.call('SELECT', 3);
    await client.call('SET', 'k', 'v');
    await waitFor(() => relay.node.server.position.offset === logEnd(), { what: 'the write' });
    const main = keep(await openMain(relay.port, 'dual-channel'));
    expect(await main.call('PSYNC', '?', -1)).toBe('+DUALCHANNELSYNC');
    const dump = keep(await openValkeyDump(relay.port));
    expect(await endOffset(dump)).toMatchObject({ db: 3, offset: logEnd() });
    await other.close();
  });
});

const GETACK = '*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n';

test('ids that belong to nobody are refused in the words of each', async () => {
  await start(REDIS, VALKEY);
  const wire = keep(await openMain(primary.port, 'none'));
  expect(await wire.call('REPLCONF', 'main-ch-client-id', NOBODY)).toBe(
    `-ERR Unrecognized RDB client id: ${NOBODY}`,
  );
  expect(await wire.call('REPLCONF', 'set-rdb-client-id', NOBODY)).toBe(
    `-ERR Unrecognized RDB client id ${NOBODY}`,
  );
  // A main connection counts until its dump begins, a dump's until its stream is asked for.
  const { id } = await redisMain();
  expect(await wire.call('REPLCONF', 'main-ch-client-id', id)).toBe('+OK');
  await granted(keep(await openRedisDump(primary.port, id)));
  expect(await wire.call('REPLCONF', 'main-ch-client-id', id)).toBe(
    `-ERR Unrecognized RDB client id: ${id}`,
  );
  const main = await valkeyMain();
  const dump = keep(await openValkeyDump(primary.port));
  const end = await endOffset(dump);
  await continueValkey(main, end);
  expect(await wire.call('REPLCONF', 'set-rdb-client-id', end.dumpId)).toBe(
    `-ERR Unrecognized RDB client id ${end.dumpId}`,
  );
});
