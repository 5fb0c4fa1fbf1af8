/** DEBUG CLIENT-EVICTION: how many clients are of which size, and what they take. */
import type { CommandContext } from '../../../commands/context.ts';
import { bucketStart, type ClientMemory, type CountedClient } from '../../net/client-memory.ts';

const COLUMN_CHARS = 10;

export function debugClientBuckets(
  { reply }: CommandContext,
  memory: ClientMemory<CountedClient>,
): void {
  if (!memory.isOn) {
    reply.error('ERR maxmemory-clients is disabled.');
    return;
  }
  const { buckets } = memory;
  const column = (bytes: number): string => String(bytes).padStart(COLUMN_CHARS);
  const lines = buckets.map(({ bytes, clients }, bucket) => {
    const isLast = bucket === buckets.length - 1;
    const to = isLast ? '+            ' : ` - ${column(bucketStart(bucket + 1) - 1)}`;
    const range = `bucket ${column(bucketStart(bucket))}${to}`;
    return `${range}: tot-mem: ${column(bytes)}, clients: ${clients}\n`;
  });
  reply.verbatim('txt', lines.join(''));
}
