/**
 * A process that may have no more address space (`ulimit -v`, set here while it runs): commands that
 * need memory are refused, and all others, FLUSHALL among them, work.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { KIB, MIB } from '../../src/base/units.ts';
import { FakeReplica } from '../support/fake-replica.ts';
import { startHeadwater } from '../support/headwater.ts';

/** Beyond what the process has: for V8's heap and buffers, and for a few segments. */
const ROOM_BYTES = 300 * MIB;
const OOM = "OOM command not allowed when used memory > 'maxmemory'.";

test.runIf(process.platform === 'linux')(
  'a refusal is a reply, and the process lives',
  async () => {
    const server = await startHeadwater({ env: { HEADWATER_DEBUG: '0' } });
    onTestFinished(() => server.stop());
    const client = await server.client();
    const replica = await FakeReplica.attach(server.port);
    await replica.waitForDump();
    // V8 has compiled, and has its heap, before the limit comes.
    for (let i = 0; i < 200; i++)
      await client.pipeline(Array.from({ length: 50 }, (_, j) => ['SET', `warm:${j}`, 'value']));
    const status = readFileSync(`/proc/${server.pid}/status`, 'utf8');
    const bytes = Number(/^VmSize:\s+(\d+) kB/m.exec(status)![1]) * KIB;
    const limit = (to: string): void => {
      execFileSync('prlimit', ['--pid', String(server.pid), `--as=${to}:`]);
    };
    limit(String(bytes + ROOM_BYTES));

    const value = 'v'.repeat(20_000);
    let sets = 0;
    let reply = String(await client.command('SET', 'key:0', value));
    while (reply === 'OK' && sets < 40_000) {
      const replies = await client.pipeline(
        Array.from({ length: 20 }, (_, i) => ['SET', `key:${sets + i + 1}`, value]),
      );
      reply = String(replies.find((each) => each !== 'OK') ?? 'OK');
      sets += replies.filter((each) => each === 'OK').length;
    }
    expect(reply).toContain(OOM);
    expect(sets).toBeGreaterThan(1000);
    expect(server.hasExited).toBe(false);
    // Small ones, reads and deletions go on; what was refused has changed nothing.
    expect(await client.call('GET', 'warm:1')).toBe('value');
    expect(await client.call('STRLEN', 'key:1')).toBe(20_000);
    expect(await client.call('DBSIZE')).toBe(sets + 51);
    for (let i = 0; i < 20; i++)
      expect(String(await client.command('RPUSH', 'list', value.repeat(20)))).toContain(OOM);
    expect(await client.call('EXISTS', 'list')).toBe(0);

    expect(await client.call('FLUSHALL')).toBe('OK');
    expect(await client.call('DBSIZE')).toBe(0);
    // The segment that is kept is enough for this, whatever the system says.
    for (let i = 0; i < 100; i++) expect(await client.call('SET', `again:${i}`, value)).toBe('OK');
    expect(await client.call('STRLEN', 'again:99')).toBe(20_000);
    expect(server.hasExited).toBe(false);

    // With the limit gone all is as before.
    limit('unlimited');
    expect(await client.call('FLUSHALL')).toBe('OK');
    await client.call('SET', 'last', '1');
    expect(await client.call('GET', 'last')).toBe('1');
    const again = await FakeReplica.attach(server.port);
    await again.waitForDump();
    await client.call('SET', 'last', '2');
    await again.waitForCommand('SET', 'last', '2');
    await again.close();
    await replica.close();
    await client.close();
  },
  180_000,
);
