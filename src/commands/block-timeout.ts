/** The timeout argument of blocking commands. Main thread. */
import { parseFloat64 } from '../base/bytes.ts';
import type { CommandContext } from './context.ts';

/** The greatest 64-bit integer, rounded to a double. */
const TIMEOUT_MS_MAX = 2 ** 63;

/**
 * Returns argument `index`, seconds with a fraction, in whole ms; 0 means forever. Returns NaN
 * after an error reply.
 */
export function timeoutArgument(context: CommandContext, index: number): number {
  const { request, reply, server } = context;
  const seconds = parseFloat64(request.bytes, request.position[index]!, request.length[index]!);
  const timeoutMs = Math.ceil((seconds ?? Number.NaN) * 1000);
  if (seconds === undefined) reply.error('ERR timeout is not a float or out of range');
  else if (timeoutMs >= TIMEOUT_MS_MAX - server.nowMs) reply.error('ERR timeout is out of range');
  else if (timeoutMs < 0) reply.error('ERR timeout is negative');
  else return timeoutMs;
  return Number.NaN;
}
