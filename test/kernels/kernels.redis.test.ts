/**
 * What the kernels write, read by a real server: strings in DUMP form go in by RESTORE and come out
 * by GET.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { ByteKernels, RDB_STRING_ROOM_BYTES } from '../../src/kernels/kernels.ts';
import { plainLzfDecompress } from '../../src/kernels/plain-lzf.ts';
import { type RealRedis, startRedis } from '../support/real-redis.ts';
import type { RespClient } from '../support/resp-client.ts';
import { testSeed } from '../support/seed.ts';
import { mixedBytes, sameBytes, textBytes } from './samples.ts';

const kernels = new ByteKernels(1024 * 1024);
const memory = kernels.memory;
const INPUT = kernels.freeStart;
const OUTPUT = INPUT + 256 * 1024;
const TYPE_STRING = 0;
const RDB_VERSION = 10;
const TRAILER_BYTES = 10;

let redis: RealRedis;
let client: RespClient;

beforeAll(async () => {
  redis = await startRedis();
  client = await redis.client({ bulk: 'buffer' });
});
afterAll(async () => {
  await client.close();
  await redis.stop();
});

/** Type, string, u16 version, u64 checksum of all before it. */
function dumpOf(text: Uint8Array): Buffer {
  memory.set(text, INPUT);
  memory[OUTPUT] = TYPE_STRING;
  const end = OUTPUT + 1 + kernels.rdbString(INPUT, text.length, OUTPUT + 1, true);
  expect(end - OUTPUT).toBeLessThanOrEqual(1 + text.length + RDB_STRING_ROOM_BYTES);
  memory[end] = RDB_VERSION;
  memory[end + 1] = 0;
  kernels.crcReset();
  kernels.crcUpdate(OUTPUT, end + 2 - OUTPUT);
  const dump = Buffer.from(memory.slice(OUTPUT, end + TRAILER_BYTES));
  dump.writeUInt32LE(kernels.crcLow(), dump.length - 8);
  dump.writeUInt32LE(kernels.crcHigh(), dump.length - 4);
  return dump;
}

describe('a real server', () => {
  test('restores strings of all forms and sizes', async () => {
    const prng = new Prng(testSeed('restore'));
    const texts: Uint8Array[] = [
      '',
      '0',
      '-1',
      '007',
      '-0',
      '12345',
      '-2147483648',
      '2147483648',
    ].map((text) => Buffer.from(text));
    for (let size = 1; size <= 1000; size++) texts.push(mixedBytes(prng, size));
    for (let round = 0; round < 60; round++) texts.push(mixedBytes(prng, prng.below(200_000)));
    for (const [index, text] of texts.entries()) {
      const [restored, value] = await client.pipeline([
        ['RESTORE', `key:${index}`, 0, dumpOf(text)],
        ['GET', `key:${index}`],
      ]);
      const message = `string ${index} of ${text.length} bytes`;
      expect(String(restored), message).toBe('OK');
      expect(Buffer.isBuffer(value) && value.equals(text), message).toBe(true);
    }
  });

  test('writes the same bytes where there is one form, and LZF about as short', async () => {
    const prng = new Prng(testSeed('dump'));
    for (const text of ['', 'a', '0', '-129', '65536', '007', '2147483648', 'x'.repeat(20)]) {
      await client.call('SET', 'key', text);
      expect(await client.call('DUMP', 'key'), text).toEqual(dumpOf(Buffer.from(text)));
    }
    let theirs = 0;
    let ours = 0;
    for (let round = 0; round < 200; round++) {
      const text = Buffer.from(textBytes(prng, 100 + prng.below(5000)));
      await client.call('SET', 'key', text);
      theirs += ((await client.call('DUMP', 'key')) as Buffer).length;
      ours += dumpOf(text).length;
    }
    expect(ours / theirs).toBeLessThan(1.03);
  });

  test('compresses so that the kernel reads it back', async () => {
    const prng = new Prng(testSeed('read back'));
    for (let round = 0; round < 100; round++) {
      const text = Buffer.from(textBytes(prng, 17_000 + prng.below(50_000)));
      await client.call('SET', 'key', text);
      const dump = (await client.call('DUMP', 'key')) as Buffer;
      expect(dump[1]).toBe(0xc3);
      const longForm = dump[2] === 0x80;
      const compressed = longForm ? dump.readUInt32BE(3) : dump.readUInt16BE(2) & 0x3fff;
      const at = 2 + (longForm ? 5 : 2) + 5;
      memory.set(dump.subarray(at, at + compressed), INPUT);
      expect(kernels.lzfDecompress(INPUT, compressed, OUTPUT, text.length)).toBe(text.length);
      expect(sameBytes(memory.subarray(OUTPUT, OUTPUT + text.length), text)).toBe(true);
      expect(
        sameBytes(plainLzfDecompress(dump.subarray(at, at + compressed), text.length), text),
      ).toBe(true);
    }
  });
});
