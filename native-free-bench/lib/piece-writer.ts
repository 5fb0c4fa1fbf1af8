/**
 * c/write-pieces.c as a process: what writing a stream to replicas costs a program that does nothing
 * else. It is compiled when it is needed, with the compiler that `cc` calls.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** From dist-bench/native-free-bench/lib/. */
const SOURCE = fileURLToPath(
  new URL('../../../native-free-bench/c/write-pieces.c', import.meta.url),
);

export class PieceWriter {
  readonly port: number;
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #directory: string;

  private constructor(
    port: number,
    writer: ChildProcess,
    lines: AsyncIterator<string>,
    directory: string,
  ) {
    this.port = port;
    this.#process = writer;
    this.#lines = lines;
    this.#directory = directory;
  }

  /**
   * Starts a writer that waits for `replicas` and sends `bytes` bytes to each: `content`, again and
   * again. Returns null where there is no C compiler.
   */
  static async start(
    replicas: number,
    bytes: number,
    content: Buffer,
  ): Promise<PieceWriter | null> {
    const directory = mkdtempSync(join(tmpdir(), 'headwater-bench-c-'));
    const program = join(directory, 'write-pieces');
    const compiled = spawnSync('cc', ['-O2', '-o', program, SOURCE], { encoding: 'utf8' });
    if (compiled.error !== undefined) {
      rmSync(directory, { recursive: true, force: true });
      return null;
    }
    if (compiled.status !== 0) throw new Error(`cc: ${compiled.stderr}`);
    const file = join(directory, 'content');
    writeFileSync(file, content);
    const writer = spawn(program, [String(replicas), String(bytes), file], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines: Interface = createInterface({ input: writer.stdout! });
    const each = lines[Symbol.asyncIterator]();
    const port = Number((await each.next()).value);
    return new PieceWriter(port, writer, each, directory);
  }

  /** Resolves to the seconds of processor time that the writes took, once they have ended. */
  async cpuSeconds(): Promise<number> {
    const { value } = await this.#lines.next();
    const seconds = Number(value);
    if (!(seconds > 0)) throw new Error('write-pieces did not tell its processor time');
    return seconds;
  }

  kill(): void {
    this.#process.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
