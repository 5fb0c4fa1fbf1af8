// @ts-check
/**
 * `npm test [-- vitest arguments]`: installs and builds when needed, finds a real redis-server (or
 * installs one where that is allowed), checks types, format and lint, and runs the tests.
 *
 * The last line of the output is `N passed, N failed, N skipped`. A failed step other than the
 * tests counts as one failure. The exit code is 0 only when nothing failed.
 *
 * A real server is required, since every suite of replication compares with it. Without one the run
 * fails, and the message tells which package to install.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findRedis, onPath } from './find-redis.js';
import { ensureInstalled } from './install.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const resultsFile = join(tmpdir(), `headwater-test-results-${process.pid}.json`);
const vitestArgs = process.argv.slice(2);
const count = { passed: 0, failed: 0, skipped: 0 };

ensureInstalled();
step('build', await builds());
step('types', run('typescript/bin/tsc', ['-p', 'tsconfig.check.json']));
step('format and lint', run('@biomejs/biome/bin/biome', ['check', '.']));
const server = findRedis() ?? installRedis();
step('a real redis-server', server !== null);
if (server !== null) runTests(server);

console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
process.exitCode = count.failed === 0 ? 0 : 1;

/** @param {string} name @param {boolean} isFine */
function step(name, isFine) {
  if (isFine) return;
  count.failed++;
  console.log(`FAILED: ${name}`);
}

async function builds() {
  try {
    const { build } = await import('./build.js');
    return await build();
  } catch (error) {
    // The kernels do not compile, or the compiler does not start. The other steps run all the same.
    console.error(error);
    return false;
  }
}

/**
 * Runs a script of an installed package. Returns whether its exit code was 0.
 * @param {string} script
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 */
function run(script, args, env = {}) {
  const { status, signal, error } = spawnSync(
    process.execPath,
    [join(root, 'node_modules', script), ...args],
    { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'inherit', 'inherit'] },
  );
  if (error) console.error(error.message);
  if (signal) console.error(`${script} was ended by ${signal}`);
  return status === 0;
}

/** @param {string} redis */
function runTests(redis) {
  rmSync(resultsFile, { force: true });
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${resultsFile}`];
  const isFine = run('vitest/vitest.mjs', ['run', ...reporters, ...vitestArgs], {
    HEADWATER_REDIS_SERVER: redis,
  });
  const failedBefore = count.failed;
  try {
    const results = JSON.parse(readFileSync(resultsFile, 'utf8'));
    count.passed += results.numPassedTests;
    count.failed += results.numFailedTests;
    count.skipped += results.numPendingTests + results.numTodoTests;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error;
    console.error('vitest wrote no results');
  }
  rmSync(resultsFile, { force: true });
  // Failures outside of tests: a file that cannot be imported, or an unhandled rejection.
  if (!isFine && count.failed === failedBefore) step('vitest', false);
  if (count.passed === 0) step('no test passed', false);
}

/**
 * Installs redis-tools, which has the server's executable under another name. Returns its path, or
 * null when it cannot be installed.
 * @returns {string | null}
 */
function installRedis() {
  if (process.env['HEADWATER_REDIS_SERVER']) {
    console.error(
      `HEADWATER_REDIS_SERVER=${process.env['HEADWATER_REDIS_SERVER']} is no redis-server that starts.`,
    );
    return null;
  }
  if (process.getuid?.() === 0 && onPath('apt-get') !== null) {
    console.log('no redis-server found: installing redis-tools …');
    const options = {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: /** @type {['ignore', 'inherit', 'inherit']} */ (['ignore', 'inherit', 'inherit']),
    };
    spawnSync('apt-get', ['update', '-q'], options);
    spawnSync('apt-get', ['install', '-qy', '--no-install-recommends', 'redis-tools'], options);
    const found = findRedis();
    if (found !== null) return found;
  }
  console.error(
    'The tests compare headwater with a real redis-server, 7.0 or later, and found none. Install one of the packages ' +
      'redis-server, valkey-server or redis-tools, or set HEADWATER_REDIS_SERVER to its path.',
  );
  return null;
}
