/**
 * Fills a server with a dataset: one connection, a deep pipeline, replies checked for errors only.
 */
import net from 'node:net';
import { MIB } from '../../src/base/units.ts';
import { ReplySkimmer, RequestWriter } from './resp.ts';
import { Checksum, keyOf, ValuePool } from './workload.ts';

/**
 * A seeded sequence of commands, consumed once. `write` is called with 0, 1, 2 … and appends one
 * command per call.
 */
export interface Dataset {
  readonly commands: number;
  write(index: number, out: RequestWriter): void;
}

export interface LoadResult {
  readonly checksum: string;
  readonly seconds: number;
}

/** The server answered a command of the dataset with an error. */
export class LoadRefused extends Error {}

const BATCH_BYTES = 64 * 1024;
const BATCHES_IN_FLIGHT = 4;

/** Returns SETs of `keys` keys of 16 bytes with random values of `valueBytes` bytes. */
export function stringKeys(keys: number, valueBytes: number, seed: number): Dataset {
  const pool = new ValuePool(seed);
  return {
    commands: keys,
    write(index, out) {
      out.command(3);
      out.text('SET');
      out.text(keyOf(index));
      pool.write(out, valueBytes);
    },
  };
}

/** Returns the checksum of `dataset`, without a server. The dataset is consumed. */
export function checksumOf(dataset: Dataset): string {
  const checksum = new Checksum();
  const out = new RequestWriter(2 * BATCH_BYTES);
  for (let index = 0; index < dataset.commands; index++) {
    dataset.write(index, out);
    if (out.length < BATCH_BYTES && index + 1 < dataset.commands) continue;
    checksum.add(out.buffer.subarray(0, out.length));
    out.reset();
  }
  return checksum.text();
}

/**
 * Sends all of `dataset` and resolves after the last reply. Rejects with {@link LoadRefused} after
 * an error reply.
 */
export function load(port: number, dataset: Dataset): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    const checksum = new Checksum();
    const skimmer = new ReplySkimmer();
    const readBuffer = Buffer.allocUnsafe(MIB);
    const writers = Array.from(
      { length: BATCHES_IN_FLIGHT },
      () => new RequestWriter(2 * BATCH_BYTES),
    );
    /** Unanswered batches, oldest first. `end` counts the commands up to the end of the batch. */
    const inFlight: { end: number; writer: RequestWriter }[] = [];
    let next = 0;

    const finish = (error: Error | null): void => {
      socket.destroy();
      if (error === null) {
        resolve({ checksum: checksum.text(), seconds: (performance.now() - startedMs) / 1000 });
      } else {
        reject(error);
      }
    };
    const send = (writer: RequestWriter): void => {
      if (next === dataset.commands) return;
      const first = next;
      writer.reset();
      while (next < dataset.commands && writer.length < BATCH_BYTES) dataset.write(next++, writer);
      const bytes = writer.buffer.subarray(0, writer.length);
      checksum.add(bytes);
      skimmer.expected += next - first;
      inFlight.push({ end: next, writer });
      socket.write(bytes);
    };
    const received = (bytes: number): boolean => {
      skimmer.push(readBuffer, bytes);
      if (skimmer.errors > 0) {
        finish(new LoadRefused(skimmer.firstError));
        return false;
      }
      const answered = next - skimmer.expected;
      while (inFlight.length > 0 && inFlight[0]!.end <= answered) send(inFlight.shift()!.writer);
      if (inFlight.length === 0) finish(null);
      return true;
    };

    const socket = net.connect({
      port,
      host: '127.0.0.1',
      onread: { buffer: readBuffer, callback: received },
    });
    socket.setNoDelay(true);
    socket.on('error', finish);
    socket.on('end', () =>
      finish(new Error('the server closed the connection while it was loaded')),
    );
    socket.on('connect', () => {
      for (const writer of writers) send(writer);
    });
  });
}
