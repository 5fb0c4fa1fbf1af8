/**
 * Branded numbers that must not be mixed, and the only place that makes them.
 *
 * A brand exists only for the type checker. At run time each is a small integer (or, for offsets, a
 * double).
 */

/**
 * The place of an object in an arena: a count of 8-byte granules from the arena's start, 31 bits. 0
 * is {@link NIL}.
 */
export type Ref = number & { readonly __brand: 'ref' };

/**
 * A position in the replication stream: the count of stream bytes up to and including that byte.
 */
export type Offset = number & { readonly __brand: 'offset' };

/** No object. */
export const NIL = 0 as Ref;

export const asRef = (value: number): Ref => value as Ref;

export const asOffset = (value: number): Offset => value as Offset;
export const offsetAfter = (offset: Offset, bytes: number): Offset => (offset + bytes) as Offset;

export const KIB = 1024;
export const MIB = 1024 * 1024;
export const GIB = 1024 * 1024 * 1024;

/** The greatest double that is a signed 64-bit integer. */
export const INT64_DOUBLE_MAX = 2 ** 63 - 1024;
