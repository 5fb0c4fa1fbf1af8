/**
 * Hot path. The door to the byte kernels, which run in WebAssembly: checksum, LZF and the string
 * form of dumps. Their sources are in `assembly/`.
 *
 *   memory   0            FREE_START                                memory.length
 *            │ the kernels' tables │ the caller's staging areas …         │
 *
 * An instance belongs to the thread that made it and holds one running checksum. Its memory never
 * grows, so `memory` and positions in it never go stale. The caller moves bytes between shared
 * memory and this memory.
 */

import { readFileSync } from 'node:fs';
import { assert, debugAssert } from '../base/assert.ts';
import { copyBytes } from '../base/byte-copy.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';
import { packageUrl } from '../base/package-root.ts';

export { type Crc64, crc64, crc64Combine } from './plain-crc64.ts';

/** The used part of the global. The types of Node 20 leave it out. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (module: WasmModule) => { readonly exports: KernelExports };
};
type WasmModule = { readonly __brand: 'wasm module' };

/** The exports of `assembly/index.ts`. Unsigned results arrive as signed numbers. */
interface KernelExports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  readonly SCRATCH: { readonly value: number };
  readonly FREE_START: { readonly value: number };
  crcPrepare(): void;
  crcReset(): void;
  crcUpdate(position: number, bytes: number): void;
  crcLow(): number;
  crcHigh(): number;
  lzfCompress(
    inPosition: number,
    inBytes: number,
    outPosition: number,
    outBytesMax: number,
  ): number;
  lzfDecompress(inPosition: number, inBytes: number, outPosition: number, outBytes: number): number;
  rdbString(inPosition: number, inBytes: number, outPosition: number, compress: number): number;
}

/**
 * The bytes that the output area of {@link ByteKernels.rdbString} needs beyond those of the string.
 */
export const RDB_STRING_ROOM_BYTES = 16;

/** First position of the caller's part of the memory. */
export const KERNELS_FREE_START = 0x20000;

const SCRATCH = 0x10000;
const SCRATCH_BYTES = KERNELS_FREE_START - SCRATCH;
const PAGE_BYTES = 65536;
const PAGES_MAX = 65536;

let compiled: WasmModule | undefined;

/** Compiles once per thread. */
function kernelModule(): WasmModule {
  compiled ??= new WebAssembly.Module(readFileSync(packageUrl('dist/kernels/kernels.wasm')));
  return compiled;
}

/**
 * An instance with `pages` pages of memory. Throws ARENA_FULL when the system refuses the memory: V8
 * reserves some GiB of addresses for each instance, which `ulimit -v` may not leave.
 */
function instantiate(pages: number): KernelExports {
  try {
    const wasm = new WebAssembly.Instance(kernelModule()).exports;
    wasm.memory.grow(pages - wasm.memory.buffer.byteLength / PAGE_BYTES);
    return wasm;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new OperatingError(ErrorCode.ARENA_FULL, 'the system refuses memory for WebAssembly');
  }
}

/** The byte kernels with their own memory. Each thread that needs them makes an instance. */
export class ByteKernels {
  /** The whole memory, including the kernels' own tables. */
  readonly memory: Uint8Array;
  /**
   * First position behind the kernels' own tables. Callers lay out their staging areas from here
   * on.
   */
  readonly freeStart: number;
  readonly #wasm: KernelExports;

  /**
   * Makes an instance. `memoryBytes` counts from position 0, is rounded up to 64 KiB, and is at
   * most 4 GiB. Throws ARENA_FULL when the system refuses the memory.
   */
  constructor(memoryBytes: number) {
    const pages = Math.ceil(memoryBytes / PAGE_BYTES);
    assert(
      pages * PAGE_BYTES >= KERNELS_FREE_START && pages <= PAGES_MAX,
      'memory of the kernels: 128 KiB to 4 GiB',
    );
    const wasm = instantiate(pages);
    assert(wasm.SCRATCH.value === SCRATCH, 'kernels.wasm is of another layout: build again');
    assert(
      wasm.FREE_START.value === KERNELS_FREE_START,
      'kernels.wasm is of another layout: build again',
    );
    wasm.crcPrepare();
    this.memory = new Uint8Array(wasm.memory.buffer);
    this.freeStart = KERNELS_FREE_START;
    this.#wasm = wasm;
  }

  /** Begins a new checksum. */
  crcReset(): void {
    this.#wasm.crcReset();
  }

  /** Adds `bytes` bytes of the memory to the checksum. */
  crcUpdate(position: number, bytes: number): void {
    assert(this.#holds(position, bytes), 'checksum of bytes inside the memory');
    this.#wasm.crcUpdate(position, bytes);
  }

  /**
   * Adds `start` … `end` of other memory to the checksum. The bytes are copied through a scratch
   * area of 64 KiB.
   */
  crcUpdateFrom(bytes: Uint8Array, start: number, end: number): void {
    assert(0 <= start && start <= end && end <= bytes.length, 'checksum of bytes inside the array');
    const memory = this.memory;
    for (let at = start; at < end; ) {
      const slice = Math.min(end - at, SCRATCH_BYTES);
      copyBytes(bytes, at, memory, SCRATCH, slice);
      this.#wasm.crcUpdate(SCRATCH, slice);
      at += slice;
    }
  }

  /**
   * Returns the low half of the checksum, unsigned. It is the first four bytes of a dump's trailer,
   * little-endian.
   */
  crcLow(): number {
    return this.#wasm.crcLow() >>> 0;
  }

  /** Returns the high half of the checksum, unsigned. */
  crcHigh(): number {
    return this.#wasm.crcHigh() >>> 0;
  }

  /**
   * Compresses and returns the number of bytes written. Returns 0 when the input is empty or the
   * result would be longer than `outBytesMax`; then the output area may have been written to. The
   * same input always gives the same output. The areas must not overlap.
   */
  lzfCompress(
    inPosition: number,
    inBytes: number,
    outPosition: number,
    outBytesMax: number,
  ): number {
    assert(
      this.#holds(inPosition, inBytes) && this.#holds(outPosition, outBytesMax),
      'compress inside the memory',
    );
    return this.#wasm.lzfCompress(inPosition, inBytes, outPosition, outBytesMax) >>> 0;
  }

  /**
   * Decompresses and returns `outBytes`, or -1 when the input is corrupt or does not give exactly
   * `outBytes`. The input is not trusted: nothing outside the two areas is read or written.
   * `outBytes` must be below 2^31.
   */
  lzfDecompress(
    inPosition: number,
    inBytes: number,
    outPosition: number,
    outBytes: number,
  ): number {
    assert(
      this.#holds(inPosition, inBytes) && this.#holds(outPosition, outBytes),
      'decompress inside the memory',
    );
    assert(outBytes <= 0x7fffffff, 'decompress below 2 GiB');
    return this.#wasm.lzfDecompress(inPosition, inBytes, outPosition, outBytes);
  }

  /**
   * Writes the dump's form of the string at `inPosition` and returns the number of bytes written.
   * An integer text becomes an integer. With `compress`, LZF is used if it saves at least 4 bytes.
   * Otherwise the text follows its length. The output area needs `inBytes` +
   * {@link RDB_STRING_ROOM_BYTES} bytes and must not overlap the string.
   */
  rdbString(inPosition: number, inBytes: number, outPosition: number, compress: boolean): number {
    debugAssert(this.#holds(inPosition, inBytes), 'a string inside the memory');
    debugAssert(
      this.#holds(outPosition, inBytes + RDB_STRING_ROOM_BYTES),
      'room for the string inside the memory',
    );
    return this.#wasm.rdbString(inPosition, inBytes, outPosition, compress ? 1 : 0) >>> 0;
  }

  /**
   * Returns whether the area is in the caller's part of the memory. It must be behind the kernels'
   * tables, also because the LZF search may read 16 KiB before it.
   */
  #holds(position: number, bytes: number): boolean {
    return position >= KERNELS_FREE_START && bytes >= 0 && position + bytes <= this.memory.length;
  }
}
