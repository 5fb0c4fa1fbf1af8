/**
 * A base of commands that is not completed: its disk is full or fails at any step, or something
 * ends it in the middle. The node goes on, and a SIGKILL at any time loses nothing.
 */
import { cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { createLogger } from '../../../../src/base/log.ts';
import { Node } from '../../../../src/node.ts';
import { loadConfig } from '../../../../src/server/config/load.ts';
import { type AofDisk, realAofDisk } from '../../../../src/server/persistence/aof/aof-disk.ts';
import { Gate } from '../../../support/gate.ts';
import { startNode } from '../../../support/node-in-process.ts';
import { RespClient } from '../../../support/resp-client.ts';
import { temporaryDirectory } from '../../../support/server-process.ts';
import { waitFor } from '../../../support/wait-for.ts';

type Step = 'create' | 'write' | 'sync' | 'close' | 'rename' | 'syncDirectory';
/** Called before a step on a base, with the count of that step so far; it may wait or throw. */
type Before = (step: Step, count: number) => void | Promise<void>;

interface Running {
  readonly node: Node;
  readonly client: RespClient;
  readonly directory: string;
  readonly appendOnly: Node['dumps']['appendOnly'];
}

const running: Running[] = [];
const gates: Gate[] = [];
afterEach(async () => {
  for (const gate of gates.splice(0)) gate.open();
  for (const { client, node } of running.splice(0)) {
    await client.close();
    await node.stop();
  }
});

function newGate(): Gate {
  const gate = new Gate(true);
  gates.push(gate);
  return gate;
}

const systemError = (code: string): Error => Object.assign(new Error(code), { code });

function diskWith(before: Before): AofDisk {
  const counts = new Map<Step, number>();
  const pass = async (step: Step): Promise<void> => {
    const count = (counts.get(step) ?? 0) + 1;
    counts.set(step, count);
    await before(step, count);
  };
  return {
    ...realAofDisk,
    create: async (path) => {
      await pass('create');
      const file = await realAofDisk.create(path);
      return {
        write: async (bytes, offset, length, position) => {
          await pass('write');
          // A disk may take a part.
          return await file.write(bytes, offset, Math.ceil(length / 2), position);
        },
        sync: async () => {
          await pass('sync');
          await file.sync();
        },
        close: async () => {
          await file.close();
          await pass('close');
        },
      };
    },
    rename: async (from, to) => {
      if (to.includes('.base.')) await pass('rename');
      await realAofDisk.rename(from, to);
    },
    syncDirectory: async (path) => {
      await pass('syncDirectory');
      await realAofDisk.syncDirectory(path);
    },
  };
}

async function start(before: Before, directory = temporaryDirectory('aof-base')): Promise<Running> {
  const options = ['port 0', 'bind 127.0.0.1', 'save ""', `dir ${directory}`, 'appendonly yes'];
  options.push(
    'aof-use-rdb-preamble no',
    'auto-aof-rewrite-percentage 0',
    'enable-debug-command yes',
  );
  const config = loadConfig({ options: options.join('\n'), directory });
  const log = createLogger({ level: 'warning', format: 'json', sink: () => {} });
  const node = new Node(config, log, diskWith(before));
  await node.start({ anyPort: true });
  const client = await RespClient.connect(node.port);
  const made = { node, client, directory, appendOnly: node.dumps.appendOnly };
  running.push(made);
  return made;
}

const KEYS = 600;

/** A dataset of some 6 MB, which the disk takes in many writes. */
async function fill({ client }: Running): Promise<void> {
  const value = 'x'.repeat(10_000);
  await client.pipeline(Array.from({ length: KEYS }, (_, i) => ['SET', `key:${i}`, value]));
  await client.call('RPUSH', 'list', ...Array.from({ length: 100 }, (_, i) => `e${i}`));
}

/** What a SIGKILL now leaves is this dataset, with this history. */
async function expectKept(made: Running): Promise<void> {
  const { appendOnly, client, directory, node } = made;
  await waitFor(() => appendOnly.journal.waitingBytes === 0);
  const { endOffset } = node.server.streamLog;
  const digest = await client.call('DEBUG', 'DIGEST');
  const copy = temporaryDirectory('aof-base-killed');
  cpSync(directory, copy, { recursive: true });
  const again = await start(() => {}, copy);
  expect(await again.client.call('DEBUG', 'DIGEST')).toBe(digest);
  expect(again.node.server.streamLog.endOffset).toBe(endOffset);
  expect(again.node.server.history.replid2).toBe(node.server.history.replid);
}

/** The next rewrite succeeds, and leaves nothing of those before it. */
async function expectRewrite(made: Running): Promise<void> {
  const { appendOnly, client } = made;
  await waitFor(() => appendOnly.state === 'on' && !appendOnly.isRewriting);
  await waitFor(() => !made.node.dumps.persistence.busy);
  const { rewrites } = appendOnly;
  await client.call('BGREWRITEAOF');
  await waitFor(() => appendOnly.rewrites > rewrites && !appendOnly.isRewriting);
  expect(readdirSync(join(made.directory, 'appendonlydir'))).toHaveLength(3);
  await expectKept(made);
}

test.each([
  ['create', 1, 'EMFILE'],
  ['write', 1, 'ENOSPC'],
  ['write', 7, 'EIO'],
  ['sync', 1, 'EIO'],
  ['close', 1, 'ENOSPC'],
  ['rename', 1, 'EIO'],
  ['syncDirectory', 1, 'EIO'],
] as const)(
  '%s number %i of a base fails: %s',
  async (failing, number, code) => {
    let from: Map<Step, number> | undefined;
    let failures = 0;
    const made = await start((step) => {
      if (from === undefined) return;
      const count = (from.get(step) ?? 0) + 1;
      from.set(step, count);
      if (step !== failing || count !== number) return;
      failures++;
      throw systemError(code);
    });
    const { client, appendOnly } = made;
    await fill(made);
    from = new Map();
    await client.call('BGREWRITEAOF');
    await client.call('SET', 'during', '1');
    await waitFor(() => failures === 1 && !appendOnly.isRewriting);
    expect(appendOnly.lastSucceeded).toBe(false);
    await client.call('SET', 'behind', '1');
    await expectKept(made);
    await expectRewrite(made);
  },
  180_000,
);

test.each([
  ['FLUSHALL', ['FLUSHALL']],
  ['SWAPDB', ['SWAPDB', '0', '1']],
  ['DEBUG RELOAD NOSAVE', ['DEBUG', 'RELOAD', 'NOSAVE']],
  ['appendonly no', ['CONFIG', 'SET', 'appendonly', 'no']],
  ['another form', ['CONFIG', 'SET', 'aof-use-rdb-preamble', 'yes']],
])(
  '%s in the middle of a base',
  async (_, command) => {
    const gate = newGate();
    let writes = 0;
    const made = await start((step) => {
      return step === 'write' && ++writes > 5 ? gate.pass() : undefined;
    });
    const { client, appendOnly } = made;
    await client.call('SET', 'old', 'dump');
    await client.call('SAVE');
    await fill(made);
    gate.close();
    writes = 0;
    await client.call('BGREWRITEAOF');
    await waitFor(() => gate.waitingCount > 0);
    const answer = client.call(...(command as [string]));
    const other = await RespClient.connect(made.node.port);
    await other.call('PING');
    gate.open();
    expect(await answer).toBe('OK');
    await other.call('SET', 'behind', '1');
    await other.close();
    await waitFor(() => !appendOnly.isRewriting);
    if (!appendOnly.isOn) await client.call('CONFIG', 'SET', 'appendonly', 'yes');
    await waitFor(() => appendOnly.state === 'on' && !appendOnly.isRewriting);
    await expectKept(made);
    await expectRewrite(made);
  },
  180_000,
);

test('a replica in the middle of a base, and a primary again', async () => {
  const gate = newGate();
  let writes = 0;
  const made = await start((step) => {
    return step === 'write' && ++writes > 5 ? gate.pass() : undefined;
  });
  const { client, appendOnly, node } = made;
  await fill(made);
  const primary = await startNode('repl-diskless-sync-delay 0');
  const theirs = await primary.client();
  await theirs.call('SET', 'theirs', '1');
  gate.close();
  writes = 0;
  await client.call('BGREWRITEAOF');
  await waitFor(() => gate.waitingCount > 0);
  await client.call('REPLICAOF', '127.0.0.1', String(primary.port));
  gate.open();
  await waitFor(() => node.upstream.isUp && appendOnly.state === 'on' && !appendOnly.isRewriting);
  expect(await client.call('GET', 'theirs')).toBe('1');
  expect(await client.call('DBSIZE')).toBe(1);
  await client.call('REPLICAOF', 'NO', 'ONE');
  await client.call('SET', 'behind', '1');
  await theirs.close();
  await primary.stop();
  await expectKept(made);
  await expectRewrite(made);
}, 180_000);

test('a SIGKILL at each write of a base', async () => {
  const gate = newGate();
  const made = await start((step) => (step === 'write' ? gate.pass() : undefined));
  await fill(made);
  gate.close();
  await made.client.call('BGREWRITEAOF');
  for (let i = 0; i < 4; i++) {
    await waitFor(() => gate.waitingCount > 0);
    await made.client.call('INCR', 'n');
    await expectKept(made);
    gate.open();
    gate.close();
  }
  gate.open();
  await waitFor(() => !made.appendOnly.isRewriting);
  await expectRewrite(made);
}, 180_000);
