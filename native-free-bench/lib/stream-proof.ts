/** The proofs of the streams of measured servers. */

/**
 * A range of the replication stream: the offset of its first byte, the offset behind its last byte,
 * and its CRC-64.
 */
export interface StreamRange {
  readonly first: number;
  readonly end: number;
  readonly crc64: string;
}

/** The proofs for the replicas of one server, from its measurements. */
export class StreamProof {
  /** The number of checked fake replicas, and of those without a fault. */
  replicas = 0;
  equal = 0;
  /**
   * The number of stock replicas whose digest was compared, and of those that reached the primary's
   * digest by the stream alone.
   */
  digests = 0;
  digestsEqual = 0;
  /** The range that all of them got, one for each attachment. */
  readonly ranges: StreamRange[] = [];
  readonly faults: string[] = [];

  /** Whether anything was checked. */
  get isThere(): boolean {
    return this.replicas > 0 || this.digests > 0 || this.faults.length > 0;
  }

  /** Adds the proof of another measurement. */
  add(other: StreamProof): void {
    this.replicas += other.replicas;
    this.equal += other.equal;
    this.digests += other.digests;
    this.digestsEqual += other.digestsEqual;
    this.ranges.push(...other.ranges);
    this.faults.push(...other.faults);
  }

  /** Notes the fault of a stock replica. An empty text means no fault. */
  noteStock(fault: string): void {
    this.digests++;
    if (fault === '') this.digestsEqual++;
    else this.faults.push(fault);
  }

  /** For the report: `12 of 12 replicas equal, digest equal`. */
  get text(): string {
    return `${this.equal} of ${this.replicas} replicas equal, ${this.#digestText}`;
  }

  get #digestText(): string {
    if (this.digests === 0) return 'no digest compared';
    if (this.digestsEqual === this.digests) return 'digest equal';
    const differs = this.faults.some((fault) => fault.includes('DIGEST'));
    return differs ? 'digest differs' : 'digest not reached by the stream';
  }
}
