import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MIB } from '../../../src/base/units.ts';
import { StoredDump } from '../../../src/server/link/stored-dump.ts';
import { temporaryDirectory } from '../../support/server-process.ts';

const place = (): string => join(temporaryDirectory('stored'), 'temp-1.rdb');
const bytes = Buffer.from(Uint8Array.from({ length: 9 * MIB }, (_, i) => (i * 2654435761) >>> 24));

test('a dump is written as it comes, in bounded memory, and is whole at the end', async () => {
  const path = place();
  const stored = new StoredDump(path);
  let position = 0;
  let waits = 0;
  while (position < bytes.length) {
    const end = Math.min(bytes.length, position + 300_000);
    const stop = stored.put(bytes, position, end);
    if (stop < end) {
      waits++;
      await stored.waitForRoom();
    }
    position = stop;
  }
  stored.end();
  await stored.complete;
  expect(waits).toBeGreaterThan(0);
  expect(readFileSync(path).equals(bytes)).toBe(true);
  await stored.remove();
  expect(existsSync(path)).toBe(false);
});

test.each([0, 1, 100_000])('one that fails after %i bytes leaves no file', async (count) => {
  const path = place();
  const stored = new StoredDump(path);
  stored.put(bytes, 0, count);
  stored.fail();
  await expect(stored.complete).rejects.toMatchObject({ code: 'CANCELLED' });
  await stored.remove();
  expect(existsSync(path)).toBe(false);
  expect([stored.wanted, stored.put(bytes, 0, 10)]).toEqual([false, 10]);
});

test('a place that cannot be had is an error, and who waits for room goes on', async () => {
  const path = place();
  writeFileSync(path, 'of somebody else');
  const stored = new StoredDump(path);
  stored.put(bytes, 0, bytes.length);
  const room = stored.waitForRoom();
  await expect(stored.complete).rejects.toMatchObject({ code: 'IO' });
  await room;
  await stored.remove();
  expect(readFileSync(path, 'utf8')).toBe('of somebody else');
});
