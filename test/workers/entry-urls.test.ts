import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { packageUrl } from '../../src/base/package-root.ts';
import { workerEntryUrl } from '../../src/workers/entry-urls.ts';

test('an entry is the built file, from the sources as from the build', async () => {
  const built = (await import('../../dist/workers/entry-urls.js' as string)) as {
    workerEntryUrl: typeof workerEntryUrl;
  };
  expect(workerEntryUrl('load-task').pathname).toMatch(/\/dist\/bundle\/load-task\.js$/);
  expect(built.workerEntryUrl('load-task').href).toBe(workerEntryUrl('load-task').href);
});

test('an entry that was not built is an assertion', () => {
  expect(() => workerEntryUrl('no-such-task')).toThrow('dist/bundle holds no such entry');
});

test.each(['cli', 'snapshot-task', 'load-task', 'compact-task'])(
  'the source of %s takes one byte per character in V8, which keeps it',
  (name) => {
    const source = readFileSync(packageUrl(`dist/bundle/${name}.js`), 'utf8');
    expect(source.match(/[^\0-\xff].*/u)).toBeNull();
  },
);
