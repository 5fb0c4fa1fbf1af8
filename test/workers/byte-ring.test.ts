import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { createRingMemory, RingConsumer, RingProducer } from '../../src/workers/byte-ring.ts';
import { createPool } from '../../src/workers/pool.ts';

function ringOf(
  chunkCount: number,
  firstCount = 0,
): { producer: RingProducer; consumer: RingConsumer } {
  const memory = createRingMemory({ chunkBytes: 64, chunkCount, firstCount });
  return { producer: new RingProducer(memory), consumer: new RingConsumer(memory) };
}

function publishText(producer: RingProducer, text: string): void {
  const chunk = producer.tryAcquire();
  if (chunk === undefined) expect.unreachable('a chunk is free');
  producer.publish(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).write(text));
}

describe('chunks', () => {
  test('come out as they went in, partial ones too', () => {
    const { producer, consumer } = ringOf(4);
    for (const text of ['a', 'x'.repeat(64), 'bcd']) publishText(producer, text);
    expect(consumer.available).toBe(3);
    expect([0, 1, 2].map((index) => consumer.chunk(index).toString())).toEqual([
      'a',
      'x'.repeat(64),
      'bcd',
    ]);
  });

  test('are views of the shared memory, and a socket takes them as they are', async () => {
    const { producer, consumer } = ringOf(2);
    publishText(producer, 'dump bytes');
    expect(consumer.chunk(0).buffer).toBe(consumer.memory);
    const server = createServer((socket) => socket.end(consumer.chunk(0))).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const received: Buffer[] = [];
    client.on('data', (data) => received.push(data));
    await once(client, 'close');
    server.close();
    expect(Buffer.concat(received).toString()).toBe('dump bytes');
  });

  test('are free again once released, in the order of their indexes', () => {
    const { producer, consumer } = ringOf(2);
    publishText(producer, '0');
    publishText(producer, '1');
    expect(producer.tryAcquire()).toBeUndefined();
    consumer.release(1);
    publishText(producer, '2');
    expect(producer.tryAcquire()).toBeUndefined();
    expect(consumer.firstIndex).toBe(1);
    expect([1, 2].map((index) => consumer.chunk(index).toString())).toEqual(['1', '2']);
  });

  test('keep their indexes while the counters wrap at 2^32', () => {
    const { producer, consumer } = ringOf(4, 2 ** 32 - 3);
    for (let index = 0; index < 10; index++) {
      publishText(producer, String(index));
      if (index < 2) continue;
      expect(consumer.available).toBe(3);
      expect(consumer.chunk(index).toString()).toBe(String(index));
      consumer.release(1);
    }
    expect(consumer.firstIndex).toBe(8);
  });

  test('that are detached outlive their release, until there is no spare', () => {
    const memory = createRingMemory({ chunkBytes: 64, chunkCount: 2, spareCount: 1 });
    const producer = new RingProducer(memory);
    const consumer = new RingConsumer(memory);
    publishText(producer, 'held');
    const view = consumer.chunk(0);
    const area = consumer.detach();
    expect(area).toBeGreaterThanOrEqual(0);
    consumer.release(1);
    for (const text of ['b', 'c', 'd', 'e']) {
      publishText(producer, text);
      expect(consumer.chunk(consumer.firstIndex).toString()).toBe(text);
      expect(consumer.detach()).toBe(-1);
      consumer.release(1);
    }
    expect(view.toString()).toBe('held');
    consumer.reattach(area);
    publishText(producer, 'f');
    expect(consumer.detach()).toBeGreaterThanOrEqual(0);
  });

  test('acquired and not published are dropped at the end', () => {
    const { producer, consumer } = ringOf(2);
    producer.tryAcquire();
    producer.end();
    expect([consumer.ended, consumer.available]).toEqual([true, 0]);
  });
});

describe('misuse is an assertion', () => {
  const cases: readonly [string, (ring: ReturnType<typeof ringOf>) => unknown][] = [
    ['publish without acquire', ({ producer }) => producer.publish(1)],
    [
      'publish nothing',
      ({ producer }) => {
        producer.tryAcquire();
        producer.publish(0);
      },
    ],
    [
      'publish more than a chunk',
      ({ producer }) => {
        producer.tryAcquire();
        producer.publish(65);
      },
    ],
    [
      'end twice',
      ({ producer }) => {
        producer.end();
        producer.end();
      },
    ],
    [
      'acquire behind the end',
      ({ producer }) => {
        producer.end();
        producer.tryAcquire();
      },
    ],
    ['read what is not published', ({ consumer }) => consumer.chunk(0)],
    [
      'read what is released',
      ({ producer, consumer }) => {
        publishText(producer, 'a');
        consumer.release(1);
        consumer.chunk(0);
      },
    ],
    ['release what is not published', ({ consumer }) => consumer.release(1)],
    ['block the main thread for space', ({ producer }) => producer.acquire()],
    ['block the main thread for data', ({ consumer }) => consumer.take()],
    ['a count of chunks that is no power of two', () => createRingMemory({ chunkCount: 3 })],
    ['chunks of broken words', () => createRingMemory({ chunkBytes: 6 })],
    ['memory that is no ring', () => new RingConsumer(new SharedArrayBuffer(8192))],
  ];
  test.each(cases)('%s', (_name, act) => {
    expect(() => act(ringOf(2))).toThrowError(expect.objectContaining({ name: 'AssertionFailed' }));
  });
});

describe('a wait for data ends', () => {
  const cases: readonly [string, (ring: ReturnType<typeof ringOf>) => void][] = [
    ['with the chunk waited for', ({ producer }) => publishText(producer, 'a')],
    ['with the end', ({ producer }) => producer.end()],
    ['with a failure', ({ producer }) => producer.fail('CORRUPT')],
    ['with the cancel of its own side', ({ consumer }) => consumer.cancel()],
  ];
  test.each(cases)('%s, before and after it began', async (_name, act) => {
    const before = ringOf(2);
    act(before);
    await before.consumer.waitForData(0);
    const after = ringOf(2);
    const wait = after.consumer.waitForData(0);
    act(after);
    await wait;
    expect(after.consumer.available).toBe(before.consumer.available);
  });

  test('not with a chunk before the one waited for', async () => {
    const { producer, consumer } = ringOf(4);
    const order: string[] = [];
    const wait = consumer.waitForData(1).then(() => order.push('data'));
    publishText(producer, '0');
    await new Promise(setImmediate);
    order.push('first published');
    publishText(producer, '1');
    await wait;
    expect(order).toEqual(['first published', 'data']);
  });
});

describe('a wait for space ends', () => {
  const cases: readonly [string, (ring: ReturnType<typeof ringOf>) => void][] = [
    ['with a release', ({ consumer }) => consumer.release(1)],
    ['with a cancel', ({ consumer }) => consumer.cancel()],
    ['with the failure of its own side', ({ producer }) => producer.fail('WORKER_DIED')],
  ];
  test.each(cases)('%s', async (_name, act) => {
    const ring = ringOf(1);
    publishText(ring.producer, 'full');
    const wait = ring.producer.waitForSpace();
    act(ring);
    await expect(wait).resolves.toBeUndefined();
  });
});

test('a failure comes behind what was published, with its code', () => {
  const { producer, consumer } = ringOf(2);
  publishText(producer, 'last');
  expect(consumer.failure).toBeUndefined();
  producer.fail('COW_LIMIT');
  expect([consumer.ended, consumer.available, consumer.failure]).toEqual([true, 1, 'COW_LIMIT']);
});

test('a producer whose thread dies is told of by its job, and a cancel ends the wait for its data', async () => {
  const memory = createRingMemory({ chunkBytes: 64, chunkCount: 2 });
  const consumer = new RingConsumer(memory);
  const entry = new URL('../fixtures/workers/ring-fixture.js', import.meta.url);
  const pool = createPool<unknown, unknown>({ duty: 'ring', entry, threads: 1 });
  const wait = consumer.waitForData(1);
  const death = await pool.run({ role: 'dieAfterOneChunk', memory }).catch(codeOf);
  consumer.cancel();
  await wait;
  await pool.close();
  expect([death, consumer.available, consumer.ended]).toEqual(['WORKER_DIED', 1, false]);
});

describe('a process with a wait pending', () => {
  const program = fileURLToPath(new URL('../fixtures/workers/pending-wait.js', import.meta.url));
  test.each([
    ['ends when nothing else keeps it', [], 'exit with 0 chunks\n'],
    ['goes on while a job feeds the ring', ['job'], 'exit with 50 chunks\n'],
  ])('%s', async (_name, args, stdout) => {
    expect((await promisify(execFile)(process.execPath, [program, ...args])).stdout).toBe(stdout);
  });
});
