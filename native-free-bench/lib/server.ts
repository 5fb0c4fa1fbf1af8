/**
 * Servers under measurement. Both kinds take redis-server's command line, so both get the same one: loopback only, a
 * free port, an empty directory, no save points, diskless full sync that starts at once.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ControlClient } from './control-client.ts';

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

  /** Starts `target` and resolves once it answers PING. Another process may take the free port first: it tries again. */
  static async start(target: Target, options: readonly string[]): Promise<Server> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await Server.#startOnce(target, options);
      } catch (error) {
        if (attempt === START_ATTEMPTS) throw error;
      }
    }
  }

  static async #startOnce(target: Target, options: readonly string[]): Promise<Server> {
    const directory = makeDirectory();
    const port = await freePort();
    const logFile = join(directory, 'server.log');
    const log = openSync(logFile, 'w');
    const [program, ...first] = target.command;
    const server = spawn(
      program,
      [...first, '--port', String(port), '--dir', directory, ...COMMON_OPTIONS, ...options],
      { stdio: ['ignore', log, log] },
    );
    closeSync(log);
    running.add(server);
    server.on('exit', () => running.delete(server));
    try {
      const control = await answering(server, port);
      return new Server(target, port, server, control, directory);
    } catch (error) {
      const said = readFileSync(logFile, 'utf8').trim();
      await stop(server);
      removeDirectory(directory);
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

async function answering(server: ChildProcess, port: number): Promise<ControlClient> {
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
    await delay(5);
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
