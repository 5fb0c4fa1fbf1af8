/**
 * Hot path. Writes the stream to the peers.
 *
 *   commands append ─▶ log ─▶ flush: each peer that has no write in flight gets a slice ─▶ sockets
 *                       ▲        ▲
 *   turn of a client ends        when: replication/fan-out.ts
 *
 * The policy is asked at the end of each read event. TURN_END is one setImmediate, so that all
 * clients of a turn share a flush. LATER asks again at each turn's end, and by a timer if no turn
 * comes. A read event brings at most one read buffer and a bounded count of requests, so a long
 * pipeline is flushed between its events, and not checked within them.
 *
 * Peers at the same offset, nearly all of them, get the same view of the log. A peer that is far
 * behind gets only one slice per turn, so that catching up does not block the loop. One that has
 * come to compressed history waits for a worker, and calls when it can go on.
 */
import type { Clock } from '../../base/clock.ts';
import { KIB, MIB } from '../../base/units.ts';
import { FLUSH_BYTES, FlushPolicy, FlushWhen, PACKET_BYTES } from '../../replication/fan-out.ts';
import type { StreamCursor } from '../../replication/log-cursor.ts';
import type { StreamLog } from '../../replication/stream-log.ts';

/**
 * Bytes per peer and flush. All peers together get at most FLUSH_TOTAL_BYTES, unless the minimum
 * per peer makes it more.
 */
const SLICE_BYTES_MAX = 256 * KIB;
const SLICE_BYTES_MIN = 64 * KIB;
const FLUSH_TOTAL_BYTES = 16 * MIB;

/** The part of a peer that the fan-out needs. */
export interface StreamTarget {
  /**
   * Writes the bytes of its cursor, at most `bytesMax`, unless a write is in flight. The last bytes
   * may stay for a later write, unless `all` is true. Returns the count of writes.
   */
  writeStream(bytesMax: number, all: boolean): number;
  readonly streamLag: number;
  readonly isWriting: boolean;
  /** The bytes that it lacks are not there now: it calls {@link FanOut.wake} when they are. */
  readonly isWaiting: boolean;
}

/** Makes a view of a slice for a socket to write. Peers at the same offset share it. */
class SliceViews {
  #bytes: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;
  #view: Buffer = Buffer.alloc(0);

  of(cursor: StreamCursor): Buffer {
    const { bytes, start, end } = cursor;
    if (bytes !== this.#bytes || start !== this.#start || end !== this.#end) {
      this.#bytes = bytes;
      this.#start = start;
      this.#end = end;
      this.#view = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start);
    }
    return this.#view;
  }
}

export class FanOut {
  readonly views = new SliceViews();
  /** Flushes and writes ever made, for INFO. */
  flushes = 0;
  writes = 0;
  readonly #log: StreamLog;
  readonly #clock: Clock;
  readonly #policy = new FlushPolicy();
  readonly #targets: StreamTarget[] = [];
  /** Targets with a write in flight. */
  #writing = 0;
  /** End of the log at the last flush. */
  #flushedOffset = 0;
  #immediate: NodeJS.Immediate | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  readonly #onImmediate = (): void => this.flush();
  readonly #onTimer = (): void => {
    this.#timer = undefined;
    this.#ask();
  };

  constructor(log: StreamLog, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  get targetCount(): number {
    return this.#targets.length;
  }

  /** Mean microseconds of the loop's time per write. */
  get writeUs(): number {
    return this.#policy.writeUs;
  }

  /** From now on `target` gets the stream. The bytes that it already lacks are sent at once. */
  add(target: StreamTarget): void {
    this.#targets.push(target);
    if (target.isWriting) this.#writing++;
    this.writes += target.writeStream(SLICE_BYTES_MAX, true);
    if (target.streamLag > 0 && !target.isWaiting) this.#askSoon();
  }

  /** The bytes that `target` has waited for are there. */
  wake(target: StreamTarget): void {
    if (!target.isWriting) this.writes += target.writeStream(SLICE_BYTES_MAX, true);
    if (target.streamLag > 0 && !target.isWaiting) this.#askSoon();
  }

  remove(target: StreamTarget): void {
    const index = this.#targets.indexOf(target);
    if (index < 0) return;
    this.#targets[index] = this.#targets[this.#targets.length - 1]!;
    this.#targets.pop();
    if (target.isWriting) this.#writing--;
  }

  /** The log may have grown. Costs at most two comparisons when it has not, or without targets. */
  turnEnded(): void {
    if (this.#targets.length === 0) return;
    const bytes = this.#log.endOffset - this.#flushedOffset;
    if (bytes === 0) return;
    if (this.#immediate !== undefined && bytes < FLUSH_BYTES) return;
    this.#ask();
  }

  /** Flushes because a client waits until replicas acknowledge what is in the log now. */
  flushUrgently(): void {
    this.#policy.askUrgent();
    this.flush();
  }

  flush(): void {
    if (this.#immediate !== undefined) {
      clearImmediate(this.#immediate);
      this.#immediate = undefined;
    }
    // For a lack of memory this ends the links of targets.
    this.#log.settle();
    const targets = this.#targets;
    if (targets.length === 0) return;
    const bytesMax = Math.max(
      SLICE_BYTES_MIN,
      Math.min(SLICE_BYTES_MAX, FLUSH_TOTAL_BYTES / targets.length),
    );
    const startUs = this.#clock.micros();
    let writes = 0;
    let behind = 0;
    const all = this.#policy.isUrgent;
    for (let i = 0; i < targets.length; i++) {
      const target = targets[i]!;
      if (target.isWriting || target.isWaiting) continue;
      writes += target.writeStream(bytesMax, all);
      if (!target.isWriting && !target.isWaiting) behind = Math.max(behind, target.streamLag);
    }
    this.#flushedOffset = this.#log.endOffset;
    this.#policy.flushed(startUs, this.#clock.micros(), writes);
    this.flushes++;
    this.writes += writes;
    // Less than a packet is the rest that a write has left for the next one: it may wait for more.
    if (behind >= PACKET_BYTES) this.#askSoon();
    else if (behind > 0) this.#ask();
  }

  /** A write of a target did not end at once. */
  writeBegan(): void {
    this.#writing++;
  }

  /** The write of a target that was not removed has ended. */
  writeEnded(target: StreamTarget): void {
    this.#writing--;
    const lag = target.streamLag;
    if (lag === 0) return;
    if (this.#policy.writeAgain(lag)) this.writes += target.writeStream(SLICE_BYTES_MAX, false);
    const goesOn = !target.isWriting && !target.isWaiting && target.streamLag > 0;
    if (goesOn && this.#timer === undefined) this.#ask();
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.#timer = undefined;
    this.#immediate = undefined;
  }

  #ask(): void {
    const bytes = this.#log.endOffset - this.#flushedOffset;
    const ready = this.#targets.length - this.#writing;
    switch (this.#policy.decide(this.#clock.micros(), bytes, ready)) {
      case FlushWhen.NOW:
        this.flush();
        break;
      case FlushWhen.TURN_END:
        this.#askSoon();
        break;
      case FlushWhen.LATER:
        this.#timer ??= setTimeout(this.#onTimer, Math.ceil(this.#policy.delayUs / 1000));
        break;
      default:
    }
  }

  #askSoon(): void {
    this.#immediate ??= setImmediate(this.#onImmediate);
  }
}
