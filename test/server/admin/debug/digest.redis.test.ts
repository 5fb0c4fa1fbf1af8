/**
 * DEBUG DIGEST and DIGEST-VALUE beside a real server's, over random strings in several databases.
 */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Prng } from '../../../../src/base/prng.ts';
import { SHA1_BYTES, sha1 } from '../../../../src/server/admin/debug/sha1.ts';
import { startHeadwater } from '../../../support/headwater.ts';
import { startRedis } from '../../../support/real-redis.ts';
import { testSeed } from '../../../support/seed.ts';
import type { TestServer } from '../../../support/server-process.ts';

let servers: TestServer[];

beforeAll(async () => {
  servers = await Promise.all([
    startHeadwater({ args: ['--enable-debug-command', 'yes'] }),
    startRedis(),
  ]);
});

afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
});

test('SHA-1 of messages around the lengths of blocks is that of node:crypto', () => {
  const into = new Uint8Array(SHA1_BYTES);
  for (const length of [0, 1, 19, 20, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 1000]) {
    const bytes = Buffer.alloc(length + 3, 'abc');
    sha1(bytes, 3, length, into);
    const expected = createHash('sha1').update(bytes.subarray(3)).digest('hex');
    expect(Buffer.from(into).toString('hex')).toBe(expected);
  }
});

test('datasets of strings have the digest of the real server', async () => {
  const prng = new Prng(testSeed('digest'));
  const commands: (string | Buffer)[][] = [];
  for (let i = 0; i < 600; i++) {
    if (i % 100 === 0) commands.push(['SELECT', String(prng.below(16))]);
    const value = Buffer.from(Array.from({ length: prng.below(200) }, () => prng.below(256)));
    const text = [String(prng.below(1000)), value, '', '9223372036854775807', 'x'.repeat(20_000)][
      prng.below(5)
    ]!;
    commands.push([
      'SET',
      `k${prng.below(400)}`,
      text,
      ...(prng.below(3) === 0 ? ['EX', '100000'] : []),
    ]);
  }
  commands.push(['SELECT', '0'], ['SET', 'here', '1'], ['SET', 'there', 'x', 'EX', '100000']);
  const digests = await Promise.all(
    servers.map(async (server) => {
      const client = await server.client();
      await client.pipeline(commands);
      const found = [
        await client.call('DEBUG', 'DIGEST'),
        await client.call('DEBUG', 'DIGEST-VALUE', 'here', 'there', 'nowhere'),
      ];
      await client.close();
      return found;
    }),
  );
  expect(digests[0]).toEqual(digests[1]);
});
