/**
 * Loads a dump into an empty keyspace: versions 1 to 12 of Redis, 80 of Valkey. Runs on the loading
 * worker.
 *
 * Input is not trusted: it loads as a whole or ends with an error that names the position. What was
 * loaded by then is dropped with the keyspace.
 *
 *   SHORT         the dump ends inside of itself         TOO_NEW       its version is beyond what is read here
 *   CORRUPT       it contradicts the format, or itself   UNSUPPORTED   it holds what cannot be held here
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
import { ValueLoader } from './load-value.ts';
import {
  CHECKSUM_VERSION_MIN,
  MAGIC_BYTES,
  Opcode,
  RDB_VERSION_MAX,
  VALKEY_SLOT_IMPORT,
  VALKEY_VERSION,
} from './opcodes.ts';
import type { ReplicationAux } from './save.ts';
import type { DumpSource } from './source.ts';

export interface LoadOptions {
  /** Keys whose deadline lies before this have expired. */
  readonly nowMs: number;
  /**
   * A replica keeps expired keys, for its primary deletes them; so does who will delete them by its
   * own stream.
   */
  readonly keepExpired: boolean;
  /** `rdbchecksum` */
  readonly verifyChecksum: boolean;
  /** The access clock that the keys get. */
  readonly accessClock: number;
  readonly limits: EncodingLimits;
}

/** What a dump says about itself, as far as anybody asks. */
export interface LoadedAux {
  readonly redisVersion: string | undefined;
  /** Unix time in seconds. */
  readonly ctime: number | undefined;
  readonly usedMemoryBytes: number | undefined;
  /** Only when all three fields are there and valid. */
  readonly replication: ReplicationAux | undefined;
  /** Fields that have no use here, for the log; the first ones. */
  readonly others: readonly (readonly [name: string, value: string])[];
}

export interface LoadResult {
  readonly version: number;
  readonly aux: LoadedAux;
  /** Libraries of functions, opaque. */
  readonly functions: readonly Uint8Array[];
  readonly keysLoaded: number;
  readonly keysExpired: number;
  /**
   * Keys left out because they hold an empty collection, which some versions of Redis wrote by
   * mistake.
   */
  readonly keysEmpty: number;
  readonly bytes: number;
}

export interface LoadProgress {
  /** Keys that the dump has announced so far; a hint. */
  keysTotal: number;
  keysLoaded: number;
  keysExpired: number;
  bytes: number;
}

/** Told of the progress every few hundred kilobytes; may throw to end the load. */
export type LoadListener = (progress: LoadProgress) => void;

const PROGRESS_BYTES = 256 * 1024;
const FREE_STEPS = 1000;
/** Tables get room for at most so many announced keys, since a dump may announce what it likes. */
const KEYS_EXPECTED_MAX = 4 * 1024 * 1024;
const AUX_BYTES_MAX = 256;
const OTHER_AUX_MAX = 64;
const LONG_TEXT = '(a long text)';
const CLUSTER_SLOTS = 16384;
const REPLID_CHARS = 40;
const KEY_BYTES_FIRST = 4096;
const MODULE_NAME_CHARS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

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
  #valkey = false;
  #keysEmpty = 0;
  /** The announced keys that tables may still get room for. */
  #keysToExpect = KEYS_EXPECTED_MAX;
  #reportAt = PROGRESS_BYTES;
  /** Deadline of the next key, -1 without one. */
  #deadline = -1;
  /** Seconds since the next key was used, -1 when the dump does not say. */
  #idle = -1;
  /** The key is copied: reading its value may move the window. */
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
    this.#values = new ValueLoader(source, keyspace, options.limits);
    this.#database = keyspace.databases[0]!;
    for (const database of keyspace.databases) database.accessClock = options.accessClock;
  }

  load(): LoadResult {
    const source = this.#source;
    const version = this.#readMagic();
    for (;;) {
      const opcode = source.u8();
      // Types are below all opcodes, so a key costs one comparison.
      if (opcode < VALKEY_SLOT_IMPORT) this.#readKey(opcode);
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
      keysLoaded: this.#progress.keysLoaded,
      keysExpired: this.#progress.keysExpired,
      keysEmpty: this.#keysEmpty,
      bytes: source.position,
    };
  }

  #readMagic(): number {
    this.#source.plainBytes(MAGIC_BYTES, this.#view);
    const magic = latin1(this.#view.bytes, this.#view.position, MAGIC_BYTES);
    const match = /^(?:REDIS(\d{4})|VALKEY(\d{3}))$/.exec(magic);
    if (match === null) {
      throw new OperatingError(ErrorCode.CORRUPT, 'Wrong signature trying to load DB from file');
    }
    this.#valkey = match[1] === undefined;
    this.#values.valkey = this.#valkey;
    const version = Number(match[1] ?? match[2]);
    const message = `Can't handle RDB format version ${version}`;
    if (version < 1) throw new OperatingError(ErrorCode.CORRUPT, message);
    if (this.#valkey ? version !== VALKEY_VERSION : version > RDB_VERSION_MAX)
      throw new OperatingError(ErrorCode.TOO_NEW, message);
    return version;
  }

  /** The dump announces `count` keys of the database. A table that has room for them never splits. */
  #expectKeys(count: number): void {
    this.#progress.keysTotal += count;
    const expected = Math.min(count, this.#keysToExpect);
    this.#keysToExpect -= expected;
    this.#database.expect(expected);
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
        // How often a key is used matters to eviction, and there is none.
        source.u8();
        return;
      case Opcode.IDLE:
        this.#idle = source.length('the idle time of a key');
        return;
      case Opcode.SELECTDB:
        this.#selectDatabase(source.length('the number of a database'));
        return;
      case Opcode.RESIZEDB:
        this.#expectKeys(source.length('the count of keys'));
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
        return;
      case Opcode.FUNCTION_PRE_GA:
        throw new OperatingError(
          ErrorCode.UNSUPPORTED,
          `Pre-release function format not supported, at position ${source.position}`,
        );
      default:
        if (!this.#valkey) throw source.corrupt(`Unknown RDB encoding type ${opcode}`);
        this.#skipSlotImport();
    }
  }

  #setDeadline(ms: number): void {
    // -1 is Redis' "none". Other times before 1970 are past like any, and kept as the earliest that
    // an entry can hold.
    this.#deadline = ms === -1 ? -1 : Math.max(ms, 0);
  }

  #readKey(type: number): void {
    const source = this.#source;
    source.string(this.#view);
    this.#copyKey();
    const holdsSomething = this.#values.read(type);
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

  #copyKey(): void {
    const { bytes, position, length } = this.#view;
    if (length > this.#key.length) this.#key = new Uint8Array(length);
    copyBytes(bytes, position, this.#key, 0, length);
    this.#keyLength = length;
  }

  #duplicate(): OperatingError {
    const name = latin1(this.#key, 0, Math.min(this.#keyLength, AUX_BYTES_MAX));
    return this.#source.corrupt(`RDB has duplicated key '${name}' in DB ${this.#databaseIndex}`);
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

  /** The next string, or undefined when it is longer than any field that is looked at. */
  #shortText(): string | undefined {
    this.#source.string(this.#view);
    if (this.#view.length > AUX_BYTES_MAX) return undefined;
    return latin1(this.#view.bytes, this.#view.position, this.#view.length);
  }

  /**
   * The data that a module keeps beside the keys. Who goes on without it would write a dump without
   * it.
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
    const job = this.#shortText();
    if (this.#others.length < OTHER_AUX_MAX)
      this.#others.push(['slots on the move', job ?? LONG_TEXT]);
    const ranges = source.length('the count of slot ranges');
    for (let i = 0; i < ranges; i++) {
      const from = source.length('the first slot of a range');
      const to = source.length('the last slot of a range');
      if (from > to || to >= CLUSTER_SLOTS) throw source.corrupt('Invalid slot range');
    }
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

/** Fields that say what is so here as well, or what nobody asks for. */
const IDLE_AUX_FIELDS: ReadonlySet<string> = new Set(['redis-bits', 'aof-base', 'aof-preamble']);

/**
 * The nine characters of a module's id, six bits each from the top; the last ten bits are a
 * version.
 */
function moduleName(high: number, low: number): string {
  const id = (BigInt(high) << 32n) | BigInt(low);
  let name = '';
  for (let shift = 58n; shift >= 10n; shift -= 6n)
    name += MODULE_NAME_CHARS[Number((id >> shift) & 63n)];
  return name;
}

/** As printf's "%llx". */
function hex64(high: number, low: number): string {
  return ((BigInt(high) << 32n) | BigInt(low)).toString(16);
}
