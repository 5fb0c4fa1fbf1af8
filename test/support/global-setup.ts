/**
 * Runs once before the tests. Brings dist/ up to date, since worker threads load from it and tests
 * on a stale dist/ would test old sources. This takes no time when dist/ is current. Stops the run
 * when there is no real server to compare with.
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
