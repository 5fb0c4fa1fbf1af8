/**
 * Compiles the kernels, src/kernels/assembly, to dist/kernels/: the byte kernels and the codec of
 * blocks. It is a step of bin/build.js, and can be run alone: `node bin/build-kernels.js`.
 */
import { mkdirSync, renameSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { main } from 'assemblyscript/asc';

const root = fileURLToPath(new URL('..', import.meta.url));
const PAGE_BYTES = 65536;

/** The modules, and the bytes of memory that each begins with. */
const MODULES = [
  { source: 'index.ts', file: 'kernels.wasm', bytes: 0x20000, features: [] },
  { source: 'block/index.ts', file: 'block-codec.wasm', bytes: 0x840000, features: ['simd'] },
];

/**
 * Compiles the kernels. Rejects with the compiler's messages when the sources do not compile. The
 * files are renamed into place, so readers never see half of one.
 */
export async function buildKernels() {
  mkdirSync(`${root}dist/kernels`, { recursive: true });
  for (const { source, file, bytes, features } of MODULES) {
    const outFile = `dist/kernels/${file}`;
    const staged = `${outFile}.${process.pid}`;
    const { error, stderr } = await main([
      `src/kernels/assembly/${source}`,
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
      String(bytes / PAGE_BYTES),
      '--use',
      'abort=',
      ...features.flatMap((feature) => ['--enable', feature]),
    ]);
    if (error) throw new Error(`${file} does not compile\n${stderr.toString()}`, { cause: error });
    renameSync(root + staged, root + outFile);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildKernels();
