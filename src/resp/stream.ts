/**
 * Encodes commands for the replication stream, as canonical multibulks. Every byte counts in the
 * replication offset, so the sizes of the commands that a primary adds are asserted here.
 *
 *   PING 14    SELECT 0…9 23    MULTI 15    EXEC 14    REPLCONF GETACK * 37
 *
 * The arrays are shared and must not be written to. Any thread.
 */
import { assert } from '../base/assert.ts';
import { bytesOf, decimalLength, writeDecimal } from '../base/bytes.ts';
import { GrowableBytes } from './growable-bytes.ts';
import { CR, LF, Token } from './tokens.ts';

const utf8 = new TextEncoder();

/** Appends one command. Strings are encoded as UTF-8. */
export function encodeCommand(into: GrowableBytes, parts: readonly (Uint8Array | string)[]): void {
  header(into, Token.ARRAY, parts.length);
  for (const part of parts) {
    const bytes = typeof part === 'string' ? utf8.encode(part) : part;
    header(into, Token.BULK, bytes.length);
    into.reserve(bytes.length + 2);
    into.bytes.set(bytes, into.size);
    into.size += bytes.length;
    lineEnd(into);
  }
}

/** Returns one command in a new array. */
export function commandBytes(parts: readonly (Uint8Array | string)[]): Uint8Array {
  const into = new GrowableBytes();
  encodeCommand(into, parts);
  return into.bytes.slice(0, into.size);
}

export const PING_BYTES: Uint8Array = bytesOf('*1\r\n$4\r\nPING\r\n');
export const MULTI_BYTES: Uint8Array = bytesOf('*1\r\n$5\r\nMULTI\r\n');
export const EXEC_BYTES: Uint8Array = bytesOf('*1\r\n$4\r\nEXEC\r\n');
export const GETACK_BYTES: Uint8Array = bytesOf(
  '*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n',
);

const SELECTS_SHARED = 16;
const selects: readonly Uint8Array[] = Array.from({ length: SELECTS_SHARED }, (_, db) =>
  makeSelect(db),
);

/** Returns SELECT of a database. For the usual numbers the array is shared. */
export function selectBytes(db: number): Uint8Array {
  return selects[db] ?? makeSelect(db);
}

function makeSelect(db: number): Uint8Array {
  return commandBytes(['SELECT', String(db)]);
}

function header(into: GrowableBytes, token: number, count: number): void {
  into.reserve(3 + decimalLength(count));
  into.bytes[into.size] = token;
  into.size = writeDecimal(into.bytes, into.size + 1, count);
  lineEnd(into);
}

/** Appends a line end. There must be room. */
function lineEnd(into: GrowableBytes): void {
  into.bytes[into.size++] = CR;
  into.bytes[into.size++] = LF;
}

assert(PING_BYTES.length === 14, 'PING counts 14 bytes');
assert(selectBytes(0).length === 23, 'SELECT of one digit counts 23 bytes');
assert(MULTI_BYTES.length === 15, 'MULTI counts 15 bytes');
assert(EXEC_BYTES.length === 14, 'EXEC counts 14 bytes');
assert(GETACK_BYTES.length === 37, 'GETACK counts 37 bytes');
