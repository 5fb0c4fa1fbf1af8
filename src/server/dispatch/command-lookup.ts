/**
 * Hot path. Finds the row of a command by the bytes of its name, without making a string.
 *
 * A row is a spec with the counts of its calls. Names are found by a small hash of their length and
 * of their first two and last letters; the rows of one place are chained.
 */
import { ErrorCode, OperatingError } from '../../base/errors.ts';
import { type CommandSpec, type CommandTable, Flag, type Handler } from '../../commands/spec.ts';
import type { RenamedCommand } from '../config/config.ts';
import { LatencyHistogram } from './latency-histogram.ts';

const ARGC_MAX = 0x7fff_ffff;

export class CommandRow {
  /** In lower case; `container|name` for a subcommand. */
  readonly fullName: string;
  readonly spec: CommandSpec;
  readonly handler: Handler;
  readonly subcommands: ReadonlyMap<string, CommandRow>;
  readonly hasSubcommands: boolean;
  readonly parent: CommandRow | undefined;
  /**
   * Index of the first key among the arguments; 0 without keys, or when it depends on the
   * arguments.
   */
  readonly firstKey: number;
  /**
   * A short request of this many words takes little time, whatever they are; 0: a call may take any
   * time.
   */
  readonly shortArgc: number;
  readonly flags: number;
  /**
   * The command works on keys that it names: it may need memory halfway, and can be rolled back.
   */
  readonly hasKeys: boolean;
  /** A short request may need much memory: the command makes one value of others. */
  readonly expands: boolean;
  /** The least and the most words that a request has. */
  readonly argcMin: number;
  readonly argcMax: number;
  /** Calls in the present stretch of the clock; call-clock.ts counts them. */
  callsInStretch = 0;
  calls = 0;
  /** Microseconds in the handler, all calls together. */
  usec = 0;
  rejectedCalls = 0;
  failedCalls = 0;
  readonly latency = new LatencyHistogram();

  constructor(fullName: string, spec: CommandSpec, parent?: CommandRow) {
    this.fullName = fullName;
    this.spec = spec;
    this.handler = spec.handler;
    this.parent = parent;
    this.flags = spec.flags;
    this.hasKeys = spec.keys.length > 0;
    this.argcMin = Math.abs(spec.arity);
    this.argcMax = spec.arity < 0 ? ARGC_MAX : spec.arity;
    const isShort =
      (spec.flags & (Flag.FAST | Flag.BRIEF)) !== 0 &&
      (spec.flags & (Flag.PUBSUB | Flag.BLOCKING)) === 0;
    // A command with optional words may do more: pop a count, trim to a length.
    this.shortArgc = isShort ? Math.abs(spec.arity) : 0;
    this.expands = spec.keys.length > 1 && (spec.flags & Flag.DENYOOM) !== 0 && !isShort;
    const begin = spec.keys[0]?.begin;
    this.firstKey = begin !== undefined && 'index' in begin ? Math.max(begin.index, 0) : 0;
    const subcommands = new Map<string, CommandRow>();
    for (const [name, sub] of Object.entries(spec.subcommands ?? {})) {
      const lower = name.toLowerCase();
      subcommands.set(lower, new CommandRow(`${fullName}|${lower}`, sub, this));
    }
    this.subcommands = subcommands;
    this.hasSubcommands = subcommands.size > 0;
  }

  resetStats(): void {
    this.calls = 0;
    this.usec = 0;
    this.rejectedCalls = 0;
    this.failedCalls = 0;
    this.latency.reset();
    for (const row of this.subcommands.values()) row.resetStats();
  }
}

interface Place {
  readonly name: Uint8Array;
  readonly row: CommandRow;
  readonly next: Place | undefined;
}

const PLACES = 1024;

function placeOf(length: number, first: number, second: number, last: number): number {
  return ((first | 32) * 67 + (second | 32) * 31 + (last | 32) * 7 + length * 131) & (PLACES - 1);
}

export class CommandLookup {
  readonly #places: (Place | undefined)[] = new Array<Place | undefined>(PLACES).fill(undefined);
  readonly #rows = new Map<string, CommandRow>();
  /** What `renamed` names and nobody knows: a slip, or a command that Redis has. */
  readonly unknown: string[] = [];

  /**
   * `renamed` holds rename-command lines: a new name, or an empty one to remove the command. Throws
   * an OperatingError CONFIG when a new name is taken.
   */
  constructor(tables: readonly CommandTable[], renamed: readonly RenamedCommand[] = []) {
    const rows = new Map<string, CommandRow>();
    for (const table of tables) {
      for (const [name, spec] of Object.entries(table)) {
        const lower = name.toLowerCase();
        if (rows.has(lower)) throw new Error(`command ${lower} stands in two tables`);
        rows.set(lower, new CommandRow(lower, spec));
      }
    }
    for (const { from, to, place } of renamed) {
      const row = rows.get(from.toLowerCase());
      if (row === undefined) {
        this.unknown.push(from);
        continue;
      }
      rows.delete(from.toLowerCase());
      if (rows.has(to.toLowerCase())) {
        throw new OperatingError(ErrorCode.CONFIG, `${place}\nTarget command name already exists`);
      }
      if (to !== '') rows.set(to.toLowerCase(), row);
    }
    for (const [name, row] of rows) this.#add(name, row);
  }

  /** All rows by their lower-case name. */
  get rows(): ReadonlyMap<string, CommandRow> {
    return this.#rows;
  }

  /** The row of a name in any letter case, or undefined. */
  find(bytes: Uint8Array, start: number, length: number): CommandRow | undefined {
    if (length === 0) return undefined;
    const second = length > 1 ? bytes[start + 1]! : 0;
    let place = this.#places[placeOf(length, bytes[start]!, second, bytes[start + length - 1]!)];
    for (; place !== undefined; place = place.next) {
      const { name } = place;
      if (name.length !== length) continue;
      let i = 0;
      while (i < length && lower(bytes[start + i]!) === name[i]) i++;
      if (i === length) return place.row;
    }
    return undefined;
  }

  byName(name: string): CommandRow | undefined {
    return this.#rows.get(name.toLowerCase());
  }

  #add(name: string, row: CommandRow): void {
    const bytes = new Uint8Array(Buffer.from(name, 'latin1'));
    const place = placeOf(bytes.length, bytes[0]!, bytes[1] ?? 0, bytes[bytes.length - 1]!);
    this.#places[place] = { name: bytes, row, next: this.#places[place] };
    this.#rows.set(name, row);
  }
}

const lower = (byte: number): number => (byte >= 0x41 && byte <= 0x5a ? byte | 32 : byte);
