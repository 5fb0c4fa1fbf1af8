/**
 * A real redis-server that is recorded: its replies, its stream to a replica, and its key events.
 * Active expiry is off, so that only commands change keys.
 */
import { FakeReplica } from './fake-replica.ts';
import { type RealRedis, startRedis } from './real-redis.ts';
import type { Argument, RespClient } from './resp-client.ts';
import type { RespPush, RespValue } from './resp-parser.ts';

const CHANNEL = /^__keyevent@(\d+)__:(.*)$/s;

export interface RecordedEvent {
  readonly db: number;
  readonly event: string;
  readonly key: string;
}

export class RecordedRedis {
  readonly server: RealRedis;
  /** For all commands; bulk strings in latin1. */
  readonly client: RespClient;
  readonly #replica: FakeReplica;
  readonly #subscriber: RespClient;
  #taken = 0;

  private constructor(
    server: RealRedis,
    client: RespClient,
    replica: FakeReplica,
    subscriber: RespClient,
  ) {
    this.server = server;
    this.client = client;
    this.#replica = replica;
    this.#subscriber = subscriber;
  }

  /** `args` go to the server: `['--lazyfree-lazy-expire', 'yes']`. */
  static async start(args: readonly string[] = []): Promise<RecordedRedis> {
    const server = await startRedis({ args: ['--notify-keyspace-events', 'EAmn', ...args] });
    const client = await server.client({ bulk: 'latin1' });
    await client.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0');
    const replica = await FakeReplica.attach(server.port);
    await replica.waitForDump();
    const subscriber = await server.client({ bulk: 'latin1', protocol: 3 });
    subscriber.send('PSUBSCRIBE', '__keyevent@*');
    await subscriber.nextPush();
    return new RecordedRedis(server, client, replica, subscriber);
  }

  /** Runs commands in one pipeline. */
  run(commands: readonly (readonly Argument[])[]): Promise<RespValue[]> {
    return this.client.pipeline(commands);
  }

  /**
   * The commands streamed since the last call, with SELECT, MULTI and EXEC, without PING and
   * REPLCONF.
   */
  async takeStream(): Promise<string[][]> {
    const info = await this.client.info('replication');
    await this.#replica.waitForOffset(Number(info.get('master_repl_offset')));
    const { commands } = this.#replica;
    const fresh = commands.slice(this.#taken);
    this.#taken = commands.length;
    return fresh.filter(([name]) => name?.toUpperCase() !== 'PING' && name !== 'REPLCONF');
  }

  /** The key events since the last call. */
  async takeEvents(): Promise<RecordedEvent[]> {
    // The events of a command arrive before the reply to a later command.
    await this.#subscriber.call('PING');
    const taken = this.#subscriber.pushes.splice(0);
    return taken.map((push) => {
      const [, , channel, key] = (push as RespPush).items as string[];
      const [, db, event] = CHANNEL.exec(channel!)!;
      return { db: Number(db), event: event!, key: key! };
    });
  }

  /** Changes since the last save. */
  async dirty(): Promise<number> {
    return Number(await this.client.infoField('persistence', 'rdb_changes_since_last_save'));
  }

  async stop(): Promise<void> {
    await this.#replica.close();
    await this.#subscriber.close();
    await this.client.close();
    await this.server.stop();
  }
}
