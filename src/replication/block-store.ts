/**
 * Memory for compressed blocks of the log, in order of their age.
 *
 *   slab      │ block 1 │ block 2 │ blo│   │ck 3 │ block 4 │     free     │
 *             ▲ oldest, freed first          ▲ a block may lie in several slabs
 *
 * Slabs have one size and go back to the owner of shared memory, which reuses them: compressed
 * blocks have any size, and as buffers of their own they would be garbage all the time. A slab goes
 * back when no block lies in it any more.
 *
 * Main thread. A worker reads the pieces of a block while a cursor keeps the block.
 */
import { assert } from '../base/assert.ts';
import { copyBytes, withView } from '../base/byte-copy.ts';
import { MemoryKind, type SharedMemory } from '../base/shared-memory.ts';
import { MIB } from '../base/units.ts';

export const SLAB_BYTES = MIB;

interface Slab {
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /** Pieces in it. */
  pieces: number;
}

/** Bytes of a block in one slab. */
export interface Piece {
  readonly slab: Slab;
  readonly start: number;
  readonly length: number;
}

/** A compressed block. */
export interface Packed {
  readonly pieces: readonly Piece[];
  readonly bytes: number;
  /** Checksum of the block before it was compressed, two words of 32 bits. */
  readonly crcLow: number;
  readonly crcHigh: number;
}

export class BlockStore {
  readonly #memory: SharedMemory;
  /** The slab that is being filled, and how far. */
  #slab: Slab | undefined = undefined;
  #filled = 0;
  #slabs = 0;

  constructor(memory: SharedMemory) {
    this.#memory = memory;
  }

  /** Memory of the slabs. */
  get memoryBytes(): number {
    return this.#slabs * SLAB_BYTES;
  }

  /**
   * Copies bytes[0, length), a compressed block. Throws RangeError, and keeps nothing, when the
   * system refuses the memory.
   */
  put(bytes: Uint8Array, length: number, crcLow: number, crcHigh: number): Packed {
    const pieces: Piece[] = [];
    let from = 0;
    while (from < length) {
      const slab = this.#currentFor(pieces);
      const count = Math.min(length - from, SLAB_BYTES - this.#filled);
      copyBytes(bytes, from, slab.bytes, this.#filled, count);
      pieces.push({ slab, start: this.#filled, length: count });
      slab.pieces++;
      this.#filled += count;
      from += count;
    }
    return { pieces, bytes: length, crcLow, crcHigh };
  }

  free(packed: Packed): void {
    for (const { slab } of packed.pieces) {
      slab.pieces--;
      assert(slab.pieces >= 0, 'a compressed block is freed once');
      if (slab.pieces > 0) continue;
      if (slab === this.#slab) this.#filled = 0;
      else this.#giveBack(slab);
    }
  }

  /** Gives the slab that is being filled back, when nothing lies in it. */
  trim(): void {
    if (this.#slab === undefined || this.#slab.pieces > 0) return;
    this.#giveBack(this.#slab);
    this.#slab = undefined;
  }

  /** The slab to be filled. Frees the pieces of a block that cannot be continued. */
  #currentFor(pieces: readonly Piece[]): Slab {
    try {
      return this.#current();
    } catch (error) {
      this.free({ pieces, bytes: 0, crcLow: 0, crcHigh: 0 });
      throw error;
    }
  }

  #current(): Slab {
    if (this.#slab !== undefined && this.#filled < SLAB_BYTES) return this.#slab;
    const memory = this.#memory.take(MemoryKind.LOG, SLAB_BYTES);
    this.#slab = { bytes: withView(new Uint8Array(memory)), pieces: 0 };
    this.#filled = 0;
    this.#slabs++;
    return this.#slab;
  }

  #giveBack(slab: Slab): void {
    this.#slabs--;
    this.#memory.give(MemoryKind.LOG, slab.bytes.buffer);
  }
}
