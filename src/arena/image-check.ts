/**
 * The debug mode of copy-on-write. It takes a sum of every page in use at the freeze and compares
 * it with the image at the thaw. A store that bypassed the write barrier shows as a difference. On
 * in tests; costs a walk of all pages.
 */
import { assert } from '../base/assert.ts';
import { PAGE_WORDS } from './layout.ts';
import type { Pages } from './pages.ts';
import type { Group, Segment } from './segment.ts';

export class ImageCheck {
  readonly #pages: Pages;
  readonly #groups: readonly Group[];
  /** By group: the sums of its pages; 0 for pages that were not in use. */
  readonly #sums: Int32Array[];

  constructor(pages: Pages, groups: readonly Group[]) {
    this.#pages = pages;
    this.#groups = [...groups];
    this.#sums = this.#groups.map((group) => {
      const { all } = group;
      const sums = new Int32Array(group.pages);
      for (let page = 0; page < group.pages; page++) {
        if (inUse(all, page)) sums[page] = pageSum(all.i32, page);
      }
      return sums;
    });
  }

  /** Throws when a page of the image has changed since the freeze. */
  verify(): void {
    for (const [index, group] of this.#groups.entries()) {
      const sums = this.#sums[index]!;
      for (let page = 0; page < sums.length; page++) {
        if (sums[page] === 0) continue;
        assert(
          sums[page] === this.#pages.imagePageSum(group.all, page, pageSum),
          `page ${page} from segment ${group.first} on was written without the barrier`,
        );
      }
    }
  }
}

function inUse(segment: Segment, page: number): boolean {
  return (segment.pageBitmap[page >>> 5]! & (1 << (page & 31))) !== 0;
}

/** The sum is never 0, which stands for a page that is not compared. */
function pageSum(words: Int32Array, page: number): number {
  let sum = 1;
  const end = (page + 1) * PAGE_WORDS;
  for (let i = page * PAGE_WORDS; i < end; i++) sum = (Math.imul(sum, 31) + words[i]!) | 0;
  return sum === 0 ? 1 : sum;
}
