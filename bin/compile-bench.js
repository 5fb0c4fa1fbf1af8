// @ts-check
/**
 * Compiles native-free-bench/ into dist-bench/ and runs the result. For bin/bench.js and
 * bin/floods.js.
 */
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Compiles the bench. Returns whether it is free of type errors. */
export function compileBench() {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const run = spawnSync(process.execPath, [tsc, '-p', join(root, 'native-free-bench')], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (run.error) console.error(`bench: the compiler did not start: ${run.error.message}`);
  // Sources find the kernels' files by the same relative path as in dist/ and src/.
  for (const name of ['kernels.wasm', 'block-codec.wasm']) {
    const kernels = join(root, 'dist', 'kernels', name);
    if (!existsSync(kernels)) continue;
    mkdirSync(join(root, 'dist-bench', 'dist', 'kernels'), { recursive: true });
    copyFileSync(kernels, join(root, 'dist-bench', 'dist', 'kernels', name));
  }
  return run.status === 0;
}

/**
 * Runs a compiled script of the bench with the arguments of this process. The exit code of the
 * script becomes that of this process.
 * @param {string} script its name in native-free-bench/, without the extension
 * @param {NodeJS.ProcessEnv} env environment variables to add to those of this process
 * @param {string[]} [before] words before the command: taskset and its arguments
 */
export function runCompiled(script, env, before = []) {
  const entry = join(root, 'dist-bench', 'native-free-bench', `${script}.js`);
  const [program = process.execPath, ...first] = [...before, process.execPath, entry];
  const child = spawn(program, [...first, ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  // The terminal sends ^C to the whole process group. The script stops its servers, and this
  // process waits for the script.
  process.on('SIGINT', () => {});
  child.on('error', (error) => {
    console.error(`${script}: ${error.message}`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal === null ? 1 : 128 + constants.signals[signal]);
  });
}
