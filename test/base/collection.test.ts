import { afterEach, expect, test, vi } from 'vitest';
import { CollectionWatch, collectInSteps } from '../../src/base/collection.ts';
import { waitFor } from '../support/wait-for.ts';

afterEach(() => {
  vi.unstubAllGlobals();
});

test('a system that refuses the buffer gets a collection all the same', async () => {
  const watch = new CollectionWatch();
  vi.stubGlobal(
    'ArrayBuffer',
    class {
      constructor() {
        throw new RangeError('Array buffer allocation failed');
      }
    },
  );
  expect(collectInSteps()).toBe(0);
  vi.unstubAllGlobals();
  await waitFor(() => watch.hasEnded, { what: 'the collection' });
});
