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

/** The URL of dist/workers/`name`.js. */
export function workerEntryUrl(name: string): URL {
  const url = packageUrl(`dist/workers/${name}.js`);
  assert(existsSync(url), 'dist/workers holds no such entry: build first');
  return url;
}
