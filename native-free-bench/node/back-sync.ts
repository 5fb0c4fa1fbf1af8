/**
 * A replica comes back that lacks 60 MB: PSYNC to +CONTINUE, to the first byte, to the last, and how
 * long PING waits meanwhile. headwater has a backlog of 16 MB, so it has to expand what the replica
 * lacks. redis-server gets one that holds the same history.
 *
 * Three times: when nobody has needed the history for a while, at once again, and while 20,000 SETs
 * per second come.
 */
import type { Child } from '../lib/child.ts';
import type { ProbeApi, ProbeResult } from '../lib/probe-child.ts';
import { allCaughtUp, proveAttached, proveStreams } from '../lib/proof.ts';
import type { BackResult, ReplicaApi } from '../lib/replica-child.ts';
import {
  type Context,
  type Figure,
  type Measurement,
  pause,
  type Scenario,
  until,
} from '../lib/scenario.ts';
import type { Server } from '../lib/server.ts';
import { NO_LIMIT, setRequests } from '../lib/sets.ts';
import { median } from '../lib/statistics.ts';

const MB = 1e6;
const VALUE_BYTES = 300;
const COMMAND_BYTES = VALUE_BYTES + 45;
const SEED = 0xbac5;
const FAKES_AT_THE_END = 2;
const BACKLOG = { headwater: '16mb', redis: '128mb' } as const;
const FULL = { behind: 60 * MB, written: 100 * MB, keys: 100_000, perSecond: 40_000, rounds: 5 };
const SMOKE = { behind: MB, written: 2 * MB, keys: 2_000, perSecond: 20_000, rounds: 1 };
const LOAD = { full: 20_000, smoke: 1_000 };
/** headwater ends threads that had nothing to do for 5 s. */
const QUIET_MS = { full: 6000, smoke: 20 };

const CASES = [
  { id: 'first', label: 'after a quiet time' },
  { id: 'again', label: 'once more' },
  { id: 'load', label: 'at 20,000 SETs per second' },
] as const;

function figures(): Figure[] {
  return CASES.flatMap(({ id, label }): Figure[] => [
    { id: `${id}.continue`, label: `${label}: PSYNC to +CONTINUE`, unit: 'ms', must: null },
    { id: `${id}.first`, label: '  PSYNC to first byte', unit: 'ms', must: { below: 50 } },
    { id: `${id}.rate`, label: '  rate until it has all', unit: 'MB/s', must: { atLeast: 100 } },
    { id: `${id}.max`, label: '  PING max meanwhile', unit: 'ms', must: { below: 10 } },
  ]);
}

interface Back extends BackResult {
  readonly ping: ProbeResult;
}

async function measure(context: Context): Promise<Measurement> {
  const sizes = context.smoke ? SMOKE : FULL;
  const size = context.smoke ? 'smoke' : 'full';
  const backlog = BACKLOG[context.target.kind];
  const server = await context.start('--repl-backlog-size', backlog, ...NO_LIMIT);
  const writer = context.loadGenerator();
  const replicas = context.replicas();
  const prober = context.prober();
  const shape = { keys: sizes.keys, valueBytes: VALUE_BYTES, seed: SEED, isJson: true };
  const job = setRequests(server.port, shape);
  const write = async (): Promise<string> => {
    await writer.call('pacedStart', { ...job, perSecond: sizes.perSecond });
    await pause((sizes.written / (sizes.perSecond * COMMAND_BYTES)) * 1000);
    return (await writer.call('pacedStop', null)).checksum;
  };
  const attach = { port: server.port, replicas: 1, ...context.proving('streams') };
  await replicas.call('attach', attach);
  const checksum = await write();
  await allCaughtUp(server, replicas);
  await packed(server);
  await prober.call('start', server.port);

  const comeBack = (): Promise<Back> => back(context, server, replicas, prober, sizes.behind);
  const results: Record<string, Back[]> = { first: [], again: [], load: [] };
  for (let round = 0; round < sizes.rounds; round++) {
    await pause(QUIET_MS[size]);
    results['first']!.push(await comeBack());
    results['again']!.push(await comeBack());
  }
  await writer.call('pacedStart', { ...job, perSecond: LOAD[size] });
  for (let round = 0; round < sizes.rounds; round++) {
    await pause(QUIET_MS[size] / 6);
    results['load']!.push(await comeBack());
  }
  await writer.call('pacedStop', null);
  await prober.call('stop', null);
  await proveStreams(context, server, replicas);
  await replicas.call('detach', null);
  await proveAttached(context, server, replicas, FAKES_AT_THE_END, write);
  return { checksum, values: valuesOf(results), notes: notesOf(results) };
}

/** Lets a replica come back, and counts what is different as a fault of the server. */
async function back(
  context: Context,
  server: Server,
  replicas: Child<ReplicaApi>,
  prober: Child<ProbeApi>,
  behind: number,
): Promise<Back> {
  const { offsets } = await replicas.call('state', null);
  await prober.call('take', null);
  const from = Math.max(...offsets) - behind + 1;
  const result = await replicas.call('comeBack', { port: server.port, from });
  const ping = await prober.call('take', null);
  context.proof.replicas++;
  if (result.fault === '') context.proof.equal++;
  else context.proof.faults.push(`a replica that came back got ${result.fault}`);
  return { ...result, ping };
}

/** Resolves once all sealed blocks of the backlog are compressed. */
async function packed(server: Server): Promise<void> {
  await until('a compressed backlog', async () => {
    const waiting = (await server.control.info('everything')).get(
      'headwater_backlog_blocks_waiting',
    );
    return waiting === undefined || Number(waiting) <= 1;
  });
}

function valuesOf(results: Readonly<Record<string, readonly Back[]>>): Record<string, number> {
  const values: Record<string, number> = {};
  for (const [id, all] of Object.entries(results)) {
    const seconds = (one: Back): number => (one.lastByteMs - one.firstByteMs) / 1000;
    values[`${id}.continue`] = median(all.map((one) => one.continueMs));
    values[`${id}.first`] = median(all.map((one) => one.firstByteMs));
    values[`${id}.rate`] = median(all.map((one) => one.bytes / MB / seconds(one)));
    values[`${id}.max`] = Math.max(...all.map((one) => one.ping.maxMs));
  }
  return values;
}

function notesOf(results: Readonly<Record<string, readonly Back[]>>): string[] {
  return Object.entries(results).map(([id, all]) => {
    const worst = Math.max(...all.map((one) => one.firstByteMs)).toFixed(1);
    return `${id}: longest time to the first byte ${worst} ms, PING p99.9 ${median(
      all.map((one) => one.ping.p999Ms),
    ).toFixed(1)} ms`;
  });
}

export const backSync: Scenario = {
  name: 'back-sync',
  title: 'A replica comes back that lacks 60 MB of SETs of JSON of 300 bytes.',
  runs: 3,
  figures,
  measure,
};
