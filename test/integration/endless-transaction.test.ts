/** A primary that queues for ever must not fill the heap of its replica. */
import { createServer, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { startHeadwater } from '../support/headwater.ts';
import { waitFor } from '../support/wait-for.ts';

const RDB = Buffer.from('REDIS0010\xff\0\0\0\0\0\0\0\0', 'latin1');
const PART = '*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n'.repeat(1000);

test('its link ends, and the replica asks for a full sync', async () => {
  const sockets = new Set<Socket>();
  let syncs = 0;
  const primary = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      for (const [, word] of bytes.toString().matchAll(/\r\n(PING|REPLCONF|PSYNC)\r\n/g)) {
        if (word === 'PING') socket.write('+PONG\r\n');
        else if (word === 'REPLCONF') socket.write('+OK\r\n');
        else if (syncs++ === 0) sendForEver(socket);
      }
    });
  });
  await new Promise<void>((resolve) => primary.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    primary.close();
  });
  const { port } = primary.address() as { port: number };
  const replica = await startHeadwater({
    env: { NODE_OPTIONS: '--max-old-space-size=128' },
    args: ['--replicaof', `127.0.0.1 ${port}`],
  });
  onTestFinished(() => replica.stop());
  await waitFor(() => syncs > 1, { what: 'the second full sync' });
  const client = await replica.client();
  expect(await client.call('PING')).toBe('PONG');
  await client.close();
});

function sendForEver(socket: Socket): void {
  socket.write(`+FULLRESYNC ${'a'.repeat(40)} 0\r\n$${RDB.length}\r\n`);
  socket.write(RDB);
  socket.write('*1\r\n$5\r\nMULTI\r\n');
  const go = (): void => {
    while (!socket.destroyed && socket.write(PART)) {}
  };
  socket.on('drain', go);
  go();
}
