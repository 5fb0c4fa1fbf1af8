/**
 * Counts of streams beyond 2^53. They are kept as doubles: what a client gives is rounded, and
 * whatever goes to replicas is an integer of 64 bits, since a replica would refuse another one and
 * go on without the change.
 */
import { expect, test } from 'vitest';
import { CommandHarness } from '../../support/command-harness.ts';

const LAST_DOUBLE = '9223372036854774784';
const LONG_MAX = '9223372036854775807';

function streamWithGroup(): CommandHarness {
  const harness = new CommandHarness();
  harness.call('XADD', 's', '1-1', 'f', 'v');
  harness.call('XADD', 's', '2-1', 'f', 'v');
  harness.call('XGROUP', 'CREATE', 's', 'g', '0', 'ENTRIESREAD', LONG_MAX);
  return harness;
}

test('ENTRIESREAD of the greatest integer is told and streamed as the double below', () => {
  const harness = streamWithGroup();
  const [group] = harness.call('XINFO', 'GROUPS', 's') as unknown[][];
  expect(group?.[group.indexOf('entries-read') + 1]).toBe(BigInt(LAST_DOUBLE));
  const { stream } = harness.run('XREADGROUP', 'GROUP', 'g', 'c', 'NOACK', 'STREAMS', 's', '>');
  const words = stream.map((one) => one.words).find(([, name]) => name === 'SETID');
  expect(words?.slice(-2)).toEqual(['ENTRIESREAD', LAST_DOUBLE]);
});

test('RETRYCOUNT of the greatest integer is told and streamed as the double below', () => {
  const harness = streamWithGroup();
  harness.call('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 's', '>');
  const { stream } = harness.run('XCLAIM', 's', 'g', 'c', '0', '1-1', 'RETRYCOUNT', LONG_MAX);
  const { words } = stream.at(-1)!;
  expect(words[words.indexOf('RETRYCOUNT') + 1]).toBe(LAST_DOUBLE);
  const [pending] = harness.call('XPENDING', 's', 'g', '1-1', '1-1', '1') as unknown[][];
  expect(pending?.[3]).toBe(BigInt(LAST_DOUBLE));
});

test('ENTRIESADDED of the greatest integer is told as the double below, and stays there', () => {
  const harness = streamWithGroup();
  harness.call('XSETID', 's', '9-9', 'ENTRIESADDED', LONG_MAX, 'MAXDELETEDID', '3-3');
  harness.call('XADD', 's', '10-1', 'f', 'v');
  const info = harness.call('XINFO', 'STREAM', 's') as unknown[];
  expect(info[info.indexOf('entries-added') + 1]).toBe(BigInt(LAST_DOUBLE));
});

test('a count between is streamed with all of its digits', () => {
  const harness = streamWithGroup();
  harness.call('XGROUP', 'SETID', 's', 'g', '0', 'ENTRIESREAD', '4611686018427387904');
  harness.call('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 's', '>');
  const { stream } = harness.run(
    'XCLAIM',
    's',
    'g',
    'c',
    '0',
    '1-1',
    'RETRYCOUNT',
    '4611686018427387904',
  );
  expect(stream.at(-1)?.words).toContain('4611686018427387904');
});
