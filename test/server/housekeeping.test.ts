/** What a slice of background work does. */
import { expect, test } from 'vitest';
import { sliceMicros } from '../../src/server/housekeeping.ts';
import { startNode } from '../support/node-in-process.ts';
import { waitFor } from '../support/wait-for.ts';

const KEYS = 5000;
const LOOK_US = 100;
const DELETIONS_PER_LOOK = 16;

test.each([
  [1, 1000],
  [10, 2263],
])('active-expire-effort %d makes a slice as long as it says', async (effort, micros) => {
  expect(Math.round(sliceMicros(effort))).toBe(micros);
  const { node, client, stop } = await startNode(`active-expire-effort ${effort}`);
  node.housekeeping.stop();
  const own = await client();
  await own.pipeline(Array.from({ length: KEYS }, (_, i) => ['SET', `k${i}`, 'v', 'PX', '1']));
  await waitFor(() => Date.now() > node.server.nowMs + 2, {
    what: 'the keys to be past their deadline',
  });
  // Each look at the clock takes the same time.
  let us = 0;
  node.server.clock.micros = () => {
    us += LOOK_US;
    return us;
  };
  node.housekeeping.tick();
  const looks = Math.floor(micros / LOOK_US) + 1;
  expect(KEYS - node.server.keyspace.databases[0]!.keyCount).toBe(looks * DELETIONS_PER_LOOK);
  await own.close();
  await stop();
});
