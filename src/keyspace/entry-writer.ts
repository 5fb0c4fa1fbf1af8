/**
 * Hot path. Writes to entries in their place and to the blocks of separate strings: all writes that
 * need only the arena. Moves of entries are in database.ts, which knows their tables.
 */
import { bytePosition, SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { debugAssert } from '../base/assert.ts';
import { copyBytes } from '../base/byte-copy.ts';
import { NIL, type Ref } from '../base/units.ts';
import {
  ACCESS_SHIFT,
  BytesView,
  EMBSTR_BYTES_MAX,
  ENCODING_MASK,
  ENCODING_SHIFT,
  ENTRY_BYTES,
  ENTRY_IN_PLACE_BYTES_MAX,
  Encoding,
  EntryReader,
  EntryWord,
  metaEncoding,
  metaHeaderBytes,
  STRING_HEADER_BYTES,
  ValueType,
} from './entry.ts';

export class EntryWriter extends EntryReader {
  /** For use inside of one call. */
  protected readonly view = new BytesView();

  /**
   * Notes that the collection of `entry` has another encoding or place. The caller frees the old
   * one.
   */
  setObject(entry: Ref, encoding: Encoding, value: Ref): void {
    this.arena.touch(entry, 0, ENTRY_BYTES);
    const i32 = this.arena.i32[entry >>> SEGMENT_SHIFT]!;
    const word = wordPosition(entry);
    i32[word] = (i32[word]! & ~(ENCODING_MASK << ENCODING_SHIFT)) | (encoding << ENCODING_SHIFT);
    i32[word + EntryWord.VALUE] = value;
  }

  /**
   * Stores bytes into the string of `entry` from `at` on. The string must be long enough. Not for
   * encoding INT.
   */
  writeString(entry: Ref, at: number, bytes: Uint8Array, start: number, length: number): void {
    if (length === 0) return;
    const view = this.view;
    this.stringInto(entry, view);
    debugAssert(at + length <= view.length, 'a write stays inside its string');
    const meta = this.word(entry, EntryWord.META);
    if (metaEncoding(meta) === Encoding.RAW_APART) {
      this.arena.touch(this.value(entry), STRING_HEADER_BYTES + at, length);
    } else {
      this.arena.touch(entry, metaHeaderBytes(meta) + this.word(entry, EntryWord.KEY) + at, length);
    }
    copyBytes(bytes, start, view.bytes, view.position + at, length);
  }

  setAccess(entry: Ref, access: number): void {
    const word = wordPosition(entry);
    this.arena.touch(entry, 0, 4);
    const i32 = this.arena.i32[entry >>> SEGMENT_SHIFT]!;
    i32[word] = (i32[word]! & ((1 << ACCESS_SHIFT) - 1)) | (access << ACCESS_SHIFT);
  }

  /**
   * Allocated bytes of an entry and of its separate string. The structure of a collection knows the
   * bytes of the collection.
   */
  entryBytes(entry: Ref): number {
    const apart =
      this.type(entry) === ValueType.STRING && this.encoding(entry) === Encoding.RAW_APART;
    return this.arena.blockBytes(entry) + (apart ? this.arena.blockBytes(this.value(entry)) : 0);
  }

  protected isInPlace(entry: Ref): boolean {
    return this.type(entry) === ValueType.STRING && this.encoding(entry) !== Encoding.RAW_APART;
  }

  protected copyBlock(from: Ref, to: Ref, bytes: number): void {
    const arena = this.arena;
    const source = arena.u8[from >>> SEGMENT_SHIFT]!;
    copyBytes(source, bytePosition(from), arena.u8[to >>> SEGMENT_SHIFT]!, bytePosition(to), bytes);
  }

  /**
   * A block for a separate string with room to grow. When there is no memory for it, frees `owner`,
   * a new object.
   */
  protected newApart(
    bytes: Uint8Array,
    start: number,
    length: number,
    room: number,
    owner: Ref,
  ): Ref {
    let block: Ref;
    try {
      block = this.arena.alloc(STRING_HEADER_BYTES + room);
    } catch (error) {
      if (owner !== NIL) this.arena.free(owner);
      throw error;
    }
    this.arena.i32[block >>> SEGMENT_SHIFT]![wordPosition(block)] = length;
    const at = bytePosition(block) + STRING_HEADER_BYTES;
    copyBytes(bytes, start, this.arena.u8[block >>> SEGMENT_SHIFT]!, at, length);
    return block;
  }

  /**
   * Sets the greater length of a string that has room for it, makes it raw, and fills the new bytes
   * with zeros.
   */
  protected setStringLength(entry: Ref, meta: number, before: number, length: number): void {
    const arena = this.arena;
    const segment = entry >>> SEGMENT_SHIFT;
    const word = wordPosition(entry);
    if (metaEncoding(meta) === Encoding.RAW_APART) {
      const block = this.value(entry);
      arena.touch(block, 0, 4);
      arena.i32[block >>> SEGMENT_SHIFT]![wordPosition(block)] = length;
      if (length > before) {
        arena.touch(block, STRING_HEADER_BYTES + before, length - before);
        const at = bytePosition(block) + STRING_HEADER_BYTES;
        arena.u8[block >>> SEGMENT_SHIFT]!.fill(0, at + before, at + length);
      }
      return;
    }
    const headerBytes = metaHeaderBytes(meta);
    const keyLength = this.word(entry, EntryWord.KEY);
    arena.touch(entry, 0, headerBytes + keyLength + length);
    const i32 = arena.i32[segment]!;
    i32[word] =
      (i32[word]! & ~(ENCODING_MASK << ENCODING_SHIFT)) | (Encoding.RAW << ENCODING_SHIFT);
    i32[word + EntryWord.VALUE] = length;
    const at = bytePosition(entry) + headerBytes + keyLength;
    arena.u8[segment]!.fill(0, at + before, at + length);
  }
}

/**
 * Whether a string is kept apart from its entry, which would have `inPlace` bytes with it. Never
 * for a short string.
 */
export function keptApart(inPlace: number, valueLength: number): boolean {
  return inPlace > ENTRY_IN_PLACE_BYTES_MAX && valueLength > EMBSTR_BYTES_MAX;
}
