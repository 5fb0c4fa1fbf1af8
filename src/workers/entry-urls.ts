/**
 * The places of worker entries.
 *
 * Node 20 does not run TypeScript and a Worker refuses it, so entries load from dist/ even when the
 * main thread runs from src/ under the test runner. So in tests a worker runs the last build: build
 * before testing.
 */
import { existsSync } from 'node:fs';
import { assert } from '../base/assert.ts';
import { packageUrl } from '../base/package-root.ts';

/** The URL of dist/bundle/`name`.js, which is dist/workers/`name`.js with all that it imports. */
export function workerEntryUrl(name: string): URL {
  const url = packageUrl(`dist/bundle/${name}.js`);
  assert(existsSync(url), 'dist/bundle holds no such entry: build first');
  return url;
}
