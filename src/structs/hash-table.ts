/**
 * Hot path. A hash table of refs in the arena. It grows and shrinks one bucket at a time (linear
 * hashing).
 *
 *   header   word 0 COUNT        entries
 *            word 1 BUCKETS      buckets in use, at least 1
 *            word 2 DIRECTORY    ref of an array of chunk refs
 *            word 3 OVERFLOW     overflow buckets in use
 *
 *   chunk    64 buckets, 4 KiB; a small table has one chunk of 1, 2, 4 … 32 buckets
 *
 *   bucket   64 bytes, one cache line
 *            word 0      ref of the overflow bucket, or NIL
 *            bytes 4-15  twelve tags: 8 bits of each entry's hash, 0 where the place is empty
 *            word 4-15   twelve refs
 *
 * With B buckets and 2^L <= B < 2^(L+1), the bucket of a hash is its low L+1 bits, or its low L
 * bits where that bucket does not exist yet. To grow by one, the table splits bucket B - 2^L. To
 * shrink by one, it merges the last bucket back into the bucket that it was split from. So there is
 * never a second table and never a long pause, and each insertion pays a constant share of the
 * cost.
 *
 * The table does not know the content of an entry. It holds refs, and its callers pass hashes.
 * {@link EntryHasher} returns the hash of an entry when its bucket is split. The caller compares
 * the keys in a loop:
 *
 *   for (let e = table.first(ref, hash); e !== NIL; e = table.next()) if (isMine(e)) return e;
 *
 * Stale after any insertion or removal: the place that `first` and `next` remember.
 *
 * Entries fill the places of a bucket's chain in order, without a gap. When there is no memory to
 * grow or to shrink, the table does so later. A removal never fails.
 */
import type { Arena } from '../arena/arena.ts';
import { SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { assert } from '../base/assert.ts';
import type { Prng } from '../base/prng.ts';
import { asRef, NIL, type Ref } from '../base/units.ts';

export const TableWord = { COUNT: 0, BUCKETS: 1, DIRECTORY: 2, OVERFLOW: 3 } as const;
export const TABLE_BYTES = 16;

export const BUCKET_BYTES = 64;
export const BUCKET_WORDS = 16;
export const BUCKET_ENTRIES = 12;
export const TAG_WORD = 1;
const TAG_WORDS = BUCKET_ENTRIES / 4;
export const ENTRY_WORD = 4;
export const CHUNK_BUCKETS = 64;
export const CHUNK_SHIFT = 6;

/** Entries per bucket above which one bucket is split, and below which one is merged. */
const GROW_ENTRIES = 8;
const SHRINK_ENTRIES = 3;
/** Most buckets have fewer entries: an unsplit one has sixteen at most, on average. */
const FAIR_PLACES = 32;

export interface EntryHasher {
  hashOf(entry: Ref): number;
}

/** Returns the tag of a hash: its high 8 bits, never 0. The low bits select the bucket. */
export const tagOf = (hash: number): number => hash >>> 24 || 1;

/**
 * Returns the first place that matches. `matches` has the high bit of each byte of the tag word
 * `part` that is equal to the tag.
 */
const placeOf = (part: number, matches: number): number =>
  (part << 2) + ((31 - Math.clz32(matches & -matches)) >>> 3);

/** Returns the index of a hash's bucket in a table of `buckets` buckets. */
export function bucketIndex(hash: number, buckets: number): number {
  const level = 31 - Math.clz32(buckets);
  const index = hash & ((2 << level) - 1);
  return index < buckets ? index : index & ((1 << level) - 1);
}

/** Called with every entry of a bucket, by {@link HashTable.scan}. */
export type EntryVisitor = (entry: Ref) => void;

export class HashTable {
  readonly #arena: Arena;
  readonly #hasher: EntryHasher;
  /** Counts the changes of entries and of their places, in all tables of this object. */
  version = 0;
  /** Stored so that the compiler keeps loads that only bring memory into the cache. */
  used = 0;
  /** The place where `first` and `next` stopped: bucket (NIL when stale), place in it, tag. */
  #bucket: Ref = NIL;
  #place = 0;
  /** The first bucket of the chain that {@link random} drew from. */
  #drawnFrom: Ref = NIL;
  #tag = 0;

  constructor(arena: Arena, hasher: EntryHasher) {
    this.#arena = arena;
    this.#hasher = hasher;
  }

  create(): Ref {
    const arena = this.#arena;
    const table = arena.alloc(TABLE_BYTES);
    let directory: Ref = NIL;
    let chunk: Ref;
    try {
      directory = arena.alloc(16);
      chunk = this.#newBuckets(1);
    } catch (error) {
      arena.free(table);
      if (directory !== NIL) arena.free(directory);
      throw error;
    }
    this.#setWord(directory, 0, chunk);
    this.#setWord(table, TableWord.COUNT, 0);
    this.#setWord(table, TableWord.BUCKETS, 1);
    this.#setWord(table, TableWord.DIRECTORY, directory);
    this.#setWord(table, TableWord.OVERFLOW, 0);
    return table;
  }

  count(table: Ref): number {
    return this.#word(table, TableWord.COUNT);
  }

  buckets(table: Ref): number {
    return this.#word(table, TableWord.BUCKETS);
  }

  /** Returns the first entry whose tag is that of `hash`, or NIL. */
  first(table: Ref, hash: number): Ref {
    const arena = this.#arena;
    const tag = tagOf(hash);
    this.#tag = tag;
    const pattern = Math.imul(tag, 0x01010101);
    let bucket = this.#bucketAt(table, bucketIndex(hash, this.#word(table, TableWord.BUCKETS)));
    do {
      const i32 = arena.i32[bucket >>> SEGMENT_SHIFT]!;
      const word = wordPosition(bucket);
      // Compares four tags at once. Twelve loads of a byte cost more. bench: micro/hash-table
      for (let part = 0; part < TAG_WORDS; part++) {
        const matches = zeroBytes(i32[word + TAG_WORD + part]! ^ pattern);
        if (matches !== 0) {
          const place = placeOf(part, matches);
          this.#bucket = bucket;
          this.#place = place;
          return asRef(i32[word + ENTRY_WORD + place]!);
        }
      }
      bucket = asRef(i32[word]!);
    } while (bucket !== NIL);
    this.#bucket = NIL;
    return NIL;
  }

  /**
   * Sets `refs` to the result of {@link first} for each of `count` hashes; NIL also when the entry
   * is in an overflow bucket. Returns a meaningless number.
   *
   * All buckets are read before any of them is searched. So the processor waits for memory once,
   * and not once for each bucket. The loop that reads does nothing else, because the processor's
   * window limits how many loads can run at the same time. The loads must have a use, or the
   * compiler removes them. The returned number is this use.
   */
  firstOfEach(table: Ref, hashes: Int32Array, count: number, refs: Int32Array): number {
    const { i32 } = this.#arena;
    const buckets = this.#word(table, TableWord.BUCKETS);
    let used = 0;
    for (let i = 0; i < count; i++) {
      refs[i] = this.#bucketAt(table, bucketIndex(hashes[i]!, buckets));
    }
    for (let i = 0; i < count; i++)
      used ^= i32[refs[i]! >>> SEGMENT_SHIFT]![wordPosition(refs[i]!)]!;
    for (let i = 0; i < count; i++) {
      const bucket = refs[i]!;
      const words = i32[bucket >>> SEGMENT_SHIFT]!;
      const word = wordPosition(bucket);
      const pattern = Math.imul(tagOf(hashes[i]!), 0x01010101);
      let found = 0;
      for (let part = 0; part < TAG_WORDS && found === 0; part++) {
        const matches = zeroBytes(words[word + TAG_WORD + part]! ^ pattern);
        if (matches !== 0) found = words[word + ENTRY_WORD + placeOf(part, matches)]!;
      }
      refs[i] = found;
    }
    return used;
  }

  /** Returns the entry after the one that {@link first} or this method returned, or NIL. */
  next(): Ref {
    let bucket = this.#bucket;
    let place = this.#place + 1;
    const tag = this.#tag;
    while (bucket !== NIL) {
      const u8 = this.#arena.u8[bucket >>> SEGMENT_SHIFT]!;
      const word = wordPosition(bucket);
      const tags = (word + TAG_WORD) << 2;
      for (; place < BUCKET_ENTRIES; place++) {
        if (u8[tags + place] === tag) {
          this.#bucket = bucket;
          this.#place = place;
          return asRef(this.#arena.i32[bucket >>> SEGMENT_SHIFT]![word + ENTRY_WORD + place]!);
        }
      }
      bucket = asRef(this.#arena.i32[bucket >>> SEGMENT_SHIFT]![word]!);
      place = 0;
    }
    this.#bucket = NIL;
    return NIL;
  }

  /** Forgets the place of `first` and `next`, because the caller found an entry in another way. */
  forgetPlace(): void {
    this.#bucket = NIL;
  }

  /** The arena was rolled back: results that were read from any table may be gone. */
  rolledBack(): void {
    this.version++;
    this.#bucket = NIL;
    this.#spares.length = 0;
  }

  /**
   * Replaces `from`, which {@link first} or {@link next} returned last, by `to`, which has the same
   * hash. Returns false and changes nothing when that place is forgotten or holds another entry.
   */
  replaceFound(from: Ref, to: Ref): boolean {
    const bucket = this.#bucket;
    if (bucket === NIL || this.#word(bucket, ENTRY_WORD + this.#place) !== from) return false;
    this.version++;
    this.#setWord(bucket, ENTRY_WORD + this.#place, to);
    return true;
  }

  /**
   * Adds an entry that is not there yet. Throws ARENA_FULL when there is no memory; then nothing
   * has changed.
   */
  insert(table: Ref, hash: number, entry: Ref): void {
    this.version++;
    this.#bucket = NIL;
    const arena = this.#arena;
    const buckets = this.#word(table, TableWord.BUCKETS);
    this.#put(table, this.#bucketAt(table, bucketIndex(hash, buckets)), tagOf(hash), entry);
    const count = this.#word(table, TableWord.COUNT) + 1;
    arena.touch(table, 0, TABLE_BYTES);
    this.#setWordUnguarded(table, TableWord.COUNT, count);
    if (count > buckets * GROW_ENTRIES) this.#split(table);
  }

  /** Makes room for `count` entries as far as there is memory; those that are there move. */
  reserve(table: Ref, count: number): void {
    this.version++;
    this.#bucket = NIL;
    for (let buckets = this.buckets(table); buckets * GROW_ENTRIES < count; buckets++) {
      this.#split(table);
      if (this.buckets(table) === buckets) return;
    }
  }

  /** Removes the entry, with this hash, that {@link first} or {@link next} returned last. */
  removeFound(table: Ref, hash: number): void {
    const buckets = this.#word(table, TableWord.BUCKETS);
    this.#removeAt(table, this.#bucketAt(table, bucketIndex(hash, buckets)));
  }

  /** Removes the entry that {@link random} returned last. No other call may come in between. */
  removeDrawn(table: Ref): void {
    this.#removeAt(table, this.#drawnFrom);
  }

  /** Removes the entry at which the search stopped, in the chain that begins at `first`. */
  #removeAt(table: Ref, first: Ref): void {
    this.version++;
    const arena = this.#arena;
    const buckets = this.#word(table, TableWord.BUCKETS);
    this.#takeOut(table, first, this.#bucket, this.#place);
    this.#bucket = NIL;
    const count = this.#word(table, TableWord.COUNT) - 1;
    arena.touch(table, 0, TABLE_BYTES);
    this.#setWordUnguarded(table, TableWord.COUNT, count);
    if (buckets > 1 && count < buckets * SHRINK_ENTRIES) this.#merge(table);
  }

  /** Removes `entry`, which is in the table and has `hash`. */
  remove(table: Ref, hash: number, entry: Ref): void {
    let found = this.first(table, hash);
    while (found !== entry) {
      assert(found !== NIL, 'an entry that is removed is in its table');
      found = this.next();
    }
    this.removeFound(table, hash);
  }

  /** Replaces `from` by `to`, which has the same hash. */
  replace(table: Ref, hash: number, from: Ref, to: Ref): void {
    let found = this.first(table, hash);
    while (found !== from) {
      assert(found !== NIL, 'an entry that is replaced is in its table');
      found = this.next();
    }
    this.replaceFound(from, to);
  }

  /**
   * Visits all entries at one position of the iteration and returns the next cursor, 0 at the end.
   * An entry that is in the table from the first call to the last is visited at least once, even
   * when the table grows or shrinks in between. For this the cursor counts with reversed bits:
   * buckets visited at one size of the table count as visited at any other size.
   */
  scan(table: Ref, cursor: number, visit: EntryVisitor): number {
    const buckets = this.#word(table, TableWord.BUCKETS);
    const level = 31 - Math.clz32(buckets);
    const mask = (1 << level) - 1;
    const index = cursor & mask;
    this.visitBucket(table, index, visit);
    if ((index | (1 << level)) < buckets) this.visitBucket(table, index | (1 << level), visit);
    return reverseBits(reverseBits(cursor | ~mask) + 1);
  }

  /** The entries that the buckets have room for, without further ones. */
  slots(table: Ref): number {
    return this.#word(table, TableWord.BUCKETS) * BUCKET_ENTRIES;
  }

  /** Calls `tell` with the number of entries of each bucket, for DEBUG. */
  eachBucket(table: Ref, tell: (entries: number) => void): void {
    for (let index = 0; index < this.#word(table, TableWord.BUCKETS); index++) {
      let entries = 0;
      this.visitBucket(table, index, () => entries++);
      tell(entries);
    }
  }

  /** Visits all entries of bucket `index`. The visitor must not change the table. */
  visitBucket(table: Ref, index: number, visit: EntryVisitor): void {
    let bucket = this.#bucketAt(table, index);
    while (bucket !== NIL) {
      const i32 = this.#arena.i32[bucket >>> SEGMENT_SHIFT]!;
      const word = wordPosition(bucket);
      for (let place = 0; place < BUCKET_ENTRIES; place++) {
        const entry = i32[word + ENTRY_WORD + place]!;
        if (entry !== NIL) visit(asRef(entry));
      }
      bucket = asRef(i32[word]!);
    }
  }

  /**
   * Returns a random entry, or NIL when the table is empty. All entries are equally likely as long
   * as no bucket has more than FAIR_PLACES. Takes about four tries.
   */
  random(table: Ref, prng: Prng): Ref {
    if (this.#word(table, TableWord.COUNT) === 0) return NIL;
    const buckets = this.#word(table, TableWord.BUCKETS);
    for (;;) {
      const start = this.#bucketAt(table, prng.below(buckets));
      let entries = 0;
      for (let b = start; b !== NIL; b = asRef(this.#word(b, 0))) entries += this.#entriesIn(b);
      // A place is drawn even if it is empty. Otherwise an entry of a bucket that is not yet split
      // would be drawn half as often.
      let skip = prng.below(Math.max(FAIR_PLACES, entries));
      if (skip >= entries) continue;
      let bucket = start;
      for (; skip >= BUCKET_ENTRIES; skip -= BUCKET_ENTRIES) bucket = asRef(this.#word(bucket, 0));
      this.#drawnFrom = start;
      this.#bucket = bucket;
      this.#place = skip;
      return asRef(this.#word(bucket, ENTRY_WORD + skip));
    }
  }

  /** Returns the bytes of the table without its entries. */
  bytes(table: Ref): number {
    const buckets = this.#word(table, TableWord.BUCKETS) + this.#word(table, TableWord.OVERFLOW);
    const directory = asRef(this.#word(table, TableWord.DIRECTORY));
    return (
      this.#arena.blockBytes(table) + this.#arena.blockBytes(directory) + buckets * BUCKET_BYTES
    );
  }

  /**
   * Frees up to `budget` buckets from the end of a table that nobody reads any more, and calls
   * `freeEntry` for each of their entries. Returns true once all of it is freed, the header
   * included.
   */
  freeSome(table: Ref, budget: number, freeEntry: EntryVisitor): boolean {
    const arena = this.#arena;
    this.#bucket = NIL;
    let buckets = this.#word(table, TableWord.BUCKETS);
    const directory = asRef(this.#word(table, TableWord.DIRECTORY));
    for (let done = 0; done < budget && buckets > 0; done++) {
      buckets--;
      this.visitBucket(table, buckets, freeEntry);
      for (let b = asRef(this.#word(this.#bucketAt(table, buckets), 0)); b !== NIL; ) {
        const next = asRef(this.#word(b, 0));
        arena.free(b);
        b = next;
      }
      if ((buckets & (CHUNK_BUCKETS - 1)) === 0)
        arena.free(asRef(this.#word(directory, buckets >>> CHUNK_SHIFT)));
    }
    arena.touch(table, 0, TABLE_BYTES);
    this.#setWordUnguarded(table, TableWord.BUCKETS, buckets);
    if (buckets > 0) return false;
    arena.free(directory);
    arena.free(table);
    return true;
  }

  /** Checks the counts, places and tags of all entries. For tests. */
  validate(table: Ref): void {
    const buckets = this.#word(table, TableWord.BUCKETS);
    let count = 0;
    let overflow = 0;
    for (let index = 0; index < buckets; index++) {
      for (
        let b = this.#bucketAt(table, index), n = 0;
        b !== NIL;
        b = asRef(this.#word(b, 0)), n++
      ) {
        if (n > 0) overflow++;
        const entries = this.#entriesIn(b);
        count += entries;
        assert(n === 0 || entries > 0, 'no overflow bucket is empty');
        assert(
          entries === BUCKET_ENTRIES || this.#word(b, 0) === NIL,
          'only the last bucket has free places',
        );
        for (let place = 0; place < BUCKET_ENTRIES; place++) {
          const entry = asRef(this.#word(b, ENTRY_WORD + place));
          const tag =
            this.#arena.u8[b >>> SEGMENT_SHIFT]![((wordPosition(b) + TAG_WORD) << 2) + place];
          assert(
            (entry === NIL) === (tag === 0),
            'a place has both an entry and a tag, or neither',
          );
          assert((entry !== NIL) === place < entries, 'places are filled in order');
          if (entry === NIL) continue;
          const hash = this.#hasher.hashOf(entry);
          assert(tag === tagOf(hash), 'a tag is that of the hash');
          assert(bucketIndex(hash, buckets) === index, 'an entry is in the bucket of its hash');
        }
      }
    }
    assert(count === this.#word(table, TableWord.COUNT), 'the count is that of the entries');
    assert(
      overflow === this.#word(table, TableWord.OVERFLOW),
      'the overflow count is that of the buckets',
    );
  }

  #put(table: Ref, first: Ref, tag: number, entry: Ref): void {
    const arena = this.#arena;
    for (let bucket = first; ; ) {
      const segment = bucket >>> SEGMENT_SHIFT;
      const u8 = arena.u8[segment]!;
      const word = wordPosition(bucket);
      const tags = (word + TAG_WORD) << 2;
      for (let place = 0; place < BUCKET_ENTRIES; place++) {
        if (u8[tags + place] !== 0) continue;
        arena.touch(bucket, 0, BUCKET_BYTES);
        u8[tags + place] = tag;
        arena.i32[segment]![word + ENTRY_WORD + place] = entry;
        return;
      }
      const next = asRef(arena.i32[segment]![word]!);
      if (next !== NIL) {
        bucket = next;
        continue;
      }
      const overflow = this.#spares.length > 0 ? asRef(this.#spares.pop()!) : this.#newBuckets(1);
      this.#setWord(bucket, 0, overflow);
      this.#setWord(table, TableWord.OVERFLOW, this.#word(table, TableWord.OVERFLOW) + 1);
      bucket = overflow;
    }
  }

  /**
   * Empties a place by moving the last entry of the bucket's chain into it. Frees an overflow
   * bucket that is empty afterwards.
   */
  #takeOut(table: Ref, first: Ref, bucket: Ref, place: number): void {
    let beforeLast: Ref = NIL;
    let last = first;
    for (let next = asRef(this.#word(last, 0)); next !== NIL; next = asRef(this.#word(last, 0))) {
      beforeLast = last;
      last = next;
    }
    const lastPlace = this.#entriesIn(last) - 1;
    const arena = this.#arena;
    arena.touch(bucket, 0, BUCKET_BYTES);
    arena.touch(last, 0, BUCKET_BYTES);
    const lastTags = (wordPosition(last) + TAG_WORD) << 2;
    const lastBytes = arena.u8[last >>> SEGMENT_SHIFT]!;
    arena.u8[bucket >>> SEGMENT_SHIFT]![((wordPosition(bucket) + TAG_WORD) << 2) + place] =
      lastBytes[lastTags + lastPlace]!;
    this.#setWordUnguarded(bucket, ENTRY_WORD + place, this.#word(last, ENTRY_WORD + lastPlace));
    lastBytes[lastTags + lastPlace] = 0;
    this.#setWordUnguarded(last, ENTRY_WORD + lastPlace, NIL);
    if (beforeLast === NIL || lastPlace > 0) return;
    this.#setWord(beforeLast, 0, NIL);
    this.#setWord(table, TableWord.OVERFLOW, this.#word(table, TableWord.OVERFLOW) - 1);
    arena.free(last);
  }

  /** Adds a bucket at the end and moves the entries that belong into it. */
  #split(table: Ref): void {
    const index = this.#word(table, TableWord.BUCKETS);
    if (!this.#addBucket(table, index)) return;
    this.#spares.length = 0;
    this.#setWord(table, TableWord.BUCKETS, index + 1);
    const from = index & ((1 << (31 - Math.clz32(index))) - 1);
    // This cannot fail: the two new chains need no more overflow buckets than the old chain frees.
    this.#drain(table, this.#bucketAt(table, from));
  }

  /** Removes the last bucket after moving its entries to the bucket that it was split from. */
  #merge(table: Ref): void {
    // The merged chain may need one overflow bucket more than the old chains free.
    const spare = this.#tryNewBuckets(1);
    if (spare === NIL) return;
    this.#spares.length = 0;
    this.#spares.push(spare);
    const last = this.#word(table, TableWord.BUCKETS) - 1;
    const source = this.#bucketAt(table, last);
    this.#setWord(table, TableWord.BUCKETS, last);
    this.#drain(table, source);
    this.#dropBucket(table, last);
  }

  /**
   * Moves the entries of a bucket's chain to the buckets where they belong now. Takes overflow
   * buckets from the spare ones and from the chain itself.
   */
  #drain(table: Ref, bucket: Ref): void {
    const arena = this.#arena;
    const moved = this.#moved;
    let count = 0;
    for (let b = bucket; b !== NIL; ) {
      const words = arena.i32[b >>> SEGMENT_SHIFT]!;
      const first = wordPosition(b) + ENTRY_WORD;
      for (let place = 0; place < BUCKET_ENTRIES && words[first + place] !== NIL; place++)
        moved[count++] = words[first + place]!;
      const next = asRef(this.#word(b, 0));
      if (b === bucket) {
        arena.touch(b, 0, BUCKET_BYTES);
        arena.i32[b >>> SEGMENT_SHIFT]!.fill(0, wordPosition(b), wordPosition(b) + BUCKET_WORDS);
      } else {
        this.#setWord(table, TableWord.OVERFLOW, this.#word(table, TableWord.OVERFLOW) - 1);
        arena.touch(b, 0, BUCKET_BYTES);
        this.#clearBuckets(b, 1);
        this.#spares.push(b);
      }
      b = next;
    }
    const buckets = this.#word(table, TableWord.BUCKETS);
    // Reads all entries first, in parallel, since each of them is somewhere else in memory.
    let used = 0;
    for (let i = 0; i < count; i++) {
      const entry = moved[i]!;
      used ^= arena.i32[entry >>> SEGMENT_SHIFT]![wordPosition(entry)]!;
    }
    this.used = used;
    for (let i = 0; i < count; i++) {
      const entry = asRef(moved[i]!);
      const hash = this.#hasher.hashOf(entry);
      this.#put(table, this.#bucketAt(table, bucketIndex(hash, buckets)), tagOf(hash), entry);
    }
    const spares = this.#spares;
    while (spares.length > 0) arena.free(asRef(spares.pop()!));
  }
  /** Empty buckets for {@link #put} within {@link #drain}; otherwise the list is empty. */
  readonly #spares: number[] = [];
  /** Entries that {@link #drain} moves; elements behind their count are leftovers. */
  readonly #moved: number[] = [];

  /** Makes room for bucket `index`, the next one. Returns false when there is no memory for it. */
  #addBucket(table: Ref, index: number): boolean {
    const arena = this.#arena;
    let directory = asRef(this.#word(table, TableWord.DIRECTORY));
    if (index < CHUNK_BUCKETS) {
      const chunk = asRef(this.#word(directory, 0));
      if (index * BUCKET_BYTES < arena.blockBytes(chunk)) return true;
      const longer = this.#tryNewBuckets(index * 2);
      if (longer === NIL) return false;
      this.#copyWords(chunk, longer, index * BUCKET_WORDS);
      this.#setWord(directory, 0, longer);
      arena.free(chunk);
      return true;
    }
    if ((index & (CHUNK_BUCKETS - 1)) !== 0) return true;
    const chunks = index >>> CHUNK_SHIFT;
    if (chunks * 4 >= arena.blockBytes(directory)) {
      const longer = arena.tryAlloc(chunks * 8);
      if (longer === NIL) return false;
      this.#copyWords(directory, longer, chunks);
      this.#setWord(table, TableWord.DIRECTORY, longer);
      arena.free(directory);
      directory = longer;
    }
    const chunk = this.#tryNewBuckets(CHUNK_BUCKETS);
    if (chunk === NIL) return false;
    this.#setWord(directory, chunks, chunk);
    return true;
  }

  /**
   * Frees the memory of bucket `index`, the last one. The first chunk stays and is halved as it
   * empties.
   */
  #dropBucket(table: Ref, index: number): void {
    const arena = this.#arena;
    const directory = asRef(this.#word(table, TableWord.DIRECTORY));
    if (index >= CHUNK_BUCKETS) {
      if ((index & (CHUNK_BUCKETS - 1)) === 0)
        arena.free(asRef(this.#word(directory, index >>> CHUNK_SHIFT)));
      return;
    }
    const chunk = asRef(this.#word(directory, 0));
    if (index === 0 || index * BUCKET_BYTES * 4 > arena.blockBytes(chunk)) return;
    const shorter = this.#tryNewBuckets(index * 2);
    if (shorter === NIL) return;
    this.#copyWords(chunk, shorter, index * BUCKET_WORDS);
    this.#setWord(directory, 0, shorter);
    arena.free(chunk);
  }

  #newBuckets(count: number): Ref {
    const chunk = this.#arena.alloc(count * BUCKET_BYTES);
    this.#clearBuckets(chunk, count);
    return chunk;
  }

  /** As {@link #newBuckets}, but returns NIL when there is no memory. */
  #tryNewBuckets(count: number): Ref {
    const chunk = this.#arena.tryAlloc(count * BUCKET_BYTES);
    if (chunk !== NIL) this.#clearBuckets(chunk, count);
    return chunk;
  }

  #clearBuckets(chunk: Ref, count: number): void {
    const word = wordPosition(chunk);
    this.#arena.i32[chunk >>> SEGMENT_SHIFT]!.fill(0, word, word + count * BUCKET_WORDS);
  }

  #bucketAt(table: Ref, index: number): Ref {
    const directory = asRef(this.#word(table, TableWord.DIRECTORY));
    return asRef(
      this.#word(directory, index >>> CHUNK_SHIFT) +
        (index & (CHUNK_BUCKETS - 1)) * (BUCKET_BYTES / 8),
    );
  }

  /** Returns the number of entries in a bucket. They fill its first places. */
  #entriesIn(bucket: Ref): number {
    const words = this.#arena.i32[bucket >>> SEGMENT_SHIFT]!;
    const first = wordPosition(bucket) + ENTRY_WORD;
    let entries = 0;
    while (entries < BUCKET_ENTRIES && words[first + entries] !== NIL) entries++;
    return entries;
  }

  #copyWords(from: Ref, to: Ref, words: number): void {
    const source = this.#arena.i32[from >>> SEGMENT_SHIFT]!;
    const target = this.#arena.i32[to >>> SEGMENT_SHIFT]!;
    const start = wordPosition(from);
    const at = wordPosition(to);
    for (let i = 0; i < words; i++) target[at + i] = source[start + i]!;
  }

  #word(ref: Ref, word: number): number {
    return this.#arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + word]!;
  }

  #setWord(ref: Ref, word: number, value: number): void {
    this.#arena.touch(ref, word * 4, 4);
    this.#setWordUnguarded(ref, word, value);
  }

  #setWordUnguarded(ref: Ref, word: number, value: number): void {
    this.#arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + word] = value;
  }
}

/** Returns bit 7 of each byte of `word` that is 0. This is exact: no carry crosses a byte. */
function zeroBytes(word: number): number {
  return ~(((word & 0x7f7f7f7f) + 0x7f7f7f7f) | word | 0x7f7f7f7f);
}

function reverseBits(value: number): number {
  let v = value;
  v = ((v >>> 1) & 0x55555555) | ((v & 0x55555555) << 1);
  v = ((v >>> 2) & 0x33333333) | ((v & 0x33333333) << 2);
  v = ((v >>> 4) & 0x0f0f0f0f) | ((v & 0x0f0f0f0f) << 4);
  v = ((v >>> 8) & 0x00ff00ff) | ((v & 0x00ff00ff) << 8);
  return ((v >>> 16) | (v << 16)) >>> 0;
}
