/** Start-up from files, environment, standard input and command line. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ErrorCode, OperatingError } from '../../../src/base/errors.ts';
import type { Config } from '../../../src/server/config/config.ts';
import { directiveNames, directiveOf } from '../../../src/server/config/directives.ts';
import { loadConfig, type Sources } from '../../../src/server/config/load.ts';
import { PRODUCT_VERSION } from '../../../src/server/config/product.ts';
import { temporaryDirectory } from '../../support/server-process.ts';

const directory = temporaryDirectory('config-load');

function write(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

const load = (sources: Omit<Sources, 'directory'>): Config => loadConfig({ ...sources, directory });

function fatalOf(sources: Omit<Sources, 'directory'>): string {
  try {
    load(sources);
  } catch (error) {
    expect(error).toBeInstanceOf(OperatingError);
    expect((error as OperatingError).code).toBe(ErrorCode.CONFIG);
    return (error as OperatingError).message;
  }
  return expect.fail('loaded');
}

test('later sources win: file, environment, standard input, command line', () => {
  const file = write('order.conf', 'port 1\nhz 1\ntimeout 1\ndatabases 1\n');
  const config = load({
    file: 'order.conf',
    environment: { HEADWATER_HZ: '2', HEADWATER_TIMEOUT: '2', HEADWATER_DATABASES: '2' },
    stdin: 'timeout 3\ndatabases 3',
    options: 'databases "4" ',
  });
  const { port, hz, timeout, databases } = config.values;
  expect([port, hz, timeout, databases]).toEqual([1, 2, 3, 4]);
  expect(config.file).toBe(file);
});

describe('save', () => {
  test.each([
    ['', '3600 1 300 100 60 10000'],
    ['save 900 1', '900 1'],
    ['save 900 1\nsave 60 5 30 2', '900 1 60 5 30 2'],
    ['save 900 1\nsave ""', ''],
    ['save ""\nsave 900 1', '900 1'],
    ['save', ''],
  ])('%j', (options, expected) => {
    expect(load({ options }).text('save')).toBe(expected);
  });

  test('of the command line adds to that of the file', () => {
    write('save.conf', 'save 900 1\n');
    expect(load({ file: 'save.conf', options: 'save "60" "1" ' }).text('save')).toBe('900 1 60 1');
  });
});

describe('include', () => {
  mkdirSync(join(directory, 'conf.d'));
  write('conf.d/20.conf', 'hz 20\n');
  write('conf.d/10.conf', 'hz 10\nport 10\n');
  write('conf.d/.hidden.conf', 'nonsense\n');
  write('conf.d/30.txt', 'nonsense\n');

  test.each([
    ['include conf.d/10.conf', 10, 10],
    ['include conf.d/*.conf', 20, 10],
    ['include conf.d/[12]0.con?', 20, 10],
    ['include conf.d/*.conf\nhz 5', 5, 10],
    ['include conf.d/none*.conf', 10, 6379],
    ['include none*/x.conf', 10, 6379],
    ['dir conf.d\ninclude 20.conf', 20, 6379],
  ])('%j', (options, hz, port) => {
    const { values } = load({ options });
    expect([values.hz, values.port]).toEqual([hz, port]);
  });

  test('of a missing file is fatal', () => {
    const path = join(directory, 'none.conf');
    const expected = `Fatal error, can't open config file '${path}': No such file or directory`;
    expect(fatalOf({ options: 'include none.conf' })).toBe(expected);
    expect(fatalOf({ file: 'none.conf' })).toBe(expected);
  });

  test('names the included file of a bad line', () => {
    const path = write('bad-include.conf', '\nhz x\n');
    expect(fatalOf({ options: 'include bad-include.conf' })).toContain(
      `Reading the configuration file ${path}, at line 2\n>>> 'hz x'\n`,
    );
  });

  test('of itself ends at a bounded depth', () => {
    write('self.conf', 'include self.conf\n');
    expect(fatalOf({ file: 'self.conf' })).toContain('include goes deeper than 16 files');
  });
});

describe('environment', () => {
  test('takes names with underscores, several words, and the alias', () => {
    const { values } = load({
      environment: {
        HEADWATER_BIND: '127.0.0.1 ::1',
        HEADWATER_SLAVE_PRIORITY: '7',
        HEADWATER_SERVER_CPULIST: '0-3',
        HEADWATER_REQUIREPASS: 'two words "quoted',
        HEADWATER_SAVE: '',
      },
    });
    expect(values.bind).toEqual(['127.0.0.1', '::1']);
    expect([values.replicaPriority, values.serverCpulist]).toEqual([7, '0-3']);
    expect([values.requirepass, values.save]).toEqual(['two words "quoted', []]);
  });

  test('reads secrets from files, without the last line break', () => {
    const path = write('secret', 's3cret \n');
    expect(load({ environment: { HEADWATER_MASTERAUTH_FILE: path } }).values.masterauth).toBe(
      's3cret ',
    );
    expect(fatalOf({ environment: { HEADWATER_MASTERAUTH_FILE: `${path}x` } })).toContain(
      'No such file',
    );
  });

  test('warns of unknown names and passes over what Kubernetes sets', () => {
    const config = load({
      environment: {
        HEADWATER_REQUIREPAS: 'x',
        HEADWATER_PORT: 'tcp://10.0.0.1:6379',
        HEADWATER_PORT_6379_TCP: 'tcp://10.0.0.1:6379',
        HEADWATER_SERVICE_HOST: '10.0.0.1',
        HEADWATER_DEBUG: '1',
        PATH: '/bin',
      },
    });
    expect(config.values.port).toBe(6379);
    expect(config.warnings).toEqual([
      'Environment variable HEADWATER_REQUIREPAS is no directive and was ignored',
    ]);
  });

  test('shows no secret when it is bad', () => {
    const message = fatalOf({ environment: { HEADWATER_PORT: '99999' } });
    expect(message).toContain('Reading the environment, at HEADWATER_PORT\n>>> \'port "99999"\'\n');
  });
});

test('a bad line is fatal in the form of Redis', () => {
  write('bad.conf', 'port 1\nfoo bar\n');
  expect(fatalOf({ file: 'bad.conf' })).toBe(
    `\n*** FATAL CONFIG FILE ERROR (headwater ${PRODUCT_VERSION}) ***\n` +
      "Reading the configuration file, at line 2\n>>> 'foo bar'\nBad directive or wrong number of arguments",
  );
});

test.each([
  ['activedefrag yes', "headwater does not support this: only 'no' is accepted"],
  ['tls-port 6380', "headwater does not support this: only '0' is accepted"],
  ['tls-replication yes', "headwater does not support this: only 'no' is accepted"],
  ['cluster-enabled yes', "headwater does not support this: only 'no' is accepted"],
  [
    'maxmemory-policy allkeys-lru',
    "headwater does not support this: only 'noeviction' is accepted",
  ],
  ['aclfile /etc/users', "headwater does not support this: only '' is accepted"],
  ['loadmodule /x.so', 'headwater does not load modules'],
  ['user bob on', 'headwater does not support ACL users'],
  ['rdb-version 8', 'argument(s) must be one of the following: 9, 10, 11, 12'],
  ['a.b c', 'Bad directive or wrong number of arguments'],
  ['include', 'Bad directive or wrong number of arguments'],
])('%j is refused', (options, reason) => {
  expect(fatalOf({ options })).toContain(
    `Reading the command line, at line 1\n>>> '${options}'\n${reason}`,
  );
});

test('a bad line is told in its own letters', () => {
  const line = Buffer.from("prot 'ä'").toString('latin1');
  expect(() => load({ stdin: line })).toThrow(">>> 'prot 'ä''");
});

test('what has no effect is told once, when it differs from the default', () => {
  const options = 'daemonize yes\nio-threads 4\nalways-show-logo no\nlfu-decay-time 5\nhz 20';
  expect(load({ options }).warnings).toEqual([
    'daemonize yes: headwater stays in the foreground',
    'Accepted without effect: io-threads, lfu-decay-time',
  ]);
});

test('a file with every directive at its default loads and changes nothing', () => {
  const lines = directiveNames.flatMap((name) => {
    const { kind, alias } = directiveOf(name);
    const setting = name === 'dir' ? { value: directory, text: directory } : kind.initial;
    const words = kind.rewrite(setting).map((line) => line.words);
    return words
      .flatMap((word) => (alias === undefined ? [word] : [word, word]))
      .map((word, i) => `${i % 2 === 1 && alias !== undefined ? alias : name} ${word}`);
  });
  const config = load({ stdin: lines.join('\n') });
  for (const name of directiveNames) {
    if (name !== 'dir')
      expect([name, config.text(name)]).toEqual([name, directiveOf(name).kind.initial.text]);
  }
  expect(config.warnings).toEqual([]);
});

test('renamed commands are kept in order', () => {
  const config = load({
    options: 'rename-command FLUSHALL ""\nrename-command CONFIG b840\nlua-replicate-commands yes',
  });
  expect(config.renamedCommands.map(({ from, to }) => [from, to])).toEqual([
    ['FLUSHALL', ''],
    ['CONFIG', 'b840'],
  ]);
});

describe('a zero byte ends what Redis reads of a line', () => {
  const long = 'x'.repeat(1100);
  test.each([
    ['the last line', 'hz 20\0', '20', '10000'],
    ['the end of the line', 'hz 20\0zz\n\nmaxclients 77\n', '20', '77'],
    ['the end of a comment', '# c\0\nhz 20\nmaxclients 77\n', '10', '77'],
    ['the next comment', '\0\n# hz 20\nmaxclients 77\n', '10', '77'],
    ['the end of a long line', `# ${long}\0\nmaxclients 77\nhz 20\n`, '20', '10000'],
    ['a part of a long line', `# \0${long}\nmaxclients 77\n`, '10', '77'],
  ])('%s', (_, text, hz, maxclients) => {
    const directory = temporaryDirectory('zero');
    const file = join(directory, 'zero.conf');
    writeFileSync(file, text);
    for (const config of [load({ file }), load({ stdin: text })]) {
      expect([config.text('hz'), config.text('maxclients')]).toEqual([hz, maxclients]);
    }
  });

  test('and the next line follows at once', () => {
    expect(() => load({ stdin: 'maxclients 50\0garbage\nport 7813\n' })).toThrow(
      "at line 1\n>>> 'maxclients 50port 7813'\nwrong number of arguments",
    );
  });
});
