/**
 * The addresses behind the words of `bind`.
 *
 * A word may be a name. Looking it up takes as long as a name server takes, so it is done ahead:
 * {@link HostNames.lookUp} remembers what it has found, and {@link HostNames.addressOf} tells it at
 * once. As in Redis a name stands for its first IPv4 address. Main thread.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { codeOf, messageOf } from '../../base/errors.ts';

/** The C library's words for a name that has no address. */
const LOOKUP_WORDS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'Name or service not known',
  ENODATA: 'No address associated with hostname',
  EAI_AGAIN: 'Temporary failure in name resolution',
  EAI_FAIL: 'Non-recoverable failure in name resolution',
  EAI_MEMORY: 'Memory allocation failure',
};
const NOT_YET = 'the name was not looked up before';

/** An address, or the reason why there is none. */
export type Found = { readonly address: string } | { readonly reason: string };

/** A word of `bind` without the minus that makes it optional. */
export const hostOf = (word: string): string => (word.startsWith('-') ? word.slice(1) : word);

export class HostNames {
  readonly #found = new Map<string, Found>();
  /** Looks that have not ended. */
  #running = 0;
  /** The first address of a name; rejects with an error of node:dns. Tests replace it. */
  resolve = async (name: string, family: 4 | 6): Promise<string> =>
    (await lookup(name, { family })).address;

  /** Whether one of these words of `bind` is a name. */
  anyName(words: readonly string[]): boolean {
    return words.some((word) => literalOf(hostOf(word)) === undefined);
  }

  /**
   * Looks up all names among these words, and forgets what earlier looks have found, but for the
   * names among the words `inUse`. Never rejects.
   */
  async lookUp(words: readonly string[], inUse: readonly string[] = []): Promise<void> {
    const names = words.map(hostOf).filter((host) => literalOf(host) === undefined);
    if (this.#running++ === 0) {
      const kept = new Set(inUse.map(hostOf));
      for (const name of this.#found.keys()) if (!kept.has(name)) this.#found.delete(name);
    }
    await Promise.all(
      names.map(async (name) => {
        this.#found.set(name, await this.#find(name));
      }),
    );
    this.#running--;
  }

  /** The names that are remembered. */
  get knownCount(): number {
    return this.#found.size;
  }

  /** The address of a word of `bind` without its minus, by the last look. */
  addressOf(host: string): Found {
    const address = literalOf(host);
    if (address !== undefined) return { address };
    return this.#found.get(host) ?? { reason: NOT_YET };
  }

  async #find(name: string): Promise<Found> {
    try {
      return { address: await this.resolve(name, name.includes(':') ? 6 : 4) };
    } catch (error) {
      const code = codeOf(error);
      if (code === undefined) throw error;
      return { reason: LOOKUP_WORDS[code] ?? messageOf(error) };
    }
  }
}

/** The address that a word is by itself, or undefined for a name. */
function literalOf(host: string): string | undefined {
  if (host === '*') return '0.0.0.0';
  if (host === '::*') return '::';
  return isIP(host) === 0 ? undefined : host;
}
