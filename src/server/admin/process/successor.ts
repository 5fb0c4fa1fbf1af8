/**
 * The program begins again, for DEBUG RESTART and CRASH-AND-RECOVER.
 *
 * Redis calls execve: the process stays, and the program in it is new. Node.js has
 * `process.execve` from 22.15 on. Without it a process starts a successor and stays as its thin
 * parent, so that whoever started the process sees one process as before:
 *
 *   supervisor          thin parent                          successor
 *      │                    │── the same command line ──────────▶│
 *      │                    │◀── UP: it hears signals ───────────│
 *      │── a signal ───────▶│── the same signal ────────────────▶│
 *      │                    │◀── {restart: delayMs} ─────────────│ DEBUG RESTART: it ends
 *      │                    │── the next successor ──────────────▶
 *      │◀── the same end ───│◀── exit code or signal ────────────│
 *
 * So there are never more than two processes. The successor has a process group of its own: what a
 * terminal sends to the group of the parent reaches it once, through the parent. If the parent
 * is killed, the successor ends at once.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { collectAtOnce } from '../../../base/collection.ts';
import { codeOf, messageOf } from '../../../base/errors.ts';

/** The variable that tells a successor the process id of its thin parent. */
const PARENT_VARIABLE = 'HEADWATER_PARENT';
/** The successor's first message. bin/headwater.js sends it. */
const UP = 'up';
/** The longest delay, by the limit of setTimeout. */
const DELAY_MS_MAX = 0x7fff_ffff;
/** The time that a signal to oneself has to end the process. */
const OWN_SIGNAL_MS = 200;
const SIGNALLED = 128;

export type PassedSignal = 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'SIGUSR1' | 'SIGUSR2' | 'SIGQUIT';

/** Node.js hears these for the program from its first line on. */
const HEARD_ALREADY = ['SIGTERM', 'SIGINT'] as const;
const HEARD_LATE = ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGQUIT'] as const;

interface RestartMessage {
  readonly restart: number;
}

/** How to start the program: taken at its own start. */
export interface CommandLine {
  readonly program: string;
  readonly args: readonly string[];
  readonly directory: string;
}

export const ownCommandLine = (): CommandLine => ({
  program: process.execPath,
  args: [...process.execArgv, ...process.argv.slice(1)],
  directory: process.cwd(),
});

/**
 * Finds out whether this process is a successor. Returns the process id that stands for it: its
 * parent's, or its own. Call it once, at the start.
 */
export function joinParent(): number {
  const { ppid } = process;
  const isSuccessor = process.env[PARENT_VARIABLE] === String(ppid);
  // A program that this process starts is no successor.
  delete process.env[PARENT_VARIABLE];
  if (!isSuccessor || process.send === undefined) return process.pid;
  process.once('disconnect', orphaned);
  if (!process.connected) orphaned();
  return ppid;
}

function orphaned(): void {
  console.error('# The parent of this process is gone, exiting now.');
  process.exit(1);
}

/**
 * Begins the program again after a delay; the caller holds nothing any more. `pid` is what
 * {@link joinParent} returned. Returns what to do with SIGTERM and SIGINT from now on.
 */
export function beginAgain(
  commandLine: CommandLine,
  pid: number,
  delayMs: number,
): (signal: PassedSignal) => void {
  const delay = Math.min(delayMs, DELAY_MS_MAX);
  if (pid !== process.pid) {
    process.removeListener('disconnect', orphaned);
    process.send!({ restart: delay } satisfies RestartMessage, () => process.exit(0));
    return () => process.exit(0);
  }
  if (execve !== undefined) {
    setTimeout(execve, delay, commandLine);
    return () => process.exit(0);
  }
  const parent = new ThinParent(commandLine);
  parent.start(delay);
  return (signal) => parent.pass(signal);
}

/** Replaces the program of this process; undefined where Node.js cannot. */
const execve =
  'execve' in process
    ? ({ program, args, directory }: CommandLine): void => {
        process.chdir(directory);
        const { execve: replace } = process as unknown as {
          execve(file: string, args: readonly string[]): void;
        };
        replace.call(process, program, [program, ...args]);
      }
    : undefined;

class ThinParent {
  readonly #commandLine: CommandLine;
  #child: ChildProcess | undefined = undefined;
  #isUp = false;
  /** Signals that came before the successor hears them. */
  readonly #early: PassedSignal[] = [];
  /** The delay of the restart that the successor has asked for; -1 without one. */
  #nextDelayMs = -1;

  constructor(commandLine: CommandLine) {
    this.#commandLine = commandLine;
    for (const signal of HEARD_LATE) process.on(signal, () => this.pass(signal));
  }

  start(delayMs: number): void {
    setTimeout(() => this.#spawn(), delayMs);
    // What the program held is garbage by now, and this process makes none that starts V8.
    setImmediate(collectAtOnce);
  }

  pass(signal: PassedSignal): void {
    if (this.#isUp) this.#child?.kill(signal);
    else if (this.#child !== undefined) this.#early.push(signal);
    else if (isDeadly(signal)) process.exit(0);
  }

  #spawn(): void {
    const { program, args, directory } = this.#commandLine;
    this.#isUp = false;
    this.#nextDelayMs = -1;
    const child = spawn(program, args, {
      cwd: directory,
      env: { ...process.env, [PARENT_VARIABLE]: String(process.pid) },
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      detached: true,
    });
    this.#child = child;
    child.on('message', (message) => {
      if (message === UP) this.#up();
      else if (isRestart(message)) this.#nextDelayMs = message.restart;
    });
    child.on('error', (error) => {
      // Other errors are those of a signal or a message to a process that has just ended.
      if (child.pid !== undefined) return;
      console.error(`# Can't restart: ${codeOf(error) ?? ''} ${messageOf(error)}`);
      process.exit(1);
    });
    child.once('exit', (code, signal) => this.#ended(code, signal));
  }

  #up(): void {
    this.#isUp = true;
    for (const signal of this.#early.splice(0)) this.#child?.kill(signal);
  }

  #ended(code: number | null, signal: NodeJS.Signals | null): void {
    this.#child = undefined;
    this.#isUp = false;
    if (this.#nextDelayMs < 0) endAs(code, signal);
    else if (this.#early.some(isDeadly)) process.exit(0);
    else this.start(this.#nextDelayMs);
  }
}

const isDeadly = (signal: PassedSignal): boolean => signal !== 'SIGHUP' && signal !== 'SIGUSR1';

const isRestart = (message: unknown): message is RestartMessage =>
  typeof message === 'object' &&
  message !== null &&
  'restart' in message &&
  typeof message.restart === 'number';

/** Ends this process as another one has ended. */
function endAs(code: number | null, signal: NodeJS.Signals | null): void {
  if (signal === null) process.exit(code ?? 1);
  for (const name of [...HEARD_ALREADY, ...HEARD_LATE]) process.removeAllListeners(name);
  process.kill(process.pid, signal);
  // No signal ends process 1 of a container.
  setTimeout(() => process.exit(SIGNALLED + constants.signals[signal]), OWN_SIGNAL_MS);
}
