/** Who waits for the end of the node: as many as there are clients, and no more. */
import { expect, test } from 'vitest';
import { FakeReplica } from '../../support/fake-replica.ts';
import { startNode } from '../../support/node-in-process.ts';
import { waitFor } from '../../support/wait-for.ts';

test('a client that asks for a shutdown and goes is forgotten, and the others are answered', async () => {
  const { node, port, client, stop } = await startNode('shutdown-timeout 3600');
  const writer = await client();
  const replica = await FakeReplica.attach(port, { ack: 'never' });
  await replica.waitForDump();
  replica.ack(0);
  await waitFor(() => node.primary.fanOut.targetCount === 1, { what: 'the replica to be online' });
  await writer.call('SET', 'k', 'v');
  for (let i = 0; i < 20; i++) {
    const asker = await client();
    asker.send('SHUTDOWN');
    await waitFor(() => node.dumps.shutdown.askerCount === 1, { what: 'the shutdown to wait' });
    await asker.close();
    await waitFor(() => node.dumps.shutdown.askerCount === 0, {
      what: 'the client to be forgotten',
    });
  }
  const asker = await client();
  const answer = asker.command('SHUTDOWN');
  await waitFor(() => node.dumps.shutdown.askerCount === 1);
  expect(await writer.call('SHUTDOWN', 'ABORT')).toBe('OK');
  expect(String(await answer)).toContain('Errors trying to SHUTDOWN');
  for (const each of [asker, writer]) await each.close();
  await replica.close();
  await stop();
});

test.each(['before its last dump', 'in its last dump'])(
  'a node that is stopped in the middle of a shutdown, %s, ends once',
  async (when) => {
    const { node, messages, client, stop } = await startNode('enable-debug-command yes');
    const asker = await client();
    await asker.call('DEBUG', 'POPULATE', 200_000, 'key', 100);
    const isBefore = when.startsWith('before');
    if (isBefore) await asker.call('BGSAVE');
    asker.send('SHUTDOWN', 'SAVE');
    const line = isBefore ? 'User requested shutdown...' : 'Saving the final RDB snapshot';
    await waitFor(() => messages.some((message) => message.startsWith(line)), { what: line });
    let exits = 0;
    node.onExit = () => exits++;
    // As by DEBUG CRASH-AND-RECOVER, whose end comes first then.
    await stop();
    await waitFor(() => !node.dumps.persistence.busy, { what: 'the dump to end' });
    await new Promise(setImmediate);
    expect(exits).toBe(0);
    expect(messages).not.toContain('Redis is now ready to exit, bye bye...');
    expect(messages).not.toContain("Error trying to save the DB, can't exit.");
  },
);

test('a SAVE that waits for that of an emptied dataset ends with the node', async () => {
  const { node, client, stop } = await startNode('save 3600 1');
  const asker = await client();
  await asker.call('SET', 'k', 'v');
  await asker.call('FLUSHALL');
  await waitFor(() => node.dumps.persistence.busy, { what: 'the save of the empty dataset' });
  const end = node.dumps.persistence.save();
  await stop();
  expect(await end).not.toBe('saved');
});
