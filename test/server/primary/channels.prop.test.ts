// Many replicas with two connections at once, of both kinds, which end one of them at a random step
// or go through. Whoever goes through has the stream of the log, byte by byte, and nothing is left
// of anybody.
import { expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
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
import { startNode } from '../../support/node-in-process.ts';
import { testSeed } from '../../support/seed.ts';
import { waitFor } from '../../support/wait-for.ts';
import { Wire } from '../../support/wire.ts';

const REPLICAS = 60;
const AT_ONCE = 6;
/** Steps of a full sync behind which a connection may end. */
const STEPS = 5;

test('pairs that are cut at random steps', { timeout: 180_000 }, async () => {
  const random = new Prng(testSeed('channels'));
  const below = (count: number): number => random.below(count);
  const node = await startNode(
    'repl-rdb-channel yes',
    'dual-channel-replication-enabled yes',
    'rdbcompression no',
    'repl-backlog-size 16mb',
    'snapshot-keep 0',
  );
  const client = await node.client();
  const { primary } = node.node;
  const { streamLog } = node.node.server;
  const value = 'x'.repeat(20_000);
  await client.pipeline(Array.from({ length: 200 }, (_, i) => ['SET', `key:${i}`, value]));
  const first = await openMain(node.port, 'none');
  await first.call('PSYNC', '?', -1);
  const begin = streamLog.endOffset;
  const whole: { readonly from: number; readonly bytes: Buffer }[] = [];
  let cut = 0;
  let nextPort = 7000;

  async function run(): Promise<void> {
    const isRedis = below(2) === 0;
    const cutStep = below(STEPS * 2);
    const cutsMain = below(2) === 0;
    const wires: Wire[] = [];
    /** Whether the replica is over: one of its connections was to end here. */
    const ends = async (step: number): Promise<boolean> => {
      await client.call('SET', `key:${below(200)}`, 'y'.repeat(below(3000)));
      if (step !== cutStep) return false;
      await (cutsMain ? wires[0]! : wires.at(-1)!).vanish();
      for (const wire of wires) wire.socket.destroy();
      cut++;
      return true;
    };
    // One that leaves behind its dump again and again would have to wait.
    const ownPort = nextPort++;
    const main = await openMain(node.port, isRedis ? 'rdb-channel-repl' : 'dual-channel', ownPort);
    wires.push(main);
    if (await ends(0)) return;
    const id = isRedis ? await askRedis(main) : 0;
    if (!isRedis) expect(await main.call('PSYNC', '?', -1)).toBe('+DUALCHANNELSYNC');
    if (await ends(1)) return;
    const dump = isRedis ? await openRedisDump(node.port, id) : await openValkeyDump(node.port);
    wires.push(dump);
    if (await ends(2)) return;
    let from: number;
    if (isRedis) {
      from = (await granted(dump)).offset + 1;
    } else {
      const end = await endOffset(dump);
      from = end.offset + 1;
      expect(await continueValkey(main, end)).toEqual(['+OK', `+CONTINUE ${end.replid}`]);
    }
    if (await ends(3)) return;
    await dump.takeDump(await dump.line());
    await dump.waitForClose();
    if (await ends(4)) return;
    main.send('REPLCONF', 'ACK', from);
    const until = streamLog.endOffset;
    await main.waitForBytes(until - from + 1);
    whole.push({ from, bytes: Buffer.from(main.pending.subarray(0, until - from + 1)) });
    main.socket.destroy();
  }

  for (let done = 0; done < REPLICAS; done += AT_ONCE)
    await Promise.all(Array.from({ length: AT_ONCE }, run));
  first.socket.destroy();

  const cursor = streamLog.openCursor(asOffset(begin + 1));
  const parts: Buffer[] = [];
  while (cursor.lag > 0) {
    const bytes = cursor.next(1 << 20);
    if (bytes > 0) {
      parts.push(Buffer.from(cursor.bytes.slice(cursor.start, cursor.end)));
      cursor.advance(bytes);
    } else {
      await waitFor(() => !cursor.isWaiting);
    }
  }
  streamLog.closeCursor(cursor);
  const stream = Buffer.concat(parts);
  expect(whole.length + cut).toBe(REPLICAS);
  expect(whole.length).toBeGreaterThan(0);
  for (const { from, bytes } of whole) {
    const at = from - begin - 1;
    expect(stream.subarray(at, at + bytes.length).equals(bytes)).toBe(true);
  }
  await waitFor(() => primary.peers.size === 0, { what: 'the replicas to be gone' });
  // Dumps that were read whole leave a stream that nobody asks for.
  primary.channels.releaseAll();
  primary.fullSyncs.stop();
  await waitFor(() => streamLog.openCursors === 0, { what: 'the log to be let go' });
  streamLog.validate();
  await client.close();
  await node.stop();
});

test('connections that say anything in any order leave nothing behind', {
  timeout: 180_000,
}, async () => {
  const random = new Prng(testSeed('channels in disorder'));
  const below = (count: number): number => random.below(count);
  const node = await startNode(
    'repl-rdb-channel yes',
    'dual-channel-replication-enabled yes',
    'rdbcompression no',
    'snapshot-keep 0',
    'client-output-buffer-limit replica 4mb 0 0',
  );
  const client = await node.client();
  const { primary, dumps, server } = node.node;
  const { streamLog } = server;
  const value = 'x'.repeat(20_000);
  await client.pipeline(Array.from({ length: 400 }, (_, i) => ['SET', `key:${i}`, value]));
  const wires: Wire[] = [];
  /** The id of a connection that is there, or of none. */
  const someId = (): number => {
    const ids = [...primary.peers].map(({ connection }) => connection.id);
    return ids.length === 0 || below(5) === 0 ? below(1000) : ids[below(ids.length)]!;
  };
  const someOffset = (): number => Math.max(0, streamLog.endOffset - below(3) * below(100_000));
  const { replid } = server.position;
  const words: readonly (() => readonly (string | number)[])[] = [
    () => ['PING'],
    () => ['REPLCONF', 'capa', 'eof', 'capa', 'psync2', 'listening-port', 7000 + below(3000)],
    () => ['REPLCONF', 'capa', 'eof', 'capa', below(2) === 0 ? 'rdb-channel-repl' : 'dual-channel'],
    () => ['REPLCONF', 'rdb-channel', below(4) === 0 ? 0 : 1],
    () => ['REPLCONF', 'rdb-only', below(2)],
    () => ['REPLCONF', 'rdb-filter-only', below(2) === 0 ? '' : 'functions'],
    () => ['REPLCONF', 'rdb-channel', 1, 'main-ch-client-id', someId()],
    () => ['REPLCONF', 'main-ch-client-id', someId()],
    () => ['REPLCONF', 'set-rdb-client-id', someId()],
    () => ['REPLCONF', 'ACK', someOffset()],
    () => ['PSYNC', '?', -1],
    () => ['PSYNC', '?', -1],
    () => ['PSYNC', below(4) === 0 ? replid : server.position.replid, someOffset()],
    () => ['PSYNC', server.position.replid, someOffset()],
    () => ['SYNC'],
  ];
  const say = (wire: Wire): void => {
    if (below(12) === 0) wire.socket.write('\n');
    else wire.send(...words[below(words.length)]!());
  };
  const beside: readonly (() => unknown)[] = [
    () => client.call('SET', `key:${below(400)}`, 'y'.repeat(below(200_000))),
    () => client.call('SET', `key:${below(400)}`, 'y'.repeat(below(3000))),
    () => client.call('CONFIG', 'SET', 'repl-diskless-sync', below(4) === 0 ? 'no' : 'yes'),
    () => client.call('CONFIG', 'SET', 'repl-diskless-sync-delay', below(4) === 0 ? 1000 : 0),
    () => client.call('CONFIG', 'SET', 'snapshot-keep', below(2) * 100),
    () => client.call('CONFIG', 'SET', 'repl-timeout', below(2) === 0 ? 1 : 60),
    () => client.command('CLIENT', 'KILL', 'ID', someId()),
    () => client.info('replication'),
    () => client.call('ROLE'),
    () => below(6) === 0 && dumps.snapshots.inProgress?.cancel(),
    () => below(10) === 0 && primary.dropAll('a test'),
    () => below(10) === 0 && primary.diverged('a test'),
    () => primary.tick(),
  ];
  for (let step = 0; step < 3000; step++) {
    const wire = wires[below(wires.length)];
    const what = below(100);
    if (wire === undefined || (what < 20 && wires.length < 12)) {
      wires.push(await Wire.open(node.port));
    } else if (wire.isClosed || what < 24) {
      wire.socket.resetAndDestroy();
      wires.splice(wires.indexOf(wire), 1);
    } else if (what < 26) {
      wire.socket.end();
    } else if (what < 28) {
      wire.socket.pause();
    } else if (what < 30) {
      wire.socket.resume();
    } else if (what < 75) {
      say(wire);
    } else {
      await beside[below(beside.length)]!();
    }
    if (step % 50 === 0) streamLog.validate();
  }
  const { syncFull, syncPartialOk } = server.stats;
  expect([syncFull > 20, syncPartialOk > 5]).toEqual([true, true]);
  for (const wire of wires) wire.socket.destroy();
  await waitFor(() => primary.peers.size === 0, { what: 'the replicas to be gone' });
  primary.channels.releaseAll();
  primary.fullSyncs.stop();
  await waitFor(() => streamLog.openCursors === 0, { what: 'the log to be let go' });
  streamLog.validate();
  const { mainCount, reservedCount } = primary.channels;
  expect([mainCount, reservedCount]).toEqual([0, 0]);
  expect([primary.fullSyncs.waitingCount, primary.fullSyncs.readingCount]).toEqual([0, 0]);
  expect(await client.call('PING')).toBe('PONG');
  await client.close();
  await node.stop();
});
