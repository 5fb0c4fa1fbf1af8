/**
 * A tested server as a child process, with its own directory and a free port on 127.0.0.1. It is
 * ready when it answers PING.
 *
 * Nothing outlives the test process. When that exits, it kills the remaining servers by process id
 * and removes their directories.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClientOptions, RespClient } from './resp-client.ts';
import { waitFor } from './wait-for.ts';

export interface TestServer {
  readonly port: number;
  readonly dir: string;
  readonly pid: number;
  /** Everything that it wrote to stdout and stderr. */
  readonly output: string;
  /** The lines of `output`. */
  readonly lines: readonly string[];
  readonly hasExited: boolean;
  readonly exitCode: number | null;
  /** Resolves when the process is gone. */
  readonly exited: Promise<void>;
  client(options?: ClientOptions): Promise<RespClient>;
  /** Waits for a line of output that contains `text` or matches, and returns it. */
  waitForLine(text: string | RegExp): Promise<string>;
  /** Stops and continues the process by SIGSTOP and SIGCONT, which it does not notice. */
  pause(): void;
  resume(): void;
  /** SIGTERM, then waits for the exit. Its directory is removed when it was made for it. */
  stop(): Promise<void>;
  /**
   * SIGKILL, then waits for the exit. The directory is kept, so that another server may start on
   * it; it is removed at exit.
   */
  kill(): Promise<void>;
}

export interface LaunchPlan {
  readonly name: string;
  readonly command: string;
  /** The arguments, once the port and the directory are known. */
  readonly args: (port: number, dir: string) => readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** A directory that exists; otherwise one is made and removed. */
  readonly dir?: string;
  /** A port that must be used (a restart); otherwise a free one is found. */
  readonly port?: number;
}

const MAX_PORT_ATTEMPTS = 5;
const STOP_LIMIT_MS = 30_000;
/** Lines of a log in the message of a wait in vain. */
const LINES_TOLD = 20;
const MAX_OUTPUT_CHARS = 4 * 1024 * 1024;

const running = new Set<ServerProcess>();
const directories = new Set<string>();

function cleanUp(): void {
  for (const server of running) server.killNow();
  for (const dir of directories) rmSync(dir, { recursive: true, force: true });
}

process.once('exit', cleanUp);
// The runner ends its worker processes by signal, also after a run that went well.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.once(signal, () => {
    cleanUp();
    process.kill(process.pid, signal);
  });
}
// When the runner itself is killed, the channel to it closes.
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));

/** A directory that is removed when the test process exits. */
export function temporaryDirectory(name: string): string {
  const dir = mkdtempSync(join(tmpdir(), `headwater-${name}-`));
  directories.add(dir);
  return dir;
}

/**
 * A port that was free a moment ago. Another process may take it before it is used, so callers try
 * again.
 */
export async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

/**
 * Starts a server and waits until it answers PING with PONG, so that a dump in its directory is
 * loaded.
 */
export async function launch(plan: LaunchPlan): Promise<TestServer> {
  for (let attempt = 1; ; attempt++) {
    const port = plan.port ?? (await freePort());
    const server = new ServerProcess(plan, port);
    try {
      await server.ready();
      return server;
    } catch (error) {
      const portTaken = /address already in use/i.test(server.output);
      await server.kill();
      if (!portTaken || plan.port !== undefined || attempt === MAX_PORT_ATTEMPTS) throw error;
    }
  }
}

class ServerProcess implements TestServer {
  readonly name: string;
  readonly port: number;
  readonly dir: string;
  readonly pid: number;
  readonly exited: Promise<void>;
  output = '';
  hasExited = false;
  exitCode: number | null = null;
  readonly #child: ChildProcess;
  readonly #ownsDirectory: boolean;

  constructor(plan: LaunchPlan, port: number) {
    this.name = plan.name;
    this.port = port;
    this.#ownsDirectory = plan.dir === undefined;
    this.dir = plan.dir ?? temporaryDirectory(plan.name);
    const child = spawn(plan.command, plan.args(port, this.dir), {
      cwd: this.dir,
      env: { ...process.env, ...plan.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.pid = child.pid ?? -1;
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        if (this.output.length < MAX_OUTPUT_CHARS) this.output += text;
      });
    }
    running.add(this);
    this.exited = new Promise((resolve) => {
      const ended = (code: number | null): void => {
        this.hasExited = true;
        this.exitCode = code;
        running.delete(this);
        resolve();
      };
      child.once('close', ended);
      child.once('error', (error) => {
        this.output += `${error.message}\n`;
        ended(null);
      });
    });
  }

  get lines(): readonly string[] {
    return this.output.split('\n').filter((line) => line !== '');
  }

  async ready(): Promise<void> {
    await waitFor(() => this.#answersPing(), {
      what: `${this.name} to answer PING`,
      timeoutMs: 60_000,
    });
  }

  client(options: ClientOptions = {}): Promise<RespClient> {
    return RespClient.connect(this.port, options);
  }

  waitForLine(text: string | RegExp): Promise<string> {
    const matches = (line: string): boolean =>
      typeof text === 'string' ? line.includes(text) : text.test(line);
    return waitFor(() => this.lines.find(matches), {
      what: `${this.name} to log ${text}`,
    }).catch((error: Error) => {
      const last = this.lines.slice(-LINES_TOLD).join('\n');
      throw new Error(`${error.message}; its last lines:\n${last}`, { cause: error });
    });
  }

  pause(): void {
    this.#child.kill('SIGSTOP');
  }

  resume(): void {
    this.#child.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    this.resume();
    this.#child.kill('SIGTERM');
    const limit = setTimeout(() => this.killNow(), STOP_LIMIT_MS);
    await this.exited;
    clearTimeout(limit);
    if (!this.#ownsDirectory) return;
    rmSync(this.dir, { recursive: true, force: true });
    directories.delete(this.dir);
  }

  async kill(): Promise<void> {
    this.killNow();
    await this.exited;
  }

  killNow(): void {
    this.#child.kill('SIGKILL');
  }

  async #answersPing(): Promise<boolean> {
    if (this.hasExited)
      throw new Error(`${this.name} ended with code ${this.exitCode}:\n${this.output}`);
    let client: RespClient;
    try {
      client = await this.client();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // It does not listen yet, or has just ended: then the next look finds that.
      if (code === 'ECONNREFUSED' || code === 'ECONNRESET') return false;
      throw error;
    }
    const reply = await client.command('PING').catch(() => null);
    const isUp = reply === 'PONG';
    const id = isUp ? await client.infoField('server', 'process_id').catch(() => null) : null;
    await client.close();
    // Another worker's server may have taken the port meanwhile. Then this one is about to end.
    return id !== null && descendsFrom(Number(id), this.pid);
  }
}

/** Whether process `id` is `ancestor`, or was started by it, or by one that was. */
function descendsFrom(id: number, ancestor: number): boolean {
  for (let at = id; at > 1; at = parentOf(at)) if (at === ancestor) return true;
  return false;
}

/** 0 for a process that is gone. */
function parentOf(id: number): number {
  try {
    return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${id}/status`, 'utf8'))?.[1] ?? 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}
