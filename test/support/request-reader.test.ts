import { expect, test } from 'vitest';
import { RequestReader } from './request-reader.ts';
import { encodeCommand } from './resp-client.ts';

const REQUESTS = [
  ['PING'],
  ['REPLCONF', 'capa', 'psync2'],
  ['SYNC'],
  ['SET', '\n\r\n', ''],
  ['REPLCONF', 'ACK', '5'],
];
const BYTES = Buffer.concat(
  REQUESTS.map((words) =>
    Buffer.concat([
      words[0] === 'SYNC' ? Buffer.from('SYNC\r\n') : encodeCommand(words, 'latin1'),
      Buffer.from('\n\n'),
    ]),
  ),
);

test('requests between empty lines are taken wherever the bytes are cut', () => {
  for (let at = 0; at <= BYTES.length; at++) {
    const reader = new RequestReader();
    const parts = [BYTES.subarray(0, at), BYTES.subarray(at)];
    expect(parts.flatMap((part) => reader.take(part))).toEqual(REQUESTS);
  }
  const reader = new RequestReader();
  expect([...BYTES].flatMap((byte) => reader.take(Buffer.of(byte)))).toEqual(REQUESTS);
});
