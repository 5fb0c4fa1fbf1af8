/** What DUMP returns and RESTORE takes, for values that are one blob. */
import { crc64 } from '../../src/kernels/kernels.ts';

export const PayloadType = {
  INTSET: 11,
  HASH_LISTPACK: 16,
  ZSET_LISTPACK: 17,
  QUICKLIST_2: 18,
} as const;
const RDB_VERSION = 10;
const FOOTER_BYTES = 10;
/** Container of a quicklist node that is a listpack. */
const PACKED = 2;

function lengthPrefix(length: number): Buffer {
  if (length < 64) return Buffer.from([length]);
  if (length < 16384) return Buffer.from([0x40 | (length >> 8), length & 0xff]);
  const prefix = Buffer.alloc(5);
  prefix[0] = 0x80;
  prefix.writeUInt32BE(length, 1);
  return prefix;
}

/** The payload of a value whose blob this is; a list of one node for QUICKLIST_2. */
export function payloadOf(type: number, blob: Uint8Array): Buffer {
  const node = type === PayloadType.QUICKLIST_2 ? [1, PACKED] : [];
  const body = Buffer.concat([Buffer.from([type, ...node]), lengthPrefix(blob.length), blob]);
  const footer = Buffer.alloc(FOOTER_BYTES);
  footer.writeUInt16LE(RDB_VERSION, 0);
  const sum = crc64(Buffer.concat([body, footer.subarray(0, 2)]));
  footer.writeUInt32LE(sum.low, 2);
  footer.writeUInt32LE(sum.high, 6);
  return Buffer.concat([body, footer]);
}

/** Type and blob of a payload that the server made without compression. */
export function blobOf(payload: Buffer): { type: number; blob: Buffer } {
  const type = payload[0]!;
  let at = type === PayloadType.QUICKLIST_2 ? 3 : 1;
  let length = payload[at]! & 0x3f;
  switch (payload[at]! >> 6) {
    case 0:
      at += 1;
      break;
    case 1:
      length = (length << 8) | payload[at + 1]!;
      at += 2;
      break;
    default:
      length = payload.readUInt32BE(at + 1);
      at += 5;
  }
  return { type, blob: payload.subarray(at, at + length) };
}
