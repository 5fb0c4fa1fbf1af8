import { expect, test } from 'vitest';
import { workerEntryUrl } from '../../src/workers/entry-urls.ts';

test('an entry is the built file, from the sources as from the build', async () => {
  const built = (await import('../../dist/workers/entry-urls.js' as string)) as {
    workerEntryUrl: typeof workerEntryUrl;
  };
  expect(workerEntryUrl('entry-urls').pathname).toMatch(/\/dist\/workers\/entry-urls\.js$/);
  expect(built.workerEntryUrl('entry-urls').href).toBe(workerEntryUrl('entry-urls').href);
});

test('an entry that was not built is an assertion', () => {
  expect(() => workerEntryUrl('no-such-task')).toThrow('dist/workers holds no such entry');
});
