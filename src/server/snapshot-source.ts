/**
 * What full syncs need of snapshots: one that is started or joined, and its dump as bytes that each
 * peer reads at its own pace. server/persistence/ provides it; tests give a source without workers.
 *
 * The dump may be made here, or arrive from the primary of this node and be passed on.
 */
import type { OperatingError } from '../base/errors.ts';
import type { Offset } from '../base/units.ts';
import type { Dialect } from '../rdb/dialect.ts';
import type { ReplicaState } from '../replication/replica-state.ts';

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
  /** Bits of `DumpFilter`. */
  readonly filter: number;
  /** The stream of the dump, and the offset up to which the dump holds it. */
  readonly startOffset: Offset;
  readonly replid: string;
  /** The database that the stream has selected there, or -1 when only the dump tells. */
  readonly streamDb: number;
  /**
   * It arrives from the primary of this node and is not loaded yet: its stream is not that of this
   * node.
   */
  readonly isAhead: boolean;
  /** Bytes of the whole dump when they are known before its end, else -1. */
  readonly announcedBytes: number;
  readonly state: 'running' | 'done' | 'failed';
  /** It was told to stop: it will fail soon. */
  readonly cancelled: boolean;
  readonly error: OperatingError | undefined;
  readonly spool: Dump;
  /** Whether `peer` reads this dump, for which this node would write a dump of its own in `own`. */
  isReadable(peer: ReplicaState, own: Dialect): boolean;
  /**
   * `listener` is called when the snapshot is done or has failed. One that is ahead may fail after
   * it was done.
   */
  onEnd(listener: () => void): void;
}

/** Takes the bytes of a dump that arrives. */
export interface DumpTaker {
  /** False once no more bytes are needed: `put` then takes all of them for nothing. */
  readonly wanted: boolean;
  /** Copies as many of bytes[start, end) as there is room for; returns where it stopped. */
  put(bytes: Uint8Array, start: number, end: number): number;
  /** Resolves when there is room, or when no more bytes are wanted. */
  waitForRoom(): Promise<void>;
  /** The dump is complete. */
  end(): void;
  /** The dump will not be complete, or this node cannot load it. Harmless behind its use. */
  fail(): void;
}

/** A dump that arrives and is passed on. */
export interface PassedDump extends DumpSnapshot, DumpTaker {
  /** It is loaded: its stream is this node's stream from now on, and the log begins after it. */
  loaded(): void;
}

export interface SnapshotSource {
  /** The snapshot that is being made, or whose dump is still read. */
  readonly running: DumpSnapshot | undefined;
  /** A snapshot comes soon: what it needs is made ready. */
  expectSoon(): void;
  /** Freezes the dataset in this very turn. Throws an OperatingError when that is not possible. */
  start(request: DumpRequest): DumpSnapshot;
  /** Fewer dumps are being read than may be at a time. */
  readonly hasRoom: boolean;
  /** Keeps no more of the stream for those who may join a dump than `lagMax` bytes behind it. */
  limitPins(lagMax: number): void;
}

/** A running load, for INFO. */
export interface LoadView {
  readonly startSeconds: number;
  readonly totalBytes: number;
  /** The size of the dataset where the dump was made; 0 when the dump does not say. */
  readonly usedMemoryBytes: number;
  readonly loadedBytes: number;
  readonly elapsedSeconds: number;
}
