/**
 * INFO as a list of sections in Redis' order. Each part of the server defines its own sections, each
 * once, and any part may add lines to the end of a section.
 *
 * Names of our own fields contain no name of a Redis field, since tools search for the first
 * occurrence of a name.
 */
import { assert } from '../../../base/assert.ts';

/** Lines of a section, `name:value`. */
export type InfoLines = () => readonly string[];

/** The sections in their order, with the title of each. */
const TITLES = {
  server: 'Server',
  clients: 'Clients',
  memory: 'Memory',
  persistence: 'Persistence',
  stats: 'Stats',
  replication: 'Replication',
  cpu: 'CPU',
  modules: 'Modules',
  commandstats: 'Commandstats',
  errorstats: 'Errorstats',
  latencystats: 'Latencystats',
  cluster: 'Cluster',
  keyspace: 'Keyspace',
  headwater: 'Headwater',
} as const;
export type InfoSection = keyof typeof TITLES;

const SECTIONS = Object.keys(TITLES) as InfoSection[];
const isSection = (name: string): name is InfoSection => Object.hasOwn(TITLES, name);
/** Shown only on request, by name or by `all`. */
const NOT_BY_DEFAULT: ReadonlySet<InfoSection> = new Set(['commandstats', 'latencystats']);

export class InfoRegistry {
  readonly #lines = new Map<InfoSection, InfoLines[]>();

  /** Sets the lines of a section, which nobody else defines. */
  define(section: InfoSection, lines: InfoLines): void {
    assert(!this.#lines.has(section), 'a section is defined once');
    this.#lines.set(section, [lines]);
  }

  /** Adds lines to the end of a section. */
  extend(section: InfoSection, lines: InfoLines): void {
    const parts = this.#lines.get(section);
    assert(parts !== undefined, 'a section is defined before it is extended');
    parts.push(lines);
  }

  /**
   * The text of the requested sections, in any letter case; of the default ones when none is given.
   */
  text(names: readonly string[]): string {
    const wanted = new Set<InfoSection>();
    for (const name of names.length === 0 ? ['default'] : names) {
      const lower = name.toLowerCase();
      if (lower === 'default')
        for (const each of SECTIONS) if (!NOT_BY_DEFAULT.has(each)) wanted.add(each);
      if (lower === 'all' || lower === 'everything') for (const each of SECTIONS) wanted.add(each);
      if (isSection(lower)) wanted.add(lower);
    }
    return SECTIONS.filter((section) => wanted.has(section))
      .map((section) => this.#section(section))
      .join('\r\n');
  }

  #section(section: InfoSection): string {
    const lines = (this.#lines.get(section) ?? []).flatMap((part) => part());
    return [`# ${TITLES[section]}`, ...lines, ''].join('\r\n');
  }
}
