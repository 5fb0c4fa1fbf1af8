/** Checks the bookkeeping of a group of segments, for tests. */
import { assert } from '../base/assert.ts';
import { BLOCK_PAGES, PAGE_BYTES, SEGMENT_BLOCKS } from './layout.ts';
import { BITMAP_WORDS_PER_BLOCK, type Group, SLAB_INNER, SLAB_WORDS, SlabWord } from './segment.ts';
import { classCapacity } from './size-classes.ts';

/** Checks the bookkeeping of a group; returns the bytes of the pages in use. */
export function validateGroup(group: Group): number {
  const { all, pages } = group;
  const first = group.first === 0 ? 1 : 0;
  const owned = new Uint8Array(pages);
  for (let block = 0; block < group.count * SEGMENT_BLOCKS; block++) {
    const at = block * SLAB_WORDS;
    if (all.slabs[at + SlabWord.KIND] === 0) continue;
    owned.fill(1, block * BLOCK_PAGES, (block + 1) * BLOCK_PAGES);
    if (all.slabs[at + SlabWord.KIND] === SLAB_INNER) continue;
    const index = all.slabs[at + SlabWord.KIND]! - 1;
    let free = 0;
    for (let i = 0; i < classCapacity[index]!; i++) {
      const word = all.slabBitmap[block * BITMAP_WORDS_PER_BLOCK + (i >>> 5)]!;
      if ((word & (1 << (i & 31))) !== 0) free++;
    }
    assert(
      free === all.slabs[at + SlabWord.FREE],
      'the free count of a slab is that of its bitmap',
    );
  }
  for (let page = first; page < pages; page++) {
    const run = all.runPages[page]!;
    for (let i = 0; i < run; i++) {
      assert(owned[page + i] === 0, 'a run overlaps nothing');
      owned[page + i] = 1;
    }
  }
  let used = first;
  for (let page = first; page < pages; page++) {
    const isUsed = (all.pageBitmap[page >>> 5]! & (1 << (page & 31))) !== 0;
    assert(isUsed === (owned[page] === 1), 'a page is in use when a slab or a run has it');
    if (isUsed) used++;
  }
  assert(used === group.usedPages, 'a group counts the pages in use');
  return (used - first) * PAGE_BYTES;
}
