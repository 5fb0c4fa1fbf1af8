/**
 * The append only file after a crash, or a power cut, between any two steps on its files: the start
 * works, what the node has answered (what WAITAOF had confirmed) is there, and nothing is there
 * that does not follow from what was written in order.
 */
import { expect, test } from 'vitest';
import { createLogger } from '../../../../src/base/log.ts';
import { Node } from '../../../../src/node.ts';
import { loadConfig } from '../../../../src/server/config/load.ts';
import { type DiskState, RecordingDisk, restoreState } from '../../../support/recording-disk.ts';
import { RespClient } from '../../../support/resp-client.ts';
import { temporaryDirectory } from '../../../support/server-process.ts';
import { waitFor } from '../../../support/wait-for.ts';

const WRITES = 8;

function nodeIn(directory: string, disk?: RecordingDisk): Node {
  const lines = ['port 0', 'bind 127.0.0.1', 'save ""', `dir ${directory}`, 'appendonly yes'];
  const config = loadConfig({ options: lines.join('\n'), directory });
  return new Node(config, createLogger({ level: 'warning', format: 'json', sink: () => {} }), disk);
}

/** Increments a counter and lists its values, so that a lost or doubled write is seen. */
async function write(client: RespClient, number: number): Promise<void> {
  await client.call('MULTI');
  await client.call('RPUSH', 'list', String(number));
  await client.call('INCR', 'count');
  await client.call('EXEC');
}

async function expectWrites(directory: string, least: number, what: string): Promise<void> {
  const node = nodeIn(directory);
  await node.start({ anyPort: true });
  const client = await RespClient.connect(node.port);
  try {
    const list = (await client.call('LRANGE', 'list', '0', '-1')) as string[];
    const count = Number((await client.call('GET', 'count')) ?? 0);
    expect(list, what).toEqual(Array.from({ length: list.length }, (_, i) => String(i + 1)));
    expect(count, what).toBe(list.length);
    expect(list.length, what).toBeGreaterThanOrEqual(least);
    // The node writes on from there.
    await write(client, list.length + 1);
    expect(await client.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);
  } finally {
    await client.close();
    await node.stop();
  }
}

test('every prefix of the steps on the files loads, with all that was promised', async () => {
  const directory = temporaryDirectory('aof-steps');
  const disk = new RecordingDisk();
  const node = nodeIn(directory, disk);
  await node.start({ anyPort: true });
  const client = await RespClient.connect(node.port);
  let promised = 0;
  let written = 0;
  for (let i = 1; i <= WRITES; i++) {
    await write(client, i);
    // While a thread syncs, the write is put off and the reply is not, as in Redis.
    if (node.dumps.appendOnly.journal.waitingBytes === 0) written = i;
    disk.mark(written, promised);
    if (i % 4 === 0) {
      expect(await client.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);
      promised = i;
      written = i;
      disk.mark(written, promised);
    }
    if (i === 5) {
      const { rewrites } = node.dumps.appendOnly;
      await client.call('BGREWRITEAOF');
      await waitFor(
        () => node.dumps.appendOnly.rewrites > rewrites && !node.dumps.appendOnly.isRewriting,
      );
    }
  }
  await client.close();
  await node.dumps.appendOnly.close();
  await node.stop();

  const states = [...disk.states()];
  // Neighbours that hold the same are tried once.
  const seen = new Set<string>();
  let tried = 0;
  for (const state of states) {
    for (const synced of [false, true]) {
      const key = fingerprint(state, synced);
      if (seen.has(key)) continue;
      seen.add(key);
      const copy = temporaryDirectory('aof-state');
      restoreState(state, directory, copy, synced);
      const what = `${synced ? 'power cut' : 'crash'} behind "${state.step}"`;
      await expectWrites(copy, synced ? state.promised : state.replied, what);
      tried++;
    }
  }
  expect(tried).toBeGreaterThan(20);
}, 180_000);

function fingerprint(state: DiskState, synced: boolean): string {
  const files = [...state.files].map(
    ([path, file]) => `${path}:${synced ? file.synced : file.bytes.length}`,
  );
  return `${files.sort().join()} ${synced ? state.promised : state.replied}`;
}
