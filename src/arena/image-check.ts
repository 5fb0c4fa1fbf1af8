/**
 * The debug mode of copy-on-write: a sum of every page in use at the freeze, compared at the thaw with what the image
 * says then. A store that bypassed the write barrier shows as a difference. On in tests; costs a walk of all pages.
 */
import { assert } from '../base/assert.ts';
import { PAGE_WORDS } from './layout.ts';
import type { Pages } from './pages.ts';
import type { Segment } from './segment.ts';

export class ImageCheck {
  readonly #pages: Pages;
  readonly #segments: Segment[];
  /** By segment: the sums of its pages; 0 for pages that were not in use. */
  readonly #sums: Int32Array[];

  constructor(pages: Pages) {
    this.#pages = pages;
    this.#segments = [...pages.segments];
    this.#sums = this.#segments.map((segment) => {
      const sums = new Int32Array(segment.pages);
      for (let page = 0; page < segment.pages; page++) {
        if (inUse(segment, page)) sums[page] = pageSum(segment.i32, page);
      }
      return sums;
    });
  }

  /** Throws when a page of the image is not what it was at the freeze. */
  verify(): void {
    for (const [number, segment] of this.#segments.entries()) {
      const sums = this.#sums[number]!;
      for (let page = 0; page < sums.length; page++) {
        if (sums[page] === 0) continue;
        assert(
          sums[page] === this.#pages.imagePageSum(segment, page, pageSum),
          `page ${page} of segment ${number} was written without the barrier`,
        );
      }
    }
  }
}

function inUse(segment: Segment, page: number): boolean {
  return segment.share.meta === undefined || (segment.pageBitmap[page >>> 5]! & (1 << (page & 31))) !== 0;
}

/** Never 0, which stands for a page that is not compared. */
function pageSum(words: Int32Array, page: number): number {
  let sum = 1;
  const end = (page + 1) * PAGE_WORDS;
  for (let i = page * PAGE_WORDS; i < end; i++) sum = (Math.imul(sum, 31) + words[i]!) | 0;
  return sum === 0 ? 1 : sum;
}
