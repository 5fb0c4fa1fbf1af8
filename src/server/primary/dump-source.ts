/**
 * What full syncs need of snapshots: one that is started or joined, and its dump as bytes that each peer reads at its
 * own pace. server/persistence/ provides it; tests give a source without workers.
 */
import type { OperatingError } from '../../base/errors.ts';
import type { Offset } from '../../base/units.ts';
import type { Dialect } from '../../rdb/dialect.ts';

export interface DumpRequest {
  readonly dialect: Dialect;
  /** Bits of `DumpFilter`. */
  readonly filter: number;
  readonly compress: boolean;
  readonly checksum: boolean;
  readonly reason: 'bgsave' | 'replication' | 'debug';
}

/** A place in a dump: `next` describes a slice in the fields, `advance` confirms what was written of it. */
export interface DumpReader {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly position: number;
  readonly atEnd: boolean;
  readonly failed: boolean;
  /** Size of the next slice; 0 when there is none now, and `onData` is called when there is more, or the end, or a failure. */
  next(bytesMax: number): number;
  /** To be called for each slice once its write is over, whatever came of it, also behind `close`. */
  advance(bytes: number): void;
  close(): void;
}

export interface Dump {
  readonly totalBytes: number;
  readonly hasFirstByte: boolean;
  /** A snapshot that nobody reads any more is cancelled. */
  openReader(onData: () => void): DumpReader;
}

export interface DumpSnapshot {
  readonly request: DumpRequest;
  /** The stream at the freeze. */
  readonly startOffset: Offset;
  readonly replid: string;
  readonly state: 'running' | 'done' | 'failed';
  readonly error: OperatingError | undefined;
  readonly spool: Dump;
  /** `listener` is called when the snapshot is done or has failed. */
  onEnd(listener: () => void): void;
}

export interface DumpSource {
  /** The snapshot that is being made, or whose dump is still read. */
  readonly running: DumpSnapshot | undefined;
  /** Freezes the dataset in this very turn. Throws an OperatingError when that is not possible. */
  start(request: DumpRequest): DumpSnapshot;
}
