/**
 * Writes a whole dump: header, fields about itself, functions, databases, end and checksum. Runs on
 * the snapshot worker.
 *
 *   kernels' memory   KERNELS_FREE_START
 *                     │ staging: 8 MiB │ sink: a chunk, and room for a staged string │
 *
 * Parts of it that are not touched cost no memory. Only long strings touch all of it.
 */

import { REDIS_VERSION } from '../base/redis-version.ts';
import { MIB } from '../base/units.ts';
import { ByteKernels, KERNELS_FREE_START, RDB_STRING_ROOM_BYTES } from '../kernels/kernels.ts';
import type { DatabaseRoot } from '../keyspace/keyspace.ts';
import { type Dialect, FUNCTIONS_VERSION_MIN } from './dialect.ts';
import { TableWalk } from './image-walk.ts';
import type { ObjectReader } from './object-reader.ts';
import { Opcode } from './opcodes.ts';
import { ValueWriter } from './save-value.ts';
import { type ChunkTarget, DumpSink } from './sink.ts';
import { RECORD_ROOM_BYTES } from './string-writer.ts';

/** Strings up to this are compressed where that pays; longer ones are written as they are. */
export const STAGING_BYTES = 8 * MIB;

/** Where the dump stands in a replication history. */
export interface ReplicationAux {
  readonly streamDb: number;
  readonly replid: string;
  readonly offset: number;
}

/** What a dump says about itself. */
export interface SaveAux {
  /** Unix time in seconds. */
  readonly ctime: number;
  readonly usedMemoryBytes: number;
  readonly replication: ReplicationAux | undefined;
  /** The dump is the base of an append only file. */
  readonly isAofBase?: boolean;
}

/** What stands before and behind a dataset that is written as commands. */
export interface CommandForm {
  readonly firstLines: string;
  readonly lastLines: string;
}

export interface SaveOptions {
  readonly dialect: Dialect;
  /** `rdbcompression` */
  readonly compress: boolean;
  /** `rdbchecksum`; without it the trailer is 0. */
  readonly checksum: boolean;
  readonly aux: SaveAux;
  /** Libraries of functions, opaque. Left out where the dialect has no place for them. */
  readonly functions: readonly Uint8Array[];
  /** Writes commands instead of a dump, see rewrite/rewrite.ts. */
  readonly commands?: CommandForm | undefined;
}

export interface SaveResult {
  readonly bytes: number;
  readonly keys: number;
}

/** Told of the progress every few hundred keys; may throw to end the dump. */
export type SaveListener = (keys: number, bytes: number) => void;

/**
 * Writes the databases at `roots`, as `reader` shows them, to `target`. Throws what target, reader
 * or listener throws.
 */
export function saveDump(
  reader: ObjectReader,
  roots: readonly DatabaseRoot[],
  target: ChunkTarget,
  options: SaveOptions,
  onProgress: SaveListener,
): SaveResult {
  const sinkStart = KERNELS_FREE_START + STAGING_BYTES;
  const sinkBytes = target.chunkBytes + STAGING_BYTES + RDB_STRING_ROOM_BYTES + RECORD_ROOM_BYTES;
  const kernels = new ByteKernels(sinkStart + sinkBytes);
  const sink = new DumpSink(kernels, sinkStart, sinkBytes, target, options.checksum);
  writeHeader(sink, kernels, options);
  sink.flush();

  const writer = new ValueWriter(reader, kernels, sink, {
    dialect: options.dialect,
    compress: options.compress,
    stagingStart: KERNELS_FREE_START,
    stagingBytes: STAGING_BYTES,
  });
  const walk = new TableWalk(reader);
  let keys = 0;
  const visitor = {
    entry: (ref: number) => writer.saveEntry(ref),
    progress: (entries: number) => {
      keys += entries;
      onProgress(keys, sink.bytesPublished);
    },
  };
  for (const root of roots) {
    sink.byte(Opcode.SELECTDB);
    sink.length(root.index);
    sink.byte(Opcode.RESIZEDB);
    sink.length(root.keys);
    sink.length(root.deadlines);
    walk.walk(root.table, visitor);
  }
  sink.byte(Opcode.EOF);
  sink.finish();
  onProgress(keys, sink.bytesPublished);
  return { bytes: sink.bytesPublished, keys };
}

function writeHeader(sink: DumpSink, kernels: ByteKernels, options: SaveOptions): void {
  const { dialect, aux, functions } = options;
  const text = (value: string): void => {
    const bytes = Buffer.from(value, 'latin1');
    sink.memory.set(bytes, KERNELS_FREE_START);
    sink.position += kernels.rdbString(KERNELS_FREE_START, bytes.length, sink.position, false);
    sink.settle();
  };
  const field = (name: string, value: string | number): void => {
    sink.byte(Opcode.AUX);
    text(name);
    text(String(value));
  };
  sink.raw(Buffer.from(`REDIS${String(dialect.version).padStart(4, '0')}`));
  field('redis-ver', REDIS_VERSION);
  field('redis-bits', 64);
  field('ctime', aux.ctime);
  field('used-mem', aux.usedMemoryBytes);
  if (aux.replication !== undefined) {
    field('repl-stream-db', aux.replication.streamDb);
    field('repl-id', aux.replication.replid);
    field('repl-offset', aux.replication.offset);
  }
  field('aof-base', aux.isAofBase === true ? 1 : 0);
  if (dialect.version < FUNCTIONS_VERSION_MIN) return;
  for (const library of functions) {
    sink.byte(Opcode.FUNCTION2);
    sink.length(library.length);
    sink.raw(library);
  }
}
