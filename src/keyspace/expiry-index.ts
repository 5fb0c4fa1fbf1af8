/**
 * The deadlines of one database: which entries have one, and which are due. The index is outside of
 * the arena, since a snapshot finds deadlines in the entries. It is in shared memory, so that a
 * loading worker can hand it over.
 *
 *   slot       number of an entry with a deadline, 0 … count - 1, noted in the entry
 *   chunk      1024 slots: refs and deadlines side by side
 *   earliest   per chunk: no deadline in it is earlier (a removal keeps the bound; a search
 *              repairs it)
 *
 * Adding, moving and removing take constant time. A search for due entries reads one number per
 * 1024 deadlines and then only chunks with due entries. So ten million deadlines cost ten thousand
 * comparisons, and no entry is read before its time.
 */
import type { Arena } from '../arena/arena.ts';
import { SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { assert } from '../base/assert.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';
import { MemoryKind, type SharedMemory } from '../base/shared-memory.ts';
import { asRef, NIL, type Ref } from '../base/units.ts';
import { EntryWord, NO_SLOT } from './entry.ts';
import { UndoLog } from './undo-log.ts';

const CHUNK_SLOTS = 1024;
const CHUNK_SHIFT = 10;
const CHUNK_BYTES = CHUNK_SLOTS * 12;

export interface ExpiryShare {
  readonly count: number;
  readonly chunks: readonly SharedArrayBuffer[];
}

interface Chunk {
  readonly buffer: SharedArrayBuffer;
  readonly deadlines: Float64Array;
  readonly refs: Int32Array;
}

/** Throws ARENA_FULL when the system refuses the memory. */
function newChunk(memory: SharedMemory): Chunk {
  try {
    return viewChunk(memory.take(MemoryKind.DEADLINES, CHUNK_BYTES));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new OperatingError(ErrorCode.ARENA_FULL, 'the system refuses memory for deadlines');
  }
}

function viewChunk(buffer: SharedArrayBuffer): Chunk {
  return {
    buffer,
    deadlines: new Float64Array(buffer, 0, CHUNK_SLOTS),
    refs: new Int32Array(buffer, CHUNK_SLOTS * 8, CHUNK_SLOTS),
  };
}

export class ExpiryIndex {
  readonly #arena: Arena;
  readonly #undo: UndoLog;
  readonly #chunks: Chunk[] = [];
  #earliest = new Float64Array(16);
  #count = 0;
  /** The chunk at which the next search for due entries begins. */
  #lookAt = 0;

  /** Changes are noted in `undo` while that is active. */
  constructor(arena: Arena, share?: ExpiryShare, undo = new UndoLog()) {
    this.#arena = arena;
    this.#undo = undo;
    if (share === undefined) return;
    this.#count = share.count;
    for (const buffer of share.chunks) {
      arena.memory.adopt(MemoryKind.DEADLINES, buffer);
      const chunk = viewChunk(buffer);
      this.#addChunk(chunk);
      this.#repair(this.#chunks.length - 1);
    }
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes of memory in use. */
  get bytes(): number {
    return this.#chunks.length * CHUNK_BYTES;
  }

  /** Frees the memory. The index is empty afterwards. */
  drop(): void {
    for (const { buffer } of this.#chunks) this.#arena.memory.give(MemoryKind.DEADLINES, buffer);
    this.#chunks.length = 0;
    this.#count = 0;
  }

  share(): ExpiryShare {
    return { count: this.#count, chunks: this.#chunks.map((chunk) => chunk.buffer) };
  }

  /**
   * Adds an entry and returns its slot, which the caller notes in the entry. Throws ARENA_FULL,
   * having changed nothing, when there is no memory.
   */
  add(entry: Ref, deadlineMs: number): number {
    const slot = this.#count;
    if (slot >>> CHUNK_SHIFT === this.#chunks.length) this.#addChunk(newChunk(this.#arena.memory));
    this.#count++;
    this.#put(slot, entry, deadlineMs);
    if (this.#undo.active) {
      this.#undo.note(() => {
        this.#count = slot;
      });
    }
    return slot;
  }

  /** Gives the entry in `slot` another deadline. */
  change(slot: number, deadlineMs: number): void {
    if (this.#undo.active) {
      const before = this.#chunks[slot >>> CHUNK_SHIFT]!.deadlines[slot & (CHUNK_SLOTS - 1)]!;
      this.#undo.note(() => this.#setDeadline(slot, before));
    }
    this.#setDeadline(slot, deadlineMs);
  }

  #put(slot: number, entry: number, deadlineMs: number): void {
    this.#chunks[slot >>> CHUNK_SHIFT]!.refs[slot & (CHUNK_SLOTS - 1)] = entry;
    this.#setDeadline(slot, deadlineMs);
  }

  #setDeadline(slot: number, deadlineMs: number): void {
    const chunk = slot >>> CHUNK_SHIFT;
    this.#chunks[chunk]!.deadlines[slot & (CHUNK_SLOTS - 1)] = deadlineMs;
    if (deadlineMs < this.#earliest[chunk]!) this.#earliest[chunk] = deadlineMs;
  }

  /** Notes that the entry in `slot` is now at another place. */
  move(slot: number, entry: Ref): void {
    if (this.#undo.active) {
      const before = this.entryAt(slot);
      this.#undo.note(() => this.move(slot, before));
    }
    this.#chunks[slot >>> CHUNK_SHIFT]!.refs[slot & (CHUNK_SLOTS - 1)] = entry;
  }

  /** Removes the entry in `slot`. The last slot's entry moves into it and gets the new number. */
  remove(slot: number): void {
    if (this.#undo.active) this.#noteRemoval(slot);
    const last = --this.#count;
    assert(slot <= last, 'a slot that is removed is in use');
    if (slot === last) {
      this.#dropEmptyChunk(last);
      return;
    }
    const from = this.#chunks[last >>> CHUNK_SHIFT]!;
    const entry = from.refs[last & (CHUNK_SLOTS - 1)]!;
    this.#put(slot, entry, from.deadlines[last & (CHUNK_SLOTS - 1)]!);
    this.#arena.touch(entry, EntryWord.SLOT * 4, 4);
    this.#arena.i32[entry >>> SEGMENT_SHIFT]![wordPosition(entry) + EntryWord.SLOT] = slot;
    this.#dropEmptyChunk(last);
  }

  /**
   * An entry whose deadline lies before `nowMs`, or NIL when there is none. Call it again after the
   * entry is removed. The search goes round, so that all chunks get their turn.
   */
  due(nowMs: number): Ref {
    const chunks = this.#chunks.length;
    for (let i = 0; i < chunks; i++) {
      const index = (this.#lookAt + i) % chunks;
      if (this.#earliest[index]! >= nowMs) continue;
      const { deadlines, refs } = this.#chunks[index]!;
      const slots = this.#slotsIn(index);
      for (let slot = 0; slot < slots; slot++) {
        if (deadlines[slot]! < nowMs) {
          this.#lookAt = index;
          return asRef(refs[slot]!);
        }
      }
      this.#repair(index);
    }
    return NIL;
  }

  /**
   * The mean time left of a few hundred future deadlines, in ms, for INFO's avg_ttl; 0 without any.
   */
  averageTtlMs(nowMs: number): number {
    let sum = 0;
    let seen = 0;
    const step = Math.max(1, Math.floor(this.#count / 256));
    for (let slot = 0; slot < this.#count; slot += step) {
      const left = this.#chunks[slot >>> CHUNK_SHIFT]!.deadlines[slot & (CHUNK_SLOTS - 1)]! - nowMs;
      if (left <= 0) continue;
      sum += left;
      seen++;
    }
    return seen === 0 ? 0 : Math.floor(sum / seen);
  }

  /** The entry in `slot`, for tests and for random choice. */
  entryAt(slot: number): Ref {
    return asRef(this.#chunks[slot >>> CHUNK_SHIFT]!.refs[slot & (CHUNK_SLOTS - 1)]!);
  }

  validate(slotOf: (entry: Ref) => number, deadlineOf: (entry: Ref) => number): void {
    for (let slot = 0; slot < this.#count; slot++) {
      const chunk = this.#chunks[slot >>> CHUNK_SHIFT]!;
      const entry = asRef(chunk.refs[slot & (CHUNK_SLOTS - 1)]!);
      const deadline = chunk.deadlines[slot & (CHUNK_SLOTS - 1)]!;
      assert(slotOf(entry) === slot && slot !== NO_SLOT, 'an entry knows its slot');
      assert(deadlineOf(entry) === deadline, 'index and entry have the same deadline');
      assert(
        this.#earliest[slot >>> CHUNK_SHIFT]! <= deadline,
        'no deadline is before the bound of its chunk',
      );
    }
  }

  /**
   * An undo restores the slot and the last slot as they are now, and the last slot's chunk if it is
   * dropped.
   */
  #noteRemoval(slot: number): void {
    const last = this.#count - 1;
    const chunk = this.#chunks[last >>> CHUNK_SHIFT]!;
    const entry = this.entryAt(slot);
    const deadline = this.#chunks[slot >>> CHUNK_SHIFT]!.deadlines[slot & (CHUNK_SLOTS - 1)]!;
    const lastEntry = this.entryAt(last);
    const lastDeadline = chunk.deadlines[last & (CHUNK_SLOTS - 1)]!;
    this.#undo.note(() => {
      if (last >>> CHUNK_SHIFT === this.#chunks.length) this.#addChunk(chunk);
      this.#count = last + 1;
      this.#put(last, lastEntry, lastDeadline);
      this.#put(slot, entry, deadline);
    });
  }

  #slotsIn(index: number): number {
    return Math.min(CHUNK_SLOTS, this.#count - index * CHUNK_SLOTS);
  }

  #addChunk(chunk: Chunk): void {
    const index = this.#chunks.push(chunk) - 1;
    if (index === this.#earliest.length) {
      const longer = new Float64Array(index * 2);
      longer.set(this.#earliest);
      this.#earliest = longer;
    }
    this.#earliest[index] = Number.POSITIVE_INFINITY;
  }

  #dropEmptyChunk(slot: number): void {
    // In a unit a rollback may need the chunk again. One empty chunk may always stay, so that a
    // count near the border does not drop and make it repeatedly.
    if (this.#undo.active) return;
    if ((slot & (CHUNK_SLOTS - 1)) === 0 && this.#chunks.length > (slot >>> CHUNK_SHIFT) + 1)
      this.#arena.memory.give(MemoryKind.DEADLINES, this.#chunks.pop()!.buffer);
  }

  #repair(index: number): void {
    const { deadlines } = this.#chunks[index]!;
    const slots = this.#slotsIn(index);
    let earliest = Number.POSITIVE_INFINITY;
    for (let slot = 0; slot < slots; slot++)
      if (deadlines[slot]! < earliest) earliest = deadlines[slot]!;
    this.#earliest[index] = earliest;
  }
}
