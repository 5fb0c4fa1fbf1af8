/** The bit offsets of SETBIT, GETBIT and BITFIELD. Main thread. */
import { parseInteger } from '../../base/bytes.ts';
import type { CommandContext } from '../context.ts';

const HASH = 0x23;

/**
 * Returns argument `index` as a bit offset, or NaN after an error reply. If `fieldBits` is above 0,
 * `#n` means n times `fieldBits`.
 */
export function bitOffsetArgument(
  context: CommandContext,
  index: number,
  fieldBits: number,
): number {
  const { request } = context;
  const start = request.position[index]!;
  const length = request.length[index]!;
  const inFields = fieldBits > 0 && request.bytes[start] === HASH && length > 0;
  const value = inFields
    ? parseInteger(request.bytes, start + 1, length - 1) * fieldBits
    : parseInteger(request.bytes, start, length);
  if (value >= 0 && Math.floor(value / 8) < bytesMax(context)) return value;
  context.reply.error('ERR bit offset is not an integer or out of range');
  return Number.NaN;
}

/** No string in the arena is longer than 2^30 bytes, even if the configuration allows more. */
function bytesMax(context: CommandContext): number {
  return context.client.fromPrimary ? 2 ** 30 : context.server.settings.protoMaxBulkLen;
}
