// @ts-check
/**
 * `npm run bench [-- arguments]`: installs and builds when needed, compiles native-free-bench/ into dist-bench/, finds a
 * real redis-server, and runs the bench. Its arguments are told by `npm run bench -- --help`.
 *
 * The bench measures what there is: without a redis-server only headwater, without a built headwater only redis-server.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants, cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from './build.js';
import { findRedis } from './find-redis.js';
import { ensureInstalled } from './install.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const args = process.argv.slice(2);

ensureInstalled();
// The smoke run is part of the tests, which have built dist/ already and may be looking at it.
if (!args.includes('--smoke') && !(await build())) {
  console.error('bench: dist/ has the type errors above; measuring it all the same.');
}
if (!compile()) process.exit(1);

const redis = findRedis();
if (redis === null) console.error('bench: no redis-server found (HEADWATER_REDIS_SERVER, PATH); no ratios.');
const hasHeadwater = existsSync(join(root, 'dist', 'cli.js'));
if (!hasHeadwater) console.error('bench: headwater is not built; measuring redis-server alone.');

const [program, ...first] = [
  ...pinning(),
  process.execPath,
  join(root, 'dist-bench', 'native-free-bench', 'run.js'),
];
const bench = spawn(program ?? process.execPath, [...first, ...args], {
  stdio: 'inherit',
  env: {
    ...process.env,
    HEADWATER_REDIS_SERVER: redis ?? '',
    HEADWATER_BENCH_SELF: hasHeadwater ? '1' : '',
  },
});
// The terminal sends ^C to the whole group; the bench stops its servers, and this process waits for it.
process.on('SIGINT', () => {});
bench.on('error', (error) => {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
});
bench.on('exit', (code, signal) => {
  process.exitCode = code ?? (signal === null ? 1 : 128 + constants.signals[signal]);
});

function compile() {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const run = spawnSync(process.execPath, [tsc, '-p', join(root, 'native-free-bench')], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (run.error) console.error(`bench: the compiler did not start: ${run.error.message}`);
  return run.status === 0;
}

/** With --pin the bench and its helpers stay off core 0, which run.ts gives to the server. */
function pinning() {
  if (!args.includes('--pin')) return [];
  const cores = cpus().length;
  if (cores < 2) {
    console.error('bench: --pin needs two cores.');
    process.exit(2);
  }
  return ['taskset', '-c', `1-${cores - 1}`];
}
