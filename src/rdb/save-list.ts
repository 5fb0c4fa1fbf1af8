/**
 * Writes the values of lists to a dump. Nodes are written as they are where the dialect knows
 * listpacks, and element after element elsewhere. structs/quicklist-nodes.ts draws list and nodes.
 * Hot path.
 */
import { Encoding } from '../keyspace/entry.ts';
import {
  behindEntry,
  countEntries,
  ELEMENT_TEXT_BYTES_MAX,
  ElementView,
  elementToBytes,
  LISTPACK_HEADER_BYTES,
  readElement,
  readU32,
  TERMINATOR,
} from '../structs/listpack-read.ts';
import { LIST_BYTES, ListWord, NODE_BYTES, NodeWord, PACKED } from '../structs/quicklist-nodes.ts';
import { ObjectCopy } from './object-copy.ts';
import { ListContainer, RdbType } from './opcodes.ts';
import type { StringWriter } from './string-writer.ts';

export class ListSaver {
  readonly #strings: StringWriter;
  readonly #copy: ObjectCopy;
  readonly #element = new ElementView();
  readonly #text = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  readonly #list = new Int32Array(LIST_BYTES / 4);
  readonly #node = new Int32Array(NODE_BYTES / 4);
  /** The words with a listpack's first bytes, which may stand on any of them. */
  readonly #total = new Int32Array(2);
  readonly #totalBytes = new Uint8Array(this.#total.buffer);

  constructor(strings: StringWriter) {
    this.#strings = strings;
    this.#copy = new ObjectCopy(strings.reader);
  }

  /** Writes what follows the key of a list whose type byte was `rdbType`. */
  save(rdbType: RdbType, encoding: Encoding, value: number): void {
    const asNodes = rdbType === RdbType.LIST_QUICKLIST_2;
    if (encoding === Encoding.QUICKLIST) this.#saveChain(asNodes, value);
    else if (asNodes) {
      this.#strings.count(1);
      this.#savePacked(value, 0);
    } else {
      this.#copy.readListpack(value);
      this.#strings.count(countEntries(this.#copy.bytes, 0));
      this.#saveElements(0);
    }
  }

  #saveChain(asNodes: boolean, value: number): void {
    const { reader } = this.#strings;
    reader.read(value, 0, LIST_BYTES / 4, this.#list, 0);
    this.#strings.count(this.#list[asNodes ? ListWord.NODES : ListWord.COUNT]!);
    const node = this.#node;
    for (let next = this.#list[ListWord.HEAD]!; next !== 0; next = node[NodeWord.NEXT]!) {
      reader.read(next, 0, NODE_BYTES / 4, node, 0);
      const block = node[NodeWord.BLOCK]!;
      const start = node[NodeWord.START]!;
      const plain = node[NodeWord.PLAIN]!;
      if (plain !== PACKED) {
        if (asNodes) this.#strings.sink.length(ListContainer.PLAIN);
        this.#strings.object(block, 0, plain);
      } else if (asNodes) {
        this.#savePacked(block, start);
      } else {
        this.#copy.read(block, start + this.#listpackBytes(block, start));
        this.#saveElements(start);
      }
    }
  }

  /** Writes the listpack at byte `start` of a block as a node. */
  #savePacked(block: number, start: number): void {
    this.#strings.sink.length(ListContainer.PACKED);
    this.#strings.object(block, start, this.#listpackBytes(block, start));
  }

  #listpackBytes(block: number, start: number): number {
    const skip = start & 3;
    this.#strings.reader.read(block, start >>> 2, skip === 0 ? 1 : 2, this.#total, 0);
    return readU32(this.#totalBytes, skip);
  }

  /** Writes the elements of the listpack at `start` of the copy. */
  #saveElements(start: number): void {
    const { bytes } = this.#copy;
    for (
      let at = start + LISTPACK_HEADER_BYTES;
      bytes[at] !== TERMINATOR;
      at = behindEntry(bytes, at)
    ) {
      readElement(bytes, at, this.#element);
      elementToBytes(this.#element, this.#text);
      this.#strings.bytes(this.#element.bytes, this.#element.position, this.#element.length);
    }
  }
}
