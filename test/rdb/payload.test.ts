import { describe, expect, test } from 'vitest';
import { bytesOf, latin1 } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { NIL } from '../../src/base/units.ts';
import { BytesView } from '../../src/keyspace/entry.ts';
import { PayloadCodec } from '../../src/rdb/payload.ts';
import { testSeed } from '../support/seed.ts';
import { LIMITS, newKeyspace, newModel, put, randomText } from './keyspaces.ts';

const codec = new PayloadCodec();
const keyspace = newKeyspace();
const database = keyspace.databases[0]!;

function payloadOf(value: string, key = 'key', version: 9 | 10 | 11 | 12 = 11): Buffer {
  put(keyspace, newModel(), 0, key, { value, deadline: 5 });
  const name = bytesOf(key);
  const entry = database.find(name, 0, name.length);
  return codec.dump(keyspace.arena, entry, { version, plainTypes: false });
}

/** The string that a payload stands for, by way of the database. */
function restored(payload: Uint8Array): string {
  expect(codec.check(payload, 0, payload.length)).toBe(true);
  const name = bytesOf('restored');
  const value = codec.load(payload, 0, payload.length, keyspace, LIMITS);
  expect(database.find(name, 0, name.length)).toBe(NIL);
  const entry = value.add(database, name, 0, name.length);
  const view = new BytesView();
  database.stringInto(entry, view);
  const text = latin1(view.bytes, view.position, view.length);
  database.remove(entry);
  return text;
}

describe('a payload', () => {
  test.each([
    // As redis-server 7.0.15 answers DUMP.
    ['123', '00c07b0a00', 10],
    ['hello', '000568656c6c6f0a00', 10],
  ] as const)('of %j is that of Redis', (value, hex, version) => {
    const payload = payloadOf(value, 'key', version);
    expect(payload.subarray(0, -8).toString('hex')).toBe(hex);
  });

  test('of any string gives it back, and leaves out key and deadline', () => {
    const prng = new Prng(testSeed('payload'));
    for (let i = 0; i < 300; i++) {
      const value = randomText(prng, 50_000);
      const payload = payloadOf(value);
      expect(restored(payload)).toBe(value);
      expect(payloadOf(value, 'k'.repeat(3000)).equals(payload)).toBe(true);
    }
  });

  test('of a string longer than the areas of the codec gives it back', () => {
    const value = 'abcdefghij'.repeat(300_000);
    expect(restored(payloadOf(value)) === value).toBe(true);
  });

  test('may lie anywhere and have the checksum 0', () => {
    const payload = payloadOf('value');
    payload.fill(0, payload.length - 8);
    const around = Buffer.concat([Buffer.from('before'), payload, Buffer.from('behind')]);
    expect(codec.check(around, 6, payload.length)).toBe(true);
    expect(restored(around.subarray(6, 6 + payload.length))).toBe('value');
  });

  test('fails the check when a byte is wrong, its version is too new, or it is short', () => {
    const payload = payloadOf('value');
    for (let at = 0; at < payload.length; at++) {
      const bad = Buffer.from(payload);
      bad[at]! ^= 0x10;
      expect(codec.check(bad, 0, bad.length)).toBe(false);
    }
    expect(codec.check(payload, 0, 10)).toBe(false);
    expect(codec.check(payload, 0, 0)).toBe(false);
  });

  test('with damage under a checksum of 0 restores or is refused', () => {
    const prng = new Prng(testSeed('damage'));
    const codes = new Set<unknown>();
    for (let i = 0; i < 1000; i++) {
      const bad = payloadOf(randomText(prng, 200));
      bad[prng.below(bad.length - 10)] = prng.below(256);
      bad.fill(0, bad.length - 8);
      try {
        restored(bad);
      } catch (error) {
        codes.add(codeOf(error));
      }
    }
    keyspace.validate();
    for (const code of codes) expect(['SHORT', 'CORRUPT', 'UNSUPPORTED']).toContain(code);
  });
});
