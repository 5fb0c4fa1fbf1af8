/**
 * Random commands at the head of replicas whose links are cut, stalled and throttled; then each
 * node must hold the same, and nobody has needed a second full sync whose history was there.
 * `npm run chains` does the same at length.
 */
import { describe, expect, test } from 'vitest';
import { ChainRun } from '../../native-free-bench/lib/chain-run.ts';
import type { Target } from '../../native-free-bench/lib/server.ts';
import { Prng } from '../../src/base/prng.ts';
import { MIB } from '../../src/base/units.ts';
import { HEADWATER } from '../support/headwater.ts';
import { findRedisServer } from '../support/real-redis.ts';
import { testSeed } from '../support/seed.ts';

const ROUNDS = 1;
const ROUND_MS = 3000;
const TIMEOUT_MS = 240_000;

const target: Target = {
  kind: 'headwater',
  command: [process.execPath, '--no-addons', HEADWATER],
  version: '',
};

describe.concurrent('after random commands over links that misbehave, all nodes hold the same:', () => {
  test.each([
    { name: 'two relays, one below the other', wide: 0, fleet: 0, backlogBytes: 64 * MIB },
    { name: 'five replicas below one relay', wide: 5, fleet: 0, backlogBytes: 64 * MIB },
    {
      name: 'two relays with logs too short for most cuts',
      wide: 0,
      fleet: 0,
      backlogBytes: 65_536,
    },
    { name: 'six replicas of a primary with a short log', wide: 0, fleet: 6, backlogBytes: 65_536 },
  ])('$name', { timeout: TIMEOUT_MS }, async ({ name, wide, fleet, backlogBytes }) => {
    const plan = { target, redis: findRedisServer(), wide, fleet, backlogBytes };
    const run = await ChainRun.start(plan, new Prng(testSeed(`chain: ${name}`)));
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const { faults, commands, misbehaviours, judgement } = await run.round(ROUND_MS);
        expect(faults).toEqual([]);
        // Each of the fleet asked at least once, and was witnessed.
        if (fleet > 0) expect(judgement!.fresh).toBeGreaterThanOrEqual(fleet);
        expect(commands).toBeGreaterThan(0);
        expect(misbehaviours).toBeGreaterThan(0);
      }
    } finally {
      await run.stop();
    }
  });
});
