/**
 * One client sends 150,000 requests at once; a stock replica must hold the same as headwater
 * afterwards, and each node of a chain the same as its head. `npm run floods` does the same at
 * length.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FLOODS, Flooded } from '../../native-free-bench/lib/flood.ts';
import type { Target } from '../../native-free-bench/lib/server.ts';
import { Prng } from '../../src/base/prng.ts';
import { HEADWATER } from '../support/headwater.ts';
import { findRedisServer } from '../support/real-redis.ts';
import { testSeed } from '../support/seed.ts';

const REQUESTS = 150_000;
const CHAIN_REQUESTS = 50_000;
const TIMEOUT_MS = 240_000;

const target: Target = {
  kind: 'headwater',
  command: [process.execPath, '--no-addons', HEADWATER],
  version: '',
};

describe(`a stock replica holds the same after ${REQUESTS} requests at once`, () => {
  let flooded: Flooded;

  beforeAll(async () => {
    flooded = await Flooded.pair(target, findRedisServer());
  });

  afterAll(() => flooded.stop());

  test.each(FLOODS)('$name', { timeout: TIMEOUT_MS }, async (kind) => {
    expect(flooded.can(kind), 'redis-cli is there').toBe(true);
    const prng = new Prng(testSeed(`flood ${kind.name}`));
    expect((await flooded.flood(kind, REQUESTS, prng)).fault).toBe('');
  });
});

describe(`each node of a chain holds the same after ${CHAIN_REQUESTS} requests at once`, () => {
  let flooded: Flooded;

  beforeAll(async () => {
    flooded = await Flooded.chain(target, findRedisServer());
  });

  afterAll(() => flooded.stop());

  test.each(FLOODS)('$name', { timeout: TIMEOUT_MS }, async (kind) => {
    const prng = new Prng(testSeed(`flood of a chain ${kind.name}`));
    expect((await flooded.flood(kind, CHAIN_REQUESTS, prng)).fault).toBe('');
  });
});
