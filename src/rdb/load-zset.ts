/**
 * Reads sorted sets of a dump in all forms that Redis has written: member after member with the
 * score as text or as a binary double, ziplist, listpack. A member that comes twice, a score that
 * is no number, and a listpack that is not in order are errors. Runs on the loading worker, and on
 * the main thread for RESTORE.
 *
 *   score as text    length u8 · so many characters · 253 NaN · 254 inf · 255 -inf
 *
 * A listpack within the limits is taken as it is. All other forms are added member after member,
 * and the limits decide whether the set is large. The nodes of a large set are full when the dump
 * is in order, from either end. Hot path.
 */
import { copyBytes } from '../base/byte-copy.ts';
import { parseFloat64 } from '../base/bytes.ts';
import type { OperatingError } from '../base/errors.ts';
import { NIL, type Ref } from '../base/units.ts';
import type { EncodingLimits } from '../keyspace/encoding-limits.ts';
import { BytesView, Encoding } from '../keyspace/entry.ts';
import type { Keyspace } from '../keyspace/keyspace.ts';
import { hasDuplicates, isScore, validateListpack } from '../structs/listpack-check.ts';
import {
  behindEntry,
  countEntries,
  ELEMENT_TEXT_BYTES_MAX,
  ElementView,
  elementToBytes,
  LISTPACK_HEADER_BYTES,
  readElement,
  TERMINATOR,
} from '../structs/listpack-read.ts';
import { isInOrder, readScore } from '../structs/sorted-listpack.ts';
import type { SortedSet } from '../structs/sorted-set.ts';
import type { CollectionLoader } from './collection-loader.ts';
import { RdbType } from './opcodes.ts';
import type { DumpSource } from './source.ts';
import { firstInZiplist, readZiplistElement, validateZiplist, ZIPLIST_END } from './ziplist.ts';

/** Lengths of a score's text that stand for a value without digits. */
const ScoreText = { NAN: 253, INFINITY: 254, MINUS_INFINITY: 255 } as const;

const MEMBER_FIRST_BYTES = 256;
const MEMBER_KEPT_BYTES = 65536;

export class SortedSetLoader implements CollectionLoader {
  encoding: Encoding = Encoding.LISTPACK;
  value: Ref = NIL;
  readonly #source: DumpSource;
  readonly #keyspace: Keyspace;
  readonly #limits: EncodingLimits;
  readonly #set: SortedSet;
  readonly #view = new BytesView();
  readonly #element = new ElementView();
  readonly #score = new ElementView();
  readonly #text = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  /** A member is copied: reading its score may move the window. */
  #member = new Uint8Array(MEMBER_FIRST_BYTES);

  constructor(source: DumpSource, keyspace: Keyspace, limits: EncodingLimits) {
    this.#source = source;
    this.#keyspace = keyspace;
    this.#limits = limits;
    this.#set = keyspace.structures.newSortedSet();
  }

  /** Reads what follows the key of a sorted set whose type byte was `rdbType`. */
  read(rdbType: number): void {
    const set = this.#set;
    set.open(NIL, false);
    try {
      if (rdbType === RdbType.ZSET_LISTPACK) this.#readListpack();
      else if (rdbType === RdbType.ZSET_ZIPLIST) this.#readZiplist();
      else this.#readMembers(rdbType === RdbType.ZSET_2);
    } catch (error) {
      // Nothing owns the set, whatever the error is.
      if (set.ref !== NIL) set.free();
      throw error;
    }
    this.value = set.ref;
    this.encoding = set.large ? Encoding.SKIPLIST : Encoding.LISTPACK;
  }

  /** A count, then members and scores. */
  #readMembers(binary: boolean): void {
    const source = this.#source;
    const view = this.#view;
    const count = source.length('the count of members of a sorted set');
    if (count === 0) return;
    // The set is large at first, as in Redis. A score that passes through a listpack loses the sign
    // of a zero.
    this.#set.create(true);
    for (let i = 0; i < count; i++) {
      source.string(view);
      const { length } = view;
      this.#copyMember();
      const score = binary ? source.f64() : this.#scoreText();
      if (Number.isNaN(score)) throw source.corrupt('Zset with NAN score detected');
      this.#add(score, this.#member, 0, length);
    }
    this.#set.reduce(this.#limits.zsetMaxListpackEntries, this.#limits.zsetMaxListpackValue);
  }

  #readListpack(): void {
    const { hashKey0, hashKey1, structures } = this.#keyspace;
    this.#source.string(this.#view);
    const { bytes, position, length } = this.#view;
    if (!validateListpack(bytes, position, length, true, checkScore))
      throw this.#source.corrupt('Zset listpack integrity check failed.');
    const count = countEntries(bytes, position);
    if (count % 2 !== 0) throw this.#source.corrupt('a member of a sorted set has no score');
    if (count === 0) return;
    if (count / 2 <= this.#limits.zsetMaxListpackEntries) {
      if (hasDuplicates(bytes, position, 2, hashKey0, hashKey1)) throw this.#duplicate();
      if (!isInOrder(bytes, position)) throw this.#source.corrupt('Zset listpack out of order');
      this.#set.open(structures.listpacks.fromBytes(bytes, position, length), false);
      return;
    }
    this.#set.create(true);
    for (let at = position + LISTPACK_HEADER_BYTES; bytes[at] !== TERMINATOR; ) {
      const scoreAt = behindEntry(bytes, at);
      const score = readScore(bytes, scoreAt, this.#score);
      readElement(bytes, at, this.#element);
      this.#addElement(score);
      at = behindEntry(bytes, scoreAt);
    }
  }

  #readZiplist(): void {
    this.#source.string(this.#view);
    const { bytes, position, length } = this.#view;
    const count = validateZiplist(bytes, position, length);
    if (count < 0) throw this.#source.corrupt('Zset ziplist integrity check failed.');
    if (count % 2 !== 0) throw this.#source.corrupt('a member of a sorted set has no score');
    if (count === 0) return;
    this.#set.create(count / 2 > this.#limits.zsetMaxListpackEntries);
    for (let at = firstInZiplist(position); bytes[at] !== ZIPLIST_END; ) {
      const scoreAt = readZiplistElement(bytes, at, this.#element);
      at = readZiplistElement(bytes, scoreAt, this.#score);
      const score = scoreOf(this.#score);
      if (score === undefined) throw this.#source.corrupt('Zset ziplist integrity check failed.');
      // Redis does not check the lengths here.
      this.#addElement(score, Number.POSITIVE_INFINITY);
    }
  }

  #scoreText(): number {
    const length = this.#source.u8();
    if (length === ScoreText.MINUS_INFINITY) return Number.NEGATIVE_INFINITY;
    if (length === ScoreText.INFINITY) return Number.POSITIVE_INFINITY;
    if (length === ScoreText.NAN) return Number.NaN;
    const view = this.#view;
    this.#source.plainBytes(length, view);
    const score = parseFloat64(view.bytes, view.position, view.length);
    if (score === undefined) throw this.#source.corrupt('the score of a member is no number');
    return score;
  }

  #addElement(score: number, valueBytesMax?: number): void {
    const element = this.#element;
    elementToBytes(element, this.#text);
    this.#add(score, element.bytes, element.position, element.length, valueBytesMax);
  }

  #add(
    score: number,
    bytes: Uint8Array,
    start: number,
    length: number,
    valueBytesMax = this.#limits.zsetMaxListpackValue,
  ): void {
    const set = this.#set;
    if (set.find(bytes, start, length)) throw this.#duplicate();
    set.add(score, bytes, start, length, this.#limits.zsetMaxListpackEntries, valueBytesMax);
  }

  #copyMember(): void {
    const { bytes, position, length } = this.#view;
    if (length > this.#member.length || this.#member.length > MEMBER_KEPT_BYTES)
      this.#member = new Uint8Array(Math.max(length, MEMBER_FIRST_BYTES));
    const member = this.#member;
    copyBytes(bytes, position, member, 0, length);
  }

  #duplicate(): OperatingError {
    return this.#source.corrupt('Duplicate zset fields detected');
  }
}

const checkScore = (bytes: Uint8Array, at: number, index: number): boolean =>
  index % 2 === 0 || isScore(bytes, at);

function scoreOf(element: ElementView): number | undefined {
  if (element.isInteger) return element.int;
  return parseFloat64(element.bytes, element.position, element.length);
}
