// @ts-check
/**
 * `npm run timeline [-- arguments]`: the timeline of a full sync through a chain, as a picture.
 * Installs and builds when needed. native-free-bench/timeline.ts lists the arguments.
 */
import { build } from './build.js';
import { compileBench, runCompiled } from './compile-bench.js';
import { findRedis } from './find-redis.js';
import { ensureInstalled } from './install.js';

ensureInstalled();
if (!(await build()) || !compileBench()) {
  console.error('timeline: the sources have the type errors above.');
  process.exit(1);
}
runCompiled('timeline', { HEADWATER_REDIS_SERVER: findRedis() ?? '' });
