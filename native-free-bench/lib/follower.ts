/**
 * A replica that is checked: a real redis-server, or a headwater in the middle of a chain. It is
 * attached to a server, and must hold the same data as the head of the chain.
 *
 *   head ─▶ … ─▶ above ─▶ server        head and above are the same where there is no chain
 */
import { caughtUp } from './chain.ts';
import { Server, type Target } from './server.ts';

/**
 * Counters of events that make an equal digest worthless or a stream suspicious. None may change.
 */
interface Incidents {
  /** The number of syncs of replicas with the server above, full or partial. */
  readonly syncs: number;
  /** Commands in the stream that were an error on the replica. */
  readonly refused: number;
}

export class Follower {
  readonly server: Server;
  readonly #above: Server;
  readonly #head: Server;
  #before: Incidents = { syncs: 0, refused: 0 };

  private constructor(server: Server, above: Server, head: Server) {
    this.server = server;
    this.#above = above;
    this.#head = head;
  }

  /**
   * Starts `redis`, the path of a redis-server, as a replica of `above`. Resolves once it is in
   * sync with `head`.
   */
  static stock(above: Server, redis: string, head = above): Promise<Follower> {
    return Follower.start({ kind: 'redis', command: [redis], version: '' }, [], above, head);
  }

  /** Starts `target` with `options` as a replica of `above`, as {@link stock}. */
  static async start(
    target: Target,
    options: readonly string[],
    above: Server,
    head: Server,
  ): Promise<Follower> {
    const common = ['--enable-debug-command', 'yes', '--replicaof', '127.0.0.1'];
    const server = await Server.start(target, [...common, String(above.port), ...options], true);
    const follower = new Follower(server, above, head);
    try {
      await follower.inSync();
      await follower.begin();
    } catch (error) {
      await follower.stop();
      throw error;
    }
    return follower;
  }

  /** Begins the period that {@link fault} judges. */
  async begin(): Promise<void> {
    this.#before = await this.#incidents();
  }

  /** Waits until it has applied everything that the head wrote. Nobody may write during this. */
  async inSync(): Promise<void> {
    await caughtUp(this.#head, this.server);
  }

  /**
   * Waits for the sync and returns the fault since {@link begin}, or an empty text. A replica that
   * had to sync again is a fault even if it holds the same data, since the stream alone did not get
   * it there.
   */
  async fault(): Promise<string> {
    await this.inSync();
    const { syncs, refused } = await this.#incidents();
    const [above, below] = await Promise.all([this.#head, this.server].map(digestOf));
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
    const above = await this.#above.control.info('stats');
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
