/** A worker that compresses, on a processor without vectors. */
WebAssembly.validate = () => false;

export { runTask } from '../../dist/bundle/compact-task.js';
