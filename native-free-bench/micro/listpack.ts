/**
 * Moves bytes of shared memory by a few places, as an insertion does, with `copyWithin` or with the
 * loop of 32-bit words of `ByteMover`. Then measures operations on listpacks: filling one of 8 KiB
 * from either end, a queue, and finding a field.
 *
 *   npx tsc -p native-free-bench && node dist-bench/native-free-bench/micro/listpack.js [elements]
 */
import { Bench } from 'tinybench';
import { Arena } from '../../src/arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT } from '../../src/arena/layout.ts';
import { bytesOf } from '../../src/base/bytes.ts';
import type { Ref } from '../../src/base/units.ts';
import { ByteMover } from '../../src/structs/byte-mover.ts';
import { Listpack } from '../../src/structs/listpack.ts';
import { ElementView, END } from '../../src/structs/listpack-read.ts';

/** An element has 5 bytes. 1600 of them fill the node of a list. */
const count = Number(process.argv[2] ?? 1600);
const SHIFT_BYTES = 5;

const arena = new Arena();
const listpack = new Listpack(arena);
const mover = new ByteMover(arena);
const text = bytesOf('abc');

function push(append: boolean): Ref {
  let ref = listpack.create();
  for (let i = 0; i < count; i++)
    ref = append ? listpack.append(ref, text, 0, 3) : listpack.prepend(ref, text, 0, 3);
  return ref;
}

let checksum = 0;
function use(ref: Ref): void {
  checksum = (checksum + listpack.byteLength(ref) + listpack.count(ref)) | 0;
  arena.free(ref);
}

/** Empties a copy of `full` from its front. */
function popAll(full: Ref): void {
  let ref = listpack.copy(full);
  while (listpack.first(ref) !== END) ref = listpack.delete(ref, listpack.first(ref));
  use(ref);
}

const view = new ElementView();
function readAll(ref: Ref): void {
  for (let at = listpack.first(ref); at !== END; at = listpack.next(ref, at)) {
    listpack.read(ref, at, view);
    checksum = (checksum + view.length) | 0;
  }
}

const full = push(true);
let hash = listpack.create();
const fields = Array.from({ length: 10 }, (_, i) => bytesOf(`field:${i}`));
for (const field of fields) {
  hash = listpack.append(hash, field, 0, field.length);
  hash = listpack.append(hash, text, 0, 3);
}
function findAll(): void {
  for (let i = 0; i < count; i++) {
    const field = fields[i % fields.length]!;
    checksum =
      (checksum + listpack.find(hash, listpack.first(hash), field, 0, field.length, 1)) | 0;
  }
}

const scratch = arena.alloc(32768);
const segment = scratch >>> SEGMENT_SHIFT;
const start = bytePosition(scratch);
const bench = new Bench({ time: 500, warmupTime: 100 });
for (const bytes of [32, 200, 1000, 8000]) {
  bench.add(`move ${bytes} bytes: copyWithin`, () => {
    arena.u8[segment]!.copyWithin(start + SHIFT_BYTES, start, start + bytes);
  });
  bench.add(`move ${bytes} bytes: ByteMover`, () => {
    mover.within(segment, start, start + SHIFT_BYTES, bytes);
  });
}
bench
  .add(`append ${count}`, () => use(push(true)))
  .add(`prepend ${count}`, () => use(push(false)))
  .add(`delete ${count} from the front`, () => popAll(full))
  .add(`read ${count}`, () => readAll(full))
  .add(`find ${count} among 10 fields`, findAll);
await bench.run();

for (const task of bench.tasks) {
  const { result } = task;
  if (result.state !== 'completed') throw new Error(`${task.name}: ${result.state}`);
  const [, elements] = /(?:^\w+ )(\d+)/.exec(task.name) ?? [];
  const ns = result.latency.p50 * 1e6;
  const each = task.name.startsWith('move')
    ? ''
    : `, ${(ns / Number(elements)).toFixed(1)} ns each`;
  console.log(`${task.name.padEnd(40)} ${ns.toFixed(0).padStart(9)} ns${each}`);
}
console.log(`checksum ${checksum}`);
