/**
 * LZF in plain TypeScript, the reference for tests of the kernel. It is written for clarity, from
 * the format alone, which `assembly/lzf.ts` draws. Only tests use it.
 */

const OFFSET_MAX = 8192;
const MATCH_MAX = 264;
const LITERALS_MAX = 32;

/**
 * Compresses greedily. The only candidate for a match is the latest place with the same three
 * bytes.
 */
export function plainLzfCompress(input: Uint8Array): Uint8Array {
  const output: number[] = [];
  const latest = new Map<number, number>();
  let literals = 0;

  const flush = (end: number): void => {
    while (literals < end) {
      const run = Math.min(LITERALS_MAX, end - literals);
      output.push(run - 1);
      for (let i = 0; i < run; i++) output.push(input[literals + i]!);
      literals += run;
    }
  };

  for (let at = 0; at + 3 <= input.length; ) {
    const three = input[at]! | (input[at + 1]! << 8) | (input[at + 2]! << 16);
    const match = latest.get(three);
    latest.set(three, at);
    if (match === undefined || at - match > OFFSET_MAX) {
      at++;
      continue;
    }
    let length = 3;
    while (
      length < MATCH_MAX &&
      at + length < input.length &&
      input[match + length] === input[at + length]
    )
      length++;
    flush(at);
    const offset = at - match - 1;
    if (length > 8) output.push(0xe0 | (offset >> 8), length - 9, offset & 0xff);
    else output.push(((length - 2) << 5) | (offset >> 8), offset & 0xff);
    at += length;
    literals = at;
  }
  flush(input.length);
  return Uint8Array.from(output);
}

/**
 * Decompresses, or returns undefined when the input is corrupt or does not give exactly `outBytes`.
 */
export function plainLzfDecompress(input: Uint8Array, outBytes: number): Uint8Array | undefined {
  const output = new Uint8Array(outBytes);
  let out = 0;
  let at = 0;
  while (at < input.length) {
    const control = input[at++]!;
    if (control < LITERALS_MAX) {
      const run = control + 1;
      if (at + run > input.length || out + run > outBytes) return undefined;
      for (let i = 0; i < run; i++) output[out++] = input[at++]!;
      continue;
    }
    let length = (control >> 5) + 2;
    if (length === 9) {
      const more = input[at++];
      if (more === undefined) return undefined;
      length += more;
    }
    const offsetLow = input[at++];
    if (offsetLow === undefined) return undefined;
    let from = out - (((control & 31) << 8) | offsetLow) - 1;
    if (from < 0 || out + length > outBytes) return undefined;
    for (let i = 0; i < length; i++) output[out++] = output[from++]!;
  }
  return out === outBytes ? output : undefined;
}
