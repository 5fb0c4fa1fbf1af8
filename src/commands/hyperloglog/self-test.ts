/**
 * PFSELFTEST: compares registers of a dense HyperLogLog, and estimates of both forms, with the
 * expected values.
 */
import { writeDecimal } from '../../base/bytes.ts';
import { Prng } from '../../base/prng.ts';
import {
  choice,
  choose,
  denseRegister,
  estimate,
  HyperLogLog,
  Raised,
  REGISTERS,
} from '../../structs/hyperloglog.ts';

const REGISTER_MAX = 63;
const ROUNDS = 20;
/** Few enough that the command blocks the server no longer than other slow commands. */
const ELEMENTS = 100_000;
const SPARSE_BYTES_MAX = 3000;
/** The allowed error of an estimate, in standard errors. */
const ERRORS_MAX = 6;

/** Returns a description of the first error, or undefined. */
export function selfTest(seed: number): string | undefined {
  const prng = new Prng(seed);
  return testRegisters(prng) ?? testEstimates();
}

function testRegisters(prng: Prng): string | undefined {
  const registers = new Uint8Array(REGISTERS);
  const hll = new HyperLogLog();
  for (let round = 0; round < ROUNDS; round++) {
    hll.create();
    hll.toDense();
    for (let i = 0; i < REGISTERS; i++) {
      registers[i] = prng.below(REGISTER_MAX + 1);
      hll.raise(i, registers[i]!, 0);
    }
    for (let i = 0; i < REGISTERS; i++) {
      const value = denseRegister(hll.bytes, 0, i);
      if (value !== registers[i]) return `Register ${i} should be ${registers[i]} but is ${value}`;
    }
  }
  return undefined;
}

function testEstimates(): string | undefined {
  const dense = new HyperLogLog();
  const sparse = new HyperLogLog();
  dense.create();
  dense.toDense();
  sparse.create();
  const element = new Uint8Array(16);
  for (let count = 1, checked = 1; count <= ELEMENTS; count++) {
    choose(element, 0, writeDecimal(element, 0, count));
    const { register, value } = choice;
    if (
      dense.raise(register, value, 0) === Raised.CORRUPT ||
      sparse.raise(register, value, SPARSE_BYTES_MAX) === Raised.CORRUPT
    ) {
      return `Corrupt after ${count} elements`;
    }
    if (count !== checked) continue;
    checked *= 10;
    const estimated = estimate(dense.bytes, 0, dense.length);
    if (estimated !== estimate(sparse.bytes, 0, sparse.length)) {
      return `Dense and sparse estimates differ after ${count} elements`;
    }
    const errorMax = Math.ceil(((ERRORS_MAX * 1.04) / Math.sqrt(REGISTERS)) * count);
    if (Math.abs(estimated - count) > errorMax)
      return `Too big error. card:${count} estimated:${estimated}`;
  }
  return undefined;
}
