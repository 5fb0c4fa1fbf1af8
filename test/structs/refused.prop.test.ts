/**
 * Structures that find no memory, without a unit around them: each random operation has its first
 * allocation refused, then its second, and so on, until it finds what it needs. A refused one
 * throws ARENA_FULL, and the structure holds what it held. What takes away never needs memory. At
 * the end nothing is left in the arena.
 */
import { expect, test } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { bytesOf, latin1 } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { asRef, NIL, type Ref } from '../../src/base/units.ts';
import { FieldMap } from '../../src/structs/field-map.ts';
import { FieldTable } from '../../src/structs/field-table.ts';
import { IdCursor, IdTree } from '../../src/structs/id-tree.ts';
import { Intset } from '../../src/structs/intset.ts';
import { List } from '../../src/structs/list.ts';
import { Listpack } from '../../src/structs/listpack.ts';
import {
  ELEMENT_TEXT_BYTES_MAX,
  ElementView,
  elementToBytes,
} from '../../src/structs/listpack-read.ts';
import { MemberSet } from '../../src/structs/member-set.ts';
import { MemberTable } from '../../src/structs/member-table.ts';
import { Quicklist } from '../../src/structs/quicklist.ts';
import { SortedSet } from '../../src/structs/sorted-set.ts';
import { SortedTable } from '../../src/structs/sorted-table.ts';
import { StreamId } from '../../src/structs/stream-id.ts';
import { Streams } from '../../src/structs/streams.ts';
import { requestOf } from '../support/command-harness.ts';
import { Refusals } from '../support/refusals.ts';
import { testSeed } from '../support/seed.ts';

const STEPS = 2500;
const LIMITS = { setMaxIntsetEntries: 30, setMaxListpackEntries: 40, setMaxListpackValue: 20 };

/** One structure and its model. */
interface Subject {
  /** All that it holds, in an order of its own. */
  content(): unknown;
  model(): unknown;
  validate(): void;
  /**
   * A random operation: `run` does it and may be refused; `note` tells the model. One that takes
   * away says so.
   */
  operation(prng: Prng): { takesAway: boolean; run: () => void; note: () => void };
  free(): void;
}

const asText = (bytes: Uint8Array): string => latin1(bytes, 0, bytes.length);

const textOf = (prng: Prng): Uint8Array => {
  const kind = prng.below(30);
  if (kind < 12) return bytesOf(`${prng.below(400) - 100}`);
  return bytesOf(
    `t${prng.below(200)}`.padEnd(kind === 29 ? 9000 : kind < 28 ? 1 + prng.below(60) : 3000, '-'),
  );
};

class ListSubject implements Subject {
  readonly #arena: Arena;
  readonly #quicklists: Quicklist;
  readonly #listpacks: Listpack;
  readonly #list: List;
  readonly #model: string[] = [];
  readonly #view = new ElementView();
  readonly #scratch = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#listpacks = new Listpack(arena);
    this.#quicklists = new Quicklist(arena, this.#listpacks);
    this.#list = new List(arena, this.#listpacks, this.#quicklists);
    this.#list.configure(-1);
    this.#list.create();
  }

  model(): unknown {
    return this.#model;
  }

  content(): unknown {
    const texts: string[] = [];
    const { cursor } = this.#list;
    for (let i = 0; i < this.#list.count && this.#list.seek(i); i++) {
      cursor.read(this.#view);
      elementToBytes(this.#view, this.#scratch);
      texts.push(latin1(this.#view.bytes, this.#view.position, this.#view.length));
    }
    return texts;
  }

  validate(): void {
    if (this.#list.large) this.#quicklists.validate(this.#list.ref);
    else this.#listpacks.validate(this.#list.ref);
  }

  operation(prng: Prng) {
    const list = this.#list;
    const model = this.#model;
    const bytes = textOf(prng);
    const text = asText(bytes);
    const index = prng.below(Math.max(1, model.length));
    const kind = prng.below(model.length > 60 ? 16 : 10);
    if (kind < 5 || model.length === 0) {
      const atHead = prng.below(2) === 0;
      const run = (): void => {
        list.prepareFor(1, bytes.length);
        list.push(atHead, bytes, 0, bytes.length);
      };
      return {
        takesAway: false,
        run,
        note: () => void (atHead ? model.unshift(text) : model.push(text)),
      };
    }
    if (kind < 7) {
      const behind = prng.below(2) === 0;
      const run = (): void => {
        list.prepareFor(1, bytes.length);
        list.seek(index);
        list.insert(behind, bytes, 0, bytes.length);
      };
      return {
        takesAway: false,
        run,
        note: () => void model.splice(index + (behind ? 1 : 0), 0, text),
      };
    }
    if (kind < 9) {
      const run = (): void => {
        list.prepareFor(1, bytes.length);
        list.seek(index);
        list.replace(bytes, 0, bytes.length);
      };
      return { takesAway: false, run, note: () => void model.splice(index, 1, text) };
    }
    if (kind < 12) {
      const head = prng.below(2) === 0;
      const run = (): void => {
        list.dropEnd(head);
        list.shrink();
      };
      return { takesAway: true, run, note: () => void (head ? model.shift() : model.pop()) };
    }
    if (kind < 14) {
      const gone = model[index]!;
      const run = (): void => {
        const removed = list.removeEqual(bytesOf(gone), 0, gone.length, 2, false);
        expect(removed).toBeGreaterThan(0);
        list.shrink();
      };
      const note = (): void => {
        for (let i = 0; i < 2 && model.includes(gone); i++) model.splice(model.indexOf(gone), 1);
      };
      return { takesAway: true, run, note };
    }
    const count = 1 + prng.below(Math.min(50, model.length - index));
    const run = (): void => {
      const gone = list.removeRange(index, count);
      if (gone !== NIL) this.#quicklists.freeSome(gone, Number.POSITIVE_INFINITY);
      list.shrink();
    };
    return { takesAway: true, run, note: () => void model.splice(index, count) };
  }

  free(): void {
    this.#list.free();
    expect(this.#arena.usedBytes).toBe(0);
  }
}

class HashSubject implements Subject {
  readonly #map: FieldMap;
  readonly #model = new Map<string, string>();

  constructor(arena: Arena) {
    this.#map = new FieldMap(arena, new Listpack(arena), new FieldTable(arena, 1, 2));
    this.#map.create(false, 0);
  }

  model(): unknown {
    return [...this.#model].sort();
  }

  content(): unknown {
    const map = this.#map;
    const pairs: string[][] = [];
    map.forEach((handle) => {
      map.readField(handle);
      map.readValue(handle);
      const { field, value } = map;
      pairs.push([
        latin1(field.bytes, field.position, field.length),
        latin1(value.bytes, value.position, value.length),
      ]);
    });
    return pairs.sort();
  }

  validate(): void {
    this.#map.validate();
  }

  operation(prng: Prng) {
    const map = this.#map;
    const model = this.#model;
    const name = asText(textOf(prng)).slice(0, 40);
    const value = asText(textOf(prng));
    if (prng.below(10) < (model.size > 150 ? 3 : 7)) {
      const run = (): void => {
        if (!map.large && map.count() > 40) map.convert();
        expect(map.set(bytesOf(name), 0, name.length, bytesOf(value), 0, value.length)).toBe(
          !model.has(name),
        );
      };
      return { takesAway: false, run, note: () => void model.set(name, value) };
    }
    const victim = [...model.keys()][prng.below(Math.max(1, model.size))] ?? name;
    const run = (): void => {
      if (map.find(bytesOf(victim), 0, victim.length)) map.removeFound();
    };
    return { takesAway: true, run, note: () => void model.delete(victim) };
  }

  free(): void {
    this.#map.free();
  }
}

class SetSubject implements Subject {
  readonly #set: MemberSet;
  #model = new Set<string>();

  constructor(arena: Arena) {
    this.#set = new MemberSet(
      arena,
      new Intset(arena),
      new Listpack(arena),
      new MemberTable(arena, 1, 2),
    );
    this.#set.create(0);
  }

  model(): unknown {
    return [...this.#model].sort();
  }

  content(): unknown {
    const set = this.#set;
    const members: string[] = [];
    for (let more = set.first(); more; more = set.next()) members.push(asText(set.copyMember()));
    return members.sort();
  }

  validate(): void {
    this.#set.validate();
  }

  operation(prng: Prng) {
    const set = this.#set;
    const model = this.#model;
    // Rounds of integers alone, of which some are wide.
    const integers = model.size === 0 || [...model].every((each) => /^-?\d+$/.test(each));
    const plain = integers && prng.below(40) > 0;
    const number = `${prng.below(50) - 9}${prng.below(30) === 0 ? '00000000' : ''}`;
    const text = plain
      ? (number === '-0' ? '0' : number).replace(/^(-?)0+(?=\d)/, '$1')
      : asText(textOf(prng));
    if (prng.below(60) === 0) {
      const run = (): void => {
        while (set.first()) set.remove(set.copyMember(), 0, set.copyMember().length);
      };
      return { takesAway: true, run, note: () => void model.clear() };
    }
    if (prng.below(10) < (model.size > 100 ? 3 : 7)) {
      const run = (): void => {
        expect(set.add(bytesOf(text), 0, text.length, LIMITS)).toBe(!model.has(text));
      };
      return { takesAway: false, run, note: () => void model.add(text) };
    }
    const victim = [...model][prng.below(Math.max(1, model.size))] ?? text;
    return {
      takesAway: true,
      run: () => void set.remove(bytesOf(victim), 0, victim.length),
      note: () => void model.delete(victim),
    };
  }

  free(): void {
    this.#set.free();
  }
}

class SortedSetSubject implements Subject {
  readonly #set: SortedSet;
  readonly #model = new Map<string, number>();

  constructor(arena: Arena) {
    this.#set = new SortedSet(arena, new Listpack(arena), new SortedTable(arena, 1, 2));
    this.#set.create(false);
  }

  model(): unknown {
    return [...this.#model].sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1));
  }

  content(): unknown {
    const set = this.#set;
    const pairs: [string, number][] = [];
    for (let more = set.seek(0); more; more = set.next())
      pairs.push([asText(set.copyMember()), set.score]);
    return pairs;
  }

  validate(): void {
    this.#set.validate();
  }

  operation(prng: Prng) {
    const set = this.#set;
    const model = this.#model;
    const text = asText(textOf(prng)).slice(0, 50);
    const score = prng.below(1000) / 4;
    if (prng.below(10) < (model.size > 400 ? 4 : 7)) {
      const run = (): void => {
        if (set.find(bytesOf(text), 0, text.length)) set.setFoundScore(score);
        else set.add(score, bytesOf(text), 0, text.length, 30, 60);
      };
      return { takesAway: false, run, note: () => void model.set(text, score) };
    }
    if (prng.below(4) === 0 && model.size > 0) {
      const rank = prng.below(model.size);
      const count = 1 + prng.below(Math.min(model.size - rank, 20));
      const gone = (this.model() as [string, number][]).slice(rank, rank + count);
      return {
        takesAway: true,
        run: () => set.removeRange(rank, count),
        note: () => {
          for (const [member] of gone) model.delete(member);
        },
      };
    }
    const victim = [...model.keys()][prng.below(Math.max(1, model.size))] ?? text;
    const run = (): void => {
      if (set.find(bytesOf(victim), 0, victim.length)) set.removeFound();
    };
    return { takesAway: true, run, note: () => void model.delete(victim) };
  }

  free(): void {
    this.#set.free();
  }
}

class TreeSubject implements Subject {
  readonly #tree: IdTree;
  readonly #cursor: IdCursor;
  readonly #ref: Ref;
  readonly #model = new Map<number, number>();

  constructor(arena: Arena) {
    this.#tree = new IdTree(arena);
    this.#cursor = new IdCursor(arena);
    this.#ref = this.#tree.create();
  }

  model(): unknown {
    return [...this.#model.values()].sort((a, b) => a - b);
  }

  content(): unknown {
    const values: number[] = [];
    const cursor = this.#cursor;
    for (let more = cursor.seekFirst(this.#ref); more; more = cursor.next())
      values.push(cursor.value);
    return values;
  }

  validate(): void {
    this.#tree.validate(this.#ref);
  }

  operation(prng: Prng) {
    const model = this.#model;
    const number = prng.below(3) === 0 ? model.size + 1 : 1 + prng.below(4000);
    if (prng.below(10) < 7) {
      return {
        takesAway: false,
        run: () => void this.#tree.insert(this.#ref, streamId(number, 0), asRef(number)),
        note: () => void model.set(number, number),
      };
    }
    const victim = [...model.keys()][prng.below(Math.max(1, model.size))] ?? number;
    return {
      takesAway: true,
      run: () => void this.#tree.remove(this.#ref, streamId(victim, 0)),
      note: () => void model.delete(victim),
    };
  }

  free(): void {
    this.#tree.freeSome(this.#ref, Number.POSITIVE_INFINITY, () => undefined);
  }
}

class StreamSubject implements Subject {
  readonly #streams: Streams;
  readonly #ref: Ref;
  #last = 0;
  readonly #entries = new Map<number, string>();
  /** By group and consumer: what is pending. */
  readonly #pending = new Map<string, Set<number>>();

  constructor(arena: Arena) {
    this.#streams = new Streams(arena, new Listpack(arena));
    this.#streams.entries.create();
    this.#ref = this.#streams.entries.ref;
  }

  model(): unknown {
    const entries = [...this.#entries].sort(([a], [b]) => a - b);
    const pending = [...this.#pending].map(
      ([name, ids]) => `${name}:${[...ids].sort((a, b) => a - b)}`,
    );
    return [entries, pending.sort()];
  }

  content(): unknown {
    const { entries: log, groups } = this.#streams;
    log.open(this.#ref);
    const all = new StreamId();
    all.setMax();
    const cursor = log.seek(streamId(0, 0), all, false);
    const entries: [number, string][] = [];
    while (cursor.next()) {
      const { node } = cursor;
      node.nextField();
      const { bytes, position, length } = node.value;
      entries.push([node.id.seqLow, latin1(bytes, position, length)]);
    }
    const pending: string[] = [];
    const walk = new IdCursor(this.#arenaOf());
    for (let g = 0; g < groups.groupCount(this.#ref); g++) {
      const group = groups.groupAt(this.#ref, g);
      for (let c = 0; c < groups.consumerCount(group); c++) {
        const consumer = groups.consumerAt(group, c);
        const ids: number[] = [];
        const tree = groups.pendingOf(consumer);
        for (let more = walk.seekFirst(tree); more; more = walk.next()) ids.push(walk.id.seqLow);
        pending.push(`${this.#nameOf(group)}/${this.#nameOf(consumer)}:${ids}`);
      }
    }
    return [entries, pending.sort()];
  }

  #arenaOf(): Arena {
    return arenaOfStreams.get(this)!;
  }

  #nameOf(named: Ref): string {
    const { groups } = this.#streams;
    return latin1(groups.bytesOf(named), groups.namePosition(named), groups.nameLength(named));
  }

  validate(): void {
    this.#streams.validate(this.#ref);
  }

  operation(prng: Prng) {
    const { entries: log, groups } = this.#streams;
    const kind = prng.below(20);
    log.open(this.#ref);
    if (kind < 9) {
      const value = asText(textOf(prng)).slice(0, 400);
      const field = prng.below(4) === 0 ? 'other' : 'field';
      const request = requestOf([field, value]);
      const id = streamId(1, this.#last + 1);
      const run = (): void => {
        log.open(this.#ref);
        expect(log.append(id, request, 0, 1, 4096, 200)).toBe(true);
      };
      return { takesAway: false, run, note: () => void this.#entries.set(++this.#last, value) };
    }
    if (kind < 13) {
      const victim = [...this.#entries.keys()][prng.below(Math.max(1, this.#entries.size))] ?? 0;
      const run = (): void => {
        log.open(this.#ref);
        if (log.delete(streamId(1, victim))) log.updateFirstId();
      };
      return { takesAway: false, run, note: () => void this.#entries.delete(victim) };
    }
    if (kind < 14) {
      const left = prng.below(300);
      const run = (): void => {
        log.open(this.#ref);
        log.trimToLength(left, false, 0);
      };
      const note = (): void => {
        const ids = [...this.#entries.keys()].sort((a, b) => a - b);
        for (const id of ids.slice(0, Math.max(0, ids.length - left))) this.#entries.delete(id);
      };
      return { takesAway: false, run, note };
    }
    const groupName = `g${prng.below(3)}`;
    const consumerName = `c${prng.below(3)}`;
    const g = bytesOf(groupName);
    const c = bytesOf(consumerName);
    const name = `${groupName}/${consumerName}`;
    const ids = this.#pending.get(name);
    const find = (): Ref => groups.findGroup(this.#ref, g, 0, g.length);
    if (ids === undefined) {
      const run = (): void => {
        const group = find() || groups.addGroup(this.#ref, g, 0, g.length, streamId(0, 0));
        groups.findConsumer(group, c, 0, c.length);
        groups.addConsumer(group, c, 0, c.length, 1);
      };
      return { takesAway: false, run, note: () => void this.#pending.set(name, new Set()) };
    }
    const given = [...this.#pending]
      .filter(([each]) => each.startsWith(groupName))
      .flatMap(([, of]) => [...of]);
    if (kind < 17) {
      const id = 1 + prng.below(this.#last + 1);
      const isNew = !given.includes(id);
      const run = (): void => {
        const group = find();
        const consumer = groups.findConsumer(group, c, 0, c.length);
        if (isNew) groups.setDelivery(groups.addDelivery(group, consumer, streamId(1, id)), 1, 1);
        else
          groups.moveDelivery(
            groups.findDelivery(group, streamId(1, id)),
            streamId(1, id),
            consumer,
          );
      };
      const note = (): void => {
        for (const [each, of] of this.#pending) if (each.startsWith(groupName)) of.delete(id);
        ids.add(id);
      };
      return { takesAway: false, run, note };
    }
    if (kind < 19) {
      const id = [...ids][0] ?? 0;
      const run = (): void => void groups.removeDelivery(find(), streamId(1, id));
      const note = (): void => {
        for (const [each, of] of this.#pending) if (each.startsWith(groupName)) of.delete(id);
      };
      return { takesAway: true, run, note };
    }
    const run = (): void => {
      const heir = this.#streams.takeGroup(this.#ref, find());
      if (heir !== NIL) this.#streams.freeSome(heir, Number.POSITIVE_INFINITY);
    };
    const note = (): void => {
      for (const each of [...this.#pending.keys()])
        if (each.startsWith(groupName)) this.#pending.delete(each);
    };
    return { takesAway: true, run, note };
  }

  free(): void {
    this.#streams.freeSome(this.#ref, Number.POSITIVE_INFINITY);
  }
}
const arenaOfStreams = new WeakMap<StreamSubject, Arena>();

function streamId(ms: number, seq: number): StreamId {
  const id = new StreamId();
  id.setMs(ms);
  id.seqLow = seq;
  return id;
}

test.each([
  ['a list', (arena: Arena) => new ListSubject(arena)],
  ['a hash', (arena: Arena) => new HashSubject(arena)],
  ['a set', (arena: Arena) => new SetSubject(arena)],
  ['a sorted set', (arena: Arena) => new SortedSetSubject(arena)],
  ['a tree of ids', (arena: Arena) => new TreeSubject(arena)],
  [
    'a stream',
    (arena: Arena) => {
      const subject = new StreamSubject(arena);
      arenaOfStreams.set(subject, arena);
      return subject;
    },
  ],
] satisfies [string, (arena: Arena) => Subject][])(
  '%s that finds no memory is as before',
  (name, make) => {
    const prng = new Prng(testSeed(`refused ${name}`));
    const refusals = new Refusals();
    const arena = new Arena(undefined, { refuses: refusals.refuses });
    const subject: Subject = make(arena);
    let refused = 0;
    for (let step = 0; step < STEPS; step++) {
      const { takesAway, run, note } = subject.operation(prng);
      if (takesAway && prng.below(2) === 0) {
        refusals.all = true;
        run();
      } else {
        for (let n = 0; ; n++) {
          refusals.refuse(n);
          if (!isRefused(run)) break;
          refusals.none();
          refused++;
          expect(takesAway, 'what takes away needs no memory').toBe(false);
          subject.validate();
          expect(subject.content()).toEqual(subject.model());
        }
      }
      refusals.none();
      note();
      if (step % 20 === 0) subject.validate();
      if (step % 20 === 0) expect(subject.content()).toEqual(subject.model());
    }
    expect(subject.content()).toEqual(subject.model());
    expect(refused).toBeGreaterThan(20);
    subject.free();
    arena.validate();
    expect(arena.usedBytes).toBe(0);
  },
);

function isRefused(run: () => void): boolean {
  try {
    run();
    return false;
  } catch (error) {
    if (codeOf(error) !== 'ARENA_FULL') throw error;
    return true;
  }
}
