/**
 * The byte kernels' WebAssembly module, which `src/kernels/kernels.ts` calls. It is AssemblyScript
 * without a heap: the kernels' part of the memory is laid out in layout.ts, and the caller lays out
 * the part from FREE_START on.
 */
export { crcHigh, crcLow, crcPrepare, crcReset, crcUpdate } from './crc64';
export { FREE_START, SCRATCH } from './layout';
export { lzfCompress, lzfDecompress } from './lzf';
export { rdbString } from './rdb-string';
