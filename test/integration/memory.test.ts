/** Memory of a whole process: what lives is counted, and what is dead goes back to the system. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KIB, MIB } from '../../src/base/units.ts';
import { type Headwater, startHeadwater } from '../support/headwater.ts';
import { type RealRedis, startRedis } from '../support/real-redis.ts';
import { encodeCommand, type RespClient } from '../support/resp-client.ts';
import { RespError } from '../support/resp-parser.ts';
import { waitFor } from '../support/wait-for.ts';

/** What the issue allows a node to keep. */
const KEPT_BYTES_MAX = 96 * MIB;
const PIPELINE = 500;

let server: Headwater;
let client: RespClient;

beforeAll(async () => {
  // What is given back is not overwritten here: that would touch it.
  server = await startHeadwater({
    env: { HEADWATER_DEBUG: '0' },
    args: ['--enable-debug-command', 'yes'],
  });
  client = await server.client();
});

afterAll(async () => {
  await client.close();
  await server.stop();
});

function residentBytes(): number {
  const status = readFileSync(`/proc/${server.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) * KIB;
}

async function info(name: string, from = client): Promise<number> {
  const text = String(await from.call('INFO', 'everything'));
  return Number(new RegExp(`^${name}:(.*)\r$`, 'm').exec(text)![1]);
}

async function setKeys(count: number, valueBytes: number, prefix = 'key:'): Promise<void> {
  const value = 'v'.repeat(valueBytes);
  for (let start = 0; start < count; start += PIPELINE) {
    const length = Math.min(PIPELINE, count - start);
    await client.pipeline(
      Array.from({ length }, (_, i) => ['SET', `${prefix}${start + i}`, value]),
    );
  }
}

async function save(): Promise<void> {
  await client.call('BGSAVE');
  await waitFor(async () => (await info('rdb_bgsave_in_progress')) === 0, {
    what: 'the end of BGSAVE',
  });
}

const isLinux = process.platform === 'linux';

describe.runIf(isLinux)('resident memory', () => {
  test('goes back after FLUSHALL, also when a snapshot has read the dataset', async () => {
    const before = residentBytes();
    for (const saved of [false, true]) {
      await setKeys(150, MIB, 'big:');
      await setKeys(100_000, 1000);
      expect(residentBytes()).toBeGreaterThan(before + 240 * MIB);
      if (saved) await save();
      await client.call('FLUSHALL');
      await waitFor(() => residentBytes() < before + KEPT_BYTES_MAX, {
        what: `resident memory to go back (${saved ? 'after a snapshot' : 'without a snapshot'})`,
      });
    }
    expect(await info('headwater_collections')).toBeGreaterThan(0);
    expect(await info('headwater_worst_collection_pause_usec')).toBeGreaterThan(0);
  }, 180_000);

  test('goes back when clients have left that did not read, or had queued much', async () => {
    const before = residentBytes();
    await client.call('SET', 'unread', Buffer.alloc(MIB, 'u'));
    const unread = await server.client();
    unread.socket.pause();
    unread.write(Buffer.from('GET unread\r\n'.repeat(200)));
    const queuing = await server.client();
    queuing.write(Buffer.from(`MULTI\r\n${'SET k v\r\n'.repeat(200_000)}`));
    await waitFor(() => residentBytes() > before + 250 * MIB, { what: 'the memory of clients' });
    unread.socket.destroy();
    queuing.socket.destroy();
    await waitFor(() => residentBytes() < before + KEPT_BYTES_MAX, {
      what: 'resident memory to go back',
    });
    await client.call('FLUSHALL');
  }, 180_000);

  test('does not grow with each snapshot under writes', async () => {
    const keys = 60_000;
    await setKeys(keys, 1000);
    const other = await server.client();
    let isWriting = true;
    const writing = (async () => {
      for (let i = 0; isWriting; i++) {
        const key = (i * 7919) % keys;
        await other.pipeline(
          Array.from({ length: 50 }, (_, j) => [
            'SETRANGE',
            `key:${(key + j * 997) % keys}`,
            0,
            'w',
          ]),
        );
      }
    })();
    await save();
    const afterFirst = residentBytes();
    for (let i = 0; i < 4; i++) await save();
    expect(residentBytes()).toBeLessThan(afterFirst + 64 * MIB);
    expect(await info('rdb_last_cow_size')).toBeGreaterThan(0);
    isWriting = false;
    await writing;
    await other.close();
    await client.call('FLUSHALL');
  }, 180_000);

  test('MEMORY PURGE collects at once', async () => {
    await waitFor(async () => (await info('headwater_dead_bytes')) < 32 * MIB);
    const before = await info('headwater_collections');
    expect(await client.call('MEMORY', 'PURGE')).toBe('OK');
    await waitFor(async () => (await info('headwater_collections')) > before);
  });
});

describe('used_memory', () => {
  test('counts what lives: after 90 % of the keys are deleted, a tenth of the dataset', async () => {
    await client.call('FLUSHALL');
    const keys = 100_000;
    await setKeys(keys, 100);
    const full = await info('used_memory_dataset');
    const fullUsed = (await info('used_memory')) - (await info('headwater_heap_growth_bytes'));
    // Each tenth key stays, drawn by a walk over all of them.
    const doomed = Array.from({ length: keys }, (_, i) => (i * 7919) % keys).slice(0, keys * 0.9);
    for (let i = 0; i < doomed.length; i += PIPELINE)
      await client.call('DEL', ...doomed.slice(i, i + PIPELINE).map((key) => `key:${key}`));
    expect(await client.call('DBSIZE')).toBe(keys / 10);
    expect(await info('used_memory_dataset')).toBeLessThan(full * 0.12);
    const freed =
      fullUsed - ((await info('used_memory')) - (await info('headwater_heap_growth_bytes')));
    expect(freed).toBeGreaterThan(full * 0.85);
    // The pages that are held and hardly used are the fragmentation.
    expect(await info('allocator_frag_bytes')).toBeGreaterThan(0);
    await client.call('FLUSHALL');
  });

  test('an empty node takes a SET under maxmemory 10mb, and no more than fits', async () => {
    await client.call('CONFIG', 'SET', 'maxmemory', '10mb');
    expect(await client.call('SET', 'key', 'value')).toBe('OK');
    let sets = 0;
    let reply = await client.command('SET', 'big:0', 'v'.repeat(100 * KIB));
    while (reply === 'OK')
      reply = await client.command('SET', `big:${++sets}`, 'v'.repeat(100 * KIB));
    expect(reply).toEqual(new RespError("OOM command not allowed when used memory > 'maxmemory'."));
    expect(sets).toBeGreaterThan(80);
    expect(sets).toBeLessThan(105);
    expect(await client.call('GET', 'key')).toBe('value');
    await client.call('FLUSHALL');
    expect(await client.call('SET', 'key', 'value')).toBe('OK');
    await client.call('CONFIG', 'SET', 'maxmemory', '0');
  });

  test('queued commands, requests without an end and replies that wait are counted', async () => {
    const queuing = await server.client();
    await queuing.call('MULTI');
    await queuing.call('SET', 'key', 'v'.repeat(MIB));
    const sending = await server.client();
    sending.write(`*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$${2 * MIB}\r\n${'v'.repeat(MIB)}`);
    const pending = (): Promise<number[]> =>
      Promise.all([
        info('headwater_multi_bytes'),
        info('headwater_query_bytes'),
        info('mem_clients_normal'),
      ]);
    await waitFor(async () => {
      const [multi, query, all] = await pending();
      return multi! >= MIB && query! >= MIB && all! >= multi! + query!;
    });
    await queuing.call('DISCARD');
    await sending.close();
    await waitFor(async () => (await pending()).every((bytes) => bytes < MIB));
    await queuing.close();
  });
});

describe('used_memory counts once', () => {
  /** Bytes that `used_memory` has gained, once V8 has collected what is dead. */
  async function gain(grow: (to: RespClient) => Promise<unknown>): Promise<[number, number]> {
    const settled = async (): Promise<number> => {
      const before = await info('headwater_collections');
      await client.call('MEMORY', 'PURGE');
      await waitFor(async () => (await info('headwater_collections')) > before, {
        what: 'a collection',
      });
      return await info('used_memory');
    };
    const holder = await server.client();
    const id = Number(await holder.call('CLIENT', 'ID'));
    const before = await settled();
    await grow(holder);
    const gained = (await settled()) - before;
    const line = String(await client.call('CLIENT', 'LIST', 'ID', id));
    const counted = Number(/tot-mem=(\d+)/.exec(line)![1]);
    expect(await info('mem_clients_normal')).toBeGreaterThan(counted);
    holder.socket.destroy();
    return [gained, counted];
  }

  const keys = Array.from({ length: 200_000 }, (_, i) => `key:${i}`);

  test.each([
    [
      'short commands behind MULTI',
      async (to: RespClient) => {
        await to.call('MULTI');
        for (let i = 0; i < 100; i++)
          await to.pipeline(Array.from({ length: 1000 }, () => ['SET', 'key', 'value']));
      },
    ],
    [
      'long commands behind MULTI',
      async (to: RespClient) => {
        await to.call('MULTI');
        for (let i = 0; i < 50; i++) await to.call('SET', 'key', 'v'.repeat(MIB));
      },
    ],
    [
      'the keys of BLPOP',
      async (to: RespClient) => {
        to.write(encodeCommand(['BLPOP', ...keys, 0]));
        await waitFor(async () => (await info('blocked_clients')) === 1);
      },
    ],
    [
      'the keys of WATCH',
      async (to: RespClient) => {
        to.write(encodeCommand(['WATCH', ...keys]));
        await to.reply();
      },
    ],
  ] satisfies [string, (to: RespClient) => Promise<unknown>][])(
    '%s',
    async (_, grow) => {
      const [gained, counted] = await gain(grow);
      expect(counted).toBeGreaterThan(45 * MIB);
      expect(gained / counted).toBeGreaterThan(0.85);
      expect(gained / counted).toBeLessThan(1.25);
    },
    180_000,
  );
});

describe('names', () => {
  let redis: RealRedis;
  let real: RespClient;

  beforeAll(async () => {
    redis = await startRedis();
    real = await redis.client();
    for (const to of [client, real]) {
      await to.call('FLUSHALL');
      await to.call('SET', 'key', 'value', 'EX', '100');
    }
  });

  afterAll(async () => {
    await real.close();
    await redis.stop();
  });

  /** Those of `names` that redis-server has, too, must be all it has, in its order. */
  const expectNamesOf = (ours: readonly string[], theirs: readonly string[]): void => {
    const known = new Set(theirs);
    expect(ours.filter((name) => known.has(name))).toEqual(theirs);
  };

  test('MEMORY STATS has those of redis-server, in its order, and then its own', async () => {
    const statsOf = async (from: RespClient): Promise<unknown[]> =>
      (await from.call('MEMORY', 'STATS')) as unknown[];
    const namesOf = (stats: unknown[]): string[] => stats.filter((_, i) => i % 2 === 0).map(String);
    const ours = await statsOf(client);
    const theirs = await statsOf(real);
    expectNamesOf(namesOf(ours), namesOf(theirs));
    const further = namesOf(ours).slice(namesOf(theirs).length);
    expect(further.every((name) => name.startsWith('headwater.'))).toBe(true);
    const databaseOf = (stats: unknown[]): string[] =>
      namesOf(stats[stats.indexOf('db.0') + 1] as unknown[]);
    expect(databaseOf(ours)).toEqual(databaseOf(theirs));
  });

  test('INFO memory has those of redis-server', async () => {
    const namesOf = async (from: RespClient): Promise<string[]> =>
      [...String(await from.call('INFO', 'memory')).matchAll(/^([a-z_]+):/gm)].map(
        ([, name]) => name!,
      );
    expectNamesOf(await namesOf(client), await namesOf(real));
  });
});
