import { expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { NIL, type Ref } from '../../src/base/units.ts';
import type { Database } from '../../src/keyspace/database.ts';
import { BytesView, EMBSTR_BYTES_MAX, Encoding } from '../../src/keyspace/entry.ts';
import { Keyspace } from '../../src/keyspace/keyspace.ts';
import { testSeed } from '../support/seed.ts';

const DATABASES = 3;
const NOW_MS = 1_700_000_000_000;

interface Value {
  bytes: string;
  deadlineMs: number;
  int: boolean;
}
type Contents = Map<string, Value>;

const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'latin1');

function textOf(view: BytesView): string {
  return Buffer.from(view.bytes.subarray(view.position, view.position + view.length)).toString(
    'latin1',
  );
}

function randomKey(prng: Prng): string {
  const kind = prng.below(200);
  if (kind === 0) return '';
  if (kind === 1) return 'k'.repeat(2000 + prng.below(100));
  return `key:${prng.below(700)}`;
}

function randomValue(prng: Prng): string {
  const kind = prng.below(100);
  const length =
    kind < 40
      ? prng.below(60)
      : kind < 80
        ? prng.below(300)
        : kind < 97
          ? 1800 + prng.below(500)
          : prng.below(100_000);
  return String.fromCharCode(97 + prng.below(26)).repeat(length);
}

class Model {
  readonly keyspace: Keyspace;
  readonly contents: Contents[];
  readonly #prng: Prng;
  readonly #view = new BytesView();

  constructor(prng: Prng) {
    this.#prng = prng;
    this.keyspace = new Keyspace(DATABASES, { key0: prng.u32() | 0, key1: prng.u32() | 0 });
    this.contents = Array.from({ length: DATABASES }, () => new Map());
  }

  find(db: Database, key: string): Ref {
    const bytes = bytesOf(`..${key}`);
    return db.find(bytes, 2, bytes.length - 2);
  }

  add(db: Database, key: string, value: string, encoding: Encoding): Ref {
    const keyBytes = bytesOf(`.${key}`);
    const bytes = bytesOf(`...${value}.`);
    return db.addString(keyBytes, 1, keyBytes.length - 1, bytes, 3, value.length, encoding);
  }

  /** Compares one key with the model. */
  check(index: number, key: string): void {
    const db = this.keyspace.databases[index]!;
    const expected = this.contents[index]!.get(key);
    const entry = this.find(db, key);
    if (expected === undefined || entry === NIL) {
      expect([entry === NIL, key]).toEqual([expected === undefined, key]);
      return;
    }
    db.keyInto(entry, this.#view);
    expect(textOf(this.#view)).toBe(key);
    db.stringInto(entry, this.#view);
    if (textOf(this.#view) !== expected.bytes) expect(textOf(this.#view)).toBe(expected.bytes);
    expect(db.deadline(entry)).toBe(expected.deadlineMs);
    expect(db.encoding(entry) === Encoding.INT).toBe(expected.int);
    if (expected.bytes.length <= EMBSTR_BYTES_MAX && expected.int)
      expect(db.encoding(entry)).not.toBe(Encoding.RAW_APART);
    expect(db.entryBytes(entry)).toBeGreaterThanOrEqual(12 + key.length + expected.bytes.length);
  }

  checkAll(): void {
    this.keyspace.validate();
    for (let index = 0; index < DATABASES; index++) {
      const db = this.keyspace.databases[index]!;
      const contents = this.contents[index]!;
      expect(db.keyCount).toBe(contents.size);
      expect(db.deadlineCount).toBe([...contents.values()].filter((v) => v.deadlineMs >= 0).length);
      for (const key of contents.keys()) this.check(index, key);
      const seen = new Set<string>();
      let cursor = 0;
      do {
        cursor = db.scan(cursor, (entry) => {
          db.keyInto(entry, this.#view);
          seen.add(textOf(this.#view));
        });
      } while (cursor !== 0);
      expect(seen.size).toBe(contents.size);
    }
  }

  #add(index: number, key: string): void {
    const int = this.#prng.below(4) === 0;
    const bytes = int ? String(this.#prng.u32()) : randomValue(this.#prng);
    this.add(this.keyspace.databases[index]!, key, bytes, int ? Encoding.INT : Encoding.RAW);
    this.contents[index]!.set(key, { bytes, deadlineMs: -1, int });
  }

  /** One random operation on one key that is there. */
  #change(index: number, key: string, entry: Ref): string {
    const prng = this.#prng;
    const db = this.keyspace.databases[index]!;
    const value = this.contents[index]!.get(key)!;
    switch (prng.below(12)) {
      case 0:
      case 1: {
        db.remove(entry);
        this.contents[index]!.delete(key);
        return key;
      }
      case 2:
      case 3:
      case 4: {
        const int = prng.below(4) === 0;
        const bytes = int ? String(prng.u32()) : randomValue(prng);
        const keep = prng.below(2) === 0;
        // Another key may have been looked for in between.
        if (prng.below(3) === 0) this.find(db, randomKey(prng));
        db.overwriteString(
          entry,
          bytesOf(`.${bytes}`),
          1,
          bytes.length,
          int ? Encoding.INT : Encoding.RAW,
          keep,
        );
        this.contents[index]!.set(key, { bytes, int, deadlineMs: keep ? value.deadlineMs : -1 });
        return key;
      }
      case 5:
      case 6: {
        const more = prng.below(4) === 0 ? 0 : prng.below(prng.below(6) === 0 ? 5000 : 80);
        const length = value.bytes.length + more;
        const grown = db.growString(entry, length);
        value.bytes = value.bytes.padEnd(length, '\0');
        value.int = false;
        const at = prng.below(length + 1);
        const piece = 'Z'.repeat(prng.below(Math.min(length - at, 3000) + 1));
        db.writeString(grown, at, bytesOf(`.${piece}`), 1, piece.length);
        value.bytes = value.bytes.slice(0, at) + piece + value.bytes.slice(at + piece.length);
        return key;
      }
      case 7:
      case 8: {
        value.deadlineMs = prng.below(20) === 0 ? 0 : NOW_MS + prng.below(100_000);
        db.setDeadline(
          entry,
          value.deadlineMs === 0 && prng.below(2) === 0 ? -1 - prng.below(1000) : value.deadlineMs,
        );
        return key;
      }
      case 9: {
        expect(db.clearDeadline(entry)).toBe(value.deadlineMs >= 0);
        value.deadlineMs = -1;
        return key;
      }
      case 10: {
        db.setAccess(entry, prng.below(1 << 24));
        return key;
      }
      default: {
        const to = prng.below(DATABASES);
        const newKey = prng.below(3) === 0 ? key : randomKey(prng);
        const target = this.keyspace.databases[to]!;
        if (this.find(target, newKey) !== NIL) return key;
        const bytes = bytesOf(`.${newKey}`);
        const access = db.access(entry);
        const moved = db.moveTo(entry, target, bytes, 1, newKey.length);
        expect(target.access(moved)).toBe(access);
        this.contents[index]!.delete(key);
        this.contents[to]!.set(newKey, value);
        this.check(to, newKey);
        return key;
      }
    }
  }

  #many(): void {
    const prng = this.#prng;
    const index = prng.below(DATABASES);
    const other = prng.below(DATABASES);
    if (prng.below(2) === 0) {
      this.keyspace.flush(index);
      this.contents[index] = new Map();
    } else {
      this.keyspace.swap(index, other);
      const contents = this.contents[index]!;
      this.contents[index] = this.contents[other]!;
      this.contents[other] = contents;
    }
  }

  /** Takes out what is due, as the expiry cycle does. */
  expire(nowMs: number): void {
    for (let index = 0; index < DATABASES; index++) {
      const db = this.keyspace.databases[index]!;
      const due = new Set<string>();
      for (let entry = db.expiry.due(nowMs); entry !== NIL; entry = db.expiry.due(nowMs)) {
        db.keyInto(entry, this.#view);
        due.add(textOf(this.#view));
        db.remove(entry);
      }
      const expected = new Set<string>();
      for (const [key, value] of this.contents[index]!)
        if (value.deadlineMs >= 0 && value.deadlineMs < nowMs) expected.add(key);
      expect(due).toEqual(expected);
      for (const key of expected) this.contents[index]!.delete(key);
    }
  }

  step(): void {
    const prng = this.#prng;
    if (prng.below(2500) === 0) this.#many();
    if (this.keyspace.freeing && prng.below(3) === 0) this.keyspace.freeSome(1 + prng.below(20));
    const index = prng.below(DATABASES);
    const key = randomKey(prng);
    const entry = this.find(this.keyspace.databases[index]!, key);
    if (entry === NIL) {
      this.#add(index, key);
      this.check(index, key);
    } else this.check(index, this.#change(index, key, entry));
  }
}

test('databases behave as maps, and no operation shows in an image', () => {
  const prng = new Prng(testSeed('database'));
  const model = new Model(prng);
  const { keyspace } = model;
  for (let step = 1; step <= 15_000; step++) {
    model.step();
    if (step % 1000 === 0) model.checkAll();
    if (step % 2000 === 500) model.expire(NOW_MS + prng.below(100_000));
    // The check of images at each thaw is on in tests.
    if (prng.below(700) !== 0) continue;
    if (keyspace.arena.frozen) keyspace.thaw();
    else
      keyspace.freeze(
        2 ** 30,
        () => {},
        () => expect.fail('lost'),
      );
  }
  if (keyspace.arena.frozen) keyspace.thaw();
  model.expire(Number.MAX_SAFE_INTEGER);
  for (let index = 0; index < DATABASES; index++) keyspace.flush(index);
  while (keyspace.freeSome(100));
  keyspace.validate();
  expect(keyspace.arena.usedBytes).toBe(
    new Keyspace(DATABASES, { key0: 0, key1: 0 }).arena.usedBytes,
  );
});
