/**
 * The log, and the only user of pino.
 *
 * Redis-shaped lines on a terminal, NDJSON elsewhere. The text is the same in both; only NDJSON has
 * the fields:
 *
 *   1234:M 23 Nov 2026 00:25:30.102 * Ready to accept connections tcp
 *   {"level":30,"time":1795393530102,"pid":1234,"role":"M","msg":"Ready to accept connections tcp"}
 *
 *   level     symbol   pino's number
 *   debug     .        20
 *   verbose   -        25             between debug and info, so that viewers that know only
 *                              20 and 30 sort it right
 *   notice    *        30             pino's info
 *   warning   #        40             pino's warn
 *
 * Every line is written before the call returns, so a crash loses none, and no thread is started
 * (`pino.transport` would). A log file is opened for each line, as in Redis: it can be moved away
 * at any time without a signal. Main thread only; workers report through their results.
 */
import { appendFileSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { isatty } from 'node:tty';
import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';
import { codeOf, ErrorCode, OperatingError, systemErrorText } from './errors.ts';

export const LogLevel = { debug: 20, verbose: 25, notice: 30, warning: 40 } as const;
export type LogLevel = keyof typeof LogLevel;

export type LogFormat = 'auto' | 'json' | 'redis';

/** M primary, S replica, C a child's work, X sentinel: Redis' letters. */
export type RoleLetter = 'M' | 'S' | 'C' | 'X';

export type LogFields = Readonly<Record<string, unknown>>;

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Path of a file that lines are appended to; '' is standard output. */
  readonly logfile?: string;
  readonly role?: () => RoleLetter;
  /**
   * Receives the lines instead, for tests and for programs that embed a node. Overrides `logfile`.
   */
  readonly sink?: (line: string) => void;
}

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  verbose(message: string, fields?: LogFields): void;
  notice(message: string, fields?: LogFields): void;
  warning(message: string, fields?: LogFields): void;
  /** True when a line of `level` would be written: ask before building a costly message. */
  isEnabled(level: LogLevel): boolean;
  /** May be set while running (CONFIG SET loglevel). */
  level: LogLevel;
}

/** Throws an operating error IO when the log file cannot be written. */
export function createLogger(options: LogOptions): Logger {
  const logfile = options.logfile ?? '';
  const onTerminal = options.sink === undefined && logfile === '' && isatty(STDOUT);
  const redisShaped = options.format === 'redis' || (options.format === 'auto' && onTerminal);
  const coloured = onTerminal && process.env['NO_COLOR'] === undefined;
  const sink = options.sink ?? lineSink(logfile);
  return new PinoBackedLogger(
    options.level,
    options.role ?? (() => 'M'),
    redisShaped ? new RedisShape(sink, coloured) : { write: sink },
  );
}

/** A logger that writes nothing, for tests and tools. */
export const silentLogger: Logger = {
  debug: () => undefined,
  verbose: () => undefined,
  notice: () => undefined,
  warning: () => undefined,
  isEnabled: () => false,
  level: 'warning',
};

class PinoBackedLogger implements Logger {
  readonly #pino: PinoLogger<LogLevel, true>;
  #level: LogLevel;

  constructor(level: LogLevel, role: () => RoleLetter, destination: DestinationStream) {
    this.#level = level;
    this.#pino = pino(
      {
        customLevels: LogLevel,
        useOnlyCustomLevels: true,
        level,
        base: { pid: process.pid },
        mixin: () => ({ role: role() }),
      },
      destination,
    );
  }

  get level(): LogLevel {
    return this.#level;
  }

  set level(level: LogLevel) {
    this.#level = level;
    this.#pino.level = level;
  }

  isEnabled(level: LogLevel): boolean {
    return LogLevel[level] >= LogLevel[this.#level];
  }

  debug(message: string, fields: LogFields = NO_FIELDS): void {
    this.#pino.debug(fields, message);
  }

  verbose(message: string, fields: LogFields = NO_FIELDS): void {
    this.#pino.verbose(fields, message);
  }

  notice(message: string, fields: LogFields = NO_FIELDS): void {
    this.#pino.notice(fields, message);
  }

  warning(message: string, fields: LogFields = NO_FIELDS): void {
    this.#pino.warning(fields, message);
  }
}

const NO_FIELDS: LogFields = {};

/**
 * Turns pino's output into a Redis-shaped line. pino sets the `last…` properties on a destination
 * that carries its metadata symbol, before it calls write; the NDJSON text is then ignored.
 */
/**
 * A destination with this property receives level, message and fields separately before the line.
 */
const METADATA = pino.symbols.needsMetadataGsym;

class RedisShape implements DestinationStream {
  readonly [METADATA] = true;
  lastLevel: number = LogLevel.notice;
  lastMsg = '';
  lastObj: { readonly role?: string } = {};
  readonly #sink: (line: string) => void;
  readonly #coloured: boolean;

  constructor(sink: (line: string) => void, coloured: boolean) {
    this.#sink = sink;
    this.#coloured = coloured;
  }

  write(_ndjson: string): void {
    this.#sink(
      redisLine(
        process.pid,
        this.lastObj.role ?? 'M',
        new Date(),
        this.lastLevel,
        this.lastMsg,
        this.#coloured,
      ),
    );
  }
}

const SHAPES: ReadonlyMap<number, { symbol: string; colour: string }> = new Map([
  [LogLevel.debug, { symbol: '.', colour: '\x1b[2m' }],
  [LogLevel.verbose, { symbol: '-', colour: '\x1b[2m' }],
  [LogLevel.notice, { symbol: '*', colour: '' }],
  [LogLevel.warning, { symbol: '#', colour: '\x1b[33m' }],
]);
const DIM = '\x1b[2m';
const RESET = '\x1b[0m';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** The line with its line feed, in local time as Redis writes it. */
export function redisLine(
  pid: number,
  role: string,
  time: Date,
  level: number,
  message: string,
  coloured: boolean,
): string {
  const { symbol, colour } = SHAPES.get(level) ?? { symbol: '*', colour: '' };
  const two = (value: number): string => String(value).padStart(2, '0');
  const date = `${two(time.getDate())} ${MONTHS[time.getMonth()]} ${time.getFullYear()}`;
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  const head = `${pid}:${role} ${date} ${clock}.${String(time.getMilliseconds()).padStart(3, '0')}`;
  const text = escapeControls(message);
  if (!coloured) return `${head} ${symbol} ${text}\n`;
  return `${DIM}${head}${RESET} ${colour}${symbol} ${text}${colour === '' ? '' : RESET}\n`;
}

/**
 * Messages contain names and arguments from clients. These must not forge a second line or control
 * the terminal.
 */
function escapeControls(message: string): string {
  return message.replace(/\p{Cc}/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

const STDOUT = 1;
const STDERR = 2;
/** Attempts to write to a full pipe, a millisecond apart, before a line is given up. */
const STDOUT_TRIES_MAX = 100;

/**
 * Writes lines to a file or to standard output. A line that cannot be written (disk full, no room
 * for an open file, reader gone) is counted, and standard error gets one message. The next written
 * line is preceded by that count. A failing log must not end the server.
 */
function lineSink(logfile: string): (line: string) => void {
  // The working directory may go, or change.
  const path = resolve(logfile);
  const write = logfile === '' ? writeToStdout : (line: string) => appendFileSync(path, line);
  let linesLost = 0;
  let reason = '';
  if (logfile !== '') {
    try {
      write('');
    } catch (error) {
      throw new OperatingError(ErrorCode.IO, `Can't open the log file: ${systemErrorText(error)}`);
    }
  }
  return (line) => {
    try {
      if (linesLost > 0) {
        write(`# ${linesLost} log lines could not be written: ${reason}\n`);
        linesLost = 0;
      }
      write(line);
    } catch (error) {
      reason = systemErrorText(error);
      if (linesLost++ === 0) tellOnStderr(logfile, reason);
    }
  };
}

/** Standard error is the last resort; a failure there is ignored. */
function tellOnStderr(logfile: string, reason: string): void {
  const what = logfile === '' ? 'Standard output' : `The log file ${logfile}`;
  try {
    const line = `# ${what} cannot be written: ${reason}. Log lines are lost until it can.\n`;
    writeSync(STDERR, line);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
  }
}

/**
 * Standard output may be a non-blocking pipe: bytes that it does not take at once are written
 * again.
 */
function writeToStdout(line: string): void {
  const bytes = Buffer.from(line);
  let position = 0;
  for (let tries = 0; position < bytes.length; ) {
    try {
      position += writeSync(STDOUT, bytes, position);
    } catch (error) {
      if (codeOf(error) !== 'EAGAIN' || ++tries === STDOUT_TRIES_MAX) throw error;
      Atomics.wait(PAUSE, 0, 0, 1);
    }
  }
}

const PAUSE = new Int32Array(new SharedArrayBuffer(4));
