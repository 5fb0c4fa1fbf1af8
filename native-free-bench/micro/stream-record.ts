/**
 * The cost of proving a stream in fake replicas: the first replica records it, and each other one
 * compares. For comparison, the cost of a checksum over the bytes of every replica. The bench
 * itself reports the kernel's cost of passing bytes (processor time per GB sent).
 *
 *   npm run bench -- --smoke fan-out && node dist-bench/native-free-bench/micro/stream-record.js
 */
import { Bench } from 'tinybench';
import { KIB, MIB } from '../../src/base/units.ts';
import { ByteKernels, KERNELS_FREE_START } from '../../src/kernels/kernels.ts';
import { SAME, StreamRecord } from '../lib/stream-record.ts';

const STREAM_BYTES = 16 * MIB;
/**
 * Bytes per read: a flush after few commands, and the amount that a loopback packet and a read
 * bring.
 */
const READS = [4 * KIB, 64 * KIB];

const readBuffer = Buffer.allocUnsafe(4 * MIB);
for (let i = 0; i < readBuffer.length; i++) readBuffer[i] = Math.imul(i, 2654435761) >>> 13;
const kernels = new ByteKernels(KERNELS_FREE_START);

/**
 * Takes the whole stream in reads of `bytes` bytes. Each read is at the beginning of the read
 * buffer, like that of a socket.
 */
function take(record: StreamRecord, bytes: number): number {
  let different = 0;
  for (let at = 0; at < STREAM_BYTES; at += bytes) {
    if (record.take(at, readBuffer, 0, bytes) !== SAME) different++;
  }
  return different;
}

const bench = new Bench({ time: 300, warmupTime: 100 });
let differences = 0;
for (const bytes of READS) {
  const full = new StreamRecord();
  take(full, bytes);
  bench.add(`record, ${bytes / KIB} KiB per read`, () => {
    differences += take(new StreamRecord(), bytes);
  });
  bench.add(`compare, ${bytes / KIB} KiB per read`, () => {
    differences += take(full, bytes);
  });
  bench.add(`CRC-64, ${bytes / KIB} KiB per read`, () => {
    kernels.crcReset();
    for (let at = 0; at < STREAM_BYTES; at += bytes) kernels.crcUpdateFrom(readBuffer, 0, bytes);
  });
}
await bench.run();
console.table(
  bench.tasks.map((task) => ({
    task: task.name,
    'GB/s':
      task.result.state === 'completed'
        ? (STREAM_BYTES / 1e6 / task.result.latency.p50).toFixed(2)
        : '',
  })),
);
console.log(
  `differences ${differences}, CRC-64 ${kernels.crcHigh().toString(16)} ${kernels.crcLow().toString(16)}`,
);
