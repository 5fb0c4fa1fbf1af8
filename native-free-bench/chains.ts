/**
 * Random commands at the head of a chain whose links are cut, stalled and throttled at random;
 * after each round all nodes must hold the same. bin/chains.js compiles and starts it.
 *
 *   npm run chains                              5 minutes of a chain of four
 *   npm run chains -- --minutes 30 --seed 7
 *   npm run chains -- --wide                    3 minutes of 20 stock replicas below one relay
 *   npm run chains -- --fleet                   5 minutes of 20 stock replicas of one headwater
 *   npm run chains -- --relay redis             stock relays, for comparison
 *   npm run chains -- --backlog 65536           logs too short for most cuts: full syncs are no fault
 *
 * The exit code is 0 without faults, 1 with faults, and 2 for wrong arguments.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Prng } from '../src/base/prng.ts';
import { KIB, MIB } from '../src/base/units.ts';
import { type ChainPlan, ChainRun } from './lib/chain-run.ts';
import { runProgram, UsageError } from './lib/program.ts';

const ROUND_MS = 10_000;
const MINUTE_MS = 60_000;
const WIDE = 20;

const USAGE = `npm run chains [-- [--minutes N] [--wide | --fleet] [--relay headwater|redis] [--backlog BYTES] [--seed N]]

--minutes N      how long (default 5, with --wide 3)
--wide           ${WIDE} stock replicas below one relay, instead of a chain of four
--fleet          ${WIDE} stock replicas of one headwater with a small log; each full sync is judged
--relay K        the relays: headwater (default) or redis
--backlog BYTES  repl-backlog-size of all nodes (default 128 MiB, with --fleet 256 KiB); below 64 MiB full
                 syncs are no fault, but for those of --fleet that the history could have spared
--seed N         of the commands, and of when which link does what (default: a new one)`;

interface Options {
  readonly minutes: number;
  readonly wide: boolean;
  readonly fleet: boolean;
  readonly relay: 'headwater' | 'redis';
  readonly backlog: number;
  readonly seed: number;
}

function optionsOf(argv: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      minutes: { type: 'string' },
      wide: { type: 'boolean', default: false },
      fleet: { type: 'boolean', default: false },
      relay: { type: 'string', default: 'headwater' },
      backlog: { type: 'string' },
      seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const count = (name: string, text: string): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < 1) throw new UsageError(`--${name} takes a count`);
    return value;
  };
  const { wide, fleet, relay } = values;
  if (wide && fleet) throw new UsageError('--wide and --fleet are two shapes');
  if (relay !== 'headwater' && relay !== 'redis')
    throw new UsageError('--relay takes headwater or redis');
  return {
    minutes: count('minutes', values.minutes ?? (wide ? '3' : '5')),
    wide,
    fleet,
    relay,
    backlog: count('backlog', values.backlog ?? String(fleet ? 256 * KIB : 128 * MIB)),
    seed: count('seed', values.seed),
  };
}

async function main(argv: readonly string[], root: string): Promise<number> {
  const options = optionsOf(argv);
  if (options === null) {
    console.log(USAGE);
    return 0;
  }
  const redis = process.env['HEADWATER_REDIS_SERVER'] ?? '';
  if (redis === '') throw new UsageError('there is no redis-server for the head and the tail');
  const { minutes, wide, fleet, relay, backlog, seed } = options;
  const plan: ChainPlan = {
    target:
      relay === 'redis'
        ? { kind: 'redis', command: [redis], version: '' }
        : {
            kind: 'headwater',
            command: [join(root, 'bin', 'headwater.js')],
            version: '',
          },
    redis,
    wide: wide ? WIDE : 0,
    fleet: fleet ? WIDE : 0,
    backlogBytes: backlog,
  };
  const shape = wide
    ? `${WIDE} stock replicas below a ${relay}`
    : fleet
      ? `${WIDE} stock replicas of a ${relay} with ${backlog} bytes of backlog`
      : `a chain of two ${relay} relays`;
  console.log(`${minutes} minutes of ${shape}, seed ${seed}\n`);
  const more = fleet ? '  of these for history that was gone  history' : '';
  console.log(`round  commands       MB  cut, stalled …  partial  full  caught up in${more}`);
  const run = await ChainRun.start(plan, new Prng(seed));
  const endMs = performance.now() + minutes * MINUTE_MS;
  const faults: string[] = [];
  for (let number = 1; performance.now() < endMs && faults.length === 0; number++) {
    const round = await run.round(ROUND_MS);
    const cells = [
      String(number).padStart(5),
      String(round.commands).padStart(8),
      (round.bytes / 1e6).toFixed(1).padStart(7),
      String(round.misbehaviours).padStart(14),
      String(round.partial).padStart(7),
      String(round.full).padStart(4),
      `${Math.round(round.catchUpMs)} ms`.padStart(12),
    ];
    if (round.judgement !== undefined) {
      const { gone, missedMin, missedMax } = round.judgement;
      const missed = gone === 0 ? '' : ` (by ${missedMin} to ${missedMax} bytes)`;
      cells.push(`${gone}${missed}`.padStart(34), round.history);
    }
    console.log(cells.join('  '));
    faults.push(...round.faults.map((fault) => `round ${number}: ${fault}`));
  }
  await run.stop();
  console.log(
    faults.length === 0
      ? '\nAll nodes held the same after each round.'
      : `\n${faults.length} faults:\n${faults.join('\n')}`,
  );
  return faults.length === 0 ? 0 : 1;
}

await runProgram(main, USAGE);
