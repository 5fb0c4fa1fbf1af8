/**
 * A node whose address space is limited (`ulimit -v`), so that the system refuses memory: commands
 * and saves fail with a reason, nothing of them is left, and the process lives.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MIB } from '../../src/base/units.ts';
import { roomLeft } from '../../src/workers/thread-room.ts';
import { type Headwater, startHeadwater } from '../support/headwater.ts';
import type { RespClient } from '../support/resp-client.ts';
import { RespError } from '../support/resp-parser.ts';
import { waitFor } from '../support/wait-for.ts';

const OOM = new RespError("OOM command not allowed when used memory > 'maxmemory'.");
const VALUE = Buffer.alloc(4 * MIB, 'v');
const VALUES_MAX = 500;

describe('a node that may have few more addresses', () => {
  let server: Headwater;
  let client: RespClient;

  beforeEach(async () => {
    server = await startHeadwater({ args: ['--enable-debug-command', 'yes'] });
    client = await server.client();
  });

  afterEach(async () => {
    if (client.isClosed) await server.exited;
    expect(server.hasExited, server.output).toBe(false);
    await client.close();
    await server.stop();
  });

  const proc = (name: string): string => readFileSync(`/proc/${server.pid}/${name}`, 'latin1');

  /** Leaves room for so many more bytes of addresses. */
  function limit(room: number): void {
    const used = Number(/^VmSize:\s+(\d+) kB/m.exec(proc('status'))![1]) * 1024;
    execFileSync('prlimit', ['--pid', `${server.pid}`, `--as=${used + room}:`]);
  }

  function lift(): void {
    execFileSync('prlimit', ['--pid', `${server.pid}`, '--as=unlimited:']);
  }

  /** Sets values until one is refused; returns how many were not, and the answer to that one. */
  async function fill(): Promise<[count: number, answer: unknown]> {
    for (let i = 0; i < VALUES_MAX; i++) {
      const answer = await client.command('SET', `key:${i}`, VALUE);
      if (answer !== 'OK') return [i, answer];
    }
    return [VALUES_MAX, 'OK'];
  }

  test('what the limit leaves is found', () => {
    expect(roomLeft(proc('limits'), proc('status'))).toBe(Number.POSITIVE_INFINITY);
    limit(700 * MIB);
    const room = roomLeft(proc('limits'), proc('status'));
    expect(room).toBeGreaterThan(600 * MIB);
    expect(room).toBeLessThanOrEqual(700 * MIB);
  });

  test.each([300, 700, 1200])(
    'with %i MiB refuses writes that find no memory, keeps all others, and goes on',
    { timeout: 180_000 },
    async (room) => {
      limit(room * MIB);
      const [count, answer] = await fill();
      expect(answer).toEqual(OOM);
      expect(count).toBeGreaterThan(10);
      expect(await client.call('DBSIZE')).toBe(count);
      expect(await client.call('EXISTS', `key:${count}`)).toBe(0);
      expect(await client.call('STRLEN', `key:${count - 1}`)).toBe(VALUE.length);
      // A thread for a save has no room either.
      expect(await client.command('SAVE')).toBeInstanceOf(RespError);
      expect(await client.infoField('persistence', 'rdb_last_bgsave_status')).toBe('err');
      await server.waitForLine(/the system refuses memory for/);
      expect(await client.call('GETRANGE', 'key:0', '-4', '-1')).toBe('vvvv');
      // A collection wants 66 MiB of addresses, and does without.
      expect(await client.call('MEMORY', 'PURGE')).toBe('OK');
      lift();
      expect(await client.call('SAVE')).toBe('OK');
      // After several refusals the system is asked again at every 32nd tick only.
      await waitFor(async () => (await client.command('SET', `key:${count}`, VALUE)) === 'OK', {
        what: 'a write with room',
      });
    },
  );
});
