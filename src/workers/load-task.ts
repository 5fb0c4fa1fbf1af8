/**
 * Worker entry: parses a dump, from a file or from a byte ring, into a new keyspace, and hands that
 * over. load-job.ts is the main thread's side.
 *
 * Ends with CANCELLED when the control block says so, with IO when the file cannot be read, with
 * the error of the ring's producer, or with the errors of rdb/load.ts.
 */
import { codeOf, ErrorCode, messageOf, OperatingError } from '../base/errors.ts';
import { type HashKey, Keyspace, type KeyspaceShare } from '../keyspace/keyspace.ts';
import { type ByteFeed, FileFeed, RingFeed } from '../rdb/feed.ts';
import { type LoadOptions, type LoadProgress, type LoadResult, loadDump } from '../rdb/load.ts';
import { DUMP_SOURCE, DumpSource, sourceKernels } from '../rdb/source.ts';
import { RingConsumer } from './byte-ring.ts';
import { LoadControl } from './control-block.ts';
import { asTask } from './task-outcome.ts';

/** The place of the dump. `totalBytes` is -1 while it is unknown. */
export type DumpPlace =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'ring'; readonly memory: SharedArrayBuffer; readonly totalBytes: number };

export interface LoadTask {
  readonly from: DumpPlace;
  readonly databaseCount: number;
  /** The hash key of the node. */
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
    // An error without a code is a programmer error, and ends the program.
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
    // Bytes after the dump, or after its error, are not read: the producer need not wait for room.
    ring.cancel();
  }
}
