/**
 * Hot path. The memory of one dataset: segments of shared memory, an allocator that owns them,
 * copy-on-write pages.
 *
 * One thread owns an arena, and only that thread writes to it. Other threads read a frozen image of
 * it (image.ts). A worker may fill an arena and hand it over with {@link Arena.share} and
 * {@link Arena.adopt}; afterwards the worker must not touch it. Dropping the last reference to an
 * arena drops the whole dataset, whatever its size.
 *
 * Code that stores to `u8`, `i32` or `f64` calls {@link Arena.touch} first, except for an object
 * allocated in the same turn. The views of a segment are `u8[ref >>> SEGMENT_SHIFT]` and so on;
 * positions in them come from layout.ts.
 */
import { assert, debugChecks } from '../base/assert.ts';
import { codeOf, ErrorCode } from '../base/errors.ts';
import { SharedMemory } from '../base/shared-memory.ts';
import { NIL, type Ref } from '../base/units.ts';
import {
  Allocator,
  type AllocatorOptions,
  type AllocatorShare,
  newAllocatorShare,
} from './allocator.ts';
import { ImageCheck } from './image-check.ts';
import { PAGE_BYTES, SEGMENTS_MAX } from './layout.ts';
import { type Freeze, Pages, type ShadowListener } from './pages.ts';
import {
  adoptGroup,
  dropGroup,
  type Group,
  type GroupShare,
  NO_SEGMENT,
  passGroup,
} from './segment.ts';

export interface ArenaOptions extends AllocatorOptions {
  /** The owner of its memory. */
  readonly memory?: SharedMemory;
}

export interface ArenaShare {
  readonly groups: readonly GroupShare[];
  readonly allocator: AllocatorShare;
  /** The epoch of the last image: the marks of the segments hold it. */
  readonly epoch: number;
}

/**
 * The data that a reader on another thread needs for an image. Chunks of shadow pages follow by
 * message.
 */
export interface ImageShare {
  readonly groups: readonly GroupShare[];
  readonly epoch: number;
  readonly words: SharedArrayBuffer;
}

export class Arena {
  // By segment number, empty arrays where there is no segment. The arrays themselves never grow.
  readonly u8: Uint8Array[] = Array.from({ length: SEGMENTS_MAX }, () => NO_SEGMENT.u8);
  readonly i32: Int32Array[] = Array.from({ length: SEGMENTS_MAX }, () => NO_SEGMENT.i32);
  readonly f64: Float64Array[] = Array.from({ length: SEGMENTS_MAX }, () => NO_SEGMENT.f64);
  /** The bytes of `u8` as Buffers, for their native functions. */
  readonly buffers: Buffer[] = Array.from({ length: SEGMENTS_MAX }, () => NO_BUFFER);
  /**
   * The number of groups of segments dropped so far. Code that keeps views drops them when this has
   * changed.
   */
  groupsGone = 0;
  readonly #pages: Pages;
  readonly #allocator: Allocator;
  /** In tests, checks at each thaw that all writes used the barrier. */
  #check: ImageCheck | undefined;
  /** The dataset is no longer in use, but an image of it may still be read. */
  #dropped = false;

  /** Without `memory` the arena makes its own owner of memory. */
  constructor(share?: ArenaShare, options: ArenaOptions = {}) {
    const memory = options.memory ?? new SharedMemory();
    this.#pages = new Pages(share?.epoch ?? 0, memory);
    for (const group of share?.groups ?? []) adoptGroup(memory, group);
    this.#allocator = new Allocator(
      this.#pages,
      share?.allocator ?? newAllocatorShare(),
      share?.groups ?? [],
      options,
      (group, dropped) => this.#setViews(group, dropped),
    );
  }

  /** Takes over an arena that another thread has filled and will not touch again. */
  static adopt(share: ArenaShare, options: ArenaOptions = {}): Arena {
    return new Arena(share, options);
  }

  /** Sum of the sizes of all objects, rounded up as the allocator does. */
  get usedBytes(): number {
    return this.#allocator.usedBytes;
  }

  /** The owner of its memory. */
  get memory(): SharedMemory {
    return this.#pages.memory;
  }

  /** The greatest {@link pageUseBytes} so far: about the resident memory. */
  get residentBytes(): number {
    return this.#allocator.pageUsePeakBytes;
  }

  /** Bytes of the pages that are copied for the running image; 0 without one. */
  get shadowBytes(): number {
    return this.frozen ? this.shadowPages * PAGE_BYTES : 0;
  }

  /** Bytes of the pages that hold objects. */
  get pageUseBytes(): number {
    return this.#allocator.pageUseBytes;
  }

  get frozen(): boolean {
    return this.#pages.frozenEpoch !== 0;
  }

  /** Pages copied for the running image, or for the last one. */
  get shadowPages(): number {
    return this.#pages.shadowPages;
  }

  /** See {@link Allocator.isTight}. */
  get isTight(): boolean {
    return this.#allocator.isTight;
  }

  /** See {@link Allocator.ensure}. */
  ensure(bytes: number, longest: number): boolean {
    return this.#allocator.ensure(bytes, longest);
  }

  /** See {@link Allocator.prepareSpare}. */
  prepareSpare(): void {
    this.#allocator.prepareSpare();
  }

  get inUnit(): boolean {
    return this.#allocator.inUnit;
  }

  /**
   * Begins a guarded unit: until {@link commitUnit} or {@link rollbackUnit} all changes can be
   * taken back. See unit.ts for the cost. JavaScript objects must roll back their own knowledge of
   * the arena; see Keyspace.beginGuarded.
   */
  beginUnit(): void {
    this.#allocator.beginUnit();
  }

  commitUnit(): void {
    this.#allocator.commitUnit();
  }

  /**
   * Restores all objects and bytes as they were at {@link beginUnit}. Stale afterwards: refs of the
   * unit.
   */
  rollbackUnit(): void {
    this.#allocator.rollbackUnit();
  }

  /** See {@link Allocator.alloc}. */
  alloc(bytes: number): Ref {
    return this.#allocator.alloc(bytes);
  }

  /**
   * As {@link alloc}, but NIL when there is no memory: for objects that are optional or can wait.
   */
  tryAlloc(bytes: number): Ref {
    try {
      return this.#allocator.alloc(bytes);
    } catch (error) {
      if (codeOf(error) !== ErrorCode.ARENA_FULL) throw error;
      return NIL;
    }
  }

  /** See {@link Allocator.free}. */
  free(ref: Ref): void {
    this.#allocator.free(ref);
  }

  /** Bytes that the object may use: at least the requested size. */
  blockBytes(ref: Ref): number {
    return this.#allocator.blockBytes(ref);
  }

  /**
   * The write barrier. Must be called before a store to bytes [from, from + bytes) of the object at
   * `ref`.
   */
  touch(ref: number, from: number, bytes: number): void {
    this.#pages.touch(ref, from, bytes);
  }

  /** Begins an image of the present content, in constant time; see {@link Pages.freeze}. */
  freeze(shadowBytesMax: number, onChunk: ShadowListener, onLost: () => void): ImageShare {
    assert(!this.inUnit, 'a freeze is between commands');
    const freeze: Freeze = this.#pages.freeze(shadowBytesMax, onChunk, () => {
      this.#check = undefined;
      onLost();
      if (this.#dropped) this.#giveUp();
    });
    const image: ImageShare = {
      groups: this.#allocator.groups.map((group) => group.share),
      epoch: freeze.epoch,
      words: freeze.words,
    };
    if (debugChecks) this.#check = new ImageCheck(this.#pages, this.#allocator.groups);
    return image;
  }

  /** Ends the image. All its readers must have finished. */
  thaw(): void {
    this.#check?.verify();
    this.#check = undefined;
    this.#pages.thaw();
    if (this.#dropped) this.#giveUp();
  }

  /**
   * Gives up the memory of the dataset, at once or when its image is thawed. The dataset must not
   * be used afterwards; it stays readable for code that still holds it. O(segments).
   */
  drop(): void {
    assert(!this.#dropped, 'a dataset is dropped once');
    this.#dropped = true;
    if (!this.frozen) this.#giveUp();
  }

  /**
   * Gives up the memory of the dataset, as {@link drop} does, except for a segment: emptied, it is
   * returned for an arena of the same owner of memory. This needs no memory. No image may be read.
   */
  salvage(): ArenaShare {
    assert(!this.frozen && !this.inUnit, 'an arena is emptied while nobody is at work on it');
    assert(!this.#dropped, 'a dataset is dropped once');
    this.#dropped = true;
    const kept = this.#allocator.salvage();
    for (const group of this.#allocator.groups) {
      if (group === kept) passGroup(this.memory, group.share);
      else dropGroup(this.memory, group.share, group.touchedPages * PAGE_BYTES);
    }
    return {
      groups: [kept.share],
      allocator: this.#allocator.share,
      epoch: this.#pages.epoch,
    };
  }

  #giveUp(): void {
    for (const { share, touchedPages } of this.#allocator.groups) {
      dropGroup(this.memory, share, touchedPages * PAGE_BYTES);
    }
  }

  share(): ArenaShare {
    assert(!this.frozen && !this.inUnit, 'an arena is handed over while nobody is at work on it');
    return {
      groups: this.#allocator.groups.map((group) => group.share),
      allocator: this.#allocator.share,
      epoch: this.#pages.epoch,
    };
  }

  validate(): void {
    this.#allocator.validate();
  }

  #setViews(group: Group, dropped: boolean): void {
    if (dropped) this.groupsGone++;
    for (const [index, own] of group.segments.entries()) {
      const number = group.first + index;
      const segment = dropped ? NO_SEGMENT : own;
      const { u8 } = segment;
      this.u8[number] = u8;
      this.i32[number] = segment.i32;
      this.f64[number] = segment.f64;
      this.buffers[number] = dropped
        ? NO_BUFFER
        : Buffer.from(u8.buffer, u8.byteOffset, u8.byteLength);
    }
  }
}

const NO_BUFFER = Buffer.alloc(0);
