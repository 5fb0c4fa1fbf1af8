/**
 * Hot path. How long a listpack of given texts will be: what is made of many arguments at once gets
 * a block of that length at first, and need not grow from one to the next.
 */
import type { CommandContext } from './context.ts';

/**
 * What a listpack has beside its elements, and at most an element beside its bytes when it is
 * short, or long.
 */
const LISTPACK_BYTES_BESIDE = 7;
const SHORT_BYTES_MAX = 63;
const SHORT_BYTES_BESIDE = 2;
const LONG_BYTES_BESIDE = 10;

/** Bytes of a listpack of two elements of these lengths. */
export function roomForPair(first: number, second: number): number {
  return LISTPACK_BYTES_BESIDE + roomForElement(first) + roomForElement(second);
}

/**
 * Bytes of a listpack of the arguments from `from` on; it needs less when integers are among them.
 */
export function roomForArguments(context: CommandContext, from: number): number {
  const { argc, length } = context.request;
  let bytes = LISTPACK_BYTES_BESIDE;
  for (let i = from; i < argc; i++) bytes += roomForElement(length[i]!);
  return bytes;
}

const roomForElement = (length: number): number =>
  length + (length <= SHORT_BYTES_MAX ? SHORT_BYTES_BESIDE : LONG_BYTES_BESIDE);
