/** The main thread's side of compressing blocks of the log: see compact-task.ts. */
import type { CompactResult, CompactTask } from './compact-task.ts';
import { workerEntryUrl } from './entry-urls.ts';
import { createPool, type Pool } from './pool.ts';

export type CompactPool = Pool<CompactTask, readonly CompactResult[]>;

export function createCompactPool(): CompactPool {
  return createPool({ duty: 'compact', entry: workerEntryUrl('compact-task'), threads: 1 });
}
