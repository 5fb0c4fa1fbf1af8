import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { TaskState } from '../../src/workers/control-block.ts';
import {
  createLoadPool,
  type LoadFrom,
  type LoadInput,
  LoadJob,
  type LoadPool,
} from '../../src/workers/load-job.ts';
import { createPool } from '../../src/workers/pool.ts';
import {
  DATABASES,
  dumpOf,
  HASH_KEY,
  loadOptions,
  type Model,
  modelOf,
  newKeyspace,
  newModel,
  randomChange,
} from '../rdb/keyspaces.ts';
import { testSeed } from '../support/seed.ts';
import { temporaryDirectory } from '../support/server-process.ts';

const pool = createLoadPool(1);
const pools: LoadPool[] = [pool];
const dir = temporaryDirectory('load');
const path = join(dir, 'dump.rdb');
const prng = new Prng(42);
const model: Model = newModel();
let dump: Buffer;

beforeAll(() => {
  const keyspace = newKeyspace();
  for (let i = 0; i < 8000; i++) randomChange(keyspace, model, prng, 3000);
  dump = dumpOf(keyspace);
  writeFileSync(path, dump);
});

afterEach(() => Promise.all(pools.splice(1).map((each) => each.close())));
afterAll(() => pool.close());

const start = (from: LoadFrom, on = pool): LoadJob =>
  new LoadJob(on, { databaseCount: DATABASES, hashKey: HASH_KEY, options: loadOptions() }, from);

/** Feeds bytes in pieces of random sizes while they are wanted; returns how many were taken. */
async function feed(input: LoadInput, bytes: Uint8Array, pieces: Prng): Promise<number> {
  let at = 0;
  while (at < bytes.length) {
    const chunk = input.tryAcquire();
    if (chunk === undefined) {
      if (!input.wanted) return at;
      await input.waitForRoom();
      continue;
    }
    const count = Math.min(bytes.length - at, 1 + pieces.below(Math.min(50_000, chunk.length)));
    chunk.set(bytes.subarray(at, at + count));
    input.publish(count);
    at += count;
  }
  return at;
}

async function failureOf(job: LoadJob): Promise<{ code: unknown; message: string }> {
  return job.finished.then(
    () => expect.unreachable('the load was to fail'),
    (error: Error) => ({ code: codeOf(error), message: error.message }),
  );
}

describe('a load', () => {
  test('from a file hands over a keyspace that can be used', async () => {
    const job = start({ kind: 'file', path });
    const { keyspace, result } = await job.finished;
    expect(modelOf(keyspace)).toEqual(model);
    expect(result).toMatchObject({
      bytes: dump.length,
      keysLoaded: keyspace.keyCount,
      keysExpired: 0,
    });
    expect(result).not.toHaveProperty('share');
    expect(job.control.state).toBe(TaskState.DONE);
    expect(job.control.keysDone).toBe(keyspace.keyCount);
    expect(job.control.keysTotal).toBe(keyspace.keyCount);
    expect(job.control.bytesDone).toBe(dump.length);
    const copy = model.map((keys) => new Map(keys));
    const changes = new Prng(testSeed('use'));
    for (let i = 0; i < 2000; i++) randomChange(keyspace, copy, changes, 3000);
    expect(modelOf(keyspace)).toEqual(copy);
    keyspace.arena.validate();
  });

  test.each([
    ['of known length', true],
    ['of unknown length', false],
  ])('from a ring %s', async (name, known) => {
    const job = start({ kind: 'ring', totalBytes: known ? dump.length : -1 });
    expect(await feed(job.input!, dump, new Prng(testSeed(name)))).toBe(dump.length);
    job.input!.end();
    expect(modelOf((await job.finished).keyspace)).toEqual(model);
    expect(job.input!.wanted).toBe(false);
    job.input!.end();
    expect(job.input!.tryAcquire()).toBeUndefined();
  });

  test('does not wait for what comes behind the dump', async () => {
    const job = start({ kind: 'ring', totalBytes: -1 });
    const endless = Buffer.concat([dump, Buffer.alloc(64 * 1024 * 1024)]);
    const taken = await feed(job.input!, endless, new Prng(testSeed('endless')));
    expect(taken).toBeLessThan(endless.length);
    const { keyspace, result } = await job.finished;
    expect(result.bytes).toBe(dump.length);
    expect(keyspace.keyCount).toBeGreaterThan(0);
  });
});

describe('a load fails', () => {
  test('with the position where a file is cut', async () => {
    const cut = join(dir, 'cut.rdb');
    writeFileSync(cut, dump.subarray(0, dump.length / 2));
    const job = start({ kind: 'file', path: cut });
    expect(await failureOf(job)).toMatchObject({
      code: 'SHORT',
      message: expect.stringMatching(/at position \d+$/),
    });
    expect(job.control.failure).toBe('SHORT');
    expect(readFileSync(cut).length).toBe(Math.floor(dump.length / 2));
  });

  test.each([
    ['that is not there', join(dir, 'absent.rdb'), /ENOENT/],
    ['that is a directory', dir, /EISDIR/],
  ])('with the reason for a file %s', async (_name, file, message) => {
    const failure = await failureOf(start({ kind: 'file', path: file }));
    expect(failure.code).toBe('IO');
    expect(failure.message).toMatch(message);
  });

  test('with the code that its feeder gives, or SHORT when the feeder just ends', async () => {
    for (const end of ['fail', 'end'] as const) {
      const job = start({ kind: 'ring', totalBytes: -1 });
      await feed(job.input!, dump.subarray(0, 1000), new Prng(1));
      if (end === 'fail') job.input!.fail('IO');
      else job.input!.end();
      expect((await failureOf(job)).code).toBe(end === 'fail' ? 'IO' : 'SHORT');
    }
  });

  test('when it is cancelled, also while it waits for bytes', async () => {
    const job = start({ kind: 'ring', totalBytes: -1 });
    await feed(job.input!, dump.subarray(0, 1000), new Prng(1));
    job.cancel();
    expect((await failureOf(job)).code).toBe('CANCELLED');
    const fromFile = start({ kind: 'file', path });
    fromFile.cancel();
    expect((await failureOf(fromFile)).code).toBe('CANCELLED');
  });

  test('when its thread dies, and its feeder learns of it', async () => {
    const entry = new URL('../fixtures/workers/dying-task.js', import.meta.url);
    const dying: LoadPool = createPool({ duty: 'load', entry, threads: 1 });
    pools.push(dying);
    const job = start({ kind: 'ring', totalBytes: -1 }, dying);
    const endless = new Uint8Array(64 * 1024 * 1024);
    const [failure, taken] = await Promise.all([
      failureOf(job),
      feed(job.input!, endless, new Prng(1)),
    ]);
    expect(failure.code).toBe('WORKER_DIED');
    expect(taken).toBeLessThan(endless.length);
    expect(job.input!.wanted).toBe(false);
  });
});
