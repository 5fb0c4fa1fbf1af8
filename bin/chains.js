// @ts-check
/**
 * `npm run chains [-- arguments]`: random commands at the head of a chain whose links misbehave; then
 * all nodes must hold the same. Installs and builds when needed.
 * native-free-bench/chains.ts lists the arguments.
 */
import { build } from './build.js';
import { compileBench, runCompiled } from './compile-bench.js';
import { findRedis } from './find-redis.js';
import { ensureInstalled } from './install.js';

ensureInstalled();
if (!(await build()) || !compileBench()) {
  console.error('chains: the sources have the type errors above.');
  process.exit(1);
}
runCompiled('chains', { HEADWATER_REDIS_SERVER: findRedis() ?? '' });
