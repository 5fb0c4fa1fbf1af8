/**
 * HyperLogLogs: strings of 16384 registers, which estimate the number of different elements that
 * were added. The bytes are those of Redis. The only state is in {@link HyperLogLog} and in the
 * results `choice` and `registerPatch`. For the thread that owns the dataset.
 *
 *   byte 0    "HYLL"
 *   byte 4    ENCODING   0 dense, 1 sparse
 *   byte 5    not used
 *   byte 8    CARD       u64 LE: the estimate, when bit 7 of byte 15 is clear
 *   byte 16   registers
 *
 *   dense     6 bits each, the first in the low bits of the first byte: 12288 bytes
 *   sparse    runs       00xxxxxx            ZERO    x + 1 registers are 0
 *                        01xxxxxx xxxxxxxx   XZERO   x + 1 registers are 0
 *                        1vvvvvxx            VAL     x + 1 registers are v + 1
 *
 * The low 14 bits of an element's hash select a register. The element raises it to at least the
 * number of zeros at the low end of the other bits, plus one. Estimates use Ertl's formula,
 * https://arxiv.org/abs/1702.01284. All of it follows hyperloglog.c, including the rules for
 * merging runs and for changing from sparse to dense, since replicas must compute the same bytes.
 */
import { Hash64, murmurHash64 } from '../base/murmur.ts';

export const REGISTERS = 16384;
export const HLL_HEADER_BYTES = 16;
export const HLL_DENSE_BYTES = HLL_HEADER_BYTES + (REGISTERS * 6) / 8;
export const HllEncoding = { DENSE: 0, SPARSE: 1 } as const;
export type HllEncoding = (typeof HllEncoding)[keyof typeof HllEncoding];
export const HLL_ENCODING_AT = 4;
export const HLL_CARD_AT = 8;
export const HLL_CARD_BYTES = 8;
/** The highest bit of this byte tells that CARD is stale. */
export const HLL_STALE_AT = 15;
export const HLL_STALE = 0x80;
/** No valid sparse HyperLogLog is longer, since every run has at least one register. */
export const HLL_SPARSE_BYTES_MAX = HLL_HEADER_BYTES + 2 * REGISTERS;

const MAGIC = [0x48, 0x59, 0x4c, 0x4c] as const;
const HASH_SEED = 0xadc83b19 | 0;
const REGISTER_BITS = 14;
const HASH_BITS = 50;
const REGISTER_MAX = 63;
const ALPHA_INFINITE = 0.7213475204444817;

const XZERO = 0x40;
const VAL = 0x80;
const ZERO_LENGTH_MAX = 64;
const VALUE_MAX = 32;
const VALUE_LENGTH_MAX = 4;
/**
 * The number of runs that are checked for a merge after a change, beginning with the run before it.
 */
const MERGED_RUNS = 5;
/** A split makes at most these bytes of one run: XZERO VAL XZERO. */
const SPLIT_BYTES_MAX = 5;

/** The result of {@link HyperLogLog.raise}. */
export const Raised = { NO: 0, YES: 1, CORRUPT: -1 } as const;
export type Raised = (typeof Raised)[keyof typeof Raised];

/** Returns whether the bytes look like a HyperLogLog. Does not check the runs of a sparse one. */
export function looksLikeHll(u8: Uint8Array, at: number, length: number): boolean {
  if (length < HLL_HEADER_BYTES) return false;
  for (let i = 0; i < MAGIC.length; i++) if (u8[at + i] !== MAGIC[i]) return false;
  const encoding = u8[at + HLL_ENCODING_AT]!;
  return encoding === HllEncoding.DENSE
    ? length === HLL_DENSE_BYTES
    : encoding === HllEncoding.SPARSE;
}

const hash = new Hash64();

/**
 * The register that an element selects, and the value that it must have at least. The next call of
 * {@link choose} overwrites it.
 */
export const choice = { register: 0, value: 0 };

/**
 * A change of one register of a dense HyperLogLog: `bytes` is to be written to bytes [at, at +
 * count). See {@link patch}.
 */
export const registerPatch = { at: 0, count: 0, bytes: new Uint8Array(2) };

export function choose(bytes: Uint8Array, start: number, length: number): void {
  murmurHash64(bytes, start, length, HASH_SEED, hash);
  choice.register = hash.low & (REGISTERS - 1);
  const low = (hash.low >>> REGISTER_BITS) | (hash.high << (32 - REGISTER_BITS));
  // One bit is set behind the last bit, so that the count of zeros ends there.
  const high = (hash.high >>> REGISTER_BITS) | (1 << (HASH_BITS - 32));
  choice.value = low !== 0 ? trailingZeros(low) + 1 : trailingZeros(high) + 33;
}

const trailingZeros = (word: number): number => 31 - Math.clz32(word & -word);

/** Returns a register of the dense HyperLogLog at `at`. */
export function denseRegister(u8: Uint8Array, at: number, register: number): number {
  const bit = register * 6;
  const byte = at + HLL_HEADER_BYTES + (bit >>> 3);
  const shift = bit & 7;
  // Bits behind the last register are shifted out.
  const next = shift > 2 ? u8[byte + 1]! : 0;
  return ((u8[byte]! | (next << 8)) >>> shift) & REGISTER_MAX;
}

/**
 * Sets {@link registerPatch} to the change that gives a register of the dense HyperLogLog at `at`
 * this value. Writes nothing.
 */
export function patch(u8: Uint8Array, at: number, register: number, value: number): void {
  const bit = register * 6;
  const shift = bit & 7;
  registerPatch.at = HLL_HEADER_BYTES + (bit >>> 3);
  registerPatch.count = shift > 2 ? 2 : 1;
  const byte = at + registerPatch.at;
  const both = u8[byte]! | ((shift > 2 ? u8[byte + 1]! : 0) << 8);
  const patched = (both & ~(REGISTER_MAX << shift)) | (value << shift);
  registerPatch.bytes[0] = patched;
  registerPatch.bytes[1] = patched >>> 8;
}

function setDenseRegister(u8: Uint8Array, at: number, register: number, value: number): void {
  patch(u8, at, register, value);
  for (let i = 0; i < registerPatch.count; i++)
    u8[at + registerPatch.at + i] = registerPatch.bytes[i]!;
}

const isVal = (run: number): boolean => run >= VAL;
const isXzero = (run: number): boolean => (run & 0xc0) === XZERO;
const runValue = (run: number): number => ((run >>> 2) & 31) + 1;
const valOf = (value: number, length: number): number => VAL | ((value - 1) << 2) | (length - 1);

/**
 * Returns the number of registers of the run at `at`. The second byte of an XZERO counts as 0 when
 * it lies beyond the end of the string.
 */
function runLength(u8: Uint8Array, at: number, end: number): number {
  const run = u8[at]!;
  if (isVal(run)) return (run & 3) + 1;
  if (isXzero(run)) return (((run & 0x3f) << 8) | (at + 1 < end ? u8[at + 1]! : 0)) + 1;
  return (run & 0x3f) + 1;
}

const runBytes = (run: number): number => (isXzero(run) ? 2 : 1);

/**
 * Called with the runs of a sparse HyperLogLog by {@link eachRun}. A run of zeros has the value 0.
 * `wide` tells that it is an XZERO.
 */
export type RunVisitor = (value: number, from: number, length: number, wide: boolean) => void;

/**
 * Visits all runs. Returns whether they are valid, that is, have exactly 16384 registers together.
 */
export function eachRun(u8: Uint8Array, at: number, length: number, visit: RunVisitor): boolean {
  if (length > HLL_SPARSE_BYTES_MAX) return false;
  const end = at + length;
  let register = 0;
  let p = at + HLL_HEADER_BYTES;
  while (p < end) {
    const run = u8[p]!;
    const registers = runLength(u8, p, end);
    if (register + registers > REGISTERS) return false;
    visit(isVal(run) ? runValue(run) : 0, register, registers, isXzero(run));
    register += registers;
    p += runBytes(run);
  }
  return register === REGISTERS;
}

/**
 * Raises each of `registers` to the value in the HyperLogLog at `at`. Returns whether that is
 * valid.
 */
export function mergeRegisters(
  u8: Uint8Array,
  at: number,
  length: number,
  registers: Uint8Array,
): boolean {
  if (u8[at + HLL_ENCODING_AT] === HllEncoding.DENSE) {
    for (let i = 0; i < REGISTERS; i++) {
      const value = denseRegister(u8, at, i);
      if (value > registers[i]!) registers[i] = value;
    }
    return true;
  }
  return eachRun(u8, at, length, (value, from, count) => {
    for (let i = from; i < from + count; i++) if (value > registers[i]!) registers[i] = value;
  });
}

/** Returns the estimate for the HyperLogLog at `at`, or NaN when it is not valid. */
export function estimate(u8: Uint8Array, at: number, length: number): number {
  const counts = new Int32Array(REGISTER_MAX + 1);
  if (u8[at + HLL_ENCODING_AT] === HllEncoding.DENSE) {
    for (let i = 0; i < REGISTERS; i++) counts[denseRegister(u8, at, i)]!++;
  } else {
    const valid = eachRun(u8, at, length, (value, _from, count) => {
      counts[value]! += count;
    });
    if (!valid) return Number.NaN;
  }
  return estimateOf(counts);
}

/** Returns the estimate for registers of one byte each. */
export function estimateRegisters(registers: Uint8Array): number {
  const counts = new Int32Array(REGISTER_MAX + 1);
  for (let i = 0; i < REGISTERS; i++) counts[registers[i]! & REGISTER_MAX]!++;
  return estimateOf(counts);
}

/** Returns the estimate. `counts` has the number of registers with each value. */
function estimateOf(counts: Int32Array): number {
  const m = REGISTERS;
  let z = m * tau((m - counts[HASH_BITS + 1]!) / m);
  for (let value = HASH_BITS; value >= 1; value--) {
    z += counts[value]!;
    z *= 0.5;
  }
  z += m * sigma(counts[0]! / m);
  return Math.round((ALPHA_INFINITE * m * m) / z);
}

function sigma(share: number): number {
  if (share === 1) return Number.POSITIVE_INFINITY;
  let x = share;
  let y = 1;
  let z = share;
  for (let before = -1; before !== z; ) {
    x *= x;
    before = z;
    z += x * y;
    y += y;
  }
  return z;
}

function tau(share: number): number {
  if (share === 0 || share === 1) return 0;
  let x = share;
  let y = 1;
  let z = 1 - share;
  for (let before = -1; before !== z; ) {
    x = Math.sqrt(x);
    before = z;
    y *= 0.5;
    z -= (1 - x) * (1 - x) * y;
  }
  return z / 3;
}

/** A copy of a HyperLogLog that is being changed, in its own memory. */
export class HyperLogLog {
  /** The HyperLogLog is bytes[0, length). */
  readonly bytes = new Uint8Array(HLL_SPARSE_BYTES_MAX + SPLIT_BYTES_MAX);
  length = 0;
  readonly #dense = new Uint8Array(HLL_DENSE_BYTES);
  readonly #split = new Uint8Array(SPLIT_BYTES_MAX);
  #splitBytes = 0;

  /** Begins an empty HyperLogLog, which is sparse. */
  create(): void {
    const { bytes } = this;
    bytes.fill(0, 0, HLL_HEADER_BYTES);
    bytes.set(MAGIC);
    bytes[HLL_ENCODING_AT] = HllEncoding.SPARSE;
    bytes[HLL_HEADER_BYTES] = XZERO | ((REGISTERS - 1) >>> 8);
    bytes[HLL_HEADER_BYTES + 1] = (REGISTERS - 1) & 0xff;
    this.length = HLL_HEADER_BYTES + 2;
  }

  /**
   * Copies bytes that {@link looksLikeHll} accepted. Returns false when they are longer than any
   * valid HyperLogLog.
   */
  load(u8: Uint8Array, at: number, length: number): boolean {
    if (length > HLL_SPARSE_BYTES_MAX) return false;
    this.bytes.set(u8.subarray(at, at + length));
    this.length = length;
    return true;
  }

  get dense(): boolean {
    return this.bytes[HLL_ENCODING_AT] === HllEncoding.DENSE;
  }

  /** Marks the estimate as stale. */
  markStale(): void {
    this.bytes[HLL_STALE_AT]! |= HLL_STALE;
  }

  /** Makes it dense. Returns false and changes nothing when it is not valid. */
  toDense(): boolean {
    if (this.dense) return true;
    const { bytes } = this;
    const dense = this.#dense;
    dense.fill(0);
    const valid = eachRun(bytes, 0, this.length, (value, from, count) => {
      if (value === 0) return;
      for (let i = from; i < from + count; i++) setDenseRegister(dense, 0, i, value);
    });
    if (!valid) return false;
    for (let i = 0; i < HLL_HEADER_BYTES; i++) dense[i] = bytes[i]!;
    dense[HLL_ENCODING_AT] = HllEncoding.DENSE;
    bytes.set(dense);
    this.length = HLL_DENSE_BYTES;
    return true;
  }

  /**
   * Raises a register to at least `value`. A sparse HyperLogLog that would become longer than
   * `sparseBytesMax` becomes dense.
   */
  raise(register: number, value: number, sparseBytesMax: number): Raised {
    if (!this.dense) return this.#raiseSparse(register, value, sparseBytesMax);
    if (denseRegister(this.bytes, 0, register) >= value) return Raised.NO;
    setDenseRegister(this.bytes, 0, register, value);
    return Raised.YES;
  }

  #raiseSparse(register: number, value: number, sparseBytesMax: number): Raised {
    if (value > VALUE_MAX) return this.#promote(register, value);
    const { bytes, length: end } = this;
    let before = -1;
    let at = HLL_HEADER_BYTES;
    let first = 0;
    let span = 0;
    while (at < end) {
      span = runLength(bytes, at, end);
      if (register < first + span) break;
      before = at;
      at += runBytes(bytes[at]!);
      first += span;
    }
    if (at >= end) return Raised.CORRUPT;
    const run = bytes[at]!;
    if (isVal(run) && runValue(run) >= value) return Raised.NO;
    const oldBytes = runBytes(run);
    if (at + oldBytes > end) return Raised.CORRUPT;
    if (span === 1 && oldBytes === 1) {
      bytes[at] = valOf(value, 1);
    } else {
      this.#splitRun(run, register - first, first + span - 1 - register, value);
      const longer = this.#splitBytes - oldBytes;
      if (longer > 0 && end + longer > Math.min(sparseBytesMax, HLL_SPARSE_BYTES_MAX))
        return this.#promote(register, value);
      bytes.copyWithin(at + this.#splitBytes, at + oldBytes, end);
      for (let i = 0; i < this.#splitBytes; i++) bytes[at + i] = this.#split[i]!;
      this.length = end + longer;
    }
    this.#mergeRuns(before < 0 ? HLL_HEADER_BYTES : before);
    this.markStale();
    return Raised.YES;
  }

  #promote(register: number, value: number): Raised {
    if (!this.toDense()) return Raised.CORRUPT;
    setDenseRegister(this.bytes, 0, register, value);
    return Raised.YES;
  }

  /**
   * Builds the runs that replace `run` when one of its registers gets `value`. `left` registers of
   * the run are before that register and `right` are behind it.
   */
  #splitRun(run: number, left: number, right: number, value: number): void {
    this.#splitBytes = 0;
    this.#appendRun(run, left);
    this.#split[this.#splitBytes++] = valOf(value, 1);
    this.#appendRun(run, right);
  }

  /** Appends a run of the same kind as `run` with another length. Appends nothing for length 0. */
  #appendRun(run: number, length: number): void {
    const split = this.#split;
    if (length === 0) return;
    if (isVal(run)) {
      split[this.#splitBytes++] = valOf(runValue(run), length);
    } else if (length > ZERO_LENGTH_MAX) {
      split[this.#splitBytes++] = XZERO | ((length - 1) >>> 8);
      split[this.#splitBytes++] = (length - 1) & 0xff;
    } else {
      split[this.#splitBytes++] = length - 1;
    }
  }

  /** Merges neighbouring runs of equal value among the first runs from `at` on. */
  #mergeRuns(at: number): void {
    const { bytes } = this;
    for (let left = MERGED_RUNS; left > 0 && at < this.length; left--) {
      const run = bytes[at]!;
      const next = at + 1 < this.length ? bytes[at + 1]! : 0;
      if (isVal(run) && isVal(next) && runValue(run) === runValue(next)) {
        const length = (run & 3) + (next & 3) + 2;
        if (length <= VALUE_LENGTH_MAX) {
          // The merged run is checked once more, together with the run that follows it.
          bytes[at + 1] = valOf(runValue(run), length);
          bytes.copyWithin(at, at + 1, this.length);
          this.length--;
          continue;
        }
      }
      at += runBytes(run);
    }
  }
}
