/**
 * The command line: starts a node from argv, the environment and the configuration file.
 * cli-arguments.ts has the grammar.
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

/**
 * The signals of the process. bin/headwater.js catches them from its first line on; `main` sets
 * what they do.
 */
export interface Signals {
  deliver: (name: 'SIGTERM' | 'SIGINT') => void;
}

/**
 * Runs the program. `argv` is without the interpreter and the script. After an error sets the exit
 * code and ends the process.
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
  let node: Node | undefined;
  try {
    const config = loadConfig({
      file: parsed.file,
      environment: process.env,
      stdin: parsed.stdin ? readFileSync(STDIN, 'latin1') : null,
      options: parsed.options,
      directory: process.cwd(),
    });
    node = new Node(config);
    await run(node, signals);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    tellStartFailed(error, node);
    process.exit(1);
  }
}

/** Starts a node as this process. Rejects with an OperatingError when it cannot start. */
async function run(node: Node, signals: Signals): Promise<void> {
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
  if (node.server.config.values.rehearsal) rehearse(node);
}

/** Tells on standard error, and in the log file if there is one, why there is no start. */
function tellStartFailed(error: unknown, node: Node | undefined): void {
  const text = messageOf(error);
  console.error(codeOf(error) === ErrorCode.CONFIG ? text : text.replace(/^/gm, '# '));
  if (node === undefined || node.server.config.values.logfile === '') return;
  for (const line of text.trim().split('\n')) node.server.log.warning(line);
}

/**
 * Returns the handler of faults of the program. It ends the process, since other threads read the
 * same memory.
 */
function crashOf(node: Node): (error: unknown) => void {
  let isSecond = false;
  return (error) => {
    // A second fault, while the first one is reported, must not hide the first.
    if (isSecond) process.exit(1);
    isSecond = true;
    node.crashed(error);
    process.exit(1);
  };
}
