/**
 * DEBUG DIGEST and DIGEST-VALUE: a hash of the dataset that does not depend on the order in which
 * keys, members and fields lie in memory, the same as that of Redis' debug.c.
 *
 *   xor(d, x)   d ^= sha1(x)                    for data without an order
 *   mix(d, x)   xor(d, x), then d = sha1(d)     for data with an order
 *
 *   value   mix(type), then the content of the type, then xor("!!expire!!") if there is a deadline
 *   key     mix(name), value
 *   dataset for each database that has keys: mix(number), xor(each key)
 *
 * Numbers are four bytes, the highest first. Blocks until it is done, as in Redis.
 */
import { bytesOf, formatDouble } from '../../../base/bytes.ts';
import type { Ref } from '../../../base/units.ts';
import { openMembersIn } from '../../../commands/set/value.ts';
import type { Database } from '../../../keyspace/database.ts';
import { BytesView, Encoding, ValueType } from '../../../keyspace/entry.ts';
import type { Keyspace } from '../../../keyspace/keyspace.ts';
import {
  ELEMENT_TEXT_BYTES_MAX,
  ElementView,
  elementToBytes,
} from '../../../structs/listpack-read.ts';
import { StreamId } from '../../../structs/stream-id.ts';
import { SHA1_BYTES, sha1 } from './sha1.ts';

const EXPIRE_MARK = bytesOf('!!expire!!');

export class Digest {
  readonly bytes = new Uint8Array(SHA1_BYTES);
  readonly #hash = new Uint8Array(SHA1_BYTES);

  clear(): void {
    this.bytes.fill(0);
  }

  xor(bytes: Uint8Array, start: number, length: number): void {
    sha1(bytes, start, length, this.#hash);
    for (let i = 0; i < SHA1_BYTES; i++) this.bytes[i]! ^= this.#hash[i]!;
  }

  mix(bytes: Uint8Array, start: number, length: number): void {
    this.xor(bytes, start, length);
    sha1(this.bytes, 0, SHA1_BYTES, this.bytes);
  }

  mixNumber(number: number): void {
    this.mix(Uint8Array.of(number >>> 24, number >>> 16, number >>> 8, number), 0, 4);
  }

  xorDigest(other: Digest): void {
    this.xor(other.bytes, 0, SHA1_BYTES);
  }

  hex(): string {
    return Buffer.from(this.bytes).toString('hex');
  }
}

/** Mixes the content of a value of one type. */
type ValueDigester = (keyspace: Keyspace, db: Database, entry: Ref, digest: Digest) => void;

const view = new BytesView();

const element = new Digest();
const listElement = new ElementView();
const elementText = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);

const streamStart = new StreamId();
const streamEnd = new StreamId();

const digesters: ReadonlyMap<ValueType, ValueDigester> = new Map<ValueType, ValueDigester>([
  [
    ValueType.STRING,
    (_keyspace, db, entry, digest) => {
      db.stringInto(entry, view);
      digest.mix(view.bytes, view.position, view.length);
    },
  ],
  [
    ValueType.LIST,
    (keyspace, db, entry, digest) => {
      const { list } = keyspace.structures;
      list.open(db.value(entry), db.encoding(entry) === Encoding.QUICKLIST);
      for (let more = list.seek(0); more; more = list.cursor.next()) {
        list.cursor.read(listElement);
        elementToBytes(listElement, elementText);
        digest.mix(listElement.bytes, listElement.position, listElement.length);
      }
    },
  ],
  [
    ValueType.HASH,
    (keyspace, db, entry, digest) => {
      const map = keyspace.structures.fieldMap;
      map.open(db.value(entry), db.encoding(entry) === Encoding.HASHTABLE);
      map.forEach((handle) => {
        element.clear();
        map.readField(handle);
        element.mix(map.field.bytes, map.field.position, map.field.length);
        map.readValue(handle);
        element.mix(map.value.bytes, map.value.position, map.value.length);
        digest.xorDigest(element);
      });
    },
  ],
  [
    ValueType.SET,
    (keyspace, db, entry, digest) => {
      const set = openMembersIn(db, entry, keyspace.structures.memberSet);
      for (let more = set.first(); more; more = set.next()) {
        const { bytes, position, length } = set.member();
        digest.xor(bytes, position, length);
      }
    },
  ],
  [
    ValueType.ZSET,
    (keyspace, db, entry, digest) => {
      const set = keyspace.structures.sortedSet;
      set.open(db.value(entry), db.encoding(entry) === Encoding.SKIPLIST);
      for (let more = set.seek(0); more; more = set.next()) {
        element.clear();
        const { bytes, position, length } = set.member();
        element.mix(bytes, position, length);
        const score = formatDouble(set.score);
        element.mix(bytesOf(score), 0, score.length);
        digest.xorDigest(element);
      }
    },
  ],
  [
    ValueType.STREAM,
    (keyspace, db, entry, digest) => {
      const { entries } = keyspace.structures.streams;
      entries.open(db.value(entry));
      streamEnd.setMax();
      const cursor = entries.seek(streamStart, streamEnd, false);
      const { node } = cursor;
      while (cursor.next()) {
        const id = bytesOf(cursor.id.toString().replace('-', '.'));
        digest.mix(id, 0, id.length);
        for (let left = node.fieldCount; left > 0; left--) {
          node.nextField();
          digest.mix(node.field.bytes, node.field.position, node.field.length);
          digest.mix(node.value.bytes, node.value.position, node.value.length);
        }
      }
    },
  ],
]);

/** Mixes type, value and deadline of an entry. */
export function digestValue(keyspace: Keyspace, db: Database, entry: Ref, digest: Digest): void {
  const type = db.type(entry);
  digest.mixNumber(type);
  const digester = digesters.get(type);
  if (digester === undefined) throw new Error(`no digest for values of type ${type}`);
  digester(keyspace, db, entry, digest);
  if (db.deadline(entry) >= 0) digest.xor(EXPIRE_MARK, 0, EXPIRE_MARK.length);
}

/** Walks the whole dataset. */
export function digestDataset(keyspace: Keyspace): string {
  const all = new Digest();
  const one = new Digest();
  const key = new BytesView();
  for (const [index, db] of keyspace.databases.entries()) {
    if (db.keyCount === 0) continue;
    all.mixNumber(index);
    let cursor = 0;
    do {
      cursor = db.scan(cursor, (entry) => {
        one.clear();
        db.keyInto(entry, key);
        one.mix(key.bytes, key.position, key.length);
        digestValue(keyspace, db, entry, one);
        all.xorDigest(one);
      });
    } while (cursor !== 0);
  }
  return all.hex();
}
