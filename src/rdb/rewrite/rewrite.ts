/**
 * Writes the whole dataset as commands: the base of an append only file that is no dump. Runs on the
 * snapshot worker, like saveDump in save.ts, whose memory layout this has.
 *
 *   head line · FUNCTION LOAD … · per database: SELECT · commands of its keys · last line
 */
import { bytesOf } from '../../base/bytes.ts';
import { ByteKernels, KERNELS_FREE_START, RDB_STRING_ROOM_BYTES } from '../../kernels/kernels.ts';
import type { DatabaseRoot } from '../../keyspace/keyspace.ts';
import { TableWalk } from '../image-walk.ts';
import type { ObjectReader } from '../object-reader.ts';
import { type CommandForm, type SaveListener, type SaveResult, STAGING_BYTES } from '../save.ts';
import { type ChunkTarget, DumpSink } from '../sink.ts';
import { RECORD_ROOM_BYTES } from '../string-writer.ts';
import { EntryRewriter } from './entry-rewriter.ts';

/**
 * Writes the databases at `roots`, as `reader` shows them, to `target` as commands. Throws what
 * target, reader or listener throws.
 */
export function saveCommands(
  reader: ObjectReader,
  roots: readonly DatabaseRoot[],
  target: ChunkTarget,
  { firstLines, lastLines }: CommandForm,
  functions: readonly Uint8Array[],
  onProgress: SaveListener,
): SaveResult {
  const sinkStart = KERNELS_FREE_START + STAGING_BYTES;
  const sinkBytes = target.chunkBytes + STAGING_BYTES + RDB_STRING_ROOM_BYTES + RECORD_ROOM_BYTES;
  const kernels = new ByteKernels(sinkStart + sinkBytes);
  const sink = new DumpSink(kernels, sinkStart, sinkBytes, target, false);
  const rewriter = new EntryRewriter(reader, kernels, sink, {
    stagingStart: KERNELS_FREE_START,
    stagingBytes: STAGING_BYTES,
  });
  sink.raw(bytesOf(firstLines));
  for (const library of functions) rewriter.library(library);
  sink.flush();
  const walk = new TableWalk(reader);
  let keys = 0;
  const visitor = {
    entry: (ref: number) => rewriter.rewrite(ref),
    progress: (entries: number) => {
      keys += entries;
      onProgress(keys, sink.bytesPublished);
    },
  };
  for (const root of roots) {
    rewriter.select(root.index);
    walk.walk(root.table, visitor);
  }
  sink.raw(bytesOf(lastLines));
  sink.flush();
  onProgress(keys, sink.bytesPublished);
  return { bytes: sink.bytesPublished, keys };
}
