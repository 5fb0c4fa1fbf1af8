/**
 * What the stream carries for SET and its family, as a 7.2 has it. A 7.0 writes SET with PXAT anew.
 */
import { expect, test } from 'vitest';
import { CommandHarness, HARNESS_NOW_MS } from '../../support/command-harness.ts';
import type { Argument } from '../../support/resp-client.ts';

const at = HARNESS_NOW_MS + 100_000;

test.each<[command: readonly Argument[], streamed: readonly Argument[]]>([
  // A time that is absolute and in milliseconds already goes on as it came, in the words that it
  // came in.
  [
    ['SET', 'k', 'v', 'pxat', at],
    ['SET', 'k', 'v', 'pxat', at],
  ],
  [
    ['set', 'k', 'v', 'PxAt', at],
    ['set', 'k', 'v', 'PxAt', at],
  ],
  [
    ['SET', 'k', 'v', 'XX', 'pxat', at],
    ['SET', 'k', 'v', 'XX', 'pxat', at],
  ],
  [
    ['SET', 'k', 'v', 'pxat', at, 'get'],
    ['SET', 'k', 'v', 'pxat', at, 'get'],
  ],
  [
    ['PEXPIREAT', 'k', at, 'nx'],
    ['PEXPIREAT', 'k', at, 'nx'],
  ],
  // Others become one.
  [
    ['SET', 'k', 'v', 'ex', 100],
    ['SET', 'k', 'v', 'PXAT', at],
  ],
  [
    ['SET', 'k', 'v', 'px', 100_000],
    ['SET', 'k', 'v', 'PXAT', at],
  ],
  [
    ['SET', 'k', 'v', 'exat', at / 1000, 'XX', 'GET'],
    ['SET', 'k', 'v', 'PXAT', at],
  ],
  [
    ['SETEX', 'k', 100, 'v'],
    ['SET', 'k', 'v', 'PXAT', at],
  ],
  [
    ['PSETEX', 'k', 100_000, 'v'],
    ['SET', 'k', 'v', 'PXAT', at],
  ],
  [
    ['GETEX', 'k', 'pxat', at],
    ['PEXPIREAT', 'k', at],
  ],
  [
    ['EXPIREAT', 'k', at / 1000, 'nx'],
    ['PEXPIREAT', 'k', at, 'nx'],
  ],
  // Without a time only GET is left out.
  [
    ['SET', 'k', 'v', 'get', 'keepttl'],
    ['SET', 'k', 'v', 'keepttl'],
  ],
])('%j', (command, streamed) => {
  const harness = new CommandHarness();
  harness.run('SET', 'k', 'old');
  const { stream } = harness.run(...command);
  expect(stream).toEqual([{ db: 0, words: streamed.map(String) }]);
});
