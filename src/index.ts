/** The public API. */
export { Node } from './node.ts';
export { type Rehearsal, rehearse } from './rehearsal/rehearsal.ts';
export { Config } from './server/config/config.ts';
export { loadConfig, type Sources } from './server/config/load.ts';
