/**
 * Full syncs over two connections end with the data of a real primary: what a real redis-server
 * sends in a classic sync is handed on over two connections, while writes go on. A stock replica
 * below this node follows, too.
 */
import { afterEach, expect, test } from 'vitest';
import { type ChannelData, ChannelPrimary } from '../support/channel-primary.ts';
import { digestOf } from '../support/digest.ts';
import { MARK } from '../support/fake-primary.ts';
import { FakeReplica } from '../support/fake-replica.ts';
import { startHeadwater } from '../support/headwater.ts';
import { fillWithNoise } from '../support/links.ts';
import { startRedis } from '../support/real-redis.ts';
import { waitFor } from '../support/wait-for.ts';

const closing: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function closeAtEnd<T>(what: T, close: (what: T) => Promise<unknown>): T {
  closing.push(() => close(what));
  return what;
}

test.each([
  ['redis', 'swapdb'],
  ['valkey', 'swapdb'],
  ['redis', 'disabled'],
  ['valkey', 'flush-before-load'],
] as const)(
  '%s, %s: the data of a real primary',
  async (kind, way) => {
    const head = closeAtEnd(await startRedis(), (server) => server.stop());
    const writer = closeAtEnd(await head.client(), (client) => client.close());
    await writer.call('DEBUG', 'POPULATE', 5000, 'key', 100);
    await fillWithNoise(writer, 500, 2000);
    const source = await FakeReplica.attach(head.port);
    closeAtEnd(source, (replica) => replica.close());
    const { replid, offset } = source;
    await source.waitForDump();
    const write = async (round: number): Promise<void> => {
      await writer.call('SELECT', round % 3);
      await writer.pipeline(
        Array.from({ length: 2000 }, (_, i) => ['INCRBY', `n${i % 7}`, i + round]),
      );
      await writer.pipeline([
        ['MULTI'],
        ['LPUSH', 'list', round],
        ['SADD', 'set', round],
        ['EXEC'],
      ]);
      const info = await writer.info('replication');
      await source.waitForOffset(Number(info.get('master_repl_offset')));
    };
    await write(1);
    const stream = Buffer.from(source.stream);
    const data: ChannelData = { replid, offset, dump: source.dump, stream };
    const primary = await ChannelPrimary.start(kind, data, { dump: '', mark: '' });
    closeAtEnd(primary, (fake) => fake.close());
    const directives = ['--repl-rdb-channel', 'yes', '--dual-channel-replication-enabled', 'yes'];
    const args = ['--enable-debug-command', 'yes', '--repl-diskless-load', way, ...directives];
    const node = closeAtEnd(await startHeadwater({ args }), (server) => server.stop());
    const client = closeAtEnd(await node.client(), (open) => open.close());
    await client.call('SET', 'old', '1');
    await client.call('REPLICAOF', '127.0.0.1', primary.port);
    const stock = closeAtEnd(await startRedis({ replicaOf: node.port }), (server) => server.stop());
    const isGranted = (): boolean =>
      primary.seconds[0]?.requests.some(([name]) => name === 'PSYNC' || name === 'SYNC') === true;
    await waitFor(isGranted, { what: 'the dump to be granted to the second connection' });
    const [second] = primary.seconds;
    second!.say(data.dump.subarray(0, data.dump.length / 2));
    // More of the stream comes in the middle of the dump, and behind it.
    await write(2);
    await waitFor(() => primary.main.streamed === stream.length);
    primary.main.stream(source.stream.subarray(stream.length));
    const sent = source.stream.length;
    second!.say([data.dump.subarray(data.dump.length / 2), MARK]);
    await write(3);
    primary.main.stream(source.stream.subarray(sent));
    const end = primary.endOffset;
    await waitFor(
      async () => {
        const info = await client.info('replication');
        return (
          info.get('master_link_status') === 'up' && Number(info.get('slave_repl_offset')) >= end
        );
      },
      { what: 'the end of the stream', timeoutMs: 60_000 },
    );
    expect([primary.mains.length, primary.seconds.length]).toEqual([1, 1]);
    expect(await client.infoField('replication', 'master_replid')).toBe(replid);
    expect(await digestOf(node)).toBe(await digestOf(head));
    await waitFor(async () => (await digestOf(stock)) === (await digestOf(head)), {
      what: 'the stock replica below to hold the same data',
      timeoutMs: 60_000,
    });
  },
  180_000,
);
