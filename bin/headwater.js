#!/bin/sh
// 2>/dev/null || exec node --v8-pool-size=1 "$0" "$@"
// The shell runs the line above, and Node.js skips it: V8 gets one helper thread instead of four.
// It has little to do here, and each thread keeps two to three megabytes of its compiler's memory.
// `node bin/headwater.js` works, too.
//
// Catches signals from its first line on, checks the Node.js version, and starts
// dist/bundle/cli.js, which takes over the signals.
const signals = {
  /** Without a node there is nothing to save. @param {string} name */
  deliver: (name) => {
    console.error(`# Received ${name} before the start, exiting now.`);
    process.exit(0);
  },
};
// With a listener the kernel delivers these signals to process 1, too.
for (const name of ['SIGTERM', 'SIGINT']) process.on(name, () => signals.deliver(name));
// SIGHUP comes when a terminal closes and would end the process. SIGUSR1 would open a debugger's
// port. Node.js ignores SIGPIPE by itself.
for (const name of ['SIGHUP', 'SIGUSR1']) process.on(name, () => {});
// A process that started this one in its place passes its signals on from here.
if (process.env['HEADWATER_PARENT'] === String(process.ppid)) process.send?.('up');

if (Number(process.versions.node.split('.')[0]) < 20) {
  console.error(`headwater needs Node.js 20 or later; this is ${process.version}.`);
  process.exit(1);
}
const { existsSync } = await import('node:fs');
const cli = new URL('../dist/bundle/cli.js', import.meta.url);
if (!existsSync(cli)) {
  console.error('headwater is not built yet: run `npm run build` first.');
  process.exit(1);
}
try {
  // V8's heap grows while the program is loaded, so its flags come first.
  await import('../dist/rehearsal/v8-flags.js');
  const { main } = await import(cli.href);
  await main(process.argv.slice(2), signals);
} catch (error) {
  // With so few descriptors the program cannot be loaded, so it cannot report this itself.
  if (Object(error).code !== 'EMFILE') throw error;
  console.error("# Your current 'ulimit -n' is not enough for the server to start. Exiting.");
  process.exit(1);
}
