/**
 * Walks the entries of a hash table through a reader, bucket by bucket. structs/hash-table.ts draws
 * the layout. The walk is for an image on a worker, where no table object exists.
 *
 * The walk copies a chunk of 64 buckets at once, gathers its refs, and visits the entries one after
 * another. Hot path.
 */
import {
  BUCKET_ENTRIES,
  BUCKET_WORDS,
  CHUNK_BUCKETS,
  ENTRY_WORD,
  TABLE_BYTES,
  TableWord,
} from '../structs/hash-table.ts';
import type { ObjectReader } from './object-reader.ts';

/** What is done with each entry, and after each chunk of them. */
export interface TableVisitor {
  entry(ref: number): void;
  /** `entries` have been visited since the last call. */
  progress(entries: number): void;
}

const CHUNK_WORDS = CHUNK_BUCKETS * BUCKET_WORDS;
/** Refs of chunks that are copied at once. */
const DIRECTORY_WORDS = 1024;
/**
 * Entries lie anywhere in memory, so each visit misses the cache. Waiting for each miss takes a
 * tenth of the time of a dump.
 */
const PREFETCH_ENTRIES = 16;

export class TableWalk {
  readonly #reader: ObjectReader;
  readonly #header = new Int32Array(TABLE_BYTES / 4);
  readonly #directory = new Int32Array(DIRECTORY_WORDS);
  readonly #chunk = new Int32Array(CHUNK_WORDS);
  readonly #overflow = new Int32Array(BUCKET_WORDS);
  /** Refs of the entries of a chunk; longer when its buckets overflow. */
  #entries = new Int32Array(CHUNK_BUCKETS * BUCKET_ENTRIES * 2);
  #count = 0;

  constructor(reader: ObjectReader) {
    this.#reader = reader;
  }

  /** Visits every entry of the table once. */
  walk(table: number, visitor: TableVisitor): void {
    this.#reader.read(table, 0, TABLE_BYTES / 4, this.#header, 0);
    const buckets = this.#header[TableWord.BUCKETS]!;
    const directory = this.#header[TableWord.DIRECTORY]!;
    const chunks = Math.ceil(buckets / CHUNK_BUCKETS);
    for (let index = 0; index < chunks; index++) {
      const place = index % DIRECTORY_WORDS;
      if (place === 0) {
        const words = Math.min(DIRECTORY_WORDS, chunks - index);
        this.#reader.read(directory, index, words, this.#directory, 0);
      }
      this.#gather(
        this.#directory[place]!,
        Math.min(CHUNK_BUCKETS, buckets - index * CHUNK_BUCKETS),
      );
      this.#visit(visitor);
      visitor.progress(this.#count);
    }
  }

  #visit(visitor: TableVisitor): void {
    const entries = this.#entries;
    const count = this.#count;
    for (let i = 0; i < count; ) {
      const end = Math.min(count, i + PREFETCH_ENTRIES);
      this.#reader.prefetch(entries, i, end);
      for (; i < end; i++) visitor.entry(entries[i]!);
    }
  }

  /** Lists the entries of the first `buckets` buckets of a chunk. */
  #gather(chunk: number, buckets: number): void {
    const words = this.#chunk;
    this.#reader.read(chunk, 0, buckets * BUCKET_WORDS, words, 0);
    this.#count = 0;
    for (let at = 0; at < buckets * BUCKET_WORDS; at += BUCKET_WORDS) {
      this.#gatherBucket(words, at);
      let next = words[at]!;
      while (next !== 0) {
        this.#reader.read(next, 0, BUCKET_WORDS, this.#overflow, 0);
        this.#gatherBucket(this.#overflow, 0);
        next = this.#overflow[0]!;
      }
    }
  }

  #gatherBucket(words: Int32Array, at: number): void {
    if (this.#count + BUCKET_ENTRIES > this.#entries.length) {
      const longer = new Int32Array(this.#entries.length * 2);
      longer.set(this.#entries);
      this.#entries = longer;
    }
    const entries = this.#entries;
    let count = this.#count;
    for (let place = at + ENTRY_WORD; place < at + BUCKET_WORDS; place++) {
      // The places of a bucket are filled in order.
      if (words[place] === 0) break;
      entries[count++] = words[place]!;
    }
    this.#count = count;
  }
}
