/**
 * The memory of the block codec. `src/kernels/block-codec.ts` repeats PLAIN and PACKED and compares
 * them with the exports of the module.
 *
 *   position   bytes      content
 *   0x001000   32768      PLACES: 8192 u32, the last position of each hash of four bytes, or 0
 *   0x009000   28672      SCRATCH: what huffman.ts sorts and counts, and PRICES of compress.ts
 *   0x010000   0x040c00   CODES: 259 rows of 256 u32: counts of symbols, later their codes
 *   0x060000   0x103000   SYMBOLS: 259 rows of 2048 u16: what the next 11 bits mean
 *   0x164000   1028       ROW_OF: 256 u32, the row of SYMBOLS for a literal behind each byte
 *   0x180000   1 MiB +    PLAIN: the block
 *   0x290000   2 MiB +    LITERALS: a u16 each, the byte before it << 8 | the literal
 *   0x4b0000   256 KiB    RUNS: a byte per sequence, its literals and where it matches
 *   0x4f0000   256 KiB    LENGTHS: a byte per sequence, the length of its match
 *   0x530000   1 MiB      EXTRAS: bits that the symbols of sequences do not tell
 *   0x640000   2 MiB      PACKED: its compressed form
 *   0x840000              the end
 *
 * Behind PLAIN, LITERALS and PACKED is room for a vector or word that goes past the end.
 *
 * Rows 0 to 255 of CODES and SYMBOLS are those of literals behind that byte.
 */
export const PLACES: usize = 0x1000;
export const PLACES_BITS: u32 = 13;
export const SCRATCH: usize = 0x9000;
export const CODES: usize = 0x10000;
export const SYMBOLS: usize = 0x60000;
export const ROW_OF: usize = 0x164000;
export const PLAIN: usize = 0x180000;
export const LITERALS: usize = 0x290000;
export const RUNS: usize = 0x4b0000;
export const LENGTHS: usize = 0x4f0000;
export const EXTRAS: usize = 0x530000;
export const PACKED: usize = 0x640000;

/** Contexts without a row of their own share one. */
export const SHARED_ROW: u32 = 256;
export const RUN_ROW: u32 = 257;
export const LENGTH_ROW: u32 = 258;
export const ROWS: u32 = 259;

/** No code is longer. */
export const CODE_BITS_MAX: u32 = 11;
