/**
 * Replies and messages for a client that does not read: they gather in chunks, and arrive whole and
 * in order.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import { encodeCommand, type RespClient } from '../../support/resp-client.ts';
import { waitFor } from '../../support/wait-for.ts';

const ROUNDS = 1500;
const PER_ROUND = 10;
/** The writes that may wait for each MiB of output: most have 64 KiB. */
const WRITES_PER_MIB = 32;

let served: NodeInProcess;
let admin: RespClient;

beforeAll(async () => {
  served = await startNode('client-output-buffer-limit pubsub 0 0 0', 'rehearsal no');
  admin = await served.client();
});

afterAll(async () => {
  await admin.close();
  await served.stop();
});

/** What CLIENT LIST tells of the client `name`. */
async function listed(name: string): Promise<Map<string, string>> {
  const list = String(await admin.call('CLIENT', 'LIST'));
  const line = list.split('\n').find((one) => one.includes(` name=${name} `))!;
  return new Map(line.split(' ').map((field) => field.split('=') as [string, string]));
}

/** Each round is a turn of its own for the client, as messages of others are. */
async function publishAll(text: string): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const messages = Array.from({ length: PER_ROUND }, (_, i) => `${round}-${i} ${text}`);
    await Promise.all(messages.map((message) => admin.call('PUBLISH', 'channel', message)));
  }
}

test('messages that wait share writes, and come in order once the client reads', async () => {
  const subscriber = await served.client();
  await subscriber.call('CLIENT', 'SETNAME', 'unread');
  await subscriber.call('SUBSCRIBE', 'channel');
  subscriber.socket.pause();
  const text = 'm'.repeat(900);
  await publishAll(text);
  const fields = await listed('unread');
  const waitingBytes = Number(fields.get('omem')) + Number(fields.get('obl'));
  // The kernel has taken the first ones.
  expect(waitingBytes).toBeGreaterThan(4 * 1024 * 1024);
  const writesMax = 40 + (waitingBytes / 1024 / 1024) * WRITES_PER_MIB;
  expect(Number(fields.get('oll'))).toBeLessThan(writesMax);
  expect(Number(fields.get('tot-mem'))).toBeLessThan(waitingBytes * 1.2 + 200_000);

  subscriber.socket.resume();
  const wanted = ROUNDS * PER_ROUND;
  await waitFor(() => subscriber.pushes.length >= wanted, { what: 'all messages' });
  const numbers = subscriber.pushes.map((push) => String((push as unknown[])[2]).split(' ')[0]);
  expect(numbers).toEqual(
    Array.from({ length: wanted }, (_, i) => `${Math.floor(i / PER_ROUND)}-${i % PER_ROUND}`),
  );
  await subscriber.close();
});

test('what has gathered is sent before the end of a client that says QUIT', async () => {
  await admin.call('SET', 'large', 'y'.repeat(1_000_000));
  const client = await served.client();
  let bytes = 0;
  client.socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  client.socket.pause();
  for (let i = 0; i < 8; i++) client.write(encodeCommand(['GET', 'large']));
  client.write(encodeCommand(['CLIENT', 'SETNAME', 'leaves']));
  // Behind the large replies small ones gather, each in a turn of its own.
  await waitFor(async () => String(await admin.call('CLIENT', 'LIST')).includes('name=leaves'), {
    what: 'the requests to be run',
  });
  client.write(encodeCommand(['ECHO', 'last']));
  client.write(encodeCommand(['QUIT']));
  const header = '$1000000\r\n'.length;
  client.socket.resume();
  await client.closed;
  expect(bytes).toBe(8 * (header + 1_000_002) + '+OK\r\n'.length * 2 + '$4\r\nlast\r\n'.length);
});
