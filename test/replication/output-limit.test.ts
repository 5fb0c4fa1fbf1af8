import { describe, expect, test } from 'vitest';
import {
  cutOffText,
  OutputGauge,
  OutputVerdict,
  replicaLimit,
} from '../../src/replication/output-limit.ts';

const { WITHIN, HARD, SOFT } = OutputVerdict;
const LIMIT = { hardBytes: 256, softBytes: 64, softMs: 60_000 };

describe('limits over time', () => {
  test.each([
    [
      'below both',
      [
        [63, 0],
        [63, 90_000],
      ],
      [WITHIN, WITHIN],
    ],
    [
      'at the hard limit',
      [
        [255, 0],
        [256, 0],
      ],
      [WITHIN, HARD],
    ],
    [
      'soft for exactly its time, then longer',
      [
        [64, 0],
        [100, 60_000],
        [64, 60_001],
      ],
      [WITHIN, WITHIN, SOFT],
    ],
    [
      'a pause starts the soft clock anew',
      [
        [64, 0],
        [63, 59_000],
        [64, 59_500],
        [64, 119_000],
        [64, 119_501],
      ],
      [WITHIN, WITHIN, WITHIN, WITHIN, SOFT],
    ],
    [
      'idle in a soft breach, asked by the clock',
      [
        [64, 5],
        [64, 30_000],
        [64, 60_006],
      ],
      [WITHIN, WITHIN, SOFT],
    ],
  ] as const)('%s', (_name, samples, verdicts) => {
    const gauge = new OutputGauge();
    expect(samples.map(([bytes, nowMs]) => gauge.judge(LIMIT, bytes, nowMs))).toEqual(verdicts);
  });

  test('zero means no limit', () => {
    const gauge = new OutputGauge();
    const none = { hardBytes: 0, softBytes: 0, softMs: 0 };
    expect([0, 1e15].map((bytes) => gauge.judge(none, bytes, 1e9))).toEqual([WITHIN, WITHIN]);
  });

  test('a soft limit of no duration ends at the next look', () => {
    const gauge = new OutputGauge();
    const limit = { hardBytes: 0, softBytes: 10, softMs: 0 };
    expect([gauge.judge(limit, 10, 5), gauge.judge(limit, 10, 6)]).toEqual([WITHIN, SOFT]);
  });
});

test.each([
  [256, 1000, 1000],
  [256, 100, 256],
  [0, 1000, 0],
])('hard limit %i with a backlog of %i is %i for replicas', (hardBytes, backlog, expected) => {
  expect(replicaLimit({ ...LIMIT, hardBytes }, backlog)).toEqual({ ...LIMIT, hardBytes: expected });
});

test('the log line is the one that operators know', () => {
  expect(cutOffText('id=3 addr=10.0.0.2:5')).toBe(
    'Client id=3 addr=10.0.0.2:5 scheduled to be closed ASAP for overcoming of output buffer limits.',
  );
});
