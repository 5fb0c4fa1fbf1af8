/** A worker that compresses, to which the system refuses memory for WebAssembly. */
WebAssembly.Instance = class {
  constructor() {
    throw new RangeError('WebAssembly.Instance(): Out of memory: Cannot allocate Wasm memory');
  }
};

export { runTask } from '../../dist/bundle/compact-task.js';
