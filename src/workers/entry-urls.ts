/**
 * Where worker entries are.
 *
 * Node 20 does not run TypeScript and a Worker refuses it, so entries load from dist/ even when the main thread runs from src/ under
 * the test runner. This file lies two folders below the package in both trees, so one relative URL serves both. Under the tests a worker
 * therefore runs what was built last: build before testing.
 */
import { existsSync } from 'node:fs';
import { assert } from '../base/assert.ts';

/** The URL of dist/workers/`name`.js. */
export function workerEntryUrl(name: string): URL {
  const url = new URL(`../../dist/workers/${name}.js`, import.meta.url);
  assert(existsSync(url), 'dist/workers holds no such entry: build first');
  return url;
}
