/**
 * Replication ids and this node's knowledge of its own history: the streams that it can continue,
 * and up to which offset.
 *
 *   offsets   1 ........................ second-1 | second ................ end
 *   history   known to others as replid2          | known as replid only
 *
 * A replica that asks with `replid` shares all of our past. One that asks with `replid2` shares it
 * for requests up to `secondOffset` inclusive: that is the first byte it does not have, and the
 * first that we wrote under the new id. Main thread. Randomness is passed in (`randomBytes` of
 * node:crypto fits). Specified by Redis' PSYNC2.
 */
import { assert } from '../base/assert.ts';
import { asOffset, type Offset, offsetAfter } from '../base/units.ts';

/** Returns `count` random bytes of cryptographic quality. */
export type RandomSource = (count: number) => Uint8Array;

export const REPLID_CHARS = 40;
/** Stands for "no id" on the wire and in INFO. */
export const NO_REPLID = '0'.repeat(REPLID_CHARS);
/** `second_repl_offset` when there is no second id. */
export const NO_OFFSET = asOffset(-1);

/** 40 lower-case hexadecimal digits: a replication id, or the end mark of an `$EOF:` payload. */
export function randomHex40(random: RandomSource): string {
  const bytes = random(REPLID_CHARS / 2);
  assert(bytes.length === REPLID_CHARS / 2, 'the random source returns as many bytes as asked');
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

export function isReplid(text: string): boolean {
  return text.length === REPLID_CHARS && /^[0-9a-fA-F]+$/.test(text);
}

export class ReplicationHistory {
  replid: string;
  replid2: string;
  /** The greatest offset that may be requested under `replid2`; {@link NO_OFFSET} without one. */
  secondOffset: Offset;
  readonly #random: RandomSource;

  constructor(random: RandomSource) {
    this.replid = randomHex40(random);
    this.replid2 = NO_REPLID;
    this.secondOffset = NO_OFFSET;
    this.#random = random;
  }

  /**
   * A new id without a past: for a fresh backlog, and when a primary without replicas drops its
   * backlog.
   */
  renew(): void {
    this.replid = randomHex40(this.#random);
    this.#forgetSecond();
  }

  /**
   * Promotion at `endOffset`: the old id stays valid for the bytes that were written under it, and
   * new writes get a new id.
   */
  shift(endOffset: Offset): void {
    this.replid2 = this.replid;
    this.secondOffset = offsetAfter(endOffset, 1);
    this.replid = randomHex40(this.#random);
  }

  /** A full resync from a primary: this node takes its id and forgets its own past. */
  adopt(replid: string): void {
    assert(isReplid(replid), 'adopted replication id has 40 hex digits');
    this.replid = replid;
    this.#forgetSecond();
  }

  /**
   * `+CONTINUE <replid>` received at `endOffset`. Returns true when the id is a new one: the old
   * one became the second, and the peers below must reconnect to learn of it.
   */
  continueAs(replid: string, endOffset: Offset): boolean {
    assert(isReplid(replid), 'continued replication id has 40 hex digits');
    if (replid === this.replid) return false;
    this.replid2 = this.replid;
    this.secondOffset = offsetAfter(endOffset, 1);
    this.replid = replid;
    return true;
  }

  /**
   * A primary starts from a dump that names its stream: replicas from before the start may
   * continue.
   */
  restore(savedReplid: string, savedOffset: Offset): void {
    assert(isReplid(savedReplid), 'restored replication id has 40 hex digits');
    this.replid2 = savedReplid;
    this.secondOffset = offsetAfter(savedOffset, 1);
  }

  #forgetSecond(): void {
    this.replid2 = NO_REPLID;
    this.secondOffset = NO_OFFSET;
  }
}
