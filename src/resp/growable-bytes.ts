/**
 * An array of bytes that grows by appending, and its filled length. Stale after any append:
 * `bytes`.
 */
import { KIB } from '../base/units.ts';

const BYTES_MIN = KIB;

export class GrowableBytes {
  bytes: Uint8Array = new Uint8Array(0);
  size = 0;

  /** Makes room for `bytes` more bytes. The array doubles, so appending takes linear time. */
  reserve(bytes: number): void {
    const needed = this.size + bytes;
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2, BYTES_MIN));
    grown.set(this.bytes.subarray(0, this.size));
    this.bytes = grown;
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.size);
    this.size += bytes.length;
  }

  /** Returns a view of the filled bytes. */
  view(): Uint8Array {
    return this.bytes.subarray(0, this.size);
  }

  clear(): void {
    this.size = 0;
  }
}
