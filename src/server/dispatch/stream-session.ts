/**
 * A client whose requests are a stream that has run elsewhere: of the primary above this node, or
 * of an append only file. It is trusted, has no limits, and gets no replies. Main thread.
 */
import { KIB } from '../../base/units.ts';
import { ClientMode } from '../../commands/client.ts';
import type { RequestLimits } from '../../resp/parser.ts';
import type { Reply } from '../../resp/reply.ts';
import { Session } from './session.ts';

/** Positions in a buffer are 32-bit integers; no other limit applies. */
export const STREAM_BYTES_MAX = 0x7fff_ffff;

/** The limits of a reader of such a stream. */
export const STREAM_LIMITS: RequestLimits = Object.freeze({
  bulkBytesMax: STREAM_BYTES_MAX,
  queryBytesMax: STREAM_BYTES_MAX,
  inlineBytesMax: 64 * KIB,
  argumentsMax: STREAM_BYTES_MAX,
});

export abstract class StreamSession extends Session {
  readonly reply: Reply;

  constructor(id: number, reply: Reply) {
    super(id);
    this.reply = reply;
    this.fromPrimary = true;
    this.setMode(ClientMode.UNAUTHENTICATED, false);
  }

  flush(): void {
    this.reply.discard();
  }

  flushSoon(): void {}

  resume(): void {}

  endLink(): void {}
}
