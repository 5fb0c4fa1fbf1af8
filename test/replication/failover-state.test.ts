/** FAILOVER as decisions: what a primary waits for, and when it hands over or gives up. */
import { beforeEach, describe, expect, test } from 'vitest';
import { asOffset } from '../../src/base/units.ts';
import { pair } from '../../src/replication/channels.ts';
import { type FailoverRequest, FailoverState } from '../../src/replication/failover-state.ts';
import { PeerEvent, ReplicaState } from '../../src/replication/replica-state.ts';

const ANY: FailoverRequest = { target: undefined, force: false, timeoutMs: 0 };
const TARGET = { host: '10.0.0.2', port: 6380 };

function replica(address: string, port: number, ack: number, isOnline = true): ReplicaState {
  const state = new ReplicaState(address);
  state.listeningPort = port;
  state.apply(isOnline ? PeerEvent.CONTINUE : PeerEvent.FULL, 0);
  state.ackOffset = asOffset(ack);
  return state;
}

let state: FailoverState;
beforeEach(() => {
  state = new FailoverState();
});

// The connection for a dump announces the port of its main one.
test('a target with two connections is the main one', () => {
  const main = replica('10.0.0.2', 6380, 100);
  const dump = replica('10.0.0.2', 6380, 0, false);
  pair(main, dump);
  expect(state.refusal({ ...ANY, target: TARGET }, false, [dump, main])).toBeUndefined();
});

describe('the wait', () => {
  test('ends with the first online replica that has everything', () => {
    expect(state.begin(ANY, 0).text).toBe('FAILOVER requested to any replica.');
    expect(state.phase).toBe('waiting-for-sync');
    const replicas = [
      replica('10.0.0.1', 1, 100, false),
      replica('10.0.0.2', 6380, 99),
      replica('10.0.0.3', 3, 98),
    ];
    expect(state.check(100, replicas, 1).kind).toBe('wait');
    replicas[2]!.ackOffset = asOffset(100);
    expect(state.check(100, replicas, 2)).toMatchObject({
      kind: 'follow',
      target: { host: '10.0.0.3', port: 3 },
      log: { text: 'Failover target 10.0.0.3:3 is synced, failing over.' },
    });
    expect(state.phase).toBe('failover-in-progress');
    expect(state.check(100, replicas, 3).kind).toBe('wait');
  });

  test('is for the target alone, by the address that it announces', () => {
    const target = replica('127.0.0.1', 6380, 99);
    target.announcedAddress = '10.0.0.2';
    state.begin({ ...ANY, target: TARGET }, 0);
    expect(state.check(100, [replica('10.0.0.1', 6380, 100), target], 1).kind).toBe('wait');
    target.ackOffset = asOffset(100);
    expect(state.check(100, [target], 1)).toMatchObject({ kind: 'follow', target: TARGET });
  });

  test('ends with an abort when time is up, and nobody has everything', () => {
    state.begin({ ...ANY, timeoutMs: 500 }, 1000);
    expect(state.silencesPing).toBe(true);
    expect(state.check(100, [], 1499).kind).toBe('wait');
    expect(state.check(100, [], 1500)).toEqual({
      kind: 'abort',
      reason: 'Replica never caught up before timeout',
    });
    expect(state.abortLine('why').text).toBe('FAILOVER to any replica aborted: why');
    state.end();
    expect(state.phase).toBe('no-failover');
    expect(state.silencesPing).toBe(false);
  });

  test('ends with the target as it is when time is up, and FORCE was given', () => {
    state.begin({ target: TARGET, force: true, timeoutMs: 500 }, 0);
    expect(state.check(100, [replica('10.0.0.2', 6380, 3)], 500)).toMatchObject({
      kind: 'follow',
      target: TARGET,
      log: { text: 'FAILOVER to 10.0.0.2:6380 time out exceeded, failing over.' },
    });
  });

  test('without a timeout goes on, and so does PING', () => {
    state.begin(ANY, 0);
    expect(state.silencesPing).toBe(false);
    expect(state.check(100, [], Number.MAX_SAFE_INTEGER).kind).toBe('wait');
  });
});

test('the checks come in the order of the real server', () => {
  const known = [replica('10.0.0.2', 6380, 0, false)];
  const force = { target: undefined, force: true, timeoutMs: 0 };
  expect(state.refusal(force, true, [])).toContain('not valid when server is a replica');
  expect(state.refusal(force, false, [])).toContain('requires connected replicas');
  expect(state.refusal(force, false, known)).toContain('requires both a timeout and target');
  expect(state.refusal({ ...ANY, target: TARGET }, false, known)).toContain('is not online');
  expect(state.refusal({ ...ANY, target: { ...TARGET, port: 1 } }, false, known)).toContain(
    'is not a replica',
  );
  expect(state.refusal(ANY, false, known)).toBeUndefined();
  state.begin(ANY, 0);
  expect(state.refusal(force, true, [])).toContain('already in progress');
});
