/**
 * Worker entry: parses a dump, from a file or from a byte ring, into a new keyspace, and hands that
 * over. load-job.ts is the main thread's side.
 *
 * Ends with CANCELLED when the control block says so, with IO when the file cannot be read, with
 * what the ring's producer failed with, and with the errors of rdb/load.ts.
 */
import { codeOf, ErrorCode, messageOf, OperatingError } from '../base/errors.ts';
import { type HashKey, Keyspace, type KeyspaceShare } from '../keyspace/keyspace.ts';
import { type ByteFeed, FileFeed, RingFeed } from '../rdb/feed.ts';
import { type LoadOptions, type LoadProgress, type LoadResult, loadDump } from '../rdb/load.ts';
import { DUMP_SOURCE, DumpSource, sourceKernels } from '../rdb/source.ts';
import { RingConsumer } from './byte-ring.ts';
import { LoadControl } from './control-block.ts';
import { asTask } from './task-outcome.ts';

/** Where the dump is. `totalBytes` is -1 while nobody knows. */
export type DumpPlace =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'ring'; readonly memory: SharedArrayBuffer; readonly totalBytes: number };

export interface LoadTask {
  readonly from: DumpPlace;
  readonly databaseCount: number;
  /** That of the node, which will hash keys with it. */
  readonly hashKey: HashKey;
  readonly options: LoadOptions;
  /** Memory of the control block. */
  readonly control: SharedArrayBuffer;
}

export interface LoadTaskResult extends LoadResult {
  readonly share: KeyspaceShare;
}

export const runTask = asTask(load);

function load(task: LoadTask): LoadTaskResult {
  const control = new LoadControl(task.control);
  control.start();
  try {
    const result = withFeed(task.from, (feed) => loadFrom(feed, task, control));
    control.succeed({ keysLoaded: result.keysLoaded, bytes: result.bytes });
    return result;
  } catch (error) {
    const code = Object.values(ErrorCode).find((known) => known === codeOf(error));
    // Without a code it is a mistake of the program, and ends it.
    if (code !== undefined) control.fail(code, messageOf(error));
    throw error;
  }
}

function loadFrom(feed: ByteFeed, task: LoadTask, control: LoadControl): LoadTaskResult {
  const keyspace = new Keyspace(task.databaseCount, task.hashKey);
  const kernels = sourceKernels(DUMP_SOURCE);
  const source = new DumpSource(feed, kernels, DUMP_SOURCE);
  const report = (progress: LoadProgress): void => {
    control.keysTotal = progress.keysTotal;
    control.keysDone = progress.keysLoaded;
    control.keysExpired = progress.keysExpired;
    control.bytesDone = progress.bytes;
    if (control.cancelled) throw new OperatingError(ErrorCode.CANCELLED, 'the load was cancelled');
  };
  const result = loadDump(source, kernels, keyspace, task.options, report);
  return { ...result, share: keyspace.share() };
}

function withFeed<T>(from: DumpPlace, use: (feed: ByteFeed) => T): T {
  if (from.kind === 'file') {
    const feed = new FileFeed(from.path);
    try {
      return use(feed);
    } finally {
      feed.close();
    }
  }
  const ring = new RingConsumer(from.memory);
  try {
    return use(new RingFeed(ring, from.totalBytes));
  } finally {
    // Whatever comes after the dump, or after its error, is not read: the producer need not wait
    // for room.
    ring.cancel();
  }
}
