// @ts-check
/**
 * `npm run bench [-- arguments]`: installs and builds when needed, compiles native-free-bench/ into
 * dist-bench/, finds a real redis-server, and runs the bench. `npm run bench -- --help` lists the
 * arguments.
 *
 * The bench measures the servers that it finds: without a redis-server only headwater, without a
 * built headwater only redis-server.
 */
import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from './build.js';
import { compileBench, runCompiled } from './compile-bench.js';
import { findRedis } from './find-redis.js';
import { ensureInstalled } from './install.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const args = process.argv.slice(2);

ensureInstalled();
// The smoke run is part of the tests. They have built dist/ already, and may be reading it now.
if (!args.includes('--smoke') && !(await build())) {
  console.error('bench: dist/ has the type errors above; measuring it all the same.');
}
if (!compileBench()) process.exit(1);

const redis = findRedis();
if (redis === null)
  console.error('bench: no redis-server found (HEADWATER_REDIS_SERVER, PATH); no ratios.');
const hasHeadwater = existsSync(join(root, 'dist', 'cli.js'));
if (!hasHeadwater) console.error('bench: headwater is not built; measuring redis-server alone.');

const env = { HEADWATER_REDIS_SERVER: redis ?? '', HEADWATER_BENCH_SELF: hasHeadwater ? '1' : '' };
runCompiled('run', env, pinning());

/**
 * Returns the words before the command. With --pin the bench and its helpers do not use core 0,
 * which run.ts gives to the server.
 */
function pinning() {
  if (!args.includes('--pin')) return [];
  const cores = cpus().length;
  if (cores < 2) {
    console.error('bench: --pin needs two cores.');
    process.exit(2);
  }
  return ['taskset', '-c', `1-${cores - 1}`];
}
