/** What is known of the streams that servers were measured with. */

/**
 * A stretch of the replication stream: the offsets of its first byte and of that behind its last,
 * and its CRC-64.
 */
export interface StreamRange {
  readonly first: number;
  readonly end: number;
  readonly crc64: string;
}

/** What measurements of one server have proved of the streams to its replicas. */
export class StreamProof {
  /** Fake replicas that were looked at, and those without a fault. */
  replicas = 0;
  equal = 0;
  /**
   * Stock replicas whose digest was compared, and those that came to the primary's by the stream
   * alone.
   */
  digests = 0;
  digestsEqual = 0;
  /** What all of them got, one for each attachment. */
  readonly ranges: StreamRange[] = [];
  readonly faults: string[] = [];

  /** Whether anything was looked at. */
  get isThere(): boolean {
    return this.replicas > 0 || this.digests > 0 || this.faults.length > 0;
  }

  /** Adds what another measurement has proved. */
  add(other: StreamProof): void {
    this.replicas += other.replicas;
    this.equal += other.equal;
    this.digests += other.digests;
    this.digestsEqual += other.digestsEqual;
    this.ranges.push(...other.ranges);
    this.faults.push(...other.faults);
  }

  /** Notes what was wrong with a stock replica; nothing when all was well. */
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
