/**
 * A worker thread of arena-fixture.js. It reads images of an arena, or fills an arena, for the
 * tests of arena and keyspace.
 */
import { once } from 'node:events';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { ShadowListener } from '../../src/arena/pages.ts';
import { ARENA_READER, ARENA_READER_WORDS } from '../fixtures/workers/image-sums.js';

export class ImageReader {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly state = new Int32Array(new SharedArrayBuffer(ARENA_READER_WORDS * 4));

  constructor() {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#worker = new Worker(new URL('../fixtures/workers/arena-fixture.js', import.meta.url), {
      workerData: { state: this.state.buffer, port: port2 },
      transferList: [port2],
    });
  }

  /** Announces chunks of shadow pages to the reader. */
  readonly onChunk: ShadowListener = (index, chunk) => this.#port.postMessage({ index, chunk });

  post(task: unknown): void {
    this.#worker.postMessage(task);
  }

  async reply<T>(): Promise<T> {
    const [message] = (await once(this.#worker, 'message')) as [T];
    return message;
  }

  /** Starts a reader and resets its counts. */
  startReading(task: object): void {
    this.state.fill(0);
    this.post({ role: 'read', ...task });
  }

  get passes(): number {
    return Atomics.load(this.state, ARENA_READER.PASSES);
  }

  get wrong(): number {
    return Atomics.load(this.state, ARENA_READER.WRONG);
  }

  /** Lets the reader make one more pass and blocks until it is done. */
  stopReading(): void {
    Atomics.store(this.state, ARENA_READER.STOP, 1);
    Atomics.wait(this.state, ARENA_READER.DONE, 0, 20_000);
  }

  async close(): Promise<void> {
    this.#port.close();
    await this.#worker.terminate();
  }
}
