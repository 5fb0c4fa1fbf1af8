/**
 * Files of Redis: what its CONFIG REWRITE leaves starts headwater, and so does that of a
 * distribution.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { loadConfig } from '../../../src/server/config/load.ts';
import { startHeadwater } from '../../support/headwater.ts';
import { findRedisServer } from '../../support/real-redis.ts';
import { launch, temporaryDirectory } from '../../support/server-process.ts';

const DEBIAN = fileURLToPath(new URL('../../fixtures/debian-redis.conf', import.meta.url));

/** The file after a real server has rewritten it; it was started on `before`. */
async function rewrittenByRedis(before: string, dir: string, password?: string): Promise<string> {
  const file = join(dir, 'redis.conf');
  writeFileSync(file, before);
  const server = await launch({
    name: 'redis-server',
    command: findRedisServer(),
    args: (port) => [file, '--port', String(port)],
    dir,
  });
  const client = await server.client();
  if (password !== undefined) await client.call('CONFIG', 'SET', 'requirepass', password);
  await client.call('CONFIG', 'REWRITE');
  await server.kill();
  return readFileSync(file, 'latin1');
}

test.each([undefined, 'a "b\\'])(
  'the rewritten file of a server with the password %j',
  async (password) => {
    const dir = temporaryDirectory('rewritten');
    const text = await rewrittenByRedis('bind 127.0.0.1\nsave 900 1\n', dir, password);
    expect(text).toContain('\nuser default on ');
    const file = join(dir, 'headwater.conf');
    writeFileSync(file, text);
    const config = loadConfig({ file, directory: dir });
    expect(config.values.requirepass).toBe(password ?? '');
    // And headwater's rewrite of it starts again, with another password.
    config.set(['requirepass', 'other'], { loading: false, local: true });
    expect(config.rewrite()).toBeNull();
    expect(loadConfig({ file, directory: dir }).values.requirepass).toBe('other');
    config.set(['requirepass', ''], { loading: false, local: true });
    expect(config.rewrite()).toBeNull();
    const server = await startHeadwater({ dir, conf: readFileSync(file, 'latin1') });
    await server.stop();
  },
);

test('the redis.conf of Debian, in the folders of the test', async () => {
  const dir = temporaryDirectory('debian');
  const text = readFileSync(DEBIAN, 'latin1').replaceAll('@DIR@', dir);
  expect(loadConfig({ stdin: text, directory: dir }).warnings).toEqual([
    'daemonize yes: headwater stays in the foreground',
  ]);
  const server = await startHeadwater({ dir, conf: text });
  const client = await server.client();
  expect(await client.call('CONFIG', 'GET', 'hz')).toEqual(['hz', '10']);
  expect(readFileSync(join(dir, 'redis-server.pid'), 'latin1')).toBe(`${server.pid}\n`);
  expect(await client.call('CONFIG', 'REWRITE')).toBe('OK');
  await client.close();
  await server.stop();
  const log = readFileSync(join(dir, 'redis-server.log'), 'latin1');
  expect(log).toContain('Ready to accept connections tcp');
});

test.each([
  ['user default on nopass ~* &* +@all', ''],
  ['user default on nopass sanitize-payload ~* &* +@all', ''],
  ['user default on >pw allkeys allchannels allcommands', 'pw'],
  [
    `requirepass x\nuser default on #${'2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881'} ~* &* +@all`,
    'x',
  ],
])('%j', (text, password) => {
  expect(loadConfig({ stdin: text, directory: '/' }).values.requirepass).toBe(password);
});

test.each([
  ['user default on nopass ~* &* +@all -flushall', 'knows only a default user that is on'],
  ['user default off nopass ~* &* +@all', 'knows only a default user that is on'],
  ['user default on nopass ~app:* &* +@all', 'knows only a default user that is on'],
  ['user default on >a >b ~* &* +@all', 'knows only a default user that is on'],
  ['user default', 'knows only a default user that is on'],
  ['user bob on nopass ~* &* +@all', 'headwater does not support ACL users'],
  ['user default on nopass ~* &* +@all\nrequirepass x', 'is not the password that this line gives'],
  ['user default on >y ~* &* +@all\nrequirepass x', 'is not the password that this line gives'],
])('%j is refused', (text, reason) => {
  expect(() => loadConfig({ stdin: text, directory: '/' })).toThrow(reason);
});
