import { expect, test } from 'vitest';
import { bytesOf } from '../../src/base/bytes.ts';
import { GrowableBytes } from '../../src/resp/growable-bytes.ts';
import {
  commandBytes,
  EXEC_BYTES,
  encodeCommand,
  GETACK_BYTES,
  MULTI_BYTES,
  PING_BYTES,
  selectBytes,
} from '../../src/resp/stream.ts';
import { parseAll } from './requests.ts';

test.each([
  ['PING', PING_BYTES, '*1\r\n$4\r\nPING\r\n', 14],
  ['MULTI', MULTI_BYTES, '*1\r\n$5\r\nMULTI\r\n', 15],
  ['EXEC', EXEC_BYTES, '*1\r\n$4\r\nEXEC\r\n', 14],
  ['GETACK', GETACK_BYTES, '*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n', 37],
  ['SELECT 0', selectBytes(0), '*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n', 23],
  ['SELECT 15', selectBytes(15), '*2\r\n$6\r\nSELECT\r\n$2\r\n15\r\n', 24],
  ['SELECT 12345', selectBytes(12345), '*2\r\n$6\r\nSELECT\r\n$5\r\n12345\r\n', 27],
])('%s as Redis sends it', (_, bytes, text, size) => {
  expect(Buffer.from(bytes).toString('latin1')).toBe(text);
  expect(bytes).toHaveLength(size);
});

test('commands are appended and can be parsed again', () => {
  const into = new GrowableBytes();
  const value = new Uint8Array(5000).map((_, i) => i);
  encodeCommand(into, ['SET', 'ключ', value]);
  encodeCommand(into, ['DEL', bytesOf('\xff\r\n'), '']);
  into.append(PING_BYTES);
  const { found } = parseAll(into.view(), () => 700);
  expect(found.map((each) => each.words)).toEqual([
    ['SET', Buffer.from('ключ').toString('latin1'), Buffer.from(value).toString('latin1')],
    ['DEL', '\xff\r\n', ''],
    ['PING'],
  ]);
  expect(found.every((each) => each.canonical)).toBe(true);
  into.clear();
  encodeCommand(into, ['PING']);
  expect(into.view()).toEqual(PING_BYTES);
  expect(commandBytes(['PING'])).toEqual(PING_BYTES);
});
