/** What clients may ask about each other and do to each other, and who is let in. */
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startHeadwater } from '../../../support/headwater.ts';
import { encodeCommand, RespClient } from '../../../support/resp-client.ts';
import { RespError } from '../../../support/resp-parser.ts';
import type { TestServer } from '../../../support/server-process.ts';
import { waitFor } from '../../../support/wait-for.ts';

let server: TestServer;
let client: RespClient;

beforeAll(async () => {
  server = await startHeadwater({
    args: ['--enable-debug-command', 'local', '--loglevel', 'verbose'],
  });
  client = await server.client();
});

afterAll(async () => {
  await client.close();
  await server.stop();
});

const LINE = new RegExp(
  '^id=\\d+ addr=127\\.0\\.0\\.1:\\d+ laddr=127\\.0\\.0\\.1:\\d+ fd=-?\\d+ name=\\S* age=\\d+ idle=\\d+ flags=[A-Za-z]+ ' +
    'db=\\d+ sub=\\d+ psub=\\d+ ssub=\\d+ multi=-?\\d+ watch=\\d+ qbuf=\\d+ qbuf-free=\\d+ argv-mem=\\d+ multi-mem=\\d+ rbs=\\d+ ' +
    'rbp=\\d+ obl=\\d+ oll=\\d+ omem=\\d+ tot-mem=\\d+ events=rw? cmd=\\S+ user=default redir=-1 resp=[23] ' +
    'lib-name=\\S* lib-ver=\\S*$',
);

/** The fields of a client's line. */
async function fieldsOf(id: unknown): Promise<Map<string, string>> {
  const line = String(await client.call('CLIENT', 'LIST', 'ID', String(id))).trimEnd();
  return new Map(line.split(' ').map((field) => field.split('=', 2) as [string, string]));
}

describe('CLIENT LIST', () => {
  test('has the fields of Redis 7.2 in their order, and watch of 7.4', async () => {
    const lines = String(await client.call('CLIENT', 'LIST'))
      .trimEnd()
      .split('\n');
    for (const line of lines) expect(line).toMatch(LINE);
    expect(String(await client.call('CLIENT', 'INFO')).trimEnd()).toMatch(LINE);
  });

  test('tells what a client is about', async () => {
    const other = await server.client({ protocol: 3 });
    const id = await other.call('CLIENT', 'ID');
    await other.pipeline([
      ['CLIENT', 'SETNAME', 'worker'],
      ['CLIENT', 'SETINFO', 'LIB-NAME', 'mine'],
      ['CLIENT', 'SETINFO', 'lib-ver', '1.2'],
      ['CLIENT', 'NO-TOUCH', 'ON'],
      ['SELECT', '4'],
      ['WATCH', 'k'],
      ['MULTI'],
      ['SET', 'k', 'v'],
    ]);
    const fields = await fieldsOf(id);
    expect(Object.fromEntries(fields)).toMatchObject({
      name: 'worker',
      db: '4',
      flags: 'xT',
      multi: '1',
      watch: '1',
      qbuf: '0',
      resp: '3',
      cmd: 'multi',
      'lib-name': 'mine',
      'lib-ver': '1.2',
    });
    await other.close();
  });

  test('counts the keys that are watched', async () => {
    const other = await server.client();
    const id = await other.call('CLIENT', 'ID');
    const watched = async (): Promise<string | undefined> => (await fieldsOf(id)).get('watch');
    expect(await watched()).toBe('0');
    await other.call('WATCH', 'a', 'b', 'a');
    expect(await watched()).toBe('2');
    await other.call('UNWATCH');
    expect(await watched()).toBe('0');
    await other.close();
  });

  test('counts the bytes of the request that runs, and of what has yet to run', async () => {
    const other = await server.client();
    const id = await other.call('CLIENT', 'ID');
    const own = async (...words: string[]): Promise<string> =>
      /qbuf=(\d+)/.exec(JSON.stringify(await other.call(...(words as [string]))))![1]!;
    expect(await own('CLIENT', 'LIST', 'ID', String(id))).toBe(
      String(encodeCommand(['CLIENT', 'LIST', 'ID', String(id)]).length),
    );
    expect(await own('CLIENT', 'INFO')).toBe(String(encodeCommand(['CLIENT', 'INFO']).length));
    // What EXEC runs lies elsewhere by then.
    await other.call('MULTI');
    await other.call('CLIENT', 'INFO');
    expect(await own('EXEC')).toBe(String(encodeCommand(['EXEC']).length));
    // The client that asks has a request, and others have none, or the beginning of one.
    expect((await fieldsOf(id)).get('qbuf')).toBe('0');
    other.write('*2\r\n$3\r\nGE');
    await waitFor(async () => (await fieldsOf(id)).get('qbuf') === '10');
    await other.close();
  });

  test('sorts clients by type', async () => {
    const subscriber = await server.client();
    subscriber.send('SUBSCRIBE', 'x', 'y');
    await subscriber.nextPush();
    const lines = String(await client.call('CLIENT', 'LIST', 'TYPE', 'pubsub'))
      .trimEnd()
      .split('\n');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('flags=P ');
    expect(lines[0]).toContain(' sub=2 ');
    await subscriber.close();
  });

  test('refuses names with blanks and libraries that are none', async () => {
    expect(await client.command('CLIENT', 'SETINFO', 'LIB-NAME', 'a b')).toEqual(
      new RespError('ERR lib-name cannot contain spaces, newlines or special characters.'),
    );
    expect(await client.command('CLIENT', 'SETINFO', 'FOO', 'a')).toEqual(
      new RespError("ERR Unrecognized option 'FOO'"),
    );
  });
});

describe('CLIENT KILL', () => {
  test.each(['old form', 'ADDR', 'ID', 'TYPE pubsub'])('by %s', async (how) => {
    const victim = await server.client({ protocol: 3 });
    const id = await victim.call('CLIENT', 'ID');
    victim.send('SUBSCRIBE', 'x');
    await victim.nextPush();
    const address = (await fieldsOf(id)).get('addr')!;
    const words = {
      'old form': [address],
      ADDR: ['ADDR', address],
      ID: ['ID', String(id)],
      'TYPE pubsub': ['TYPE', 'pubsub'],
    };
    const reply = await client.call('CLIENT', 'KILL', ...words[how as keyof typeof words]);
    expect(reply).toBe(how === 'old form' ? 'OK' : 1);
    await victim.closed;
    expect(await client.call('CLIENT', 'LIST', 'ID', String(id))).toBe('');
  });

  test('spares the caller unless it says otherwise', async () => {
    const self = await server.client();
    const id = String(await self.call('CLIENT', 'ID'));
    expect(await self.call('CLIENT', 'KILL', 'ID', id)).toBe(0);
    expect(await self.call('CLIENT', 'KILL', 'ID', id, 'SKIPME', 'no')).toBe(1);
    await self.closed;
    expect(self.isClosed).toBe(true);
  });
});

describe('CLIENT REPLY', () => {
  test('OFF silences all, ON ends it, SKIP silences one', async () => {
    const quiet = await server.client();
    quiet.send('CLIENT', 'REPLY', 'SKIP');
    quiet.send('SET', 'q', '1');
    expect(await quiet.call('GET', 'q')).toBe('1');
    quiet.send('CLIENT', 'REPLY', 'OFF');
    quiet.send('SET', 'q', '2');
    quiet.send('NOSUCH');
    expect(await quiet.call('CLIENT', 'REPLY', 'ON')).toBe('OK');
    expect(await quiet.call('GET', 'q')).toBe('2');
    expect(quiet.pushes).toEqual([]);
    await quiet.close();
  });
});

describe('CLIENT PAUSE', () => {
  afterEach(async () => {
    await client.call('CLIENT', 'UNPAUSE');
  });

  test('WRITE holds writes back in their order, and lets reads through', async () => {
    const writer = await server.client();
    await client.call('SET', 'p', '0');
    await client.call('CLIENT', 'PAUSE', '100000', 'WRITE');
    expect(await writer.call('GET', 'p')).toBe('0');
    const replies = writer.pipeline([
      ['SET', 'p', '1'],
      ['INCR', 'p'],
      ['GET', 'p'],
    ]);
    expect(await client.call('GET', 'p')).toBe('0');
    const id = String(await client.call('CLIENT', 'ID'));
    await waitFor(async () => String(await client.call('CLIENT', 'LIST')).includes(' flags=b '));
    expect(id).not.toBe('');
    await client.call('CLIENT', 'UNPAUSE');
    expect(await replies).toEqual(['OK', 2, '2']);
    await writer.close();
  });

  test('WRITE holds back a transaction that writes, and no other', async () => {
    const writer = await server.client();
    await writer.pipeline([['MULTI'], ['SET', 'p', 'tx']]);
    const reader = await server.client();
    await reader.pipeline([['MULTI'], ['GET', 'p']]);
    await client.call('CLIENT', 'PAUSE', '100000', 'WRITE');
    const held = writer.call('EXEC');
    expect(await reader.call('EXEC')).not.toEqual(['tx']);
    await client.call('CLIENT', 'UNPAUSE');
    expect(await held).toEqual(['OK']);
    await Promise.all([writer.close(), reader.close()]);
  });

  test('ALL holds everything back until its time is up', async () => {
    const other = await server.client();
    await client.call('CLIENT', 'PAUSE', '50');
    expect(await other.call('PING')).toBe('PONG');
    expect(await client.call('PING')).toBe('PONG');
    await other.close();
  });

  test('a client that goes while it waits is forgotten', async () => {
    const writer = await server.client();
    await client.call('CLIENT', 'PAUSE', '100000', 'WRITE');
    writer.send('SET', 'gone', '1');
    await waitFor(async () => String(await client.call('CLIENT', 'LIST')).includes(' flags=b '));
    await writer.close();
    await waitFor(async () => !String(await client.call('CLIENT', 'LIST')).includes(' flags=b '));
    await client.call('CLIENT', 'UNPAUSE');
    expect(await client.call('GET', 'gone')).toBeNull();
  });
});

describe('MONITOR', () => {
  test('shows commands of others as Redis does, without passwords', async () => {
    const [monitor, other] = await Promise.all([
      server.client(),
      server.client({ bulk: 'latin1' }),
    ]);
    expect(await monitor.call('MONITOR')).toBe('OK');
    await other.call('SET', 'k', 'a\x01b\xff\n"\\');
    await other.command('AUTH', 'some', 'secret');
    await other.call('SELECT', '7');
    await other.call('CONFIG', 'GET', 'port');
    await other.call('PING');
    const lines: string[] = [];
    while (lines.length < 4) lines.push(String(await monitor.nextPush()));
    expect(
      lines.map((line) => line.replace(/^\d+\.\d{6} \[(\d) 127\.0\.0\.1:\d+\] /, '$1 ')),
    ).toEqual([
      '0 "SET" "k" "a\\x01b\\xff\\n\\"\\\\"',
      '0 "AUTH" "(redacted)" "(redacted)"',
      '7 "SELECT" "7"',
      '7 "PING"',
    ]);
    expect(await monitor.command('GET', 'k')).toEqual(
      new RespError("ERR Replica can't interact with the keyspace"),
    );
    expect(await monitor.call('RESET')).toBe('RESET');
    await other.call('PING');
    expect(await monitor.call('GET', 'nosuch')).toBeNull();
    expect(monitor.pushes).toEqual([]);
    await Promise.all([monitor.close(), other.close()]);
  });
});

describe('a password', () => {
  afterEach(async () => {
    await client.call('CONFIG', 'SET', 'requirepass', '');
  });

  test('keeps others out, and who is in stays in', async () => {
    await client.call('CONFIG', 'SET', 'requirepass', 'söcret');
    expect(await client.call('PING')).toBe('PONG');
    const other = await server.client();
    expect(await other.command('GET', 'k')).toEqual(
      new RespError('NOAUTH Authentication required.'),
    );
    expect(String(((await other.command('HELLO', '3')) as RespError).message)).toMatch(
      /^NOAUTH HELLO must be called/,
    );
    expect(await other.command('AUTH', 'wrong')).toEqual(
      new RespError('WRONGPASS invalid username-password pair or user is disabled.'),
    );
    expect(await other.command('AUTH', 'nobody', 'söcret')).toBeInstanceOf(RespError);
    expect(await other.call('AUTH', 'söcret')).toBe('OK');
    expect(await other.call('GET', 'k2')).toBeNull();
    await other.call('RESET');
    expect(await other.command('GET', 'k')).toBeInstanceOf(RespError);
    const hello = (await other.call(
      'HELLO',
      '3',
      'AUTH',
      'default',
      'söcret',
      'SETNAME',
      'x',
    )) as Map<string, unknown>;
    expect(hello.get('proto')).toBe(3);
    expect(await other.call('ACL', 'WHOAMI')).toBe('default');
    await other.close();
  });

  test('limits what may be sent before it is given', async () => {
    await client.call('CONFIG', 'SET', 'requirepass', 'secret');
    const other = await server.client();
    other.write('*11\r\n');
    expect(await other.reply()).toEqual(
      new RespError('ERR Protocol error: unauthenticated multibulk length'),
    );
    await other.closed;
    const another = await server.client();
    another.write('*1\r\n$20000\r\n');
    expect(await another.reply()).toEqual(
      new RespError('ERR Protocol error: unauthenticated bulk length'),
    );
    await another.closed;
    expect(another.isClosed).toBe(true);
  });

  test('is no longer asked for when it is gone', async () => {
    await client.call('CONFIG', 'SET', 'requirepass', 'secret');
    const other = await server.client();
    expect(await other.command('PING')).toBeInstanceOf(RespError);
    await client.call('CONFIG', 'SET', 'requirepass', '');
    expect(await other.call('PING')).toBe('PONG');
    await other.close();
  });
});

describe('who is turned away', () => {
  test('a client beyond maxclients', async () => {
    await waitFor(async () => (await client.infoField('clients', 'connected_clients')) === '1', {
      what: 'those of the tests before to be gone',
    });
    await client.call('CONFIG', 'SET', 'maxclients', 1);
    const other = await RespClient.connect(server.port);
    expect(await other.reply()).toEqual(new RespError('ERR max number of clients reached'));
    await other.closed;
    await client.call('CONFIG', 'SET', 'maxclients', '10000');
    expect(Number(await client.infoField('stats', 'rejected_connections'))).toBe(1);
  });

  test.each([
    'POST / HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'Host: localhost\r\n',
    'host: x\r\nSET a b\r\n',
  ])('an HTTP request: %j', async (text) => {
    const browser = await server.client();
    browser.write(text);
    await browser.closed;
    await server.waitForLine('Possible SECURITY ATTACK detected');
    expect(browser.pushes).toEqual([]);
  });

  test('an idle client, after timeout', async () => {
    const [idle, subscriber] = await Promise.all([server.client(), server.client()]);
    await idle.call('PING');
    subscriber.send('SUBSCRIBE', 'x');
    await subscriber.nextPush();
    await client.call('CONFIG', 'SET', 'timeout', '1', 'hz', '100');
    await waitFor(async () => {
      await client.call('PING');
      return idle.isClosed;
    });
    expect(subscriber.isClosed).toBe(false);
    await client.call('CONFIG', 'SET', 'timeout', '0', 'hz', '10');
    await subscriber.close();
  });

  const outside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;

  test.runIf(outside !== undefined)(
    'a client from elsewhere, while there is no password',
    async () => {
      const open = await startHeadwater({ args: ['--bind', '*'] });
      const socket = connect({ port: open.port, host: outside! });
      let text = '';
      socket.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      await new Promise((resolve) => socket.once('close', resolve));
      expect(text).toMatch(
        /^-DENIED Redis is running in protected mode because .*from the outside\.\r\n$/,
      );
      const local = await open.client();
      await local.call('CONFIG', 'SET', 'protected-mode', 'no');
      const remote = await open.client({ host: outside! });
      expect(await remote.call('PING')).toBe('PONG');
      await Promise.all([local.close(), remote.close()]);
      await open.stop();
    },
  );
});
