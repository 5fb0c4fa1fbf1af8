/**
 * SET and GET of 100-byte values by 50 clients, at pipeline depths 1, 16 and 64.
 *
 * Keys are drawn from a full keyspace, so every GET finds its value and every reply has one size. Each client sends a
 * batch of `depth`, waits for its replies, and sends the next.
 */
import { load, stringKeys } from '../lib/dataset.ts';
import { cpuSeconds } from '../lib/process-stats.ts';
import type { Context, Figure, Measurement, Scenario } from '../lib/scenario.ts';
import { Checksum, RANDOM_PLACE, type Template } from '../lib/workload.ts';

const VALUE_BYTES = 100;
const CLIENTS = 50;
const SEED = 0x5e7;
const DEPTHS = [
  { depth: 1, must: 0.9 },
  { depth: 16, must: 1.3 },
  { depth: 64, must: 1.7 },
] as const;

const COMMANDS = [
  {
    name: 'SET',
    words: ['SET', `key:${RANDOM_PLACE}`],
    valueBytes: VALUE_BYTES,
    replyBytes: '+OK\r\n'.length,
  },
  {
    name: 'GET',
    words: ['GET', `key:${RANDOM_PLACE}`],
    valueBytes: 0,
    replyBytes: `$${VALUE_BYTES}\r\n`.length + VALUE_BYTES + '\r\n'.length,
  },
] as const;

const FULL = { keys: 100_000, warmUpMs: 1000, durationMs: 3000 };
const SMOKE = { keys: 2_000, warmUpMs: 10, durationMs: 60 };

function figures(): Figure[] {
  return COMMANDS.flatMap(({ name }) =>
    DEPTHS.flatMap(({ depth, must }): Figure[] => [
      {
        id: `${name}.${depth}`,
        label: `${name}, depth ${depth}`,
        unit: 'ops/s',
        must: { ratioAtLeast: must },
      },
      { id: `${name}.${depth}.cpu`, label: '  processor time of the server', unit: 'us/op', must: null },
      { id: `${name}.${depth}.generator`, label: '  and of the generator', unit: 'us/op', must: null },
    ]),
  );
}

async function measure(context: Context): Promise<Measurement> {
  const sizes = context.smoke ? SMOKE : FULL;
  const server = await context.start();
  const generator = context.loadGenerator();
  const checksum = new Checksum();
  const values: Record<string, number> = {};
  checksum.add((await load(server.port, stringKeys(sizes.keys, VALUE_BYTES, SEED))).checksum);
  for (const { name, words, valueBytes, replyBytes } of COMMANDS) {
    for (const { depth } of DEPTHS) {
      const template: Template = { words, randomBelow: sizes.keys, valueBytes, seed: SEED + depth };
      const job = {
        port: server.port,
        clients: CLIENTS,
        depth,
        template,
        replyBytes,
        requests: sizes.keys,
        replies: 0,
      };
      await generator.call('closed', { ...job, durationMs: sizes.warmUpMs });
      const cpuBefore = cpuSeconds(server.pid);
      const result = await generator.call('closed', { ...job, durationMs: sizes.durationMs });
      values[`${name}.${depth}`] = result.replies / result.seconds;
      values[`${name}.${depth}.cpu`] = ((cpuSeconds(server.pid) - cpuBefore) * 1e6) / result.replies;
      values[`${name}.${depth}.generator`] = (result.cpuSeconds * 1e6) / result.replies;
      checksum.add(result.checksum);
    }
  }
  return { checksum: checksum.text(), values, notes: [] };
}

export const getSet: Scenario = {
  name: 'get-set',
  title: `SET and GET of ${VALUE_BYTES} bytes, ${CLIENTS} clients.`,
  runs: 5,
  figures,
  measure,
};
