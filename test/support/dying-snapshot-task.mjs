/**
 * A snapshot worker whose thread ends in the middle of its task, like one that runs out of memory.
 */
export function runTask() {
  process.exit(1);
}
