/**
 * Control blocks: messages between the main thread and one running task, in 4 KiB of shared memory.
 *
 *   word            writer   meaning
 *   0  CANCEL       main     0, or 1 once the task should stop at the next key
 *   1  STATE        worker   see below; stored last, after the data that it announces
 *   2  ERROR        worker   0, or the word of an error code, when FAILED
 *   3  RECORD_BYTES worker   bytes of the record, when DONE or FAILED
 *   4  counters     each 64 bits wide, at an even word; see the tables of the two tasks
 *   16 RECORD       worker   the task's result, or { message } of its failure: MessagePack, to the
 *                            end of the block
 *
 *   WAITING ──▶ RUNNING ──▶ DONE
 *      └───────────┴──────▶ FAILED
 *
 * A cancelled task ends FAILED with the code CANCELLED. A task whose thread died may leave any
 * state: its job is rejected with WORKER_DIED (pool.ts).
 *
 * Each counter is stored and read as one 64-bit word, so it is never seen half written. That takes
 * a bigint per access: count in a local and store per chunk or per thousand keys.
 */
import { assert } from '../base/assert.ts';
import { ErrorCode } from '../base/errors.ts';
import { type ControlRecord, packInto, unpackFrom } from './messages.ts';

export const ControlWord = { CANCEL: 0, STATE: 1, ERROR: 2, RECORD_BYTES: 3 } as const;

/** Counters of a snapshot task, by their first word. */
export const SnapshotCounter = {
  /** main, before the task starts: keys in the image. */
  KEYS_TOTAL: 4,
  /** worker: keys written so far, for INFO. */
  KEYS_DONE: 6,
  /** worker: dump bytes published so far. */
  BYTES_DONE: 8,
} as const;

/** Counters of a load task, by their first word. */
export const LoadCounter = {
  /** worker: keys that the dump announces, 0 while unknown; a hint. */
  KEYS_TOTAL: 4,
  /** worker: keys taken into the new arena so far. */
  KEYS_DONE: 6,
  /** worker: dump bytes consumed so far. */
  BYTES_DONE: 8,
  /** worker: keys skipped because they had expired. */
  KEYS_EXPIRED: 10,
} as const;

type CounterWord =
  | (typeof SnapshotCounter)[keyof typeof SnapshotCounter]
  | (typeof LoadCounter)[keyof typeof LoadCounter];

export const TaskState = { WAITING: 0, RUNNING: 1, DONE: 2, FAILED: 3 } as const;
export type TaskState = (typeof TaskState)[keyof typeof TaskState];

const WORD_COUNT = 16;
const WORD_BYTES = 4;
const BLOCK_BYTES = 4096;
const RECORD_START = WORD_COUNT * WORD_BYTES;
/** The longest message of a failure, in chars of at most three bytes, so that it always fits. */
const MESSAGE_CHARS_MAX = 1000;

assert(
  Object.values(ControlWord).every((word, index) => word === index),
  'control block: the first words are dense',
);
for (const counters of [SnapshotCounter, LoadCounter]) {
  Object.values(counters).forEach((word, index) => {
    assert(
      word === 4 + 2 * index,
      'control block: counters are aligned, dense and behind the first words',
    );
    assert(word + 2 <= WORD_COUNT, 'control block: counters end before the record');
  });
}
assert(RECORD_START + 3 * MESSAGE_CHARS_MAX + 64 <= BLOCK_BYTES, 'control block: a failure fits');

/** The order is the numbering, from 1. Both ends of a word are this program in one version. */
const ERROR_CODES: readonly ErrorCode[] = Object.values(ErrorCode);

/** The shared word of an error code: 1 and up, 0 stands for none. */
export function errorWordOf(code: ErrorCode): number {
  return ERROR_CODES.indexOf(code) + 1;
}

/** The error code of a shared word, or undefined for 0. */
export function errorCodeOf(word: number): ErrorCode | undefined {
  assert(word >= 0 && word <= ERROR_CODES.length, 'a word of the table of error codes');
  return ERROR_CODES[word - 1];
}

/**
 * The common part of both tasks' blocks. The main thread makes it over new memory, the worker over
 * `shared` of the task description.
 */
class TaskControl {
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #counters: BigInt64Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(BLOCK_BYTES)) {
    assert(shared.byteLength === BLOCK_BYTES, 'memory of a control block');
    this.shared = shared;
    this.#words = new Int32Array(shared, 0, WORD_COUNT);
    this.#counters = new BigInt64Array(shared, 0, WORD_COUNT / 2);
    this.#bytes = new Uint8Array(shared);
  }

  /** Main: asks the task to stop. It may still end DONE. */
  cancel(): void {
    Atomics.store(this.#words, ControlWord.CANCEL, 1);
  }

  get cancelled(): boolean {
    return Atomics.load(this.#words, ControlWord.CANCEL) === 1;
  }

  get state(): TaskState {
    return Atomics.load(this.#words, ControlWord.STATE) as TaskState;
  }

  /** Worker: WAITING to RUNNING. */
  start(): void {
    assert(this.state === TaskState.WAITING, 'start: the task has not started');
    Atomics.store(this.#words, ControlWord.STATE, TaskState.RUNNING);
  }

  /** Worker: RUNNING to DONE, with a result that fits the block. */
  succeed(result: ControlRecord): void {
    assert(this.state === TaskState.RUNNING, 'succeed: the task is running');
    this.#storeRecord(result);
    Atomics.store(this.#words, ControlWord.STATE, TaskState.DONE);
  }

  /** Worker: to FAILED. Long messages are cut. */
  fail(code: ErrorCode, message: string): void {
    assert(this.state < TaskState.DONE, 'fail: the task has not ended');
    this.#storeRecord({ message: message.slice(0, MESSAGE_CHARS_MAX) });
    Atomics.store(this.#words, ControlWord.ERROR, errorWordOf(code));
    Atomics.store(this.#words, ControlWord.STATE, TaskState.FAILED);
  }

  /** The code of a FAILED task, otherwise undefined. */
  get failure(): ErrorCode | undefined {
    if (this.state !== TaskState.FAILED) return undefined;
    return errorCodeOf(Atomics.load(this.#words, ControlWord.ERROR));
  }

  /** The record of the task: its result when DONE, { message } when FAILED. */
  record<R extends ControlRecord>(): R {
    assert(this.state >= TaskState.DONE, 'record: the task has ended');
    const bytes = Atomics.load(this.#words, ControlWord.RECORD_BYTES);
    return unpackFrom<R>(this.#bytes, RECORD_START, RECORD_START + bytes);
  }

  protected counter(word: CounterWord): number {
    return Number(Atomics.load(this.#counters, word / 2));
  }

  protected setCounter(word: CounterWord, value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'a counter is an integer below 2^53');
    Atomics.store(this.#counters, word / 2, BigInt(value));
  }

  #storeRecord(record: ControlRecord): void {
    const bytes = packInto(this.#bytes, RECORD_START, BLOCK_BYTES, record);
    assert(bytes > 0, 'control block: the record fits');
    Atomics.store(this.#words, ControlWord.RECORD_BYTES, bytes);
  }
}

/**
 * The control block of a snapshot task. Setters belong to the writer that {@link SnapshotCounter}
 * names.
 */
export class SnapshotControl extends TaskControl {
  get keysTotal(): number {
    return this.counter(SnapshotCounter.KEYS_TOTAL);
  }
  set keysTotal(count: number) {
    this.setCounter(SnapshotCounter.KEYS_TOTAL, count);
  }

  get keysDone(): number {
    return this.counter(SnapshotCounter.KEYS_DONE);
  }
  set keysDone(count: number) {
    this.setCounter(SnapshotCounter.KEYS_DONE, count);
  }

  get bytesDone(): number {
    return this.counter(SnapshotCounter.BYTES_DONE);
  }
  set bytesDone(bytes: number) {
    this.setCounter(SnapshotCounter.BYTES_DONE, bytes);
  }
}

/**
 * The control block of a load task. Setters belong to the writer that {@link LoadCounter} names.
 */
export class LoadControl extends TaskControl {
  get keysTotal(): number {
    return this.counter(LoadCounter.KEYS_TOTAL);
  }
  set keysTotal(count: number) {
    this.setCounter(LoadCounter.KEYS_TOTAL, count);
  }

  get keysDone(): number {
    return this.counter(LoadCounter.KEYS_DONE);
  }
  set keysDone(count: number) {
    this.setCounter(LoadCounter.KEYS_DONE, count);
  }

  get bytesDone(): number {
    return this.counter(LoadCounter.BYTES_DONE);
  }
  set bytesDone(bytes: number) {
    this.setCounter(LoadCounter.BYTES_DONE, bytes);
  }

  get keysExpired(): number {
    return this.counter(LoadCounter.KEYS_EXPIRED);
  }
  set keysExpired(count: number) {
    this.setCounter(LoadCounter.KEYS_EXPIRED, count);
  }
}
