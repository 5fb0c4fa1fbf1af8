/**
 * What command handlers need of the server around them, as interfaces: the server layer provides
 * them, tests may too.
 */
import type { Prng } from '../base/prng.ts';
import type { EncodingLimits } from '../keyspace/encoding-limits.ts';
import type { ValueType } from '../keyspace/entry.ts';
import type { Keyspace } from '../keyspace/keyspace.ts';
import type { Reply } from '../resp/reply.ts';
import type { Request } from '../resp/request.ts';
import type { Client } from './client.ts';

/**
 * Configuration that handlers of data commands look at; read anew by each command. Names as in
 * redis.conf.
 */
export interface Settings extends EncodingLimits {
  readonly protoMaxBulkLen: number;
  readonly lazyfreeLazyExpire: boolean;
  readonly lazyfreeLazyServerDel: boolean;
  readonly hllSparseMaxBytes: number;
}

/** Counters that INFO stats shows; written by the dispatcher and by lookups. */
export interface KeyspaceStats {
  keyspaceHits: number;
  keyspaceMisses: number;
  expiredKeys: number;
}

/** Classes of keyspace events, with the letters of notify-keyspace-events. */
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

/** What happens to the rest of the server when a command changes keys. */
export interface ChangeListener {
  /**
   * A key changed: watchers are to know. Called for every change; must be cheap when nobody
   * watches.
   */
  keyModified(dbIndex: number, bytes: Uint8Array, start: number, length: number): void;
  /** A key event for subscribers; called only for classes that are switched on. */
  keyEvent(
    eventClass: number,
    event: string,
    dbIndex: number,
    bytes: Uint8Array,
    start: number,
    length: number,
  ): void;
  /**
   * All keys of a database, or of all databases (-1), are about to go, or to be swapped with those
   * of `other`. Called before it happens, so that watched keys can still be found.
   */
  databaseModified(dbIndex: number, other?: number): void;
}

/**
 * A command that found nothing and waits. When one of its keys changes and then holds a value of
 * `type`, the whole command runs again, in the order in which clients came; it may well wait on.
 */
export interface BlockRequest {
  readonly type: ValueType;
  /** Argument indexes of the keys. */
  readonly keys: readonly number[];
  /** 0 is forever. */
  readonly timeoutMs: number;
  /** Answers when time is up, and at once where nobody may wait: in a transaction. */
  readonly onTimeout: (reply: Reply) => void;
  /** Answers where nobody may wait, when that is something else. */
  readonly onRefused?: (reply: Reply) => void;
  /** Run again also when a key is gone or has another type now (XREADGROUP). */
  readonly whenDeleted?: boolean;
}

/** What is to be known of a call that is to wait. */
export interface WaitingCall {
  readonly client: Client;
  readonly request: Request;
  readonly reply: Reply;
  /** The call is a part of a transaction: it may not wait. */
  readonly inUnit: boolean;
}

export interface ServerPort extends ChangeListener {
  /** Makes the present command wait; see {@link BlockRequest}. */
  block(call: WaitingCall, request: BlockRequest): void;
  readonly settings: Settings;
  readonly stats: KeyspaceStats;
  readonly prng: Prng;
  /** The live dataset; another object after FLUSHALL or a load. */
  keyspace: Keyspace;
  /** Classes of {@link EventClass} that are switched on. */
  readonly eventClasses: number;
  /** Wall clock in ms, the same within one turn. */
  readonly nowMs: number;
  /** The 24-bit access clock for entries that are read or written now. */
  readonly accessClock: number;
  /**
   * False under DEBUG SET-ACTIVE-EXPIRE-like modes and on replicas: keys past their deadline are
   * hidden and not deleted.
   */
  readonly deletesExpired: boolean;
  /**
   * As {@link deletesExpired}, and false while writes are paused: what is found expired is only
   * hidden then.
   */
  readonly expiresKeys: boolean;
  /**
   * Whether anything goes to a stream: not before the first replica came. Rewriting a command may
   * be dear.
   */
  readonly streaming: boolean;
  /** Replaces the dataset by an empty one, in constant time, and tells the watchers. */
  flushAll(): void;
  /**
   * Lets the dataset, which FLUSHALL has just emptied, be saved when there are save points. Returns
   * whether there are: then nothing counts as changed since the last save.
   */
  saveEmptied(): boolean;
}
