// @ts-check
/**
 * `npm start -- --port 7000`: installs and builds when needed, starts a primary, and prints how to
 * attach a replica. The primary runs in this process, so it gets the signals and sets the exit
 * code. Takes the arguments of bin/headwater.js.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ensureInstalled } from './install.js';

if (Number(process.versions.node.split('.')[0]) < 20) {
  console.error(`headwater needs Node.js 20 or later; this is ${process.version}.`);
  process.exit(1);
}
ensureInstalled();
const { isBuilt } = await import('./build.js');
if (!isBuilt() && !buildApart()) {
  console.error('npm start: the sources have the type errors above.');
  process.exit(1);
}

const args = process.argv.slice(2);
await import('./headwater.js');

// main() has returned, so the server listens, or it has set an exit code, or it only printed its
// version.
const onlyPrints = args.some((arg) => ['--help', '-h', '--version', '-v'].includes(arg));
if (process.exitCode === undefined && !onlyPrints) {
  const option = args.lastIndexOf('--port');
  const usesFile = args[0] !== undefined && !args[0].startsWith('-');
  const port = option >= 0 ? args[option + 1] : usesFile ? '<its port>' : '6379';
  const replicaPort = port === '6380' ? '6381' : '6380';
  console.log(
    `attach a replica:  redis-server --port ${replicaPort} --replicaof 127.0.0.1 ${port}`,
  );
}

/**
 * Builds in a process of its own, and returns whether the sources are free of type errors. What a
 * build leaves in V8's heap and in malloc would stay with the primary otherwise: 300 MiB.
 */
function buildApart() {
  const script = fileURLToPath(new URL('build.js', import.meta.url));
  const run = spawnSync(process.execPath, [script], { stdio: ['ignore', 'inherit', 'inherit'] });
  return run.status === 0;
}
