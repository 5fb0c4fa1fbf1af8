/** A primary that streams what none sends: commands about the connection that they came on. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, test } from 'vitest';
import { startNode } from '../../support/node-in-process.ts';
import { encodeCommand } from '../../support/resp-client.ts';
import { waitFor } from '../../support/wait-for.ts';

const EMPTY_DUMP = Buffer.concat([Buffer.from('REDIS0009\xff', 'latin1'), Buffer.alloc(8)]);

const STREAM = [
  'HELLO 3',
  'RESET',
  'AUTH x',
  'CLIENT REPLY SKIP',
  'CLIENT REPLY OFF',
  'CLIENT LIST',
  'CLIENT INFO',
  'CLIENT KILL TYPE normal',
  'CLIENT NO-EVICT ON',
  'CLIENT SETNAME x',
  'CLIENT TRACKING ON',
  'CONFIG SET hz 20',
  'DEBUG RELOAD',
  'MODULE LOAD x',
  'MONITOR',
  'SUBSCRIBE a',
  'UNSUBSCRIBE',
  'PSYNC ? -1',
  'SYNC',
  'WAIT 1 0',
  'WAITAOF 0 1 0',
  'SAVE',
  'BLPOP none 0',
  'QUIT',
];

test('every command about a connection is answered in its stream, which goes on', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (data) => {
      const words = data.toString('latin1');
      if (words.includes('PING')) socket.write('+PONG\r\n');
      else if (words.includes('PSYNC')) {
        socket.write(`+FULLRESYNC ${'a'.repeat(40)} 0\r\n$${EMPTY_DUMP.length}\r\n`);
        socket.write(EMPTY_DUMP);
        for (const line of [...STREAM, 'MULTI', ...STREAM, 'EXEC', 'SELECT 0', 'SET end 1'])
          socket.write(encodeCommand(line.split(' ')));
      } else if (!words.includes('ACK')) {
        for (const _ of words.match(/REPLCONF/gi) ?? []) socket.write('+OK\r\n');
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const node = await startNode(`replicaof 127.0.0.1 ${port}`, 'enable-debug-command yes');
  try {
    await waitFor(() => node.node.server.keyspace.keyCount === 1);
    expect(node.messages.some((line) => line.includes('came from a primary'))).toBe(true);
    const client = await node.client();
    expect(String(await client.call('GET', 'end'))).toBe('1');
    await client.close();
  } finally {
    await node.stop();
    server.close();
  }
});
