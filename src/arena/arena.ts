/**
 * Hot path. The memory of one dataset: segments of shared memory, an allocator that owns them, copy-on-write pages.
 *
 * One thread owns an arena and alone writes to it; other threads read a frozen image of it (image.ts). A worker may
 * fill an arena and hand it over with {@link Arena.share} and {@link Arena.adopt}; afterwards it must not touch it.
 * {@link Arena.drop} gives the whole dataset up, whatever its size, once no image of it is read.
 *
 * Whoever stores to `u8`, `i32` or `f64` calls {@link Arena.touch} first, except for an object allocated in the same
 * turn. The views of a segment are `u8[ref >>> SEGMENT_SHIFT]` and so on; positions in them come from layout.ts.
 */
import { assert, debugChecks } from '../base/assert.ts';
import { SharedMemory } from '../base/shared-memory.ts';
import type { Ref } from '../base/units.ts';
import { Allocator, type AllocatorShare, newAllocatorShare } from './allocator.ts';
import { ImageCheck } from './image-check.ts';
import { PAGE_BYTES } from './layout.ts';
import { type Freeze, Pages, type ShadowListener } from './pages.ts';
import { adoptSegment, dropSegment, Segment, type SegmentShare } from './segment.ts';

export interface ArenaShare {
  readonly segments: readonly SegmentShare[];
  readonly allocator: AllocatorShare;
  /** Of the last image: the marks of the segments remember it. */
  readonly epoch: number;
}

/** What a reader on another thread needs for an image; chunks of shadow pages follow by message. */
export interface ImageShare {
  readonly segments: readonly SegmentShare[];
  readonly epoch: number;
  readonly words: SharedArrayBuffer;
}

export class Arena {
  readonly u8: Uint8Array[] = [];
  readonly i32: Int32Array[] = [];
  readonly f64: Float64Array[] = [];
  readonly #pages: Pages;
  readonly #allocator: Allocator;
  /** In tests, checks at each thaw that no write bypassed the barrier. */
  #check: ImageCheck | undefined;
  /** Nobody uses the dataset any more; an image of it may be read still. */
  #dropped = false;

  /** `memory` owns the segments; an arena without one has its own. */
  constructor(share?: ArenaShare, memory: SharedMemory = new SharedMemory()) {
    this.#pages = new Pages(share?.epoch ?? 0, memory);
    this.#allocator = new Allocator(this.#pages, share?.allocator ?? newAllocatorShare(), (number) =>
      this.#setViews(number),
    );
    for (const [number, segment] of (share?.segments ?? []).entries()) {
      adoptSegment(memory, segment);
      this.#pages.segments.push(new Segment(segment));
      this.#setViews(number);
    }
    this.#allocator.prepare();
  }

  /** Takes over an arena that another thread has filled and will not touch again. */
  static adopt(share: ArenaShare, memory?: SharedMemory): Arena {
    return new Arena(share, memory);
  }

  /** The owner of its memory. */
  get memory(): SharedMemory {
    return this.#pages.memory;
  }

  /** Sum of the sizes of all objects, rounded up as the allocator does. */
  get usedBytes(): number {
    return this.#allocator.usedBytes;
  }

  /** Bytes of the pages that hold objects. */
  get pageUseBytes(): number {
    return this.#allocator.pageUseBytes;
  }

  /** The most that {@link pageUseBytes} has been: about the memory that is resident. */
  get residentBytes(): number {
    return this.#allocator.pageUsePeakBytes;
  }

  get frozen(): boolean {
    return this.#pages.frozenEpoch !== 0;
  }

  /** Pages copied for the running image, or for the last one. */
  get shadowPages(): number {
    return this.#pages.shadowPages;
  }

  /** Bytes of the pages that are copied for the running image; 0 without one. */
  get shadowBytes(): number {
    return this.frozen ? this.shadowPages * PAGE_BYTES : 0;
  }

  /** See {@link Allocator.alloc}. */
  alloc(bytes: number): Ref {
    return this.#allocator.alloc(bytes);
  }

  /** See {@link Allocator.free}. */
  free(ref: Ref): void {
    this.#allocator.free(ref);
  }

  /** Bytes that the object may use: at least what was asked for. */
  blockBytes(ref: Ref): number {
    return this.#allocator.blockBytes(ref);
  }

  /** The write barrier: to be called before bytes [from, from + bytes) of the object at `ref` are stored to. */
  touch(ref: number, from: number, bytes: number): void {
    this.#pages.touch(ref, from, bytes);
  }

  /** Begins an image of the present content, in constant time; see {@link Pages.freeze}. */
  freeze(shadowBytesMax: number, onChunk: ShadowListener, onLost: () => void): ImageShare {
    const freeze: Freeze = this.#pages.freeze(shadowBytesMax, onChunk, () => {
      this.#check = undefined;
      onLost();
      if (this.#dropped) this.#giveUp();
    });
    const image: ImageShare = {
      segments: this.#pages.segments.map((segment) => segment.share),
      epoch: freeze.epoch,
      words: freeze.words,
    };
    if (debugChecks) this.#check = new ImageCheck(this.#pages);
    return image;
  }

  /** Ends the image; all its readers have finished. */
  thaw(): void {
    this.#check?.verify();
    this.#check = undefined;
    this.#pages.thaw();
    if (this.#dropped) this.#giveUp();
  }

  /**
   * Gives the memory of the dataset up, at once or when its image is thawed. Nobody uses the dataset afterwards; it stays
   * readable for who has yet to let go of it. O(segments).
   */
  drop(): void {
    assert(!this.#dropped, 'a dataset is dropped once');
    this.#dropped = true;
    if (!this.frozen) this.#giveUp();
  }

  #giveUp(): void {
    let touched = this.residentBytes;
    for (const { share, pages } of this.#pages.segments) {
      const bytes = Math.min(touched, pages * PAGE_BYTES);
      touched -= bytes;
      if (pages > 0) dropSegment(this.memory, share, bytes);
    }
  }

  share(): ArenaShare {
    assert(!this.frozen, 'an arena is handed over while no image of it is read');
    return {
      segments: this.#pages.segments.map((segment) => segment.share),
      allocator: this.#allocator.share,
      epoch: this.#pages.epoch,
    };
  }

  validate(): void {
    this.#allocator.validate();
  }

  #setViews(number: number): void {
    const segment = this.#pages.segments[number]!;
    this.u8[number] = segment.u8;
    this.i32[number] = segment.i32;
    this.f64[number] = segment.f64;
  }
}
