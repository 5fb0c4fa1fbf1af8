/** CONFIG GET and SET, hooks and typed values. */
import { expect, test } from 'vitest';
import { ErrorCode, OperatingError } from '../../../src/base/errors.ts';
import { Config } from '../../../src/server/config/config.ts';
import { directiveNames, fieldOf } from '../../../src/server/config/directives.ts';
import { helpAllText, helpText } from '../../../src/server/config/help.ts';
import { KeyspaceEvent } from '../../../src/server/config/kinds.ts';
import { versionLine } from '../../../src/server/config/product.ts';

const AWAY = { loading: false, local: false };

const newConfig = (): Config => new Config('/');

test('values have the type of their kind and follow CONFIG SET', () => {
  const config = newConfig();
  const { values } = config;
  const port: number = values.port;
  const readOnly: boolean = values.replicaReadOnly;
  const level: 'debug' | 'verbose' | 'notice' | 'warning' = values.loglevel;
  expect([port, readOnly, level, values.dir]).toEqual([6379, true, 'notice', '/']);
  const words = [
    'maxmemory',
    '2gb',
    'notify-keyspace-events',
    'Kx',
    'save',
    '60 1',
    'slave-read-only',
    'no',
  ];
  expect(config.set(words, AWAY)).toEqual({
    error: null,
    changed: ['maxmemory', 'notify-keyspace-events', 'save', 'replica-read-only'],
  });
  expect(values.maxmemory).toBe(2147483648);
  expect(values.notifyKeyspaceEvents).toBe(KeyspaceEvent.KEYSPACE | KeyspaceEvent.EXPIRED);
  expect(values.save).toEqual([{ seconds: 60, changes: 1 }]);
  expect(values.replicaReadOnly).toBe(false);
});

test('every directive has its own field', () => {
  expect(new Set(directiveNames.map(fieldOf)).size).toBe(directiveNames.length);
  expect(Object.keys(Object.getPrototypeOf(newConfig().values)).sort()).toEqual(
    directiveNames.map(fieldOf).sort(),
  );
});

test('CONFIG GET answers names as asked, patterns in lower case, aliases beside names', () => {
  const config = newConfig();
  expect(config.get(['PORT', 'nothing'])).toEqual([['PORT', '6379']]);
  expect(config.get(['*lave-prior*', 'replica-priority', 'Replica-prio?ity'])).toEqual([
    ['slave-priority', '100'],
    ['replica-priority', '100'],
  ]);
  expect(config.get(['watchdog-*'])).toEqual([]);
  expect(config.get(['watchdog-period'])).toEqual([['watchdog-period', '0']]);
  expect(config.get(['*']).length).toBeGreaterThan(directiveNames.length);
});

test('integers beyond 2^53 keep their digits', () => {
  const config = newConfig();
  config.set(['maxmemory', '18446744073709551615', 'slowlog-max-len', '9223372036854775807'], AWAY);
  expect(config.text('maxmemory')).toBe('18446744073709551615');
  expect(config.text('slowlog-max-len')).toBe('9223372036854775807');
});

test('passwords are bytes', () => {
  const config = newConfig();
  config.set(['requirepass', 'a\xff\0'], AWAY);
  expect([...config.bytes('requirepass')]).toEqual([0x61, 0xff, 0]);
});

test('all of a CONFIG SET or nothing', () => {
  const config = newConfig();
  const result = config.set(['maxmemory', '5mb', 'hz', 'x', 'timeout', '5'], AWAY);
  expect(result.error).toBe(
    "ERR CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be parsed into an integer",
  );
  expect([config.text('maxmemory'), config.text('timeout')]).toEqual(['0', '0']);
});

test('hooks run once per CONFIG SET, and only on a change', () => {
  const config = newConfig();
  const calls: string[] = [];
  config.onChange(['maxmemory', 'timeout'], () => {
    calls.push(`${config.values.maxmemory} ${config.values.timeout}`);
    return null;
  });
  config.set(['maxmemory', '1', 'timeout', '2'], AWAY);
  config.set(['maxmemory', '1'], AWAY);
  config.set(['hz', '20'], AWAY);
  expect(calls).toEqual(['1 2']);
});

test('a hook that refuses or throws rolls all back, with the effects of hooks before it', () => {
  const config = newConfig();
  const seen: number[] = [];
  config.onChange(['timeout'], () => {
    seen.push(config.values.timeout);
    return null;
  });
  config.onChange(['port'], () => {
    if (config.values.port === 6379) return null;
    if (config.values.port === 1) return 'Unable to listen on this port. Check server logs.';
    throw new OperatingError(ErrorCode.IO, 'thrown\nhere');
  });
  const set = (port: string): string | null =>
    config.set(['PORT', port, 'timeout', '9'], AWAY).error;
  expect(set('1')).toBe(
    "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs.",
  );
  expect(set('2')).toBe(
    "ERR CONFIG SET failed (possibly related to argument 'port') - thrown here",
  );
  expect(seen).toEqual([9, 0, 9, 0]);
  expect([config.values.port, config.values.timeout, config.warnings]).toEqual([6379, 0, []]);
});

test('an unexpected error of a hook is not hidden', () => {
  const config = newConfig();
  config.onChange(['hz'], () => {
    throw new TypeError('a fault');
  });
  expect(() => config.set(['hz', '20'], AWAY)).toThrow('a fault');
});

test('protected directives need permission', () => {
  const protectedText =
    "ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config";
  for (const [allowed, local, expected] of [
    ['no', true, protectedText],
    ['local', false, protectedText],
    ['local', true, null],
    ['yes', false, null],
  ] as const) {
    const config = newConfig();
    config.load('enable-protected-configs', [allowed], false);
    expect(config.set(['dir', '/tmp'], { loading: false, local }).error).toBe(expected);
  }
});

test('some directives cannot change while loading', () => {
  const context = { loading: true, local: true };
  expect(newConfig().set(['appendonly', 'no'], context).error).toBe(
    'LOADING Redis is loading the dataset in memory',
  );
  expect(newConfig().set(['hz', '20'], context).error).toBeNull();
});

test('assign sets what CONFIG SET may not', () => {
  const config = newConfig();
  expect(config.set(['replicaof', 'a 1'], AWAY).error).toContain("can't set immutable config");
  expect(config.assign('replicaof', ['a', '1'])).toBeNull();
  expect(config.values.replicaof).toEqual({ host: 'a', port: 1 });
  expect(config.assign('replicaof', ['a', '70000'])).toBe('Invalid master port');
});

test('maxmemory-clients in percent is negative', () => {
  const config = newConfig();
  config.set(['maxmemory-clients', '5%'], AWAY);
  expect([config.text('maxmemory-clients'), config.values.maxmemoryClients]).toEqual(['5%', -5]);
});

test('help fits a screen, and help-all names every directive that is not hidden', () => {
  expect(helpText().split('\n').length).toBeLessThan(45);
  const all = helpAllText();
  for (const [spelled] of newConfig().get(['*'])) expect(all).toContain(spelled);
  expect(versionLine()).toMatch(
    /^headwater \d+\.\d+\.\d+ \(node \S+, \w+ \w+, native-free\) redis-compat 7\.2$/,
  );
});
