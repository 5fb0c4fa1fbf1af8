/**
 * Hot path. The arena's allocator: slabs of one size class for small objects, runs of pages for all
 * others. All bookkeeping lies outside the data pages, so that freeing an object dirties none of
 * them. It is in shared memory, so that a worker can fill an arena and hand it over.
 *
 *   groups (layout.ts)   from number 0 up                           from the last number down
 *                        plain │ plain │ plain │ spare │ · · · · · │ large    │ large          │
 *
 * Memory goes back to the system with its group: a large group when its last object is freed, a
 * plain group when it is empty and another empty one, the spare, exists. The spare is reserved as
 * soon as the previous one gets objects. So a command that needs little does not fail when the
 * system refuses memory: it finds 64 MiB of addresses, and the next command learns of it
 * (`isTight`).
 *
 * While a guarded unit (unit.ts) is on, frees of older objects are delayed to its end.
 *
 *   heads   word c               number + 1 of the first slab of class c that has a free object
 *   used    USED_BYTES           sum of the sizes of all objects, rounded up to their class or page
 *           PAGE_USE_BYTES       bytes of pages in slabs and runs
 *           UNIT                 number of the last guarded unit
 *           PAGE_USE_PEAK        the greatest PAGE_USE_BYTES so far, without large groups: touched
 *                                pages
 */
import { assert } from '../base/assert.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';
import { asRef, type Ref } from '../base/units.ts';
import { validateGroup } from './group-check.ts';
import {
  BLOCK_GRANULES,
  BLOCK_PAGES,
  GRANULE_BYTES,
  groupSegmentsFor,
  LARGE_BYTES_MAX,
  LARGE_PAGES_MAX,
  OBJECT_BYTES_MAX,
  PAGE_BYTES,
  SEGMENT_BLOCKS,
  SEGMENT_BYTES,
  SEGMENT_MASK,
  SEGMENT_PAGES,
  SEGMENT_SHIFT,
  SEGMENTS_MAX,
} from './layout.ts';
import { clearBits, firstFree, firstUsed, setBits } from './page-bitmap.ts';
import type { Pages } from './pages.ts';
import {
  BITMAP_WORDS_PER_BLOCK,
  dropGroup,
  Group,
  type GroupShare,
  NO_SEGMENT,
  reserveGroup,
  type Segment,
  SLAB_INNER,
  SLAB_WORDS,
  SlabWord,
} from './segment.ts';
import {
  CLASS_COUNT,
  classBlocks,
  classBytes,
  classCapacity,
  classFor,
  classGranules,
  SMALL_BYTES_MAX,
} from './size-classes.ts';

const USED_BYTES = 0;
const PAGE_USE_BYTES = 1;
const UNIT = 2;
const PAGE_USE_PEAK = 3;
const USED_WORDS = 4;

const PAGE_GRANULES = PAGE_BYTES / GRANULE_BYTES;
const BLOCK_SHIFT = 13;
const SEGMENT_PAGE_SHIFT = 14;
/** Marks of units are 32-bit words. */
const UNIT_MAX = 2 ** 31 - 1;
/** With fewer free segment numbers than this, half a GiB of addresses, memory is tight. */
const TIGHT_SEGMENTS = 8;
/**
 * After a refusal {@link Allocator.prepareSpare} asks the system again at its next call, then at
 * every second, fourth, up to this one: a refusal costs V8 two collections, 190 ms.
 */
const TICKS_TO_ASK_MAX = 32;

export interface AllocatorShare {
  readonly heads: SharedArrayBuffer;
  readonly used: SharedArrayBuffer;
}

/** Throws ARENA_FULL when the system refuses the memory. */
export function newAllocatorShare(): AllocatorShare {
  try {
    return {
      heads: new SharedArrayBuffer(CLASS_COUNT * 4),
      used: new SharedArrayBuffer(USED_WORDS * 8),
    };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw full('the system refuses memory for an arena');
  }
}

export interface AllocatorOptions {
  /** The number of segment numbers. Tests use fewer than SEGMENTS_MAX. */
  readonly segmentsMax?: number;
  /** For tests: called with the bytes of each allocation; tells whether to refuse it. */
  readonly refuses?: (bytes: number) => boolean;
}

export class Allocator {
  readonly share: AllocatorShare;
  /** All groups, in any order. */
  readonly groups: Group[] = [];
  readonly #pages: Pages;
  readonly #segments: Segment[];
  readonly #heads: Int32Array;
  readonly #used: Float64Array;
  readonly #onGroup: (group: Group, dropped: boolean) => void;
  readonly #segmentsMax: number;
  readonly #refuses: ((bytes: number) => boolean) | undefined;
  /** By segment number. */
  readonly #groupOf: (Group | undefined)[] = Array.from({ length: SEGMENTS_MAX }, () => undefined);
  #freeNumbers: number;
  /** An empty plain group. */
  #spare: Group | undefined;
  /** Whether the system has refused memory and has not given any since then. */
  #isRefused = false;
  /** The least count of segments that it has refused; it is not asked for as many or more. */
  #refusedCount = Number.POSITIVE_INFINITY;
  /** Calls of {@link prepareSpare} until the system is asked again, and after the next refusal. */
  #ticksToAsk = 0;
  #ticksBetween = 1;
  /** The group in which the last run was found, for each kind. */
  #lastPlain: Group | undefined;
  #lastLarge: Group | undefined;
  /** The page in its group of the run that {@link #search} has found. */
  #foundPage = 0;
  /** Whether each allocation needs an additional step: a unit notes it, or a test may refuse it. */
  #isWatched: boolean;
  #inUnit = false;
  /** Objects that the unit has allocated, and older ones that it has freed. */
  readonly #unitAllocated = new Set<Ref>();
  readonly #unitFreed: Ref[] = [];

  /**
   * `onGroup` is called for each group after its segments are put into `pages.segments` and after
   * they are taken out.
   */
  constructor(
    pages: Pages,
    share: AllocatorShare,
    groups: readonly GroupShare[],
    options: AllocatorOptions,
    onGroup: (group: Group, dropped: boolean) => void,
  ) {
    this.share = share;
    this.#pages = pages;
    this.#segments = pages.segments;
    this.#heads = new Int32Array(share.heads);
    this.#used = new Float64Array(share.used);
    this.#onGroup = onGroup;
    this.#segmentsMax = options.segmentsMax ?? SEGMENTS_MAX;
    this.#refuses = options.refuses;
    this.#isWatched = options.refuses !== undefined;
    this.#freeNumbers = this.#segmentsMax;
    for (const group of groups) this.#take(new Group(group));
    for (const group of this.groups)
      if (!group.isLarge && group.usedPages === 0) this.#spare = group;
    // Granule 0 of segment 0 is NIL, so its page is never allocated.
    if (this.groups.length === 0) {
      const first = this.#addGroup(1, false);
      if (first === undefined) throw full('the system refuses memory for the first segment');
      first.all.pageBitmap[0] = 1;
      first.usedPages = 1;
    }
  }

  get usedBytes(): number {
    return this.#used[USED_BYTES]!;
  }

  get pageUseBytes(): number {
    return this.#used[PAGE_USE_BYTES]!;
  }

  /** The greatest {@link pageUseBytes} so far, which is about the resident memory. */
  get pageUsePeakBytes(): number {
    return Math.max(this.#used[PAGE_USE_PEAK]!, this.pageUseBytes);
  }

  /**
   * Whether little memory is left: few numbers, no spare, or the system has refused memory. Units
   * must then be guarded.
   */
  get isTight(): boolean {
    return this.#spare === undefined || this.#isRefused || this.#freeNumbers < TIGHT_SEGMENTS;
  }

  get inUnit(): boolean {
    return this.#inUnit;
  }

  /**
   * Returns whether `bytes` more bytes are available, as far as this can be known in advance.
   * `longest` is the length of the longest object among them. For a long object this reserves the
   * memory, untouched, until the object is allocated or {@link prepareSpare} gives the memory back.
   */
  ensure(bytes: number, longest: number): boolean {
    if (longest <= LARGE_BYTES_MAX && bytes <= LARGE_BYTES_MAX && this.#spare !== undefined)
      return true;
    if (longest > OBJECT_BYTES_MAX) return false;
    if (this.usedBytes + bytes > this.#segmentsMax * SEGMENT_BYTES) return false;
    return (
      longest <= LARGE_BYTES_MAX ||
      this.#findGroup(Math.ceil(longest / PAGE_BYTES), 1) !== undefined
    );
  }

  /**
   * Must be called between commands. Reserves the spare again if it is gone, even when the system
   * has refused memory lately, though not every time, and gives back unused memory that
   * {@link ensure} has reserved.
   */
  prepareSpare(): void {
    // From the end, because the last group takes the place of a dropped one.
    for (let i = this.groups.length - 1; i >= 0; i--) {
      const group = this.groups[i]!;
      if (group.isLarge && group.usedPages === 0) this.#dropGroup(group);
    }
    if (this.#spare !== undefined && !this.#isRefused) return;
    if (this.#isRefused && this.#ticksToAsk-- > 0) return;
    this.#refusedCount = Number.POSITIVE_INFINITY;
    this.#reserveSpare();
    const between = this.#isRefused ? this.#ticksBetween : 0;
    this.#ticksToAsk = between;
    this.#ticksBetween = Math.min(Math.max(between * 2, 1), TICKS_TO_ASK_MAX);
  }

  /** Begins a guarded unit. Units do not nest. */
  beginUnit(): void {
    assert(!this.#inUnit, 'units do not nest');
    let unit = this.#used[UNIT]! + 1;
    if (unit > UNIT_MAX) {
      // The marks of earlier units have no meaning any more.
      for (const group of this.groups) group.all.unitMarks.fill(0);
      unit = 1;
    }
    this.#used[UNIT] = unit;
    this.#inUnit = true;
    this.#isWatched = true;
    this.#pages.beginUnit(unit);
  }

  /** Ends the unit and does the delayed frees. */
  commitUnit(): void {
    assert(this.#inUnit, 'a unit that ends has begun');
    this.#pages.endUnit(false);
    this.#leaveUnit();
    const freed = this.#unitFreed;
    for (let i = 0; i < freed.length; i++) this.free(freed[i]!);
    freed.length = 0;
    this.#unitAllocated.clear();
  }

  /** Ends the unit and restores the objects and their bytes from before it. */
  rollbackUnit(): void {
    assert(this.#inUnit, 'a unit that ends has begun');
    this.#pages.endUnit(true);
    this.#leaveUnit();
    for (const ref of this.#unitAllocated) this.free(ref);
    this.#unitAllocated.clear();
    this.#unitFreed.length = 0;
  }

  #leaveUnit(): void {
    this.#inUnit = false;
    this.#isWatched = this.#refuses !== undefined;
  }

  /**
   * Returns a new object of at least `bytes` bytes whose content is undefined. All of it may be
   * written in this turn without {@link Pages.touch}. Throws ARENA_FULL when there is no memory.
   */
  alloc(bytes: number): Ref {
    if (this.#isWatched) return this.#allocWatched(bytes);
    return this.#alloc(bytes);
  }

  #allocWatched(bytes: number): Ref {
    if (this.#refuses?.(bytes)) throw full('the test refuses memory');
    const ref = this.#alloc(bytes);
    if (this.#inUnit) this.#unitAllocated.add(ref);
    return ref;
  }

  #alloc(bytes: number): Ref {
    if (bytes > SMALL_BYTES_MAX) return this.#allocLarge(bytes);
    const index = classFor(bytes);
    const slab = this.#heads[index]! - 1;
    return this.#takeFrom(slab >= 0 ? slab : this.#newSlab(index), index);
  }

  /** Frees an object. Its bytes stay as they are, because an image may still read them. */
  free(ref: Ref): void {
    assert(ref > 0, 'free of no object');
    if (this.#inUnit && !this.#unitAllocated.delete(ref)) {
      this.#unitFreed.push(ref);
      return;
    }
    const segment = this.#segments[ref >>> SEGMENT_SHIFT]!;
    const block = (ref & SEGMENT_MASK) >>> BLOCK_SHIFT;
    const kind = segment.slabs[block * SLAB_WORDS + SlabWord.KIND]!;
    if (kind === 0) this.#freeRun(segment, ref);
    else this.#freeSmall(segment, ref, kind === SLAB_INNER ? block & ~3 : block);
  }

  /** Bytes that the object at `ref` may use: the requested size, rounded up. */
  blockBytes(ref: Ref): number {
    const segment = this.#segments[ref >>> SEGMENT_SHIFT]!;
    const block = (ref & SEGMENT_MASK) >>> BLOCK_SHIFT;
    let kind = segment.slabs[block * SLAB_WORDS + SlabWord.KIND]!;
    if (kind === 0) return segment.runPages[(ref & SEGMENT_MASK) / PAGE_GRANULES]! * PAGE_BYTES;
    if (kind === SLAB_INNER) kind = segment.slabs[(block & ~3) * SLAB_WORDS + SlabWord.KIND]!;
    return classBytes[kind - 1]!;
  }

  #takeFrom(slab: number, index: number): Ref {
    const segment = this.#segments[slab >>> 10]!;
    const block = slab & (SEGMENT_BLOCKS - 1);
    const slabs = segment.slabs;
    const at = block * SLAB_WORDS;
    const bitmap = segment.slabBitmap;
    const base = block * BITMAP_WORDS_PER_BLOCK;
    let word = slabs[at + SlabWord.HINT]!;
    let bits = bitmap[base + word]!;
    while (bits === 0) bits = bitmap[base + ++word]!;
    const low = bits & -bits;
    bitmap[base + word] = bits ^ low;
    slabs[at + SlabWord.HINT] = word;
    const free = slabs[at + SlabWord.FREE]! - 1;
    slabs[at + SlabWord.FREE] = free;
    if (free === 0) this.#unlink(segment, slab, index);
    const bytes = classBytes[index]!;
    this.#used[USED_BYTES]! += bytes;
    const object = (word << 5) + 31 - Math.clz32(low);
    const ref =
      (slab >>> 10) * (SEGMENT_MASK + 1) + block * BLOCK_GRANULES + object * classGranules[index]!;
    this.#pages.touchNew(ref, bytes);
    return asRef(ref);
  }

  #freeSmall(segment: Segment, ref: Ref, block: number): void {
    const slabs = segment.slabs;
    const at = block * SLAB_WORDS;
    const index = slabs[at + SlabWord.KIND]! - 1;
    const inSlab = (ref & SEGMENT_MASK) - block * BLOCK_GRANULES;
    const object = Math.trunc(inSlab / classGranules[index]!);
    assert(object * classGranules[index]! === inSlab, 'free inside an object');
    const word = object >>> 5;
    const bit = 1 << (object & 31);
    const base = block * BITMAP_WORDS_PER_BLOCK;
    assert((segment.slabBitmap[base + word]! & bit) === 0, 'object freed twice');
    segment.slabBitmap[base + word]! |= bit;
    if (word < slabs[at + SlabWord.HINT]!) slabs[at + SlabWord.HINT] = word;
    this.#used[USED_BYTES]! -= classBytes[index]!;
    const free = slabs[at + SlabWord.FREE]! + 1;
    slabs[at + SlabWord.FREE] = free;
    const slab = (ref >>> SEGMENT_SHIFT) * SEGMENT_BLOCKS + block;
    if (free === 1) this.#link(segment, slab, index);
    else if (free === classCapacity[index] && !this.#isOnly(segment, slab))
      this.#dropSlab(slab, index);
  }

  #newSlab(index: number): number {
    const blocks = classBlocks[index]!;
    const run = this.#newRun(blocks * BLOCK_PAGES, blocks * BLOCK_PAGES);
    const number = run >>> SEGMENT_PAGE_SHIFT;
    const segment = this.#segments[number]!;
    const block = (run & (SEGMENT_PAGES - 1)) / BLOCK_PAGES;
    const slabs = segment.slabs;
    const capacity = classCapacity[index]!;
    const base = block * BITMAP_WORDS_PER_BLOCK;
    const wholeWords = capacity >>> 5;
    segment.slabBitmap.fill(-1, base, base + wholeWords);
    if ((capacity & 31) !== 0) segment.slabBitmap[base + wholeWords] = (1 << (capacity & 31)) - 1;
    for (let i = 1; i < blocks; i++) slabs[(block + i) * SLAB_WORDS + SlabWord.KIND] = SLAB_INNER;
    slabs[block * SLAB_WORDS + SlabWord.KIND] = index + 1;
    slabs[block * SLAB_WORDS + SlabWord.FREE] = capacity;
    slabs[block * SLAB_WORDS + SlabWord.HINT] = 0;
    const slab = number * SEGMENT_BLOCKS + block;
    this.#link(segment, slab, index);
    return slab;
  }

  /**
   * Returns whether no other slab of its class has a free object. Such a slab is kept when it
   * becomes empty, so that it is not freed and made again repeatedly.
   */
  #isOnly(segment: Segment, slab: number): boolean {
    const at = (slab & (SEGMENT_BLOCKS - 1)) * SLAB_WORDS;
    return segment.slabs[at + SlabWord.NEXT] === 0 && segment.slabs[at + SlabWord.PREVIOUS] === 0;
  }

  /** Frees the pages of an empty slab. */
  #dropSlab(slab: number, index: number): void {
    const segment = this.#segments[slab >>> 10]!;
    this.#unlink(segment, slab, index);
    const block = slab & (SEGMENT_BLOCKS - 1);
    for (let i = 0; i < classBlocks[index]!; i++)
      segment.slabs[(block + i) * SLAB_WORDS + SlabWord.KIND] = 0;
    this.#giveBack(slab >>> 10, block * BLOCK_PAGES, classBlocks[index]! * BLOCK_PAGES);
  }

  #link(segment: Segment, slab: number, index: number): void {
    const at = (slab & (SEGMENT_BLOCKS - 1)) * SLAB_WORDS;
    const next = this.#heads[index]!;
    segment.slabs[at + SlabWord.NEXT] = next;
    segment.slabs[at + SlabWord.PREVIOUS] = 0;
    if (next !== 0) this.#setLink(next, SlabWord.PREVIOUS, slab + 1);
    this.#heads[index] = slab + 1;
  }

  #unlink(segment: Segment, slab: number, index: number): void {
    const at = (slab & (SEGMENT_BLOCKS - 1)) * SLAB_WORDS;
    const next = segment.slabs[at + SlabWord.NEXT]!;
    const previous = segment.slabs[at + SlabWord.PREVIOUS]!;
    if (next !== 0) this.#setLink(next, SlabWord.PREVIOUS, previous);
    if (previous !== 0) this.#setLink(previous, SlabWord.NEXT, next);
    else this.#heads[index] = next;
  }

  #setLink(link: number, word: number, value: number): void {
    const slab = link - 1;
    this.#segments[slab >>> 10]!.slabs[(slab & (SEGMENT_BLOCKS - 1)) * SLAB_WORDS + word] = value;
  }

  #allocLarge(bytes: number): Ref {
    if (bytes > OBJECT_BYTES_MAX)
      throw full(`an object of ${bytes} bytes is beyond the arena's limit`);
    const pages = Math.ceil(bytes / PAGE_BYTES);
    const run = this.#newRun(pages, 1);
    this.#used[USED_BYTES]! += pages * PAGE_BYTES;
    const page = run & (SEGMENT_PAGES - 1);
    const number = run >>> SEGMENT_PAGE_SHIFT;
    this.#segments[number]!.runPages[page] = pages;
    const ref = number * (SEGMENT_MASK + 1) + page * PAGE_GRANULES;
    this.#pages.touchNew(ref, pages * PAGE_BYTES);
    return asRef(ref);
  }

  #freeRun(segment: Segment, ref: Ref): void {
    const page = (ref & SEGMENT_MASK) / PAGE_GRANULES;
    const pages = segment.runPages[page] ?? 0;
    assert(pages > 0, 'free of no run');
    segment.runPages[page] = 0;
    this.#used[USED_BYTES]! -= pages * PAGE_BYTES;
    this.#giveBack(ref >>> SEGMENT_SHIFT, page, pages);
  }

  /** Frees `count` pages of a segment, from `page` on. */
  #giveBack(number: number, page: number, count: number): void {
    const group = this.#groupOf[number]!;
    const { all } = group;
    const from = (number - group.first) * SEGMENT_PAGES + page;
    clearBits(all.pageBitmap, from, count);
    this.#used[PAGE_USE_BYTES]! -= count * PAGE_BYTES;
    group.usedPages -= count;
    if (from < group.runHint) group.runHint = from;
    this.#pages.takeBack(all, from, count);
    if (group.usedPages > 0) return;
    if (!group.isLarge && (this.#spare === undefined || this.#spare === group)) this.#spare = group;
    else this.#dropGroup(group);
  }

  /**
   * Takes `count` free pages in a row, the first a multiple of `align`; returns its number counted
   * from segment 0.
   */
  #newRun(count: number, align: number): number {
    const group = this.#findGroup(count, align);
    if (group === undefined) throw full(`the arena has no ${count * PAGE_BYTES} bytes left`);
    const page = this.#foundPage;
    const { all } = group;
    setBits(all.pageBitmap, page, count);
    group.usedPages += count;
    group.touchedPages = Math.max(group.touchedPages, page + count);
    this.#used[PAGE_USE_BYTES]! += count * PAGE_BYTES;
    if (group.isLarge) {
      this.#lastLarge = group;
    } else {
      this.#lastPlain = group;
      this.#used[PAGE_USE_PEAK] = Math.max(this.#used[PAGE_USE_PEAK]!, this.#used[PAGE_USE_BYTES]!);
    }
    if (group === this.#spare) this.#spare = undefined;
    if (this.#spare === undefined && !this.#isRefused) this.#reserveSpare();
    this.#pages.handOut(all, page, count);
    return group.first * SEGMENT_PAGES + page;
  }

  /**
   * Returns a group with `pages` adjacent free pages, which begin at {@link #foundPage}, or
   * undefined when there is no memory.
   */
  #findGroup(pages: number, align: number): Group | undefined {
    const isLarge = pages > LARGE_PAGES_MAX;
    const own = this.#search(isLarge, pages, align) ?? this.#grow(isLarge, pages);
    const group = own ?? this.#search(!isLarge, pages, align);
    if (group !== undefined || !this.#dropEmptySlabs()) return group;
    return this.#findGroup(pages, align);
  }

  /** Frees the empty slabs that were kept. Returns whether there were any. */
  #dropEmptySlabs(): boolean {
    let dropped = false;
    for (let index = 0; index < CLASS_COUNT; index++) {
      for (let link = this.#heads[index]!; link !== 0; ) {
        const slab = link - 1;
        const { slabs } = this.#segments[slab >>> 10]!;
        const at = (slab & (SEGMENT_BLOCKS - 1)) * SLAB_WORDS;
        link = slabs[at + SlabWord.NEXT]!;
        if (slabs[at + SlabWord.FREE] !== classCapacity[index]) continue;
        this.#dropSlab(slab, index);
        dropped = true;
      }
    }
    return dropped;
  }

  /** Adds a group of either kind for `pages` pages; undefined when there is no memory. */
  #grow(isLarge: boolean, pages: number): Group | undefined {
    this.#foundPage = 0;
    if (!isLarge) return this.#addGroup(1, false);
    const shortest = Math.ceil(pages / SEGMENT_PAGES);
    let group: Group | undefined;
    for (let count = groupSegmentsFor(pages); group === undefined && count >= shortest; count--)
      group = this.#addGroup(count, true);
    if (group !== undefined || this.#spare === undefined || this.#isRefused) return group;
    // The spare may hold the missing number. Its memory would not be had again at once.
    this.#dropGroup(this.#spare);
    group = this.#addGroup(shortest, true);
    if (group === undefined) this.#reserveSpare();
    this.#foundPage = 0;
    return group;
  }

  /** First fit in the groups of one kind. The group of the last run is searched first. */
  #search(isLarge: boolean, pages: number, align: number): Group | undefined {
    const last = isLarge ? this.#lastLarge : this.#lastPlain;
    if (last !== undefined && this.#searchGroup(last, pages, align)) return last;
    let spare: Group | undefined;
    for (const group of this.groups) {
      if (group.isLarge !== isLarge || group === last) continue;
      if (group === this.#spare) spare = group;
      else if (this.#searchGroup(group, pages, align)) return group;
    }
    return spare !== undefined && this.#searchGroup(spare, pages, align) ? spare : undefined;
  }

  /** First fit in one group. The hint moves past pages that are known to be in use. */
  #searchGroup(group: Group, pages: number, align: number): boolean {
    const end = group.pages;
    if (end - group.usedPages < pages) return false;
    const bitmap = group.all.pageBitmap;
    let page = firstFree(bitmap, group.runHint, end);
    group.runHint = page;
    for (;;) {
      page = Math.ceil(page / align) * align;
      if (page + pages > end) return false;
      const taken = firstUsed(bitmap, page, page + pages);
      if (taken === page + pages) break;
      page = firstFree(bitmap, taken, end);
    }
    this.#foundPage = page;
    return true;
  }

  #reserveSpare(): void {
    if (this.#spare === undefined) this.#spare = this.#addGroup(1, false);
    else {
      // One more segment, dropped at once, shows whether the system still refuses memory.
      const group = this.#addGroup(1, false);
      if (group !== undefined) this.#dropGroup(group);
    }
  }

  /**
   * Adds a group, plain ones under the lowest numbers; undefined when there are no numbers or no
   * memory for it.
   */
  #addGroup(count: number, isLarge: boolean): Group | undefined {
    if (count >= this.#refusedCount) return undefined;
    const first = this.#freeNumbersInARow(count, isLarge);
    if (first < 0) return undefined;
    let share: GroupShare;
    try {
      share = reserveGroup(this.#pages.memory, first, count, isLarge);
    } catch (error) {
      // V8 throws RangeError when the system refuses the memory.
      if (!(error instanceof RangeError)) throw error;
      this.#isRefused = true;
      this.#refusedCount = Math.min(this.#refusedCount, count);
      return undefined;
    }
    this.#isRefused = false;
    this.#refusedCount = Number.POSITIVE_INFINITY;
    const group = new Group(share);
    this.#take(group);
    return group;
  }

  /**
   * Returns the first of `count` adjacent free numbers, searched from the lowest or from the
   * highest one, or -1 when there are none.
   */
  #freeNumbersInARow(count: number, fromTop: boolean): number {
    if (count > this.#freeNumbers) return -1;
    const places = this.#segmentsMax - count;
    for (let i = 0; i <= places; i++) {
      const first = fromTop ? places - i : i;
      let free = 0;
      while (free < count && this.#groupOf[first + free] === undefined) free++;
      if (free === count) return first;
    }
    return -1;
  }

  #take(group: Group): void {
    this.groups.push(group);
    for (let i = 0; i < group.count; i++) {
      this.#segments[group.first + i] = group.segments[i]!;
      this.#groupOf[group.first + i] = group;
    }
    this.#freeNumbers -= group.count;
    this.#onGroup(group, false);
  }

  /**
   * Drops an empty group; its numbers are free for others. An image may still read it through its
   * own views.
   */
  #dropGroup(group: Group): void {
    assert(group.usedPages === 0, 'a group that is dropped is empty');
    const at = this.groups.indexOf(group);
    assert(at >= 0, 'a group is dropped once');
    this.groups[at] = this.groups.at(-1)!;
    this.groups.pop();
    // An image may still read it. This is about the number of its touched pages: a large group was
    // full, a plain one is the second spare.
    dropGroup(this.#pages.memory, group.share, group.touchedPages * PAGE_BYTES);
    for (let i = 0; i < group.count; i++) {
      this.#segments[group.first + i] = NO_SEGMENT;
      this.#groupOf[group.first + i] = undefined;
    }
    this.#freeNumbers += group.count;
    if (this.#spare === group) this.#spare = undefined;
    if (this.#lastLarge === group) this.#lastLarge = undefined;
    if (this.#lastPlain === group) this.#lastPlain = undefined;
    this.#onGroup(group, true);
  }

  /**
   * Forgets all objects, for good. Returns the group of segment 0: with it and {@link share},
   * emptied, another allocator can begin.
   */
  salvage(): Group {
    const first = this.#groupOf[0];
    assert(first !== undefined && first.count === 1, 'segment 0 stays, in a group of its own');
    new Int32Array(first.share.meta).fill(0);
    first.all.pageBitmap[0] = 1;
    this.#heads.fill(0);
    this.#used.fill(0);
    this.#used[PAGE_USE_PEAK] = first.touchedPages * PAGE_BYTES;
    return first;
  }

  /** Checks all slabs and runs against each other; for tests. Cost: all pages. */
  validate(): void {
    let pageUse = 0;
    let numbers = 0;
    for (const group of this.groups) {
      pageUse += validateGroup(group);
      numbers += group.count;
      for (let i = 0; i < group.count; i++) {
        assert(this.#groupOf[group.first + i] === group, 'a number leads to its group');
        assert(
          this.#segments[group.first + i] === group.segments[i],
          'a number leads to its segment',
        );
      }
    }
    assert(pageUse === this.pageUseBytes, 'the count of page bytes is that of the bitmaps');
    assert(numbers + this.#freeNumbers === this.#segmentsMax, 'a number is free or in a group');
    assert(this.#spare === undefined || this.#spare.usedPages === 0, 'the spare is empty');
  }
}

const full = (message: string): OperatingError => new OperatingError(ErrorCode.ARENA_FULL, message);
