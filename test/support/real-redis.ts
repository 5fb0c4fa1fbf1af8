/** Real redis-server processes, for comparison and as primaries or replicas. */
import { findRedis } from '../../bin/find-redis.js';
import { launch, type TestServer } from './server-process.ts';

export interface RedisOptions {
  /** Further arguments: `['--appendonly', 'yes']`. */
  readonly args?: readonly string[];
  /** A directory that exists, to start on the dump in it; a fresh one otherwise. */
  readonly dir?: string;
  readonly port?: number;
  /** Shorthand for `--replicaof 127.0.0.1 <port>`. */
  readonly replicaOf?: number;
}

export type RealRedis = TestServer;

/** Path of the real server. Tests run only when there is one: see global-setup.ts. */
export function findRedisServer(): string {
  const path = findRedis();
  if (path === null) throw new Error('no redis-server: see npm test');
  return path;
}

/**
 * Starts a redis-server on 127.0.0.1 that saves nothing by itself, with replication that begins at
 * once.
 */
export function startRedis(options: RedisOptions = {}): Promise<RealRedis> {
  const replica =
    options.replicaOf === undefined ? [] : ['--replicaof', '127.0.0.1', `${options.replicaOf}`];
  return launch({
    name: 'redis-server',
    command: findRedisServer(),
    args: (port, dir) => [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', ''],
      ...['--repl-diskless-sync-delay', '0', '--enable-debug-command', 'yes'],
      ...replica,
      ...(options.args ?? []),
    ],
    ...(options.dir === undefined ? {} : { dir: options.dir }),
    ...(options.port === undefined ? {} : { port: options.port }),
  });
}
