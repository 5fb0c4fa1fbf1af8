import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { codeOf, type ErrorCode } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import type { Keyspace } from '../../src/keyspace/keyspace.ts';
import { TaskState } from '../../src/workers/control-block.ts';
import { createPool } from '../../src/workers/pool.ts';
import {
  createSnapshotPool,
  type SnapshotJob,
  type SnapshotPlan,
  type SnapshotPool,
  startSnapshot,
} from '../../src/workers/snapshot-job.ts';
import {
  copyModel,
  loadBytes,
  type Model,
  modelOf,
  newKeyspace,
  newModel,
  put,
  randomChange,
  saveOptions,
} from '../rdb/keyspaces.ts';
import { testSeed } from '../support/seed.ts';

const pools: SnapshotPool[] = [];
const pool = createSnapshotPool(1);

function dyingPool(): SnapshotPool {
  const entry = new URL('../fixtures/workers/dying-task.js', import.meta.url);
  const dying: SnapshotPool = createPool({ duty: 'snapshot', entry, threads: 1 });
  pools.push(dying);
  return dying;
}

afterEach(() => Promise.all(pools.splice(0).map((each) => each.close())));
afterAll(() => pool.close());

const plan = (keyspace: Keyspace, changes: Partial<SnapshotPlan> = {}): SnapshotPlan => ({
  keyspace,
  save: saveOptions(),
  cowBytesMax: 256 * 1024 * 1024,
  ring: { chunkBytes: 4096, chunkCount: 4 },
  ...changes,
});

function filled(prng: Prng, changes: number): { keyspace: Keyspace; model: Model } {
  const keyspace = newKeyspace();
  const model = newModel();
  for (let i = 0; i < changes; i++) randomChange(keyspace, model, prng, 3000);
  return { keyspace, model };
}

/** Reads a job's ring to its end, doing something else before each chunk. */
async function drained(job: SnapshotJob, between: () => void = () => undefined): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (;;) {
    between();
    await job.ring.waitForData(job.ring.firstIndex);
    if (job.ring.available === 0) return Buffer.concat(chunks);
    chunks.push(Buffer.from(job.ring.chunk(job.ring.firstIndex)));
    job.ring.release(1);
  }
}

async function codeOfEnd(job: SnapshotJob): Promise<string | undefined> {
  return job.finished.then(
    () => expect.unreachable('the job was to fail'),
    (error: unknown) => codeOf(error),
  );
}

describe('a snapshot', () => {
  test('is the dataset as it was at the freeze, whatever is written meanwhile', async () => {
    const prng = new Prng(testSeed('meanwhile'));
    const { keyspace, model } = filled(prng, 6000);
    for (let round = 0; round < 3; round++) {
      const before = copyModel(model);
      const job = startSnapshot(pool, plan(keyspace));
      const dump = await drained(job, () => {
        for (let i = 0; i < 20; i++) randomChange(keyspace, model, prng, 3000);
      });
      const result = await job.finished;
      expect(result.bytes).toBe(dump.length);
      expect(job.control.state).toBe(TaskState.DONE);
      expect(job.control.keysDone).toBe(result.keys);
      expect(job.control.bytesDone).toBe(dump.length);
      expect(modelOf(loadBytes(dump).keyspace)).toEqual(before);
      expect(modelOf(keyspace)).toEqual(model);
      expect(keyspace.arena.shadowPages).toBeGreaterThan(0);
    }
  });

  test('of a dataset that is emptied meanwhile is whole', async () => {
    const { keyspace, model } = filled(new Prng(testSeed('emptied')), 3000);
    const job = startSnapshot(pool, plan(keyspace));
    for (let db = 0; db < keyspace.databases.length; db++) keyspace.flush(db);
    const dump = await drained(job, () => void keyspace.freeSome(3));
    await job.finished;
    while (keyspace.freeSome(1000));
    expect(modelOf(loadBytes(dump).keyspace)).toEqual(model);
    expect(keyspace.keyCount).toBe(0);
  });

  test('of an empty dataset is a dump', async () => {
    const job = startSnapshot(pool, plan(newKeyspace()));
    const dump = await drained(job);
    expect(await job.finished).toEqual({ bytes: dump.length, keys: 0 });
    expect(loadBytes(dump).result.keysLoaded).toBe(0);
  });

  test('sends its header before it looks at the keys', async () => {
    const { keyspace } = filled(new Prng(testSeed('header')), 1000);
    const job = startSnapshot(pool, plan(keyspace, { ring: { chunkBytes: 65536, chunkCount: 8 } }));
    await job.ring.waitForData(0);
    expect(job.ring.chunk(0).toString('latin1')).toContain('REDIS0010\xfa\x09redis-ver\x057.2.4');
    expect(job.ring.chunk(0).length).toBeLessThan(150);
    await drained(job);
    await job.finished;
  });

  test('shows only what the image has of a string that changes in place', async () => {
    const keyspace = newKeyspace();
    const model = newModel();
    const value = 'before the freeze '.repeat(200_000);
    put(keyspace, model, 0, 'long', { value, deadline: -1 });
    const database = keyspace.databases[0]!;
    const key = Buffer.from('long');
    const job = startSnapshot(pool, plan(keyspace, { save: saveOptions({ compress: false }) }));
    let at = value.length;
    const dump = await drained(job, () => {
      // From the end on, so that the worker meets pages that were written and pages that were not.
      at = Math.max(0, at - 9999);
      database.writeString(database.find(key, 0, 4), at, Buffer.from('AFTER'), 0, 5);
    });
    await job.finished;
    expect(modelOf(loadBytes(dump).keyspace)[0]!.get('long')?.value === value).toBe(true);
  });
});

describe('a snapshot ends early', () => {
  test('when it is cancelled, also while it waits for room', async () => {
    const { keyspace, model } = filled(new Prng(testSeed('cancel')), 3000);
    const job = startSnapshot(pool, plan(keyspace));
    await job.ring.waitForData(3);
    job.cancel();
    expect(await codeOfEnd(job)).toBe('CANCELLED' satisfies ErrorCode);
    expect(job.control.failure).toBe('CANCELLED');
    expect(keyspace.arena.frozen).toBe(false);
    const next = startSnapshot(pool, plan(keyspace));
    expect(modelOf(loadBytes(await drained(next)).keyspace)).toEqual(model);
    await next.finished;
  });

  test('when its copy-on-write memory is used up, and writes go on', async () => {
    const prng = new Prng(testSeed('cow'));
    const { keyspace, model } = filled(prng, 3000);
    const job = startSnapshot(pool, plan(keyspace, { cowBytesMax: 64 * 4096 }));
    await job.ring.waitForData(3);
    while (keyspace.arena.frozen) randomChange(keyspace, model, prng, 3000);
    expect(await codeOfEnd(job)).toBe('COW_LIMIT' satisfies ErrorCode);
    expect(job.ring.failure).toBe('COW_LIMIT');
    for (let i = 0; i < 500; i++) randomChange(keyspace, model, prng, 3000);
    const next = startSnapshot(pool, plan(keyspace));
    expect(modelOf(loadBytes(await drained(next)).keyspace)).toEqual(model);
    await next.finished;
  });

  test('when its thread dies, and its reader learns of it', async () => {
    const { keyspace } = filled(new Prng(testSeed('death')), 500);
    const job = startSnapshot(dyingPool(), plan(keyspace));
    const [code, bytes] = await Promise.all([codeOfEnd(job), drained(job)]);
    expect(code).toBe('WORKER_DIED' satisfies ErrorCode);
    expect(bytes.length).toBe(1);
    expect(job.ring.cancelled).toBe(true);
    expect(keyspace.arena.frozen).toBe(false);
  });
});
