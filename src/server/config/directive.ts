/** The rows of the directive tables, and the functions that make them. */
import type { Kind } from './kinds.ts';

/** The support of this program for a directive. */
export const Tier = {
  /** The directive has its effect. */
  OBEYED: 'obeyed',
  /** The directive is known, checked and shown by CONFIG GET, and has no effect. */
  ACCEPTED: 'accepted',
  /**
   * The `only` values are accepted. Others are an error, since ignoring them would mislead.
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
  /** Patterns of CONFIG GET skip it. */
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
