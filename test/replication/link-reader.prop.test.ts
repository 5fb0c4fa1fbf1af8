/** What a primary sends, cut at random, is taken apart as it was put together. */
import { expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { LINE_BYTES_MAX, LinkReader, MARK_BYTES } from '../../src/replication/link-reader.ts';
import { testSeed } from '../support/seed.ts';

function bytesOf(random: Prng, count: number): Buffer {
  return Buffer.from(Array.from({ length: count }, () => random.below(256)));
}

test.each(['by length', 'by mark'])('a full sync framed %s', (framing) => {
  const random = new Prng(testSeed(`link reader ${framing}`));
  for (let round = 0; round < 200; round++) {
    const dump = bytesOf(
      random,
      random.below(4) === 0 ? random.below(MARK_BYTES + 2) : random.below(5000),
    );
    const mark = bytesOf(random, MARK_BYTES / 2).toString('hex');
    const streamed = bytesOf(random, 1 + random.below(2000));
    const isMarked = framing === 'by mark';
    const lines: string[] = [];
    const payload: Buffer[] = [];
    const stream: Buffer[] = [];
    let ends = 0;
    const reader: LinkReader = new LinkReader({
      line: (text) => {
        lines.push(text);
        if (!text.startsWith('$')) return;
        if (isMarked) reader.expectPayloadUntil(mark);
        else reader.expectPayload(dump.length);
      },
      payload: (bytes, start, end) => payload.push(Buffer.from(bytes.slice(start, end))),
      payloadEnded: () => {
        ends++;
        reader.expectStream();
      },
      stream: (bytes, start, end) => stream.push(Buffer.from(bytes.slice(start, end))),
    });
    const push = (bytes: Buffer): void => {
      for (let at = 0; at < bytes.length; ) {
        const count = Math.min(
          bytes.length - at,
          1 + random.below(random.below(2) === 0 ? 50 : 3000),
        );
        // A read buffer is used again as soon as the call returns.
        const read = Buffer.from(bytes.subarray(at, at + count));
        reader.push(read, 0, count);
        read.fill(0xee);
        at += count;
      }
    };
    const head = Buffer.from(
      `+FULLRESYNC x 1\r\n\n\n$${isMarked ? `EOF:${mark}` : dump.length}\r\n`,
    );
    if (isMarked) {
      // Nothing follows the mark before it is acknowledged.
      push(Buffer.concat([head, dump, Buffer.from(mark)]));
      push(streamed);
    } else {
      push(Buffer.concat([head, dump, streamed]));
    }
    expect(lines).toEqual(['+FULLRESYNC x 1', '', '', head.toString().trim().split('\n').at(-1)]);
    expect(Buffer.concat(payload).equals(dump)).toBe(true);
    expect(Buffer.concat(stream).equals(streamed)).toBe(true);
    expect(ends).toBe(1);
  }
});

test('a line without an end is no line', () => {
  const reader = new LinkReader({
    line: () => {},
    payload: () => {},
    payloadEnded: () => {},
    stream: () => {},
  });
  const chunk = Buffer.alloc(100, 'x');
  expect(() => {
    for (let i = 0; i <= LINE_BYTES_MAX / chunk.length; i++) reader.push(chunk, 0, chunk.length);
  }).toThrow('a line that does not end');
});
