// @ts-check
/**
 * `npm run floods [-- arguments]`: sends hundreds of thousands of requests at once, and checks that
 * a stock replica then holds the same as its primary. Installs and builds when needed.
 * native-free-bench/floods.ts lists the arguments.
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
