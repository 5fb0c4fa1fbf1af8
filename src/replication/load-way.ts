/**
 * The ways to load the dump of a full sync (`repl-diskless-load`):
 *
 *   way            the dump                                    the old dataset
 *   BESIDE         is loaded as it comes                       is served until the new one is there
 *   FLUSH_FIRST    is loaded as it comes                       goes when the dump begins
 *   STORE_FIRST    goes to a file, and is loaded when whole    is served until then, and then goes
 *
 * The last two need memory for one dataset only. Pure.
 */
import { unreachable } from '../base/assert.ts';

export const LoadWay = { BESIDE: 0, FLUSH_FIRST: 1, STORE_FIRST: 2 } as const;
export type LoadWay = (typeof LoadWay)[keyof typeof LoadWay];

/** The way for a value of `repl-diskless-load`. `isEmpty`: there is no old data. */
export function loadWay(
  name: 'disabled' | 'on-empty-db' | 'swapdb' | 'flush-before-load',
  isEmpty: boolean,
): LoadWay {
  switch (name) {
    case 'swapdb':
      return LoadWay.BESIDE;
    case 'flush-before-load':
      return LoadWay.FLUSH_FIRST;
    case 'on-empty-db':
      return isEmpty ? LoadWay.FLUSH_FIRST : LoadWay.STORE_FIRST;
    case 'disabled':
      return LoadWay.STORE_FIRST;
    default:
      return unreachable(name);
  }
}
