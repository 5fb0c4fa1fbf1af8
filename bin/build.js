// @ts-check
/**
 * `npm run build [-- --force]`: compiles src/ into dist/ and bundles it into dist/bundle/. Returns
 * at once when dist/ is current.
 *
 * dist/.build-stamp has the hash of the sources from which dist/ was made: `<hash>`, or `<hash>
 * with type errors`. Worker threads load from dist/, so the tests compare that hash before they
 * start.
 *
 * Several processes may build at the same time, while others run from dist/. So builds take a lock
 * file one after another, the compiler writes into its own directory, and each changed file is
 * renamed into place. No process ever sees half a file or half a dist/.
 *
 * Uses built-in modules only, since it may run before anything is installed.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const stampFile = join(dist, '.build-stamp');
const kernelStampFile = join(dist, '.kernels-stamp');
const lockFile = join(root, '.build-lock');
const stagingPrefix = '.build-staging-';
const TYPE_ERRORS = ' with type errors';
/** The files that the compiler writes. A build never removes other files in dist/ (kernels). */
const COMPILED = /\.(?:js|js\.map|d\.ts)$/;

/**
 * Returns all files below `directory`, sorted, as absolute paths.
 * @param {string} directory
 * @returns {string[]}
 */
function filesBelow(directory) {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** Returns the hash of everything that determines the content of dist/. */
export function sourceStamp() {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const steps = ['tsconfig.json', 'bin/build.js', 'bin/build-kernels.js'].map((file) =>
    join(root, file),
  );
  const sources = filesBelow(join(root, 'src')).filter((file) => !file.endsWith('.md'));
  return hashOf([...steps, ...sources], version);
}

/** @param {string[]} files @param {string} [salt] */
function hashOf(files, salt = '') {
  const hash = createHash('sha256').update(`${salt}\n`);
  for (const file of files) {
    const bytes = readIfThere(file);
    if (bytes !== null) hash.update(`${relative(root, file)} ${bytes.length}\n`).update(bytes);
  }
  return hash.digest('hex');
}

/** Returns the hash from which dist/ was built, or '' when it was never built. */
export function builtStamp() {
  const bytes = readIfThere(stampFile);
  return bytes === null ? '' : (bytes.toString('latin1').split(' ')[0] ?? '').trim();
}

/**
 * Brings dist/ up to date. Returns whether the sources are free of type errors. With type errors
 * dist/ is still written, since all other modules are correct, and each build reports the errors.
 * @param {{ force?: boolean }} [options]
 */
export async function build({ force = false } = {}) {
  if (!force && isBuilt()) return true;
  await takeLock();
  try {
    if (!force && isBuilt()) return true;
    if (force) rmSync(kernelStampFile, { force: true });
    removeAbandonedStaging();
    await buildKernels();
    // The stamp is computed before the compiler reads. A source that changes during the build then
    // makes the stamp stale, and not wrongly current.
    const stamp = sourceStamp();
    const clean = await compile();
    writeAtomically(stampFile, Buffer.from(clean ? stamp : stamp + TYPE_ERRORS));
    return clean;
  } finally {
    rmSync(lockFile, { force: true });
  }
}

/** Returns whether dist/ is made from the sources as they are, without type errors. */
export function isBuilt() {
  return isClean(sourceStamp());
}

/** @param {string} stamp */
function isClean(stamp) {
  return readIfThere(stampFile)?.toString('latin1') === stamp;
}

/** Builds the kernels if their sources changed. This takes seconds. */
async function buildKernels() {
  const script = join(root, 'bin', 'build-kernels.js');
  if (!existsSync(script)) return;
  const stamp = hashOf([script, ...filesBelow(join(root, 'src', 'kernels', 'assembly'))]);
  if (
    existsSync(join(dist, 'kernels')) &&
    readIfThere(kernelStampFile)?.toString('latin1') === stamp
  )
    return;
  const kernels = await import(pathToFileURL(script).href);
  await kernels.buildKernels();
  writeAtomically(kernelStampFile, Buffer.from(stamp));
}

/**
 * Compiles into a directory beside dist/, at the same depth, so that source maps stay right. Then
 * moves the changed files to dist/.
 */
async function compile() {
  const staging = join(root, stagingPrefix + process.pid);
  try {
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const run = spawnSync(
      process.execPath,
      [tsc, '-p', join(root, 'tsconfig.json'), '--outDir', staging],
      {
        cwd: root,
        stdio: ['ignore', 'inherit', 'inherit'],
      },
    );
    if (run.error) throw run.error;
    if (filesBelow(staging).length === 0) throw new Error('the compiler wrote nothing');
    await bundle(staging);
    const made = filesBelow(staging);
    for (const file of made) moveIfDifferent(file, join(dist, relative(staging, file)));
    const wanted = new Set(made.map((file) => relative(staging, file)));
    for (const file of filesBelow(dist)) {
      if (COMPILED.test(file) && !wanted.has(relative(dist, file))) rmSync(file, { force: true });
    }
    return run.status === 0;
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

/** What is started from one file: the program, and the entries of worker threads. */
const PROGRAMS = [
  'cli.js',
  'workers/snapshot-task.js',
  'workers/load-task.js',
  'workers/compact-task.js',
];

/**
 * Writes bundle/: one file for each program, with all our modules that it imports. Finding and
 * reading 140 modules takes as long as the rest of the start. bench: start
 *
 * The bundles have no comments. V8 keeps the source in memory, with two bytes per character if one
 * character is outside of Latin-1, as in the drawings of comments. The source is also the largest
 * buffer that is freed at the start, and malloc keeps free memory per thread in proportion to that.
 * Without comments an idle node is 10 MiB smaller.
 * @param {string} directory
 */
async function bundle(directory) {
  const rolldown = await findRolldown();
  for (const program of PROGRAMS) {
    const file = join(directory, 'bundle', basename(program));
    if (rolldown === null) {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, `export * from '../${program}';\n`);
      continue;
    }
    const input = join(directory, program);
    const external = /^(?:msgpackr|pino|piscina)/;
    const build = await rolldown({ input, platform: 'node', external });
    await build.write({ file, format: 'esm', codeSplitting: false, comments: false });
    await build.close();
  }
}

/**
 * Returns the bundler, or null when it has no executable for this machine. The start is slower
 * then.
 */
async function findRolldown() {
  try {
    return (await import('rolldown')).rolldown;
  } catch (error) {
    console.error(
      `build: no bundle, so that starts take longer: ${/** @type {Error} */ (error).message}`,
    );
    return null;
  }
}

/** @param {string} from @param {string} to */
function moveIfDifferent(from, to) {
  const old = readIfThere(to);
  if (old?.equals(readFileSync(from))) return;
  mkdirSync(dirname(to), { recursive: true });
  renameSync(from, to);
}

/** @param {string} file @param {Buffer} bytes */
function writeAtomically(file, bytes) {
  mkdirSync(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, bytes);
  renameSync(temporary, file);
}

/**
 * Waits until no other process builds. A lock is taken over when its process does not exist, or
 * when it never got a process id.
 */
async function takeLock() {
  for (;;) {
    try {
      writeFileSync(lockFile, String(process.pid), { flag: 'wx' });
      return;
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
    }
    const holder = Number(readIfThere(lockFile)?.toString('latin1') || 0);
    const abandoned = holder === 0 ? ageMs(lockFile) > 1000 : !isAlive(holder);
    if (abandoned) rmSync(lockFile, { force: true });
    else await delay(25);
  }
}

function removeAbandonedStaging() {
  for (const name of readdirSync(root)) {
    if (!name.startsWith(stagingPrefix)) continue;
    if (!isAlive(Number(name.slice(stagingPrefix.length)))) {
      rmSync(join(root, name), { recursive: true, force: true });
    }
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}

/** @param {string} file */
function ageMs(file) {
  const stat = statSync(file, { throwIfNoEntry: false });
  return stat === undefined ? 0 : Date.now() - stat.mtimeMs;
}

/**
 * Returns the text of a file, or null when it does not exist. Other processes may add and remove
 * sources.
 * @param {string} file
 */
function readIfThere(file) {
  try {
    return readFileSync(file);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return null;
    throw error;
  }
}

if (
  process.argv[1] !== undefined &&
  realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)
) {
  const clean = await build({ force: process.argv.includes('--force') });
  if (!clean) {
    console.error('build: dist/ is written, with the type errors above.');
    process.exitCode = 1;
  }
}
