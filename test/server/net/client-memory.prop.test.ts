/** The total, the buckets and their order beside a plain model, under random changes. */
import { expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import {
  bucketStart,
  ClientMemory,
  type CountedClient,
} from '../../../src/server/net/client-memory.ts';
import { testSeed } from '../../support/seed.ts';

class Plain implements CountedClient {
  memoryBytes = 0;
  isReplica = false;
  closed = false;
  noEvict = false;
  countedBytes = 0;
  bucket = -1;
}

test('hold after every step', () => {
  const prng = new Prng(testSeed('client-memory'));
  const memory = new ClientMemory<Plain>();
  let reached = 0;
  memory.onReached = () => {
    reached++;
  };
  const clients = Array.from({ length: 40 }, () => new Plain());
  const limit = 3 * 2 ** 33;
  memory.setLimit(limit);
  for (let step = 0; step < 20_000; step++) {
    const client = clients[prng.below(clients.length)]!;
    const before = reached;
    switch (prng.below(8)) {
      case 0:
        client.isReplica = !client.isReplica;
        break;
      case 1:
        client.noEvict = !client.noEvict;
        break;
      case 2:
        client.closed = !client.closed;
        break;
      default:
        client.memoryBytes = prng.below(2 ** prng.below(31)) * (prng.below(10) === 0 ? 16 : 1);
    }
    memory.note(client);
    const counted = clients.filter(({ countedBytes }) => countedBytes > 0);
    expect(memory.totalBytes).toBe(counted.reduce((sum, c) => sum + c.countedBytes, 0));
    expect(reached > before).toBe(memory.totalBytes >= limit);
    for (const each of counted) expect(each.closed || each.isReplica).toBe(false);
    if (client.bucket >= 0) {
      expect(client.noEvict).toBe(false);
      expect(client.countedBytes).toBeGreaterThanOrEqual(bucketStart(client.bucket));
      if (client.bucket < 18)
        expect(client.countedBytes).toBeLessThan(bucketStart(client.bucket + 1));
    }
  }
  const order = [...memory.largestFirst()];
  expect(order.length).toBe(clients.filter(({ bucket }) => bucket >= 0).length);
  expect(order.map(({ bucket }) => bucket)).toEqual(
    order.map(({ bucket }) => bucket).sort((a, b) => b - a),
  );
  memory.setLimit(0);
  for (const client of clients) memory.note(client);
  expect([memory.totalBytes, [...memory.largestFirst()].length]).toEqual([0, 0]);
});
