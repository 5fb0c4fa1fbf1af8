/**
 * A dataset that was flushed goes as a whole once nothing holds on to it: no view of a command that
 * ran before may.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { startNode } from '../support/node-in-process.ts';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

test('no command keeps the dataset that FLUSHALL has replaced', async () => {
  const { node, client, stop } = await startNode();
  const connection = await client();
  try {
    for (const command of [
      'SET string value',
      'APPEND string more',
      'GET string',
      'INCR counter',
      'RPUSH list a b c',
      'LRANGE list 0 -1',
      'LPOP list',
      'HSET hash a 1 b 2',
      'HGETALL hash',
      'SADD set a b c',
      'SPOP set',
      'ZADD zset 1 a 2 b',
      'ZPOPMIN zset',
      'XADD stream 1-1 a b',
      'XRANGE stream - +',
      'SORT list ALPHA',
      'KEYS *',
    ])
      await connection.command(...command.split(' '));
    const used = node.server.keyspace.arena.u8.filter(({ length }) => length > 0);
    const segments = used.splice(0).map((segment) => new WeakRef(segment));
    expect(segments.length).toBeGreaterThan(0);
    expect(await connection.call('FLUSHALL')).toBe('OK');
    gc();
    expect(segments.filter((segment) => segment.deref() !== undefined)).toHaveLength(0);
  } finally {
    await connection.close();
    await stop();
  }
});
