/**
 * When the stream ended where: samples of its end, taken at each tick. They turn a replica's offset
 * into milliseconds of lag, and tell the present rate of writes.
 *
 *   offset ▲                     ● end now
 *          │          ●──●  ●───●
 *          │      ●──●
 *          │  ●──┘   ◀── lagMs ──▶
 *          └──────────────────────────▶ time
 *
 * While the stream stands still, the last sample's time moves on, so that a still stream takes two
 * samples. When all places are taken, every second sample goes: the memory is bounded, and the far
 * past is coarser. Times are those of the monotonic clock. Pure.
 */
import { assert } from '../base/assert.ts';

const SAMPLES_MAX = 1024;
/** The rate of writes is that of about this time, unless told otherwise. */
const RATE_MS = 2000;

export class StreamTimes {
  readonly #times: Float64Array;
  readonly #ends: Float64Array;
  #count = 0;

  constructor(samplesMax = SAMPLES_MAX) {
    assert(samplesMax >= 4 && samplesMax % 2 === 0, 'half of the samples can go');
    this.#times = new Float64Array(samplesMax);
    this.#ends = new Float64Array(samplesMax);
  }

  /** The stream ends at `endOffset` at `nowMs`. A smaller end begins another stream. */
  note(nowMs: number, endOffset: number): void {
    const last = this.#count - 1;
    if (last >= 0 && endOffset < this.#ends[last]!) this.#count = 0;
    if (last > 0 && this.#ends[last] === endOffset && this.#ends[last - 1] === endOffset) {
      this.#times[last] = nowMs;
      return;
    }
    if (this.#count === this.#times.length) this.#thin();
    this.#times[this.#count] = nowMs;
    this.#ends[this.#count] = endOffset;
    this.#count++;
  }

  /**
   * Milliseconds since the byte behind `offset` came, for a stream that ends at `endOffset` now: 0
   * when there is no such byte. A byte older than all samples counts as as old as the oldest one.
   */
  lagMs(offset: number, endOffset: number, nowMs: number): number {
    if (offset >= endOffset || this.#count === 0) return 0;
    const at = this.#lastUpTo(this.#ends, offset);
    if (at < 0) return Math.max(0, nowMs - this.#times[0]!);
    const fromMs = this.#times[at]!;
    const isLast = at + 1 === this.#count;
    const toMs = isLast ? nowMs : this.#times[at + 1]!;
    const toEnd = isLast ? endOffset : this.#ends[at + 1]!;
    const from = this.#ends[at]!;
    const cameMs = fromMs + ((toMs - fromMs) * (offset - from)) / Math.max(1, toEnd - from);
    return Math.max(0, nowMs - cameMs);
  }

  /**
   * Bytes per second that were written in the last `overMs`, for a stream that ends at `endOffset`
   * now.
   */
  rate(endOffset: number, nowMs: number, overMs = RATE_MS): number {
    if (this.#count === 0) return 0;
    const at = Math.max(0, this.#lastUpTo(this.#times, nowMs - overMs));
    const ms = nowMs - this.#times[at]!;
    return ms <= 0 ? 0 : (Math.max(0, endOffset - this.#ends[at]!) * 1000) / ms;
  }

  /** Index of the last sample that is at most `value`, or -1. */
  #lastUpTo(samples: Float64Array, value: number): number {
    let low = -1;
    let high = this.#count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (samples[middle]! <= value) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #thin(): void {
    const half = this.#count / 2;
    for (let i = 0; i < half; i++) {
      this.#times[i] = this.#times[2 * i]!;
      this.#ends[i] = this.#ends[2 * i]!;
    }
    this.#count = half;
  }
}

/** A moving mean of bytes per second, from a count that grows. */
export class RateMeter {
  /** Bytes per second. */
  rate = 0;
  #total = -1;
  #ms = 0;

  /**
   * The count is `total` at `nowMs`. Two samples that are closer than `gapMs` are one. The mean
   * forgets half in about 0.7 times `meanMs`.
   */
  sample(nowMs: number, total: number, meanMs = 1000, gapMs = 50): void {
    if (this.#total < 0 || total < this.#total) {
      this.#total = total;
      this.#ms = nowMs;
      return;
    }
    const ms = nowMs - this.#ms;
    if (ms < gapMs) return;
    const present = ((total - this.#total) * 1000) / ms;
    this.rate += (present - this.rate) * (1 - Math.exp(-ms / meanMs));
    this.#total = total;
    this.#ms = nowMs;
  }
}
