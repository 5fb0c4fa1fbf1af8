/** A worker that compresses while the process can open no more files. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

export { runTask } from '../../dist/bundle/compact-task.js';

// Its imports are loaded by now.
fs.readFileSync = () => {
  throw Object.assign(new Error('EMFILE: too many open files, open'), { code: 'EMFILE' });
};
syncBuiltinESMExports();
