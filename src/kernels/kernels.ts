/**
 * The door to the byte kernels: checksum, LZF and the dump's string form, in WebAssembly (sources
 * in `assembly/`).
 *
 *   memory   0            FREE_START                                memory.length
 *            │ the kernels' tables │ the caller's staging areas …         │
 *
 * An instance belongs to the thread that made it and holds one running checksum. Its memory never
 * grows, so `memory` and positions in it never go stale. Moving bytes between shared memory and
 * here is the caller's business. Hot path.
 */

import { readFileSync } from 'node:fs';
import { assert, debugAssert } from '../base/assert.ts';
import { copyBytes } from '../base/byte-copy.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';
import { packageUrl } from '../base/package-root.ts';

export { type Crc64, crc64, crc64Combine } from './plain-crc64.ts';

/** The part of the global that is used here; the types of Node 20 leave it out. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (module: WasmModule) => { readonly exports: KernelExports };
};
type WasmModule = { readonly __brand: 'wasm module' };

/** What `assembly/index.ts` exports. Unsigned results arrive as signed numbers. */
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

/** Where the caller's part of the memory begins. */
export const KERNELS_FREE_START = 0x20000;

const SCRATCH = 0x10000;
const SCRATCH_BYTES = KERNELS_FREE_START - SCRATCH;
const PAGE_BYTES = 65536;
const PAGES_MAX = 65536;
/** Below this many bytes a loop copies faster than `subarray` and `set`. */

let compiled: WasmModule | undefined;

/** Compiles once per thread. */
function kernelModule(): WasmModule {
  compiled ??= new WebAssembly.Module(readFileSync(packageUrl('dist/kernels/kernels.wasm')));
  return compiled;
}

/**
 * Throws ARENA_FULL when the system refuses the memory: V8 reserves some GiB of addresses for each
 * instance, which `ulimit -v` may not leave.
 */
function instantiate(): KernelExports {
  try {
    return new WebAssembly.Instance(kernelModule()).exports;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new OperatingError(ErrorCode.ARENA_FULL, 'the system refuses memory for WebAssembly');
  }
}

/** The byte kernels with a memory of their own. Each thread that needs one makes one. */
export class ByteKernels {
  /** The whole memory, the kernels' own tables included. */
  readonly memory: Uint8Array;
  /**
   * First position behind the kernels' own tables: callers lay out their staging areas from here.
   */
  readonly freeStart: number;
  readonly #wasm: KernelExports;

  /** `memoryBytes` counts from position 0, is rounded up to 64 KiB, and goes up to 4 GiB. */
  constructor(memoryBytes: number) {
    const pages = Math.ceil(memoryBytes / PAGE_BYTES);
    assert(
      pages * PAGE_BYTES >= KERNELS_FREE_START && pages <= PAGES_MAX,
      'memory of the kernels: 128 KiB to 4 GiB',
    );
    const wasm = instantiate();
    assert(wasm.SCRATCH.value === SCRATCH, 'kernels.wasm is of another layout: build again');
    assert(
      wasm.FREE_START.value === KERNELS_FREE_START,
      'kernels.wasm is of another layout: build again',
    );
    wasm.memory.grow(pages - wasm.memory.buffer.byteLength / PAGE_BYTES);
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
   * Adds `start` … `end` of foreign memory to the checksum; they pass through a scratch area of 64
   * KiB.
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
   * The low half of the checksum, unsigned: the first four bytes of a dump's trailer,
   * little-endian.
   */
  crcLow(): number {
    return this.#wasm.crcLow() >>> 0;
  }

  /** The high half of the checksum, unsigned. */
  crcHigh(): number {
    return this.#wasm.crcHigh() >>> 0;
  }

  /**
   * Compresses and returns the bytes written, or 0 when they would be more than `outBytesMax` (the
   * output area may have been written to then) or the input is empty. The same input gives the same
   * output. The areas are apart.
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
   * Decompresses and returns `outBytes`, or -1 when the input is corrupt, that is also when it does
   * not give exactly `outBytes`. The input is not trusted: nothing outside the two areas is read or
   * written. `outBytes` below 2^31.
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
   * Writes the dump's form of the string at `inPosition` and returns the bytes written: an integer
   * where the text is one, LZF where `compress` and it saves at least 4 bytes, else the text behind
   * its length. The output area needs `inBytes` + {@link RDB_STRING_ROOM_BYTES} bytes and lies
   * apart from the string.
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
   * Whether the area is the caller's: the kernels' tables are none, and the LZF search may look 16
   * KiB back.
   */
  #holds(position: number, bytes: number): boolean {
    return position >= KERNELS_FREE_START && bytes >= 0 && position + bytes <= this.memory.length;
  }
}
