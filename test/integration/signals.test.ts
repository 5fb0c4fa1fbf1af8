/** What signals do, from the first moment of the process on. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeReplica } from '../support/fake-replica.ts';
import { HEADWATER, type Headwater, startHeadwater } from '../support/headwater.ts';
import type { RespClient } from '../support/resp-client.ts';
import { freePort, temporaryDirectory } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

/** Whether a process of ours may begin a space of process ids of its own. */
const mayUnshare = spawnSync('unshare', ['--pid', '--fork', 'true']).status === 0;

describe('a node that runs', () => {
  let server: Headwater;
  let client: RespClient;

  beforeEach(async () => {
    server = await startHeadwater();
    client = await server.client();
  });

  afterEach(async () => {
    await client.close();
    await server.stop();
  });

  test.each(['SIGHUP', 'SIGPIPE', 'SIGUSR1'] as const)('ignores %s', async (signal) => {
    process.kill(server.pid, signal);
    expect(await client.call('PING')).toBe('PONG');
    expect(server.hasExited).toBe(false);
    expect(server.output).not.toContain('Debugger listening');
  });

  test.each(['SIGTERM', 'SIGINT'] as const)('ends on %s', async (signal) => {
    process.kill(server.pid, signal);
    await server.exited;
    expect(server.exitCode).toBe(0);
    expect(server.output).toContain(`Received ${signal} scheduling shutdown...`);
    expect(server.output).toContain('bye bye...');
  });
});

test('the second SIGINT ends a node that waits for its replicas', async () => {
  const server = await startHeadwater({ args: ['--shutdown-timeout', '1000'] });
  const replica = await FakeReplica.attach(server.port, { ack: 'asked' });
  await waitFor(() => replica.phase === 'stream' && replica.acksSent > 0);
  replica.socket.pause();
  const admin = await server.client();
  await admin.call('SET', 'a', '1');
  process.kill(server.pid, 'SIGINT');
  await server.waitForLine('Waiting for replicas before shutting down.');
  process.kill(server.pid, 'SIGINT');
  await server.exited;
  expect(server.exitCode).toBe(1);
  expect(server.output).toContain('You insist... exiting now.');
  replica.socket.destroy();
  admin.socket.destroy();
});

test('SIGTERM ends a node while it loads', async () => {
  const first = await startHeadwater({ args: ['--enable-debug-command', 'yes'] });
  const client = await first.client();
  await client.call('DEBUG', 'POPULATE', '500000', 'key', '100');
  expect(await client.call('SAVE')).toBe('OK');
  await client.close();
  await first.kill();
  const child = start(['--dir', first.dir, '--save', '1', '1', '--port', String(await freePort())]);
  await waitFor(() => /Running|started/.test(child.output), { what: 'the start line' });
  child.process.kill('SIGTERM');
  expect(await child.exit).toEqual([0, null]);
  expect(child.output).toContain('Received shutdown signal during loading, scheduling shutdown.');
  expect(child.output).not.toContain('Saving the final RDB snapshot');
});

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s in the first moment ends the process with 0',
  async (signal) => {
    // Node.js hears no signal before it runs the first line of the program.
    const child = start(['--port', String(await freePort())]);
    await waitFor(() => ignoresHangUp(child.process.pid!), { what: 'the first line' });
    child.process.kill(signal);
    expect(await child.exit).toEqual([0, null]);
  },
);

test('SIGHUP in the first moment changes nothing', async () => {
  const child = start(['--port', String(await freePort())]);
  await waitFor(() => ignoresHangUp(child.process.pid!), { what: 'the first line' });
  child.process.kill('SIGHUP');
  await waitFor(() => child.output.includes('Ready to accept connections'), { what: 'the start' });
  child.process.kill('SIGTERM');
  expect(await child.exit).toEqual([0, null]);
});

test.runIf(mayUnshare)('as process 1 it hears SIGTERM and ignores SIGHUP', async () => {
  const port = await freePort();
  const child = start(['--port', String(port)], 'unshare', ['--pid', '--fork', '--kill-child']);
  await waitFor(() => child.output.includes('Ready to accept connections'), { what: 'the start' });
  expect(child.output).toContain('"pid":1,');
  const [first] = readFileSync(
    `/proc/${child.process.pid}/task/${child.process.pid}/children`,
    'utf8',
  ).split(' ');
  process.kill(Number(first), 'SIGHUP');
  process.kill(Number(first), 'SIGUSR1');
  process.kill(Number(first), 'SIGTERM');
  expect(await child.exit).toEqual([0, null]);
  expect(child.output).toContain('Received SIGTERM scheduling shutdown...');
});

test('SIGTERM ends a node that rehearses', async () => {
  const child = start(['--port', String(await freePort()), '--rehearsal', 'yes']);
  await waitFor(() => child.output.includes('Ready to accept connections'), { what: 'the start' });
  child.process.kill('SIGTERM');
  expect(await child.exit).toEqual([0, null]);
  expect(child.output).toContain('bye bye...');
});

test.each([
  ['an error that nobody catches', 'throw new Error("boom")'],
  ['a rejection that nobody handles', 'Promise.reject(new Error("boom"))'],
])('%s ends the process with a report', async (_name, code) => {
  const fault = `data:text/javascript,process.on('SIGUSR2', () => { ${code} })`;
  const server = await startHeadwater({ nodeArgs: ['--import', fault] });
  process.kill(server.pid, 'SIGUSR2');
  await server.exited;
  expect(server.exitCode).toBe(1);
  expect(server.output).toContain('=== HEADWATER BUG REPORT START');
  expect(server.output).toContain('Error: boom');
  expect(server.output).toContain('=== HEADWATER BUG REPORT END');
});

test('an address in use ends the start with its reason', async () => {
  const server = await startHeadwater();
  const child = start(['--port', String(server.port), '--rehearsal', 'yes']);
  expect(await child.exit).toEqual([1, null]);
  expect(child.output).toContain(
    `# Warning: Could not create server TCP listening socket 127.0.0.1:${server.port}: ` +
      `bind: Address already in use\n# Failed listening on port ${server.port} (tcp), aborting.\n`,
  );
  await server.stop();
});

/** Whether a process has run the first lines of the program: nothing else handles SIGHUP. */
function ignoresHangUp(pid: number): boolean {
  const mask =
    /^SigCgt:\s*([0-9a-f]+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? '0';
  return Number.parseInt(mask, 16) % 2 === 1;
}

interface Child {
  readonly process: ChildProcess;
  readonly output: string;
  readonly exit: Promise<unknown[]>;
}

const children = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** Starts headwater without waiting until it answers. */
function start(
  args: readonly string[],
  command: string = process.execPath,
  before: readonly string[] = [],
): Child {
  const nodeWords = command === process.execPath ? [] : [process.execPath];
  const words = [
    ...before,
    ...nodeWords,
    HEADWATER,
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--rehearsal',
    'no',
  ];
  const child = spawn(command, [...words, ...args], {
    cwd: temporaryDirectory('signals'),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  children.add(child);
  const exit = once(child, 'close').finally(() => children.delete(child));
  return {
    process: child,
    exit,
    get output() {
      return output;
    },
  };
}
