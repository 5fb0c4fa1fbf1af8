/**
 * Proves that a measured server streamed the right bytes. A server could look fast by streaming
 * something other than it ran, or less.
 *
 *   measured streams    each byte that a fake replica got is compared with the bytes of the others,
 *                       and the end with the server's log; then dump and stream of the first are
 *                       played to a stock replica, which must hold what the primary holds
 *   end of a scenario   some fake replicas and a stock one are attached, more is written, including
 *                       a flood of requests, and all must be equal
 *
 * A fault makes the figures of that server invalid. The report then shows none of them, and is an
 * error.
 */
import { caughtUp } from './chain.ts';
import type { Child } from './child.ts';
import { floodOf } from './flood.ts';
import { digestOf, Follower } from './follower.ts';
import type { ReplicaApi } from './replica-child.ts';
import { type Context, until } from './scenario.ts';
import type { Server } from './server.ts';
import type { StreamRange } from './stream-proof.ts';

const SYNC_TIMEOUT_MS = 300_000;
const BROKEN_OFF = 'a stock replica broke off what was played to it';
const FLOOD_REQUESTS = { full: 400_000, smoke: 30_000 };

/** Resolves once every fake replica is at the primary's offset. */
export async function allCaughtUp(server: Server, replicas: Child<ReplicaApi>): Promise<void> {
  await until(
    'replicas at the offset of the primary',
    async () => {
      const { offsets } = await replicas.call('state', null);
      if (offsets.length === 0) return true;
      const wanted = Number((await server.control.info('replication')).get('master_repl_offset'));
      // The offsets were read first, so an offset beyond the primary's would be an error of
      // counting.
      if (offsets.some((offset) => offset > wanted))
        throw new Error('a replica is ahead of its primary');
      return offsets.every((offset) => offset === wanted);
    },
    60_000,
    5,
  );
}

/**
 * Checks the streams of all attached replicas, which stay attached. Nobody may write during this.
 */
export async function proveStreams(
  context: Context,
  server: Server,
  replicas: Child<ReplicaApi>,
): Promise<StreamRange> {
  await allCaughtUp(server, replicas);
  const { proof } = context;
  const logFrom = Number(
    (await server.control.info('replication')).get('repl_backlog_first_byte_offset'),
  );
  const found = await replicas.call('proof', { port: server.port, logFrom });
  const { replicas: count, equal, faults, range } = found;
  proof.replicas += count;
  proof.equal += equal;
  proof.faults.push(...faults);
  proof.ranges.push(range);
  return range;
}

/**
 * As {@link proveStreams}, and plays dump and stream to a stock replica. The replicas must have
 * been attached with `proves: 'all'`.
 */
export async function proveMeasured(
  context: Context,
  server: Server,
  replicas: Child<ReplicaApi>,
): Promise<void> {
  const { end } = await proveStreams(context, server, replicas);
  if (context.redis === '') return;
  const port = await replicas.call('play', null);
  const stock = await context.startStock('--replicaof', '127.0.0.1', String(port));
  let isBroken = false;
  await until(
    'a stock replica to have what was played to it',
    async () => {
      isBroken = (await replicas.call('plays', null)) > 1;
      const fields = await stock.control.info('replication');
      const isUp = fields.get('master_link_status') === 'up';
      return (
        isBroken || (isUp && (end === 0 || Number(fields.get('slave_repl_offset')) === end - 1))
      );
    },
    SYNC_TIMEOUT_MS,
    5,
  );
  context.proof.noteStock(isBroken ? BROKEN_OFF : await differenceOf(server, stock));
  await context.stop(stock);
}

/** Returns how a server differs that has the whole stream of another one, or an empty text. */
async function differenceOf(server: Server, below: Server): Promise<string> {
  const [wanted, found] = [await digestOf(server), await digestOf(below)];
  const refused = (await below.control.info('stats')).get('unexpected_error_replies');
  if (refused !== '0') return 'the stream has commands that are errors';
  return wanted === found
    ? ''
    : `DEBUG DIGEST is ${found} where the stream was played to, not ${wanted}`;
}

/**
 * Attaches `fakes` fake replicas and a stock one. When all are in sync, `write` writes, a client
 * sends more requests at once than any measured client, and then all must be equal. The measured
 * server may be a relay: then `head` is the primary above it that takes the writes, and must be
 * equal too.
 */
export async function proveAttached(
  context: Context,
  server: Server,
  replicas: Child<ReplicaApi>,
  fakes: number,
  write: () => Promise<unknown>,
  head: Server = server,
): Promise<void> {
  await replicas.call('attach', {
    port: server.port,
    replicas: fakes,
    ...context.proving('streams'),
  });
  const stock = context.redis === '' ? null : await Follower.stock(server, context.redis, head);
  try {
    await write();
    await floodOf(head.port, FLOOD_REQUESTS[context.smoke ? 'smoke' : 'full']);
    if (head !== server) {
      await caughtUp(head, server);
      context.proof.noteStock(await differenceOf(head, server));
    }
    if (stock !== null) {
      if (context.falsify === 'dataset') await falsifyDataset(stock);
      context.proof.noteStock(await stock.fault());
    }
    // The log is read by a partial sync, which must not count as an incident of the stock replica.
    await proveStreams(context, server, replicas);
    await replicas.call('detach', null);
  } finally {
    await stock?.stop();
  }
}

async function falsifyDataset(stock: Follower): Promise<void> {
  await stock.inSync();
  await stock.server.control.must('CONFIG', 'SET', 'replica-read-only', 'no');
  await stock.server.control.must('SET', 'falsified', 'yes');
}
