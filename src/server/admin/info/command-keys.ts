/**
 * Finds the arguments of a request that are keys, from the key specifications of its command or by
 * the command's own finder.
 */
import type { CommandContext } from '../../../commands/context.ts';
import type { CommandSpec, KeySpec } from '../../../commands/spec.ts';
import type { Request } from '../../../resp/request.ts';

export interface FoundKey {
  /** Argument index. */
  readonly index: number;
  readonly spec: KeySpec;
}

/**
 * The keys of the request in the context, or undefined when its arguments contradict its command.
 */
export function findKeys(context: CommandContext, spec: CommandSpec): FoundKey[] | undefined {
  const last = spec.keys.at(-1);
  if (spec.findKeys !== undefined && last !== undefined) {
    const { keys } = spec;
    return spec
      .findKeys(context)
      ?.map((index, i) => ({ index, spec: i === 0 ? (keys[0] ?? last) : last }));
  }
  const found: FoundKey[] = [];
  for (const key of spec.keys) {
    const first = firstOf(key, context.request);
    if (first === undefined) continue;
    const indexes = indexesOf(key, first, context.request);
    if (indexes === undefined) return undefined;
    for (const index of indexes) found.push({ index, spec: spec.keyOf?.(context) ?? key });
  }
  return found;
}

/** The position of the first key, or undefined when the keyword before it is missing. */
function firstOf(key: KeySpec, request: Request): number | undefined {
  const { argc } = request;
  if ('index' in key.begin) return key.begin.index < 0 ? argc + key.begin.index : key.begin.index;
  if ('unknown' in key.begin) return undefined;
  const { keyword, startFrom } = key.begin;
  const step = startFrom > 0 ? 1 : -1;
  for (let i = startFrom > 0 ? startFrom : argc + startFrom; i >= 1 && i < argc; i += step) {
    if (request.equalsIgnoreCase(i, keyword.toUpperCase())) return i + 1;
  }
  return undefined;
}

function indexesOf({ find }: KeySpec, begin: number, request: Request): number[] | undefined {
  const { argc } = request;
  let first = begin;
  let last: number;
  let step = 1;
  if (find.kind === 'unknown') return [];
  if (find.kind === 'keynum') {
    if (first + find.numberAt >= argc) return undefined;
    const count = request.integer(first + find.numberAt);
    if (!(count >= 0)) return undefined;
    first += find.firstKey;
    step = find.step;
    last = first + (count - 1) * step;
  } else {
    step = find.step;
    if (find.last >= 0) last = first + find.last;
    else if (find.limit <= 1) last = argc + find.last;
    else last = first + Math.floor((argc - first) / find.limit) + find.last;
  }
  if (last < first || last >= argc) return undefined;
  const indexes: number[] = [];
  for (let index = first; index <= last; index += step) indexes.push(index);
  return indexes;
}
