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
import type { Wire } from '../../support/wire.ts';

const REPLICAS = 60;
const AT_ONCE = 6;
/** Steps of a full sync behind which a connection may end. */
const STEPS = 5;

test('pairs that are cut at random steps', { timeout: 60_000 }, async () => {
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
