// @ts-check
/**
 * Brings node_modules/ to what package-lock.json says, on a machine that has only Node.js and npm.
 *
 * Versions are compared, not file times: a checkout changes the times and nothing else, and `npm
 * ci` begins by removing what other processes may be running from. Install scripts stay off: no
 * package needs one, since nothing native is built.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Installs when needed; ends the process with npm's code when that fails. */
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
 * Whether every package of the lock file is there in its version. Optional ones may be for other
 * platforms.
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
