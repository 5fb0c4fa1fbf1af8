/**
 * headwater as a child process, from bin/headwater.js and dist/. It always runs with `--no-addons`,
 * which proves that it works without native code.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch, type TestServer, temporaryDirectory } from './server-process.ts';

export interface HeadwaterOptions {
  /** Further arguments: `['--repl-backlog-size', '64kb']`. */
  readonly args?: readonly string[];
  /** Lines of a configuration file, which is given as the first argument. */
  readonly conf?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** A directory that exists, to start on the dump in it; a fresh one otherwise. */
  readonly dir?: string;
  readonly port?: number;
  /** Shorthand for `--replicaof 127.0.0.1 <port>`. */
  readonly replicaOf?: number;
  /** Whether commands are rehearsed before the start, as they are by default: it takes a second. */
  readonly rehearsal?: boolean;
  /** `ulimit -n` of the process, soft and hard. */
  readonly openFiles?: number;
  /** Further options of node, before the script: `['--trace-gc']`. */
  readonly nodeArgs?: readonly string[];
}

export type Headwater = TestServer;

/** A line of the log: pino's fields beside those of the message. */
export interface LogRecord {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export const HEADWATER = fileURLToPath(new URL('../../bin/headwater.js', import.meta.url));

/** Starts headwater on 127.0.0.1, saving nothing by itself, and waits until it answers PING. */
export async function startHeadwater(options: HeadwaterOptions = {}): Promise<Headwater> {
  const replica =
    options.replicaOf === undefined ? [] : ['--replicaof', '127.0.0.1', `${options.replicaOf}`];
  const conf: string[] = [];
  if (options.conf !== undefined) {
    const file = join(options.dir ?? temporaryDirectory('conf'), 'headwater.conf');
    writeFileSync(file, options.conf);
    conf.push(file);
  }
  return launch({
    name: 'headwater',
    command: options.openFiles === undefined ? process.execPath : 'bash',
    args: (port, dir) => [
      ...(options.openFiles === undefined ? [] : limited(options.openFiles)),
      ...['--no-addons', ...(options.nodeArgs ?? []), HEADWATER, ...conf],
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', ''],
      ...['--rehearsal', options.rehearsal === true ? 'yes' : 'no'],
      ...replica,
      ...(options.args ?? []),
    ],
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.dir === undefined ? {} : { dir: options.dir }),
    ...(options.port === undefined ? {} : { port: options.port }),
  });
}

/** Returns arguments of bash that run node and the words behind it with a limit of open files. */
export function limited(openFiles: number): string[] {
  return ['-c', `ulimit -n ${openFiles}; exec "$0" "$@"`, process.execPath];
}

/** The lines of the log that are JSON, parsed. A line that is still being written is left out. */
export function logRecords(server: TestServer): LogRecord[] {
  const records: LogRecord[] = [];
  for (const line of server.lines) {
    if (line.startsWith('{') && line.endsWith('}')) records.push(JSON.parse(line) as LogRecord);
  }
  return records;
}
