/**
 * DEBUG RESTART and CRASH-AND-RECOVER: the program begins again, and whoever started the process
 * sees one process.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import type { Headwater, HeadwaterOptions } from '../../../support/headwater.ts';
import { startNode } from '../../../support/node-in-process.ts';
import { RespClient } from '../../../support/resp-client.ts';
import { RespError } from '../../../support/resp-parser.ts';
import { temporaryDirectory } from '../../../support/server-process.ts';
import { type Servers, test } from '../../../support/servers.ts';
import { waitFor } from '../../../support/wait-for.ts';

/** Node.js can replace the program of a process: there is no second process then. */
const hasExecve = 'execve' in process;
const FAILED = new RespError('ERR failed to restart the server. Check server logs.');

function start(servers: Servers, options: HeadwaterOptions = {}): Promise<Headwater> {
  return servers.headwater({
    ...options,
    args: ['--enable-debug-command', 'yes', '--save', '3600', '1', ...(options.args ?? [])],
  });
}

/** Process ids of the children of a process. */
const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
    .split(' ')
    .filter((word) => word !== '')
    .map(Number);

/** The process that serves: the child, if there is one. */
const serving = ({ pid }: Headwater): number => (hasExecve ? pid : childrenOf(pid)[0]!);

const lives = (pid: number): boolean => existsSync(`/proc/${pid}`);

const starts = ({ lines }: Headwater): number =>
  lines.filter((line) => line.includes('just started')).length;

/** Sends DEBUG with `words`, which ends the connection, and waits for the next program. */
async function again(node: Headwater, ...words: string[]): Promise<RespClient> {
  const client = await node.client();
  const before = await client.infoField('server', 'run_id');
  client.write(`DEBUG ${words.join(' ')}\r\n`);
  return waitFor(() => clientOfOther(node, before), { what: 'another start, and its load' });
}

/** A client of the program once it is ready, and has another run id. */
async function clientOfOther(node: Headwater, runId: string): Promise<RespClient | undefined> {
  const client = await RespClient.connect(node.port).catch(() => undefined);
  // The one before may end meanwhile.
  const info = await client?.command('INFO', 'server').catch(() => '');
  const reply = await client?.command('PING').catch(() => '');
  const id = /run_id:([0-9a-f]{40})/.exec(String(info))?.[1];
  if (reply === 'PONG' && id !== undefined && id !== runId) return client;
  await client?.close();
  return undefined;
}

test.concurrent('RESTART keeps the data, CRASH-AND-RECOVER what was saved, again and again', async ({
  servers,
}) => {
  const node = await start(servers);
  let client = await node.client();
  await client.call('SET', 'a', '1');
  client = await again(node, 'RESTART');
  expect(await client.call('GET', 'a')).toBe('1');
  await node.waitForLine('Saving the final RDB snapshot before exiting.');
  await client.call('SET', 'b', '2');
  client = await again(node, 'CRASH-AND-RECOVER');
  expect(await client.call('MGET', 'a', 'b')).toEqual(['1', null]);
  await client.call('SET', 'c', '3');
  client = await again(node, 'restart', '-5', 'more');
  expect(await client.call('MGET', 'a', 'c')).toEqual(['1', '3']);
  await client.call('SET', 'd', '4');
  client = await again(node, 'crash-and-recover', '1');
  expect(await client.call('MGET', 'a', 'c', 'd')).toEqual(['1', '3', null]);
  await waitFor(() => starts(node) >= 5, { what: 'the lines of all starts' });
  expect(starts(node)).toBe(5);
  const pid = serving(node);
  expect(await client.infoField('server', 'process_id')).toBe(String(pid));
  if (!hasExecve) expect(childrenOf(node.pid)).toEqual([pid]);
  process.kill(node.pid, 'SIGTERM');
  await node.exited;
  expect(node.exitCode).toBe(0);
  expect(lives(pid)).toBe(false);
  expect(node.output).toContain('Received SIGTERM scheduling shutdown...');
});

test.concurrent('RESTART writes the configuration to its file', async ({ servers }) => {
  const node = await start(servers, { conf: 'slowlog-max-len 5\n' });
  let client = await node.client();
  await client.call('CONFIG', 'SET', 'slowlog-max-len', '77');
  client = await again(node, 'RESTART');
  expect(await client.call('CONFIG', 'GET', 'slowlog-max-len')).toEqual(['slowlog-max-len', '77']);
  await client.call('CONFIG', 'SET', 'slowlog-max-len', '78');
  client = await again(node, 'CRASH-AND-RECOVER');
  expect(await client.call('CONFIG', 'GET', 'slowlog-max-len')).toEqual(['slowlog-max-len', '77']);
});

test.concurrent('SHUTDOWN of the new program ends the process', async ({ servers }) => {
  const node = await start(servers);
  const client = await again(node, 'CRASH-AND-RECOVER');
  client.write('SHUTDOWN NOSAVE\r\n');
  await node.exited;
  expect(node.exitCode).toBe(0);
});

test.concurrent('SIGTERM during the delay ends the process', async ({ servers }) => {
  const node = await start(servers);
  const client = await node.client();
  client.write('DEBUG RESTART 600000\r\n');
  await node.waitForLine('bye bye...');
  const refused = async (): Promise<boolean> => {
    const late = await RespClient.connect(node.port).catch(() => undefined);
    await late?.close();
    return late === undefined;
  };
  await waitFor(refused, { what: 'the port to close' });
  process.kill(node.pid, 'SIGTERM');
  await node.exited;
  expect(node.exitCode).toBe(0);
  expect(starts(node)).toBe(1);
});

describe.skipIf(hasExecve)('the thin parent', { concurrent: true }, () => {
  test('ends with the signal that ends the successor', async ({ servers }) => {
    const node = await start(servers);
    const client = await again(node, 'CRASH-AND-RECOVER');
    client.write('DEBUG SEGFAULT\r\n');
    await node.exited;
    expect(node.exitCode).toBeNull();
  });

  test('ends with the exit code of the successor', async ({ servers }) => {
    const node = await start(servers);
    const client = await again(node, 'CRASH-AND-RECOVER');
    client.write('DEBUG PANIC\r\n');
    await node.exited;
    expect(node.exitCode).toBe(1);
  });

  test.for(['SIGHUP', 'SIGUSR1'] as const)('%s changes nothing', async (signal, { servers }) => {
    const node = await start(servers);
    const client = await again(node, 'CRASH-AND-RECOVER');
    process.kill(node.pid, signal);
    expect(await client.call('PING')).toBe('PONG');
    expect(node.hasExited).toBe(false);
  });

  test('takes the successor with it when it is killed', async ({ servers }) => {
    const node = await start(servers);
    await again(node, 'CRASH-AND-RECOVER');
    const pid = serving(node);
    process.kill(node.pid, 'SIGKILL');
    await waitFor(() => !lives(pid), { what: 'the successor to end' });
    await node.waitForLine('The parent of this process is gone');
  });

  test('holds nothing of the dataset', async ({ servers }) => {
    const node = await start(servers);
    const client = await node.client();
    await client.call('DEBUG', 'POPULATE', '1000000', 'key', '200');
    const residentKib = (): number =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${node.pid}/status`, 'latin1'))?.[1]);
    const full = residentKib();
    await again(node, 'CRASH-AND-RECOVER');
    const goal = full - 150 * 1024;
    await waitFor(() => residentKib() < goal, { what: `${full} KiB to go down to ${goal}` });
  });
});

test.concurrent('the process of the start stands in the pid file and for systemd', async ({
  servers,
}) => {
  const dir = temporaryDirectory('notify');
  const log = join(dir, 'told');
  writeFileSync(join(dir, 'systemd-notify'), `#!/bin/sh\necho "$*" >> '${log}'\n`);
  chmodSync(join(dir, 'systemd-notify'), 0o755);
  const node = await start(servers, {
    args: ['--pidfile', 'run.pid', '--supervised', 'systemd'],
    env: { NOTIFY_SOCKET: join(dir, 'socket'), PATH: `${dir}:${process.env['PATH']}` },
  });
  const path = join(node.dir, 'run.pid');
  const told = (): string[] => readFileSync(log, 'utf8').trim().split('\n');
  await again(node, 'RESTART');
  await again(node, 'RESTART');
  expect(readFileSync(path, 'utf8')).toBe(`${node.pid}\n`);
  await waitFor(() => told().filter((line) => line.includes('READY=1')).length === 3);
  expect(told().filter((line) => !line.startsWith(`--pid=${node.pid} `))).toEqual([]);
  // The service goes on, so systemd is not told that it stops.
  expect(told().join()).not.toContain('STOPPING');
  process.kill(node.pid, 'SIGTERM');
  await node.exited;
  expect(existsSync(path)).toBe(false);
  await waitFor(() => told().join().includes('STOPPING=1'), { what: 'the end to be told' });
});

describe.concurrent('a restart that cannot be', () => {
  test('leaves the node as it is', async ({ servers }) => {
    const node = await start(servers);
    const client = await node.client();
    await client.call('SET', 'a', '1');
    expect(await client.command('DEBUG', 'RESTART', 'x')).toEqual(
      new RespError('ERR value is not an integer or out of range'),
    );
    renameSync(node.dir, `${node.dir}-away`);
    expect(await client.command('DEBUG', 'RESTART')).toEqual(FAILED);
    renameSync(`${node.dir}-away`, node.dir);
    await node.waitForLine("Can't restart: error preparing for shutdown");
    expect(await client.call('SAVE')).toBe('OK');
    expect(await client.call('SET', 'a', '2')).toBe('OK');
    expect(await client.infoField('errorstats', 'errorstat_ERR')).toBe('count=2');
    await client.call('MULTI');
    await client.call('DEBUG', 'RESTART');
    expect(await client.call('EXEC')).toEqual([
      new RespError('ERR DEBUG RESTART is not possible inside a transaction'),
    ]);
  });

  test('because the configuration cannot be written', async ({ servers }) => {
    const node = await start(servers, { conf: 'slowlog-max-len 5\n' });
    const client = await node.client();
    const file = String(await client.infoField('server', 'config_file'));
    rmSync(file);
    mkdirSync(file);
    expect(await client.command('DEBUG', 'RESTART')).toEqual(FAILED);
    await node.waitForLine("Can't restart: configuration rewrite process failed: ");
    expect(await client.call('PING')).toBe('PONG');
  });

  test('because the node is a part of another program', async () => {
    const { client, messages, stop } = await startNode('enable-debug-command yes');
    const one = await client();
    for (const name of ['RESTART', 'CRASH-AND-RECOVER']) {
      expect(await one.command('DEBUG', name)).toEqual(FAILED);
    }
    expect(messages).toContain("Can't restart: the node is a part of another program");
    await stop();
  });
});
