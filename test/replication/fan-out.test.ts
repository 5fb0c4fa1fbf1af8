import { describe, expect, test } from 'vitest';
import {
  FLUSH_BYTES,
  FlushPolicy,
  FlushWhen,
  PACKET_BYTES,
  PAUSE_US_MAX,
  sliceBytes,
} from '../../src/replication/fan-out.ts';

const { NONE, NOW, TURN_END, LATER } = FlushWhen;

/**
 * A policy that has flushed to `peers` peers at 8 µs per write until the mean settled; the last
 * flush ended at 0.
 */
function settled(peers: number): FlushPolicy {
  const policy = new FlushPolicy();
  for (let i = 0; i < 100; i++) policy.flushed(-8 * peers, 0, peers);
  return policy;
}

describe('decisions', () => {
  test('idle: in the same turn, however many peers', () => {
    for (const peers of [1, 16, 64, 500]) {
      expect(new FlushPolicy().decide(0, 100, peers)).toBe(TURN_END);
      expect(settled(peers).decide(1_000_000, 100, peers)).toBe(TURN_END);
    }
  });

  test('one peer under load: still in the same turn', () => {
    expect(settled(1).decide(5, 100, 1)).toBe(TURN_END);
  });

  test.each([
    [16, 512],
    [32, 1024],
    [64, 2000],
    [500, 2000],
  ])('%i peers under load: the rest of a pause of %i µs', (peers, pauseUs) => {
    const policy = settled(peers);
    expect(policy.decide(100, 1000, peers)).toBe(LATER);
    expect(policy.delayUs).toBeCloseTo(pauseUs - 100, 0);
    expect(policy.decide(pauseUs, 1000, peers)).toBe(TURN_END);
  });

  test('nobody is ready: the completion of a write will ask again', () => {
    const policy = settled(64);
    policy.askUrgent();
    expect(policy.decide(0, FLUSH_BYTES, 0)).toBe(NONE);
  });

  test('someone waits: now, once', () => {
    const policy = settled(64);
    policy.askUrgent();
    expect(policy.decide(1, 37, 64)).toBe(NOW);
    expect(policy.writeAgain(37)).toBe(true);
    policy.flushed(1, 500, 64);
    expect(policy.decide(501, 37, 64)).toBe(LATER);
    expect(policy.writeAgain(37)).toBe(false);
  });

  test('a long batch: midway', () => {
    const policy = settled(64);
    expect([policy.midBatch(FLUSH_BYTES - 1), policy.midBatch(FLUSH_BYTES)]).toEqual([false, true]);
    expect(policy.decide(1, FLUSH_BYTES, 64)).toBe(NOW);
  });

  test('a peer with much to catch up does not wait for the others', () => {
    const policy = settled(64);
    expect([0, 100, FLUSH_BYTES].map((lag) => policy.writeAgain(lag))).toEqual([
      false,
      false,
      true,
    ]);
  });

  // Peers that were busy at the flush become ready with a rest and no new bytes behind it: they
  // must not be forgotten.
  test('a rest without new bytes is flushed as well', () => {
    expect(settled(1).decide(10, 0, 1)).toBe(TURN_END);
    expect(settled(64).decide(10, 0, 64)).toBe(LATER);
  });

  test('one preempted flush does not stretch the pauses behind it', () => {
    const policy = settled(4);
    policy.flushed(0, 1_000_000, 4);
    expect(policy.pauseUs(4)).toBeLessThan(400);
  });
});

// A loop in simulated time: turns of 50 µs of commands (10 commands of 130 bytes), then the
// decision.
describe('under constant load', () => {
  test.each([
    [1, 0.3],
    [16, 0.25],
    [64, 0.25],
    [128, 0.4],
  ])(
    '%i peers take at most %d of the time, and no command waits longer than the bound and a turn',
    (peers, share) => {
      const policy = new FlushPolicy();
      const writeUs = 8;
      let nowUs = 0;
      let bytes = 0;
      let oldestUs = -1;
      let worstUs = 0;
      let flushingUs = 0;
      while (nowUs < 1_000_000) {
        if (oldestUs === -1) oldestUs = nowUs;
        nowUs += 50;
        bytes += 1300;
        const when = policy.decide(nowUs, bytes, peers);
        if (when === LATER && policy.delayUs > 0) continue;
        const startUs = nowUs;
        nowUs += writeUs * peers;
        flushingUs += nowUs - startUs;
        policy.flushed(startUs, nowUs, peers);
        worstUs = Math.max(worstUs, startUs - oldestUs);
        oldestUs = -1;
        bytes = 0;
      }
      expect(flushingUs / nowUs).toBeLessThan(share);
      expect(worstUs).toBeLessThanOrEqual(PAUSE_US_MAX + 50);
    },
  );
});

describe('a slice', () => {
  const MAX = 4 * PACKET_BYTES + 100;

  test.each([
    [0, 0],
    [1, 1],
    [PACKET_BYTES, PACKET_BYTES],
    [PACKET_BYTES + 1, PACKET_BYTES],
    [2 * PACKET_BYTES - 1, PACKET_BYTES],
    [2 * PACKET_BYTES, 2 * PACKET_BYTES],
    [100 * PACKET_BYTES, 4 * PACKET_BYTES],
  ])('of %i bytes that lack has %i', (lag, bytes) => {
    expect(sliceBytes(lag, MAX)).toBe(bytes);
  });

  test('is what was asked for when that is less than a packet', () => {
    expect(sliceBytes(10 * PACKET_BYTES, 1000)).toBe(1000);
  });
});
