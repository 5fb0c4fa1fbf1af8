/** Compressing and expanding blocks in a worker: which codec makes them, and damage. */
import { randomBytes } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { codeOf, ErrorCode, messageOf } from '../../src/base/errors.ts';
import { KIB } from '../../src/base/units.ts';
import { type CompactPool, createCompactPool } from '../../src/workers/compact-job.ts';
import type { CompactResult, Effort } from '../../src/workers/compact-task.ts';
import { createPool } from '../../src/workers/pool.ts';

const pool = createCompactPool();
/** Threads that lack something. */
const poolWithout = (what: 'vectors' | 'memory' | 'files'): CompactPool => {
  const entry = new URL(`../support/compact-without-${what}.mjs`, import.meta.url);
  return createPool({ duty: 'compact', entry, threads: 1 });
};
const vectorless = poolWithout('vectors');
const refused = poolWithout('memory');
const fileless = poolWithout('files');
afterAll(() => Promise.all([pool, vectorless, refused, fileless].map((each) => each.close())));

const BLOCK_BYTES = 64 * KIB;
const BROTLI = 1;
const BLOCK_CODEC = 2;

function shared(bytes: Uint8Array): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(bytes.length);
  new Uint8Array(memory).set(bytes);
  return memory;
}

function filled(piece: (number: number) => string): Buffer {
  let text = '';
  for (let i = 0; text.length < BLOCK_BYTES; i++) text += piece(i);
  return Buffer.from(text.slice(0, BLOCK_BYTES), 'latin1');
}

const commands = (): Buffer =>
  filled((i) => {
    const value = JSON.stringify({ id: i * 7919, user: `user-${i % 977}`, active: i % 3 === 0 });
    return `*3\r\n$3\r\nSET\r\n$8\r\nk${1_000_000 + i}\r\n$${value.length}\r\n${value}\r\n`;
  });

/** Sentences whose words stand in no fixed places. */
const prose = (): Buffer => {
  const words = 'a block of the log that no replica reads is compressed by another thread'.split(
    ' ',
  );
  let state = 1;
  return filled(() => {
    state = (state * 48_271) % 2_147_483_647;
    return `${words[state % words.length]} `;
  });
};

interface Packed {
  readonly results: readonly CompactResult[];
  /** The compressed blocks. */
  readonly packed: readonly Uint8Array[];
}

async function pack(
  blocks: readonly Uint8Array[],
  effort: Effort,
  by: CompactPool = pool,
): Promise<Packed> {
  const to = new SharedArrayBuffer(blocks.length * BLOCK_BYTES);
  const from = blocks.map((block) => ({ memory: shared(block), start: 0, length: block.length }));
  const results = await by.run({ kind: 'pack', from, to, effort });
  let start = 0;
  const packed = results.map(({ bytes }) => {
    start += bytes;
    return new Uint8Array(to, start - bytes, bytes);
  });
  return { results, packed };
}

/** Expands a block from two pieces. */
async function unpack(
  packed: Uint8Array,
  { crcLow, crcHigh }: Pick<CompactResult, 'crcLow' | 'crcHigh'>,
  by: CompactPool = pool,
): Promise<Uint8Array> {
  const memory = shared(packed);
  const middle = packed.length >> 1;
  const to = { memory: new SharedArrayBuffer(BLOCK_BYTES), start: 0, length: BLOCK_BYTES };
  const from = [
    { memory, start: 0, length: middle },
    { memory, start: middle, length: packed.length - middle },
  ];
  await by.run({ kind: 'unpack', from, to, crcLow, crcHigh });
  return new Uint8Array(to.memory);
}

test.each<Effort>(['quick', 'thorough'])('packs several blocks of a task, %s', async (effort) => {
  const blocks = [commands(), randomBytes(BLOCK_BYTES), prose(), commands()];
  const { results, packed } = await pack(blocks, effort);
  expect(results).toHaveLength(4);
  expect(results[1]!.bytes).toBe(0);
  for (const i of [0, 2, 3]) {
    expect(results[i]!.bytes).toBeGreaterThan(0);
    expect(results[i]!.bytes).toBeLessThan(BLOCK_BYTES / 3);
    expect(Buffer.from(await unpack(packed[i]!, results[i]!)).equals(blocks[i]!)).toBe(true);
  }
});

test('stays with the codec that was better, and tries both again', async () => {
  const codecsOf = async (block: Uint8Array, blocks: number): Promise<number[]> => {
    const codecs: number[] = [];
    while (codecs.length < blocks) {
      const { packed } = await pack([block], codecs.length % 2 === 0 ? 'quick' : 'thorough');
      codecs.push(packed[0]![0]!);
    }
    return codecs;
  };
  // One of 32 blocks is tried with both.
  expect((await codecsOf(prose(), 32)).at(-1)).toBe(BROTLI);
  const codecs = await codecsOf(commands(), 64);
  const change = codecs.indexOf(BLOCK_CODEC);
  expect(change).toBeGreaterThan(0);
  expect(change).toBeLessThan(32);
  expect(codecs).toEqual([...Array(change).fill(BROTLI), ...Array(64 - change).fill(BLOCK_CODEC)]);
});

test.each<[codec: string, block: () => Buffer]>([
  ['the codec of blocks', commands],
  ['Brotli', prose],
])('refuses what is damaged: %s', async (_codec, block) => {
  const { results, packed } = await pack(Array(32).fill(block()), 'quick');
  const result = results.at(-1);
  const bytes = packed.at(-1)!;
  const corrupt = { code: ErrorCode.CORRUPT };
  await expect(unpack(bytes.subarray(0, bytes.length - 1), result!)).rejects.toMatchObject(corrupt);
  await expect(unpack(bytes, { crcLow: 1, crcHigh: 0 })).rejects.toMatchObject(corrupt);
  let refused = 0;
  for (let at = 0; at < bytes.length; at += 97) {
    const damaged = Uint8Array.from(bytes);
    damaged[at]! ^= 1 << (at % 8);
    // A bit may make no difference, as some of Brotli's header.
    try {
      expect(Buffer.from(await unpack(damaged, result!)).equals(block()), `byte ${at}`).toBe(true);
    } catch (error) {
      expect(codeOf(error), `byte ${at}: ${messageOf(error)}`).toBe(ErrorCode.CORRUPT);
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(bytes.length / 97 / 2);
  expect(Buffer.from(await unpack(bytes, result!)).equals(block())).toBe(true);
});

test.each([
  ['the processor has no vectors', vectorless],
  ['the system refuses the codec its memory', refused],
])(
  'Brotli compresses when %s, and what the codec of blocks made is expanded',
  async (_, without) => {
    const block = commands();
    for (const effort of ['quick', 'thorough'] as const) {
      const { results, packed } = await pack([block], effort, without);
      expect(packed[0]![0]).toBe(BROTLI);
      expect(Buffer.from(await unpack(packed[0]!, results[0]!, without)).equals(block)).toBe(true);
    }
    // One of 32 blocks is tried with both codecs.
    const { results, packed } = await pack(Array(32).fill(block), 'quick');
    const [result, bytes] = [results.at(-1)!, packed.at(-1)!];
    expect(bytes[0]).toBe(BLOCK_CODEC);
    expect(Buffer.from(await unpack(bytes, result, without)).equals(block)).toBe(true);
    const corrupt = { code: ErrorCode.CORRUPT };
    await expect(unpack(bytes.subarray(0, -1), result, without)).rejects.toMatchObject(corrupt);
  },
);

test('a thread that runs opens no file', async () => {
  const { results, packed } = await pack([commands()], 'thorough', fileless);
  expect(packed[0]![0]).toBe(BLOCK_CODEC);
  expect(Buffer.from(await unpack(packed[0]!, results[0]!, fileless)).equals(commands())).toBe(
    true,
  );
});
