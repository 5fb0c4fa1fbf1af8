import { setTimeout as delay } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { createPool, type Pool, type PoolOptions } from '../../src/workers/pool.ts';
import { waitFor } from '../support/wait-for.ts';

const fixture = (name: string): URL => new URL(`../fixtures/workers/${name}.js`, import.meta.url);

type FixtureTask = { action: string; [field: string]: unknown };
const pools: Pool<FixtureTask, unknown>[] = [];

function poolOf(options: Partial<PoolOptions> = {}): Pool<FixtureTask, unknown> {
  const pool = createPool<FixtureTask, unknown>({
    duty: 'fixture',
    entry: fixture('pool-fixture'),
    threads: 1,
    ...options,
  });
  pools.push(pool);
  return pool;
}

const sharedWords = (): Int32Array<SharedArrayBuffer> => new Int32Array(new SharedArrayBuffer(8));

async function errorOf(job: Promise<unknown>): Promise<unknown> {
  return job.then(
    () => expect.unreachable('the job was to fail'),
    (error: unknown) => error,
  );
}

afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
});

describe('a job', () => {
  test('returns what the task returns', async () => {
    expect(await poolOf().run({ action: 'echo', value: [1, 'two'] })).toMatchObject({
      value: [1, 'two'],
    });
  });

  test('shares the shared memory in its task', async () => {
    const words = sharedWords();
    await poolOf().run({ action: 'addToShared', shared: words.buffer });
    expect(words[0]).toBe(1);
  });

  test('receives a segment that is posted while it runs and never returns to its event loop', async () => {
    const words = sharedWords();
    const { port1, port2 } = new MessageChannel();
    const job = poolOf().run(
      { action: 'receiveSegment', shared: words.buffer, port: port2 },
      { transfer: [port2] },
    );
    const started = Atomics.waitAsync(words, 0, 0);
    if (started.async) await started.value;
    const segment = new Uint8Array(new SharedArrayBuffer(4096));
    segment[0] = 41;
    port1.postMessage({ segment: segment.buffer });
    Atomics.store(words, 1, 1);
    Atomics.notify(words, 1);
    expect(await job).toBe(4096);
    expect(segment[1]).toBe(42);
  });

  test('fails with the code that the task threw', async () => {
    const error = await errorOf(poolOf().run({ action: 'throwOperating' }));
    expect(codeOf(error)).toBe('COW_LIMIT');
    expect(error).toMatchObject({ message: 'shadow pages used up' });
  });

  test('fails with ARENA_FULL when the system refuses memory for a buffer', async () => {
    const error = await errorOf(poolOf().run({ action: 'exhaustAddresses' }));
    expect(codeOf(error)).toBe('ARENA_FULL');
    expect(String(error)).toMatch(/the system refuses memory: Array buffer allocation failed/);
  });

  test('fails as an assertion when the task has a mistake', async () => {
    const error = await errorOf(poolOf().run({ action: 'throwProgrammer' }));
    expect(error).toMatchObject({
      name: 'AssertionFailed',
      message: 'fixture worker: not a function',
    });
    expect(String((error as Error).cause)).toContain('pool-fixture.js');
  });

  test('whose task cannot be cloned fails as the mistake it is', async () => {
    const pool = poolOf();
    expect(await errorOf(pool.run({ action: 'echo', value: () => 1 }))).toMatchObject({
      name: 'DataCloneError',
    });
    expect(await pool.run({ action: 'echo', value: 1 })).toMatchObject({ value: 1 });
  });
});

describe('threads', () => {
  test('serve one job after the other without being replaced', async () => {
    const pool = poolOf();
    const first = (await pool.run({ action: 'echo' })) as { threadId: number };
    await errorOf(pool.run({ action: 'throwOperating' }));
    const second = (await pool.run({ action: 'echo' })) as { threadId: number };
    expect(second.threadId).toBe(first.threadId);
  });

  test('run jobs side by side', async () => {
    const pool = poolOf({ threads: 2 });
    const [a, b] = [sharedWords(), sharedWords()];
    const jobs = [a, b].map((words) => pool.run({ action: 'untilTold', shared: words.buffer }));
    for (const words of [a, b]) {
      const started = Atomics.waitAsync(words, 0, 0);
      if (started.async) await started.value;
    }
    expect(pool.jobCount).toBe(2);
    for (const words of [a, b]) {
      Atomics.store(words, 1, 5);
      Atomics.notify(words, 1);
    }
    expect(await Promise.all(jobs)).toEqual([5, 5]);
    expect(pool.jobCount).toBe(0);
  });
});

describe('a thread that ends in the middle of a job', () => {
  const deaths: readonly {
    action: string;
    told: RegExp;
    resourceLimits?: { maxOldGenerationSizeMb: number };
  }[] = [
    { action: 'exit', told: /exited with code: 7/ },
    { action: 'uncaught', told: /nobody catches this/ },
    { action: 'exhaustHeap', told: /memory limit/, resourceLimits: { maxOldGenerationSizeMb: 24 } },
  ];
  test.each(deaths)(
    'by $action fails that job alone, again and again',
    async ({ action, told, ...limits }) => {
      const pool = poolOf(limits);
      for (let round = 0; round < (action === 'exhaustHeap' ? 2 : 4); round++) {
        const dying = errorOf(pool.run({ action }));
        // Waits in the queue for the replacement.
        const queued = pool.run({ action: 'echo', value: round });
        const error = await dying;
        expect(codeOf(error)).toBe('WORKER_DIED');
        expect(String(error)).toMatch(told);
        expect(await queued).toMatchObject({ value: round });
      }
    },
  );

  test('leaves the job on the other thread alone', async () => {
    const pool = poolOf({ threads: 2 });
    const words = sharedWords();
    const running = pool.run({ action: 'untilTold', shared: words.buffer });
    expect(codeOf(await errorOf(pool.run({ action: 'exit' })))).toBe('WORKER_DIED');
    Atomics.store(words, 1, 9);
    Atomics.notify(words, 1);
    expect(await running).toBe(9);
  });
});

describe('an entry that does not load', () => {
  test.each([1, 2])(
    'fails every job of %i threads, also later ones, and lets the pool close',
    async (threads) => {
      const pool = poolOf({ entry: fixture('broken-fixture'), threads });
      pool.warm();
      for (let round = 0; round < 3; round++) {
        const errors = await Promise.all(
          [1, 2, 3].map(() => errorOf(pool.run({ action: 'echo' }))),
        );
        expect(errors.map(codeOf)).toEqual(['WORKER_DIED', 'WORKER_DIED', 'WORKER_DIED']);
      }
      expect(pool.jobCount).toBe(0);
    },
  );
});

describe('a pool that is idle', () => {
  test('start behind the turn of the first job, and are there for the next', async () => {
    const pool = poolOf();
    const job = pool.run({ action: 'echo', value: 1 });
    expect(pool.isWarm).toBe(false);
    expect(await job).toMatchObject({ value: 1 });
    expect(pool.isWarm).toBe(true);
    expect(pool.jobCount).toBe(0);
  });

  test('end when no job comes for a while, and the next job starts others', async () => {
    const pool = poolOf({ idleMs: 50 });
    for (let round = 0; round < 3; round++) {
      expect(await pool.run({ action: 'echo', value: round })).toMatchObject({ value: round });
      await waitFor(() => !pool.isWarm, { what: 'the threads to end' });
    }
    pool.warm();
    expect(pool.isWarm).toBe(true);
    await waitFor(() => !pool.isWarm, { what: 'the threads to end' });
  });

  test('stay while a job runs, however long, and while they are wanted', async () => {
    const pool = poolOf({ idleMs: 20 });
    const words = sharedWords();
    const running = pool.run({ action: 'untilTold', shared: words.buffer });
    // The timer of an idle pool would have fired by then.
    for (let i = 0; i < 10; i++) await delay(20);
    expect(pool.isWarm).toBe(true);
    Atomics.store(words, 1, 5);
    Atomics.notify(words, 1);
    expect(await running).toBe(5);
    for (let i = 0; i < 10; i++) {
      pool.warm();
      await delay(5);
      expect(pool.isWarm).toBe(true);
    }
  });
});

describe('close', () => {
  test('waits for the jobs it has, and refuses others', async () => {
    const pool = poolOf();
    const words = sharedWords();
    const running = pool.run({ action: 'untilTold', shared: words.buffer });
    const queued = pool.run({ action: 'echo', value: 'queued' });
    const closed = pool.close();
    expect(codeOf(await errorOf(pool.run({ action: 'echo' })))).toBe('CANCELLED');
    Atomics.store(words, 1, 3);
    Atomics.notify(words, 1);
    await closed;
    expect(await running).toBe(3);
    expect(await queued).toMatchObject({ value: 'queued' });
  });

  test('of a pool that never had a job starts no thread', async () => {
    await expect(poolOf().close()).resolves.toBeUndefined();
  });
});
