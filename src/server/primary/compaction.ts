/**
 * Compresses the sealed blocks of the log in a worker, and expands those that a peer comes to.
 *
 *   block sealed ─▶ worker: pack ───▶ the log keeps the compressed block, its memory is used again
 *   peer, PSYNC ──▶ worker: unpack ─▶ the peer is called, and goes on at its own pace
 *
 * The newest blocks are packed first, several in one task when they wait. Data that does not get
 * smaller is recognized by its first task: of the following blocks only each second is tried, then
 * each fourth, down to one in 16.
 *
 * A core that compresses is a core that the node, its clients and replicas do without. So the thread
 * that compresses has the lowest priority on Linux, and rests behind each task while the loop is
 * busy, REST times as long as the task took. A flood that outruns it is stored as it is. While the
 * loop is calm and no blocks wait, the thread compresses more thoroughly, else quickly.
 *
 * Another thread expands. Threads end when they were idle for some seconds, but not this one while
 * compression spares more memory than a thread takes: a replica that comes back need not wait for
 * its start.
 *
 * A worker that dies, or has no memory, leaves the blocks of its task as they are. A peer that waits
 * is answered by the next try; when several fail in a row its link ends, and it may ask again.
 * A block that has another checksum than before ends the links of the peers that would come to it;
 * they get a full sync.
 *
 * Main thread.
 */
import { performance } from 'node:perf_hooks';
import { codeOf, ErrorCode, messageOf, OperatingError } from '../../base/errors.ts';
import { MemoryKind } from '../../base/shared-memory.ts';
import { MIB } from '../../base/units.ts';
import type { Block } from '../../replication/log-cursor.ts';
import { type CompactPool, createCompactPool } from '../../workers/compact-job.ts';
import type { Effort } from '../../workers/compact-task.ts';
import type { Server } from '../server.ts';

const SKIPPED_MAX = 15;
/** The loop is busy when it works for more than this part of the time, calm below the other. */
const BUSY_SHARE = 0.8;
const CALM_SHARE = 0.5;
/** Blocks in one task: a worker need not wait for this thread behind each of them. */
const BATCH_MAX = 4;
/** With more blocks waiting the worker does not keep up. */
const WAITING_MAX = 2;
/** Memory of a thread. */
const THREAD_BYTES = 16 * MIB;
/** The worker's rest while the loop is busy, in times of a task. bench: fan-out, history */
const REST = 3;
/** How often a block that a peer waits for is tried when workers die, or have no memory. */
const UNPACK_TRIES = 3;
const SAMPLES_MAX = 4096;
const MS_PER_SECOND = 1000;

export class Compaction {
  /** For INFO: blocks compressed and expanded, and blocks that could not be. */
  packedCount = 0;
  unpackedCount = 0;
  failures = 0;
  /** A part of the log is lost: peers that stand before it will not get through. */
  onLost: () => void = () => {};
  readonly #server: Server;
  /** Threads of their own: that of the packer has a low priority. */
  readonly #unpacker: CompactPool;
  readonly #packer: CompactPool;
  /** The target of the worker. */
  #scratch: SharedArrayBuffer | undefined = undefined;
  #packing = false;
  #loopUse = performance.eventLoopUtilization();
  #isDue = false;
  #closed = false;
  /** Sealed blocks that will still be left as they are. */
  #skip = 0;
  /** The value that #skip had after the last block that was tried. */
  #skipped = 0;
  /** Ends of the stream with their times, at most one per second: they give the age of the history. */
  #samples: { readonly offset: number; readonly ms: number }[] = [];
  #sampledMs = Number.NEGATIVE_INFINITY;

  constructor(
    server: Server,
    unpacker: CompactPool = createCompactPool(),
    packer: CompactPool = createCompactPool(),
  ) {
    this.#server = server;
    this.#unpacker = unpacker;
    this.#packer = packer;
    server.streamLog.onPackable = () => this.#soon();
    server.streamLog.onWanted = (block) => this.#unpack(block);
    server.config.onChange(['repl-backlog-compression'], () => {
      this.#soon();
      return null;
    });
  }

  /** Seconds since the oldest retained byte was streamed. */
  get historySeconds(): number {
    const [first] = this.#samples;
    if (first === undefined || !this.#server.streamLog.active) return 0;
    return Math.floor((this.#server.clock.monotonicMs() - first.ms) / MS_PER_SECOND);
  }

  /** Called a few times per second. */
  tick(): void {
    const { streamLog, clock } = this.#server;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#sampledMs < MS_PER_SECOND) return;
    this.#sampledMs = nowMs;
    const spared = streamLog.active ? streamLog.histlen - streamLog.storedBytes : 0;
    if (spared > THREAD_BYTES && !this.#closed) this.#unpacker.warm();
    const samples = this.#samples;
    // The log follows another stream now, whose offsets are lower.
    if ((samples.at(-1)?.offset ?? 0) > streamLog.endOffset) samples.length = 0;
    let gone = 0;
    while (gone < samples.length && samples[gone]!.offset < streamLog.firstOffset) gone++;
    samples.splice(0, gone);
    const last = samples.at(-1);
    if (last === undefined || last.offset !== streamLog.endOffset)
      samples.push({ offset: streamLog.endOffset, ms: nowMs });
    // A long history is known less exactly.
    if (samples.length > SAMPLES_MAX) this.#samples = samples.filter((_, i) => i % 2 === 0);
  }

  collectWorker(): void {
    this.#unpacker.collect();
    this.#packer.collect();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#unpacker.close(), this.#packer.close()]);
  }

  /** Packs in another turn than that of the command that has sealed the block. */
  #soon(): void {
    if (this.#isDue || this.#packing || this.#closed) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      this.#packAll();
    });
  }

  async #packAll(): Promise<void> {
    if (this.#packing) return;
    this.#packing = true;
    try {
      while (!this.#closed && this.#server.config.values.replBacklogCompression) {
        const share = this.#loopShare();
        const keepsUp = this.#server.streamLog.packedBlocks.toPack <= WAITING_MAX;
        const effort = share <= CALM_SHARE && keepsUp ? 'thorough' : 'quick';
        const blocks = this.#blocksToPack();
        if (blocks.length === 0) break;
        const startMs = this.#server.clock.monotonicMs();
        if (!(await this.#pack(blocks, effort))) break;
        const tookMs = this.#server.clock.monotonicMs() - startMs;
        if (share > BUSY_SHARE) await rest(tookMs * REST);
      }
    } finally {
      this.#packing = false;
    }
  }

  /** The part of the time that the loop has worked since this was asked before. */
  #loopShare(): number {
    const before = this.#loopUse;
    this.#loopUse = performance.eventLoopUtilization();
    return performance.eventLoopUtilization(this.#loopUse, before).utilization;
  }

  /** The next blocks to be packed, which {@link StreamLog.packed} ends. */
  #blocksToPack(): Block[] {
    const { streamLog } = this.#server;
    const blocks: Block[] = [];
    // Data of which the last block did not get smaller is tried by one block.
    const most = this.#skipped > 0 ? 1 : BATCH_MAX;
    while (blocks.length < most) {
      const block = streamLog.beginPack();
      if (block === undefined) break;
      if (this.#skip > 0) {
        this.#skip--;
        streamLog.packed(block, block.bytes, 0, 0, 0);
      } else {
        blocks.push(block);
      }
    }
    return blocks;
  }

  /** False when no worker could do it: the next sealed block tries again. */
  async #pack(blocks: readonly Block[], effort: Effort): Promise<boolean> {
    const { streamLog, log } = this.#server;
    try {
      const to = this.#target(blocks.reduce((sum, { used }) => sum + used, 0));
      const from = blocks.map(({ bytes, used }) => ({
        memory: bytes.buffer,
        start: 0,
        length: used,
      }));
      const results = await this.#packer.run({ kind: 'pack', from, to, effort });
      let start = 0;
      for (const [i, { bytes, crcLow, crcHigh }] of results.entries()) {
        streamLog.packed(blocks[i]!, new Uint8Array(to, start), bytes, crcLow, crcHigh);
        start += bytes;
        if (bytes > 0) this.packedCount++;
        this.#skipped = bytes > 0 ? 0 : Math.min(SKIPPED_MAX, this.#skipped * 2 + 1);
        this.#skip = this.#skipped;
      }
      return true;
    } catch (error) {
      for (const block of blocks)
        if (block.isPacking) streamLog.packed(block, block.bytes, -1, 0, 0);
      if (!(error instanceof OperatingError) && !(error instanceof RangeError)) throw error;
      if (codeOf(error) === ErrorCode.CANCELLED) return false;
      this.failures++;
      log.warning(`A block of the backlog stays uncompressed: ${messageOf(error)}`);
      return false;
    }
  }

  /** Expands `block`, which has no bytes, for the cursors that wait for it. */
  async #unpack(block: Block): Promise<void> {
    const { streamLog, log } = this.#server;
    const { packed } = block;
    if (packed === undefined) return;
    let memory: SharedArrayBuffer;
    try {
      memory = streamLog.takeBlock(block);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.failures++;
      log.warning('The system refuses memory for a part of the backlog: its replicas are cut off');
      streamLog.unavailable(block);
      return;
    }
    const task = {
      kind: 'unpack',
      from: packed.pieces.map(({ slab, start, length }) => ({
        memory: slab.bytes.buffer,
        start,
        length,
      })),
      to: { memory, start: 0, length: block.used },
      crcLow: packed.crcLow,
      crcHigh: packed.crcHigh,
    } as const;
    for (let tries = 1; ; tries++) {
      try {
        await this.#unpacker.run(task);
        this.unpackedCount++;
        streamLog.unpacked(block, memory);
        return;
      } catch (error) {
        if (!(error instanceof OperatingError)) throw error;
        if (error.code === ErrorCode.CANCELLED) return;
        if (error.code !== ErrorCode.CORRUPT) {
          if (tries < UNPACK_TRIES) continue;
          // The bytes are whole: whoever asks again may find a worker, and memory.
          this.failures++;
          log.warning(`A part of the backlog cannot be read now: ${error.message}`);
          streamLog.unavailable(block, memory);
          return;
        }
        // The compressed bytes of a block that has left the log meanwhile may be overwritten.
        if (!streamLog.lost(block, memory)) return;
        this.failures++;
        log.warning(`A part of the backlog is lost: ${error.message}`);
        this.onLost();
        return;
      }
    }
  }

  /** Memory that the worker compresses into. */
  #target(bytes: number): SharedArrayBuffer {
    if (this.#scratch !== undefined && this.#scratch.byteLength >= bytes) return this.#scratch;
    const { memory } = this.#server;
    if (this.#scratch !== undefined) memory.drop(MemoryKind.RING, this.#scratch);
    // The system may refuse the next one.
    this.#scratch = undefined;
    this.#scratch = memory.take(MemoryKind.RING, bytes);
    return this.#scratch;
  }
}

const rest = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
