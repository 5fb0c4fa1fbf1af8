import { afterEach, expect, test, vi } from 'vitest';
import { CollectionWatch, collectInSteps } from '../../src/base/collection.ts';
import { MIB } from '../../src/base/units.ts';
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
  collectInSteps();
  vi.unstubAllGlobals();
  await waitFor(() => watch.hasEnded, { what: 'the collection' });
});

test('the pressure on V8 ends with the turn, long before the collection', async () => {
  const before = process.memoryUsage().arrayBuffers;
  collectInSteps();
  expect(process.memoryUsage().arrayBuffers - before).toBeGreaterThan(64 * MIB);
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(MIB);
});
