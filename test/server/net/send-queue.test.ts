/** When replies leave: at the end of the loop's turn, or before it when many connections wait. */
import { expect, test } from 'vitest';
import { deliveryTo } from '../../../src/server/net/listener.ts';
import { type Sender, SendQueue, WAITING_MAX } from '../../../src/server/net/send-queue.ts';
import { startNode } from '../../support/node-in-process.ts';

const turnEnd = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** So many senders of one queue, and the order in which they were flushed. */
function senders(count: number): { queue: SendQueue; each: Sender[]; flushed: number[] } {
  const flushed: number[] = [];
  const each = Array.from(
    { length: count },
    (_, i): Sender => ({
      sendQueued: false,
      nextSender: undefined,
      flush: () => flushed.push(i),
    }),
  );
  return { queue: new SendQueue(), each, flushed };
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

test('few senders wait for the end of the turn, and are flushed in their order, each once', async () => {
  const { queue, each, flushed } = senders(WAITING_MAX - 1);
  for (const sender of each) {
    queue.add(sender);
    queue.add(sender);
    queue.readEnded();
  }
  expect(flushed).toEqual([]);
  await turnEnd();
  expect(flushed).toEqual(upTo(WAITING_MAX - 1));
});

test('many senders are flushed when a read has ended, and not while it goes on', async () => {
  const { queue, each, flushed } = senders(WAITING_MAX + 1);
  for (const sender of each.slice(0, WAITING_MAX)) queue.add(sender);
  expect(flushed).toEqual([]);
  queue.readEnded();
  expect(flushed).toEqual(upTo(WAITING_MAX));
  // The next ones are counted from the start, and wait again.
  queue.add(each[WAITING_MAX]!);
  queue.readEnded();
  expect(flushed).toEqual(upTo(WAITING_MAX));
  await turnEnd();
  expect(flushed).toEqual(upTo(WAITING_MAX + 1));
});

test('senders that join while others are flushed leave with them', async () => {
  const { queue, each, flushed } = senders(2);
  each[0]!.flush = () => {
    flushed.push(0);
    queue.add(each[1]!);
  };
  queue.add(each[0]!);
  await turnEnd();
  expect(flushed).toEqual([0, 1]);
});

test('in a turn with many clients the first ones are answered before the last ones are read', async () => {
  const served = await startNode('rehearsal no');
  const clients = [];
  for (let i = 0; i < WAITING_MAX + 1; i++) clients.push(await served.client());
  const connections = [...served.node.server.clients.values()];
  const before = connections.map(({ netOutputBytes }) => netOutputBytes);
  const sent = (): number =>
    connections.filter(({ netOutputBytes }, i) => netOutputBytes > before[i]!).length;
  const counts = connections.map(({ socket }) => {
    deliveryTo(socket)!(Buffer.from('*1\r\n$4\r\nPING\r\n'));
    return sent();
  });
  expect(counts).toEqual([...new Array<number>(WAITING_MAX - 1).fill(0), WAITING_MAX, WAITING_MAX]);
  await turnEnd();
  expect(sent()).toBe(WAITING_MAX + 1);
  for (const client of clients) await client.close();
  await served.stop();
});
