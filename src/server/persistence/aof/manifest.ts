/**
 * The manifest of an append only file: which files make it up, in Redis 7's format.
 *
 *   file appendonly.aof.2.base.rdb seq 2 type b     the dataset at some moment
 *   file appendonly.aof.1.incr.aof seq 1 type h     history: replaced, to be deleted
 *   file appendonly.aof.3.incr.aof seq 3 type i     commands since then, in order of seq
 *
 * Pure; {@link AofFiles} in aof-files.ts reads and writes it.
 */
import { ErrorCode, OperatingError } from '../../../base/errors.ts';
import { fromBytes, quote, splitWords, toBytes } from '../../config/grammar.ts';

export interface AofFile {
  /** Its name, without a directory. */
  readonly name: string;
  readonly seq: number;
}

export interface Manifest {
  readonly base: AofFile | undefined;
  /** In ascending order of seq. */
  readonly increments: readonly AofFile[];
  /** Files that are no longer needed. */
  readonly history: readonly AofFile[];
}

export const EMPTY_MANIFEST: Manifest = { base: undefined, increments: [], history: [] };

const LINE_BYTES_MAX = 1024;

/** A base is a dump, or commands. */
export type BaseForm = 'rdb' | 'aof';

export const baseName = (prefix: string, seq: number, form: BaseForm): string =>
  `${prefix}.${seq}.base.${form}`;
export const incrementName = (prefix: string, seq: number): string => `${prefix}.${seq}.incr.aof`;
export const manifestName = (prefix: string): string => `${prefix}.manifest`;

/** The sequence number of the next base. */
export const nextBaseSeq = ({ base, history }: Manifest): number =>
  Math.max(base?.seq ?? 0, ...history.filter(isBase).map(({ seq }) => seq), 0) + 1;

/** The sequence number of the next increment. */
export const nextIncrementSeq = ({ increments, history }: Manifest): number =>
  Math.max(0, ...[...increments, ...history.filter((f) => !isBase(f))].map(({ seq }) => seq)) + 1;

const isBase = ({ name }: AofFile): boolean => name.includes('.base.');

export function withIncrement(manifest: Manifest, increment: AofFile): Manifest {
  return { ...manifest, increments: [...manifest.increments, increment] };
}

/**
 * The manifest once `base` holds everything before `first`, the increment that begins where the
 * base was frozen.
 */
export function withBase(manifest: Manifest, base: AofFile, first: AofFile): Manifest {
  const before = manifest.increments.filter(({ seq }) => seq < first.seq);
  const increments = manifest.increments.filter(({ seq }) => seq > first.seq);
  const old = manifest.base === undefined ? [] : [manifest.base];
  return {
    base,
    increments: [first, ...increments],
    history: [...manifest.history, ...old, ...before],
  };
}

export const withoutHistory = (manifest: Manifest): Manifest => ({ ...manifest, history: [] });

export function formatManifest({ base, increments, history }: Manifest): string {
  const line = ({ name, seq }: AofFile, type: string): string =>
    `file ${quotedName(name)} seq ${seq} type ${type}\n`;
  return [
    ...(base === undefined ? [] : [line(base, 'b')]),
    ...history.map((file) => line(file, 'h')),
    ...increments.map((file) => line(file, 'i')),
  ].join('');
}

/** As Redis: only names that need it are quoted. */
function quotedName(name: string): string {
  const bytes = toBytes(name);
  return /^[!#-&(-[\]-~]+$/.test(bytes) ? name : quote(bytes);
}

/** Throws CORRUPT, with Redis' lines about the place. */
export function parseManifest(text: string): Manifest {
  let base: AofFile | undefined;
  const increments: AofFile[] = [];
  const history: AofFile[] = [];
  let lastSeq = 0;
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  if (lines.length === 0) throw wrong(0, '', 'Found an empty AOF manifest');
  for (const [index, raw] of lines.entries()) {
    const number = index + 1;
    if (raw.length > LINE_BYTES_MAX)
      throw wrong(number, raw.slice(0, 64), 'The AOF manifest file contains too long line');
    const line = raw.trim();
    if (line.startsWith('#')) continue;
    const { name, seq, type } = parseLine(line, number);
    switch (type) {
      case 'b':
        if (base !== undefined) throw wrong(number, line, 'Found duplicate base file information');
        base = { name, seq };
        break;
      case 'h':
        history.push({ name, seq });
        break;
      case 'i':
        if (seq <= lastSeq) throw wrong(number, line, 'Found a non-monotonic sequence number');
        lastSeq = seq;
        increments.push({ name, seq });
        break;
      default:
        throw wrong(number, line, 'Unknown AOF file type');
    }
  }
  return { base, increments, history };
}

function parseLine(line: string, number: number): AofFile & { readonly type: string } {
  const words = splitWords(toBytes(line));
  if (words === null || words.length < 6 || words.length % 2 !== 0)
    throw wrong(number, line, 'Invalid AOF manifest file format');
  let name = '';
  let seq = 0;
  let type = '';
  // Redis 8 adds pairs, which earlier ones pass over as well.
  for (let i = 0; i < words.length; i += 2) {
    const value = words[i + 1]!;
    switch (words[i]!.toLowerCase()) {
      case 'file':
        name = fromBytes(value);
        if (name.includes('/') || name.includes('\0'))
          throw wrong(number, line, "File can't be a path, just a filename");
        break;
      case 'seq':
        seq = /^\d{1,15}$/.test(value) ? Number(value) : 0;
        break;
      case 'type':
        type = value[0] ?? '';
        break;
      default:
    }
  }
  if (name === '' || name === '.' || name === '..' || seq === 0 || type === '')
    throw wrong(number, line, 'Invalid AOF manifest file format');
  return { name, seq, type };
}

function wrong(number: number, line: string, reason: string): OperatingError {
  return new OperatingError(
    ErrorCode.CORRUPT,
    `Reading the manifest file, at line ${number}\n>>> '${line}'\n${reason}`,
  );
}
