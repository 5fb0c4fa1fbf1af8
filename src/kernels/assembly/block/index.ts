/**
 * The WebAssembly module of the block codec, which `src/kernels/block-codec.ts` calls. It is a module
 * of its own, since it needs vectors, which old processors lack.
 */
export { compress } from './compress';
export { expand } from './expand';
export { PACKED, PLAIN } from './layout';
