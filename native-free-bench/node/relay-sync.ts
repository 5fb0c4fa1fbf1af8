/**
 * A replica of a real primary: 1M keys of 16 bytes with random values of 100 bytes, from REPLICAOF
 * until the link is up. The first sync is that of a server that has just started; before the second
 * it was a primary in between and has emptied itself, so that it needs everything again.
 */
import { caughtUp, follow } from '../lib/chain.ts';
import { load, stringKeys } from '../lib/dataset.ts';
import { cpuSeconds } from '../lib/process-stats.ts';
import { proveAttached } from '../lib/proof.ts';
import { type Context, type Measurement, type Scenario, until } from '../lib/scenario.ts';
import type { Server } from '../lib/server.ts';
import { rewrite } from '../lib/sync-rounds.ts';

const KEYS = { full: 1_000_000, smoke: 5_000 };
const VALUE_BYTES = 100;
const SEED = 0x5e1;
/** Fake replicas that are attached below beside the stock one for the proof at the end. */
const FAKES_AT_THE_END = 2;
const TIMEOUT_MS = 120_000;
const POLL_MS = 2;

/** Returns the milliseconds from REPLICAOF until the link is up. */
async function timeSync(head: Server, node: Server): Promise<number> {
  const startedMs = performance.now();
  await follow(head, node);
  await until(
    'the link to be up',
    async () => (await node.control.info('replication')).get('master_link_status') === 'up',
    TIMEOUT_MS,
    POLL_MS,
  );
  return performance.now() - startedMs;
}

async function measure(context: Context): Promise<Measurement> {
  const head = await context.startStock();
  const keys = KEYS[context.smoke ? 'smoke' : 'full'];
  const { checksum } = await load(head.port, stringKeys(keys, VALUE_BYTES, SEED));
  const node = await context.start();
  const cpuBefore = cpuSeconds(node.pid);
  const first = await timeSync(head, node);
  const cpu = cpuSeconds(node.pid) - cpuBefore;
  await caughtUp(head, node);
  await node.control.must('REPLICAOF', 'NO', 'ONE');
  await node.control.must('FLUSHALL');
  const again = await timeSync(head, node);
  await proveAttached(
    context,
    node,
    context.replicas(),
    FAKES_AT_THE_END,
    () => rewrite(head),
    head,
  );
  return { checksum, values: { first, again, cpu }, notes: [] };
}

export const relaySync: Scenario = {
  name: 'relay-sync',
  title: `A replica of a real primary syncs 1M keys of 16 bytes with random values of ${VALUE_BYTES} bytes.`,
  runs: 5,
  figures: () => [
    {
      id: 'first',
      label: 'REPLICAOF to link up, the first time',
      unit: 'ms',
      must: { ratioAtMost: 0.8 },
    },
    { id: 'cpu', label: '  processor time', unit: 'CPU s', must: null },
    {
      id: 'again',
      label: 'REPLICAOF to link up, again',
      unit: 'ms',
      must: { ratioAtMost: 0.8 },
    },
  ],
  measure,
};
