/**
 * A member of a large sorted set: an object that the hash table of the set and its sorted index
 * both refer to.
 *
 *   double 0   SCORE
 *   word 2     LENGTH   bytes of the member
 *   byte 12    the member
 */
export const MEMBER_LENGTH_WORD = 2;
export const MEMBER_HEADER_BYTES = 12;
