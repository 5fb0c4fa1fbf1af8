/**
 * Looks up entries in a hash table of a million entries. Compares the twelve tags byte by byte, or
 * four at once as `HashTable.first` does. Hits and misses come in random order. Entries are
 * numbers, so that only the table itself is measured.
 *
 *   npx tsc -p native-free-bench && node dist-bench/native-free-bench/micro/hash-table.js [entries]
 */
import { Bench } from 'tinybench';
import { Arena } from '../../src/arena/arena.ts';
import { SEGMENT_SHIFT, wordPosition } from '../../src/arena/layout.ts';
import { Prng } from '../../src/base/prng.ts';
import { asRef, NIL, type Ref } from '../../src/base/units.ts';
import {
  BUCKET_ENTRIES,
  bucketIndex,
  CHUNK_BUCKETS,
  CHUNK_SHIFT,
  ENTRY_WORD,
  HashTable,
  TAG_WORD,
  TableWord,
  tagOf,
} from '../../src/structs/hash-table.ts';

const LOOKUPS = 100_000;

const count = Number(process.argv[2] ?? 1_000_000);
const arena = new Arena();
const hashOf = (entry: number): number =>
  Math.imul(entry ^ (entry >>> 15), 0x9e3779b1) ^ (entry << 17);
const tables = new HashTable(arena, { hashOf });
const table = tables.create();
for (let entry = 1; entry <= count; entry++) tables.insert(table, hashOf(entry), asRef(entry));

const word = (ref: number, index: number): number =>
  arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + index]!;

/** Returns the first entry with the tag of `hash`, with a comparison for each tag. */
function firstByBytes(hash: number): Ref {
  const index = bucketIndex(hash, word(table, TableWord.BUCKETS));
  const directory = word(table, TableWord.DIRECTORY);
  let bucket = word(directory, index >>> CHUNK_SHIFT) + (index & (CHUNK_BUCKETS - 1)) * 8;
  const tag = tagOf(hash);
  while (bucket !== NIL) {
    const tags = (wordPosition(bucket) + TAG_WORD) << 2;
    const u8 = arena.u8[bucket >>> SEGMENT_SHIFT]!;
    for (let place = 0; place < BUCKET_ENTRIES; place++) {
      if (u8[tags + place] === tag) return asRef(word(bucket, ENTRY_WORD + place));
    }
    bucket = word(bucket, 0);
  }
  return NIL;
}

function hashesFrom(start: number): Int32Array {
  const prng = new Prng(1);
  return Int32Array.from({ length: LOOKUPS }, () => hashOf(start + prng.below(count)));
}

let checksum = 0;
function lookUpAll(hashes: Int32Array, first: (hash: number) => Ref): void {
  for (let i = 0; i < hashes.length; i++) checksum = (checksum + first(hashes[i]!)) | 0;
}

const bench = new Bench({
  name: `${LOOKUPS} lookups in ${count} entries`,
  iterations: 60,
  time: 0,
});
for (const [name, hashes] of [
  ['hit', hashesFrom(1)],
  ['miss', hashesFrom(count + 1)],
] as const) {
  bench.add(`${name}: byte by byte`, () => lookUpAll(hashes, firstByBytes));
  bench.add(`${name}: four tags at once`, () =>
    lookUpAll(hashes, (hash) => tables.first(table, hash)),
  );
}
await bench.run();
console.table(
  bench.tasks.map((task) => {
    const { result } = task;
    const ns = 'latency' in result ? (result.latency.p50 * 1e6) / LOOKUPS : Number.NaN;
    return { name: task.name, 'ns per lookup': Math.round(ns) };
  }),
);
console.log(`checksum ${checksum}`);
