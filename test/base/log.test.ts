import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import {
  createLogger,
  type Logger,
  LogLevel,
  type LogOptions,
  redisLine,
} from '../../src/base/log.ts';

const LEVELS = Object.keys(LogLevel) as LogLevel[];

function collecting(options: Partial<LogOptions> = {}): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const log = createLogger({
    level: 'notice',
    format: 'redis',
    sink: (line) => lines.push(line),
    ...options,
  });
  return { log, lines };
}

describe('a Redis-shaped line', () => {
  const time = new Date(2026, 10, 23, 0, 25, 30, 102);
  test.each([
    ['debug', '.'],
    ['verbose', '-'],
    ['notice', '*'],
    ['warning', '#'],
  ] as const)('of level %s has the symbol %s', (level, symbol) => {
    expect(
      redisLine(1234, 'M', time, LogLevel[level], 'Ready to accept connections tcp', false),
    ).toBe(`1234:M 23 Nov 2026 00:25:30.102 ${symbol} Ready to accept connections tcp\n`);
  });

  test('is the same with colours, apart from them', () => {
    for (const level of LEVELS) {
      const line = redisLine(1, 'S', time, LogLevel[level], 'text', true);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are what is taken out.
      expect(line.replace(/\x1b\[\d+m/g, '')).toBe(
        redisLine(1, 'S', time, LogLevel[level], 'text', false),
      );
    }
  });

  test('is one line that does not steer the terminal, whatever a client is called', () => {
    const line = redisLine(1, 'M', time, LogLevel.notice, 'name=a\n1:M forged\x1b[2J\x9b', false);
    expect(line.endsWith('* name=a\\x0a1:M forged\\x1b[2J\\x9b\n')).toBe(true);
  });
});

describe('a logger', () => {
  test('asks for the role at every line', () => {
    let role: 'M' | 'S' = 'M';
    const { log, lines } = collecting({ role: () => role });
    log.notice('before');
    role = 'S';
    log.notice('after', { ignored: 'in this shape' });
    const shape = (letter: string, text: string) =>
      expect.stringMatching(
        new RegExp(
          `^${process.pid}:${letter} \\d\\d \\w{3} \\d{4} \\d\\d:\\d\\d:\\d\\d\\.\\d{3} \\* ${text}\\n$`,
        ),
      );
    expect(lines).toEqual([shape('M', 'before'), shape('S', 'after')]);
  });

  test('writes NDJSON with the same text and the fields', () => {
    const { log, lines } = collecting({ format: 'json', role: () => 'S' });
    log.warning('Full resync done', { bytes: 12, ms: 3.5 });
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      level: 40,
      time: expect.any(Number),
      pid: process.pid,
      role: 'S',
      bytes: 12,
      ms: 3.5,
      msg: 'Full resync done',
    });
  });

  test('chooses NDJSON where there is no terminal', () => {
    const { log, lines } = collecting({ format: 'auto' });
    log.notice('text');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ msg: 'text', level: 30 });
  });

  test.each(LEVELS)('at level %s writes what is at least that, also when set later', (level) => {
    const enabled = LEVELS.slice(LEVELS.indexOf(level));
    for (const later of [false, true]) {
      const { log, lines } = collecting({ level: later ? 'warning' : level, format: 'json' });
      if (later) log.level = level;
      for (const each of LEVELS) log[each](each);
      expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(enabled);
      expect(LEVELS.filter((each) => log.isEnabled(each))).toEqual(enabled);
      expect(log.level).toBe(level);
    }
  });
});

describe('a log file', () => {
  let dir = '';
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'headwater-log-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const textOf = (path: string): string[] =>
    readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.replace(/^.* [.*#-] /, ''));

  test('has every line when the call returns, and may be moved away', () => {
    const logfile = join(dir, 'node.log');
    const log = createLogger({ level: 'notice', format: 'redis', logfile });
    log.notice('first');
    renameSync(logfile, join(dir, 'node.log.1'));
    log.notice('second');
    expect([textOf(join(dir, 'node.log.1')), textOf(logfile)]).toEqual([['first'], ['second']]);
  });

  test('that cannot be opened is an operating error at once', () => {
    const logfile = join(dir, 'missing', 'node.log');
    let code: string | undefined;
    try {
      createLogger({ level: 'notice', format: 'json', logfile });
    } catch (error) {
      code = codeOf(error);
    }
    expect(code).toBe('IO');
  });

  test('that fails later ends nothing, and tells how many lines it lost', () => {
    const folder = join(dir, 'logs');
    const away = join(dir, 'away');
    execFileSync('mkdir', [folder]);
    const logfile = join(folder, 'node.log');
    const log = createLogger({ level: 'notice', format: 'redis', logfile });
    renameSync(folder, away);
    log.notice('lost 1');
    log.notice('lost 2');
    renameSync(away, folder);
    log.notice('kept');
    expect(textOf(logfile)).toEqual([
      expect.stringMatching(/^# 2 log lines could not be written: No such file/),
      'kept',
    ]);
  });
});

describe('standard output', () => {
  const script = (body: string): string =>
    `import { createLogger } from ${JSON.stringify(new URL('../../dist/base/log.js', import.meta.url).href)};
     const log = createLogger({ level: 'notice', format: 'auto' }); ${body}`;
  const run = (body: string): string =>
    execFileSync(process.execPath, ['--input-type=module', '-e', script(body)], {
      encoding: 'utf8',
      maxBuffer: 1 << 24,
    });

  test('that is a pipe gets NDJSON, complete though the process is killed behind the call', () => {
    const out =
      run(`for (let i = 0; i < 5000; i++) log.notice('line ' + i, { pad: 'x'.repeat(50) });
      process.reallyExit(0);`);
    const lines = out.trimEnd().split('\n');
    expect(lines).toHaveLength(5000);
    expect(JSON.parse(lines[4999] ?? '')).toMatchObject({ msg: 'line 4999' });
  });
});
