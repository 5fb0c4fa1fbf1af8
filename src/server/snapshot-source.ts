/**
 * What full syncs need of snapshots: one that is started or joined, and its dump as bytes that each
 * peer reads at its own pace. server/persistence/ provides it; tests give a source without workers.
 */
import type { OperatingError } from '../base/errors.ts';
import type { Offset } from '../base/units.ts';
import type { Dialect } from '../rdb/dialect.ts';

export interface DumpRequest {
  readonly dialect: Dialect;
  /** Bits of `DumpFilter`. */
  readonly filter: number;
  readonly compress: boolean;
  readonly checksum: boolean;
  readonly reason: 'bgsave' | 'replication' | 'aof' | 'debug';
}

/** What a dump's spool owes a reader that is behind. */
export const ReaderNeed = {
  /** Nothing: it reads nothing, and only keeps the dump open. */
  NOTHING: 0,
  /**
   * Each byte at its own pace: what it is behind of goes to a file. The worker waits when there can
   * be no file.
   */
  OWN_PACE: 1,
  /** The same, but it reads only once the dump is complete: it fails when there can be no file. */
  WHOLE: 2,
  /** Each byte from memory: the worker waits for it. A save is such a reader. */
  WORKER_WAITS: 3,
} as const;
export type ReaderNeed = (typeof ReaderNeed)[keyof typeof ReaderNeed];

/**
 * A place in a dump: `next` describes a slice in the fields, `advance` confirms what was written of
 * it.
 */
export interface DumpReader {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly position: number;
  readonly atEnd: boolean;
  readonly failed: boolean;
  /**
   * Size of the next slice; 0 when there is none now, and `onData` is called when there is more, or
   * the end, or a failure.
   */
  next(bytesMax: number): number;
  /**
   * To be called for each slice once its write is over, whatever came of it, also behind `close`.
   */
  advance(bytes: number): void;
  close(): void;
}

export interface Dump {
  readonly totalBytes: number;
  readonly hasFirstByte: boolean;
  /** Bytes of it that are held now, in memory and in a file. */
  readonly memoryBytes: number;
  readonly fileBytes: number;
  /** A snapshot that nobody reads any more is cancelled. */
  openReader(onData: () => void, need: ReaderNeed): DumpReader;
}

export interface DumpSnapshot {
  readonly request: DumpRequest;
  /** The stream at the freeze. */
  readonly startOffset: Offset;
  readonly replid: string;
  readonly state: 'running' | 'done' | 'failed';
  /** It was told to stop: it will fail soon. */
  readonly cancelled: boolean;
  readonly error: OperatingError | undefined;
  readonly spool: Dump;
  /** `listener` is called when the snapshot is done or has failed. */
  onEnd(listener: () => void): void;
}

export interface SnapshotSource {
  /** The snapshot that is being made, or whose dump is still read. */
  readonly running: DumpSnapshot | undefined;
  /** Freezes the dataset in this very turn. Throws an OperatingError when that is not possible. */
  start(request: DumpRequest): DumpSnapshot;
  /** Fewer dumps are being read than may be at a time. */
  readonly hasRoom: boolean;
  /** Keeps no more of the stream for those who may join a dump than `lagMax` bytes behind it. */
  limitPins(lagMax: number): void;
}
