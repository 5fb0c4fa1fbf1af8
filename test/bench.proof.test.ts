/**
 * What the bench proves its streams with: the record of a stream, the checksum of a dump, and the
 * playback of both.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { Playback } from '../native-free-bench/lib/playback.ts';
import { StreamProof } from '../native-free-bench/lib/stream-proof.ts';
import { DumpCheck, SAME, StreamRecord } from '../native-free-bench/lib/stream-record.ts';
import { Prng } from '../src/base/prng.ts';
import { MIB } from '../src/base/units.ts';
import { crc64 } from '../src/kernels/kernels.ts';
import { FakeReplica } from './support/fake-replica.ts';
import { testSeed } from './support/seed.ts';

const FIRST = 1001;

function randomBytes(prng: Prng, count: number): Buffer {
  const bytes = Buffer.allocUnsafe(count);
  for (let i = 0; i < count; i++) bytes[i] = prng.u32();
  return bytes;
}

/**
 * Replicas that get `stream` in pieces, by turns; returns what each was told, in the order of the
 * replicas.
 */
function deliver(
  prng: Prng,
  record: StreamRecord,
  streams: readonly Buffer[],
  pieceMax: number,
): number[] {
  const sent = streams.map(() => 0);
  const told = streams.map(() => SAME);
  for (let left = streams.length; left > 0; ) {
    const i = prng.below(streams.length);
    const stream = streams[i]!;
    const at = sent[i]!;
    if (at === stream.length) continue;
    const end = Math.min(stream.length, at + 1 + prng.below(pieceMax));
    // As from a read buffer: what was read lies somewhere, and is overwritten later.
    const buffer = Buffer.concat([Buffer.alloc(3), stream.subarray(at, end), Buffer.alloc(5)]);
    if (told[i] === SAME) told[i] = record.take(FIRST + at, buffer, 3, 3 + end - at);
    buffer.fill(0);
    sent[i] = end;
    if (end === stream.length) left--;
  }
  return told;
}

describe('the record of a stream', () => {
  test('is what replicas got that got the same, in whatever pieces', () => {
    const prng = new Prng(testSeed('record of a stream'));
    const stream = randomBytes(prng, 2.5 * MIB);
    for (const pieceMax of [3000, 200_000, 2 * MIB]) {
      const record = new StreamRecord();
      const told = deliver(prng, record, [stream, stream, stream, stream], pieceMax);
      expect(told).toEqual([SAME, SAME, SAME, SAME]);
      expect(record.settle()).toBe(SAME);
      expect([record.first, record.end]).toEqual([FIRST, FIRST + stream.length]);
      expect(Buffer.concat([...record.parts()]).equals(stream)).toBe(true);
      const from = prng.below(stream.length);
      expect(Buffer.concat([...record.parts(FIRST + from)]).equals(stream.subarray(from))).toBe(
        true,
      );
      const { low, high } = crc64(stream);
      const digits = [high, low].map((half) => half.toString(16).padStart(8, '0')).join('');
      expect(record.crc64()).toBe(digits);
    }
  });

  test('tells of one byte that is another, and where', () => {
    const prng = new Prng(testSeed('falsified stream'));
    const stream = randomBytes(prng, 1.5 * MIB);
    for (let round = 0; round < 20; round++) {
      const at = prng.below(stream.length);
      const falsified = Buffer.from(stream);
      falsified[at] = falsified[at]! ^ (1 << prng.below(8));
      const told = deliver(prng, new StreamRecord(), [stream, falsified], 300_000);
      expect(told.filter((each) => each !== SAME)).toEqual([FIRST + at]);
    }
  });

  test('compares what lies beyond it when it has come that far', () => {
    const prng = new Prng(testSeed('early bytes'));
    const stream = randomBytes(prng, 1000);
    for (const isFalsified of [false, true]) {
      const record = new StreamRecord();
      record.take(FIRST, stream, 0, 100);
      const late = Buffer.from(stream.subarray(300));
      if (isFalsified) late[500] = late[500]! ^ 1;
      expect(record.take(FIRST + 300, late, 0, late.length)).toBe(SAME);
      expect(record.settle()).toBe(FIRST + 100);
      record.take(FIRST + 100, stream, 100, 1000);
      expect(record.settle()).toBe(isFalsified ? FIRST + 800 : SAME);
    }
  });

  test('tells of bytes that only one replica got', () => {
    const record = new StreamRecord();
    record.take(FIRST, Buffer.from('abc'), 0, 3);
    record.take(FIRST - 3, Buffer.from('xyz'), 0, 3);
    expect(record.settle()).toBe(FIRST - 3);
  });
});

describe('a dump', () => {
  test.each([0, 40])('ends with its checksum, %i bytes before the end', (behind) => {
    const prng = new Prng(testSeed('dump check'));
    const content = randomBytes(prng, 100_000);
    const { low, high } = crc64(content);
    const trailer = Buffer.alloc(8);
    trailer.writeUInt32LE(low, 0);
    trailer.writeUInt32LE(high, 4);
    const dump = Buffer.concat([content, trailer, randomBytes(prng, behind)]);
    for (const pieceMax of [7, 1000, dump.length]) {
      for (const falsifiedAt of [-1, prng.below(content.length + trailer.length)]) {
        const bytes = Buffer.from(dump);
        if (falsifiedAt >= 0) bytes[falsifiedAt] = bytes[falsifiedAt]! ^ 1;
        const check = new DumpCheck(behind);
        for (let at = 0; at < bytes.length; ) {
          const end = Math.min(bytes.length, at + 1 + prng.below(pieceMax));
          check.take(bytes, at, end);
          at = end;
        }
        expect(check.isRight).toBe(falsifiedAt < 0);
      }
    }
  });
});

describe('a playback', () => {
  const replid = '0123456789abcdef'.repeat(3).slice(0, 40);

  test('gives dump and stream to whoever asks, and counts them', async () => {
    const dump = [Buffer.from('a du'), Buffer.from('mp')];
    const stream = [Buffer.from('*1\r\n$4\r\nPI'), Buffer.from('NG\r\n')];
    const playback = await Playback.start({ replid, offset: 700, dump, stream });
    for (let syncs = 1; syncs <= 2; syncs++) {
      const replica = await FakeReplica.attach(playback.port);
      await replica.waitForOffset(714);
      expect(replica.dump.toString()).toBe('a dump');
      expect(replica.replid).toBe(replid);
      expect(replica.commands).toEqual([['PING']]);
      expect(playback.syncs).toBe(syncs);
      await replica.close();
    }
    playback.stop();
  });

  test('waits for the whole of a request', async () => {
    const playback = await Playback.start({
      replid,
      offset: 0,
      dump: [Buffer.from('d')],
      stream: [],
    });
    const socket = connect(playback.port, '127.0.0.1');
    const answers: Buffer[] = [];
    socket.on('data', (bytes) => answers.push(bytes));
    for (const piece of [
      '*1\r\n$4\r\nPI',
      'NG\r\n*2\r\n$8\r\nREPLCONF\r\n$1\r\nx\r',
      '\n*3\r\n$5\r\nPSYNC\r\n',
    ]) {
      await new Promise((resolve) => socket.write(piece, resolve));
    }
    expect(playback.syncs).toBe(0);
    socket.write('$1\r\n?\r\n$2\r\n-1\r\n');
    while (!Buffer.concat(answers).includes('$1\r\nd')) await once(socket, 'data');
    expect(Buffer.concat(answers).toString()).toBe(
      `+PONG\r\n+OK\r\n+FULLRESYNC ${replid} 0\r\n$1\r\nd`,
    );
    socket.destroy();
    playback.stop();
  });
});

describe('the line of a report', () => {
  const another = 'replica 1 got another byte';
  const differs = 'DEBUG DIGEST is a, not b';
  const again = 'the replica had to sync again';
  test.each([
    { faults: [], stock: ['', ''], text: '4 of 4 replicas equal, digest equal' },
    { faults: [another], stock: ['', ''], text: '3 of 4 replicas equal, digest equal' },
    { faults: [], stock: ['', differs], text: '4 of 4 replicas equal, digest differs' },
    {
      faults: [],
      stock: [again, ''],
      text: '4 of 4 replicas equal, digest not reached by the stream',
    },
    { faults: [], stock: [], text: '4 of 4 replicas equal, no digest compared' },
  ])('is $text', ({ faults, stock, text }) => {
    const proof = new StreamProof();
    expect(proof.isThere).toBe(false);
    const part = new StreamProof();
    part.replicas = 2;
    part.equal = 2 - faults.length;
    part.faults.push(...faults);
    const rest = new StreamProof();
    rest.replicas = rest.equal = 2;
    for (const fault of stock) rest.noteStock(fault);
    proof.add(part);
    proof.add(rest);
    expect(proof.isThere).toBe(true);
    expect(proof.text).toBe(text);
    expect(proof.faults).toEqual([...faults, ...stock.filter((fault) => fault !== '')]);
  });
});
