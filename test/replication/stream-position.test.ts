import { expect, test } from 'vitest';
import { asOffset, KIB } from '../../src/base/units.ts';
import { NO_DB } from '../../src/replication/feed.ts';
import { ReplicationHistory } from '../../src/replication/replid.ts';
import { StreamLog } from '../../src/replication/stream-log.ts';
import { StreamPosition } from '../../src/replication/stream-position.ts';

test('the position is that of the log, and its database is that of the present maker', () => {
  const log = new StreamLog(64 * KIB, asOffset(0));
  const history = new ReplicationHistory((count) => new Uint8Array(count).fill(0xab));
  const feed = { selectedDb: NO_DB as number };
  const position = new StreamPosition(log, history, feed);
  expect([position.active, position.database]).toEqual([false, 0]);
  log.start(asOffset(100));
  log.append(Buffer.from('abc'), 0, 3);
  feed.selectedDb = 5;
  expect([position.active, position.offset, position.database]).toEqual([true, 103, 5]);
  position.madeBy({ selectedDb: 7 });
  history.adopt('cd'.repeat(20));
  expect([position.replid, position.database]).toEqual(['cd'.repeat(20), 7]);
});
