#!/usr/bin/env node
// Checks the Node.js version before anything is imported, then hands the arguments to dist/cli.js.
if (Number(process.versions.node.split('.')[0]) < 20) {
  console.error(`headwater needs Node.js 20 or later; this is ${process.version}.`);
  process.exit(1);
}
const { existsSync } = await import('node:fs');
const { setFlagsFromString } = await import('node:v8');
const cli = new URL('../dist/cli.js', import.meta.url);
if (!existsSync(cli)) {
  console.error('headwater is not built yet: run `npm run build` first.');
  process.exit(1);
}
// What a command leaves for the garbage collector is little and dies at once: a young generation that stays small is
// swept in a fraction of a millisecond, and costs 5 to 12 MiB less. bench: types-memory
setFlagsFromString('--semi-space-growth-factor=1');
// A command runs through a dozen small functions; V8's own budget for inlining ends among them. bench: get-set
setFlagsFromString('--max-inlined-bytecode-size=600');
setFlagsFromString('--max-inlined-bytecode-size-cumulative=2000');
// When a program has become quiet V8 looks for memory to give back, by up to three full collections that hold the loop for
// 2 to 10 ms each. They are put off for weeks. bench: types-memory
setFlagsFromString('--gc-memory-reducer-start-delay-ms=2000000000');
// V8 shares parts of a collection out among threads and waits for each of them. With 20 MiB of heap the waiting costs more than
// the work: on two busy cores the longest of 25 collections held the loop for 18 to 64 ms, and without these for 9.
// To turn off parallel marking, too, is possible on node's command line only.
for (const name of ['compaction', 'pointer-update']) setFlagsFromString(`--no-parallel-${name}`);
const { main } = await import(cli.href);
await main(process.argv.slice(2));
