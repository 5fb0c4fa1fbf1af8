/** Turning the append only file on and off: what a retry writes, and what is left when it is off. */
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { createLogger } from '../../../../src/base/log.ts';
import { Node } from '../../../../src/node.ts';
import { loadConfig } from '../../../../src/server/config/load.ts';
import { type AofDisk, realAofDisk } from '../../../../src/server/persistence/aof/aof-disk.ts';
import type { AppendOnly } from '../../../../src/server/persistence/aof/append-only.ts';
import { Gate } from '../../../support/gate.ts';
import { RespClient } from '../../../support/resp-client.ts';
import { temporaryDirectory } from '../../../support/server-process.ts';
import { waitFor } from '../../../support/wait-for.ts';

let node: Node;
let client: RespClient;

async function start(directory: string, appendonly: 'yes' | 'no', disk?: AofDisk): Promise<void> {
  const lines = ['port 0', 'bind 127.0.0.1', 'save ""', `dir ${directory}`];
  const options = [...lines, `appendonly ${appendonly}`].join('\n');
  const config = loadConfig({ options, directory });
  const logger = createLogger({ level: 'warning', format: 'json', sink: () => {} });
  node = new Node(config, logger, disk);
  await node.start({ anyPort: true });
  client = await RespClient.connect(node.port);
}

async function stop(): Promise<void> {
  await client.close();
  await node.dumps.appendOnly.close();
  await node.stop();
}

afterEach(stop);

const appendOnly = (): AppendOnly => node.dumps.appendOnly;

test('a beginning that is tried again writes no command twice', async () => {
  const directory = temporaryDirectory('aof-again');
  await start(directory, 'no');
  const { files } = appendOnly();
  // A folder in the place of the temporary base cannot be opened as a file.
  const place = join(files.directory, `temp-rewriteaof-bg-${process.pid}.aof`);
  mkdirSync(place, { recursive: true });
  await client.call('CONFIG', 'SET', 'appendonly', 'yes');
  await waitFor(() => appendOnly().failures > 0 && !appendOnly().isRewriting);
  rmdirSync(place);
  const create = files.createIncrement.bind(files);
  files.createIncrement = async (after) => {
    const increment = await create(after);
    await client.call('INCR', 'count');
    return increment;
  };
  await waitFor(() => appendOnly().state === 'on' && !appendOnly().isRewriting);
  const count = await client.call('GET', 'count');
  expect(Number(count)).toBeGreaterThan(0);
  const { endOffset } = node.server.streamLog;
  await stop();
  await start(directory, 'yes');
  expect(await client.call('GET', 'count')).toBe(count);
  expect(node.server.streamLog.endOffset).toBe(endOffset);
});

test('a file that is turned off while its new base is named stays off', async () => {
  await start(temporaryDirectory('aof-off'), 'yes');
  const { files } = appendOnly();
  const persist = files.persist.bind(files);
  files.persist = async (manifest) => {
    await persist(manifest);
    if (manifest.base?.seq === 2) await client.call('CONFIG', 'SET', 'appendonly', 'no');
  };
  await client.call('BGREWRITEAOF');
  await waitFor(() => !node.server.config.values.appendonly && !appendOnly().isRewriting);
  expect(appendOnly().state).toBe('off');
  expect(await client.infoField('persistence', 'aof_enabled')).toBe('0');
});

test('a disk that fails refuses no write once the file is off', async () => {
  let fails = false;
  await start(temporaryDirectory('aof-fails'), 'yes', {
    ...realAofDisk,
    sync: (file) =>
      fails
        ? Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }))
        : realAofDisk.sync(file),
  });
  fails = true;
  await client.call('SET', 'a', '1');
  await client.call('CONFIG', 'SET', 'appendonly', 'no');
  await waitFor(() => !appendOnly().journal.isSyncing);
  expect(await client.call('SET', 'a', '2')).toBe('OK');
  expect(await client.infoField('persistence', 'aof_last_write_status')).toBe('ok');
  // It may be turned on again, and its first failure is a new one.
  fails = false;
  await client.call('CONFIG', 'SET', 'appendfsync', 'no');
  await client.call('CONFIG', 'SET', 'appendonly', 'yes');
  await waitFor(() => appendOnly().state === 'on');
  expect(await client.call('SET', 'a', '3')).toBe('OK');
});

test('WAITAOF ends with an error when the file is turned off', async () => {
  const gate = new Gate(true);
  await start(temporaryDirectory('aof-wait'), 'yes', {
    ...realAofDisk,
    sync: async (file) => {
      await gate.pass();
      await realAofDisk.sync(file);
    },
  });
  gate.close();
  const waiting = await RespClient.connect(node.port);
  await waiting.call('SET', 'a', '1');
  const answer = waiting.call('WAITAOF', '1', '0', '0').catch((error: Error) => error);
  await waitFor(() => node.primary.waiters.count === 1);
  await client.call('CONFIG', 'SET', 'appendonly', 'no');
  gate.open();
  expect(String(await answer)).toContain(
    'ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.',
  );
  await waiting.close();
});

test('an empty line of the stream, which an increment holds as it came, is loaded', async () => {
  const directory = temporaryDirectory('aof-empty-line');
  const folder = join(directory, 'appendonlydir');
  mkdirSync(folder);
  const stream =
    '*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n\r\n*0\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n2\r\n';
  const name = 'appendonly.aof.1.incr.aof';
  writeFileSync(join(folder, name), `#headwater:at ${'ab'.repeat(20)} 100\r\n${stream}`);
  writeFileSync(join(folder, 'appendonly.aof.manifest'), `file ${name} seq 1 type i\n`);
  await start(directory, 'yes');
  expect(await client.call('MGET', 'a', 'b')).toEqual(['1', '2']);
  expect(node.server.streamLog.endOffset).toBeGreaterThanOrEqual(100 + stream.length);
  expect(node.server.history.replid2).toBe('ab'.repeat(20));
});
