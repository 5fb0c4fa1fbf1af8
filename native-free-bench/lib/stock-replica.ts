/**
 * A stock replica: a real redis-server that is attached to a server, to check that both hold the
 * same data.
 */
import { until } from './scenario.ts';
import { Server } from './server.ts';

const SYNC_TIMEOUT_MS = 120_000;
const POLL_MS = 5;

/**
 * Counters of events that make an equal digest worthless or a stream suspicious. None may change.
 */
interface Incidents {
  /** The number of syncs of replicas with the primary, full or partial. */
  readonly syncs: number;
  /** Commands in the stream that were an error on the replica. */
  readonly refused: number;
}

export class StockReplica {
  readonly server: Server;
  readonly #primary: Server;
  #before: Incidents = { syncs: 0, refused: 0 };

  private constructor(server: Server, primary: Server) {
    this.server = server;
    this.#primary = primary;
  }

  /**
   * Starts `redis`, the path of a redis-server, as a replica of `primary`. Resolves once it is in
   * sync.
   */
  static async attach(primary: Server, redis: string): Promise<StockReplica> {
    const target = { kind: 'redis', command: [redis], version: '' } as const;
    const server = await Server.start(
      target,
      [...['--replicaof', '127.0.0.1', String(primary.port)], ...['--enable-debug-command', 'yes']],
      true,
    );
    const replica = new StockReplica(server, primary);
    try {
      await replica.inSync();
      await replica.begin();
    } catch (error) {
      await replica.stop();
      throw error;
    }
    return replica;
  }

  /** Begins the period that {@link fault} judges. */
  async begin(): Promise<void> {
    this.#before = await this.#incidents();
  }

  /**
   * Waits until the replica has applied everything that the primary wrote. Nobody may write during
   * this.
   */
  async inSync(): Promise<void> {
    const above = this.#primary.control;
    const below = this.server.control;
    await until(
      'the stock replica at the offset of its primary',
      async () => {
        const replica = await below.info('replication');
        if (replica.get('master_link_status') !== 'up') return false;
        const primary = await above.info('replication');
        return (
          replica.get('master_replid') === primary.get('master_replid') &&
          replica.get('slave_repl_offset') === primary.get('master_repl_offset')
        );
      },
      SYNC_TIMEOUT_MS,
      POLL_MS,
    );
  }

  /**
   * Waits for the sync and returns the fault since {@link begin}, or an empty text. A replica that
   * had to sync again is a fault even if it holds the same data, since the stream alone did not get
   * it there.
   */
  async fault(): Promise<string> {
    await this.inSync();
    const { syncs, refused } = await this.#incidents();
    const [above, below] = await Promise.all([this.#primary, this.server].map(digestOf));
    if (above !== below)
      return `DEBUG DIGEST is ${below} at the replica and ${above} at its primary`;
    if (syncs !== this.#before.syncs) return 'the replica had to sync again';
    if (refused !== this.#before.refused) return 'the replica was sent commands that are errors';
    return '';
  }

  async stop(): Promise<void> {
    await this.server.stop();
  }

  async #incidents(): Promise<Incidents> {
    const above = await this.#primary.control.info('stats');
    const below = await this.server.control.info('stats');
    return {
      syncs: Number(above.get('sync_full')) + Number(above.get('sync_partial_ok')),
      refused: Number(below.get('unexpected_error_replies')),
    };
  }
}

export async function digestOf(server: Server): Promise<string> {
  return String(await server.control.must('DEBUG', 'DIGEST'));
}
