/**
 * The flags of V8, for the whole process and its threads. bin/headwater.js imports this file before
 * the rest of the program, since V8's heap grows while the program is loaded.
 *
 *   flag                              reason                                       bench
 *   semi-space-growth-factor          the young generation stays small             types-memory
 *   max-inlined-bytecode-size         V8's own limit is too low for one command    get-set
 *   …-size-cumulative                 the same; more during the rehearsal          get-set, types
 *   gc-memory-reducer-start-delay-ms  no full collections when a server is quiet   types-memory
 *   no-flush-bytecode                 code that is idle between snapshots is kept  stall
 *   no-parallel-compaction, …         a collection waits for no other thread       memory-time
 *
 * These are internal flags of V8, which any version of Node.js may remove. V8 reports an unknown
 * flag on standard error and ignores it. Main thread.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Worker } from 'node:worker_threads';

/**
 * The amount of code that V8 inlines into one function, in bytes of bytecode. More makes better
 * code, but takes longer to compile, and a worker's first snapshot waits for this. So it is reduced
 * after the rehearsal.
 */
const INLINED_IN_REHEARSAL = 4000;
const INLINED_LATER = 2000;

// The garbage of a command is small and dies at once. A small young generation is collected in a
// fraction of a millisecond, and saves 5 to 12 MiB.
setFlagsFromString('--semi-space-growth-factor=1');
// V8 sets the flag to 2 for the whole process when it makes the heap of a new thread.
process.on('worker', (worker: Worker) => {
  worker.once('online', () => setFlagsFromString('--semi-space-growth-factor=1'));
});
// A command runs through a dozen small functions. V8's own budget for inlining ends among them.
setFlagsFromString('--max-inlined-bytecode-size=600');
inlineAsLater();
// When a program becomes quiet, V8 tries to free memory. For this it runs up to three full
// collections, each of which holds the event loop for 2 to 10 ms. This flag delays them for weeks.
setFlagsFromString('--gc-memory-reducer-start-delay-ms=2000000000');
// V8 divides parts of a collection among threads and waits for each of them. With a heap of 20 MiB
// the waiting costs more than the work: on two busy cores the longest of 25 collections held the
// event loop for 18 to 64 ms, and with these flags for 9 ms. Parallel marking can only be turned
// off on the command line of node.
for (const name of ['compaction', 'pointer-update']) {
  setFlagsFromString(`--no-parallel-${name}`);
}
// V8 discards the compiled code of functions that are not called for a while. The code of a freeze
// is not called between two snapshots, and compiling it again would hold the event loop for
// milliseconds.
setFlagsFromString('--no-flush-bytecode');

/** Sets the budget for inlining during the rehearsal. */
export function inlineAsRehearsed(): void {
  setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${INLINED_IN_REHEARSAL}`);
}

/** Sets the budget for inlining before and after the rehearsal. */
export function inlineAsLater(): void {
  setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${INLINED_LATER}`);
}

/** Collects all garbage now. Holds the event loop for about ten milliseconds. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
