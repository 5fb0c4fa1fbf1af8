/**
 * Expands blocks of the block codec in plain TypeScript. It is the reference for tests of the kernel,
 * and serves where the kernel gets no memory. It is written for clarity, from the format alone, which
 * `assembly/block/` draws in compress.ts, sequence.ts and huffman.ts.
 */

const HEADER_BYTES = 16;
const CONTEXT_BYTES = 32;
const CODE_BITS_MAX = 11;
const RUN_DIRECT = 16;
const LENGTH_DIRECT = 64;
const WAYS = 10;
const WAY_FAR = 9;
const FAR_BITS = 20;
const MATCH_MIN = 4;

/** A block that is damaged. */
class Damage extends Error {}

function must(condition: boolean): asserts condition {
  if (!condition) throw new Damage();
}

/** Reads the low bit of each byte first. Behind the end there are zeros, until somebody looks. */
class Bits {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, startByte: number) {
    this.#bytes = bytes;
    this.at = startByte * 8;
  }

  get endByte(): number {
    return Math.ceil(this.at / 8);
  }

  take(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++, this.at++) {
      const byte = this.#bytes[this.at >> 3] ?? 0;
      value += ((byte >> (this.at & 7)) & 1) * 2 ** i;
    }
    return value;
  }

  symbol(row: Row): number {
    if (row.only !== undefined) return row.only;
    let code = '';
    while (code.length < CODE_BITS_MAX) {
      code += this.take(1);
      const symbol = row.codes.get(code);
      if (symbol !== undefined) return symbol;
    }
    throw new Damage();
  }
}

/** Codes as texts of 0 and 1, in the order of their bits. */
interface Row {
  readonly codes: ReadonlyMap<string, number>;
  /** The symbol that is alone, 0 when there is none. */
  readonly only: number | undefined;
}

/** Reads the rows behind each other. */
class Rows {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  next(): Row {
    const groups = this.#byte();
    const symbols: number[] = [];
    for (let group = 0; group < 8; group++) {
      if (((groups >> group) & 1) === 0) continue;
      for (let i = 0; i < 4; i++) {
        const members = this.#byte();
        for (let bit = 0; bit < 8; bit++)
          if (((members >> bit) & 1) === 1) symbols.push(group * 32 + i * 8 + bit);
      }
    }
    const lengths: [symbol: number, bits: number][] = [];
    for (const [i, symbol] of symbols.entries()) {
      const byte = i % 2 === 0 ? this.#byte() : this.#bytes[this.at - 1]!;
      lengths.push([symbol, i % 2 === 0 ? byte & 15 : byte >> 4]);
    }
    if (symbols.length < 2) return { codes: new Map(), only: symbols[0] ?? 0 };
    return { codes: codesOf(lengths), only: undefined };
  }

  #byte(): number {
    must(this.at < this.#bytes.length);
    return this.#bytes[this.at++]!;
  }
}

/** Each text of 11 bits begins with one code. */
function codesOf(lengths: readonly (readonly [symbol: number, bits: number])[]) {
  const codes = new Map<string, number>();
  let code = 0;
  let room = 1;
  for (let bits = 1; bits <= 15; bits++, code *= 2) {
    for (const [symbol, length] of lengths) {
      if (length !== bits) continue;
      must(bits <= CODE_BITS_MAX && code < 2 ** bits);
      codes.set(code.toString(2).padStart(bits, '0'), symbol);
      code++;
      room -= 2 ** -bits;
    }
  }
  must(room === 0);
  return codes;
}

/** Expands `packed` to exactly `bytes` bytes. Returns undefined when it is damaged. */
export function plainBlockExpand(packed: Uint8Array, bytes: number): Uint8Array | undefined {
  try {
    return expand(packed, bytes);
  } catch (error) {
    if (error instanceof Damage) return undefined;
    throw error;
  }
}

function expand(packed: Uint8Array, bytes: number): Uint8Array {
  must(packed.length >= HEADER_BYTES + CONTEXT_BYTES);
  const view = new DataView(packed.buffer, packed.byteOffset);
  const literalCount = view.getUint32(0, true);
  const sequences = view.getUint32(4, true);
  const extraBytes = view.getUint32(8, true);
  const codeBytes = view.getUint32(12, true);
  const rows = new Rows(packed, HEADER_BYTES + CONTEXT_BYTES);
  const run = rows.next();
  const length = rows.next();
  const shared = rows.next();
  const rowBehind = Array.from({ length: 256 }, (_, before) => {
    const isOwn = ((packed[HEADER_BYTES + (before >> 3)]! >> (before & 7)) & 1) === 1;
    return isOwn ? rows.next() : shared;
  });
  const codesAt = rows.at + extraBytes;
  must(codesAt + codeBytes <= packed.length);
  const extras = new Bits(packed, rows.at);
  const codes = new Bits(packed, codesAt);
  const symbols = new Bits(packed, codesAt + codeBytes);

  const out = new Uint8Array(bytes);
  let to = 0;
  let literalsLeft = literalCount;
  const takeLiterals = (count: number): void => {
    must(count <= literalsLeft && count <= bytes - to);
    literalsLeft -= count;
    for (const end = to + count; to < end; to++)
      out[to] = codes.symbol(rowBehind[to === 0 ? 0 : out[to - 1]!]!);
  };
  let distance = 0;
  for (let i = 0; i < sequences; i++) {
    const runSymbol = symbols.symbol(run);
    const lengthSymbol = symbols.symbol(length);
    let literals = Math.floor(runSymbol / WAYS);
    if (literals >= RUN_DIRECT) {
      const bucket = literals - RUN_DIRECT;
      literals = 16 * 4 ** bucket + extras.take(2 * bucket + 6);
    }
    let match = lengthSymbol;
    if (match >= LENGTH_DIRECT) {
      must(match - 58 <= FAR_BITS - 1);
      match = 2 ** (match - 58) + extras.take(match - 58);
    }
    match += MATCH_MIN;
    const way = runSymbol % WAYS;
    const change = (way + 1) >> 1;
    if (way === WAY_FAR) distance = extras.take(FAR_BITS);
    else distance += way % 2 === 1 ? change : -change;
    must(literals + match <= bytes - to);
    takeLiterals(literals);
    must(distance > 0 && distance <= to);
    for (const end = to + match; to < end; to++) out[to] = out[to - distance]!;
  }
  takeLiterals(literalsLeft);
  must(to === bytes && extras.endByte === codesAt && codes.endByte === codesAt + codeBytes);
  must(symbols.endByte === packed.length);
  return out;
}
