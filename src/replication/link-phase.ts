/** The phases of the link to a primary, and what the link asks to be done: see link-state.ts. */
import type { Offset } from '../base/units.ts';
import type { LoadWay } from './load-way.ts';
import type { LogLine } from './psync.ts';

export const LinkPhase = {
  /** This node has no primary. */
  NONE: 'none',
  /** The link waits for the next attempt. */
  WAITING: 'waiting',
  CONNECTING: 'connecting',
  /** PING was written. */
  PINGED: 'pinged',
  /** AUTH and REPLCONF were written, and not all of them are answered. */
  SHAKING: 'shaking',
  /** PSYNC was written. */
  ASKED: 'asked',
  /** The second connection for the dump is being made: see dump-channel.ts. */
  CHANNEL: 'channel',
  /** A dump is granted; its header has not come yet. */
  HEADER: 'header',
  TRANSFER: 'transfer',
  /** The dump is here, and is not loaded yet. */
  LOADING: 'loading',
  /** The stream flows. */
  CONNECTED: 'connected',
} as const;
export type LinkPhase = (typeof LinkPhase)[keyof typeof LinkPhase];

/** The names of the phases in ROLE. */
export const ROLE_STATES: Readonly<Record<LinkPhase, string>> = {
  none: 'none',
  waiting: 'connect',
  connecting: 'connecting',
  pinged: 'handshake',
  shaking: 'handshake',
  asked: 'handshake',
  channel: 'handshake',
  header: 'sync',
  transfer: 'sync',
  loading: 'sync',
  connected: 'connected',
};

/** A stream that this node holds: its id, and the offset of the last byte that was applied. */
export interface CachedStream {
  readonly replid: string;
  readonly offset: Offset;
}

export type LinkAction =
  | { readonly kind: 'connect' }
  | { readonly kind: 'write'; readonly text: string }
  /** The same for the second connection. */
  | { readonly kind: 'connect-second' }
  | { readonly kind: 'write-second'; readonly text: string }
  | { readonly kind: 'close-second' }
  /**
   * What comes over the main connection from here on is the stream behind the dump: to be held
   * until that is loaded.
   */
  | { readonly kind: 'hold-stream' }
  /** Close all connections and ignore them from now on. */
  | { readonly kind: 'close' }
  | { readonly kind: 'log'; readonly line: LogLine }
  /**
   * A dump is granted: once it is loaded, the stream that this node had is worthless. The stream
   * behind the dump has `dbIndex` selected; -1 when the dump tells.
   */
  | {
      readonly kind: 'full';
      readonly replid: string;
      readonly offset: Offset;
      readonly dbIndex: number;
    }
  /**
   * The dump begins, on the second connection if there is one: it has `bytes` bytes, or ends with
   * `mark`, and is to be loaded in `way`.
   */
  | {
      readonly kind: 'payload';
      readonly bytes: number;
      readonly mark: string;
      readonly way: LoadWay;
    }
  /** The held stream goes on, under `replid`, or under its old id when that is empty. */
  | { readonly kind: 'continue'; readonly replid: string }
  /** The stream that is held may not be asked for again. */
  | { readonly kind: 'forget' }
  /**
   * PSYNC with FAILOVER was answered. After a refusal the link does nothing more: the failover has
   * failed, and this node is to be the primary again.
   */
  | { readonly kind: 'failover'; readonly accepted: boolean };
