/**
 * Copies runs of bytes as a SET does, from a read buffer to shared memory, and as a GET does, back
 * to a reply. Compares copying byte by byte, natively, and by words through DataViews. Each copy
 * has another place with another alignment.
 *
 *   npx tsc -p native-free-bench && node dist-bench/native-free-bench/micro/byte-copy.js
 */
import { Bench } from 'tinybench';
import { copyBytes, withView } from '../../src/base/byte-copy.ts';

const COPIES = 1000;
const AREA_BYTES = 1 << 20;
const LENGTHS = [8, 16, 40, 100, 250, 400, 1000, 10_000];

const readBuffer = withView(Buffer.allocUnsafeSlow(128 * 1024));
const shared = withView(new Uint8Array(new SharedArrayBuffer(AREA_BYTES)));
const reply = withView(Buffer.allocUnsafeSlow(16 * 1024));
for (let i = 0; i < readBuffer.length; i++) readBuffer[i] = i * 7;

type Copy = (from: Uint8Array, start: number, to: Uint8Array, at: number, length: number) => void;

const loop: Copy = (from, start, to, at, length) => {
  for (let i = 0; i < length; i++) to[at + i] = from[start + i]!;
};
const native: Copy = (from, start, to, at, length) => {
  to.set(from.subarray(start, start + length), at);
};

function there(copy: Copy, length: number): void {
  for (let i = 0; i < COPIES; i++)
    copy(readBuffer, (i * 141) & 0xffff, shared, (i * 397) & 0x7ffff, length);
}

function back(copy: Copy, length: number): void {
  for (let i = 0; i < COPIES; i++)
    copy(shared, (i * 397) & 0x7ffff, reply, (i * 107) & 0x1fff, length);
}

const bench = new Bench({ time: 300, warmupTime: 100 });
for (const length of LENGTHS) {
  for (const [name, copy] of [
    ['loop', loop],
    ['set', native],
    ['copyBytes', copyBytes],
  ] as const) {
    bench.add(`${length} bytes to the arena, ${name}`, () => there(copy, length));
    bench.add(`${length} bytes to a reply, ${name}`, () => back(copy, length));
  }
}
await bench.run();
console.table(
  bench.tasks.map((task) => ({
    task: task.name,
    'ns per copy':
      task.result.state === 'completed'
        ? ((task.result.latency.p50 * 1e6) / COPIES).toFixed(1)
        : '',
  })),
);

let checksum = 0;
for (const bytes of [shared, reply])
  for (const byte of bytes) checksum = (Math.imul(checksum, 31) + byte) | 0;
console.log(`checksum ${(checksum >>> 0).toString(16)}`);
