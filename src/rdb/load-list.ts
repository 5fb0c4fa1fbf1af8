/**
 * Reads lists of a dump in all forms that Redis has written: element after element, one ziplist,
 * ziplists, listpacks. Runs on the loading worker, and on the main thread for RESTORE.
 *
 * Listpacks become nodes as they are. The elements of older forms are pushed one by one. A list of
 * one node within the limit becomes a listpack. Hot path.
 */
import { NIL, type Ref } from '../base/units.ts';
import type { EncodingLimits } from '../keyspace/encoding-limits.ts';
import { BytesView, Encoding } from '../keyspace/entry.ts';
import type { Keyspace } from '../keyspace/keyspace.ts';
import type { Listpack } from '../structs/listpack.ts';
import { validateListpack } from '../structs/listpack-check.ts';
import {
  countEntries,
  ELEMENT_TEXT_BYTES_MAX,
  ElementView,
  elementToBytes,
} from '../structs/listpack-read.ts';
import type { Quicklist } from '../structs/quicklist.ts';
import type { CollectionLoader } from './collection-loader.ts';
import { ListContainer, RdbType } from './opcodes.ts';
import type { DumpSource } from './source.ts';
import { firstInZiplist, readZiplistElement, validateZiplist, ZIPLIST_END } from './ziplist.ts';

export class ListLoader implements CollectionLoader {
  encoding: Encoding = Encoding.QUICKLIST;
  value: Ref = NIL;
  readonly #source: DumpSource;
  readonly #limits: EncodingLimits;
  readonly #lists: Quicklist;
  readonly #listpacks: Listpack;
  readonly #view = new BytesView();
  readonly #element = new ElementView();
  readonly #text = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);

  constructor(source: DumpSource, keyspace: Keyspace, limits: EncodingLimits) {
    this.#source = source;
    this.#limits = limits;
    this.#lists = keyspace.structures.quicklists;
    this.#listpacks = keyspace.structures.listpacks;
  }

  /** Reads what follows the key of a list whose type byte was `rdbType`. */
  read(rdbType: number): void {
    const lists = this.#lists;
    lists.configure(this.#limits.listMaxListpackSize);
    this.value = NIL;
    const list = lists.create();
    try {
      this.#read(list, rdbType);
    } catch (error) {
      // Nothing owns the list, whatever the error is.
      lists.freeSome(list, Number.POSITIVE_INFINITY);
      throw error;
    }
    if (lists.count(list) === 0) {
      lists.freeSome(list, 1);
      return;
    }
    const listpack = lists.toListpack(list, false);
    this.encoding = listpack === NIL ? Encoding.QUICKLIST : Encoding.LISTPACK;
    this.value = listpack === NIL ? list : listpack;
  }

  #read(list: Ref, rdbType: number): void {
    const source = this.#source;
    const view = this.#view;
    if (rdbType === RdbType.LIST_ZIPLIST) {
      this.#readZiplist(list);
      return;
    }
    const count = source.length('the count of elements or nodes of a list');
    for (let i = 0; i < count; i++) {
      if (rdbType === RdbType.LIST) {
        source.string(view);
        this.#lists.pushTail(list, view.bytes, view.position, view.length);
      } else if (rdbType === RdbType.LIST_QUICKLIST) this.#readZiplist(list);
      else this.#readNode(list);
    }
  }

  #readZiplist(list: Ref): void {
    this.#source.string(this.#view);
    const { bytes, position, length } = this.#view;
    if (validateZiplist(bytes, position, length) < 0)
      throw this.#source.corrupt('List ziplist integrity check failed.');
    const element = this.#element;
    for (let at = firstInZiplist(position); bytes[at] !== ZIPLIST_END; ) {
      at = readZiplistElement(bytes, at, element);
      elementToBytes(element, this.#text);
      this.#lists.pushTail(list, element.bytes, element.position, element.length);
    }
  }

  #readNode(list: Ref): void {
    const source = this.#source;
    const container = source.length('the container of a node');
    if (container !== ListContainer.PLAIN && container !== ListContainer.PACKED)
      throw source.corrupt(`unknown container ${container} of a node`);
    source.string(this.#view);
    const { bytes, position, length } = this.#view;
    if (container === ListContainer.PLAIN) {
      // Its length decides again: a short element goes into a listpack.
      this.#lists.pushTail(list, bytes, position, length);
      return;
    }
    if (!validateListpack(bytes, position, length, true))
      throw source.corrupt('List listpack integrity check failed.');
    const count = countEntries(bytes, position);
    // Some versions of Redis wrote empty nodes.
    if (count === 0) return;
    this.#lists.appendListpack(list, this.#listpacks.fromBytes(bytes, position, length), count);
  }
}
