/**
 * The command line: argv, environment and configuration file to a running node. See cli-arguments.ts for the grammar.
 */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { codeOf, ErrorCode, messageOf } from './base/errors.ts';
import { parseArguments } from './cli-arguments.ts';
import { Node } from './node.ts';
import { rehearse } from './rehearsal/rehearsal.ts';
import { HostProcess } from './server/admin/process/host-process.ts';
import { helpAllText, helpText } from './server/config/help.ts';
import { loadConfig } from './server/config/load.ts';
import { versionLine } from './server/config/product.ts';

const STDIN = 0;

// V8 forgets the compiled code of functions that rest for a while. The code of a freeze rests between two snapshots, and
// to compile it anew would hold the loop for milliseconds.
setFlagsFromString('--no-flush-bytecode');

/** Runs the program; `argv` is without the interpreter and the script. Sets the exit code and ends the process on errors. */
export async function main(argv: readonly string[]): Promise<void> {
  const parsed = parseArguments(argv);
  switch (parsed.mode) {
    case 'version':
      console.log(versionLine());
      return;
    case 'help':
      console.log(helpText());
      return;
    case 'help-all':
      console.log(helpAllText());
      return;
    default:
  }
  try {
    const config = loadConfig({
      file: parsed.file,
      environment: process.env,
      stdin: parsed.stdin ? readFileSync(STDIN, 'latin1') : null,
      options: parsed.options,
      directory: process.cwd(),
    });
    const node = new Node(config);
    const host = new HostProcess(node.server);
    if (config.values.rehearsal) await rehearse(node);
    node.onExit = (code) => void host.exit(code);
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => node.signal(name));
    await node.start();
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    console.error(codeOf(error) === ErrorCode.CONFIG ? messageOf(error) : `# ${messageOf(error)}`);
    process.exit(1);
  }
}
