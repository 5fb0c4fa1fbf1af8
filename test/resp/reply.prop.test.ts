/** Replies that grow through many chunks, beside a model that is one string. */
import { expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { MIB } from '../../src/base/units.ts';
import { BufferPool } from '../../src/resp/buffer-pool.ts';
import { Aggregate, CHUNK_BYTES_MAX, Reply } from '../../src/resp/reply.ts';
import { testSeed } from '../support/seed.ts';

const RUNS = 40;
const STEPS = 120;
const VALUES = new Uint8Array(new SharedArrayBuffer(6 * MIB)).map((_, i) => 0x61 + (i % 23));
const TEXT = Buffer.from(VALUES).toString('latin1');

/** Sizes around what a chunk holds, and what it does not. */
function sizeOf(prng: Prng): number {
  const kind = prng.below(40);
  if (kind < 22) return prng.below(40);
  if (kind < 30) return prng.below(3000);
  if (kind < 36) return 17 * 1024 - 40 + prng.below(60);
  if (kind < 39) return prng.below(300_000);
  return CHUNK_BYTES_MAX - 80 + prng.below(MIB);
}

test('random replies, marks and deferred lengths over chunks', () => {
  const prng = new Prng(testSeed('reply'));
  const pool = new BufferPool();
  for (let run = 0; run < RUNS; run++) {
    const reply = new Reply(pool);
    let model = '';
    /** Aggregates that are open, from the outer to the inner, and marks. */
    const tokens: number[] = [];
    const marks: number[] = [];
    const close = (): void => {
      const token = tokens.pop()!;
      const count = [0, 9, 10, 4321][prng.below(4)]!;
      reply.setDeferred(token, count, Aggregate.ARRAY);
      model = `${model.slice(0, token)}*${count}\r\n${model.slice(token + 4)}`;
      while (marks.length > 0 && marks.at(-1)! > token) marks.pop();
    };
    for (let step = 0; step < STEPS; step++) {
      const bytes = sizeOf(prng);
      const at = prng.below(VALUES.length - bytes + 1);
      const text = TEXT.slice(at, at + bytes);
      switch (prng.below(10)) {
        case 0:
          tokens.push(reply.deferArray());
          model += '*0\r\n';
          break;
        case 1:
          if (tokens.length > 0) close();
          break;
        case 2:
          if (marks.length < 3) marks.push(reply.mark());
          break;
        case 3: {
          const mark = marks.pop();
          // A token behind the mark is gone with it.
          if (mark === undefined || tokens.some((token) => token >= mark)) break;
          reply.truncate(mark);
          model = model.slice(0, mark);
          break;
        }
        case 4:
          reply.raw(VALUES, at, at + bytes);
          model += text;
          break;
        case 5:
          reply.bulkLatin1(text);
          model += `$${bytes}\r\n${text}\r\n`;
          break;
        case 6:
          reply.bulkString(text);
          model += `$${bytes}\r\n${text}\r\n`;
          break;
        case 7:
          reply.simple(`${text.slice(0, 200_000)}\n`);
          model += `+${text.slice(0, 200_000)} \r\n`;
          break;
        default:
          reply.bulk(VALUES, at, bytes);
          model += `$${bytes}\r\n${text}\r\n`;
      }
      if (reply.size !== model.length) throw new Error(`run ${run}, step ${step}: size`);
    }
    while (tokens.length > 0) close();
    const chunks = reply.takeChunks();
    for (const chunk of chunks)
      expect((chunk.whole ?? chunk).length).toBeLessThanOrEqual(CHUNK_BYTES_MAX);
    const sent = Buffer.concat(chunks).toString('latin1');
    if (sent !== model) throw new Error(`run ${run}: ${sent.length} bytes against ${model.length}`);
    for (const chunk of chunks) reply.recycle(chunk);
    expect(reply.size).toBe(0);
    expect(reply.fullChunks).toBe(0);
  }
});

test('a chunk that is full stays where it is', () => {
  const reply = new Reply(new BufferPool());
  const value = new Uint8Array(1000).fill(0x78);
  for (let i = 0; i < 1000; i++) reply.bulk(value, 0, 1000);
  const before = reply.mark();
  for (let i = 0; i < 1000; i++) reply.bulk(value, 0, 1000);
  reply.truncate(before);
  const chunks = reply.takeChunks();
  expect(Buffer.concat(chunks).toString()).toBe(`$1000\r\n${'x'.repeat(1000)}\r\n`.repeat(1000));
  expect(chunks.length).toBeGreaterThan(3);
});
