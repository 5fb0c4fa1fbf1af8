// Issue 2: the checksum of a frozen image is unchanged after a million random operations.
import { afterAll, expect, test } from 'vitest';
import { Image } from '../../src/arena/image.ts';
import { parseInteger } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { NIL } from '../../src/base/units.ts';
import type { Database } from '../../src/keyspace/database.ts';
import { BytesView, Encoding } from '../../src/keyspace/entry.ts';
import { addInPlace, incrementInPlace } from '../../src/keyspace/integer-entry.ts';
import { Keyspace } from '../../src/keyspace/keyspace.ts';
import { sumOfKey, sumOfKeys } from '../fixtures/workers/image-sums.js';
import { ImageReader } from '../support/image-reader.ts';
import { testSeed } from '../support/seed.ts';

const OPERATIONS = 1_000_000;
const KEYS = 30_000;
const DATABASES = 3;

const reader = new ImageReader();
afterAll(() => reader.close());

const key = new Uint8Array(40);
const value = new Uint8Array(60_000);

/** Writes `key:<number>` into `key` and returns its length. */
function setKey(number: number): number {
  let length = 4;
  key.set([0x6b, 0x65, 0x79, 0x3a]);
  for (let rest = number; ; rest = Math.floor(rest / 10)) {
    key[length++] = 0x30 + (rest % 10);
    if (rest < 10) return length;
  }
}

function valueLength(prng: Prng): number {
  const kind = prng.below(1000);
  if (kind < 990) return prng.below(150);
  return kind < 999 ? 1900 + prng.below(300) : prng.below(value.length);
}

/** Digits of an integer. */
const NUMBER = new Uint8Array(Buffer.from('10000'));

function operate(keyspace: Keyspace, prng: Prng): void {
  const db = keyspace.databases[prng.below(DATABASES)]!;
  const keyLength = setKey(prng.below(KEYS));
  const entry = db.find(key, 0, keyLength);
  const at = prng.below(2000);
  if (entry === NIL) {
    db.addString(
      key,
      0,
      keyLength,
      value,
      at,
      Math.min(valueLength(prng), value.length - at),
      Encoding.RAW,
    );
    return;
  }
  switch (prng.below(10)) {
    case 0:
    case 1:
      db.remove(entry);
      return;
    case 2: {
      const target = keyspace.databases[prng.below(DATABASES)]!;
      const newLength = setKey(prng.below(KEYS));
      if (target.find(key, 0, newLength) === NIL) db.moveTo(entry, target, key, 0, newLength);
      return;
    }
    case 3:
      db.setDeadline(entry, 1000 + prng.below(1_000_000));
      return;
    case 4:
      db.clearDeadline(entry);
      return;
    case 5:
      db.setAccess(entry, prng.below(1 << 24));
      return;
    case 6: {
      const view = new BytesView();
      db.stringInto(entry, view);
      const grown = db.growString(entry, view.length + 10);
      db.writeString(grown, view.length, value, at, 10);
      return;
    }
    case 7: {
      // By bytes as many, and by a number that grows where it is.
      const view = new BytesView();
      db.stringInto(entry, view);
      const length = Math.min(view.length, value.length - at);
      const same = db.overwriteString(entry, value, at, length, Encoding.RAW, false);
      if (prng.below(2) === 0) return;
      const counter = db.overwriteString(same, NUMBER, 0, NUMBER.length, Encoding.INT, true);
      expect(addInPlace(db.arena, counter, 9992)).toBe(19_992);
      for (let i = 0; i < 10; i++) expect(incrementInPlace(db.arena, counter, view)).toBe(true);
      expect(parseInteger(view.bytes, view.position, view.length)).toBe(20_002);
      return;
    }
    default:
      db.overwriteString(
        entry,
        value,
        at,
        valueLength(prng) % 50_000,
        Encoding.RAW,
        prng.below(2) === 0,
      );
  }
}

/** The sum of what the databases hold now, by way of their own calls. */
function sumNow(keyspace: Keyspace): number {
  let sum = 0;
  const keyView = new BytesView();
  const view = new BytesView();
  const add = (db: Database, index: number): void => {
    let cursor = 0;
    do {
      cursor = db.scan(cursor, (entry) => {
        db.keyInto(entry, keyView);
        db.stringInto(entry, view);
        const { bytes, position, length } = keyView;
        const deadline = db.deadline(entry);
        sum += sumOfKey(
          index,
          bytes,
          position,
          length,
          view.bytes,
          view.position,
          view.length,
          deadline,
        );
        sum |= 0;
      });
    } while (cursor !== 0);
  };
  for (const [index, db] of keyspace.databases.entries()) add(db, index);
  return sum;
}

test('a million operations leave the frozen image as it was, read all the while by a worker', async () => {
  const prng = new Prng(testSeed('image checksum'));
  for (let i = 0; i < value.length; i++) value[i] = prng.u32();
  const keyspace = new Keyspace(DATABASES, { key0: prng.u32() | 0, key1: prng.u32() | 0 });
  for (let i = 0; i < 200_000; i++) operate(keyspace, prng);
  const atFreeze = sumNow(keyspace);
  const chunks: SharedArrayBuffer[] = [];
  const { arena, roots } = keyspace.freeze(
    2 ** 31,
    (index, chunk) => {
      chunks.push(chunk);
      reader.onChunk(index, chunk);
    },
    () => expect.fail('the image is lost'),
  );
  const image = new Image(arena, (index) => chunks[index]!);
  expect(sumOfKeys(image, roots)).toBe(atFreeze);
  reader.startReading({ image: arena, roots, expected: atFreeze });
  for (let i = 0; i < OPERATIONS; i++) operate(keyspace, prng);
  keyspace.swap(0, 1);
  keyspace.flush(2);
  while (keyspace.freeSome(50));
  const reply = reader.reply<{ failure: unknown }>();
  reader.stopReading();
  expect(await reply).toEqual({ failure: undefined });
  expect([reader.wrong, reader.passes > 1]).toEqual([0, true]);
  expect(sumNow(keyspace)).not.toBe(atFreeze);
  expect(sumOfKeys(image, roots)).toBe(atFreeze);
  keyspace.thaw();
  keyspace.validate();
}, 180_000);
