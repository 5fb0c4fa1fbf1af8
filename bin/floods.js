// @ts-check
/**
 * `npm run floods [-- arguments]`: hundreds of thousands of requests at once, and whether a stock
 * replica holds the same as its primary afterwards. Installs and builds when needed;
 * native-free-bench/floods.ts tells the arguments.
 */
import { build } from './build.js';
import { compileBench, runCompiled } from './compile-bench.js';
import { findRedis } from './find-redis.js';
import { ensureInstalled } from './install.js';

ensureInstalled();
if (!(await build()) || !compileBench()) {
  console.error('floods: the sources have the type errors above.');
  process.exit(1);
}
runCompiled('floods', { HEADWATER_REDIS_SERVER: findRedis() ?? '' });
