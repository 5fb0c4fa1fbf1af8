/**
 * Runs once before the tests. Worker threads load from dist/, so tests on a stale dist/ would tell
 * about sources that are gone: dist/ is brought up to date, which takes no time when it is, and
 * without a real server to compare with nothing runs.
 */
import { build, builtStamp } from '../../bin/build.js';
import { findRedis } from '../../bin/find-redis.js';

export default async function setup(): Promise<void> {
  const clean = await build();
  if (!clean) console.error('dist/ has type errors; npm test reports them');
  if (builtStamp() === '') throw new Error('dist/ is not built: npm run build');
  const server = findRedis();
  if (server === null) {
    throw new Error(
      'no redis-server: set HEADWATER_REDIS_SERVER, or install redis-server or redis-tools',
    );
  }
  process.env['HEADWATER_REDIS_SERVER'] = server;
}
