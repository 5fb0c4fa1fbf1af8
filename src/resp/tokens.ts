/** The bytes that have a meaning in RESP. */

export const CR = 0x0d;
export const LF = 0x0a;
export const SPACE = 0x20;
export const DIGIT_0 = 0x30;
export const DIGIT_9 = 0x39;

/** First bytes of requests and replies. The second group exists in RESP3 only. */
export const Token = {
  SIMPLE: 0x2b, // +
  ERROR: 0x2d, // -
  INTEGER: 0x3a, // :
  BULK: 0x24, // $
  ARRAY: 0x2a, // *

  NULL: 0x5f, // _
  DOUBLE: 0x2c, // ,
  BOOLEAN: 0x23, // #
  BIG_NUMBER: 0x28, // (
  VERBATIM: 0x3d, // =
  MAP: 0x25, // %
  SET: 0x7e, // ~
  PUSH: 0x3e, // >
} as const;
