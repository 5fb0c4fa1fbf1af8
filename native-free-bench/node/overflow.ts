/**
 * A replica that reads 2 MB/s, an output limit of 4 MB, and writers of 20 MB/s for some time: when
 * the replica is in sync, how often it needed a full sync, and what the writers came to. headwater
 * is measured twice, also with `repl-throttling yes`, which redis-server does not have.
 */
import { ControlClient } from '../lib/control-client.ts';
import type { Context, Measurement, Scenario } from '../lib/scenario.ts';
import { pause, until } from '../lib/scenario.ts';
import type { Server } from '../lib/server.ts';
import { SlowLink } from '../lib/slow-link.ts';
import { Checksum } from '../lib/workload.ts';

const MB = 1_000_000;
const READ_RATE = 2 * MB;
const WRITE_RATE = 20 * MB;
const OPTIONS = ['--client-output-buffer-limit', 'replica 4mb 4mb 1', '--repl-backlog-size', '1mb'];
const THROTTLING = ['--repl-throttling', 'yes'];
const WRITERS = 8;
const VALUE_BYTES = 10_000;
const KEYS = 200;
const WRITE_MS = { full: 20_000, smoke: 1500 };
const TIMEOUT_MS = 300_000;
const POLL_MS = 20;

/** Values that LZF cannot compress. */
function values(): string[] {
  let state = 12_345;
  return Array.from({ length: 97 }, () => {
    const bytes = Buffer.alloc((VALUE_BYTES / 4) * 3);
    for (let at = 0; at < bytes.length; at++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
      bytes[at] = state >> 16;
    }
    return bytes.toString('base64');
  });
}

interface Leg {
  /** From the attachment until the link was up, or null when that was after the writes. */
  readonly upMs: number | null;
  readonly afterMs: number;
  readonly writtenPerSecond: number;
  readonly note: string;
}

/** Writes at WRITE_RATE in all, or as fast as the server lets it; returns the bytes. */
async function write(server: Server, data: readonly string[], forMs: number): Promise<number> {
  const startMs = performance.now();
  let written = 0;
  const writer = async (index: number): Promise<void> => {
    const client = await ControlClient.connect(server.port);
    for (let i = index; performance.now() - startMs < forMs; i += WRITERS) {
      await client.must('SET', `key:${i % KEYS}`, data[i % data.length]!);
      written += VALUE_BYTES;
      const aheadMs = (written * 1000) / WRITE_RATE - (performance.now() - startMs);
      if (aheadMs > 2) await pause(aheadMs);
    }
    client.close();
  };
  await Promise.all(Array.from({ length: WRITERS }, (_, index) => writer(index)));
  return written;
}

async function measureLeg(context: Context, options: readonly string[]): Promise<Leg> {
  const server = await context.start(...OPTIONS, ...options);
  const data = values();
  for (let i = 0; i < KEYS; i++) await server.control.must('SET', `key:${i}`, data[i % 97]!);
  const link = await SlowLink.to(server.port, READ_RATE);
  const replica = await context.startStock('--replicaof', '127.0.0.1', String(link.port));
  const attachedMs = performance.now();
  try {
    const isUp = async (): Promise<boolean> =>
      (await replica.control.info('replication')).get('master_link_status') === 'up';
    let upMs: number | null = null;
    let isWriting = true;
    const watching = (async () => {
      while (isWriting && upMs === null) {
        if (await isUp()) upMs = performance.now() - attachedMs;
        await pause(POLL_MS);
      }
    })();
    const forMs = WRITE_MS[context.smoke ? 'smoke' : 'full'];
    const written = await write(server, data, forMs);
    isWriting = false;
    await watching;
    const endedMs = performance.now();
    const isInSync = async (): Promise<boolean> => {
      const above = await server.control.info('replication');
      const below = await replica.control.info('replication');
      return (
        below.get('master_link_status') === 'up' &&
        below.get('slave_repl_offset') === above.get('master_repl_offset')
      );
    };
    await until('the replica in sync', isInSync, TIMEOUT_MS, POLL_MS);
    const afterMs = performance.now() - endedMs;
    const [above, below] = await Promise.all([
      server.control.must('DEBUG', 'DIGEST'),
      replica.control.must('DEBUG', 'DIGEST'),
    ]);
    if (above !== below) throw new Error('the replica holds other data');
    const stats = await server.control.info('stats');
    const own = await server.control.info('headwater');
    // Redis 7.0 does not count them.
    const cuts = stats.get('client_output_buffer_limit_disconnections');
    const slowed = own.get('headwater_throttled_writes');
    const note =
      `${stats.get('sync_full')} full syncs, ${stats.get('sync_partial_ok')} partial, ` +
      (cuts === undefined ? '' : `${cuts} cuts, `) +
      `${(link.bytesDown / MB).toFixed(0)} MB sent for ${(written / MB).toFixed(0)} MB written` +
      (slowed === undefined || slowed === '0' ? '' : `; ${slowed} writes waited`);
    return { upMs, afterMs, writtenPerSecond: (written * 1000) / forMs / MB, note };
  } finally {
    await link.close();
    await context.stop(replica);
    await context.stop(server);
  }
}

async function measure(context: Context): Promise<Measurement> {
  const free = await measureLeg(context, []);
  const isOurs = context.target.kind === 'headwater';
  const slowed = isOurs ? await measureLeg(context, THROTTLING) : null;
  const checksum = new Checksum();
  for (const value of values()) checksum.add(value);
  return {
    checksum: checksum.text(),
    values: {
      'free.up': free.upMs,
      'free.after': free.afterMs,
      'free.written': free.writtenPerSecond,
      'throttled.up': slowed?.upMs ?? null,
      'throttled.after': slowed?.afterMs ?? null,
      'throttled.written': slowed?.writtenPerSecond ?? null,
    },
    notes: [`as it is: ${free.note}`, ...(slowed === null ? [] : [`throttled: ${slowed.note}`])],
  };
}

export const overflow: Scenario = {
  name: 'overflow',
  title:
    'A replica that reads 2 MB/s, an output limit of 4 MB, writers of 20 MB/s for 20 s, 2 MB of data.',
  runs: 1,
  figures: () => [
    { id: 'free.up', label: 'until the link is up, while written', unit: 'ms', must: null },
    { id: 'free.after', label: 'in sync behind the last write', unit: 'ms', must: null },
    { id: 'free.written', label: 'written', unit: 'MB/s', must: null },
    { id: 'throttled.up', label: 'throttled: until the link is up', unit: 'ms', must: null },
    { id: 'throttled.after', label: 'throttled: in sync behind it', unit: 'ms', must: null },
    { id: 'throttled.written', label: 'throttled: written', unit: 'MB/s', must: null },
  ],
  measure,
};
