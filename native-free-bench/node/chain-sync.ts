/**
 * A chain of four: a real primary with 300 MB and three measured servers below one another, which
 * are all attached at once. Measured until the last one is online and has everything.
 */
import { isCaughtUp, link, startNodes } from '../lib/chain.ts';
import { load, stringKeys } from '../lib/dataset.ts';
import { proveAttached } from '../lib/proof.ts';
import { type Context, type Measurement, type Scenario, until } from '../lib/scenario.ts';
import { rewrite } from '../lib/sync-rounds.ts';

const KEYS = { full: 300_000, smoke: 3_000 };
const VALUE_BYTES = 1000;
const NODES = 3;
const SEED = 0xc4a;
const FAKES_AT_THE_END = 2;
const TIMEOUT_MS = 300_000;
const POLL_MS = 5;

async function measure(context: Context): Promise<Measurement> {
  const head = await context.startStock();
  const keys = KEYS[context.smoke ? 'smoke' : 'full'];
  const { checksum } = await load(head.port, stringKeys(keys, VALUE_BYTES, SEED));
  const nodes = await startNodes(context, NODES);
  const startedMs = performance.now();
  await link(head, nodes);
  const upMs = nodes.map(() => 0);
  await until(
    'the tail of a chain at the offset of its head',
    async () => {
      for (const [i, node] of nodes.entries()) {
        if (upMs[i] === 0 && (await isCaughtUp(head, node)))
          upMs[i] = performance.now() - startedMs;
      }
      return upMs.every((ms) => ms > 0);
    },
    TIMEOUT_MS,
    POLL_MS,
  );
  const tail = nodes.at(-1)!;
  await proveAttached(
    context,
    tail,
    context.replicas(),
    FAKES_AT_THE_END,
    () => rewrite(head),
    head,
  );
  const values = { first: upMs[0]!, second: upMs[1]!, tail: Math.max(...upMs) };
  return { checksum, values, notes: [] };
}

export const chainSync: Scenario = {
  name: 'chain-sync',
  title: 'A real primary with 300 MB and a chain of three below it, attached at once.',
  runs: 3,
  figures: () => [
    {
      id: 'tail',
      label: 'until the tail has everything',
      unit: 'ms',
      must: { ratioAtMost: 0.4 },
    },
    { id: 'first', label: '  the first below the primary', unit: 'ms', must: null },
    { id: 'second', label: '  the second', unit: 'ms', must: null },
  ],
  measure,
};
