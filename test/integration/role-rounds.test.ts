/**
 * Roles that change under writes: each node of a group in turn is made the primary, and each node
 * of a chain in turn is shut down or killed. Full syncs are counted: nobody needs one, except where
 * the primary of all is killed and comes back with an old dump. TEST_ROLE_ROUNDS sets the
 * number of promotions (10 cover each node by both ways).
 */
import { describe, expect } from 'vitest';
import { call } from '../support/ask.ts';
import { expectSameData, syncCounts, waitForSync } from '../support/digest.ts';
import { type TestServer, temporaryDirectory } from '../support/server-process.ts';
import { type Servers, test } from '../support/servers.ts';
import { mixedWrites, SteadyWriter } from '../support/steady-writer.ts';
import { waitFor } from '../support/wait-for.ts';

const ROUNDS = Number(process.env.TEST_ROLE_ROUNDS ?? 2);
const ROUND_MS = 180_000;
const WRITES_PER_ROUND = 30;

type Kind = 'headwater' | 'redis';

/** A PING that a paused primary streams would put it ahead of the node that takes over. */
const ARGS = ['--repl-backlog-size', '32mb', '--repl-ping-replica-period', '3600'];

interface Place {
  readonly replicaOf?: number;
  readonly dir?: string;
  readonly port?: number;
}

function start(servers: Servers, kind: Kind, place: Place = {}): Promise<TestServer> {
  return kind === 'redis'
    ? servers.redis({ ...place, args: ARGS })
    : servers.headwater({ ...place, args: [...ARGS, '--enable-debug-command', 'yes'] });
}

async function field(server: TestServer, name: string): Promise<string> {
  const client = await server.client();
  const value = await client.infoField('replication', name);
  await client.close();
  return value;
}

/** Waits until the replica follows the stream of the primary under its present id. */
async function waitForId(primary: TestServer, replica: TestServer): Promise<void> {
  await waitFor(
    async () =>
      (await field(replica, 'master_link_status')) === 'up' &&
      (await field(replica, 'master_replid')) === (await field(primary, 'master_replid')),
    { what: `the replica at ${replica.port} to follow the stream of ${primary.port}` },
  );
}

async function fullSyncs(nodes: readonly TestServer[]): Promise<number> {
  let full = 0;
  for (const node of nodes) full += (await syncCounts(node)).full;
  return full;
}

/** What the nodes logged about resyncs that were not partial. */
function reasons(nodes: readonly TestServer[]): string {
  const isReason =
    /Unable to partial|not accepted|greater than the master|Full resync from|no cached/;
  return nodes
    .flatMap((node, i) => node.lines.filter((line) => isReason.test(line)).map((l) => `${i}: ${l}`))
    .join('\n');
}

/** Stops the writes, waits until all have them, promotes, and lets the others follow. */
async function promote(from: TestServer, to: TestServer, others: readonly TestServer[]) {
  await call(from, 'CLIENT', 'PAUSE', 60_000, 'WRITE');
  for (const node of [to, ...others]) await waitForSync(from, node);
  expect(await call(to, 'REPLICAOF', 'NO', 'ONE')).toBe('OK');
  expect(await call(from, 'REPLICAOF', '127.0.0.1', to.port)).toBe('OK');
  await call(from, 'CLIENT', 'UNPAUSE');
}

/** FAILOVER; the others stay where they are, below the old primary. */
async function failOver(from: TestServer, to: TestServer): Promise<void> {
  expect(await call(from, 'FAILOVER', 'TO', '127.0.0.1', to.port)).toBe('OK');
  await waitFor(async () => (await field(from, 'role')) === 'slave');
  await waitFor(async () => (await field(to, 'role')) === 'master');
}

describe.concurrent('roles change:', () => {
  test(`each node in turn is made the primary, under writes: ${ROUNDS} rounds, partial resyncs only`, {
    timeout: ROUNDS * ROUND_MS,
  }, async ({ servers }) => {
    const kinds: Kind[] = ['headwater', 'headwater', 'redis', 'redis', 'redis'];
    const nodes = [await start(servers, kinds[0]!)];
    for (const kind of kinds.slice(1))
      nodes.push(await start(servers, kind, { replicaOf: nodes[0]!.port }));
    for (const node of nodes.slice(1)) await waitForSync(nodes[0]!, node);
    let at = 0;
    const writer = new SteadyWriter(() => nodes[at]!.port, { before: mixedWrites });
    for (let round = 0; round < ROUNDS; round++) {
      const [from, to] = [nodes[at]!, nodes[(at + 1) % nodes.length]!];
      const others = nodes.filter((node) => node !== from && node !== to);
      const seen = writer.confirmed;
      await waitFor(() => writer.confirmed > seen + WRITES_PER_ROUND, { timeoutMs: 60_000 });
      // One of the others stands below the one that takes over, one below another.
      if (round > 0) await call(others[0]!, 'REPLICAOF', '127.0.0.1', to.port);
      if (round > 0) await call(others[1]!, 'REPLICAOF', '127.0.0.1', others[2]!.port);
      if (round % 2 === 0) await promote(from, to, others);
      else await failOver(from, to);
      at = (at + 1) % nodes.length;
      for (const node of others) await call(node, 'REPLICAOF', '127.0.0.1', to.port);
      // A node that misses two changes of the id needs a full sync: one old id is known.
      for (const node of others) await waitForId(to, node);
    }
    await writer.stop();
    const primary = nodes[at]!;
    for (const node of nodes) if (node !== primary) await expectSameData(primary, node);
    await writer.expectAllThere(primary);
    expect(await fullSyncs(nodes), reasons(nodes)).toBe(nodes.length - 1);
  });

  test.for([
    ['is shut down', 'shutdown'],
    ['is killed', 'kill'],
  ])(
    'each node of a chain in turn %s, and comes back: the data agree',
    {
      timeout: 180_000,
    },
    async ([, end], { servers }) => {
      const kinds: Kind[] = ['redis', 'headwater', 'headwater', 'redis'];
      const chain: TestServer[] = [];
      for (const [i, kind] of kinds.entries()) {
        const dir = temporaryDirectory('chain');
        chain.push(
          await start(servers, kind, {
            dir,
            ...(i === 0 ? {} : { replicaOf: chain[i - 1]!.port }),
          }),
        );
      }
      for (const node of chain.slice(1)) await waitForSync(chain[0]!, node);
      const writer = new SteadyWriter(() => chain[0]!.port, { before: mixedWrites });
      for (const [i, kind] of kinds.entries()) {
        const node = chain[i]!;
        const others = chain.filter((other) => other !== node);
        const before = await fullSyncs(others);
        if (end === 'kill') await call(node, 'SAVE');
        const seen = writer.confirmed;
        await waitFor(() => writer.confirmed > seen + WRITES_PER_ROUND, { timeoutMs: 60_000 });
        if (end === 'kill') {
          await node.kill();
        } else {
          // The connection ends without an answer.
          await call(node, 'SHUTDOWN', 'SAVE').catch(() => {});
          await node.exited;
        }
        const { dir, port } = node;
        chain[i] = await start(servers, kind, {
          dir,
          port,
          ...(i === 0 ? {} : { replicaOf: chain[i - 1]!.port }),
        });
        const again = writer.confirmed;
        await waitFor(() => writer.confirmed > again + WRITES_PER_ROUND, { timeoutMs: 60_000 });
        await call(chain[0]!, 'CLIENT', 'PAUSE', 60_000, 'WRITE');
        for (const below of chain.slice(1)) {
          await expectSameData(chain[0]!, below, { timeoutMs: 60_000 });
        }
        await call(chain[0]!, 'CLIENT', 'UNPAUSE');
        const full = (await fullSyncs(others)) + (await fullSyncs([chain[i]!])) - before;
        // A primary that is killed has lost writes that those below have: they start again.
        const isLost = end === 'kill' && i === 0;
        if (!isLost)
          expect(full, `full syncs after the ${end} of node ${i}: ${reasons(chain)}`).toBe(0);
        else expect(full).toBeGreaterThan(0);
      }
      await writer.stop();
    },
  );
});
