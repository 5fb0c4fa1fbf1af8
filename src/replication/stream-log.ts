/**
 * The stream log holds everything this node streams, once, in blocks of shared memory addressed by
 * replication offset. The backlog is its retained tail, and every peer is a cursor on it; nothing
 * is copied per peer. Hot path.
 *
 *   firstOffset                                                      endOffset (master_repl_offset)
 *   │                                                                        │
 *   ├── head ──────┬──────────────┬──────────────┬────────────── tail ───────┤
 *   │ block pins=1 │ block pins=0 │ block pins=2 │ block pins=9 ███████████░░░░░░░  ░ unwritten
 *   └──────────────┴──────────────┴──────────────┴──────────────────────────────
 *     ▲ slow peer                   ▲▲              ▲ peers near the end
 *                  ├──────── at least backlogBytesMax retained ──────────────┤
 *
 * Block `b` holds offsets b.start … b.start + b.used - 1. A cursor pins the one block that it is
 * in. Blocks leave only at the head, and only when no cursor pins the head and the rest still covers
 * `backlogBytesMax`. A worker that compresses a block keeps its bytes, but not its place. A slow peer
 * keeps all blocks after its own, so it (and any PSYNC) can go on. `pinnedBytes` counts these blocks
 * once. Trimming looks at the head's pin count and never at the cursors: append costs the same with
 * one cursor and with a thousand.
 *
 * Blocks are a quarter of the backlog, from 16 KiB to 1 MiB. A write to a peer ends at a block's
 * end, so small blocks cost system calls. Large blocks retain up to one block more than requested.
 *
 * Sealed blocks may be compressed (server/primary/compaction.ts): then the block has no bytes here,
 * and `backlogBytesMax` bounds what is *stored*. A cursor that comes to such a block waits: `next`
 * returns 0, {@link StreamCursor.isWaiting} is true, and `onReady` is called when the block has its
 * bytes again. It keeps them as long as a cursor stands in it.
 *
 *   RAW ─── packed ───▶ PACKED ─── a cursor comes, expanded ───▶ PACKED, with its bytes
 *    └ not worth it: stays RAW      ▲                                │
 *                                   └──── the last cursor leaves ────┘
 *
 * When the system refuses memory for a block, the backlog becomes shorter: its oldest block serves
 * again. If a cursor pins that, all cursors are closed ({@link StreamLog.onRefused}) and a block that
 * is kept for this case serves; a block whose last write has ended is kept for the next case. An
 * append fails, and the process ends, when memory is refused again before any of these writes has
 * ended and new readers have come.
 *
 * Bytes from a slice stay unchanged until `advance` of that slice: the pin outlasts the write, even
 * past `closeCursor`. Main thread only; the memory is shared for the worker that compresses.
 */
import { assert, debugAssert } from '../base/assert.ts';
import { copyBytes, withView } from '../base/byte-copy.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';
import { Lease } from '../base/lease.ts';
import { MemoryKind, SharedMemory } from '../base/shared-memory.ts';
import { asOffset, KIB, MIB, type Offset, offsetAfter } from '../base/units.ts';
import { BlockStore } from './block-store.ts';
import { Block, StreamCursor } from './log-cursor.ts';

export const BLOCK_BYTES_MIN = 16 * KIB;
export const BLOCK_BYTES_MAX = MIB;
/**
 * Blocks dropped per call of trim. It keeps the turn short after a peer that was gigabytes behind
 * goes away.
 */
const TRIM_BLOCKS_MAX = 64;

export function blockBytesFor(backlogBytesMax: number): number {
  const quarter = Math.floor(backlogBytesMax / 4 / BLOCK_BYTES_MIN) * BLOCK_BYTES_MIN;
  return Math.max(BLOCK_BYTES_MIN, Math.min(BLOCK_BYTES_MAX, quarter));
}

const NO_MEMORY = new SharedArrayBuffer(0);
const NO_BLOCK = new Block(NO_MEMORY, asOffset(0));

export class StreamLog {
  /**
   * Offset of the last byte of the stream. Unchanged while the log is inactive. Read-only for other
   * modules.
   */
  endOffset: Offset;
  /**
   * Offset of the first byte retained; endOffset + 1 without one. Read-only for other modules, which
   * ask {@link readableFrom} before they begin to read.
   */
  firstOffset: Offset;
  /**
   * False on a primary without replicas and backlog: nothing is recorded and the offset stands
   * still.
   */
  active: boolean;
  /** Cursors opened and not closed. */
  openCursors: number;
  #backlogBytesMax: number;
  #blockBytes: number;
  /** Retained blocks from #headIndex on, in order of their start; places before it are spent. */
  #blocks: Block[];
  #headIndex: number;
  #tail: Block;
  /** Bytes of memory in retained blocks, used or not. */
  #capacityBytes: number;
  /** Bytes that compression has spared: of packed blocks, what they were longer. */
  #savedBytes = 0;
  /** Bytes before this offset cannot be read any more; their blocks leave when nobody stands there. */
  #lostBefore: Offset = asOffset(0);
  readonly #store: BlockStore;
  /** A reader needs the bytes from here on in the turn in which it asks: they are not compressed. */
  rawFrom: () => number = () => Number.POSITIVE_INFINITY;
  /** A block was sealed, or its last cursor has left it. */
  onPackable: (() => void) | undefined = undefined;
  /** A cursor has come to a packed block: to be answered by {@link unpacked} or {@link lost}. */
  onWanted: ((block: Block) => void) | undefined = undefined;
  /** The pool of blocks: a fresh megabyte costs page faults, a used one nothing. */
  readonly #memory: SharedMemory;
  /** Memory for the block after a refusal. */
  #reserve: SharedArrayBuffer | undefined = undefined;
  /** Blocks that left the log while a write was in flight, or while a worker compressed them. */
  readonly #leaving = new Set<Block>();
  /** Must close all cursors. Called from within an append that finds no memory. */
  onRefused: () => void = () => {};
  /**
   * The bytes that were appended and are not copied yet; counted in endOffset. Owners of the
   * buffers given to {@link appendDeferred} reclaim them here.
   */
  readonly lease: Lease;

  constructor(
    backlogBytesMax: number,
    endOffset: Offset,
    memory: SharedMemory = new SharedMemory(),
  ) {
    assert(backlogBytesMax > 0, 'the backlog has a positive size');
    this.endOffset = endOffset;
    this.firstOffset = offsetAfter(endOffset, 1);
    this.active = false;
    this.openCursors = 0;
    this.#backlogBytesMax = backlogBytesMax;
    this.#blockBytes = blockBytesFor(backlogBytesMax);
    this.#blocks = [];
    this.#headIndex = 0;
    this.#tail = NO_BLOCK;
    this.#capacityBytes = 0;
    this.#memory = memory;
    this.#store = new BlockStore(memory);
    this.lease = new Lease(() => this.settle());
  }

  /**
   * Begins to record after `endOffset`, with an empty backlog. Throws ARENA_FULL, having changed
   * nothing, when the system refuses the memory.
   */
  start(endOffset: Offset): void {
    assert(!this.active, 'a log starts once');
    this.#reserve ??= this.#tryTake();
    const first = this.#tryTake();
    if (first === undefined || this.#reserve === undefined)
      throw new OperatingError(ErrorCode.ARENA_FULL, 'the system refuses memory for the stream');
    this.active = true;
    this.endOffset = endOffset;
    this.firstOffset = offsetAfter(endOffset, 1);
    this.#append(new Block(first, this.firstOffset));
  }

  /**
   * Forgets everything and stops recording (`repl-backlog-ttl`, full resync from a primary). No
   * cursor may be open.
   */
  drop(): void {
    assert(this.openCursors === 0, 'cursors are closed before the log is dropped');
    this.active = false;
    this.lease.over();
    for (let i = this.#headIndex; i < this.#blocks.length; i++) {
      const block = this.#blocks[i]!;
      block.detached = true;
      block.next = null;
      this.#giveBack(block);
      if (block.packed !== undefined) this.#store.free(block.packed);
    }
    this.#store.trim();
    this.#savedBytes = 0;
    this.#lostBefore = asOffset(0);
    this.#blocks = [];
    this.#headIndex = 0;
    this.#tail = NO_BLOCK;
    this.#capacityBytes = 0;
    this.firstOffset = offsetAfter(this.endOffset, 1);
    if (this.#reserve !== undefined) this.#memory.give(MemoryKind.LOG, this.#reserve, 0);
    this.#reserve = undefined;
    for (const block of this.#leaving) this.#giveBack(block);
    this.#leaving.clear();
  }

  /** Appends bytes[start … end) by copying them. Must be active. */
  append(bytes: Uint8Array, start: number, end: number): void {
    assert(this.active, 'only an active log takes bytes');
    if (this.lease.size !== 0) this.settle();
    this.endOffset = offsetAfter(this.endOffset, end - start);
    this.#copy(bytes, start, end);
  }

  /**
   * Appends bytes[start … end) and copies them later: pipelined commands that lie side by side in a
   * read buffer become one copy. The offset moves at once. The bytes are leased: their owner may
   * move or overwrite them only after it has reclaimed them from {@link lease}, and calls
   * {@link settle} before anybody else may fill the buffer.
   */
  appendDeferred(bytes: Uint8Array, start: number, end: number): void {
    const { lease } = this;
    if (bytes === lease.bytes && start === lease.end) {
      lease.end = end;
    } else {
      assert(this.active, 'only an active log takes bytes');
      this.settle();
      lease.take(bytes, start, end);
    }
    this.endOffset = offsetAfter(this.endOffset, end - start);
  }

  /**
   * Copies the bytes that {@link appendDeferred} left in the caller's buffer. Call before that
   * buffer is reused.
   */
  settle(): void {
    const { bytes, start, end } = this.lease;
    if (start === end) return;
    // The lease ends first: after a settle the same positions of the same buffer may hold other
    // bytes.
    this.lease.over();
    this.#copy(bytes, start, end);
  }

  /**
   * A reader may begin here or later. It is `firstOffset`, unless a block was lost while a reader
   * stands before it. Bytes that are counted and not copied yet are copied first: they may push out
   * the oldest ones.
   */
  get readableFrom(): Offset {
    if (this.lease.size !== 0) this.settle();
    return asOffset(Math.max(this.#lostBefore, this.firstOffset));
  }

  /** Bytes retained, the backlog's `histlen`. */
  get histlen(): number {
    return this.endOffset - this.firstOffset + 1;
  }

  /** Bytes from {@link readableFrom} on. */
  get readableBytes(): number {
    return this.endOffset - this.readableFrom + 1;
  }

  /** Bytes that the retained ones take: compressed blocks count as they are stored. */
  get storedBytes(): number {
    return this.histlen - this.#savedBytes;
  }

  /** Retained blocks that are compressed, and sealed ones that may be. */
  get packedBlocks(): { readonly packed: number; readonly toPack: number } {
    let packed = 0;
    let toPack = 0;
    for (let i = this.#headIndex; i < this.#blocks.length; i++) {
      const block = this.#blocks[i]!;
      if (block.packed !== undefined) packed++;
      else if (!block.isHard && block.next !== null) toPack++;
    }
    return { packed, toPack };
  }

  /**
   * Bytes retained beyond the size of the backlog, because of cursors (and up to a block of
   * rounding).
   */
  get pinnedBytes(): number {
    return Math.max(0, this.storedBytes - this.#backlogBytesMax);
  }

  /** Memory of the retained blocks. */
  get memoryBytes(): number {
    return this.#capacityBytes + this.#store.memoryBytes;
  }

  get blockBytes(): number {
    return this.#blockBytes;
  }

  get backlogBytesMax(): number {
    return this.#backlogBytesMax;
  }

  /**
   * `repl-backlog-size`. A smaller size takes effect in steps, see {@link trim}; new blocks follow
   * the new size.
   */
  set backlogBytesMax(bytes: number) {
    assert(bytes > 0, 'the backlog has a positive size');
    this.#backlogBytesMax = bytes;
    this.#blockBytes = blockBytesFor(bytes);
    this.trim();
  }

  /**
   * True when a cursor may stand before `offset`: each byte from there on can be read, or `offset`
   * is the next one.
   */
  covers(offset: number): boolean {
    return this.active && offset >= this.readableFrom && offset <= this.endOffset + 1;
  }

  /**
   * A cursor that reads from `offset` on, which must be covered. Close it with {@link closeCursor}.
   */
  openCursor(offset: Offset): StreamCursor {
    assert(this.covers(offset), 'a cursor opens inside the log');
    this.settle();
    let low = this.#headIndex;
    let high = this.#blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#blocks[middle]!.start <= offset) low = middle;
      else high = middle - 1;
    }
    this.openCursors++;
    return new StreamCursor(this, this.#blocks[low]!, offset);
  }

  /**
   * Closes `cursor`. When a slice of it is in flight its block stays pinned until `advance`, which
   * every write's callback must call, also when the write failed.
   */
  closeCursor(cursor: StreamCursor): void {
    cursor.close();
    this.openCursors--;
  }

  /**
   * Drops blocks that left the window, at most 64 per call. Append calls it per block, and so do
   * modules with a clock.
   */
  trim(): number {
    let dropped = 0;
    while (dropped < TRIM_BLOCKS_MAX) {
      const head = this.#blocks[this.#headIndex];
      if (head === undefined || head === this.#tail || isStoodIn(head)) break;
      const stored = head.packed?.bytes ?? head.used;
      const isLost = head.start < this.#lostBefore;
      if (!isLost && this.storedBytes - stored < this.#backlogBytesMax) break;
      this.#leave(this.#dropHead());
      dropped++;
    }
    // The spent half goes away in one move per doubling, so a step of the head costs O(1) over
    // time.
    if (this.#headIndex > 32 && this.#headIndex * 2 > this.#blocks.length) {
      this.#blocks.splice(0, this.#headIndex);
      this.#headIndex = 0;
    }
    return dropped;
  }

  /** For cursors: removes one pin from `block`. */
  unpin(block: Block): void {
    debugAssert(block.pins > 0, 'a pin is taken back once');
    block.pins--;
    if (block.pins > 0) return;
    if (block.detached) {
      if (!this.#leaving.delete(block)) return;
      if (this.#reserve === undefined && block.bytes.length > 0) this.#reserve = block.bytes.buffer;
      else this.#giveBack(block);
      return;
    }
    if (block.packed !== undefined) this.#dropBytes(block);
    else if (block.next !== null && !block.isHard) this.onPackable?.();
    if (block === this.#blocks[this.#headIndex]) this.trim();
  }

  // For compaction.

  /**
   * The newest sealed block that is not compressed and that no cursor stands in; undefined when
   * there is none. Its bytes stay until {@link packed}, but it may leave the log meanwhile: the log
   * does not grow because a worker is slow. When the stream outruns the worker, the oldest blocks
   * leave soon, and compressing these would be in vain.
   */
  beginPack(): Block | undefined {
    const rawFrom = this.rawFrom();
    for (let i = this.#blocks.length - 2; i >= this.#headIndex; i--) {
      const block = this.#blocks[i]!;
      if (block.start + block.used > rawFrom) continue;
      if (block.packed !== undefined || block.isHard || block.pins > 0) continue;
      block.pins++;
      block.isPacking = true;
      return block;
    }
    return undefined;
  }

  /**
   * Ends {@link beginPack}: bytes[0, length) are the compressed block. A `length` of 0 means that
   * the block stays as it is for good, -1 that it may be tried again. A block that a cursor has come
   * to meanwhile also stays as it is. Throws RangeError, and has ended nothing, when the system
   * refuses the memory.
   */
  packed(block: Block, bytes: Uint8Array, length: number, crcLow: number, crcHigh: number): void {
    if (length > 0 && block.pins === 1 && !block.detached) {
      block.packed = this.#store.put(bytes, length, crcLow, crcHigh);
      this.#savedBytes += block.used - length;
    }
    block.isPacking = false;
    if (length === 0) block.isHard = true;
    this.unpin(block);
  }

  /**
   * Memory for the bytes of a packed block, for {@link unpacked} or {@link lost}. Throws RangeError
   * when the system refuses it.
   */
  takeBlock(block: Block): SharedArrayBuffer {
    return this.#memory.take(MemoryKind.LOG, block.used);
  }

  /** A packed block that was wanted has its bytes again, in `memory`. */
  unpacked(block: Block, memory: SharedArrayBuffer): void {
    block.isWanted = false;
    if (block.detached || block.pins === 0) {
      this.#memory.give(MemoryKind.LOG, memory);
      return;
    }
    block.bytes = withView(new Uint8Array(memory));
    this.#capacityBytes += memory.byteLength;
    for (const cursor of block.waiting.splice(0)) cursor.ready(block);
  }

  /**
   * A packed block that was wanted cannot be expanded. Those who stand in it fail, and the history
   * begins behind it. Returns false when the block has left the log meanwhile, so nothing is lost.
   */
  lost(block: Block, memory: SharedArrayBuffer): boolean {
    block.isWanted = false;
    this.#memory.drop(MemoryKind.LOG, memory);
    if (block.detached) return false;
    const behind = offsetAfter(block.start, block.used);
    if (behind > this.#lostBefore) this.#lostBefore = behind;
    for (const cursor of block.waiting.splice(0)) cursor.fail();
    this.trim();
    return true;
  }

  /**
   * A packed block that was wanted cannot be expanded now, and is whole: those who wait for it fail,
   * and others may want it again. `memory` was taken for it.
   */
  unavailable(block: Block, memory?: SharedArrayBuffer): void {
    block.isWanted = false;
    if (memory !== undefined) this.#memory.drop(MemoryKind.LOG, memory);
    for (const cursor of block.waiting.splice(0)) cursor.fail();
  }

  /** For cursors: `cursor` has come to `block`, which has no bytes. */
  want(block: Block, cursor: StreamCursor): void {
    block.waiting.push(cursor);
    if (block.isWanted) return;
    block.isWanted = true;
    assert(this.onWanted !== undefined, 'who packs blocks expands them');
    this.onWanted(block);
  }

  #dropBytes(block: Block): void {
    if (block.bytes.length === 0) return;
    this.#capacityBytes -= block.bytes.length;
    this.#memory.give(MemoryKind.LOG, block.bytes.buffer, block.used);
    block.bytes = NO_BLOCK.bytes;
  }

  /** Walks the blocks and checks the invariants of the file header. */
  validate(): void {
    let offset: number = this.firstOffset;
    let capacityBytes = 0;
    let savedBytes = 0;
    for (let i = this.#headIndex; i < this.#blocks.length; i++) {
      const block = this.#blocks[i]!;
      assert(block.start === offset, 'blocks follow each other without a gap');
      const isPacked = block.packed !== undefined;
      assert(
        isPacked || block.used <= block.bytes.length,
        'a block holds no more than its capacity',
      );
      assert(!isPacked || block.next !== null, 'the tail is never packed');
      if (block.packed !== undefined) savedBytes += block.used - block.packed.bytes;
      assert(block.next === (this.#blocks[i + 1] ?? null), 'blocks are linked in order');
      assert(
        isPacked || block.next === null || block.used === block.bytes.length,
        'only the tail has room',
      );
      offset += block.used;
      capacityBytes += block.bytes.length;
    }
    assert(offset + this.lease.size === this.endOffset + 1, 'the blocks end where the stream ends');
    assert(capacityBytes === this.#capacityBytes, 'the memory of the blocks is counted');
    assert(savedBytes === this.#savedBytes, 'what compression spares is counted');
    assert(!this.active || this.#tail === this.#blocks.at(-1), 'an active log has a tail');
  }

  #copy(bytes: Uint8Array, start: number, end: number): void {
    let from = start;
    while (from < end) {
      let tail = this.#tail;
      if (tail.used === tail.bytes.length) {
        this.#addBlock();
        tail = this.#tail;
      }
      const count = Math.min(end - from, tail.bytes.length - tail.used);
      copyBytes(bytes, from, tail.bytes, tail.used, count);
      from += count;
      tail.used += count;
    }
  }

  /** A block with a write in flight is not used again. */
  #giveBack({ bytes, used, pins }: Block): void {
    if (bytes.length === 0) return;
    if (pins === 0) this.#memory.give(MemoryKind.LOG, bytes.buffer, used);
    else this.#memory.drop(MemoryKind.LOG, bytes.buffer, used);
  }

  /** A block that is still being compressed gives its memory back after that. */
  #leave(block: Block): void {
    if (block.pins === 0) this.#giveBack(block);
    else this.#leaving.add(block);
  }

  #addBlock(): void {
    this.trim();
    const { start, used } = this.#tail;
    const memory = this.#tryTake() ?? this.#takeOldest();
    this.#reserve ??= this.#tryTake();
    this.#append(new Block(memory, offsetAfter(start, used)));
  }

  #append(block: Block): void {
    const sealed = this.#tail;
    if (sealed !== NO_BLOCK) sealed.next = block;
    this.#blocks.push(block);
    this.#tail = block;
    this.#capacityBytes += block.bytes.length;
    if (sealed !== NO_BLOCK) this.onPackable?.();
  }

  /** Undefined when the system refuses the memory. */
  #tryTake(): SharedArrayBuffer | undefined {
    try {
      return this.#memory.take(MemoryKind.LOG, this.#blockBytes);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return undefined;
    }
  }

  /** The memory of the oldest block, which leaves the log. All before the tail may leave. */
  #takeOldest(): SharedArrayBuffer {
    for (;;) {
      const head = this.#blocks[this.#headIndex]!;
      if (isStoodIn(head) || head === this.#tail) break;
      this.#dropHead();
      if (head.pins !== 0) this.#leaving.add(head);
      // A compressed block has no memory of its own.
      else if (head.bytes.length > 0) return head.bytes.buffer;
    }
    this.onRefused();
    assert(this.openCursors === 0, 'without memory for the stream nobody reads it');
    let memory: SharedArrayBuffer | undefined;
    while (this.#headIndex < this.#blocks.length) {
      const block = this.#dropHead();
      if (block.pins !== 0) this.#leaving.add(block);
      else if (memory === undefined && block.bytes.length > 0) memory = block.bytes.buffer;
      else this.#giveBack(block);
    }
    this.#tail = NO_BLOCK;
    if (memory === undefined) {
      memory = this.#reserve;
      this.#reserve = undefined;
    }
    if (memory !== undefined) return memory;
    throw new OperatingError(ErrorCode.ARENA_FULL, 'the system refuses memory for the stream');
  }

  #dropHead(): Block {
    const head = this.#blocks[this.#headIndex]!;
    this.firstOffset = offsetAfter(head.start, head.used);
    this.#capacityBytes -= head.bytes.length;
    if (head.packed !== undefined) {
      this.#savedBytes -= head.used - head.packed.bytes;
      this.#store.free(head.packed);
    }
    this.#blocks[this.#headIndex++] = NO_BLOCK;
    head.detached = true;
    head.next = null;
    return head;
  }
}

/** Somebody reads the block, not only the worker that compresses it. */
function isStoodIn({ pins, isPacking }: Block): boolean {
  return pins > (isPacking ? 1 : 0);
}
