/**
 * What the clients of a node take together, and which of them take most, while `maxmemory-clients`
 * is set. Otherwise nothing here runs.
 *
 * A client is measured again when its figures may have changed: behind its requests, when its reply
 * gets another chunk, behind a write, and some times per second. Between these its figure is old;
 * whoever ends a client because of it measures again. So a measurement costs the same however many
 * clients there are.
 *
 *   bucket   0           1               2                …   BUCKETS - 1
 *   bytes    below 32K   32 to 64 KiB    64 to 128 KiB        4 GiB and above
 *
 * Replicas and closed connections take no part. Clients with CLIENT NO-EVICT count and are in no
 * bucket. Main thread.
 */
import { KIB } from '../../base/units.ts';

/** No lower limit is accepted: nobody could reach the server any more. */
const LIMIT_BYTES_MIN = 128 * KIB;
const FIRST_BUCKET_BYTES = 32 * KIB;
const BUCKETS = 19;
/** The bucket of a client that may not be ended. */
const NO_BUCKET = -1;

/** A client as it is counted here. */
export interface CountedClient {
  /** What it takes now. */
  readonly memoryBytes: number;
  readonly isReplica: boolean;
  readonly closed: boolean;
  readonly noEvict: boolean;
  /** What it took when it was measured last; 0 while it does not count. */
  countedBytes: number;
  /** Where it is, or -1. Written here only. */
  bucket: number;
}

export interface Bucket {
  readonly clients: number;
  readonly bytes: number;
}

export class ClientMemory<Client extends CountedClient> {
  /** Whether there is a limit. Asked behind each read of a socket. */
  isOn = false;
  /** The bytes of all that count. */
  totalBytes = 0;
  /** Called when the total has reached the limit, from within a command or a write. */
  onReached: () => void = () => {};
  #limitBytes = Number.POSITIVE_INFINITY;
  readonly #buckets: Set<Client>[] = Array.from({ length: BUCKETS }, () => new Set());

  /** Sets the limit, 0 for none. The caller then measures all clients with {@link note}. */
  setLimit(bytes: number): void {
    this.isOn = bytes > 0;
    this.#limitBytes = this.isOn ? Math.max(bytes, LIMIT_BYTES_MIN) : Number.POSITIVE_INFINITY;
  }

  get isReached(): boolean {
    return this.totalBytes >= this.#limitBytes;
  }

  /** Measures a client. To be called while {@link isOn}. */
  note(client: Client): void {
    const counts = this.isOn && !client.closed && !client.isReplica;
    const bytes = counts ? client.memoryBytes : 0;
    this.totalBytes += bytes - client.countedBytes;
    client.countedBytes = bytes;
    const bucket = counts && !client.noEvict ? bucketOf(bytes) : NO_BUCKET;
    if (bucket !== client.bucket) this.#move(client, bucket);
    if (this.isReached) this.onReached();
  }

  /** Clients that may be ended, those of the highest bucket first. */
  *largestFirst(): Generator<Client, void> {
    for (let bucket = BUCKETS - 1; bucket >= 0; bucket--) yield* this.#buckets[bucket]!;
  }

  /** For DEBUG CLIENT-EVICTION, by number. */
  get buckets(): readonly Bucket[] {
    return this.#buckets.map((clients) => ({
      clients: clients.size,
      bytes: [...clients].reduce((sum, { countedBytes }) => sum + countedBytes, 0),
    }));
  }

  #move(client: Client, bucket: number): void {
    if (client.bucket !== NO_BUCKET) this.#buckets[client.bucket]!.delete(client);
    if (bucket !== NO_BUCKET) this.#buckets[bucket]!.add(client);
    client.bucket = bucket;
  }
}

/** The least bytes of the clients in a bucket. */
export const bucketStart = (bucket: number): number =>
  bucket === 0 ? 0 : FIRST_BUCKET_BYTES * 2 ** (bucket - 1);

function bucketOf(bytes: number): number {
  // The bytes of a client may pass 32 bits; its units of 32 KiB do not.
  const bucket = 32 - Math.clz32(Math.floor(bytes / FIRST_BUCKET_BYTES));
  return Math.min(bucket, BUCKETS - 1);
}
