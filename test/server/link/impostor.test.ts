/**
 * A primary that streams what none sends: commands about the connection that they came on, and what
 * is no request.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
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

let impostor: Server;
let node: NodeInProcess;

/** A replica of a primary that sends an empty dump and `stream` at once, to who comes first. */
async function follow(stream: Buffer): Promise<void> {
  let syncs = 0;
  impostor = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (data) => {
      const words = data.toString('latin1');
      if (words.includes('PING')) socket.write('+PONG\r\n');
      else if (words.includes('PSYNC')) {
        const head = `+FULLRESYNC ${'a'.repeat(40)} 0\r\n$${EMPTY_DUMP.length}\r\n`;
        const tail = syncs++ === 0 ? stream : encodeCommand(['SET', 'end', '2']);
        socket.write(Buffer.concat([Buffer.from(head), EMPTY_DUMP, tail]));
      } else if (!words.includes('ACK')) {
        for (const _ of words.match(/REPLCONF/gi) ?? []) socket.write('+OK\r\n');
      }
    });
  });
  impostor.listen(0, '127.0.0.1');
  await once(impostor, 'listening');
  const { port } = impostor.address() as AddressInfo;
  node = await startNode(`replicaof 127.0.0.1 ${port}`, 'enable-debug-command yes');
}

async function expectEnd(value: string): Promise<void> {
  await waitFor(() => node.node.server.keyspace.keyCount === 1);
  const client = await node.client();
  expect(String(await client.call('GET', 'end'))).toBe(value);
  await client.close();
}

afterEach(async () => {
  await node.stop();
  impostor.close();
});

test('every command about a connection is answered in its stream, which goes on', async () => {
  const lines = [...STREAM, 'MULTI', ...STREAM, 'EXEC', 'SELECT 0', 'SET end 1'];
  await follow(Buffer.concat(lines.map((line) => encodeCommand(line.split(' ')))));
  await expectEnd('1');
  expect(node.messages.some((line) => line.includes('came from a primary'))).toBe(true);
});

test.each(['$5\r\n', '*1\r\n+PING\r\n', '*3\r\n$-7\r\n'])(
  'what is no stream, behind a dump and with it, ends the link only: %j',
  async (stream) => {
    await follow(Buffer.from(stream));
    await expectEnd('2');
    expect(node.messages.some((line) => line.startsWith('Protocol error from MASTER'))).toBe(true);
  },
);
