/**
 * Compiles the byte kernels, src/kernels/assembly, to dist/kernels/kernels.wasm. It is a step of
 * bin/build.js, and can be run alone: `node bin/build-kernels.js`.
 */
import { mkdirSync, renameSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { main } from 'assemblyscript/asc';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Compiles the kernels. Rejects with the compiler's messages when the sources do not compile. The
 * file is renamed into place, so readers never see half of it.
 */
export async function buildKernels() {
  const outFile = 'dist/kernels/kernels.wasm';
  const staged = `${outFile}.${process.pid}`;
  mkdirSync(`${root}dist/kernels`, { recursive: true });
  const { error, stderr } = await main([
    'src/kernels/assembly/index.ts',
    '--baseDir',
    root,
    '--outFile',
    staged,
    '-O3',
    '--converge',
    '--noAssert',
    '--runtime',
    'stub',
    '--initialMemory',
    '2',
    '--use',
    'abort=',
  ]);
  if (error)
    throw new Error(`the byte kernels do not compile\n${stderr.toString()}`, { cause: error });
  renameSync(root + staged, root + outFile);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildKernels();
