/**
 * Seeds of random tests. A seed comes from HEADWATER_SEED if that is set, and is otherwise new for
 * each run. It is printed when the test fails. Under CI=true the seed is derived from the test's
 * name, so that the result depends on the change and not on luck. All other runs search for new
 * cases.
 */
import { createHash, randomInt } from 'node:crypto';
import { onTestFailed } from 'vitest';

/**
 * The seed for the test that runs now. Call it inside of the test. `name` tells several seeds of
 * one test apart; `inCi` is the seed under CI=true, where a seed has been tested for long.
 */
export function testSeed(name: string, inCi?: number): number {
  const given = process.env['HEADWATER_SEED'];
  const seed = given === undefined || given === '' ? ownSeed(name, inCi) : Number(given);
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32)
    throw new Error(`HEADWATER_SEED=${given} is no seed`);
  onTestFailed(() => {
    console.error(`${name}: again with HEADWATER_SEED=${seed}`);
  });
  return seed;
}

function ownSeed(name: string, inCi: number | undefined): number {
  if (process.env['CI'] !== 'true') return randomInt(2 ** 32);
  return inCi ?? createHash('sha256').update(name).digest().readUInt32LE();
}
