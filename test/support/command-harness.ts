/**
 * Runs command handlers without a server: on a dataset, with a server port that records, and with a
 * context. A request given as words runs through the tables, as the dispatcher would run it. The
 * harness reports the reply and all effects.
 */
import type { AllocatorOptions } from '../../src/arena/allocator.ts';
import { codeOf, ErrorCode } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { Client } from '../../src/commands/client.ts';
import { CommandContext, Replicate, type StreamOp } from '../../src/commands/context.ts';
import type { BlockRequest, ServerPort, Settings } from '../../src/commands/ports.ts';
import { type CommandSpec, type CommandTable, Flag } from '../../src/commands/spec.ts';
import { commandTables } from '../../src/commands/tables.ts';
import { Keyspace } from '../../src/keyspace/keyspace.ts';
import { Request } from '../../src/resp/request.ts';
import { type Argument, encodeCommand } from './resp-client.ts';
import { type BulkMode, INCOMPLETE, RespError, RespParser, type RespValue } from './resp-parser.ts';

export interface KeyEvent {
  readonly db: number;
  readonly event: string;
  readonly key: string;
}

/** A command of the stream, words in latin1. */
export interface StreamedCommand {
  readonly db: number;
  readonly words: readonly string[];
}

export interface Outcome {
  /** null when the command is blocked and has no reply yet. */
  readonly reply: RespValue;
  /** The block request of a blocked command. */
  readonly blocked: BlockRequest | undefined;
  /** The changes that the command counted, as `dirty`. */
  readonly changes: number;
  /** The commands in the stream for it, in order. */
  readonly stream: readonly StreamedCommand[];
  readonly events: readonly KeyEvent[];
  /** Keys whose watchers were told, as `db:key`, or `db:*` for a whole database. */
  readonly modified: readonly string[];
}

export interface HarnessOptions {
  readonly databases?: number;
  readonly seed?: number;
  readonly nowMs?: number;
  readonly settings?: Partial<Settings>;
  readonly tables?: readonly CommandTable[];
  readonly bulk?: BulkMode;
  readonly arena?: AllocatorOptions;
}

export const HARNESS_NOW_MS = 1_700_000_000_000;

/** Defaults of redis.conf. */
const DEFAULTS: Settings = {
  protoMaxBulkLen: 512 * 1024 * 1024,
  lazyfreeLazyExpire: false,
  lazyfreeLazyServerDel: false,
  listMaxListpackSize: -2,
  hashMaxListpackEntries: 512,
  hashMaxListpackValue: 64,
  setMaxIntsetEntries: 512,
  setMaxListpackEntries: 128,
  setMaxListpackValue: 64,
  zsetMaxListpackEntries: 128,
  zsetMaxListpackValue: 64,
  hllSparseMaxBytes: 3000,
  streamNodeMaxBytes: 4096,
  streamNodeMaxEntries: 100,
};

const EVERY_EVENT = 0x7fff;
const latin1 = (bytes: Uint8Array, start = 0, length = bytes.length): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset + start, length).toString('latin1');

/** A server port that records all calls. */
class RecordingServer implements ServerPort {
  readonly settings: Settings;
  readonly stats = { keyspaceHits: 0, keyspaceMisses: 0, expiredKeys: 0 };
  readonly prng: Prng;
  readonly #databases: number;
  readonly #arena: AllocatorOptions;
  keyspace: Keyspace;
  eventClasses = EVERY_EVENT;
  nowMs: number;
  deletesExpired = true;
  streaming = true;
  events: KeyEvent[] = [];
  modified: string[] = [];
  blocked: BlockRequest | undefined;

  constructor(options: HarnessOptions) {
    this.settings = { ...DEFAULTS, ...options.settings };
    this.prng = new Prng(options.seed ?? 1);
    this.nowMs = options.nowMs ?? HARNESS_NOW_MS;
    this.#databases = options.databases ?? 16;
    this.#arena = options.arena ?? {};
    this.keyspace = this.#emptyKeyspace();
  }

  get expiresKeys(): boolean {
    return this.deletesExpired;
  }

  get accessClock(): number {
    return Math.floor(this.nowMs / 1000) & 0xffffff;
  }

  block(_context: CommandContext, request: BlockRequest): void {
    this.blocked = request;
  }

  keyModified(dbIndex: number, bytes: Uint8Array, start: number, length: number): void {
    this.modified.push(`${dbIndex}:${latin1(bytes, start, length)}`);
  }

  /** Nobody waits here. */
  keyReady(): void {}

  keyEvent(
    _eventClass: number,
    event: string,
    dbIndex: number,
    bytes: Uint8Array,
    start: number,
    length: number,
  ): void {
    this.events.push({ db: dbIndex, event, key: latin1(bytes, start, length) });
  }

  databaseModified(dbIndex: number): void {
    this.modified.push(`${dbIndex}:*`);
  }

  flushAll(): void {
    this.databaseModified(-1);
    if (this.keyspace.arena.frozen) this.keyspace.thaw();
    this.keyspace = this.#emptyKeyspace();
  }

  saveEmptied(): boolean {
    return false;
  }

  #emptyKeyspace(): Keyspace {
    const hashKey = { key0: 0x12345678, key1: 0x9abcdef };
    return new Keyspace(this.#databases, hashKey, undefined, this.#arena);
  }
}

export class CommandHarness {
  readonly server: RecordingServer;
  readonly context: CommandContext;
  readonly client = new Client(1);
  /** The whole stream so far, as a replica sees it: with SELECT, MULTI and EXEC. */
  readonly stream: string[][] = [];
  readonly events: KeyEvent[] = [];
  /** All changes so far. */
  dirty = 0;
  readonly #commands = new Map<string, CommandSpec>();
  readonly #parser: RespParser;
  #streamDb = -1;

  constructor(options: HarnessOptions = {}) {
    this.server = new RecordingServer(options);
    this.context = new CommandContext(this.server);
    this.context.client = this.client;
    this.#parser = new RespParser(options.bulk ?? 'latin1');
    for (const table of options.tables ?? commandTables) {
      for (const [name, spec] of Object.entries(table)) this.#commands.set(name, spec);
    }
  }

  get keyspace(): Keyspace {
    return this.server.keyspace;
  }

  /** Returns the reply of a command. {@link run} returns more. */
  call(...words: readonly Argument[]): RespValue {
    return this.run(...words).reply;
  }

  /**
   * Runs one request as the dispatcher does while memory is tight, in a guarded unit. Returns
   * undefined when there is no memory for it; then the dataset is as it was. Reads are guarded,
   * too, since some of them make values.
   */
  runGuarded(...words: readonly Argument[]): Outcome | undefined {
    const { keyspace } = this;
    const spec = this.#find(words.map(String), requestOf(words));
    // A command without keys empties databases, or does not touch them.
    if (spec instanceof RespError || spec.keys.length === 0) return this.run(...words);
    keyspace.beginGuarded();
    try {
      const outcome = this.run(...words);
      keyspace.commitGuarded();
      return outcome;
    } catch (error) {
      if (codeOf(error) !== ErrorCode.ARENA_FULL) throw error;
      keyspace.rollbackGuarded();
      this.context.reply.take();
      return undefined;
    }
  }

  /** Runs one request. Strings are encoded in latin1. */
  run(...words: readonly Argument[]): Outcome {
    const { context, server, client } = this;
    const request = requestOf(words);
    const { dbIndex } = client;
    server.events = [];
    server.modified = [];
    server.blocked = undefined;
    context.request = request;
    context.changes = 0;
    context.replicate = Replicate.REQUEST;
    context.ops.length = 0;
    context.opsBefore.length = 0;
    context.reply.protocol = client.protocol;
    context.db = server.keyspace.databases[dbIndex]!;
    context.db.accessClock = server.accessClock;
    const spec = this.#find(words.map(String), request);
    let touchesArbitraryKeys = false;
    if (spec instanceof RespError) context.reply.error(spec.message);
    else {
      spec.handler(context);
      touchesArbitraryKeys = (spec.flags & Flag.TOUCHES_ARBITRARY_KEYS) !== 0;
    }
    const stream = this.#streamed(request, dbIndex);
    this.#append(stream, !touchesArbitraryKeys);
    this.dirty += context.changes;
    this.events.push(...server.events);
    return {
      reply: this.#takeReply(),
      blocked: server.blocked,
      changes: context.changes,
      stream,
      events: server.events,
      modified: server.modified,
    };
  }

  #takeReply(): RespValue {
    if (this.server.blocked !== undefined && this.context.reply.size === 0) return null;
    this.#parser.push(this.context.reply.take());
    const reply = this.#parser.next();
    if (reply === INCOMPLETE) throw new Error('a handler left its reply incomplete');
    if (this.#parser.pendingBytes > 0) throw new Error('a handler answered more than one reply');
    return reply;
  }

  #find(words: readonly string[], request: Request): CommandSpec | RespError {
    const name = words[0]!;
    let spec = this.#commands.get(name.toUpperCase());
    let fullName = name.toLowerCase();
    if (spec === undefined) return new RespError(`ERR unknown command '${name}'`);
    if (spec.subcommands !== undefined && words.length > 1) {
      const sub = spec.subcommands[words[1]!.toUpperCase()];
      if (sub === undefined) {
        return new RespError(
          `ERR unknown subcommand '${words[1]}'. Try ${name.toUpperCase()} HELP.`,
        );
      }
      fullName = `${fullName}|${words[1]!.toLowerCase()}`;
      spec = sub;
    }
    const { arity } = spec;
    const arityHolds = arity >= 0 ? request.argc === arity : request.argc >= -arity;
    return arityHolds
      ? spec
      : new RespError(`ERR wrong number of arguments for '${fullName}' command`);
  }

  #streamed(request: Request, dbIndex: number): StreamedCommand[] {
    const { context } = this;
    const ops: StreamOp[] = [...context.opsBefore];
    if (context.replicate === Replicate.OPS) ops.push(...context.ops);
    else if (context.replicate === Replicate.REQUEST && context.changes > 0) {
      ops.push({ dbIndex, words: Array.from({ length: request.argc }, (_, i) => request.copy(i)) });
    }
    return ops.map((op) => ({
      db: op.dbIndex,
      words: op.words.map((word) => (typeof word === 'string' ? word : latin1(word))),
    }));
  }

  /**
   * Appends an execution unit as Redis streams it: the SELECT for its first command is before
   * MULTI.
   */
  #append(unit: readonly StreamedCommand[], wrap: boolean): void {
    const wrapped = wrap && unit.length > 1;
    for (const [i, { db, words }] of unit.entries()) {
      if (db !== this.#streamDb) this.stream.push(['SELECT', String(db)]);
      this.#streamDb = db;
      if (wrapped && i === 0) this.stream.push(['MULTI']);
      this.stream.push([...words]);
    }
    if (wrapped) this.stream.push(['EXEC']);
  }
}

/** A request as the parser leaves it. */
export function requestOf(words: readonly Argument[]): Request {
  const request = new Request();
  const bytes = encodeCommand(words, 'latin1');
  request.bytes = bytes;
  request.end = bytes.length;
  request.canonical = true;
  let at = bytes.indexOf('\n') + 1;
  for (let i = 0; i < words.length; i++) {
    const length = Number(bytes.toString('latin1', at + 1, bytes.indexOf('\r', at)));
    at = bytes.indexOf('\n', at) + 1;
    request.add(at, length);
    at += length + 2;
  }
  return request;
}
