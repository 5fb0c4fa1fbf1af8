/** The thread that writes the base of the append only file ends in the middle of it. */
import { cpSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { createPool, type Pool } from '../../../../src/workers/pool.ts';
import { startNode } from '../../../support/node-in-process.ts';
import { temporaryDirectory } from '../../../support/server-process.ts';
import { waitFor } from '../../../support/wait-for.ts';

const state = vi.hoisted(() => ({ dies: false }));

vi.mock('../../../../src/workers/snapshot-job.ts', async (importOriginal) => {
  const original = await importOriginal<typeof import('../../../../src/workers/snapshot-job.ts')>();
  const entry = new URL('../../../support/dying-snapshot-task.mjs', import.meta.url);
  return {
    ...original,
    createSnapshotPool: (threads: number) => {
      const healthy = original.createSnapshotPool(threads);
      const dying: Pool<never, never> = createPool({ duty: 'snapshot', entry, threads: 1 });
      return new Proxy(healthy, {
        get(_, name) {
          if (name === 'close') return () => Promise.all([healthy.close(), dying.close()]);
          const target: object = name === 'run' && state.dies ? dying : healthy;
          const value: unknown = Reflect.get(target, name, target);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    },
  };
});

test('the rewrite fails, what the files hold stays, and the next one goes well', async () => {
  const { node, client, messages, stop } = await startNode('appendonly yes');
  const { appendOnly } = node.dumps;
  const writer = await client();
  await waitFor(() => appendOnly.state === 'on' && !appendOnly.isRewriting);
  await writer.call('SET', 'before', 'v');

  state.dies = true;
  await writer.call('BGREWRITEAOF');
  await waitFor(
    async () =>
      (await writer.infoField('persistence', 'aof_last_bgrewrite_status')) === 'err' &&
      !appendOnly.isRewriting,
    { what: 'the rewrite to fail' },
  );
  expect(messages.some((line) => line.includes('snapshot worker died'))).toBe(true);
  expect(node.server.keyspace.arena.frozen).toBe(false);
  await writer.call('SET', 'behind', 'w');
  expect(await writer.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);

  // As a SIGKILL now would leave it.
  const copy = temporaryDirectory('aof-copy');
  cpSync(node.server.config.values.dir, copy, { recursive: true });
  state.dies = false;
  const again = await startNode('appendonly yes', `dir ${copy}`);
  const reader = await again.client();
  expect(await reader.call('MGET', 'before', 'behind')).toEqual(['v', 'w']);
  await reader.close();
  await again.stop();

  const { rewrites } = appendOnly;
  await writer.call('BGREWRITEAOF');
  await waitFor(() => appendOnly.rewrites > rewrites && !appendOnly.isRewriting);
  expect(await writer.infoField('persistence', 'aof_last_bgrewrite_status')).toBe('ok');
  await writer.close();
  await stop();
});
