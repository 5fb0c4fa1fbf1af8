/**
 * PING while the disk of the append only file stalls for a second, again and again, under
 * `everysec` and paced SETs. lib/stalling-disk.ts tells how the disk is stopped. Where it cannot be
 * made, as without root, the figures are those of a disk that works, and a note says so.
 */
import { PacedProbe } from '../lib/paced-probe.ts';
import {
  type Context,
  type Figure,
  type Measurement,
  pause,
  type Scenario,
} from '../lib/scenario.ts';
import type { Server } from '../lib/server.ts';
import { StallingDisk } from '../lib/stalling-disk.ts';
import { Checksum } from '../lib/workload.ts';

const SEED = 0xd15c;
const KEYS = 10_000;
const VALUE_BYTES = 100;
const FULL = { writesPerSecond: 20_000, requests: 100_000, beforeMs: 3000, stalls: 6 };
const SMOKE = { writesPerSecond: 2_000, requests: 1_000, beforeMs: 100, stalls: 0 };
const STALL_MS = 1000;
/** Between two stalls: another time than that between two syncs, so that they meet at any moment. */
const BETWEEN_MS = 1350;
/** When a stall is nearly over: whether a sync waits for its end. */
const LOOK_MS = 900;

const OPTIONS = [
  ['--appendonly', 'yes'],
  ['--appendfsync', 'everysec'],
  ['--auto-aof-rewrite-percentage', '0'],
].flat();

const figures = (): Figure[] => [
  { id: 'before.p999', label: 'PING p99.9 before', unit: 'ms', must: null },
  { id: 'p50', label: 'PING p50 while the disk stalls', unit: 'ms', must: null },
  { id: 'p99', label: '  p99', unit: 'ms', must: null },
  { id: 'p999', label: '  p99.9', unit: 'ms', must: { ratioAtMost: 1 } },
  { id: 'max', label: '  max', unit: 'ms', must: null },
  { id: 'waiting', label: '  stalls in which a sync waited', unit: 'count', must: null },
  { id: 'delayed', label: '  writes that waited for no sync', unit: 'count', must: null },
  { id: 'writes', label: '  writes per second reached', unit: 'ops/s', must: null },
];

async function measure(context: Context): Promise<Measurement> {
  const sizes = context.smoke ? SMOKE : FULL;
  const notes: string[] = [];
  const disk = context.smoke ? undefined : diskOrNote(notes);
  const place = disk === undefined ? [] : ['--dir', disk.directory];
  const server = await context.start(...OPTIONS, ...place);
  try {
    const shape = { keys: KEYS, valueBytes: VALUE_BYTES, seed: SEED };
    const probe = await PacedProbe.start(context, server, shape, sizes);
    await pause(sizes.beforeMs / 2);
    const before = await probe.takeFor(sizes.beforeMs / 2);
    let waiting = 0;
    if (disk === undefined) await pause(sizes.beforeMs);
    for (let i = 0; i < sizes.stalls && disk !== undefined; i++) {
      const [, isWaiting] = await Promise.all([disk.stall(STALL_MS), syncWaits(server)]);
      if (isWaiting) waiting++;
      await pause(BETWEEN_MS);
    }
    const during = await probe.take();
    const written = await probe.stop();
    const checksum = new Checksum();
    checksum.add(written.checksum);
    const persistence = await server.control.info('persistence');
    const values = {
      'before.p999': before.p999Ms,
      p50: during.p50Ms,
      p99: during.p99Ms,
      p999: during.p999Ms,
      max: during.maxMs,
      waiting,
      delayed: Number(persistence.get('aof_delayed_fsync')),
      writes: written.replies / written.seconds,
    };
    return { checksum: checksum.text(), values, notes };
  } finally {
    await context.stop(server);
    disk?.remove();
  }
}

function diskOrNote(notes: string[]): StallingDisk | undefined {
  try {
    return StallingDisk.make();
  } catch (error) {
    notes.push(`the disk did not stall: ${(error as Error).message.split('\n')[0]}`);
    return undefined;
  }
}

/** Whether a sync is under way near the end of a stall. INFO may come late itself. */
async function syncWaits(server: Server): Promise<boolean> {
  await pause(LOOK_MS);
  const persistence = await server.control.info('persistence');
  return Number(persistence.get('aof_pending_bio_fsync')) > 0;
}

export const diskStall: Scenario = {
  name: 'disk-stall',
  title: 'PING latency while the disk of the append only file stalls for 1 s, everysec.',
  runs: 3,
  figures,
  measure,
};
