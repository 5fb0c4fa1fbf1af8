/** What is known of the streams that servers were measured with. */

/** A stretch of the replication stream: the offsets of its first byte and of that behind its last, and its CRC-64. */
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
  /** Stock replicas whose digest was compared. */
  digests = 0;
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
    this.ranges.push(...other.ranges);
    this.faults.push(...other.faults);
  }

  /** For the report: `12 of 12 replicas equal, digest equal`. */
  get text(): string {
    const differs = this.faults.some((fault) => fault.includes('DIGEST'));
    const digest = differs ? 'digest differs' : this.digests > 0 ? 'digest equal' : 'no digest compared';
    return `${this.equal} of ${this.replicas} replicas equal, ${digest}`;
  }
}
