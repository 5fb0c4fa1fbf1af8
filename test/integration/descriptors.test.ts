/** What a node does when it may not open another file or socket: everything but die. */
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { RESERVED_DESCRIPTORS } from '../../src/server/admin/clients/descriptors.ts';
import { FakeReplica } from '../support/fake-replica.ts';
import { emptyTable, fillTable, forbidOpening, openDescriptors } from '../support/full-table.ts';
import { type Headwater, logRecords, startHeadwater } from '../support/headwater.ts';
import type { RespClient } from '../support/resp-client.ts';
import { RespError } from '../support/resp-parser.ts';
import { waitFor } from '../support/wait-for.ts';

const OPEN_FILES = 1024;
const ROOM = OPEN_FILES - RESERVED_DESCRIPTORS;

const messages = (server: Headwater): string[] => logRecords(server).map(({ msg }) => msg);

describe('under ulimit -n 1024', () => {
  let server: Headwater;
  let admin: RespClient;

  beforeAll(async () => {
    server = await startHeadwater({ openFiles: OPEN_FILES });
    admin = await server.client();
  });

  afterAll(async () => {
    await admin.close();
    await server.stop();
  });

  test('maxclients is fitted, in the words of Redis', async () => {
    await waitFor(() => messages(server).length >= 3);
    expect(messages(server).slice(0, 3)).toEqual([
      `You requested maxclients of 10000 requiring at least ${10000 + RESERVED_DESCRIPTORS} max file descriptors.`,
      `Server can't set maximum open files to ${10000 + RESERVED_DESCRIPTORS} because of OS error: Operation not permitted.`,
      `Current maximum open files is 1024. maxclients has been reduced to ${ROOM} to compensate for low ulimit. ` +
        "If you need higher maxclients increase 'ulimit -n'.",
    ]);
    expect(await admin.call('CONFIG', 'GET', 'maxclients')).toEqual(['maxclients', String(ROOM)]);
    expect(await admin.infoField('clients', 'maxclients')).toBe(String(ROOM));
  });

  test('CONFIG SET goes as far as the limit', async () => {
    expect(await admin.command('CONFIG', 'SET', 'maxclients', String(ROOM + 1))).toEqual(
      new RespError(
        "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is not able " +
          `to handle the specified number of clients, try with ${ROOM}`,
      ),
    );
    expect(await admin.call('CONFIG', 'SET', 'maxclients', '10')).toBe('OK');
    expect(await admin.call('CONFIG', 'SET', 'maxclients', String(ROOM))).toBe('OK');
  });

  test('1,100 clients come: those beyond are refused, and files can still be written', async () => {
    await waitFor(async () => (await admin.infoField('clients', 'connected_clients')) === '1');
    const refused: string[] = [];
    const sockets = Array.from({ length: 1100 }, () =>
      knock(server.port, (text) => refused.push(text)),
    );
    await waitFor(() => refused.length === 1100 + 1 - ROOM, { what: 'refusals' });
    expect(new Set(refused)).toEqual(new Set(['-ERR max number of clients reached\r\n']));
    // Those who were refused leave.
    await waitFor(() => openDescriptors(server.pid).length < OPEN_FILES - 32, {
      what: 'free descriptors',
    });
    await admin.call('SET', 'key', 'value');
    expect(await admin.call('SAVE')).toBe('OK');
    for (const socket of sockets) socket.destroy();
    await waitFor(async () => (await admin.infoField('clients', 'connected_clients')) === '1');
  });
});

test('a limit without room for a single client ends the start, in the words of Redis', async () => {
  await expect(startHeadwater({ openFiles: RESERVED_DESCRIPTORS })).rejects.toThrow(
    /Your current 'ulimit -n' .*is not enough for the server to start/,
  );
});

describe('while the table of descriptors is full', () => {
  let server: Headwater;
  let admin: RespClient;

  beforeEach(async () => {
    server = await startHeadwater({
      openFiles: OPEN_FILES,
      args: ['--enable-debug-command', 'yes', '--snapshot-spool-memory', '64kb'],
    });
    admin = await server.client();
    await admin.call('SET', 'key', 'value');
  });

  afterEach(async () => {
    await admin.close();
    await server.stop();
  });

  const full = (): void => forbidOpening(server.pid);
  const room = (): void => emptyTable(server.pid, OPEN_FILES);

  test('a new client is cut off and the log tells it once, and later ones are welcome', async () => {
    // The client that waited for the start has gone.
    await waitFor(async () => (await admin.infoField('clients', 'connected_clients')) === '1');
    fillTable(server.pid);
    await once(knock(server.port), 'close');
    await once(knock(server.port), 'close');
    expect(await admin.call('GET', 'key')).toBe('value');
    await server.waitForLine('Accepting client connection: accept: Too many open files.');
    room();
    await server.waitForLine('There is room for open files again');
    const late = await server.client();
    expect(await late.call('PING')).toBe('PONG');
    await late.close();
    const told = messages(server).filter((text) => text.startsWith('Accepting client connection'));
    expect(told).toHaveLength(1);
  });

  test('the resident memory keeps its last figure', async () => {
    full();
    await server.waitForLine(
      'Resident memory cannot be read: Too many open files. Its last figure is shown.',
    );
    expect(Number(await admin.infoField('memory', 'used_memory_rss'))).toBeGreaterThan(2 ** 20);
    room();
    expect(await admin.call('PING')).toBe('PONG');
  });

  test('BGSAVE fails with a reason, and the next one succeeds', async () => {
    full();
    expect(await admin.call('BGSAVE')).toBe('Background saving started');
    await server.waitForLine('Background saving error');
    expect(await admin.infoField('persistence', 'rdb_last_bgsave_status')).toBe('err');
    room();
    await waitFor(async () => !((await admin.command('SAVE')) instanceof RespError));
    expect(await admin.infoField('persistence', 'rdb_last_bgsave_status')).toBe('ok');
  });

  test('BGSAVE says which file it cannot open, once its thread runs', async () => {
    expect(await admin.call('SAVE')).toBe('OK');
    full();
    expect(await admin.command('SAVE')).toBeInstanceOf(RespError);
    await server.waitForLine(
      /Failed opening the temp RDB file temp-\d+-\d+\.rdb \(in server root dir .*\) for saving: Too many open files/,
    );
    room();
    expect(await admin.call('SAVE')).toBe('OK');
  });

  test('DEBUG RELOAD fails and the dataset stays', async () => {
    expect(await admin.call('SAVE')).toBe('OK');
    full();
    expect(await admin.command('DEBUG', 'RELOAD', 'NOSAVE')).toBeInstanceOf(RespError);
    expect(await admin.call('GET', 'key')).toBe('value');
    room();
    await waitFor(async () => (await admin.command('DEBUG', 'RELOAD', 'NOSAVE')) === 'OK');
    expect(await admin.call('GET', 'key')).toBe('value');
  });

  test('a full sync that needs a file on disk fails alone', async () => {
    await admin.call('DEBUG', 'POPULATE', '30000', 'p', '1000');
    await admin.call('CONFIG', 'SET', 'rdbcompression', 'no');
    // The thread that makes dumps runs then.
    expect(await admin.call('SAVE')).toBe('OK');
    const slow = await server.client();
    // The server has accepted it: it could not behind this.
    expect(await slow.call('PING')).toBe('PONG');
    full();
    slow.send('PSYNC', '?', '-1');
    slow.socket.pause();
    await server.waitForLine('failed: its part of the dump is lost');
    expect(await admin.call('GET', 'key')).toBe('value');
    room();
    slow.socket.destroy();
    const next = await FakeReplica.attach(server.port);
    await waitFor(() => next.phase === 'stream');
    next.socket.destroy();
  });
});

test('lines for a log file that cannot be opened are counted, and standard error is told', async () => {
  const logfile = join(mkdtempSync(join(tmpdir(), 'headwater-full-')), 'log');
  const server = await startHeadwater({ openFiles: OPEN_FILES, args: ['--logfile', logfile] });
  const client = await server.client();
  forbidOpening(server.pid);
  await server.waitForLine(`# The log file ${logfile} cannot be written: Too many open files.`);
  expect(await client.call('PING')).toBe('PONG');
  emptyTable(server.pid, OPEN_FILES);
  await waitFor(async () => (await client.command('SAVE')) === 'OK');
  await waitFor(() =>
    /^# \d+ log lines could not be written: Too many open files$/m.test(
      readFileSync(logfile, 'utf8'),
    ),
  );
  expect(server.lines.filter((line) => line.includes('cannot be written'))).toHaveLength(1);
  await client.close();
  await server.stop();
});

/** A connection that says nothing; `onText` gets what it is told. */
function knock(port: number, onText: (text: string) => void = () => {}): Socket {
  const socket = connect(port, '127.0.0.1');
  socket.on('data', (bytes) => onText(bytes.toString('latin1')));
  socket.on('error', () => {});
  return socket;
}
