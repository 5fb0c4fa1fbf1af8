/**
 * The interfaces of the server that command handlers use. The server layer implements them; tests
 * may do so, too.
 */
import type { Prng } from '../base/prng.ts';
import type { EncodingLimits } from '../keyspace/encoding-limits.ts';
import type { ValueType } from '../keyspace/entry.ts';
import type { Keyspace } from '../keyspace/keyspace.ts';
import type { Reply } from '../resp/reply.ts';
import type { Request } from '../resp/request.ts';
import type { Client } from './client.ts';

/**
 * Configuration that handlers of data commands use. Every command reads it again. The names are
 * those of redis.conf.
 */
export interface Settings extends EncodingLimits {
  readonly protoMaxBulkLen: number;
  readonly lazyfreeLazyExpire: boolean;
  readonly lazyfreeLazyServerDel: boolean;
  readonly hllSparseMaxBytes: number;
}

/** Counters of INFO stats. The dispatcher and the lookups write them. */
export interface KeyspaceStats {
  keyspaceHits: number;
  keyspaceMisses: number;
  expiredKeys: number;
}

/** Classes of key events, with the letters of notify-keyspace-events. */
export const EventClass = {
  KEYSPACE: 1 << 0, // K
  KEYEVENT: 1 << 1, // E
  GENERIC: 1 << 2, // g
  STRING: 1 << 3, // $
  LIST: 1 << 4, // l
  SET: 1 << 5, // s
  HASH: 1 << 6, // h
  ZSET: 1 << 7, // z
  EXPIRED: 1 << 8, // x
  EVICTED: 1 << 9, // e
  STREAM: 1 << 10, // t
  KEY_MISS: 1 << 11, // m
  MODULE: 1 << 13, // d
  NEW: 1 << 14, // n
} as const;

/** Calls to the rest of the server when a command changes keys. */
export interface ChangeListener {
  /**
   * A key changed: tell its watchers. Called for every change, so it must be cheap when nobody
   * watches.
   */
  keyModified(dbIndex: number, bytes: Uint8Array, start: number, length: number): void;
  /** Lets clients that wait for the key look again, though its value is the same. */
  keyReady(dbIndex: number, bytes: Uint8Array, start: number, length: number): void;
  /** Sends a key event to subscribers. Called only for classes that are switched on. */
  keyEvent(
    eventClass: number,
    event: string,
    dbIndex: number,
    bytes: Uint8Array,
    start: number,
    length: number,
  ): void;
  /**
   * All keys of a database, or of all databases (-1), are about to be removed, or to be swapped
   * with those of `other`. Called before that, so that watched keys can still be found.
   */
  databaseModified(dbIndex: number, other?: number): void;
}

/**
 * A command that found nothing and blocks. When one of its keys changes and then holds a value of
 * `type`, the whole command runs again. It may block again. Clients are served in the order in
 * which they blocked.
 */
export interface BlockRequest {
  readonly type: ValueType;
  /** Argument indexes of the keys. */
  readonly keys: readonly number[];
  /** 0 means forever. */
  readonly timeoutMs: number;
  /**
   * Answers when the timeout is over, or at once where blocking is not allowed, as in a
   * transaction.
   */
  readonly onTimeout: (reply: Reply) => void;
  /** Answers where blocking is not allowed, if that reply differs. */
  readonly onRefused?: (reply: Reply) => void;
  /** Also runs the command again when a key is deleted or gets another type (XREADGROUP). */
  readonly whenDeleted?: boolean;
}

/** The parts of a call that blocking needs. */
export interface WaitingCall {
  readonly client: Client;
  readonly request: Request;
  readonly reply: Reply;
  /** Whether the call is part of a transaction. Then it may not block. */
  readonly inUnit: boolean;
}

export interface ServerPort extends ChangeListener {
  /** Blocks the current command. See {@link BlockRequest}. */
  block(call: WaitingCall, request: BlockRequest): void;
  readonly settings: Settings;
  readonly stats: KeyspaceStats;
  readonly prng: Prng;
  /** The live dataset. FLUSHALL and a load replace this object. */
  keyspace: Keyspace;
  /** Classes of {@link EventClass} that are switched on. */
  readonly eventClasses: number;
  /** Wall clock in ms. It does not change within one call of a client. */
  readonly nowMs: number;
  /** The 24-bit access clock, in seconds, for entries that are read or written now. */
  readonly accessClock: number;
  /**
   * False on a replica: a key whose deadline has passed is hidden but not deleted, since the
   * primary decides.
   */
  readonly deletesExpired: boolean;
  /** As {@link deletesExpired}, but also false while writes are paused. */
  readonly expiresKeys: boolean;
  /**
   * Whether there is a stream. It begins when the first replica comes. Without one, a handler need
   * not spend time on the stream's form of its command.
   */
  readonly streaming: boolean;
  /** Replaces the dataset by an empty one, in constant time, and tells the watchers. */
  flushAll(): void;
  /**
   * Saves the dataset, which FLUSHALL has just emptied, if there are save points. Returns whether
   * there are. Then no change counts as unsaved.
   */
  saveEmptied(): boolean;
}
