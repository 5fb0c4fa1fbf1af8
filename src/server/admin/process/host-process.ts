/**
 * A node as a separate process: its title, its pid file, and the messages to a service manager. A
 * node that is embedded in another program has none of these.
 */
import { accessSync, constants } from 'node:fs';
import { unreachable } from '../../../base/assert.ts';
import { systemErrorText } from '../../../base/errors.ts';
import { pidFilePath } from '../../config/paths.ts';
import type { Server, Stage } from '../../server.ts';
import { keepPidFile } from './pid-file.ts';
import { beginAgain, joinParent, ownCommandLine, type PassedSignal } from './successor.ts';
import { SystemdNotifier, supervisionOf } from './supervisor.ts';
import { processTitle } from './title.ts';

/** The process waits this long at its end for messages to a service manager. */
const LAST_WORDS_MS = 1000;
const REPLICA_WAITS = ' in read-only mode. Waiting for MASTER <-> REPLICA sync';

export class HostProcess {
  readonly #server: Server;
  readonly #systemd: SystemdNotifier;
  readonly #commandLine = ownCommandLine();
  /** The process id that stands for the node: that of the thin parent, if there is one. */
  readonly #pid = joinParent();

  /** Make it before the node starts. */
  constructor(server: Server) {
    const { config, log } = server;
    this.#server = server;
    this.#systemd = new SystemdNotifier(log, this.#pid);
    server.supervision = supervisionOf(config.values.supervised, process.env, log);
    server.onStage = (stage) => this.#reached(stage);
    if (server.supervision === 'systemd') {
      log.notice(
        'Supervised by systemd. Please make sure you set appropriate values for TimeoutStartSec and ' +
          'TimeoutStopSec in your service unit, and NotifyAccess=all.',
      );
    }
    this.#setTitle();
    config.onChange(['port', 'bind', 'proc-title-template'], () => {
      this.#setTitle();
      return null;
    });
  }

  /** Ends the process. A forced end does not wait for a service manager. */
  async exit(code: number): Promise<void> {
    if (code === 0 && this.#server.supervision === 'systemd')
      await this.#systemd.drained(LAST_WORDS_MS);
    process.exit(code);
  }

  /**
   * Begins the program again, after the node has stopped. Returns what to do with signals from now
   * on. This object holds the node, and must not live on.
   */
  restart(delayMs: number): (signal: PassedSignal) => void {
    return beginAgain(this.#commandLine, this.#pid, delayMs);
  }

  /** Whether the program can begin again; else the reason. */
  get restartObstacle(): string | null {
    const { program } = this.#commandLine;
    try {
      accessSync(program, constants.X_OK);
    } catch (error) {
      // Throws again unless it is an error of the file system.
      systemErrorText(error);
      return `this process has no permissions to execute ${program}`;
    }
    return null;
  }

  #reached(stage: Stage): void {
    if (stage === 'loading') this.#writePidFile();
    if (stage === 'ready' && this.#server.supervision === 'upstart') this.#stopForUpstart();
    if (this.#server.supervision === 'systemd')
      this.#systemd.tell(...linesOf(stage, this.#server.isReplica));
  }

  #writePidFile(): void {
    const { config, log } = this.#server;
    const path = pidFilePath(config.values);
    if (path === '') return;
    const reason = keepPidFile(path, this.#pid);
    if (reason !== null) log.warning(`Failed to write PID file: ${reason}`);
  }

  #stopForUpstart(): void {
    this.#server.log.notice('supervised by upstart, will stop to signal readiness');
    process.kill(process.pid, 'SIGSTOP');
  }

  #setTitle(): void {
    const { values, file } = this.#server.config;
    if (values.setProcTitle) process.title = processTitle(values, file ?? '');
  }
}

/**
 * The message to systemd about a stage. There is no RELOADING: no signal makes the node read
 * anything again.
 */
function linesOf(stage: Stage, isReplica: boolean): readonly string[] {
  switch (stage) {
    case 'loading':
      return ['STATUS=Redis is loading...'];
    case 'ready':
      return [`STATUS=Ready to accept connections${isReplica ? REPLICA_WAITS : ''}`, 'READY=1'];
    case 'stopping':
      return ['STOPPING=1'];
    case 'saving':
      return ['STATUS=Saving the final RDB snapshot'];
    case 'stop failed':
      return ["STATUS=Error trying to save the DB, can't exit."];
    default:
      return unreachable(stage);
  }
}
