/** Servers below one another: attaching them, and waiting until they have what is above them. */
import { type Context, until } from './scenario.ts';
import type { Server } from './server.ts';

const SYNC_TIMEOUT_MS = 300_000;
const POLL_MS = 5;

/** Makes `below` a replica of `above`, without waiting for the sync. */
export async function follow(above: Server, below: Server): Promise<void> {
  await below.control.must('REPLICAOF', '127.0.0.1', String(above.port));
}

/**
 * Whether `below`, which may be some hops below `head`, is online, in the stream of `head`, and at
 * its offset.
 */
export async function isCaughtUp(head: Server, below: Server): Promise<boolean> {
  const lower = await below.control.info('replication');
  if (lower.get('master_link_status') !== 'up') return false;
  const upper = await head.control.info('replication');
  return (
    lower.get('master_replid') === upper.get('master_replid') &&
    lower.get('slave_repl_offset') === upper.get('master_repl_offset')
  );
}

/** Resolves once {@link isCaughtUp} holds. Nobody may write for long before. */
export async function caughtUp(head: Server, below: Server): Promise<void> {
  const what = `the server at ${below.port} at the offset of the head of its chain`;
  await until(what, () => isCaughtUp(head, below), SYNC_TIMEOUT_MS, POLL_MS);
}

/** Starts `count` measured servers, all with `options`. */
export async function startNodes(
  context: Context,
  count: number,
  ...options: string[]
): Promise<Server[]> {
  const nodes: Server[] = [];
  for (let i = 0; i < count; i++) nodes.push(await context.start(...options));
  return nodes;
}

/** Makes `nodes` a chain below `head`: each follows the one before it. Does not wait. */
export async function link(head: Server, nodes: readonly Server[]): Promise<void> {
  let above = head;
  for (const node of nodes) {
    await follow(above, node);
    above = node;
  }
}
