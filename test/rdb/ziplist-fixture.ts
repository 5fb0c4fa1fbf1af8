/** Makes ziplists as Redis before version 7 wrote them, for the readers of old dumps. */

const SMALL_INTEGER_MAX = 12;

/** Encoding and data of an element; canonical integers as such. */
function encodeElement(text: string): Buffer {
  if (/^(0|-?[1-9]\d{0,18})$/.test(text)) {
    const value = BigInt(text);
    if (value === BigInt.asIntN(64, value)) return encodeInteger(value);
  }
  const data = Buffer.from(text, 'latin1');
  if (data.length < 64) return Buffer.concat([Buffer.of(data.length), data]);
  if (data.length < 16384)
    return Buffer.concat([Buffer.of(0x40 | (data.length >> 8), data.length & 255), data]);
  const head = Buffer.alloc(5);
  head[0] = 0x80;
  head.writeUInt32BE(data.length, 1);
  return Buffer.concat([head, data]);
}

function encodeInteger(value: bigint): Buffer {
  if (value >= 0n && value <= SMALL_INTEGER_MAX) return Buffer.of(0xf1 + Number(value));
  const forms = [
    { bytes: 1, code: 0xfe },
    { bytes: 2, code: 0xc0 },
    { bytes: 3, code: 0xf0 },
    { bytes: 4, code: 0xd0 },
    { bytes: 8, code: 0xe0 },
  ];
  const { bytes, code } = forms.find((form) => BigInt.asIntN(form.bytes * 8, value) === value)!;
  const data = Buffer.alloc(9);
  data[0] = code;
  data.writeBigInt64LE(value, 1);
  return data.subarray(0, 1 + bytes);
}

/** The ziplist of these texts, a byte per char. */
export function ziplistOf(texts: readonly string[]): Buffer {
  const entries: Buffer[] = [];
  let before = 0;
  let tail = 10;
  let total = 10;
  for (const text of texts) {
    const back = before < 254 ? Buffer.of(before) : Buffer.alloc(5, 254);
    if (before >= 254) back.writeUInt32LE(before, 1);
    const entry = Buffer.concat([back, encodeElement(text)]);
    tail = total;
    before = entry.length;
    total += before;
    entries.push(entry);
  }
  const header = Buffer.alloc(10);
  header.writeUInt32LE(total + 1, 0);
  header.writeUInt32LE(tail, 4);
  header.writeUInt16LE(Math.min(texts.length, 65535), 8);
  return Buffer.concat([header, ...entries, Buffer.of(0xff)]);
}
