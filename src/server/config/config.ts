/**
 * The configuration of one node: typed values for the program, names and texts for CONFIG GET, SET
 * and REWRITE.
 *
 * All texts are byte strings (grammar.ts): a reply is `Buffer.from(text, 'latin1')`. Errors are in
 * Redis' words, with their code word and without the leading dash. Main thread.
 */

import { OperatingError } from '../../base/errors.ts';
import { globMatch } from '../../base/glob.ts';
import type { Directive } from './directive.ts';
import type { DirectiveName, Values } from './directives.ts';
import { directiveNames, directiveOf, fieldOf } from './directives.ts';
import { splitWords, toBytes } from './grammar.ts';
import type { Setting } from './kinds.ts';
import { rewriteFile } from './rewrite.ts';

/**
 * Makes a change take effect, or returns a text to refuse it. A rollback calls it again, with the
 * old values restored.
 */
export type Apply = () => string | null;

export type SetResult =
  | { readonly error: null; readonly changed: readonly DirectiveName[] }
  | { readonly error: string; readonly changed: readonly [] };

/** The state of the moment that CONFIG SET needs. */
export interface SetContext {
  readonly loading: boolean;
  /** The client comes over loopback or a Unix socket. */
  readonly local: boolean;
}

export interface RenamedCommand {
  readonly from: string;
  readonly to: string;
  /** Where the line stands: an error text up to its reason. */
  readonly place: string;
}

interface Hook {
  readonly names: readonly DirectiveName[];
  readonly apply: Apply;
}

/** One pair of CONFIG SET, looked up. */
interface Assignment {
  readonly name: DirectiveName;
  /** As in the table: an alias stays an alias. */
  readonly spelled: string;
  readonly text: string;
  readonly before: Setting<unknown>;
}

/** Spellings, in lower case, and the row of each. */
const rowsBySpelling = new Map<string, DirectiveName>();
for (const name of directiveNames) {
  const { alias } = directiveOf(name);
  rowsBySpelling.set(name, name);
  if (alias !== undefined) rowsBySpelling.set(alias, name);
}

/** The row of a name in any letter case, or undefined. */
export const lookupDirective = (name: string): DirectiveName | undefined =>
  rowsBySpelling.get(name.toLowerCase());

export class Config {
  /** The values, each under its name in camelCase. Live: fields change with CONFIG SET. */
  readonly values: Values;
  /** Command names given by rename-command, in order; the empty new name removes the command. */
  readonly renamedCommands: RenamedCommand[];
  /** Lines to log once there is a log. */
  readonly warnings: string[] = [];
  /** Absolute path of redis.conf, or null. */
  file: string | null = null;

  readonly #settings: Map<DirectiveName, Setting<unknown>>;
  readonly #fields: Record<string, unknown>;
  readonly #hooks: Hook[] = [];

  /**
   * All defaults; `directory` is the working directory until `dir` changes it. With `shared`, the
   * values are those of another configuration, now and later, but the hooks are separate.
   */
  constructor(directory: string, shared?: Config) {
    this.renamedCommands = shared?.renamedCommands ?? [];
    this.#settings = shared === undefined ? new Map() : shared.#settings;
    this.#fields = shared === undefined ? {} : shared.#fields;
    // V8 makes a slow dictionary of an object with this many fields, unless other objects inherit
    // from it.
    this.values = Object.create(this.#fields) as Values;
    if (shared !== undefined) return;
    for (const name of directiveNames) this.#put(name, directiveOf(name).kind.initial);
    this.#put('dir', { value: directory, text: toBytes(directory) });
  }

  /** The text of a directive as CONFIG GET shows it. */
  text(name: DirectiveName): string {
    return this.#settings.get(name)!.text;
  }

  /** The exact bytes of a directive; for passwords, which may be no UTF-8. */
  bytes(name: DirectiveName): Buffer {
    return Buffer.from(this.text(name), 'latin1');
  }

  isDefault(name: DirectiveName): boolean {
    return this.text(name) === directiveOf(name).kind.initial.text;
  }

  /**
   * Takes the words after a name in a file, the environment or the command line. Returns an error
   * text, or null. `append`: lines of this directive came before in the same start.
   */
  load(name: DirectiveName, words: readonly string[], append: boolean): string | null {
    const { kind } = directiveOf(name);
    if (!kind.multi && words.length !== 1) return 'wrong number of arguments';
    const setting = this.#parse(name, kind.multi ? severalWords(words) : words, append);
    if (typeof setting === 'string') return setting;
    const refusal = refusalOf(directiveOf(name), setting.text);
    if (refusal === null) this.#put(name, setting);
    return refusal;
  }

  /**
   * Names and texts for CONFIG GET. A name without pattern letters is returned as it was spelled.
   */
  get(patterns: readonly string[]): [name: string, text: string][] {
    const found = new Map<string, [name: string, text: string]>();
    const add = (spelled: string, name: DirectiveName): void => {
      const key = spelled.toLowerCase();
      if (!found.has(key)) found.set(key, [spelled, this.text(name)]);
    };
    for (const pattern of patterns) {
      if (!/[[*?]/.test(pattern)) {
        const name = lookupDirective(pattern);
        if (name !== undefined) add(pattern, name);
        continue;
      }
      const bytes = Buffer.from(pattern, 'latin1');
      for (const [spelled, name] of rowsBySpelling) {
        if (directiveOf(name).hidden === true) continue;
        const candidate = Buffer.from(spelled, 'latin1');
        if (globMatch(bytes, 0, bytes.length, candidate, 0, candidate.length, true))
          add(spelled, name);
      }
    }
    return [...found.values()];
  }

  /**
   * CONFIG SET with `given` = name, text, name, text …: all of them or none. Returns the names
   * whose value changed. When a hook refuses, the old values and their effects are restored.
   */
  set(given: readonly string[], context: SetContext): SetResult {
    if (given.length === 0 || given.length % 2 !== 0) return failed('ERR syntax error');
    const assignments: Assignment[] = [];
    for (let i = 0; i < given.length; i += 2) {
      const assignment = this.#assignment(given[i]!, given[i + 1]!, assignments, context);
      if (typeof assignment === 'string') return failed(assignment);
      assignments.push(assignment);
    }
    const changed: DirectiveName[] = [];
    for (const { name, spelled, text, before } of assignments) {
      const { kind } = directiveOf(name);
      const words = text === '' ? [] : text.split(' ');
      const setting = this.#parse(name, kind.multi ? words : [text], false);
      const refusal =
        typeof setting === 'string' ? setting : refusalOf(directiveOf(name), setting.text);
      if (typeof setting === 'string' || refusal !== null) {
        this.#restore(assignments);
        return failed(setFailed(spelled, refusal!));
      }
      this.#put(name, setting);
      if (setting.text !== before.text && !changed.includes(name)) changed.push(name);
    }
    const refusal = this.#apply(changed, assignments);
    return refusal === null ? { error: null, changed } : failed(refusal);
  }

  /**
   * Sets a value without checks of flags and without hooks. It is for REPLICAOF: CONFIG SET may not
   * change its directive, and CONFIG REWRITE must know it. Returns an error text, or null.
   */
  assign(name: DirectiveName, words: readonly string[]): string | null {
    const setting = this.#parse(name, words, false);
    if (typeof setting === 'string') return setting;
    this.#put(name, setting);
    return null;
  }

  /** Calls `apply` once per CONFIG SET that changes any of `names`, after all values are set. */
  onChange(names: readonly DirectiveName[], apply: Apply): void {
    this.#hooks.push({ names, apply });
  }

  /**
   * CONFIG REWRITE; with `all`, DEBUG CONFIG-REWRITE-FORCE-ALL. Returns an error text, or null.
   * Blocks until the file is on disk.
   */
  rewrite(all = false): string | null {
    if (this.file === null) return 'ERR The server is running without a config file';
    const refusal = rewriteFile(this.file, (name) => this.#settings.get(name)!, all);
    return refusal === null ? null : `ERR Rewriting config file: ${refusal}`;
  }

  #assignment(
    given: string,
    text: string,
    earlier: readonly Assignment[],
    context: SetContext,
  ): Assignment | string {
    const name = lookupDirective(given);
    if (name === undefined) {
      return `ERR Unknown option or number of arguments for CONFIG SET - '${oneLine(given)}'`;
    }
    const directive = directiveOf(name);
    if (directive.immutable === true) return setFailed(given, "can't set immutable config");
    if (directive.protected === true && !this.#mayChangeProtected(context)) {
      return setFailed(given, "can't set protected config");
    }
    if (directive.denyLoading === true && context.loading) {
      return 'LOADING Redis is loading the dataset in memory';
    }
    const spelled = given.toLowerCase();
    if (earlier.some((other) => other.spelled === spelled))
      return setFailed(given, 'duplicate parameter');
    return { name, spelled, text, before: this.#settings.get(name)! };
  }

  #mayChangeProtected(context: SetContext): boolean {
    const allowed = this.values.enableProtectedConfigs;
    return allowed === 'yes' || (allowed === 'local' && context.local);
  }

  /** Runs the hooks of `changed`. If one refuses, restores and reruns those that ran. */
  #apply(changed: readonly DirectiveName[], assignments: readonly Assignment[]): string | null {
    const ran: Hook[] = [];
    for (const hook of this.#hooks) {
      const cause = hook.names.find((name) => changed.includes(name));
      if (cause === undefined) continue;
      ran.push(hook);
      const refusal = outcome(hook.apply);
      if (refusal === null) continue;
      this.#restore(assignments);
      for (const { names, apply } of ran) {
        const again = outcome(apply);
        if (again !== null) this.warnings.push(`Failed restoring ${names.join(', ')}: ${again}`);
      }
      return setFailed(assignments.find(({ name }) => name === cause)!.spelled, refusal);
    }
    return null;
  }

  #restore(assignments: readonly Assignment[]): void {
    for (const { name, before } of assignments) this.#put(name, before);
  }

  #parse(
    name: DirectiveName,
    words: readonly string[],
    append: boolean,
  ): Setting<unknown> | string {
    return directiveOf(name).kind.parse(words, this.#settings.get(name)!, append);
  }

  #put(name: DirectiveName, setting: Setting<unknown>): void {
    this.#settings.set(name, setting);
    this.#fields[fieldOf(name)] = setting.value;
  }
}

/** One word may hold several: `save "3600 1"`. The empty word stays. */
function severalWords(words: readonly string[]): readonly string[] {
  const split = words.length === 1 ? splitWords(words[0]!) : null;
  return split === null || split.length === 0 ? words : split;
}

function refusalOf({ only }: Directive<unknown>, text: string): string | null {
  if (only === null || only.includes(text)) return null;
  return `headwater does not support this: only ${only.map((word) => `'${word}'`).join(', ')} is accepted`;
}

function outcome(apply: Apply): string | null {
  try {
    return apply();
  } catch (error) {
    // A hook that opens a file or a port may throw its error; any other error is a fault of the
    // program.
    if (error instanceof OperatingError) return error.message;
    throw error;
  }
}

const failed = (error: string): SetResult => ({ error, changed: [] });

const setFailed = (name: string, reason: string): string =>
  `ERR CONFIG SET failed (possibly related to argument '${oneLine(name)}') - ${oneLine(reason)}`;

/** An error reply is one line. */
const oneLine = (text: string): string => text.replace(/[\r\n]/g, ' ');
