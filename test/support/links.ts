/**
 * Checks for tests of full syncs: the memory that is held for replicas, and that all of it was
 * freed.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import type { Node } from '../../src/node.ts';
import type { RespClient } from './resp-client.ts';
import { waitFor } from './wait-for.ts';

/** Sets `count` incompressible values of `bytes` bytes. */
export async function fillWithNoise(
  client: RespClient,
  count: number,
  bytes: number,
): Promise<void> {
  const value = Buffer.alloc(bytes);
  let word = 0x2545f491;
  for (let at = 0; at + 4 <= bytes; at += 4) {
    word = (Math.imul(word, 1664525) + 1013904223) | 0;
    value.writeInt32LE(word, at);
  }
  for (let done = 0; done < count; done += 100) {
    const part = Math.min(100, count - done);
    await client.pipeline(
      Array.from({ length: part }, (_, i) => ['SET', `noise:${done + i}`, value]),
    );
  }
}

/** Returns the files of spools that this process holds open. They have no name any more. */
export function openSpills(): string[] {
  const targets: string[] = [];
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      targets.push(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      // The descriptor that read the directory is closed by now.
    }
  }
  return targets.filter((target) => target.includes('.spool'));
}

/** Waits until nothing is held for replicas any more. */
export async function expectNothingHeld(node: Node): Promise<void> {
  const { primary, dumps, server } = node;
  await waitFor(() => primary.peers.size === 0, { what: 'the last replica to be gone' });
  primary.fullSyncs.stop();
  const held = (): object => ({
    peers: primary.peers.size,
    states: primary.states.size,
    targets: primary.fanOut.targetCount,
    waiting: primary.fullSyncs.waitingCount,
    reading: primary.fullSyncs.readingCount,
    dumps: dumps.snapshots.openCount,
    readers: dumps.snapshots.readerCount,
    spooled: dumps.snapshots.spoolMemoryBytes + dumps.snapshots.spoolFileBytes,
    cursors: server.streamLog.openCursors,
    files: openSpills(),
  });
  const nothing = {
    peers: 0,
    states: 0,
    targets: 0,
    waiting: 0,
    reading: 0,
    dumps: 0,
    readers: 0,
    spooled: 0,
    cursors: 0,
    files: [],
  };
  const isNothing = (): boolean => JSON.stringify(held()) === JSON.stringify(nothing);
  await waitFor(isNothing).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(held())}`);
  });
  server.streamLog.validate();
}
