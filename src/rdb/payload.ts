/**
 * The payloads of DUMP and RESTORE: one value without its key, closed by a footer.
 *
 *   [KEY_META …] · type u8 · value · version u16 LE · CRC64 of all before, or 0
 *
 * A payload has no magic. The version alone tells Redis' payloads, up to 15, from Valkey's, 80 and
 * 81. Main thread. A codec holds kernels with some megabytes of address space, so a server makes
 * one.
 */
import type { Arena } from '../arena/arena.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';
import { KIB, MIB, type Ref } from '../base/units.ts';
import { ByteKernels, KERNELS_FREE_START, RDB_STRING_ROOM_BYTES } from '../kernels/kernels.ts';
import type { Database } from '../keyspace/database.ts';
import type { EncodingLimits } from '../keyspace/encoding-limits.ts';
import { BytesView } from '../keyspace/entry.ts';
import type { Keyspace } from '../keyspace/keyspace.ts';
import type { Dialect } from './dialect.ts';
import { BytesFeed } from './feed.ts';
import { ValueLoader } from './load-value.ts';
import { skipKeyMetadata } from './module-data.ts';
import { ArenaReader } from './object-reader.ts';
import {
  CHECKSUM_BYTES,
  Opcode,
  RDB_VERSION_MAX,
  VALKEY_VERSION_MAX,
  VALKEY_VERSION_MIN,
} from './opcodes.ts';
import { ValueWriter } from './save-value.ts';
import { type ChunkTarget, DumpSink } from './sink.ts';
import { SkippedParts } from './skipped.ts';
import { DumpSource, type SourceOptions } from './source.ts';
import { RECORD_ROOM_BYTES } from './string-writer.ts';

const FOOTER_BYTES = 2 + CHECKSUM_BYTES;
/** Strings beyond this are not compressed. */
const STAGING_BYTES = MIB;
const CHUNK_BYTES = 64 * KIB;
const SINK_BYTES = CHUNK_BYTES + STAGING_BYTES + RDB_STRING_ROOM_BYTES + RECORD_ROOM_BYTES;
const SOURCE: SourceOptions = { windowBytes: MIB, unpackedBytes: MIB };
const MEMORY_BYTES = KERNELS_FREE_START + STAGING_BYTES + SINK_BYTES;

export class PayloadCodec {
  readonly #kernels = new ByteKernels(MEMORY_BYTES);
  readonly #target = new CollectingTarget();
  readonly #view = new BytesView();
  /** What was passed over in payloads so far. */
  readonly skipped = new SkippedParts();

  /** The payload of the value of `entry`, in memory of its own. */
  dump(arena: Arena, entry: Ref, dialect: Dialect): Buffer {
    const sinkStart = KERNELS_FREE_START + STAGING_BYTES;
    const sink = new DumpSink(this.#kernels, sinkStart, SINK_BYTES, this.#target, true);
    const writer = new ValueWriter(new ArenaReader(arena), this.#kernels, sink, {
      dialect,
      compress: true,
      stagingStart: KERNELS_FREE_START,
      stagingBytes: STAGING_BYTES,
    });
    writer.saveValue(entry);
    sink.byte(dialect.version);
    sink.byte(0);
    sink.finish();
    return this.#target.collected();
  }

  /** Whether the payload's version is one that is read here and its checksum is right or 0. */
  check(bytes: Uint8Array, start: number, length: number): boolean {
    if (length < FOOTER_BYTES) return false;
    const end = start + length;
    const version = payloadVersion(bytes, end);
    if (version > RDB_VERSION_MAX && !isValkeyVersion(version)) return false;
    const storedLow = littleEndian32(bytes, end - CHECKSUM_BYTES);
    const storedHigh = littleEndian32(bytes, end - CHECKSUM_BYTES + 4);
    if (storedLow === 0 && storedHigh === 0) return true;
    this.#kernels.crcReset();
    this.#kernels.crcUpdateFrom(bytes, start, end - CHECKSUM_BYTES);
    return this.#kernels.crcLow() === storedLow && this.#kernels.crcHigh() === storedHigh;
  }

  /**
   * Reads the value of a payload that {@link check} has accepted. No database of `keyspace` changes
   * yet. The caller owes either {@link LoadedValue.add} or `discard` before the next use of the
   * codec. Throws SHORT, CORRUPT, UNSUPPORTED or ARENA_FULL, and leaves nothing behind then.
   */
  load(
    bytes: Uint8Array,
    start: number,
    length: number,
    keyspace: Keyspace,
    limits: EncodingLimits,
  ): LoadedValue {
    const feed = new BytesFeed(bytes, start, length - FOOTER_BYTES);
    const source = new DumpSource(feed, this.#kernels, SOURCE);
    const loader = new ValueLoader(source, keyspace, limits, this.skipped);
    const valkey = isValkeyVersion(payloadVersion(bytes, start + length));
    loader.valkey = valkey;
    let type = source.u8();
    if (type === Opcode.KEY_META && !valkey) {
      const refused = skipKeyMetadata(source, this.#view, this.skipped);
      if (refused !== '')
        throw new OperatingError(
          ErrorCode.UNSUPPORTED,
          `${refused}, at position ${source.position}`,
        );
      type = source.u8();
    }
    if (!loader.read(type)) throw source.corrupt('a collection is empty');
    return loader;
  }

  /**
   * The code of each library in a payload of FUNCTION DUMP that {@link check} has accepted. Throws
   * SHORT, CORRUPT or UNSUPPORTED.
   */
  libraries(payload: Uint8Array): Uint8Array[] {
    const end = payload.length - FOOTER_BYTES;
    const source = new DumpSource(new BytesFeed(payload, 0, end), this.#kernels, SOURCE);
    const view = this.#view;
    const codes: Uint8Array[] = [];
    while (source.position < end) {
      if (source.u8() !== Opcode.FUNCTION2) {
        throw new OperatingError(
          ErrorCode.UNSUPPORTED,
          `given type is not a function, at position ${source.position}`,
        );
      }
      source.string(view);
      codes.push(view.bytes.slice(view.position, view.position + view.length));
    }
    return codes;
  }
}

export interface LoadedValue {
  /** Adds the value under a key that has just been looked for and is absent. */
  add(database: Database, key: Uint8Array, keyStart: number, keyLength: number): Ref;
  /** Frees the memory of the value instead. */
  discard(): void;
}

/** Collects the chunks that a sink publishes. */
class CollectingTarget implements ChunkTarget {
  readonly chunkBytes = CHUNK_BYTES;
  readonly #chunk = new Uint8Array(CHUNK_BYTES);
  #parts: Uint8Array[] = [];

  acquire(): Uint8Array {
    return this.#chunk;
  }

  publish(bytes: number): void {
    this.#parts.push(this.#chunk.slice(0, bytes));
  }

  collected(): Buffer {
    const all = Buffer.concat(this.#parts);
    this.#parts = [];
    return all;
  }
}

/** The version of the payload that ends at `end`. */
export function payloadVersion(bytes: Uint8Array, end: number): number {
  return bytes[end - FOOTER_BYTES]! | (bytes[end - FOOTER_BYTES + 1]! << 8);
}

const isValkeyVersion = (version: number): boolean =>
  version >= VALKEY_VERSION_MIN && version <= VALKEY_VERSION_MAX;

function littleEndian32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  );
}
