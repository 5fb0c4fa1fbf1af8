/** A node as a process: Unix socket, pid file, title, service manager. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { onPath } from '../../../../bin/find-redis.js';
import { HEADWATER, startHeadwater } from '../../../support/headwater.ts';
import { findRedisServer } from '../../../support/real-redis.ts';
import { RespClient } from '../../../support/resp-client.ts';
import { temporaryDirectory } from '../../../support/server-process.ts';
import { waitFor } from '../../../support/wait-for.ts';

const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** Starts headwater without waiting for an answer on its port. */
function start(args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn(
    process.execPath,
    [HEADWATER, '--rehearsal', 'no', '--save', '', '--port', '0', ...args],
    { env: { ...process.env, ...env }, cwd: temporaryDirectory('start'), stdio: 'ignore' },
  );
  children.push(child);
  return child;
}

/** A client of a Unix socket that is yet to be opened. */
async function clientOf(path: string): Promise<RespClient> {
  await waitFor(() => existsSync(path), { what: 'the socket' });
  return await RespClient.connect(path);
}

/** Runs headwater until it ends by itself. */
function run(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [HEADWATER, '--rehearsal', 'no', '--save', '', ...args],
    { encoding: 'utf8', cwd: temporaryDirectory('run'), timeout: 20_000 },
  );
  return { status, output: stdout + stderr };
}

describe('unixsocket', () => {
  test('serves clients, with unixsocketperm, and goes at the end', async () => {
    const dir = temporaryDirectory('unix');
    // What a server that was killed leaves behind.
    const path = join(dir, 'own.sock');
    writeFileSync(path, '');
    const server = await startHeadwater({
      dir,
      args: ['--unixsocket', 'own.sock', '--unixsocketperm', '700'],
    });
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(await server.waitForLine('Ready to accept connections unix')).toBeTruthy();
    const client = await RespClient.connect(path);
    expect(await client.call('SET', 'k', 'v'.repeat(300_000))).toBe('OK');
    expect(await client.call('GET', 'k')).toHaveLength(300_000);
    expect(await client.call('CLIENT', 'INFO')).toMatch(
      /addr=own\.sock:0 laddr=own\.sock:0 .* flags=U /,
    );
    const info = String(await client.call('INFO', 'server'));
    expect(info).toContain(`listener0:name=tcp,bind=127.0.0.1,port=${server.port}\r\n`);
    expect(info).toContain(`listener1:name=unix,bind=${path}\r\n`);
    await client.close();
    await server.stop();
    expect(existsSync(path)).toBe(false);
  });

  test('alone is enough: port 0', async () => {
    const dir = temporaryDirectory('unix-only');
    const path = join(dir, 'only.sock');
    const child = start(['--unixsocket', path]);
    const client = await clientOf(path);
    const info = String(await client.call('INFO', 'server'));
    expect(info).toContain('tcp_port:0\r\n');
    expect(info).toContain(`listener1:name=unix,bind=${path}\r\n`);
    expect(info).not.toContain('listener0');
    client.write('SHUTDOWN NOSAVE\r\n');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  test('where none can be ends the start', () => {
    const { status, output } = run('--port', '0', '--unixsocket', '/no/such/folder/x.sock');
    expect([status, output]).toEqual([
      1,
      expect.stringContaining('Failed opening Unix socket: bind: No such file or directory'),
    ]);
  });

  test('with a path that the system would cut ends the start, and makes no file', async () => {
    const dir = temporaryDirectory('long');
    const path = (bytes: number): string => join(dir, 'x'.repeat(bytes - dir.length - 1));
    const { status, output } = run('--port', '0', '--unixsocket', path(108));
    expect([status, output]).toEqual([
      1,
      expect.stringContaining(
        'Failed opening Unix socket: unix socket path too long (108), must be under 108',
      ),
    ]);
    expect(readdirSync(dir)).toEqual([]);
    const child = start(['--unixsocket', path(107)]);
    const client = await clientOf(path(107));
    client.write('SHUTDOWN NOSAVE\r\n');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });
});

test('a tcp-backlog beyond the limit of the kernel is warned of', async () => {
  const server = await startHeadwater({ args: ['--tcp-backlog', '2147483647'] });
  const line = await server.waitForLine('cannot be enforced');
  const limit = readFileSync('/proc/sys/net/core/somaxconn', 'latin1').trim();
  expect(line).toContain(
    `WARNING: The TCP backlog setting of 2147483647 cannot be enforced because /proc/sys/net/core/somaxconn is set to the lower value of ${limit}.`,
  );
  await server.stop();
});

test('a start that would listen nowhere is refused', () => {
  for (const args of [
    ['--port', '0'],
    ['--bind', ''],
    ['--bind', '-10.255.255.1'],
  ]) {
    const { status, output } = run(...args);
    expect([status, output]).toEqual([
      1,
      expect.stringContaining('Configured to not listen anywhere, exiting.'),
    ]);
  }
});

test('a taken name of rename-command ends the start, as in Redis', () => {
  const file = join(temporaryDirectory('renamed'), 'renamed.conf');
  writeFileSync(file, '# a comment\n\nrename-command GET  "set"\n');
  const own = spawnSync(process.execPath, [HEADWATER, file, '--port', '7'], { encoding: 'utf8' });
  const real = spawnSync(findRedisServer(), [file, '--port', '7'], { encoding: 'utf8' });
  expect(own.status).toBe(real.status);
  const output = own.stdout + own.stderr;
  const frame = (text: string): string[] => text.slice(text.indexOf('***')).split('\n').slice(1);
  expect(frame(output)).toEqual(frame(real.stdout + real.stderr));
  expect(output).toContain('Target command name already exists');
});

describe('bind at the start', () => {
  test('takes names', async () => {
    for (const bind of ['localhost', '-localhost']) {
      const server = await startHeadwater({ args: ['--bind', bind] });
      const client = await server.client();
      expect(await client.call('CONFIG', 'GET', 'bind')).toEqual(['bind', bind]);
      await client.close();
      await server.stop();
    }
  });

  test("that fails is told in Redis' words, also in the log file", () => {
    for (const bind of ['a:b', '-a:b']) {
      const dir = temporaryDirectory('bind');
      const { status, output } = run(
        ...['--bind', bind, '--port', '7', '--dir', dir, '--logfile', join(dir, 'log')],
      );
      const lines = [
        'Warning: Could not create server TCP listening socket a:b:7: Name or service not known',
        'Failed listening on port 7 (tcp), aborting.',
      ];
      expect([status, output]).toEqual([1, lines.map((line) => `# ${line}\n`).join('')]);
      const log = readFileSync(join(dir, 'log'), 'utf8');
      for (const line of lines) expect(log).toContain(line);
    }
  });

  test('goes without an optional address, and says so', async () => {
    const server = await startHeadwater({ args: ['--bind', '127.0.0.1', '-10.255.255.1'] });
    await server.waitForLine(
      `Warning: Could not create server TCP listening socket 10.255.255.1:${server.port}: ` +
        'bind: Cannot assign requested address',
    );
    await server.stop();
  });
});

describe('pidfile', () => {
  test('holds the process id until the end', async () => {
    const server = await startHeadwater({ args: ['--pidfile', 'run.pid'] });
    const path = join(server.dir, 'run.pid');
    expect(readFileSync(path, 'utf8')).toBe(`${server.pid}\n`);
    const client = await server.client();
    client.write('SHUTDOWN NOSAVE\r\n');
    await server.exited;
    expect(existsSync(path)).toBe(false);
  });

  test('that cannot be written is told, and no more', async () => {
    const server = await startHeadwater({ args: ['--pidfile', '/no/such/folder/run.pid'] });
    expect(
      await server.waitForLine('Failed to write PID file: No such file or directory'),
    ).toBeTruthy();
    await server.stop();
  });
});

describe('set-proc-title and proc-title-template', () => {
  const titleOf = (pid: number): string =>
    readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').join(' ').trim();

  test.runIf(existsSync('/proc/self/cmdline'))('show in ps, and follow CONFIG SET', async () => {
    const server = await startHeadwater();
    expect(titleOf(server.pid)).toBe(`headwater 127.0.0.1:${server.port}`);
    const client = await server.client();
    await client.call('CONFIG', 'SET', 'proc-title-template', '{title} at {port}');
    expect(titleOf(server.pid)).toBe(`headwater at ${server.port}`);
    await server.stop();
    const plain = await startHeadwater({ args: ['--set-proc-title', 'no'] });
    expect(titleOf(plain.pid)).toContain('headwater.js');
    await plain.stop();
  });
});

describe('supervised', () => {
  /** A systemd-notify that writes down its words, and the environment that leads to it. */
  function notifier(): { env: NodeJS.ProcessEnv; told: () => string[] } {
    const dir = temporaryDirectory('notify');
    const log = join(dir, 'told');
    const program = join(dir, 'systemd-notify');
    writeFileSync(program, `#!/bin/sh\necho "$*" >> '${log}'\n`);
    chmodSync(program, 0o755);
    return {
      env: { NOTIFY_SOCKET: join(dir, 'socket'), PATH: `${dir}:${process.env['PATH']}` },
      told: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []),
    };
  }

  test.each(['systemd', 'auto'])('%s tells the start and the end, in order', async (supervised) => {
    const { env, told } = notifier();
    const server = await startHeadwater({ env, args: ['--supervised', supervised] });
    await waitFor(() => told().length === 2, { what: 'READY' });
    const client = await server.client();
    expect(await client.infoField('server', 'process_supervised')).toBe('systemd');
    client.write('SHUTDOWN SAVE\r\n');
    await server.exited;
    const pid = `--pid=${server.pid}`;
    await waitFor(() => told().length >= 4, { what: 'the end to be told' });
    expect(told()).toEqual([
      `${pid} STATUS=Redis is loading...`,
      `${pid} STATUS=Ready to accept connections READY=1`,
      `${pid} STOPPING=1`,
      `${pid} STATUS=Saving the final RDB snapshot`,
    ]);
  });

  test('auto without a service manager, and no, tell nobody', async () => {
    const { env, told } = notifier();
    const plain = await startHeadwater({ env, args: ['--supervised', 'no'] });
    await plain.stop();
    const auto = await startHeadwater({
      env: { NOTIFY_SOCKET: '', UPSTART_JOB: '' },
      args: ['--supervised', 'auto'],
    });
    const client = await auto.client();
    expect(await client.infoField('server', 'process_supervised')).toBe('no');
    await client.close();
    await auto.stop();
    expect(told()).toEqual([]);
  });

  test('systemd without its socket, or without systemd-notify, is told', async () => {
    const without = await startHeadwater({
      env: { NOTIFY_SOCKET: '' },
      args: ['--supervised', 'systemd'],
    });
    await without.waitForLine('systemd supervision error: NOTIFY_SOCKET not found!');
    await without.stop();
    const empty = temporaryDirectory('no-path');
    const server = await startHeadwater({
      env: { NOTIFY_SOCKET: join(empty, 'socket'), PATH: empty },
      args: ['--supervised', 'systemd'],
    });
    await server.waitForLine('systemd-notify does not start: it is not on the PATH');
    await server.stop();
  });

  test.runIf(existsSync('/proc/self/status'))(
    'upstart: the process stops once it is ready',
    async () => {
      const path = join(temporaryDirectory('upstart'), 'socket');
      const child = start(['--unixsocket', path, '--supervised', 'upstart'], {
        UPSTART_JOB: 'headwater',
      });
      const isStopped = (): boolean =>
        /^State:\s+T/m.test(readFileSync(`/proc/${child.pid}/status`, 'latin1'));
      await waitFor(isStopped, { what: 'the process to stop' });
      child.kill('SIGCONT');
      const client = await clientOf(path);
      expect(await client.infoField('server', 'process_supervised')).toBe('upstart');
      await client.close();
    },
  );

  /** The receiving end, which Node.js does not have. */
  const receiver = `
    use IO::Socket::UNIX; use Socket;
    my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die;
    $| = 1; print "listening\\n";
    while (defined $s->recv(my $m, 4096)) { $m =~ s/\\n/ /g; print "$m\\n"; last if $m =~ /STOPPING/ }`;

  test.runIf(onPath('systemd-notify') !== null && onPath('perl') !== null)(
    'the real systemd-notify reaches a socket of datagrams',
    async () => {
      const path = join(temporaryDirectory('datagrams'), 'notify');
      const perl = spawn('perl', ['-e', receiver, path], { stdio: ['ignore', 'pipe', 'inherit'] });
      children.push(perl);
      let heard = '';
      perl.stdout.setEncoding('utf8').on('data', (text: string) => {
        heard += text;
      });
      await waitFor(() => heard.includes('listening'), { what: 'the receiver' });
      const server = await startHeadwater({
        env: { NOTIFY_SOCKET: path },
        args: ['--supervised', 'systemd'],
      });
      await waitFor(() => heard.includes('READY=1'), { what: 'READY' });
      await server.stop();
      await waitFor(() => heard.includes('STOPPING=1'), { what: 'STOPPING' });
      expect(heard).toContain(`MAINPID=${server.pid}`);
    },
  );
});
