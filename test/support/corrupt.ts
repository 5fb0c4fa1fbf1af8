/**
 * Seeded damage to dumps and payloads: flipped bits, arbitrary bytes, cuts, wrong lengths, parts
 * doubled or swapped. The checksum is computed again, so that the checks behind it are reached.
 */
import type { Prng } from '../../src/base/prng.ts';
import { crc64 } from '../../src/kernels/plain-crc64.ts';

const CHECKSUM_BYTES = 8;
/** The version of a payload and its checksum. */
const FOOTER_BYTES = 10;
/**
 * Edge cases of lengths and counts: of 6, 8, 14, 16, 24 and 32 bits, and the bytes that mark the
 * form of a length.
 */
const EDGES = [0, 1, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xbf, 0xc0, 0xc3, 0xe0, 0xf0, 0xf4, 0xfe, 0xff];

/** Returns a damaged copy of `bytes`, of any length. The first `kept` bytes stay. */
export function damaged(bytes: Buffer, kept: number, prng: Prng): Buffer {
  let result: Buffer = Buffer.from(bytes);
  for (let times = 1 + prng.below(3); times > 0; times--) result = damagedOnce(result, kept, prng);
  return result;
}

function damagedOnce(bytes: Buffer, kept: number, prng: Prng): Buffer {
  if (bytes.length <= kept) return bytes;
  const at = kept + prng.below(bytes.length - kept);
  const count = 1 + prng.below(Math.min(16, bytes.length - at));
  const changed = Buffer.from(bytes);
  switch (prng.below(8)) {
    case 0:
      changed[at]! ^= 1 << prng.below(8);
      return changed;
    case 1:
      changed[at] = prng.below(256);
      return changed;
    case 2:
      changed[at] = EDGES[prng.below(EDGES.length)]!;
      return changed;
    case 3:
      changed[at] = (changed[at]! + (prng.below(2) === 0 ? 1 : 255)) & 255;
      return changed;
    case 4:
      changed.fill(prng.below(2) * 255, at, at + count);
      return changed;
    case 5:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + count)]);
    case 6:
      return Buffer.concat([bytes.subarray(0, at + count), bytes.subarray(at)]);
    default:
      return bytes.subarray(0, at);
  }
}

/** Returns a damaged payload of DUMP with the right version and checksum. */
export function damagedPayload(payload: Buffer, prng: Prng): Buffer {
  const body = damaged(payload.subarray(0, -FOOTER_BYTES), 0, prng);
  return withChecksum(Buffer.concat([body, payload.subarray(-FOOTER_BYTES, -CHECKSUM_BYTES)]));
}

/** Returns a damaged dump file. Every second one has the right checksum. */
export function damagedDump(dump: Buffer, prng: Prng): Buffer {
  const start = 'REDIS0010'.length;
  if (prng.below(2) === 0) return damaged(dump, start, prng);
  return withChecksum(damaged(dump.subarray(0, -CHECKSUM_BYTES), start, prng));
}

function withChecksum(bytes: Buffer): Buffer {
  const { high, low } = crc64(bytes);
  const sum = Buffer.alloc(CHECKSUM_BYTES);
  sum.writeUInt32LE(low >>> 0, 0);
  sum.writeUInt32LE(high >>> 0, 4);
  return Buffer.concat([bytes, sum]);
}
