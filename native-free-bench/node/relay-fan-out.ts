/**
 * Feeding 32 fake replicas while 100,000 SETs of 100 bytes per second come: as a relay below a real
 * primary that the clients write to, and as the primary itself. Measured until the last replica has
 * everything, so a server that falls behind takes longer.
 */
import { caughtUp, follow } from '../lib/chain.ts';
import type { Child } from '../lib/child.ts';
import type { LoadApi } from '../lib/load-child.ts';
import { cpuSeconds } from '../lib/process-stats.ts';
import { allCaughtUp, proveAttached, proveMeasured } from '../lib/proof.ts';
import type { ReplicaApi } from '../lib/replica-child.ts';
import { type Context, type Measurement, pause, type Scenario } from '../lib/scenario.ts';
import type { Server } from '../lib/server.ts';
import { NO_LIMIT, setRequests } from '../lib/sets.ts';

const FULL = { replicas: 32, perSecond: 100_000, keys: 100_000, warmUpMs: 500, durationMs: 5000 };
const SMOKE = { replicas: 3, perSecond: 5_000, keys: 2_000, warmUpMs: 50, durationMs: 200 };
const VALUE_BYTES = 100;
const SEED = 0x4e1;
const FAKES_AT_THE_END = 4;
/** 15 % slower than as a primary. */
const SLOWER_MAX = 1 / 0.85;

interface Served {
  readonly perSecond: number;
  /** Milliseconds after the last write until the last replica had it. */
  readonly drainMs: number;
  /** Microseconds of processor time of `node` per SET. */
  readonly cpuMicros: number;
  readonly checksum: string;
}

/** Writes to `head` while `node`, which may be below it or itself, feeds the replicas. */
async function serve(
  context: Context,
  head: Server,
  node: Server,
  writer: Child<LoadApi>,
  replicas: Child<ReplicaApi>,
): Promise<Served> {
  const sizes = context.smoke ? SMOKE : FULL;
  const shape = { keys: sizes.keys, valueBytes: VALUE_BYTES, seed: SEED };
  const job = { ...setRequests(head.port, shape), perSecond: sizes.perSecond };
  const settled = async (): Promise<void> => {
    if (head !== node) await caughtUp(head, node);
    await allCaughtUp(node, replicas);
  };
  const attach = { port: node.port, replicas: sizes.replicas, ...context.proving('all') };
  await replicas.call('attach', attach);
  await writer.call('pacedStart', job);
  await pause(sizes.warmUpMs);
  await writer.call('pacedStop', null);
  await settled();
  const cpuBefore = cpuSeconds(node.pid);
  const startedMs = performance.now();
  await writer.call('pacedStart', job);
  await pause(sizes.durationMs);
  const { replies, checksum } = await writer.call('pacedStop', null);
  const stoppedMs = performance.now();
  await settled();
  const endedMs = performance.now();
  const cpu = cpuSeconds(node.pid) - cpuBefore;
  await proveMeasured(context, node, replicas);
  await replicas.call('detach', null);
  return {
    perSecond: (replies * 1000) / (endedMs - startedMs),
    drainMs: endedMs - stoppedMs,
    cpuMicros: (cpu * 1e6) / replies,
    checksum,
  };
}

async function measure(context: Context): Promise<Measurement> {
  const writer = context.loadGenerator();
  const replicas = context.replicas();
  const alone = await context.start(...NO_LIMIT);
  const primary = await serve(context, alone, alone, writer, replicas);
  await context.stop(alone);
  const head = await context.startStock(...NO_LIMIT);
  const node = await context.start(...NO_LIMIT);
  await follow(head, node);
  await caughtUp(head, node);
  const relay = await serve(context, head, node, writer, replicas);
  await proveAttached(
    context,
    node,
    replicas,
    FAKES_AT_THE_END,
    async () => {
      // What the paced writer sends was proved above; the flood that follows this is new.
    },
    head,
  );
  return {
    checksum: `${relay.checksum}`,
    values: {
      slower: primary.perSecond / relay.perSecond,
      'relay.rate': relay.perSecond,
      'relay.drain': relay.drainMs,
      'relay.cpu': relay.cpuMicros,
      'primary.rate': primary.perSecond,
      'primary.drain': primary.drainMs,
      'primary.cpu': primary.cpuMicros,
    },
    notes: [],
  };
}

export const relayFanOut: Scenario = {
  name: 'relay-fan-out',
  title: `32 fake replicas below a relay and below a primary, at 100,000 SETs of ${VALUE_BYTES} bytes per second.`,
  runs: 3,
  figures: () => [
    {
      id: 'slower',
      label: 'a primary compared with a relay',
      unit: 'x',
      must: { below: Math.round(SLOWER_MAX * 100) / 100 },
    },
    { id: 'relay.rate', label: 'relay: SETs at all replicas', unit: 'ops/s', must: null },
    { id: 'relay.drain', label: '  until all replicas have all', unit: 'ms', must: null },
    { id: 'relay.cpu', label: '  its processor time for each', unit: 'us/op', must: null },
    { id: 'primary.rate', label: 'primary: SETs at all replicas', unit: 'ops/s', must: null },
    { id: 'primary.drain', label: '  until all replicas have all', unit: 'ms', must: null },
    { id: 'primary.cpu', label: '  its processor time for each', unit: 'us/op', must: null },
  ],
  measure,
};
