/** Questions to another node: answers in order, and every way in which one does not come. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { Inquiry } from '../../../src/server/link/inquiry.ts';

const MAX = 100;
let server: Server | undefined;
let inquiry: Inquiry | undefined;

afterEach(() => {
  inquiry?.close();
  server?.close();
});

/** A node that answers each read with `answer` of what came so far. */
async function asked(
  answer: (received: string, socket: Socket) => string,
  access: { user?: string; password?: string; source?: string } = {},
): Promise<Inquiry> {
  server = createServer({ noDelay: true }, (socket) => {
    let received = '';
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      received += bytes.toString('latin1');
      socket.write(answer(received, socket), 'latin1');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const target = { host: '127.0.0.1', port, source: '', user: '', password: '', ...access };
  inquiry = new Inquiry(target, MAX);
  return inquiry;
}

test('answers come in the order of the questions, however they are cut', async () => {
  const text = '$5\r\na\r\nbc\r\n+OK\r\n:7\r\n-ERR no\r\n$0\r\n\r\n';
  let sent = false;
  const asks = await asked((_, socket) => {
    if (!sent) for (const byte of text) socket.write(byte);
    sent = true;
    return '';
  });
  const answers = await Promise.allSettled(['A', 'B', 'C', 'D', 'E'].map((word) => asks.ask(word)));
  expect(
    answers.map((each) => (each.status === 'fulfilled' ? each.value : each.reason.message)),
  ).toEqual(['a\r\nbc', 'OK', '7', 'ERR no', '']);
  expect(asks.isClosed).toBe(false);
});

test('name and password go first; when they are refused, all questions end', async () => {
  let received = '';
  const asks = await asked(
    (all) => {
      received = all;
      return all.includes('ECHO') ? '-WRONGPASS no\r\n-NOAUTH\r\n' : '';
    },
    { user: 'me', password: 'secret' },
  );
  await expect(asks.ask('ECHO')).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  expect(received.startsWith('*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$6\r\nsecret\r\n')).toBe(true);
  expect(asks.isClosed).toBe(true);
});

test('from an address that cannot be used it asks from any', async () => {
  const asks = await asked(() => '+OK\r\n', { source: '203.0.113.1' });
  expect(await asks.ask('PING')).toBe('OK');
});

describe('a question ends with an error', () => {
  test.each([
    ['that has too many bytes', `$${MAX + 1}\r\n`, 'CORRUPT'],
    ['of a negative length', '$-1\r\n', 'CORRUPT'],
    ['that is an array', '*1\r\n+OK\r\n', 'CORRUPT'],
    ['without an end', 'x'.repeat(2000), 'CORRUPT'],
    ['of HTTP', 'HTTP/1.1 400\r\n', 'CORRUPT'],
  ])('for an answer %s', async (_, answer, code) => {
    const asks = await asked(() => answer);
    await expect(asks.ask('PING')).rejects.toMatchObject({ code });
    expect(asks.isClosed).toBe(true);
    await expect(asks.ask('PING')).rejects.toMatchObject({ code });
  });

  test('when the node hangs up, or nobody listens', async () => {
    const asks = await asked((_, socket) => {
      socket.destroy();
      return '';
    });
    await expect(asks.ask('PING')).rejects.toMatchObject({ code: 'IO' });
    server!.close();
    const { port } = (server!.address() as AddressInfo | null) ?? { port: 1 };
    const nobody = new Inquiry(
      { host: '127.0.0.1', port, source: '', user: '', password: '' },
      MAX,
    );
    await expect(nobody.ask('PING')).rejects.toMatchObject({ code: 'IO' });
  });

  test('when it is closed', async () => {
    const asks = await asked(() => '');
    const question = asks.ask('PING');
    asks.close();
    await expect(question).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});
