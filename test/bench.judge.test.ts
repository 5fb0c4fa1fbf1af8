/** The judge of full syncs finds one that the history could have spared: else its word is worth nothing. */
import { expect, test } from 'vitest';
import { loggedFulls, SyncJudge } from '../native-free-bench/lib/sync-judge.ts';
import { ConnectionWitness, type WitnessedSync } from '../native-free-bench/lib/sync-witness.ts';

const full = (asked: number, ms: number, hasAcked = true): WitnessedSync => ({
  asked,
  answer: 'full',
  askedMs: ms,
  answeredMs: ms + 1,
  hasAcked,
});

/** The log began at 100 until 10 ms, and at 200 from 20 ms on. */
function judge(): SyncJudge {
  const made = new SyncJudge();
  for (const [askedMs, first] of [
    [0, 100],
    [5, 100],
    [9, 100],
    [20, 200],
    [30, 200],
    [1000, 200],
  ] as const)
    made.note({ askedMs, answeredMs: askedMs + 1, first });
  return made;
}

test.each<[string, WitnessedSync[], { asked: number; first: number }[], RegExp | undefined]>([
  ['the first one of a replica', [full(-1, 12)], [], undefined],
  ['one that lacked what was gone', [full(150, 40)], [{ asked: 150, first: 200 }], undefined],
  ['while the log moved', [full(150, 12)], [{ asked: 150, first: 180 }], undefined],
  [
    'one whose history was there',
    [full(200, 40)],
    [{ asked: 200, first: 200 }],
    /full sync from 200 on, though there was history from 200 on/,
  ],
  ['one that the log tells nothing of', [full(150, 40)], [], /the log tells no reason/],
  [
    'a log that tells another offset than INFO',
    [full(250, 40)],
    [{ asked: 250, first: 260 }],
    /the log tells of history from 260 on, and INFO of 200 to 200/,
  ],
  [
    'a replica that had synced, and forgot it',
    [full(-1, 3), full(-1, 40)],
    [],
    /had synced, and asked without an offset/,
  ],
  ['a replica that was cut off in its dump', [full(-1, 3, false), full(-1, 40)], [], undefined],
])('%s', (_name, syncs, logged, fault) => {
  const { faults } = judge().judge('replica', syncs, logged);
  if (fault === undefined) expect(faults).toEqual([]);
  else expect(faults).toEqual([expect.stringMatching(fault)]);
});

test('the witness reads requests and answers that come byte by byte', () => {
  const told: WitnessedSync[] = [];
  const witness = new ConnectionWitness(told);
  const send = (text: string): void => {
    for (const byte of Buffer.from(text, 'latin1')) witness.up(Buffer.of(byte));
  };
  send('*1\r\n$4\r\nPING\r\n');
  witness.down(Buffer.from('+PONG\r\n'));
  send(`*3\r\n$5\r\nPSYNC\r\n$40\r\n${'a'.repeat(40)}\r\n$3\r\n812\r\n`);
  for (const byte of Buffer.from('\n\n+CONTINUE\r\nrest')) witness.down(Buffer.of(byte));
  expect(told).toMatchObject([{ asked: 812, answer: 'partial', hasAcked: false }]);
  witness.up(Buffer.from('*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$3\r\n900\r\n'));
  expect(told).toMatchObject([{ asked: 812, hasAcked: true }]);
});

test('the log of a primary is read', () => {
  const log =
    '{"msg":"Unable to partial resync with replica 127.0.0.1:7001 for lack of backlog (Replica request was: 5)."}\n' +
    '{"msg":"The backlog begins at offset 90 and ends at 200."}\n' +
    '{"msg":"Partial resynchronization not accepted"}\n';
  expect([...loggedFulls(log)]).toEqual([['7001', [{ asked: 5, first: 90 }]]]);
});
