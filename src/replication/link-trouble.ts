/**
 * Why the link to a primary does not come up for good, and the pauses that follow from it.
 *
 *   trouble          seen as                                              pauses
 *   loop             the nodes above lead back to this one                1 s, 2 s, … 8 s
 *   not-a-primary    answers, a dump or a stream that no primary sends    1 s, 2 s, … 60 s
 *   short links      links that end less than a second after +CONTINUE    none, 1 s, 2 s, … 8 s
 *
 * A loop whose links are up is found by what the nodes tell each other (hops.ts), one that has
 * none by the refusals. A relay whose own primary has refused it names itself, and those
 * that it knows above it:
 *
 *   A asks B, B asks C, C asks A     all three are replicas, none has a stream
 *   B to A: … not connected with my master: B C A        A finds itself: a loop
 *
 * Other products add nothing to their refusal, and ignore what follows. Behind one of them the nodes
 * are those that a walk has found (server/link/loop-walk.ts). A loop ends when one of its nodes is
 * promoted: the next refusal, or the next answer, no longer leads back. Pure.
 */
import { isReplid } from './replid.ts';

export const LinkTroubleKind = {
  NONE: 'none',
  LOOP: 'loop',
  NOT_A_PRIMARY: 'not-a-primary',
} as const;
export type LinkTroubleKind = (typeof LinkTroubleKind)[keyof typeof LinkTroubleKind];

const PAUSE_MS = 1000;
const LOOP_PAUSE_MS_MAX = 8000;
const PAUSE_MS_MAX = 60_000;
/** A link that was up for so long was no failure. */
const STEADY_MS = 10_000;
const SHORT_MS = 1000;
/** Nodes that a refusal may name. */
const PATH_NODES_MAX = 16;
const PATH_MARK = 'my master: ';

export class LinkTrouble {
  kind: LinkTroubleKind = LinkTroubleKind.NONE;
  /** The nodes above, as far as their refusals have told. */
  path: readonly string[] = [];
  /** The primary of this node has refused it, since its own link is down. */
  isOrphan = false;
  /** The log has told of a loop, and no stream has come since. */
  isLoopTold = false;
  /** It named no nodes above: it is of another product, or not refused itself. */
  isUnnamed = false;
  /** The nodes above that the last walk has found. */
  #walked: readonly string[] = [];
  /** Failures in a row for the present reason. */
  #count = 0;
  #shortLinks = 0;

  /** Another primary is followed. */
  reset(): void {
    this.kind = LinkTroubleKind.NONE;
    this.#forgetPath();
    this.isLoopTold = false;
    this.#count = 0;
    this.#shortLinks = 0;
  }

  /** The primary has answered as one. */
  answered(): void {
    this.kind = LinkTroubleKind.NONE;
    this.#forgetPath();
  }

  /** The primary names no nodes above it, and a walk has met `path`; empty when it came to none. */
  walked(path: readonly string[]): void {
    this.#walked = path.length <= PATH_NODES_MAX && path.every(isReplid) ? path : [];
  }

  /**
   * The primary has no link to its own primary: `line` is its refusal. Returns the pause in ms.
   */
  refused(line: string, ownId: string): number {
    this.isOrphan = true;
    this.path = pathIn(line);
    this.isUnnamed = this.path.length === 0;
    if (this.isUnnamed) this.path = this.#walked;
    const isLoop = this.path.includes(ownId);
    this.#note(isLoop ? LinkTroubleKind.LOOP : LinkTroubleKind.NONE);
    return isLoop ? Math.min(this.#pauseMs, LOOP_PAUSE_MS_MAX) : PAUSE_MS;
  }

  /**
   * The other side sent what no primary sends, after a link that was up for `upMs`. Returns the
   * pause in ms.
   */
  garbled(upMs: number): number {
    this.#forgetPath();
    if (upMs >= STEADY_MS) this.#count = 0;
    this.#note(LinkTroubleKind.NOT_A_PRIMARY);
    return Math.min(this.#pauseMs, PAUSE_MS_MAX);
  }

  /** A link that was up for `upMs` is gone. Returns the pause in ms. */
  lost(upMs: number): number {
    this.#shortLinks = upMs < SHORT_MS ? this.#shortLinks + 1 : 0;
    if (this.#shortLinks < 2) return 0;
    return Math.min(PAUSE_MS * 2 ** (this.#shortLinks - 2), LOOP_PAUSE_MS_MAX);
  }

  /** What this node adds to its own refusals: itself and those above it, or nothing. */
  pathBelow(ownId: string): string {
    return this.isOrphan ? [ownId, ...this.path].slice(0, PATH_NODES_MAX).join(' ') : '';
  }

  #forgetPath(): void {
    this.path = [];
    this.isOrphan = false;
    this.isUnnamed = false;
    this.#walked = [];
  }

  get #pauseMs(): number {
    return PAUSE_MS * 2 ** Math.min(this.#count - 1, 16);
  }

  #note(kind: LinkTroubleKind): void {
    if (kind !== this.kind && this.kind !== LinkTroubleKind.NONE) this.#count = 0;
    this.kind = kind;
    this.#count = kind === LinkTroubleKind.NONE ? 0 : this.#count + 1;
  }
}

/** The log line about a loop. `target` is the primary that is followed. */
export function loopText(target: string): string {
  return (
    `Replication loop: following ${target} leads back to this node, so there is no primary. ` +
    'Promote one of the nodes: REPLICAOF NO ONE.'
  );
}

/** The ids that a refusal names; none if it names what is no id. */
function pathIn(line: string): readonly string[] {
  const at = line.indexOf(PATH_MARK);
  if (at < 0) return [];
  const ids = line.slice(at + PATH_MARK.length).split(' ');
  return ids.length <= PATH_NODES_MAX && ids.every(isReplid) ? ids : [];
}
