/**
 * Start-up: applies the sources of configuration to one {@link Config}, in order. A later one wins.
 *
 *   defaults < file < environment < standard input < command line
 *
 * The environment may hold `HEADWATER_<NAME>` (underscores for dashes), and
 * `HEADWATER_<NAME>_FILE`, the path of a file with the value: for secrets. An invalid setting is
 * fatal, in Redis' form.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { ErrorCode, OperatingError, systemErrorText } from '../../base/errors.ts';
import { globHasMagic, globMatch } from '../../base/glob.ts';
import { Config, lookupDirective } from './config.ts';
import { agrees, DEFAULT_USER, passwordOfRules, type UserPassword } from './default-user.ts';
import { Tier } from './directive.ts';
import type { DirectiveName } from './directives.ts';
import { directiveNames, directiveOf } from './directives.ts';
import type { Line } from './grammar.ts';
import { fromBytes, parseLines, quote, splitWords, toBytes, upToZero } from './grammar.ts';
import { PRODUCT_VERSION } from './product.ts';

export interface Sources {
  /** Path of redis.conf. */
  readonly file?: string | null;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Text of standard input, as a byte string. */
  readonly stdin?: string | null;
  /** Options of the command line as lines of a configuration file, a byte string. */
  readonly options?: string;
  /** The working directory at start. */
  readonly directory: string;
}

const INCLUDE_DEPTH_MAX = 16;
const INCLUDED_FILES_MAX = 1000;

/** Former names of Redis: accepted with one word, and without effect. */
const DEPRECATED = ['list-max-ziplist-entries', 'list-max-ziplist-value', 'lua-replicate-commands'];

/**
 * Variables with our prefix that are no directive, and those that Kubernetes makes for a service
 * with our name.
 */
const OTHER_VARIABLES = /^HEADWATER_(DEBUG|PARENT|SEED|REDIS_SERVER|SERVICE_.*|PORT_[0-9].*)$/;

/** Throws OperatingError CONFIG; show only its message. */
export function loadConfig(sources: Sources): Config {
  return new Loader(sources.directory).load(sources);
}

class Loader {
  readonly #config: Config;
  /** Directives that a line has set in this start: `save` lines add up. */
  readonly #seen = new Set<DirectiveName>();
  #includedFiles = 0;
  /** The password of the line `user default`. */
  #password: UserPassword | null = null;

  constructor(directory: string) {
    this.#config = new Config(directory);
  }

  load({ file = null, environment = {}, stdin = null, options = '', directory }: Sources): Config {
    if (file !== null) {
      this.#config.file = resolve(directory, file);
      this.#text(asRead(readText(this.#config.file)), 'configuration file', 0);
    }
    this.#environment(environment);
    if (stdin !== null) this.#text(asRead(stdin), 'standard input', 0);
    this.#text(options, 'command line', 0);
    this.#checkUser();
    this.#warn();
    return this.#config;
  }

  #text(text: string, source: string, depth: number): void {
    for (const line of parseLines(text)) {
      const place = placeText(`Reading the ${source}, at line ${line.number}`, line.raw);
      const refusal = this.#line(line, place, depth);
      if (refusal !== null) throw fatal(place, refusal);
    }
  }

  /** Applies one line, which stands at `place`. Returns an error text, or null. */
  #line({ words }: Line, place: string, depth: number): string | null {
    if (words === null) return 'Unbalanced quotes in configuration line';
    const [first, ...rest] = words as [string, ...string[]];
    const name = lookupDirective(first);
    if (name !== undefined) return this.#assign(name, rest);
    if (rest.length === 1 && DEPRECATED.includes(first)) return null;
    if (first === 'include' && rest.length === 1) return this.#include(rest[0]!, depth + 1);
    if (first === 'rename-command' && rest.length === 2) {
      this.#config.renamedCommands.push({ from: rest[0]!, to: rest[1]!, place });
      return null;
    }
    if (first === 'user' && rest.length > 0) return this.#user(rest);
    if (first === 'loadmodule' && rest.length > 0) return 'headwater does not load modules';
    if (first === 'sentinel') return 'sentinel directive while not in sentinel mode';
    return 'Bad directive or wrong number of arguments';
  }

  #user([name, ...rules]: readonly string[]): string | null {
    if (name !== DEFAULT_USER) return 'headwater does not support ACL users';
    const password = passwordOfRules(rules);
    if (password === null) {
      return 'headwater knows only a default user that is on, may do everything, and has one password or none';
    }
    this.#password = password;
    return password.kind === 'plain' ? this.#assign('requirepass', [password.text]) : null;
  }

  /**
   * The line of the user and `requirepass` may stand anywhere, so they are compared at the end.
   */
  #checkUser(): void {
    const password = this.#password;
    if (password === null || agrees(password, this.#config.text('requirepass'))) return;
    throw fatal(
      placeText('Reading all of the configuration', `user ${DEFAULT_USER} (hidden)`),
      'requirepass is not the password that this line gives to the user',
    );
  }

  #assign(name: DirectiveName, words: readonly string[]): string | null {
    const refusal = this.#config.load(name, words, this.#seen.has(name));
    this.#seen.add(name);
    return refusal;
  }

  /** Relative paths follow `dir`, as in Redis, which changes its directory with that line. */
  #include(pattern: string, depth: number): string | null {
    if (depth > INCLUDE_DEPTH_MAX) return `include goes deeper than ${INCLUDE_DEPTH_MAX} files`;
    const path = resolve(this.#config.values.dir, fromBytes(upToZero(pattern)));
    for (const file of expandPath(path)) {
      this.#includedFiles++;
      if (this.#includedFiles > INCLUDED_FILES_MAX)
        return `include of more than ${INCLUDED_FILES_MAX} files`;
      this.#text(asRead(readText(file)), `configuration file ${file}`, depth);
    }
    return null;
  }

  #environment(environment: Readonly<Record<string, string | undefined>>): void {
    const variables = new Map<string, DirectiveName>();
    for (const name of directiveNames) {
      const { alias } = directiveOf(name);
      variables.set(variableOf(name), name);
      if (alias !== undefined) variables.set(variableOf(alias), name);
    }
    for (const [variable, value] of Object.entries(environment)) {
      if (value === undefined || !variable.startsWith('HEADWATER_')) continue;
      const name = variables.get(variable);
      const fileFor = variable.endsWith('_FILE') ? variables.get(variable.slice(0, -5)) : undefined;
      if (name !== undefined) {
        this.#variable(variable, name, toBytes(value));
      } else if (fileFor !== undefined) {
        this.#variable(variable, fileFor, readText(value).replace(/\r?\n$/, ''));
      } else if (!OTHER_VARIABLES.test(variable)) {
        this.#config.warnings.push(
          `Environment variable ${variable} is no directive and was ignored`,
        );
      }
    }
  }

  #variable(variable: string, name: DirectiveName, value: string): void {
    const directive = directiveOf(name);
    // A Kubernetes service named headwater sets HEADWATER_PORT=tcp://10.0.0.1:6379 in every pod
    // beside it.
    if (name === 'port' && value.startsWith('tcp://')) return;
    const words = directive.kind.multi ? splitWords(value) : [value];
    const raw = `${name} ${directive.sensitive === true ? '(hidden)' : quote(value)}`;
    const place = placeText(`Reading the environment, at ${variable}`, raw);
    if (words === null) throw fatal(place, 'Unbalanced quotes in configuration line');
    const refusal = this.#assign(name, words.length === 0 ? [''] : words);
    if (refusal !== null) throw fatal(place, refusal);
  }

  /** Makes one warning for all directives without effect. */
  #warn(): void {
    const { values, warnings } = this.#config;
    if (values.daemonize) warnings.push('daemonize yes: headwater stays in the foreground');
    const idle = [...this.#seen].filter(
      (name) =>
        directiveOf(name).tier === Tier.ACCEPTED &&
        name !== 'daemonize' &&
        !this.#config.isDefault(name),
    );
    if (idle.length > 0) warnings.push(`Accepted without effect: ${idle.join(', ')}`);
  }
}

function variableOf(name: string): string {
  return `HEADWATER_${name.toUpperCase().replaceAll('-', '_')}`;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    const reason = systemErrorText(error);
    throw new OperatingError(
      ErrorCode.CONFIG,
      `Fatal error, can't open config file '${path}': ${reason}`,
    );
  }
}

/** The bytes of a line that Redis reads at once. */
const READ_BYTES = 1024;

/**
 * A text as Redis reads it: line by line, in parts of up to 1024 bytes, each of which ends at a zero
 * byte. So the rest of such a part is lost, the end of the line included.
 */
function asRead(text: string): string {
  if (!text.includes('\0')) return text;
  let read = '';
  for (let at = 0; at < text.length; ) {
    const lineEnd = text.indexOf('\n', at);
    const end = Math.min(lineEnd < 0 ? text.length : lineEnd + 1, at + READ_BYTES);
    const part = text.slice(at, end);
    const zero = part.indexOf('\0');
    read += zero < 0 ? part : part.slice(0, zero);
    at = end;
  }
  return read;
}

/**
 * The files of an include: the path itself without `*`, `?` or `[`, else the existing paths that
 * match, sorted by bytes, possibly none. Names with a leading dot match only a pattern that has it.
 */
function expandPath(path: string): string[] {
  if (!/[*?[]/.test(path)) return [path];
  let found = ['/'];
  for (const part of path.split('/').filter((p) => p !== '')) {
    const pattern = Buffer.from(part, 'utf8');
    const magic = globHasMagic(pattern, 0, pattern.length);
    found = found.flatMap((folder) => {
      if (!magic) return [`${folder === '/' ? '' : folder}/${part}`];
      return namesIn(folder)
        .filter((name) => part.startsWith('.') === name.startsWith('.') && matches(pattern, name))
        .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
        .map((name) => `${folder === '/' ? '' : folder}/${name}`);
    });
  }
  return found;
}

function matches(pattern: Buffer, name: string): boolean {
  const bytes = Buffer.from(name, 'utf8');
  return globMatch(pattern, 0, pattern.length, bytes, 0, bytes.length, false);
}

/** The names in a folder; none when it cannot be read, as for glob(3). */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    // Throws again unless it is an error of the file system.
    systemErrorText(error);
    return [];
  }
}

/** The lines of an error before its reason. */
function placeText(where: string, line: string): string {
  // A letter of a line is a byte.
  const raw = Buffer.from(line, 'latin1').toString();
  return `\n*** FATAL CONFIG FILE ERROR (headwater ${PRODUCT_VERSION}) ***\n${where}\n>>> '${raw}'`;
}

const fatal = (place: string, reason: string): OperatingError =>
  new OperatingError(ErrorCode.CONFIG, `${place}\n${reason}`);
