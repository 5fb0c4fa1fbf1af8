/**
 * Decides when the stream is flushed to the peers. A flush is one write per ready peer, so one
 * command costs as much as two hundred. The more peers there are, the more commands should share a
 * flush. Hot path.
 *
 *   idle, few peers     append ─▶ end of this turn
 *   loaded, many peers  append ─▶ … ─▶ when the pause since the last flush is over
 *                       pause = 4 x (measured microseconds per write x ready peers), at most 2 ms
 *   long batch          each 128 KiB, midway
 *   WAIT, GETACK        now
 *
 * The pause limits flushing to about a fifth of the time, until the limit of 2 ms applies: 1 peer
 * at 8 µs per write pauses 32 µs, which is within a turn; 16 peers pause 0.5 ms; 64 peers pause 2
 * ms and take 20 %; more peers take a larger share but never wait longer. When the pause has passed
 * without commands, the next flush starts at once, so coalescing costs an idle node nothing. Each
 * peer has at most one write in flight, so a slow peer needs no rule: its next write is bigger.
 *
 * Times are microseconds of a monotonic clock, passed in. The server owns the timers and the
 * sockets:
 *
 *   between two commands of a batch   if (policy.midBatch(bytes)) flush
 *   at the end of a read event        policy.decide(…): NOW, TURN_END (setImmediate),
 *                                     LATER (timer of delayUs), NONE
 *   after each flush                  policy.flushed(…)
 *   when a peer's write completes     policy.writeAgain(lag): its next slice now, or with the next
 *                                     flush
 */

export const FlushWhen = {
  /** Nothing waits, or no peer is ready: the completion of a write asks again. */
  NONE: 0,
  NOW: 1,
  TURN_END: 2,
  LATER: 3,
} as const;
export type FlushWhen = (typeof FlushWhen)[keyof typeof FlushWhen];

/** WAIT notices a longer delay of the stream; a timer cannot do much better. */
export const PAUSE_US_MAX = 2000;
/** Shorter pauses end within the turn: no timer is that precise. */
const TURN_US = 100;
/**
 * A batch flushes midway after this many bytes. A peer with at least this lag writes on without
 * waiting for the others.
 */
export const FLUSH_BYTES = 128 * 1024;
/**
 * The kernel sends this many bytes as one packet, to a network card with segments of 1448 bytes and
 * over loopback: 45 segments. A slightly longer write costs a second packet, which passes through
 * both stacks and wakes its reader.
 */
export const PACKET_BYTES = 45 * 1448;
/** Pause per time spent flushing: 4 makes flushing a fifth of the time. */
const PAUSE_PER_COST = 4;
/** Microseconds per write assumed before the first measurement, and the weight of a new one. */
const WRITE_US_ASSUMED = 10;
const WRITE_US_WEIGHT = 1 / 8;
/** One preempted flush must not stretch the pauses after it. */
const WRITE_US_MAX = 100;

/**
 * The bytes of one write to a peer that lags by `lagBytes`: all, or whole packets when there is
 * more than one.
 */
export function sliceBytes(lagBytes: number, bytesMax: number): number {
  const bytes = Math.min(lagBytes, bytesMax);
  return bytes <= PACKET_BYTES ? bytes : bytes - (bytes % PACKET_BYTES);
}

export class FlushPolicy {
  /** Microseconds until the flush, after `decide` returned LATER. */
  delayUs: number;
  /** Mean microseconds of the loop's time per write. */
  writeUs: number;
  #flushedUs: number;
  #urgent: boolean;

  constructor() {
    this.delayUs = 0;
    this.writeUs = WRITE_US_ASSUMED;
    this.#flushedUs = Number.NEGATIVE_INFINITY;
    this.#urgent = false;
  }

  /** Someone waits for an acknowledgement: decisions are NOW until the next flush. */
  askUrgent(): void {
    this.#urgent = true;
  }

  /** Whether someone waits for the next flush. */
  get isUrgent(): boolean {
    return this.#urgent;
  }

  /** True when the `bytes` appended since the last flush are worth one in the middle of a batch. */
  midBatch(bytes: number): boolean {
    return bytes >= FLUSH_BYTES;
  }

  /** The pause between two flushes to `readyPeers`, in microseconds. */
  pauseUs(readyPeers: number): number {
    return Math.min(PAUSE_US_MAX, PAUSE_PER_COST * this.writeUs * readyPeers);
  }

  /**
   * Decides at the end of a batch when to flush. `bytes` were appended since the last flush, and
   * `readyPeers` have no write in flight and something to read. Sets `delayUs`.
   */
  decide(nowUs: number, bytes: number, readyPeers: number): FlushWhen {
    this.delayUs = 0;
    if (readyPeers === 0) return FlushWhen.NONE;
    if (this.#urgent || bytes >= FLUSH_BYTES) return FlushWhen.NOW;
    const restUs = this.#flushedUs + this.pauseUs(readyPeers) - nowUs;
    if (restUs < TURN_US) return FlushWhen.TURN_END;
    this.delayUs = restUs;
    return FlushWhen.LATER;
  }

  /** A flush of `writes` writes took from `startUs` to `endUs` on the main thread. */
  flushed(startUs: number, endUs: number, writes: number): void {
    this.#urgent = false;
    this.#flushedUs = endUs;
    if (writes === 0) return;
    const measuredUs = Math.min(WRITE_US_MAX, (endUs - startUs) / writes);
    this.writeUs += (measuredUs - this.writeUs) * WRITE_US_WEIGHT;
  }

  /**
   * Whether a peer whose write has completed writes its next slice at once: it lags far, or someone
   * waits. Else it joins the next flush, for which the caller asks `decide`.
   */
  writeAgain(lagBytes: number): boolean {
    return lagBytes >= FLUSH_BYTES || (this.#urgent && lagBytes > 0);
  }
}
