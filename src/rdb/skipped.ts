/**
 * The parts of a dump that have no counterpart here and are passed over, because keys and values
 * are complete without them. Each name is told once, with a count, for the log.
 */

/** A part that was passed over, and how often. */
export interface SkippedPart {
  readonly name: string;
  readonly count: number;
}

export const SkippedName = {
  SLOT_INFO: 'slot info',
  SLOT_IMPORT: 'slots on the move',
  IDEMPOTENCY: 'idempotency data of stream producers',
} as const;

/** The name of the data that a module keeps for a key. */
export const keyMetadataName = (metadataClass: string): string =>
  `key metadata of class '${metadataClass}'`;

/** More names than that are counted under one. A dump may hold as many as it likes. */
const NAMES_MAX = 32;
const OTHERS = 'other key metadata';

export class SkippedParts {
  /** By name. */
  readonly #counts = new Map<string, number>();

  get nameCount(): number {
    return this.#counts.size;
  }

  note(name: string): void {
    const isKnown = this.#counts.has(name) || this.#counts.size < NAMES_MAX;
    const counted = isKnown ? name : OTHERS;
    this.#counts.set(counted, (this.#counts.get(counted) ?? 0) + 1);
  }

  list(): SkippedPart[] {
    return [...this.#counts].map(([name, count]) => ({ name, count }));
  }
}
