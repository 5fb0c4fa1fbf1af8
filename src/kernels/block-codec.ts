/**
 * The door to the codec of blocks of the stream, which runs in WebAssembly: matches near those of
 * the command before, and Huffman codes. Its sources, with the format, are in `assembly/block/`.
 *
 * An instance belongs to the thread that made it and has 8.25 MiB of memory of its own. Blocks are
 * copied into it and out of it.
 */
import { readFileSync } from 'node:fs';
import { assert } from '../base/assert.ts';
import { packageUrl } from '../base/package-root.ts';
import { MIB } from '../base/units.ts';

/** The used part of the global. The types of Node 20 leave it out. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (module: WasmModule) => { readonly exports: CodecExports };
  readonly validate: (bytes: Uint8Array) => boolean;
};
type WasmModule = { readonly __brand: 'wasm module' };

/** The exports of `assembly/block/index.ts`. */
interface CodecExports {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly PLAIN: { readonly value: number };
  readonly PACKED: { readonly value: number };
  compress(bytes: number, packedMax: number): number;
  expand(packedBytes: number, bytes: number): number;
}

/** No block is larger. */
export const CODEC_BYTES_MAX = MIB;

const PLAIN = 0x180000;
const PACKED = 0x640000;

/** Read as the thread starts: later there may be no room for an open file. */
const moduleBytes = readFileSync(packageUrl('dist/kernels/block-codec.wasm'));

export class BlockCodec {
  readonly #wasm: CodecExports;
  readonly #memory: Uint8Array;

  private constructor(module: WasmModule) {
    this.#wasm = new WebAssembly.Instance(module).exports;
    this.#memory = new Uint8Array(this.#wasm.memory.buffer);
    assert(
      this.#wasm.PLAIN.value === PLAIN && this.#wasm.PACKED.value === PACKED,
      'block-codec.wasm is of another layout: build again',
    );
  }

  /**
   * Makes an instance. Returns undefined where the processor has no vectors. Throws RangeError when
   * the system refuses the memory.
   */
  static make(): BlockCodec | undefined {
    if (!WebAssembly.validate(moduleBytes)) return undefined;
    return new BlockCodec(new WebAssembly.Module(moduleBytes));
  }

  /**
   * Compresses `block`, of up to {@link CODEC_BYTES_MAX}. The result is a part of this codec's
   * memory: it is good until the next call. Returns undefined when it would be longer than
   * `bytesMax`. The same block always gives the same result.
   */
  compress(block: Uint8Array, bytesMax: number): Uint8Array | undefined {
    assert(block.length <= CODEC_BYTES_MAX, 'a block of up to 1 MiB');
    this.#memory.set(block, PLAIN);
    const bytes = this.#wasm.compress(block.length, Math.min(bytesMax, CODEC_BYTES_MAX));
    return bytes === 0 ? undefined : this.#memory.subarray(PACKED, PACKED + bytes);
  }

  /**
   * Expands a block of `bytes` bytes that {@link compress} has made; `pieces` follow each other.
   * Returns a part of this codec's memory, good until the next call, or undefined when the bytes are
   * damaged. The input is not trusted.
   */
  expand(pieces: readonly Uint8Array[], bytes: number): Uint8Array | undefined {
    assert(bytes <= CODEC_BYTES_MAX, 'a block of up to 1 MiB');
    let end = PACKED;
    for (const piece of pieces) {
      if (piece.length > PACKED + CODEC_BYTES_MAX - end) return undefined;
      this.#memory.set(piece, end);
      end += piece.length;
    }
    if (this.#wasm.expand(end - PACKED, bytes) === 0) return undefined;
    return this.#memory.subarray(PLAIN, PLAIN + bytes);
  }
}
