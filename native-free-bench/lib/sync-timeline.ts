/**
 * When a full sync reaches each node of a chain: the first byte of the dump, the last one, and the
 * link that is up. Read from INFO of each node, every few milliseconds.
 */
import { link } from './chain.ts';
import { pause } from './scenario.ts';
import type { Server } from './server.ts';

/** Milliseconds since all nodes were told to follow the one above. */
export interface HopTimes {
  /** The first bytes of the dump have come. */
  readonly firstMs: number;
  /** All of the dump has come. */
  readonly lastMs: number;
  /** It is loaded, and the stream flows. */
  readonly upMs: number;
}

/** The sync of one chain. */
export interface Timeline {
  readonly title: string;
  /** One for each node below the head, in their order. */
  readonly hops: readonly HopTimes[];
}

/** How often a node is asked, if it answers so soon. */
export const SAMPLE_MS = 10;
const TIMEOUT_MS = 120_000;

/** Makes `nodes` a chain below `head`, all at once, and resolves once the last link is up. */
export async function watchSync(head: Server, nodes: readonly Server[]): Promise<HopTimes[]> {
  const startedMs = performance.now();
  await link(head, nodes);
  return Promise.all(nodes.map((node) => watchNode(node, startedMs)));
}

/**
 * Follows one node. A stage that passes between two samples counts as reached with the later one.
 */
async function watchNode(node: Server, startedMs: number): Promise<HopTimes> {
  let firstMs = -1;
  let lastMs = -1;
  for (;;) {
    const info = String(await node.control.must('INFO', 'replication', 'persistence', 'headwater'));
    const nowMs = performance.now() - startedMs;
    const field = (name: string): string =>
      new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
    const isUp = field('master_link_status') === 'up';
    // redis-server tells the end of the transfer by loading, headwater by its phase.
    const isWhole =
      isUp || field('loading') === '1' || field('headwater_upstream_phase') === 'loading';
    if (firstMs < 0 && (isWhole || Number(field('master_sync_read_bytes')) > 0)) firstMs = nowMs;
    if (lastMs < 0 && isWhole) lastMs = nowMs;
    if (isUp) return { firstMs, lastMs, upMs: nowMs };
    if (nowMs > TIMEOUT_MS) throw new Error(`waited ${TIMEOUT_MS} ms in vain for a full sync`);
    await pause(SAMPLE_MS);
  }
}
