/**
 * The measured servers. Both kinds accept redis-server's command line, so both get the same one:
 * loopback only, a free port, an empty directory, no save points, and a diskless full sync that
 * starts at once.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ControlClient } from './control-client.ts';
import { cpuSeconds } from './process-stats.ts';

export type TargetKind = 'headwater' | 'redis';

/** A program that can be started as a server. */
export interface Target {
  readonly kind: TargetKind;
  readonly command: readonly [string, ...string[]];
  readonly version: string;
}

const COMMON_OPTIONS = [
  ['--bind', '127.0.0.1'],
  ['--save', ''],
  ['--appendonly', 'no'],
  ['--repl-diskless-sync', 'yes'],
  ['--repl-diskless-sync-delay', '0'],
  ['--loglevel', 'warning'],
].flat();

const LOG_FILE = 'server.log';
const START_ATTEMPTS = 3;
const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 10_000;
/**
 * A server is quiet when it took less than this processor time in each of QUIET_PERIODS periods.
 */
const QUIET_PERIOD_MS = 100;
const QUIET_PERIODS = 4;
const QUIET_SECONDS = 0.02;

/** Running servers and their directories. Both are removed when the bench ends. */
const running = new Set<ChildProcess>();
const directories = new Set<string>();
process.on('exit', () => {
  for (const server of running) server.kill('SIGKILL');
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'headwater-bench-'));
  directories.add(directory);
  return directory;
}

function removeDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  directories.delete(directory);
}

export class Server {
  readonly target: Target;
  readonly port: number;
  readonly pid: number;
  readonly control: ControlClient;
  readonly #process: ChildProcess;
  readonly #directory: string;

  private constructor(
    target: Target,
    port: number,
    server: ChildProcess,
    control: ControlClient,
    directory: string,
  ) {
    this.target = target;
    this.port = port;
    this.pid = server.pid as number;
    this.control = control;
    this.#process = server;
    this.#directory = directory;
  }

  /**
   * Starts `target` and resolves once it answers PING, and, unless in a `hurry`, has become quiet.
   * Tries again when another process takes the free port first.
   */
  static async start(target: Target, options: readonly string[], hurry: boolean): Promise<Server> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await Server.#startOnce(target, options, hurry);
      } catch (error) {
        if (attempt === START_ATTEMPTS) throw error;
      }
    }
  }

  static async #startOnce(
    target: Target,
    options: readonly string[],
    hurry: boolean,
  ): Promise<Server> {
    const launched = await Launched.start(target, options);
    const { process: server, port, directory } = launched;
    try {
      // A connecting client would end the work that a server does after its start.
      await launched.listening();
      if (!hurry) await quiet(launched.pid);
      const control = await answering(server, port);
      return new Server(target, port, server, control, directory);
    } catch (error) {
      const said = launched.log;
      await launched.stop();
      throw new Error(`${target.kind} did not start: ${(error as Error).message}\n${said}`);
    }
  }

  /** The log so far. */
  get log(): string {
    return readFileSync(join(this.#directory, LOG_FILE), 'utf8').trim();
  }

  /** Ends the process and removes its directory. */
  async stop(): Promise<void> {
    this.control.close();
    await stop(this.#process);
    removeDirectory(this.#directory);
  }
}

/** A process that has just started. Nobody has connected to it. */
export class Launched {
  readonly port: number;
  readonly process: ChildProcess;
  readonly directory: string;
  /** `performance.now()` when the process was started. */
  readonly startedMs: number;
  readonly #logFile: string;

  private constructor(
    port: number,
    server: ChildProcess,
    directory: string,
    logFile: string,
    startedMs: number,
  ) {
    this.port = port;
    this.process = server;
    this.directory = directory;
    this.startedMs = startedMs;
    this.#logFile = logFile;
  }

  static async start(target: Target, options: readonly string[]): Promise<Launched> {
    const directory = makeDirectory();
    const port = await freePort();
    const logFile = join(directory, LOG_FILE);
    const log = openSync(logFile, 'w');
    const [program, ...first] = target.command;
    const startedMs = performance.now();
    const server = spawn(
      program,
      [...first, '--port', String(port), '--dir', directory, ...COMMON_OPTIONS, ...options],
      { stdio: ['ignore', log, log] },
    );
    closeSync(log);
    running.add(server);
    server.on('exit', () => running.delete(server));
    return new Launched(port, server, directory, logFile, startedMs);
  }

  get pid(): number {
    return this.process.pid as number;
  }

  /** The log so far. */
  get log(): string {
    return readFileSync(this.#logFile, 'utf8').trim();
  }

  /** Resolves once its port is bound. The kernel's table tells this without a connection. */
  async listening(): Promise<void> {
    const address = `0100007F:${this.port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A`;
    const deadlineMs = performance.now() + START_TIMEOUT_MS;
    while (!readFileSync('/proc/net/tcp', 'latin1').includes(address)) {
      if (this.process.exitCode !== null || this.process.signalCode !== null)
        throw new Error('it ended');
      if (performance.now() > deadlineMs) throw new Error('it does not listen');
      await delay(1);
    }
  }

  async stop(): Promise<void> {
    await stop(this.process);
    removeDirectory(this.directory);
  }
}

/** Resolves once a process is idle, or after a time limit. */
async function quiet(pid: number): Promise<void> {
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  let before = -1;
  for (let quietPeriods = 0; quietPeriods < QUIET_PERIODS && performance.now() < deadlineMs; ) {
    const now = cpuSeconds(pid);
    quietPeriods = now - before < QUIET_SECONDS ? quietPeriods + 1 : 0;
    before = now;
    await delay(QUIET_PERIOD_MS);
  }
}

/** Resolves to a connected client as soon as the server has answered it. */
export async function answering(server: ChildProcess, port: number): Promise<ControlClient> {
  let failure: Error | null = null;
  server.on('error', (error) => {
    failure = error;
  });
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < deadlineMs) {
    if (failure !== null) throw failure;
    if (server.exitCode !== null || server.signalCode !== null) throw new Error('it ended');
    try {
      const control = await ControlClient.connect(port);
      if ((await control.call('PING')) === 'PONG') return control;
      control.close();
    } catch {
      // The server does not listen yet.
    }
    await delay(1);
  }
  throw new Error(`no answer to PING within ${START_TIMEOUT_MS} ms`);
}

async function stop(server: ChildProcess): Promise<void> {
  if (server.pid === undefined || server.exitCode !== null || server.signalCode !== null) return;
  const ended = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGTERM');
  const timer = setTimeout(() => server.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(timer);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as net.AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

/**
 * Returns the version that a redis-server or valkey-server binary prints, or null for another
 * program.
 */
export function redisVersion(path: string): string | null {
  const { status, stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' });
  const match = /^(Redis|Valkey) server v=(\S+)/.exec(stdout ?? '');
  return status === 0 && match !== null ? `${match[1]} ${match[2]}` : null;
}
