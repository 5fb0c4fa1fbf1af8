/**
 * What V8 is told, for the whole process and its threads. bin/headwater.js imports it before the
 * rest of the program: V8's heap grows while it reads that.
 *
 *   flag                              reason                                                  bench
 *   semi-space-growth-factor          a young generation that stays small                     types-memory
 *   max-inlined-bytecode-size         V8's own budget ends in the middle of a command         get-set
 *   …-size-cumulative                 the same; more while the rehearsal runs                 get-set, types
 *   gc-memory-reducer-start-delay-ms  no full collections because a server is quiet           types-memory
 *   no-flush-bytecode                 code that rests between two snapshots stays             stall
 *   no-parallel-compaction, …         a collection that waits for no other thread             memory-time
 *
 * All are V8's own and may go with any version of Node.js: one that V8 does not know is told on
 * standard error and changes nothing. Main thread.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Worker } from 'node:worker_threads';

/**
 * How much V8 compiles into one function, in bytes of bytecode. More makes better code and takes
 * longer to compile, which a worker's first snapshot waits for: so it is less behind the rehearsal.
 */
const INLINED_IN_REHEARSAL = 4000;
const INLINED_LATER = 2000;

// What a command leaves for the garbage collector is little and dies at once. A young generation
// that stays small is swept in a fraction of a millisecond, and costs 5 to 12 MiB less.
setFlagsFromString('--semi-space-growth-factor=1');
// The heap of each new thread sets the flag to 2 for the whole process.
process.on('worker', (worker: Worker) => {
  worker.once('online', () => setFlagsFromString('--semi-space-growth-factor=1'));
});
// A command runs through a dozen small functions; V8's own budget for inlining ends among them.
setFlagsFromString('--max-inlined-bytecode-size=600');
inlineAsLater();
// When a program has become quiet, V8 looks for memory to give back. It does so by up to three full
// collections that hold the loop for 2 to 10 ms each. They are put off for weeks.
setFlagsFromString('--gc-memory-reducer-start-delay-ms=2000000000');
// V8 shares parts of a collection out among threads and waits for each of them. With 20 MiB of heap
// the waiting costs more than the work: on two busy cores the longest of 25 collections held the
// loop for 18 to 64 ms, and without these for 9. Parallel marking can be turned off on the command
// line of node only.
for (const name of ['compaction', 'pointer-update']) {
  setFlagsFromString(`--no-parallel-${name}`);
}
// V8 forgets the compiled code of functions that rest for a while. The code of a freeze rests
// between two snapshots, and to compile it again would hold the loop for milliseconds.
setFlagsFromString('--no-flush-bytecode');

/** The budget for inlining while the rehearsal runs. */
export function inlineAsRehearsed(): void {
  setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${INLINED_IN_REHEARSAL}`);
}

/** The budget for inlining before and behind it. */
export function inlineAsLater(): void {
  setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${INLINED_LATER}`);
}

/** Collects all garbage now; holds the loop for about ten milliseconds. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
