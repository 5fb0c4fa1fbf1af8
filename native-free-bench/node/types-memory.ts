/**
 * Collections: their memory, the time of a full sync of all of them, and the latency of clients
 * when a collection of a million elements is deleted, expires or is replaced.
 *
 * The memory of each dataset is measured in a process of its own, and the memory before the first
 * key is subtracted. Then one server is filled with all of them and synced. Its big keys are
 * removed while another process measures PING.
 */

import { Prng } from '../../src/base/prng.ts';
import { MIB } from '../../src/base/units.ts';
import { ReplyError } from '../lib/control-client.ts';
import { checksumOf, type Dataset, LoadRefused, load } from '../lib/dataset.ts';
import { settledResidentBytes } from '../lib/process-stats.ts';
import { proveAttached } from '../lib/proof.ts';
import type { RequestWriter } from '../lib/resp.ts';
import {
  type Context,
  type Figure,
  type Measurement,
  pause,
  type Scenario,
  until,
} from '../lib/scenario.ts';
import type { Server } from '../lib/server.ts';
import { rewrite, syncRounds } from '../lib/sync-rounds.ts';
import { Checksum, twelveDigits, ValuePool } from '../lib/workload.ts';

const SEED = 0x73e;
const VALUE_BYTES = 16;
const ELEMENTS_PER_COMMAND = 100;
/** Smoke sizes are smaller by this factor. */
const SMOKE_SHARE = 1000;
const SYNC_ROUNDS = 3;
/** Latency is measured this long after a key was removed, since incremental freeing works then. */
const AFTERMATH_MS = { full: 1000, smoke: 60 };

/** `size` is the number of elements, or of keys where there are many. */
type Maker = (size: number, key: string) => Dataset;

interface Kind {
  readonly id: string;
  readonly label: string;
  readonly size: number;
  readonly make: Maker;
}

const KINDS: readonly Kind[] = [
  { id: 'hashes', label: '200 k hashes of 10 fields', size: 200_000, make: smallHashes },
  { id: 'zsets', label: '100 k sorted sets of 20', size: 100_000, make: smallSortedSets },
  { id: 'list', label: 'one list of 5 M', size: 5_000_000, make: bigList },
  { id: 'hash', label: 'one hash of 1 M', size: 1_000_000, make: bigHash },
  { id: 'zset', label: 'one sorted set of 1 M', size: 1_000_000, make: bigSortedSet },
  { id: 'stream', label: 'one stream of 1 M entries', size: 1_000_000, make: bigStream },
];

/** The ways in which a key of a million elements is removed, and the command for each. */
const LOSSES = [
  { id: 'delete', label: 'DEL', words: (key: string) => ['DEL', key] },
  { id: 'expire', label: 'expiry', words: (key: string) => ['PEXPIRE', key, '50'] },
  { id: 'replace', label: 'SET', words: (key: string) => ['SET', key, 'short'] },
] as const;

const LOSING_KINDS = KINDS.filter(({ id }) => id === 'hash' || id === 'zset');

function smallHashes(keys: number, key: string): Dataset {
  const fields = 10;
  const pool = new ValuePool(SEED);
  return {
    commands: keys,
    write(index, out) {
      out.command(2 + 2 * fields);
      out.text('HSET');
      out.text(`${key}:${twelveDigits(index)}`);
      for (let field = 0; field < fields; field++) {
        out.text(`field:${field}`);
        pool.write(out, VALUE_BYTES);
      }
    },
  };
}

function smallSortedSets(keys: number, key: string): Dataset {
  const members = 20;
  const pool = new ValuePool(SEED);
  const prng = new Prng(SEED);
  return {
    commands: keys,
    write(index, out) {
      out.command(2 + 2 * members);
      out.text('ZADD');
      out.text(`${key}:${twelveDigits(index)}`);
      for (let member = 0; member < members; member++) {
        out.text(String(prng.below(1_000_000)));
        pool.write(out, VALUE_BYTES);
      }
    },
  };
}

/**
 * Returns a collection that is filled by commands of many elements. `element` writes `words`
 * arguments for each element.
 */
function inBatches(
  command: string,
  key: string,
  size: number,
  words: number,
  element: (index: number, out: RequestWriter) => void,
): Dataset {
  return {
    commands: Math.ceil(size / ELEMENTS_PER_COMMAND),
    write(index, out) {
      const first = index * ELEMENTS_PER_COMMAND;
      const count = Math.min(ELEMENTS_PER_COMMAND, size - first);
      out.command(2 + count * words);
      out.text(command);
      out.text(key);
      for (let at = first; at < first + count; at++) element(at, out);
    },
  };
}

function bigList(size: number, key: string): Dataset {
  const pool = new ValuePool(SEED);
  return inBatches('RPUSH', key, size, 1, (_, out) => pool.write(out, VALUE_BYTES));
}

function bigHash(size: number, key: string): Dataset {
  const pool = new ValuePool(SEED);
  return inBatches('HSET', key, size, 2, (index, out) => {
    out.text(`field:${twelveDigits(index)}`);
    pool.write(out, VALUE_BYTES);
  });
}

function bigSortedSet(size: number, key: string): Dataset {
  const prng = new Prng(SEED);
  return inBatches('ZADD', key, size, 2, (index, out) => {
    out.text(String(prng.below(1_000_000_000)));
    out.text(`member:${twelveDigits(index)}`);
  });
}

function bigStream(size: number, key: string): Dataset {
  const pool = new ValuePool(SEED);
  const firstMs = 1_700_000_000_000;
  return {
    commands: size,
    write(index, out) {
      out.command(5);
      out.text('XADD');
      out.text(key);
      out.text(`${firstMs + index}-0`);
      out.text('field');
      pool.write(out, VALUE_BYTES);
    },
  };
}

function figures(): Figure[] {
  const weights = KINDS.map(
    ({ id, label }): Figure => ({ id: `rss.${id}`, label, unit: 'MiB', must: { ratioAtMost: 1 } }),
  );
  const losses = LOSING_KINDS.flatMap((kind) =>
    LOSSES.flatMap((loss): Figure[] => [
      {
        id: `${loss.id}.${kind.id}.max`,
        label: `PING max at ${loss.label} of ${kind.label}`,
        unit: 'ms',
        must: { below: 5 },
      },
      { id: `${loss.id}.${kind.id}.p999`, label: '  p99.9', unit: 'ms', must: null },
    ]),
  );
  return [
    ...weights,
    {
      id: 'sync.last',
      label: 'full sync of all, PSYNC to last byte',
      unit: 'ms',
      must: { ratioAtMost: 0.6 },
    },
    { id: 'sync.first', label: '  PSYNC to first byte', unit: 'ms', must: null },
    { id: 'sync.rate', label: '  payload', unit: 'MB/s', must: null },
    { id: 'sync.cpu', label: '  processor time of the server', unit: 'CPU s', must: null },
    ...losses,
  ];
}

async function measure(context: Context): Promise<Measurement> {
  const values: Record<string, number> = {};
  const notes: string[] = [];
  const checksum = new Checksum();
  const known: Kind[] = [];
  for (const kind of KINDS) {
    const server = await context.start();
    const empty = await settledResidentBytes(server.pid, context.smoke);
    const dataset = (): Dataset => kind.make(sizeOf(kind, context), kind.id);
    try {
      checksum.add((await load(server.port, dataset())).checksum);
      values[`rss.${kind.id}`] =
        ((await settledResidentBytes(server.pid, context.smoke)) - empty) / MIB;
      known.push(kind);
    } catch (error) {
      if (!(error instanceof LoadRefused)) throw error;
      checksum.add(checksumOf(dataset()));
      notes.push(`${kind.label} is n/a: ${error.message}`);
    }
    await context.stop(server);
  }
  const server = await context.start();
  for (const kind of known) await load(server.port, kind.make(sizeOf(kind, context), kind.id));
  if (known.length === KINDS.length) Object.assign(values, await syncFigures(context, server));
  else notes.push('full sync is n/a: the dataset is not the whole one');
  Object.assign(values, await lossFigures(context, server, known, notes));
  await proveAttached(context, server, context.replicas(), 1, () => rewrite(server));
  return { checksum: checksum.text(), values, notes };
}

function sizeOf(kind: Kind, context: Context): number {
  return context.smoke ? kind.size / SMOKE_SHARE : kind.size;
}

async function syncFigures(context: Context, server: Server): Promise<Record<string, number>> {
  const sync = await syncRounds(
    context,
    server,
    context.replicas(),
    1,
    context.smoke ? 1 : SYNC_ROUNDS,
  );
  return {
    'sync.last': sync.lastByteMs,
    'sync.first': sync.firstByteMs,
    'sync.rate': sync.megabytesPerSecond,
    'sync.cpu': sync.cpuSeconds,
  };
}

/** Measures PING latency around the removal of one big key after another. */
async function lossFigures(
  context: Context,
  server: Server,
  known: readonly Kind[],
  notes: string[],
): Promise<Record<string, number>> {
  const values: Record<string, number> = {};
  const prober = context.prober();
  for (const kind of LOSING_KINDS.filter((candidate) => known.includes(candidate))) {
    for (const loss of LOSSES) {
      const key = `${loss.id}:${kind.id}`;
      await load(server.port, kind.make(sizeOf(kind, context), key));
      await prober.call('start', server.port);
      await pause(AFTERMATH_MS[context.smoke ? 'smoke' : 'full'] / 4);
      await prober.call('take', null);
      const reply = await server.control.call(...loss.words(key));
      if (reply instanceof ReplyError) {
        notes.push(`${loss.label} of ${kind.label} is n/a: ${reply.message}`);
        continue;
      }
      await until('the collection is gone', async () => (await typeOf(server, key)) !== kind.id);
      await pause(AFTERMATH_MS[context.smoke ? 'smoke' : 'full']);
      const probe = await prober.call('take', null);
      values[`${loss.id}.${kind.id}.max`] = probe.maxMs;
      values[`${loss.id}.${kind.id}.p999`] = probe.p999Ms;
      await prober.call('stop', null);
    }
  }
  return values;
}

async function typeOf(server: Server, key: string): Promise<string> {
  return String(await server.control.must('TYPE', key));
}

export const typesMemory: Scenario = {
  name: 'types-memory',
  title: 'Collections: weight, full sync of all of them, stall when a big one goes.',
  runs: 3,
  figures,
  measure,
};
