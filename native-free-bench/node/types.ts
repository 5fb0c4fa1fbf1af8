/**
 * The commands of redis-benchmark's default list at depth 16, in its order and with its arguments.
 * One server runs them all.
 *
 * Without -r redis-benchmark sends its random placeholders unchanged, so SADD adds the same member
 * again and again, and SPOP pops nothing. The commands for which this matters are measured a second
 * time as with `-r 1000000`.
 *
 * Each command is sent a fixed number of times, not for a fixed time. So the pops remove as many
 * elements as the pushes add, however fast the server is.
 *
 * While the host is slow a measurement is repeated (slow-host.ts). The elements that a pop removed
 * are added again before.
 */
import { ReplyError } from '../lib/control-client.ts';
import type { ClosedJob, ClosedResult } from '../lib/load-child.ts';
import { cpuSeconds } from '../lib/process-stats.ts';
import type { Context, Figure, Measurement, Must, Scenario } from '../lib/scenario.ts';
import { type Sample, SlowHost } from '../lib/slow-host.ts';
import { Checksum, RANDOM_PLACE, twelveDigits } from '../lib/workload.ts';

const CLIENTS = 50;
const DEPTH = 16;
const SEED = 0x7e5;
const RANDOM_BELOW = 1_000_000;
const DATA = 'xxx';
const MUST: Must = { ratioAtLeast: 1 };

const FULL = { warmUp: 300_000, count: 1_000_000, different: 400_000 };
const SMOKE = { warmUp: 800, count: 2_000, different: 1_000 };

/** The reply to a range has hundreds of elements, so fewer ranges are sent. */
const RANGES_SHARE = 0.1;
/** The limit of a measurement in ms, for a slow server. */
const LIMIT_MS = 20_000;
/** The number of copies of a command without random numbers. */
const SAME_REQUESTS = 1_600;

/** For each command that empties a collection, the command that fills it again. */
const REFILLS: Readonly<Record<string, string>> = {
  LPOP: 'LPUSH',
  RPOP: 'RPUSH',
  'SPOP -r': 'SADD -r',
  'ZPOPMIN -r': 'ZADD -r',
};

interface Test {
  readonly name: string;
  readonly words: readonly string[];
  readonly hasRandom: boolean;
  /** Bytes of each reply when all have one size, otherwise 0. */
  readonly reply: number;
}

const OK_BYTES = '+OK\r\n'.length;
const KEY = `key:${RANDOM_PLACE}`;
const ELEMENT = `element:${RANDOM_PLACE}`;
const RANGES = [100, 300, 500, 600];

const TESTS: readonly Test[] = [
  { name: 'PING', words: ['PING'], hasRandom: false, reply: '+PONG\r\n'.length },
  { name: 'INCR', words: ['INCR', `counter:${RANDOM_PLACE}`], hasRandom: true, reply: 0 },
  { name: 'LPUSH', words: ['LPUSH', 'mylist', DATA], hasRandom: false, reply: 0 },
  { name: 'RPUSH', words: ['RPUSH', 'mylist', DATA], hasRandom: false, reply: 0 },
  { name: 'LPOP', words: ['LPOP', 'mylist'], hasRandom: false, reply: 0 },
  { name: 'RPOP', words: ['RPOP', 'mylist'], hasRandom: false, reply: 0 },
  { name: 'SADD', words: ['SADD', 'myset', ELEMENT], hasRandom: true, reply: 0 },
  { name: 'HSET', words: ['HSET', 'myhash', ELEMENT, DATA], hasRandom: true, reply: 0 },
  { name: 'SPOP', words: ['SPOP', 'myset'], hasRandom: true, reply: 0 },
  { name: 'ZADD', words: ['ZADD', 'myzset', '0', ELEMENT], hasRandom: true, reply: 0 },
  { name: 'ZPOPMIN', words: ['ZPOPMIN', 'myzset'], hasRandom: true, reply: 0 },
  ...RANGES.map((count) => ({
    name: `LRANGE_${count}`,
    words: ['LRANGE', 'ranges', '0', String(count - 1)],
    hasRandom: false,
    reply: `*${count}\r\n`.length + count * `$${DATA.length}\r\n${DATA}\r\n`.length,
  })),
  {
    name: 'MSET (10 keys)',
    words: ['MSET', ...Array.from({ length: 10 }, () => [KEY, DATA]).flat()],
    hasRandom: true,
    reply: OK_BYTES,
  },
  { name: 'XADD', words: ['XADD', 'mystream', '*', 'myfield', DATA], hasRandom: false, reply: 0 },
];

/** ZADD with random scores, as redis-benchmark sends it with -r. */
const RANDOM_ZADD = ['ZADD', 'myzset', RANDOM_PLACE, ELEMENT];

interface Variant {
  readonly id: string;
  readonly test: Test;
  readonly words: readonly string[];
  readonly randomBelow: number;
}

const VARIANTS: readonly Variant[] = [
  ...TESTS.map((test) => ({ id: test.name, test, words: test.words, randomBelow: 0 })),
  ...TESTS.filter((test) => test.hasRandom).map((test) => ({
    id: `${test.name} -r`,
    test,
    words: test.name === 'ZADD' ? RANDOM_ZADD : test.words,
    randomBelow: RANDOM_BELOW,
  })),
];

/**
 * Replaces the random placeholders by 0. Used once, to ask whether the server knows the command.
 */
function withZero(word: string): string {
  return word.replaceAll(RANDOM_PLACE, twelveDigits(0));
}

interface TypeSample extends Sample {
  readonly result: ClosedResult;
  readonly serverMicros: number;
}

function jobOf(variant: Variant, port: number, different: number): Omit<ClosedJob, 'replies'> {
  const { words, randomBelow, test } = variant;
  return {
    port,
    clients: CLIENTS,
    depth: DEPTH,
    durationMs: LIMIT_MS,
    template: { words, randomBelow, valueBytes: 0, seed: SEED },
    requests: randomBelow > 0 ? different : SAME_REQUESTS,
    replyBytes: test.reply,
  };
}

async function measure(context: Context): Promise<Measurement> {
  const sizes = context.smoke ? SMOKE : FULL;
  const server = await context.start();
  const generator = context.loadGenerator();
  const checksum = new Checksum();
  const values: Record<string, number> = {};
  const notes: string[] = [];
  const host = new SlowHost('types', context.smoke);

  async function measureOnce(variant: Variant): Promise<TypeSample> {
    const share = variant.words[0] === 'LRANGE' ? RANGES_SHARE : 1;
    const job = jobOf(variant, server.port, sizes.different);
    await generator.call('closed', { ...job, replies: sizes.warmUp * share });
    const cpuBefore = cpuSeconds(server.pid);
    const result = await generator.call('closed', { ...job, replies: sizes.count * share });
    return {
      result,
      serverMicros: ((cpuSeconds(server.pid) - cpuBefore) * 1e6) / result.replies,
      generatorMicros: (result.cpuSeconds * 1e6) / result.replies,
      errors: result.errors,
    };
  }

  async function refill(id: string | undefined): Promise<void> {
    const variant = VARIANTS.find((other) => other.id === id);
    if (variant === undefined) return;
    const replies = sizes.warmUp + sizes.count;
    await generator.call('closed', { ...jobOf(variant, server.port, sizes.different), replies });
  }

  await server.control.call('RPUSH', 'ranges', ...Array<string>(Math.max(...RANGES)).fill(DATA));
  for (const variant of VARIANTS) {
    const { id, words, randomBelow } = variant;
    checksum.add(
      `${id} ${await generator.call('checksum', jobOf(variant, server.port, sizes.different))}`,
    );
    const first = await server.control.call(...(randomBelow > 0 ? words.map(withZero) : words));
    if (first instanceof ReplyError) {
      notes.push(`${id} is n/a: ${first.message.split(',')[0]}`);
      continue;
    }
    const best = await host.best(
      id,
      () => measureOnce(variant),
      () => refill(REFILLS[id]),
    );
    const { result, serverMicros, generatorMicros } = best;
    if (result.errors > 0) {
      notes.push(`${id} is n/a: ${result.firstError}`);
      continue;
    }
    values[id] = result.replies / result.seconds;
    values[`${id}.cpu`] = serverMicros;
    values[`${id}.generator`] = generatorMicros;
  }
  return { checksum: checksum.text(), values, notes: [...notes, ...host.notes] };
}

function figures(): Figure[] {
  return VARIANTS.flatMap(({ id }): Figure[] => [
    { id, label: id, unit: 'ops/s', must: MUST },
    { id: `${id}.cpu`, label: '  processor time of the server', unit: 'us/op', must: null },
    { id: `${id}.generator`, label: '  and of the generator', unit: 'us/op', must: null },
  ]);
}

export const types: Scenario = {
  name: 'types',
  title: `redis-benchmark's default list at depth ${DEPTH}, ${CLIENTS} clients.`,
  runs: 5,
  figures,
  measure,
};
