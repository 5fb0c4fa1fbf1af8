/**
 * Libraries of functions, which this node keeps for others: their code is carried to every dump,
 * and never runs. They come with a dump, and change with the stream of a primary or an append only
 * file. Clients have no FUNCTION and no SCRIPT here; a stream has them, and in a transaction its
 * other commands must run, too. Main thread.
 */
import { OperatingError } from '../../base/errors.ts';
import { SYNTAX_ERROR } from '../../commands/arguments.ts';
import { container } from '../../commands/container.ts';
import type { CommandContext } from '../../commands/context.ts';
import { type CommandSpec, type CommandTable, Flag, NO_KEYS } from '../../commands/spec.ts';
import { PayloadCodec } from '../../rdb/payload.ts';

const BAD_CODE = 'ERR Missing library metadata';
const NO_LIBRARY = 'ERR Library not found';
const BAD_PAYLOAD = 'ERR DUMP payload version or checksum are wrong';
const alreadyThere = (name: string): string => `ERR Library '${name}' already exists`;

/** The first line of a library, `#!lua name=mine`, as Redis takes it apart. */
const SHEBANG = /^#![^\n]*?\s["']?name=["']?(\w+)/i;

/** The name in the first line of a library; undefined when there is none. */
export function libraryName(code: Uint8Array): string | undefined {
  const end = code.indexOf(0x0a);
  const line = Buffer.from(code.subarray(0, end < 0 ? code.length : end)).toString('latin1');
  return SHEBANG.exec(line)?.[1];
}

export class FunctionLibraries {
  /** The code of each, in the order in which they came. */
  codes: readonly Uint8Array[] = [];

  /** Adds a library, or replaces the one of its name. Returns an error text, or null. */
  load(code: Uint8Array, replace: boolean): string | null {
    const name = libraryName(code);
    if (name === undefined) return BAD_CODE;
    if (!replace && this.#has(name)) return alreadyThere(name);
    this.codes = [...this.#without(name), code];
    return null;
  }

  /** As {@link load} for several, of which none is added when one cannot be. */
  loadAll(codes: readonly Uint8Array[], replace: boolean): string | null {
    const before = this.codes;
    for (const code of codes) {
      const error = this.load(code, replace);
      if (error === null) continue;
      this.codes = before;
      return error;
    }
    return null;
  }

  /** Returns an error text, or null. */
  delete(name: string): string | null {
    if (!this.#has(name)) return NO_LIBRARY;
    this.codes = this.#without(name);
    return null;
  }

  #has(name: string): boolean {
    return this.codes.some((code) => libraryName(code) === name);
  }

  #without(name: string): Uint8Array[] {
    return this.codes.filter((code) => libraryName(code) !== name);
  }
}

const ROW = {
  flags: Flag.NOSCRIPT | Flag.WRITE,
  keys: NO_KEYS,
  since: '7.0.0',
  group: 'scripting',
  categories: ['scripting'],
} as const;

/** The commands that only a stream may name. */
export function functionCommands(libraries: FunctionLibraries): CommandTable {
  const answer = (context: CommandContext, error: string | null): void => {
    if (error !== null) {
      context.reply.error(error);
      return;
    }
    context.changes++;
    context.reply.ok();
  };

  function load(context: CommandContext): void {
    const { request } = context;
    const replace = request.argc === 4 && request.equalsIgnoreCase(2, 'REPLACE');
    if (request.argc > 3 && !replace) {
      context.reply.error(SYNTAX_ERROR);
      return;
    }
    answer(context, libraries.load(request.copy(request.argc - 1), replace));
  }

  function remove(context: CommandContext): void {
    answer(context, libraries.delete(context.request.latin1(2)));
  }

  function flush(context: CommandContext): void {
    libraries.codes = [];
    answer(context, null);
  }

  function restore(context: CommandContext): void {
    const { request } = context;
    const payload = request.copy(2);
    const codec = new PayloadCodec();
    if (!codec.check(payload, 0, payload.length)) {
      context.reply.error(BAD_PAYLOAD);
      return;
    }
    let codes: Uint8Array[];
    try {
      codes = codec.libraries(payload);
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      context.reply.error(`ERR ${error.message}`);
      return;
    }
    const policy = request.argc > 3 ? request.latin1(3).toLowerCase() : 'append';
    const before = libraries.codes;
    if (policy === 'flush') libraries.codes = [];
    const error = libraries.loadAll(codes, policy === 'replace');
    if (error !== null) libraries.codes = before;
    answer(context, error);
  }

  const row = (arity: number, summary: string, handler: CommandSpec['handler']): CommandSpec => ({
    ...ROW,
    arity,
    summary,
    handler,
  });
  return {
    FUNCTION: {
      ...row(-2, 'Changes the libraries that are kept.', container),
      subcommands: {
        LOAD: row(-3, 'Adds a library.', load),
        DELETE: row(3, 'Removes a library.', remove),
        FLUSH: row(-2, 'Removes all libraries.', flush),
        RESTORE: row(-3, 'Adds the libraries of a payload.', restore),
      },
    },
    // Redis before 7.0 streams SCRIPT LOAD and SCRIPT FLUSH, and the effects of scripts.
    SCRIPT: row(-2, 'Has no effect.', (context) => context.reply.ok()),
  };
}
