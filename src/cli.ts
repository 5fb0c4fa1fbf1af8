/**
 * The command line: argv, environment and configuration file to a running node. See
 * cli-arguments.ts for the grammar.
 */
import { readFileSync } from 'node:fs';
import { codeOf, ErrorCode, messageOf } from './base/errors.ts';
import { parseArguments } from './cli-arguments.ts';
import { Node } from './node.ts';
import { rehearse } from './rehearsal/rehearsal.ts';
import { HostProcess } from './server/admin/process/host-process.ts';
import { helpAllText, helpText } from './server/config/help.ts';
import { loadConfig } from './server/config/load.ts';
import { versionLine } from './server/config/product.ts';

const STDIN = 0;

/** Signals of the process, which is heard since its first line; what they do is for who knows. */
export interface Signals {
  deliver: (name: 'SIGTERM' | 'SIGINT') => void;
}

/**
 * Runs the program; `argv` is without the interpreter and the script. Sets the exit code and ends
 * the process on errors.
 */
export async function main(argv: readonly string[], signals: Signals): Promise<void> {
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
    node.onExit = (code) => void host.exit(code);
    const crashed = crashOf(node);
    process.on('uncaughtException', crashed);
    process.on('unhandledRejection', crashed);
    signals.deliver = (name) => node.signal(name);
    node.restarter = {
      get obstacle() {
        return host.restartObstacle;
      },
      leaving: () => {
        signals.deliver = () => process.exit(0);
      },
      restart: (delayMs) => {
        // Nothing may hold the node from here on: its memory is freed.
        process.removeListener('uncaughtException', crashed);
        process.removeListener('unhandledRejection', crashed);
        signals.deliver = host.restart(delayMs);
      },
    };
    await node.start();
    if (config.values.rehearsal) rehearse(node);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    console.error(codeOf(error) === ErrorCode.CONFIG ? messageOf(error) : `# ${messageOf(error)}`);
    process.exit(1);
  }
}

/** What ends the process after a fault of the program: other threads read the same memory. */
function crashOf(node: Node): (error: unknown) => void {
  let isSecond = false;
  return (error) => {
    // A fault while the first one is told must not hide it.
    if (isSecond) process.exit(1);
    isSecond = true;
    node.crashed(error);
    process.exit(1);
  };
}
