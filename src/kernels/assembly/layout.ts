/**
 * The kernels' own tables, at the start of their memory. `src/kernels/kernels.ts` repeats SCRATCH
 * and FREE_START and compares them with the exports of the module.
 *
 *   position   bytes    content
 *   0          32768    CRC_TABLES: 16 tables of 256 u64, slice k at k * 2048
 *   0x8000     32768    LZF_TABLE: 8192 u32, the last place of each hash of three bytes
 *   0x10000    65536    SCRATCH: outside bytes, copied in for the checksum
 *   0x20000             free for the caller
 */
export const CRC_TABLES: usize = 0;
export const LZF_TABLE: usize = 0x8000;
export const LZF_TABLE_BITS: u32 = 13;
export const SCRATCH: usize = 0x10000;
export const FREE_START: usize = 0x20000;
