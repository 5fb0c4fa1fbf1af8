// @ts-check
/**
 * Finds a real redis-server for the tests and the benchmarks. It tries HEADWATER_REDIS_SERVER, then
 * redis-server or valkey-server on PATH, then redis-check-rdb under the name of a server. These
 * tools are one executable, which acts by the name of the call, and some distributions have only
 * the tools.
 *
 * Uses built-in modules only, since it may run before anything is installed.
 */
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  mkdirSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cache = fileURLToPath(new URL('../node_modules/.cache/headwater', import.meta.url));

/**
 * Returns the path of a server that starts, or null. When HEADWATER_REDIS_SERVER is set, no other
 * path is tried.
 * @returns {string | null}
 */
export function findRedis() {
  const given = process.env['HEADWATER_REDIS_SERVER'];
  if (given !== undefined && given !== '') return isServer(given) ? given : null;
  for (const name of ['redis-server', 'valkey-server']) {
    const path = onPath(name);
    if (path !== null && isServer(path)) return path;
  }
  for (const [tool, server] of [
    ['redis-check-rdb', 'redis-server'],
    ['valkey-check-rdb', 'valkey-server'],
  ]) {
    const path = onPath(tool);
    if (path === null) continue;
    const linked = linkAs(realpathSync(path), server);
    if (isServer(linked)) return linked;
  }
  return null;
}

/** @param {string} path */
function isServer(path) {
  const run = spawnSync(path, ['--version'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return run.status === 0 && /^(?:Redis|Valkey) server v=/.test(run.stdout);
}

/** @param {string} name @returns {string | null} */
export function onPath(name) {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // It is not here, or not executable. The next directory of PATH may have it.
    }
  }
  return null;
}

/**
 * Makes a link with this name. It is renamed into place, since several test processes may do this
 * at the same time.
 * @param {string} target
 * @param {string} name
 */
function linkAs(target, name) {
  mkdirSync(cache, { recursive: true });
  const link = join(cache, name);
  const temporary = `${link}.${process.pid}`;
  rmSync(temporary, { force: true });
  symlinkSync(target, temporary);
  renameSync(temporary, link);
  return link;
}
