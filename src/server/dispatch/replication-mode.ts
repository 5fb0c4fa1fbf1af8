/**
 * Hot path. Strategies that decide what a call contributes to the stream.
 *
 *   feed   a primary: the request as it came, or the operations that replace it, in units
 *   none   the stream has no reader: what calls contribute is dropped
 *
 * An execution unit is one call of a client with all its effects, or a whole transaction. Calls
 * inside a unit only queue; the unit is streamed when it ends (replication/feed.ts).
 */
import { type CommandContext, Replicate, type StreamOp } from '../../commands/context.ts';
import { Flag } from '../../commands/spec.ts';
import type { Feed } from '../../replication/feed.ts';
import { GrowableBytes } from '../../resp/growable-bytes.ts';
import type { Request } from '../../resp/request.ts';
import { encodeCommand } from '../../resp/stream.ts';
import type { CommandRow } from './command-lookup.ts';

export interface ReplicationMode {
  /** A call that changed data, or gave operations, has ended. */
  called(frame: CommandContext, row: CommandRow, dbIndex: number): void;
  /** Takes an operation that no client's call caused, for example an active expiry. */
  operation(op: StreamOp): void;
  /** The unit of the queued operations has ended. */
  unitEnded(): void;
}

export class FeedMode implements ReplicationMode {
  readonly #feed: Feed;
  readonly #scratch = new GrowableBytes();

  constructor(feed: Feed) {
    this.#feed = feed;
  }

  called(frame: CommandContext, row: CommandRow, dbIndex: number): void {
    const feed = this.#feed;
    const { request, ops, opsBefore } = frame;
    const isRequest = frame.replicate === Replicate.REQUEST;
    if (opsBefore.length === 0 && ops.length === 0 && !frame.inUnit) {
      if (!isRequest) return;
      if (request.canonical)
        feed.appendDeferred(dbIndex, request.bytes, request.start, request.end);
      else this.#appendEncoded(dbIndex, request);
      return;
    }
    for (const op of opsBefore) this.#queueOp(op);
    if (isRequest) {
      if (frame.changes > 0) this.#queueRequest(dbIndex, request);
    } else if (frame.replicate === Replicate.OPS) {
      for (const op of ops) this.#queueOp(op);
    }
    if (opsBefore.length > 0) opsBefore.length = 0;
    if (ops.length > 0) ops.length = 0;
    if (!frame.inUnit) feed.flush((row.flags & Flag.TOUCHES_ARBITRARY_KEYS) === 0);
  }

  operation(op: StreamOp): void {
    this.#queueOp(op);
  }

  unitEnded(): void {
    this.#feed.flush(true);
  }

  #queueOp(op: StreamOp): void {
    const scratch = this.#scratch;
    scratch.size = 0;
    encodeCommand(scratch, op.words);
    this.#feed.queue(op.dbIndex, scratch.bytes, 0, scratch.size);
  }

  #queueRequest(dbIndex: number, request: Request): void {
    if (request.canonical) this.#feed.queue(dbIndex, request.bytes, request.start, request.end);
    else this.#queueOp({ dbIndex, words: wordsOf(request) });
  }

  #appendEncoded(dbIndex: number, request: Request): void {
    const scratch = this.#scratch;
    scratch.size = 0;
    encodeCommand(scratch, wordsOf(request));
    this.#feed.appendVerbatim(dbIndex, scratch.bytes, 0, scratch.size);
  }
}

export const noReplication: ReplicationMode = {
  called({ ops, opsBefore }: CommandContext): void {
    // Setting a length costs a call, so it is avoided.
    if (opsBefore.length > 0) opsBefore.length = 0;
    if (ops.length > 0) ops.length = 0;
  },
  operation(): void {},
  unitEnded(): void {},
};

function wordsOf(request: Request): Uint8Array[] {
  return Array.from({ length: request.argc }, (_, i) => request.copy(i));
}
