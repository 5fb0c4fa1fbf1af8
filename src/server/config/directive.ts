/** What a row of the directive tables is, and the functions that make rows. */
import type { Kind } from './kinds.ts';

/** What this program does with a directive. */
export const Tier = {
  /** It has its effect. */
  OBEYED: 'obeyed',
  /** It is known, checked and shown by CONFIG GET, and has no effect. */
  ACCEPTED: 'accepted',
  /**
   * Its `only` values are accepted; others are an error, since to ignore them would be to mislead.
   */
  REFUSED: 'refused',
} as const;
export type Tier = (typeof Tier)[keyof typeof Tier];

export interface Options {
  /** The older name. Both answer CONFIG GET and CONFIG SET. */
  readonly alias?: string;
  /** CONFIG SET is an error. */
  readonly immutable?: boolean;
  /** CONFIG SET needs enable-protected-configs. */
  readonly protected?: boolean;
  /** CONFIG SET is an error while a dataset is loaded. */
  readonly denyLoading?: boolean;
  /** The value must not be logged. */
  readonly sensitive?: boolean;
  /** Patterns of CONFIG GET pass it over. */
  readonly hidden?: boolean;
}

export interface Directive<T> extends Options {
  readonly kind: Kind<T>;
  readonly tier: Tier;
  readonly help: string;
  /** The texts that a refused directive may have. */
  readonly only: readonly string[] | null;
}

export const IMMUTABLE = { immutable: true } as const;

export function obeyed<T>(kind: Kind<T>, help: string, options: Options = {}): Directive<T> {
  return { ...options, kind, tier: Tier.OBEYED, help, only: null };
}

export function accepted<T>(kind: Kind<T>, help: string, options: Options = {}): Directive<T> {
  return { ...options, kind, tier: Tier.ACCEPTED, help, only: null };
}

export function refused<T>(
  kind: Kind<T>,
  only: readonly string[],
  help: string,
  options: Options = {},
): Directive<T> {
  return { ...options, kind, tier: Tier.REFUSED, help, only };
}
