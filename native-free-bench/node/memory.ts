/**
 * Resident memory per key: 1M keys of 16 bytes with values of 100 bytes. The memory of the process
 * before the first key is subtracted.
 */

import { MIB } from '../../src/base/units.ts';
import { load, stringKeys } from '../lib/dataset.ts';
import { settledResidentBytes } from '../lib/process-stats.ts';
import type { Context, Measurement, Scenario } from '../lib/scenario.ts';

const KEYS = { full: 1_000_000, smoke: 20_000 };
const VALUE_BYTES = 100;
const SEED = 0x3e3;

async function measure(context: Context): Promise<Measurement> {
  const keys = KEYS[context.smoke ? 'smoke' : 'full'];
  const server = await context.start();
  const empty = await settledResidentBytes(server.pid, context.smoke);
  const { checksum } = await load(server.port, stringKeys(keys, VALUE_BYTES, SEED));
  const held = Number(await server.control.must('DBSIZE'));
  if (held !== keys) throw new Error(`${keys} keys were set and ${held} are there`);
  const growth = (await settledResidentBytes(server.pid, context.smoke)) - empty;
  return { checksum, values: { empty: empty / MIB, perKey: growth / keys }, notes: [] };
}

export const memory: Scenario = {
  name: 'memory',
  title: `Resident memory of 1M keys of 16 bytes with values of ${VALUE_BYTES} bytes.`,
  runs: 5,
  figures: () => [
    { id: 'perKey', label: 'growth per key', unit: 'B/key', must: { ratioAtMost: 0.75 } },
    { id: 'empty', label: 'empty process', unit: 'MiB', must: null },
  ],
  measure,
};
