/**
 * Hot path. The memory of one dataset: segments of shared memory, an allocator that owns them,
 * copy-on-write pages.
 *
 * One thread owns an arena and alone writes to it; other threads read a frozen image of it
 * (image.ts). A worker may fill an arena and hand it over with {@link Arena.share} and
 * {@link Arena.adopt}; afterwards it must not touch it. Dropping the last reference to an arena
 * drops the whole dataset, whatever its size.
 *
 * Whoever stores to `u8`, `i32` or `f64` calls {@link Arena.touch} first, except for an object
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
import { adoptGroup, dropGroup, type Group, type GroupShare, NO_SEGMENT } from './segment.ts';

export interface ArenaOptions extends AllocatorOptions {
  /** The owner of its memory. */
  readonly memory?: SharedMemory;
}

export interface ArenaShare {
  readonly groups: readonly GroupShare[];
  readonly allocator: AllocatorShare;
  /** Of the last image: the marks of the segments remember it. */
  readonly epoch: number;
}

/** What a reader on another thread needs for an image; chunks of shadow pages follow by message. */
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
   * Groups of segments that were dropped so far. Whoever keeps views lets go of them when this has
   * changed.
   */
  groupsGone = 0;
  readonly #pages: Pages;
  readonly #allocator: Allocator;
  /** In tests, checks at each thaw that no write bypassed the barrier. */
  #check: ImageCheck | undefined;
  /** Nobody uses the dataset any more; an image of it may be read still. */
  #dropped = false;

  /** An arena without an owner of its memory has its own. */
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

  /** The most that {@link pageUseBytes} has been: about the memory that is resident. */
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
   * taken back. See unit.ts for the cost. What JavaScript objects know of the arena is theirs to
   * take back; see Keyspace.beginGuarded.
   */
  beginUnit(): void {
    this.#allocator.beginUnit();
  }

  commitUnit(): void {
    this.#allocator.commitUnit();
  }

  /**
   * Makes all objects and bytes what they were at {@link beginUnit}. Stale afterwards: refs of the
   * unit.
   */
  rollbackUnit(): void {
    this.#allocator.rollbackUnit();
  }

  /** See {@link Allocator.alloc}. */
  alloc(bytes: number): Ref {
    return this.#allocator.alloc(bytes);
  }

  /** As {@link alloc}; NIL when there is no memory: for what can be put off or left out. */
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

  /** Bytes that the object may use: at least what was asked for. */
  blockBytes(ref: Ref): number {
    return this.#allocator.blockBytes(ref);
  }

  /**
   * The write barrier: to be called before bytes [from, from + bytes) of the object at `ref` are
   * stored to.
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

  /** Ends the image; all its readers have finished. */
  thaw(): void {
    this.#check?.verify();
    this.#check = undefined;
    this.#pages.thaw();
    if (this.#dropped) this.#giveUp();
  }

  /**
   * Gives the memory of the dataset up, at once or when its image is thawed. Nobody uses the
   * dataset afterwards; it stays readable for who has yet to let go of it. O(segments).
   */
  drop(): void {
    assert(!this.#dropped, 'a dataset is dropped once');
    this.#dropped = true;
    if (!this.frozen) this.#giveUp();
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
