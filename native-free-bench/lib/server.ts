/**
 * Servers under measurement. Both kinds take redis-server's command line, so both get the same one:
 * loopback only, a free port, an empty directory, no save points, diskless full sync that starts at
 * once.
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

const START_ATTEMPTS = 3;
const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 10_000;
/** A server is quiet when it has taken less processor time than this in each of so many periods. */
const QUIET_PERIOD_MS = 100;
const QUIET_PERIODS = 4;
const QUIET_SECONDS = 0.02;

/** Servers that run and their directories, so that neither outlives the bench. */
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
   * Starts `target` and resolves once it has come to rest, unless in a `hurry`, and answers PING.
   * Another process may take the free port first: it tries again.
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
      // A client that comes ends what a server does behind its start.
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

  /** Ends the process and removes its directory. */
  async stop(): Promise<void> {
    this.control.close();
    await stop(this.#process);
    removeDirectory(this.#directory);
  }
}

/** A process that has just begun; nobody has connected to it. */
export class Launched {
  readonly port: number;
  readonly process: ChildProcess;
  readonly directory: string;
  /** `performance.now()` when it was made. */
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
    const logFile = join(directory, 'server.log');
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

  /** What it has written so far. */
  get log(): string {
    return readFileSync(this.#logFile, 'utf8').trim();
  }

  /** Resolves once its port is bound, which the kernel's table tells without a connection. */
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

/** Resolves once a process has nothing to do, or after a while. */
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

/** A client that is connected and has been answered, as soon as there is one. */
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
      // Not listening yet.
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

/** The version that a redis-server or valkey-server binary tells, or null when it is none. */
export function redisVersion(path: string): string | null {
  const { status, stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' });
  const match = /^(Redis|Valkey) server v=(\S+)/.exec(stdout ?? '');
  return status === 0 && match !== null ? `${match[1]} ${match[2]}` : null;
}
