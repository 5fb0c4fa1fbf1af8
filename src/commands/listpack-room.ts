/**
 * Hot path. The length of a listpack with given texts. A listpack that is made of many arguments
 * gets a block of this length at first, so that it does not grow with each of them.
 */
import type { CommandContext } from './context.ts';

/**
 * The bytes of a listpack without its elements, and the greatest overhead of a short and of a long
 * element.
 */
const LISTPACK_BYTES_BESIDE = 7;
const SHORT_BYTES_MAX = 63;
const SHORT_BYTES_BESIDE = 2;
const LONG_BYTES_BESIDE = 10;

/** Returns the bytes of a listpack of two elements of these lengths. */
export function roomForPair(first: number, second: number): number {
  return LISTPACK_BYTES_BESIDE + roomForElement(first) + roomForElement(second);
}

/**
 * Returns the bytes of a listpack of the arguments from `from` on. It needs less if some are
 * integers.
 */
export function roomForArguments(context: CommandContext, from: number): number {
  const { argc, length } = context.request;
  let bytes = LISTPACK_BYTES_BESIDE;
  for (let i = from; i < argc; i++) bytes += roomForElement(length[i]!);
  return bytes;
}

const roomForElement = (length: number): number =>
  length + (length <= SHORT_BYTES_MAX ? SHORT_BYTES_BESIDE : LONG_BYTES_BESIDE);
