/**
 * Full sync of 1M keys of 16 bytes with random values of 100 bytes, from PSYNC to the last byte of
 * the payload, to one replica and to eight at once.
 *
 * With `repl-diskless-sync-delay 0` redis-server starts a snapshot for the first of eight replicas,
 * and a second one for the others. It is faster when it knows the number of replicas
 * (`repl-diskless-sync-max-replicas 8`), and then waits up to a second for its cron. This is
 * measured, too, as "eight, awaited".
 */
import { load, stringKeys } from '../lib/dataset.ts';
import { proveAttached } from '../lib/proof.ts';
import type { Context, Figure, Measurement, Scenario } from '../lib/scenario.ts';
import { rewrite, syncRounds } from '../lib/sync-rounds.ts';

const KEYS = { full: 1_000_000, smoke: 5_000 };
const ROUNDS = { full: 3, smoke: 1 };
const VALUE_BYTES = 100;
const SEED = 0xf55;
/** Fake replicas that are attached beside the stock one for the proof at the end. */
const FAKES_AT_THE_END = 2;

const CASES = [
  { id: '1', label: 'one replica', replicas: 1, awaited: false, must: { ratioAtMost: 0.3 } },
  { id: '8', label: 'eight replicas', replicas: 8, awaited: false, must: { ratioAtMost: 0.3 } },
  { id: '8.awaited', label: 'eight, awaited', replicas: 8, awaited: true, must: null },
] as const;

function figures(): Figure[] {
  return CASES.flatMap(({ id, label, must }): Figure[] => [
    { id: `${id}.last`, label: `${label}: PSYNC to last byte`, unit: 'ms', must },
    { id: `${id}.first`, label: '  PSYNC to first byte', unit: 'ms', must: null },
    { id: `${id}.rate`, label: '  payload to all of them', unit: 'MB/s', must: null },
    { id: `${id}.cpu`, label: '  processor time of the server', unit: 'CPU s', must: null },
  ]);
}

async function measure(context: Context): Promise<Measurement> {
  const size = context.smoke ? 'smoke' : 'full';
  const server = await context.start();
  const child = context.replicas();
  const { checksum } = await load(server.port, stringKeys(KEYS[size], VALUE_BYTES, SEED));
  const values: Record<string, number> = {};
  for (const { id, replicas, awaited } of CASES) {
    if (awaited) {
      await server.control.must(
        'CONFIG',
        'SET',
        'repl-diskless-sync-max-replicas',
        String(replicas),
      );
      await server.control.must('CONFIG', 'SET', 'repl-diskless-sync-delay', '5');
    }
    const result = await syncRounds(context, server, child, replicas, ROUNDS[size]);
    values[`${id}.last`] = result.lastByteMs;
    values[`${id}.first`] = result.firstByteMs;
    values[`${id}.rate`] = result.megabytesPerSecond;
    values[`${id}.cpu`] = result.cpuSeconds;
  }
  // The replicas of the proof are fewer, and would wait for the others.
  await server.control.must('CONFIG', 'SET', 'repl-diskless-sync-delay', '0');
  await proveAttached(context, server, child, FAKES_AT_THE_END, () => rewrite(server));
  return { checksum, values, notes: [] };
}

export const fullSync: Scenario = {
  name: 'full-sync',
  title: `Full sync of 1M keys of 16 bytes with random values of ${VALUE_BYTES} bytes.`,
  runs: 5,
  figures,
  measure,
};
