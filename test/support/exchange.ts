/**
 * The bytes of a whole conversation, for tests in which the order of replies and push messages
 * matters. {@link RespClient} separates them.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { type Argument, encodeCommand } from './resp-client.ts';
import type { TestServer } from './server-process.ts';
import { waitFor } from './wait-for.ts';

const END = 'end-of-the-conversation';
const END_REPLY = `$${END.length}\r\n${END}\r\n`;

/**
 * Sends the commands, which are words between spaces or lists of words, in one write on a new
 * connection, and returns all bytes that came for them. The last reply must not be turned off.
 */
export async function exchange(
  server: TestServer,
  protocol: 2 | 3,
  commands: readonly (string | readonly Argument[])[],
): Promise<string> {
  const socket = connect({ port: server.port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  let received = '';
  socket.on('data', (bytes: Buffer) => {
    received += bytes.toString('latin1');
  });
  const hello = ['HELLO', protocol];
  socket.write(encodeCommand(hello));
  socket.write(encodeCommand(['ECHO', END]));
  await waitFor(() => received.endsWith(END_REPLY), { what: 'the answer to HELLO' });
  received = '';
  const all = commands.map((command) =>
    typeof command === 'string' ? command.split(' ') : command,
  );
  socket.write(
    Buffer.concat([...all, ['ECHO', END]].map((words) => encodeCommand(words, 'latin1'))),
  );
  await waitFor(() => received.endsWith(END_REPLY), { what: 'the end of the conversation' });
  socket.destroy();
  return received.slice(0, -END_REPLY.length);
}

/**
 * Returns elements as bytes of the protocol: `*` and `>` with a count, texts as bulk strings,
 * numbers, and `+` statuses.
 */
export const wire = (...parts: readonly (string | number)[]): string =>
  parts
    .map((part) => {
      if (typeof part === 'number') return `:${part}\r\n`;
      return /^[*>+]./.test(part) ? `${part}\r\n` : `$${part.length}\r\n${part}\r\n`;
    })
    .join('');
