/**
 * Codecs for blocks of the stream: ratio, and processor time of compressing and expanding, for four
 * blocks of 1 MiB of each kind of commands. Only what runs without a native addon.
 *
 *   npm i --no-save lz4-wasm-nodejs @bokuweb/zstd-wasm
 *   npx tsc -p native-free-bench && node dist-bench/native-free-bench/micro/codecs.js
 *
 * Without the two packages their rows are left out. The sources that it compresses are those of the
 * directory in which it runs.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import {
  brotliCompressSync,
  brotliDecompressSync,
  constants,
  deflateRawSync,
  inflateRawSync,
} from 'node:zlib';
import { Prng } from '../../src/base/prng.ts';
import { MIB } from '../../src/base/units.ts';
import { BlockCodec } from '../../src/kernels/block-codec.ts';
import { ByteKernels, KERNELS_FREE_START } from '../../src/kernels/kernels.ts';
import { hexDigits, jsonValue } from '../lib/json.ts';

const BLOCKS = 4;
const SEED = 7;
const WARM_UPS = 4;
const MICROS_PER_SECOND = 1e6;

interface Codec {
  readonly name: string;
  readonly pack: (bytes: Buffer) => Uint8Array;
  /** Undefined where this program has only one direction. */
  readonly unpack?: (bytes: Uint8Array) => Uint8Array;
}

const prng = new Prng(SEED);

const set = (value: string): string => {
  const key = `key:${String(prng.below(1e6)).padStart(12, '0')}`;
  return `*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$${value.length}\r\n${value}\r\n`;
};

/** The sources of this package. Each call takes the next piece. */
const code = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .sort()
  .map((name) => readFileSync(`src/${name}`, 'latin1'))
  .join('');
let codeAt = 0;
function codeOf(bytes: number): string {
  codeAt = (codeAt + bytes) % (code.length - bytes);
  return code.slice(codeAt, codeAt + bytes);
}

const KINDS: Readonly<Record<string, () => string>> = {
  'SET, JSON of 300 B': () => set(jsonValue(prng, 300)),
  'SET, JSON without spaces': () => set(jsonValue(prng, 0)),
  INCR: () => `*2\r\n$4\r\nINCR\r\n$8\r\nk${String(prng.below(1e6)).padStart(7, '0')}\r\n`,
  'SET, 100 hex digits': () => set(hexDigits(prng, 100)),
  'SET, 700 B of source code': () => set(codeOf(700)),
};

function block(command: () => string): Buffer {
  const parts: Buffer[] = [];
  for (let bytes = 0; bytes < MIB; bytes += parts.at(-1)!.length)
    parts.push(Buffer.from(command(), 'latin1'));
  return Buffer.concat(parts).subarray(0, MIB);
}

const deflate = (level: number): Codec => ({
  name: `deflate ${level} (node:zlib)`,
  pack: (bytes) => deflateRawSync(bytes, { level }),
  unpack: (bytes) => inflateRawSync(bytes),
});

const brotli = (quality: number): Codec => ({
  name: `brotli ${quality} (node:zlib)`,
  pack: (bytes) =>
    brotliCompressSync(bytes, {
      params: {
        [constants.BROTLI_PARAM_QUALITY]: quality,
        [constants.BROTLI_PARAM_LGWIN]: 20,
        [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
      },
    }),
  unpack: (bytes) => brotliDecompressSync(bytes),
});

function lzf(): Codec {
  const kernels = new ByteKernels(KERNELS_FREE_START + 2 * MIB);
  return {
    name: "LZF (the project's, WebAssembly)",
    pack: (bytes) => {
      kernels.memory.set(bytes, KERNELS_FREE_START);
      const out = KERNELS_FREE_START + MIB;
      const count = kernels.lzfCompress(KERNELS_FREE_START, bytes.length, out, MIB - 1);
      return kernels.memory.slice(out, out + count);
    },
  };
}

/** Undefined where the processor has no vectors. */
function blockCodec(): Codec | undefined {
  const codec = BlockCodec.make();
  if (codec === undefined) return undefined;
  return {
    name: "block codec (the project's, WebAssembly)",
    pack: (bytes) => codec.compress(bytes, MIB)!.slice(),
    unpack: (bytes) => codec.expand([bytes], MIB)!.slice(),
  };
}

/** A package that may not be there. */
function optional<T>(name: string): T | undefined {
  try {
    return createRequire(import.meta.url)(name) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}

async function packages(): Promise<Codec[]> {
  const found: Codec[] = [];
  const lz4 = optional<{
    compress: (bytes: Uint8Array) => Uint8Array;
    decompress: (bytes: Uint8Array) => Uint8Array;
  }>('lz4-wasm-nodejs');
  if (lz4 !== undefined)
    found.push({ name: 'LZ4 (lz4-wasm-nodejs)', pack: lz4.compress, unpack: lz4.decompress });
  const zstd = optional<{
    init: () => Promise<void>;
    compress: (bytes: Uint8Array, level: number) => Uint8Array;
    decompress: (bytes: Uint8Array) => Uint8Array;
  }>('@bokuweb/zstd-wasm');
  if (zstd !== undefined) {
    await zstd.init();
    for (const level of [-3, 1, 3])
      found.push({
        name: `Zstandard ${level} (@bokuweb/zstd-wasm)`,
        pack: (bytes) => zstd.compress(bytes, level),
        unpack: zstd.decompress,
      });
  }
  return found;
}

/** Megabytes (10^6) a second of processor time that `work` takes for all blocks. */
function speed(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (BLOCKS * MIB) / 1e6 / ((user + system) / MICROS_PER_SECOND);
}

const codecs = [
  ...[1, 3, 6].map(deflate),
  ...[0, 1, 2, 4].map(brotli),
  lzf(),
  blockCodec(),
  ...(await packages()),
].filter((codec) => codec !== undefined);
console.log('| commands | codec | ratio | compress MB/s | expand MB/s |');
console.log('| --- | --- | --- | --- | --- |');
for (const [kind, command] of Object.entries(KINDS)) {
  const blocks = Array.from({ length: BLOCKS }, () => block(command));
  for (const { name, pack, unpack } of codecs) {
    // WebAssembly is compiled better after some calls.
    for (let i = 0; i < WARM_UPS; i++) for (const one of blocks) unpack?.(pack(one));
    let packed: Uint8Array[] = [];
    const packSpeed = speed(() => {
      packed = blocks.map(pack);
    });
    const bytes = packed.reduce((sum, { length }) => sum + length, 0);
    let expand = '';
    if (unpack !== undefined) {
      let out: Uint8Array[] = [];
      const unpackSpeed = speed(() => {
        out = packed.map(unpack);
      });
      if (!out.every((one, i) => blocks[i]!.equals(one)))
        throw new Error(`${name} is not lossless`);
      expand = unpackSpeed.toFixed(0);
    }
    console.log(
      `| ${kind} | ${name} | ${((BLOCKS * MIB) / bytes).toFixed(2)} | ${packSpeed.toFixed(0)} | ${expand} |`,
    );
  }
}
