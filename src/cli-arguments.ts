/**
 * Reads the command line exactly as redis-server 7.0 does:
 *
 *   headwater [file.conf] [--name value ...] ... [-]
 *
 * Options become lines of a configuration. They are parsed after the file, the environment and
 * standard input.
 */
import { quote, splitWords, toBytes } from './server/config/grammar.ts';

export type CliArguments =
  | { readonly mode: 'version' | 'help' | 'help-all' }
  | {
      readonly mode: 'serve';
      /** Path of redis.conf, or null. */
      readonly file: string | null;
      /** True when more configuration comes from standard input. */
      readonly stdin: boolean;
      /** Lines of a configuration, as a byte string. */
      readonly options: string;
    };

const FIRST_WORDS: ReadonlyMap<string, 'version' | 'help' | 'help-all'> = new Map([
  ['-v', 'version'],
  ['--version', 'version'],
  ['-h', 'help'],
  ['--help', 'help'],
  ['--help-all', 'help-all'],
] as const);

/** Parses `argv`, which is without the interpreter and the program. */
export function parseArguments(argv: readonly string[]): CliArguments {
  const mode = FIRST_WORDS.get(argv[0] ?? '');
  if (mode !== undefined) return { mode };
  const hasFile = argv.length > 0 && !argv[0]!.startsWith('-');
  const rest = argv.slice(hasFile ? 1 : 0);
  let stdin = false;
  let options = '';
  // The word behind a bare `--name` is its value, even if it begins with `--`.
  let afterValue = true;
  for (let i = 0; i < rest.length; i++) {
    const arg = rest[i]!;
    const next = rest[i + 1];
    if (arg === '-' && ((i === 0 && !hasFile) || next === undefined)) {
      stdin = true;
    } else if (afterValue && arg.startsWith('--')) {
      options += `${options === '' ? '' : '\n'}${toBytes(arg.slice(2))} `;
      // `--port` is a name without its value. `--port 6380` in one word has its value.
      afterValue = splitWords(toBytes(arg))?.length !== 1;
      if (arg.toLowerCase() === '--save' && (next === undefined || next.startsWith('--'))) {
        options += '""';
        afterValue = true;
      }
    } else {
      options += `${quote(toBytes(arg))} `;
      afterValue = true;
    }
  }
  return { mode: 'serve', file: hasFile ? argv[0]! : null, stdin, options };
}
