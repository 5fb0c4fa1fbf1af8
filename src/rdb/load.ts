/**
 * Loads a dump into an empty keyspace: versions 1 to 15 of Redis, 80 and 81 of Valkey. Runs on the
 * loading worker.
 *
 * Input is not trusted. It loads as a whole, or it ends with an error that names the position. The
 * caller then drops the keyspace with what was loaded so far. What cannot be held here is refused,
 * with its version, its type and its key. What keys and values do not need is passed over, and
 * named in the result.
 *
 *   SHORT         the dump ends inside of itself
 *   CORRUPT       it contradicts the format, or itself
 *   TOO_NEW       its version is beyond the versions that are read here
 *   UNSUPPORTED   it holds what cannot be held here
 *
 * Hot path: one record per key.
 */
import { copyBytes } from '../base/byte-copy.ts';
import { latin1 } from '../base/bytes.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';
import { NIL } from '../base/units.ts';
import type { ByteKernels } from '../kernels/kernels.ts';
import { accessBefore } from '../keyspace/access-clock.ts';
import type { Database } from '../keyspace/database.ts';
import type { EncodingLimits } from '../keyspace/encoding-limits.ts';
import { BytesView } from '../keyspace/entry.ts';
import type { Keyspace } from '../keyspace/keyspace.ts';
import { readMagic } from './dialect.ts';
import { ValueLoader } from './load-value.ts';
import { moduleName, skipKeyMetadata } from './module-data.ts';
import {
  CHECKSUM_VERSION_MIN,
  MAGIC_BYTES,
  OPCODE_MIN,
  Opcode,
  RDB_VERSION_MAX,
  VALKEY_VERSION_MAX,
  VALKEY_VERSION_MIN,
  ValkeyOpcode,
} from './opcodes.ts';
import type { ReplicationAux } from './save.ts';
import { SkippedName, type SkippedPart, SkippedParts } from './skipped.ts';
import type { DumpSource } from './source.ts';

export interface LoadOptions {
  /** Keys whose deadline lies before this have expired. */
  readonly nowMs: number;
  /**
   * Whether expired keys are kept. A replica keeps them, since its primary deletes them. So does a
   * primary whose stream will delete them.
   */
  readonly keepExpired: boolean;
  /** `rdbchecksum` */
  readonly verifyChecksum: boolean;
  /** The access clock that the keys get. */
  readonly accessClock: number;
  readonly limits: EncodingLimits;
}

/** The fields of a dump about itself that have a use here. */
export interface LoadedAux {
  readonly redisVersion: string | undefined;
  /** Unix time in seconds. */
  readonly ctime: number | undefined;
  readonly usedMemoryBytes: number | undefined;
  /** Undefined unless all three fields are there and valid. */
  readonly replication: ReplicationAux | undefined;
  /** The first fields that have no use here, for the log. */
  readonly others: readonly (readonly [name: string, value: string])[];
}

export interface LoadResult {
  readonly version: number;
  readonly aux: LoadedAux;
  /** Libraries of functions, opaque. */
  readonly functions: readonly Uint8Array[];
  /** The parts that were passed over. */
  readonly skipped: readonly SkippedPart[];
  readonly keysLoaded: number;
  readonly keysExpired: number;
  /**
   * Keys that were left out, because they hold an empty collection. Some versions of Redis wrote
   * such keys by mistake.
   */
  readonly keysEmpty: number;
  readonly bytes: number;
}

export interface LoadProgress {
  /** The keys that the dump has announced so far. It is a hint. */
  keysTotal: number;
  keysLoaded: number;
  keysExpired: number;
  bytes: number;
}

/** Receives the progress every few hundred kilobytes. It may throw to end the load. */
export type LoadListener = (progress: LoadProgress) => void;

const PROGRESS_BYTES = 256 * 1024;
const FREE_STEPS = 1000;
const AUX_BYTES_MAX = 256;
const OTHER_AUX_MAX = 64;
const LONG_TEXT = '(a long text)';
const CLUSTER_SLOTS = 16384;
const REPLID_CHARS = 40;
const KEY_BYTES_FIRST = 4096;

/** Reads all of `source`, over `kernels`, into `keyspace`, which is empty. */
export function loadDump(
  source: DumpSource,
  kernels: ByteKernels,
  keyspace: Keyspace,
  options: LoadOptions,
  onProgress: LoadListener,
): LoadResult {
  return new DumpLoader(source, kernels, keyspace, options, onProgress).load();
}

class DumpLoader {
  readonly #source: DumpSource;
  readonly #kernels: ByteKernels;
  readonly #keyspace: Keyspace;
  readonly #options: LoadOptions;
  readonly #onProgress: LoadListener;
  readonly #values: ValueLoader;
  readonly #view = new BytesView();
  readonly #progress: LoadProgress = { keysTotal: 0, keysLoaded: 0, keysExpired: 0, bytes: 0 };
  readonly #aux = new Map<string, string>();
  readonly #others: (readonly [name: string, value: string])[] = [];
  readonly #functions: Uint8Array[] = [];
  #database: Database;
  #databaseIndex = 0;
  readonly #skipped = new SkippedParts();
  #valkey = false;
  #version = 0;
  #keysEmpty = 0;
  #reportAt = PROGRESS_BYTES;
  /** Deadline of the next key, -1 without one. */
  #deadline = -1;
  /** Seconds since the next key was used, -1 when the dump does not say. */
  #idle = -1;
  /** Metadata of the next key that may not be left out; empty for none. */
  #refusedMetadata = '';
  /** A copy of the key, since reading its value may move the window. */
  #key = new Uint8Array(KEY_BYTES_FIRST);
  #keyLength = 0;

  constructor(
    source: DumpSource,
    kernels: ByteKernels,
    keyspace: Keyspace,
    options: LoadOptions,
    onProgress: LoadListener,
  ) {
    this.#source = source;
    this.#kernels = kernels;
    this.#keyspace = keyspace;
    this.#options = options;
    this.#onProgress = onProgress;
    this.#values = new ValueLoader(source, keyspace, options.limits, this.#skipped);
    this.#database = keyspace.databases[0]!;
    for (const database of keyspace.databases) database.accessClock = options.accessClock;
  }

  load(): LoadResult {
    const source = this.#source;
    const version = this.#readMagic();
    for (;;) {
      const opcode = source.u8();
      // All types are smaller than all opcodes, so a key costs one comparison.
      if (opcode < OPCODE_MIN) this.#readKey(opcode);
      else if (opcode === Opcode.EOF) break;
      else this.#readOpcode(opcode);
      if (source.position >= this.#reportAt) this.#report();
    }
    if (version >= CHECKSUM_VERSION_MIN) this.#checkSum();
    this.#report();
    return {
      version,
      aux: this.#loadedAux(),
      functions: this.#functions,
      skipped: this.#skipped.list(),
      keysLoaded: this.#progress.keysLoaded,
      keysExpired: this.#progress.keysExpired,
      keysEmpty: this.#keysEmpty,
      bytes: source.position,
    };
  }

  #readMagic(): number {
    this.#source.plainBytes(MAGIC_BYTES, this.#view);
    const magic = latin1(this.#view.bytes, this.#view.position, MAGIC_BYTES);
    const read = readMagic(magic);
    if (read === undefined) {
      throw new OperatingError(ErrorCode.CORRUPT, 'Wrong signature trying to load DB from file');
    }
    this.#valkey = read.isValkey;
    this.#values.valkey = this.#valkey;
    const { version } = read;
    this.#version = version;
    const versionMin = this.#valkey ? VALKEY_VERSION_MIN : 1;
    const versionMax = this.#valkey ? VALKEY_VERSION_MAX : RDB_VERSION_MAX;
    const message = `Can't handle RDB format version ${version}`;
    if (version < versionMin) throw new OperatingError(ErrorCode.CORRUPT, message);
    if (version > versionMax) throw new OperatingError(ErrorCode.TOO_NEW, message);
    return version;
  }

  #readOpcode(opcode: number): void {
    const source = this.#source;
    switch (opcode) {
      case Opcode.EXPIRETIME:
        this.#setDeadline((source.u32() | 0) * 1000);
        return;
      case Opcode.EXPIRETIME_MS:
        this.#setDeadline(source.i64());
        return;
      case Opcode.FREQ:
        // The frequency of use matters to eviction only, and there is none.
        source.u8();
        return;
      case Opcode.IDLE:
        this.#idle = source.length('the idle time of a key');
        return;
      case Opcode.SELECTDB:
        this.#selectDatabase(source.length('the number of a database'));
        return;
      case Opcode.RESIZEDB:
        this.#progress.keysTotal += source.length('the count of keys');
        source.length('the count of deadlines');
        return;
      case Opcode.AUX:
        this.#readAux();
        return;
      case Opcode.FUNCTION2:
        source.string(this.#view);
        this.#functions.push(
          this.#view.bytes.slice(this.#view.position, this.#view.position + this.#view.length),
        );
        return;
      case Opcode.MODULE_AUX:
        throw this.#moduleAux();
      case Opcode.SLOT_INFO:
        if (source.length('the number of a slot') >= CLUSTER_SLOTS)
          throw source.corrupt('Invalid slot number');
        source.length('the count of keys of a slot');
        source.length('the count of deadlines of a slot');
        this.#skipped.note(SkippedName.SLOT_INFO);
        return;
      case Opcode.FUNCTION_PRE_GA:
        throw new OperatingError(
          ErrorCode.UNSUPPORTED,
          `Pre-release function format not supported, at position ${source.position}`,
        );
      default:
        if (this.#valkey) this.#readValkeyOpcode(opcode);
        else this.#readNewOpcode(opcode);
    }
  }

  /** An opcode of Redis 8.6 and later that Valkey has given another meaning. */
  #readNewOpcode(opcode: number): void {
    if (opcode !== Opcode.KEY_META) throw this.#refusal('hash templates');
    const refused = skipKeyMetadata(this.#source, this.#view, this.#skipped);
    if (refused !== '') this.#refusedMetadata = refused;
  }

  #readValkeyOpcode(opcode: number): void {
    if (opcode !== ValkeyOpcode.SLOT_IMPORT)
      throw this.#refusal('commands between the keys (a save without a fork)');
    this.#skipSlotImport();
  }

  #setDeadline(ms: number): void {
    // -1 is Redis' "none". Another time before 1970 has passed. It becomes the earliest time that
    // an entry can hold.
    this.#deadline = ms === -1 ? -1 : Math.max(ms, 0);
  }

  #readKey(type: number): void {
    const source = this.#source;
    source.string(this.#view);
    this.#copyKey();
    if (this.#refusedMetadata !== '') throw this.#keyRefusal(this.#refusedMetadata);
    const holdsSomething = this.#readValue(type);
    const deadline = this.#deadline;
    const idle = this.#idle;
    this.#deadline = -1;
    this.#idle = -1;
    if (!holdsSomething) {
      this.#keysEmpty++;
      return;
    }
    if (deadline >= 0 && deadline < this.#options.nowMs && !this.#options.keepExpired) {
      this.#values.discard();
      while (this.#keyspace.freeSome(FREE_STEPS));
      this.#progress.keysExpired++;
      return;
    }
    const database = this.#database;
    if (database.find(this.#key, 0, this.#keyLength) !== NIL) throw this.#duplicate();
    const entry = this.#values.add(database, this.#key, 0, this.#keyLength);
    if (deadline >= 0) database.setDeadline(entry, deadline);
    if (idle >= 0) database.setAccess(entry, accessBefore(this.#options.accessClock, idle));
    this.#progress.keysLoaded++;
  }

  #readValue(type: number): boolean {
    try {
      return this.#values.read(type);
    } catch (error) {
      // Other errors name the position only, since the bytes may not belong to this key.
      if (!(error instanceof OperatingError) || error.code !== ErrorCode.UNSUPPORTED) throw error;
      throw this.#keyRefusal(error.message);
    }
  }

  #copyKey(): void {
    const { bytes, position, length } = this.#view;
    if (length > this.#key.length) this.#key = new Uint8Array(length);
    copyBytes(bytes, position, this.#key, 0, length);
    this.#keyLength = length;
  }

  #duplicate(): OperatingError {
    return this.#source.corrupt(
      `RDB has duplicated key '${this.#keyName()}' in DB ${this.#databaseIndex}`,
    );
  }

  /** The start of the key, in printable characters, for messages. */
  #keyName(): string {
    const name = latin1(this.#key, 0, Math.min(this.#keyLength, AUX_BYTES_MAX));
    return name.replace(/[^\x20-\x7e]/g, '?');
  }

  #keyRefusal(what: string): OperatingError {
    return this.#refusal(`the key '${this.#keyName()}' in DB ${this.#databaseIndex}, with ${what}`);
  }

  /** The error for a part of the dump that has no counterpart here. */
  #refusal(what: string): OperatingError {
    const position = /, at position \d+$/.test(what)
      ? ''
      : `, at position ${this.#source.position}`;
    const maker = this.#valkey ? 'Valkey ' : '';
    return new OperatingError(
      ErrorCode.UNSUPPORTED,
      `${maker}RDB version ${this.#version} holds what this node cannot hold: ${what}${position}`,
    );
  }

  #selectDatabase(index: number): void {
    const database = this.#keyspace.databases[index];
    if (database === undefined) {
      throw new OperatingError(
        ErrorCode.UNSUPPORTED,
        `Data file was created with a Redis server configured to handle more than ${this.#keyspace.databases.length} databases, at position ${this.#source.position}`,
      );
    }
    this.#database = database;
    this.#databaseIndex = index;
  }

  #readAux(): void {
    const name = this.#shortText();
    const value = this.#shortText();
    if (name !== undefined && value !== undefined && AUX_FIELDS.has(name))
      this.#aux.set(name, value);
    else if (!IDLE_AUX_FIELDS.has(name ?? '') && this.#others.length < OTHER_AUX_MAX) {
      this.#others.push([name ?? LONG_TEXT, value ?? LONG_TEXT]);
    }
  }

  /** Returns the next string, or undefined when it is longer than any known field. */
  #shortText(): string | undefined {
    this.#source.string(this.#view);
    if (this.#view.length > AUX_BYTES_MAX) return undefined;
    return latin1(this.#view.bytes, this.#view.position, this.#view.length);
  }

  /**
   * The error for data that a module keeps beside the keys. A node without the module cannot write
   * that data again, so its own dumps would lack it.
   */
  #moduleAux(): OperatingError {
    const source = this.#source;
    source.readLength();
    const module = moduleName(source.lengthHigh, source.lengthLow);
    return new OperatingError(
      ErrorCode.UNSUPPORTED,
      `The RDB file contains AUX module data I can't load: no matching module '${module}'`,
    );
  }

  /** A slot that was on its way to another node of a cluster. */
  #skipSlotImport(): void {
    const source = this.#source;
    // This is the name of the job that moves the slots.
    source.string(this.#view);
    const ranges = source.length('the count of slot ranges');
    for (let i = 0; i < ranges; i++) {
      const from = source.length('the first slot of a range');
      const to = source.length('the last slot of a range');
      if (from > to || to >= CLUSTER_SLOTS) throw source.corrupt('Invalid slot range');
    }
    this.#skipped.note(SkippedName.SLOT_IMPORT);
  }

  #checkSum(): void {
    const source = this.#source;
    source.sum();
    const low = this.#kernels.crcLow();
    const high = this.#kernels.crcHigh();
    const storedLow = source.u32();
    const storedHigh = source.u32();
    if (!this.#options.verifyChecksum || (storedLow === 0 && storedHigh === 0)) return;
    if (storedLow === low && storedHigh === high) return;
    throw new OperatingError(
      ErrorCode.CORRUPT,
      `Wrong RDB checksum expected: (${hex64(high, low)}) but got (${hex64(storedHigh, storedLow)}). Aborting now.`,
    );
  }

  #loadedAux(): LoadedAux {
    const number = (name: string): number | undefined => {
      const text = this.#aux.get(name);
      return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
    };
    const replid = this.#aux.get('repl-id');
    const streamDb = number('repl-stream-db');
    const offset = number('repl-offset');
    const complete =
      replid?.length === REPLID_CHARS &&
      offset !== undefined &&
      streamDb !== undefined &&
      streamDb < this.#keyspace.databases.length;
    return {
      redisVersion: this.#aux.get('redis-ver') ?? this.#aux.get('valkey-ver'),
      ctime: number('ctime'),
      usedMemoryBytes: number('used-mem'),
      replication: complete ? { streamDb, replid, offset } : undefined,
      others: this.#others,
    };
  }

  #report(): void {
    this.#progress.bytes = this.#source.position;
    this.#reportAt = this.#source.position + PROGRESS_BYTES;
    this.#onProgress(this.#progress);
  }
}

const AUX_FIELDS: ReadonlySet<string> = new Set([
  'redis-ver',
  'valkey-ver',
  'ctime',
  'used-mem',
  'repl-stream-db',
  'repl-id',
  'repl-offset',
]);

/** Fields that need no line in the log. */
const IDLE_AUX_FIELDS: ReadonlySet<string> = new Set(['redis-bits', 'aof-base', 'aof-preamble']);

/** As printf's "%llx". */
function hex64(high: number, low: number): string {
  return ((BigInt(high) << 32n) | BigInt(low)).toString(16);
}
