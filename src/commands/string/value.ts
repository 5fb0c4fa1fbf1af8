/**
 * Hot path. Strings as values of keys: the choice of the encoding, and storing. Main thread.
 *
 * The encodings are those of Redis' tryObjectEncoding: `int` for a canonical 64-bit integer,
 * `embstr` up to 44 bytes, otherwise `raw`. A string that was changed in place (APPEND, SETRANGE,
 * SETBIT) is `raw`.
 */
import { parseInteger } from '../../base/bytes.ts';
import { NIL, type Ref } from '../../base/units.ts';
import { EMBSTR_BYTES_MAX, Encoding } from '../../keyspace/entry.ts';
import type { CommandContext } from '../context.ts';
import { EventClass } from '../ports.ts';

const MINUS = 0x2d;
const ZERO = 0x30;
/** "-9223372036854775808" */
const INT64_TEXT_BYTES_MAX = 20;
const INT64_DIGITS_MAX = 19;
/**
 * The digits of the greatest 64-bit integer without the last one, which is 7, or 8 for the least
 * integer.
 */
const INT64_LEADING_DIGITS = '922337203685477580';
const STRING_TOO_LONG = 'ERR string exceeds maximum allowed size (proto-max-bulk-len)';
const NO_BYTES = new Uint8Array(0);

/** Returns whether the bytes are a canonical 64-bit integer. Allocates nothing. */
function isInt64Text(bytes: Uint8Array, start: number, length: number): boolean {
  if (length > INT64_TEXT_BYTES_MAX || length === 0) return false;
  if (bytes[start]! > 0x39) return false;
  if (!Number.isNaN(parseInteger(bytes, start, length))) return true;
  const negative = bytes[start] === MINUS;
  const at = negative ? start + 1 : start;
  const digits = start + length - at;
  if (digits < 16 || digits > INT64_DIGITS_MAX || bytes[at] === ZERO) return false;
  for (let i = 0; i < digits; i++) if (bytes[at + i]! < ZERO || bytes[at + i]! > 0x39) return false;
  if (digits < INT64_DIGITS_MAX) return true;
  for (let i = 0; i < INT64_DIGITS_MAX - 1; i++) {
    const difference = bytes[at + i]! - INT64_LEADING_DIGITS.charCodeAt(i);
    if (difference !== 0) return difference < 0;
  }
  return bytes[at + INT64_DIGITS_MAX - 1]! <= (negative ? 0x38 : 0x37);
}

/** Returns the encoding of a string that is set as a whole. */
export function encodingFor(bytes: Uint8Array, start: number, length: number): Encoding {
  if (isInt64Text(bytes, start, length)) return Encoding.INT;
  return length <= EMBSTR_BYTES_MAX ? Encoding.EMBSTR : Encoding.RAW;
}

/**
 * Stores these bytes as the value of the key in argument `keyIndex`, whose lookup just returned
 * `entry`. Removes the deadline unless `keepDeadline`. Returns the entry. Counts no change and
 * sends no event except that of a new key.
 */
export function storeBytes(
  context: CommandContext,
  entry: Ref,
  keyIndex: number,
  bytes: Uint8Array,
  start: number,
  length: number,
  encoding: Encoding,
  keepDeadline: boolean,
): Ref {
  if (entry !== NIL)
    return context.db.overwriteString(entry, bytes, start, length, encoding, keepDeadline);
  const { request } = context;
  const added = context.db.addString(
    request.bytes,
    request.position[keyIndex]!,
    request.length[keyIndex]!,
    bytes,
    start,
    length,
    encoding,
  );
  context.notify(EventClass.NEW, 'new', keyIndex);
  return added;
}

/** As {@link storeBytes} for the bytes of argument `valueIndex`. Chooses their encoding. */
export function storeArgument(
  context: CommandContext,
  entry: Ref,
  keyIndex: number,
  valueIndex: number,
  keepDeadline: boolean,
): Ref {
  const { request } = context;
  const start = request.position[valueIndex]!;
  const length = request.length[valueIndex]!;
  const encoding = encodingFor(request.bytes, start, length);
  return storeBytes(context, entry, keyIndex, request.bytes, start, length, encoding, keepDeadline);
}

/** Returns the length of the string of `entry`, or -1 for NIL. */
export function stringLength(context: CommandContext, entry: Ref): number {
  if (entry === NIL) return -1;
  context.db.stringInto(entry, context.view);
  return context.view.length;
}

/**
 * Makes the string of the key in argument 1 raw and `length` bytes long, which is at least its
 * current length. `entry` is the result of its lookup just now. New bytes are 0. Returns the entry.
 */
export function growString(context: CommandContext, entry: Ref, length: number): Ref {
  const target =
    entry === NIL ? storeBytes(context, NIL, 1, NO_BYTES, 0, 0, Encoding.RAW, false) : entry;
  return context.db.growString(target, length);
}
/** Answers the string of `entry` as a bulk string. */
export function replyString(context: CommandContext, entry: Ref): void {
  const { view } = context;
  context.db.stringInto(entry, view);
  context.reply.bulk(view.bytes, view.position, view.length);
}

/** Returns whether a string may have this length. Otherwise answers the error. */
export function lengthAllowed(context: CommandContext, length: number): boolean {
  if (length <= context.server.settings.protoMaxBulkLen || context.client.fromPrimary) return true;
  context.reply.error(STRING_TOO_LONG);
  return false;
}
