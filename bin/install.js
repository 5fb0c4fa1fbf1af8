// @ts-check
/**
 * Installs the packages of package-lock.json into node_modules/, on a machine that has only Node.js
 * and npm.
 *
 * It compares versions instead of file times, because a checkout changes the times of unchanged
 * files. It runs `npm ci` only when needed, because that begins by removing files that other
 * processes may be using. Install scripts stay off: no package needs one, since nothing native is
 * built.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Installs when needed. When that fails, ends the process with npm's exit code. */
export function ensureInstalled() {
  if (isInstalled()) return;
  console.log('installing the packages of package-lock.json …');
  const args = ['ci', '--ignore-scripts', '--include=dev', '--no-audit', '--no-fund'];
  const npmScript = process.env['npm_execpath'];
  const run =
    npmScript === undefined
      ? spawnSync('npm', args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
      : spawnSync(process.execPath, [npmScript, ...args], {
          cwd: root,
          stdio: ['ignore', 'inherit', 'inherit'],
        });
  if (run.status === 0) return;
  console.error(`npm ci failed${run.error === undefined ? '' : `: ${run.error.message}`}.`);
  process.exit(run.status || 1);
}

/**
 * Returns whether every package of the lock file is installed in its version. Optional packages may
 * be missing, since they may be for other platforms.
 */
function isInstalled() {
  const wanted = readPackages(join(root, 'package-lock.json'));
  const installed = readPackages(join(root, 'node_modules', '.package-lock.json'));
  if (wanted === null) throw new Error('package-lock.json is missing');
  if (installed === null) return false;
  for (const [path, { version, optional, devOptional }] of Object.entries(wanted)) {
    if (path === '') continue;
    const found = installed[path];
    const mayLack = optional === true || devOptional === true;
    if (found === undefined ? !mayLack : found.version !== version) return false;
  }
  return true;
}

/**
 * @typedef {{ version?: string, optional?: boolean, devOptional?: boolean }} LockedPackage
 * @param {string} file
 * @returns {Record<string, LockedPackage> | null}
 */
function readPackages(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return null;
    throw error;
  }
}
