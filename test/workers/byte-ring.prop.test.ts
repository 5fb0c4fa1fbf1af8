import { afterAll, expect, test } from 'vitest';
import { codeOf, type ErrorCode } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { createRingMemory, RingConsumer, RingProducer } from '../../src/workers/byte-ring.ts';
import { createPool } from '../../src/workers/pool.ts';

interface Plan {
  readonly seed: number;
  readonly chunkTotal: number;
  readonly chunkBytes: number;
  readonly chunkCount: number;
  readonly firstCount: number;
  /** Count of chunks after which the consumer cancels, or -1. */
  readonly cancelsAfter: number;
  readonly failsWith?: ErrorCode;
}
type Produced = { published: number; cancelled: boolean };
type Consumed = { taken: number; wrong: number; cancelled: boolean; failure?: string | undefined };
type RingTask = { role: 'produce' | 'consume'; memory: SharedArrayBuffer; plan: Plan };

const SEED = Number(process.env['HEADWATER_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
const ROUNDS = 60;

const entry = new URL('../fixtures/workers/ring-fixture.js', import.meta.url);
const pool = createPool<RingTask, unknown>({ duty: 'ring', entry, threads: 2 });
afterAll(() => pool.close());

function planOf(prng: Prng): Plan {
  const chunkTotal = prng.below(4) === 0 ? prng.below(4) : prng.below(200);
  const plan = {
    seed: prng.u32(),
    chunkTotal,
    chunkBytes: 4 * (1 + prng.below(100)),
    chunkCount: 2 ** prng.below(5),
    firstCount: prng.below(2) === 0 ? 0 : 2 ** 32 - prng.below(chunkTotal + 2),
    cancelsAfter: prng.below(3) === 0 ? prng.below(chunkTotal + 1) : -1,
  };
  return prng.below(4) === 0 ? { ...plan, failsWith: 'COW_LIMIT' } : plan;
}

const turn = (): Promise<void> => new Promise(setImmediate);

/** The producer of ring-fixture.js on the main thread, which must not block. */
async function produceHere(memory: SharedArrayBuffer, plan: Plan): Promise<Produced> {
  const ring = new RingProducer(memory);
  const bytes = new Prng(plan.seed);
  const pauses = new Prng(plan.seed + 1);
  for (let index = 0; index < plan.chunkTotal; ) {
    const chunk = ring.tryAcquire();
    if (chunk === undefined) {
      if (ring.cancelled) return { published: index, cancelled: true };
      await ring.waitForSpace();
      continue;
    }
    if (pauses.below(8) === 0) await turn();
    const length = bytes.below(3) === 0 ? ring.chunkBytes : 1 + bytes.below(ring.chunkBytes);
    for (let i = 0; i < length; i++) chunk[i] = bytes.u32();
    ring.publish(length);
    index++;
  }
  if (plan.failsWith === undefined) ring.end();
  else ring.fail(plan.failsWith);
  return { published: plan.chunkTotal, cancelled: false };
}

/**
 * The consumer on the main thread: reads ahead of what it releases, as sockets that write at their
 * own pace.
 */
async function consumeHere(memory: SharedArrayBuffer, plan: Plan): Promise<Consumed> {
  const ring = new RingConsumer(memory);
  const bytes = new Prng(plan.seed);
  const pauses = new Prng(plan.seed + 2);
  let taken = 0;
  for (;;) {
    if (taken === plan.cancelsAfter) {
      ring.cancel();
      return { taken, wrong: -1, cancelled: true };
    }
    await ring.waitForData(taken);
    if (taken === ring.firstIndex + ring.available) {
      return { taken, wrong: -1, cancelled: false, failure: ring.failure };
    }
    const chunk = ring.chunk(taken);
    const length = bytes.below(3) === 0 ? ring.chunkBytes : 1 + bytes.below(ring.chunkBytes);
    if (length !== chunk.length) return { taken, wrong: 0, cancelled: false };
    for (let i = 0; i < length; i++) {
      if (chunk[i] !== (bytes.u32() & 0xff)) return { taken, wrong: i, cancelled: false };
    }
    taken++;
    if (pauses.below(8) === 0) await turn();
    const held = taken - ring.firstIndex;
    ring.release(held === ring.chunkCount ? 1 + pauses.below(held) : pauses.below(held + 1));
  }
}

async function consumeThere(memory: SharedArrayBuffer, plan: Plan): Promise<Consumed> {
  try {
    return (await pool.run({ role: 'consume', memory, plan })) as Consumed;
  } catch (error) {
    // The blocking consumer learns of a failure by an error, once it has all chunks.
    return { taken: plan.chunkTotal, wrong: -1, cancelled: false, failure: codeOf(error) };
  }
}

const produceThere = (memory: SharedArrayBuffer, plan: Plan): Promise<Produced> =>
  pool.run({ role: 'produce', memory, plan }) as Promise<Produced>;

test.each([
  ['a worker to the main thread', produceThere, consumeHere],
  ['the main thread to a worker', produceHere, consumeThere],
  ['a worker to a worker', produceThere, consumeThere],
] as const)(
  'from %s every byte arrives once and in order, whoever stops',
  async (_name, produce, consume) => {
    const prng = new Prng(SEED);
    for (let round = 0; round < ROUNDS; round++) {
      const plan = planOf(prng);
      const told = `HEADWATER_SEED=${SEED} round ${round}: ${JSON.stringify(plan)}`;
      const memory = createRingMemory(plan);
      const [produced, consumed] = await Promise.all([
        produce(memory, plan),
        consume(memory, plan),
      ]);
      expect(consumed.wrong, told).toBe(-1);
      if (plan.cancelsAfter === -1) {
        expect(produced, told).toEqual({ published: plan.chunkTotal, cancelled: false });
        expect(consumed, told).toMatchObject({ taken: plan.chunkTotal, cancelled: false });
        expect(consumed.failure, told).toBe(plan.failsWith);
      } else {
        expect(consumed, told).toMatchObject({ taken: plan.cancelsAfter, cancelled: true });
        expect(produced.published, told).toBeGreaterThanOrEqual(plan.cancelsAfter);
        expect(produced.published, told).toBeLessThanOrEqual(plan.cancelsAfter + plan.chunkCount);
      }
    }
  },
);
