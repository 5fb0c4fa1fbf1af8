/**
 * Floods a server from one client, and after each flood compares its dataset with those of its
 * replicas. bin/floods.js compiles and starts it.
 *
 *   npm run floods                          20 rounds of each kind, 400,000 requests in each
 *   npm run floods -- incr blpop            some kinds
 *   npm run floods -- --rounds 3 --requests 100000 --seed 7
 *   npm run floods -- --primary redis       the same between two stock servers, for comparison
 *   npm run floods -- --chain               a stock primary, two relays and a stock replica
 *
 * A round has a fault when the digests differ, when a replica had to sync again, or when a command
 * in the stream was an error on a replica. The exit code is 0 without faults, 1 with
 * faults, and 2 for wrong arguments.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Prng } from '../src/base/prng.ts';
import { FLOODS, Flooded, type FloodKind } from './lib/flood.ts';
import { runProgram, UsageError } from './lib/program.ts';
import type { Target } from './lib/server.ts';
import { median } from './lib/statistics.ts';

const USAGE = `npm run floods [-- [kind ...] [--rounds N] [--requests N] [--primary headwater|redis] [--chain]
                [--seed N]]

kinds: ${FLOODS.map((kind) => kind.name).join(' ')} (all of them when none is named)
--rounds N    floods of each kind (default 20)
--requests N  requests of each flood (default 400000)
--primary K   the server that is flooded: headwater (default) or redis
--chain       the flooded primary is a redis-server with two relays below it, headwater or redis as --primary says, and
              a redis-server at the end; the relays save dumps all the while
--seed N      where requests are cut, and how many wait behind a BLPOP (default: a new one)`;

interface Options {
  readonly kinds: readonly FloodKind[];
  readonly rounds: number;
  readonly requests: number;
  readonly primary: 'headwater' | 'redis';
  readonly chain: boolean;
  readonly seed: number;
}

function optionsOf(argv: readonly string[]): Options | null {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '20' },
      requests: { type: 'string', default: '400000' },
      primary: { type: 'string', default: 'headwater' },
      chain: { type: 'boolean', default: false },
      seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const count = (name: 'rounds' | 'requests' | 'seed'): number => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < 1) throw new UsageError(`--${name} takes a count`);
    return value;
  };
  const { primary } = values;
  if (primary !== 'headwater' && primary !== 'redis')
    throw new UsageError('--primary takes headwater or redis');
  const named = positionals.map((name) => {
    const kind = FLOODS.find((each) => each.name === name);
    if (kind === undefined) throw new UsageError(`no kind ${name}`);
    return kind;
  });
  return {
    kinds: named.length === 0 ? FLOODS : named,
    rounds: count('rounds'),
    requests: count('requests'),
    primary,
    chain: values.chain,
    seed: count('seed'),
  };
}

interface Tally {
  readonly kind: FloodKind;
  readonly seconds: number[];
  /** The faults, each with its round. */
  readonly faults: string[];
}

function lineOf({ kind, seconds, faults }: Tally): string {
  const rounds = seconds.length;
  const cells = [
    kind.name.padEnd(8),
    String(rounds).padStart(6),
    String(rounds - faults.length).padStart(6),
    String(faults.length).padStart(6),
    median(seconds).toFixed(2).padStart(8),
  ];
  return cells.join('  ');
}

async function main(argv: readonly string[], root: string): Promise<number> {
  const options = optionsOf(argv);
  if (options === null) {
    console.log(USAGE);
    return 0;
  }
  const redis = process.env['HEADWATER_REDIS_SERVER'] ?? '';
  if (redis === '') throw new UsageError('there is no redis-server to compare with');
  const { kinds, rounds, requests, primary, chain, seed } = options;
  const target: Target =
    primary === 'redis'
      ? { kind: 'redis', command: [redis], version: '' }
      : {
          kind: 'headwater',
          command: [join(root, 'bin', 'headwater.js')],
          version: '',
        };
  const start = (): Promise<Flooded> =>
    chain ? Flooded.chain(target, redis) : Flooded.pair(target, redis);
  const where = chain ? `a chain of two ${primary} relays` : primary;
  console.log(`${rounds} x ${requests} requests of each kind to ${where}, seed ${seed}\n`);
  console.log('kind      rounds   equal  faults  seconds');
  const prng = new Prng(seed);
  const tallies: Tally[] = [];
  let flooded = await start();
  for (const kind of kinds) {
    if (!flooded.can(kind)) {
      console.log(`${kind.name.padEnd(8)}  left out: there is no redis-cli`);
      continue;
    }
    const tally: Tally = { kind, seconds: [], faults: [] };
    for (let round = 1; round <= rounds; round++) {
      const { fault, seconds } = await flooded.flood(kind, requests, prng);
      tally.seconds.push(seconds);
      if (fault === '') continue;
      tally.faults.push(`round ${round}: ${fault}`);
      // The next round must not begin with the state after the fault.
      await flooded.stop();
      flooded = await start();
    }
    tallies.push(tally);
    console.log(lineOf(tally));
  }
  await flooded.stop();
  const faults = tallies.flatMap((tally) =>
    tally.faults.map((fault) => `${tally.kind.name}, ${fault}`),
  );
  console.log(
    faults.length === 0
      ? '\nEach replica held the same as the primary after each.'
      : `\n${faults.length} faults:\n${faults.join('\n')}`,
  );
  return faults.length === 0 ? 0 : 1;
}

await runProgram(main, USAGE);
