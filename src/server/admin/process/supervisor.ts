/**
 * Reports the state of the process to a service manager: `supervised`.
 *
 *   systemd   lines such as READY=1, by the program `systemd-notify`
 *   upstart   SIGSTOP once it is ready; upstart answers with SIGCONT
 *
 * systemd listens on a Unix socket of datagrams, and Node.js has none. So each message costs a
 * child process, and the unit needs `NotifyAccess=all`, since a child sends it. Without
 * `systemd-notify` on the PATH no message is sent, and the log says so. Messages are sent one after
 * the other, in their order.
 */
import { spawn } from 'node:child_process';
import { codeOf, messageOf } from '../../../base/errors.ts';
import type { Logger } from '../../../base/log.ts';

export type Supervision = 'no' | 'systemd' | 'upstart';
type Environment = Readonly<Record<string, string | undefined>>;

const PROGRAM = 'systemd-notify';

/** The meaning of `supervised` in an environment. */
export function supervisionOf(
  wanted: 'no' | 'systemd' | 'upstart' | 'auto',
  environment: Environment,
  log: Logger,
): Supervision {
  const hasSystemd = (environment['NOTIFY_SOCKET'] ?? '') !== '';
  const hasUpstart = (environment['UPSTART_JOB'] ?? '') !== '';
  switch (wanted) {
    case 'auto':
      return hasUpstart ? 'upstart' : hasSystemd ? 'systemd' : 'no';
    case 'systemd':
      if (!hasSystemd) log.warning('systemd supervision error: NOTIFY_SOCKET not found!');
      return hasSystemd ? 'systemd' : 'no';
    case 'upstart':
      if (!hasUpstart) log.warning('upstart supervision requested, but UPSTART_JOB not found!');
      return hasUpstart ? 'upstart' : 'no';
    default:
      return 'no';
  }
}

export class SystemdNotifier {
  readonly #log: Logger;
  readonly #pid: number;
  #queue: Promise<void> = Promise.resolve();
  #failed = false;

  /** `pid` is the process that the service manager is to watch. */
  constructor(log: Logger, pid: number) {
    this.#log = log;
    this.#pid = pid;
  }

  /** Sends lines `NAME=value` as one message, after the earlier ones. */
  tell(...lines: readonly string[]): void {
    this.#queue = this.#queue.then(() => this.#send(lines));
  }

  /** Resolves when all messages are sent, or after `limitMs`. */
  async drained(limitMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, limitMs);
    });
    await Promise.race([this.#queue, limit]);
    clearTimeout(timer);
  }

  #send(lines: readonly string[]): Promise<void> {
    if (this.#failed) return Promise.resolve();
    return new Promise((resolve) => {
      // The process id makes the message that of this process, where the child may say so.
      const child = spawn(PROGRAM, [`--pid=${this.#pid}`, ...lines], { stdio: 'ignore' });
      child.once('error', (error) => {
        this.#failed = true;
        const reason = codeOf(error) === 'ENOENT' ? 'it is not on the PATH' : messageOf(error);
        this.#log.warning(`systemd supervision error: ${PROGRAM} does not start: ${reason}`);
        resolve();
      });
      child.once('exit', (code, signal) => {
        if (code !== 0) {
          this.#log.warning(`systemd supervision error: ${PROGRAM} ended with ${code ?? signal}`);
        }
        resolve();
      });
    });
  }
}
