/**
 * The byte kernels' WebAssembly module: what `src/kernels/kernels.ts` calls. AssemblyScript,
 * without its heap: all memory is laid out by hand (layout.ts) and by the caller behind FREE_START.
 */
export { crcHigh, crcLow, crcPrepare, crcReset, crcUpdate } from './crc64';
export { FREE_START, SCRATCH } from './layout';
export { lzfCompress, lzfDecompress } from './lzf';
export { rdbString } from './rdb-string';
