#!/usr/bin/env node
// Hears signals from its first line on, checks the Node.js version, and hands both to
// dist/bundle/cli.js.
const signals = {
  /** Until there is a node, nothing is there to be saved. @param {string} name */
  deliver: (name) => {
    console.error(`# Received ${name} before the start, exiting now.`);
    process.exit(0);
  },
};
// A listener also makes the kernel deliver these to process 1.
for (const name of ['SIGTERM', 'SIGINT']) process.on(name, () => signals.deliver(name));
// SIGHUP would end the process, as a terminal's end sends it. SIGUSR1 would open a debugger's port.
// Node.js ignores SIGPIPE by itself.
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
  // Before V8's heap grows with the program itself.
  await import('../dist/rehearsal/v8-flags.js');
  const { main } = await import(cli.href);
  await main(process.argv.slice(2), signals);
} catch (error) {
  // With so few that the program cannot be read, it cannot say so itself.
  if (Object(error).code !== 'EMFILE') throw error;
  console.error("# Your current 'ulimit -n' is not enough for the server to start. Exiting.");
  process.exit(1);
}
