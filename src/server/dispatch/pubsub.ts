/**
 * Who has subscribed to what, and the delivery of messages: channels, patterns, and shard channels, which have names of
 * their own. Names are strings here, one char per byte. Key events are messages as well. Main thread.
 *
 * A message goes into the reply of each subscriber behind what is there, and out at the end of the turn at the latest;
 * it is encoded once for all who speak the same protocol.
 */
import { latin1 } from '../../base/bytes.ts';
import { globMatch } from '../../base/glob.ts';
import { ClientMode } from '../../commands/client.ts';
import { EventClass } from '../../commands/ports.ts';
import { Reply } from '../../resp/reply.ts';
import type { Connection } from '../net/connection.ts';

const NOBODY: ReadonlySet<Connection> = new Set();
const NOTHING: ReadonlySet<string> = new Set();

/** Subscriptions of one kind. */
export class Subscriptions {
  readonly #byName = new Map<string, Set<Connection>>();
  readonly #byClient = new Map<Connection, Set<string>>();

  /** Names that somebody has subscribed to. */
  get count(): number {
    return this.#byName.size;
  }

  names(): IterableIterator<string> {
    return this.#byName.keys();
  }

  subscribers(name: string): ReadonlySet<Connection> {
    return this.#byName.get(name) ?? NOBODY;
  }

  /** A client's names, in the order in which it subscribed. */
  of(connection: Connection): ReadonlySet<string> {
    return this.#byClient.get(connection) ?? NOTHING;
  }

  add(connection: Connection, name: string): void {
    addTo(this.#byName, name, connection);
    addTo(this.#byClient, connection, name);
  }

  remove(connection: Connection, name: string): void {
    removeFrom(this.#byName, name, connection);
    removeFrom(this.#byClient, connection, name);
  }

  removeAll(connection: Connection): void {
    for (const name of this.of(connection)) removeFrom(this.#byName, name, connection);
    this.#byClient.delete(connection);
  }
}

function addTo<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key);
  if (set === undefined) map.set(key, new Set([value]));
  else set.add(value);
}

function removeFrom<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key);
  set?.delete(value);
  if (set?.size === 0) map.delete(key);
}

export class PubSub {
  readonly channels = new Subscriptions();
  readonly patterns = new Subscriptions();
  readonly shards = new Subscriptions();
  /** Clients with a subscription of any kind. */
  readonly clients = new Set<Connection>();
  readonly #scratch = new Reply();

  /** To be called after the subscriptions of a client have changed. */
  noteClient(connection: Connection): void {
    const { channels, patterns, shards } = this;
    const count = channels.of(connection).size + patterns.of(connection).size + shards.of(connection).size;
    connection.setMode(ClientMode.SUBSCRIBED, count > 0);
    if (count > 0) this.clients.add(connection);
    else this.clients.delete(connection);
  }

  /** Ends all subscriptions of a client, without a word to it. */
  removeAll(connection: Connection): void {
    if (!this.clients.has(connection)) return;
    this.channels.removeAll(connection);
    this.patterns.removeAll(connection);
    this.shards.removeAll(connection);
    this.noteClient(connection);
  }

  /** Delivers a message; returns how often: a client may get it for its channel and for several patterns. */
  publish(channel: Uint8Array, message: Uint8Array): number {
    const { channels, patterns } = this;
    const receivers = channels.subscribers(latin1(channel, 0, channel.length));
    let deliveries = receivers.size;
    if (receivers.size > 0) this.#deliver(receivers, ['message'], channel, message);
    for (const pattern of patterns.names()) {
      const bytes = Buffer.from(pattern, 'latin1');
      if (!globMatch(bytes, 0, bytes.length, channel, 0, channel.length, false)) continue;
      const matching = patterns.subscribers(pattern);
      deliveries += matching.size;
      this.#deliver(matching, ['pmessage', pattern], channel, message);
    }
    return deliveries;
  }

  publishShard(channel: Uint8Array, message: Uint8Array): number {
    const receivers = this.shards.subscribers(latin1(channel, 0, channel.length));
    if (receivers.size > 0) this.#deliver(receivers, ['smessage'], channel, message);
    return receivers.size;
  }

  /** Publishes a key event, to the channels of the key and of the event as the classes that are on ask for. */
  keyEvent(classesOn: number, event: string, dbIndex: number, key: Uint8Array): void {
    if (this.clients.size === 0) return;
    if ((classesOn & EventClass.KEYSPACE) !== 0) {
      this.publish(Buffer.concat([Buffer.from(`__keyspace@${dbIndex}__:`), key]), Buffer.from(event));
    }
    if ((classesOn & EventClass.KEYEVENT) !== 0) {
      this.publish(Buffer.from(`__keyevent@${dbIndex}__:${event}`), key);
    }
  }

  #deliver(
    receivers: ReadonlySet<Connection>,
    head: readonly string[],
    channel: Uint8Array,
    message: Uint8Array,
  ): void {
    const encoded: (Uint8Array | undefined)[] = [];
    for (const connection of receivers) {
      const { protocol } = connection;
      const bytes = encoded[protocol] ?? this.#encode(protocol, head, channel, message);
      encoded[protocol] = bytes;
      connection.reply.raw(bytes, 0, bytes.length);
      connection.flushSoon();
    }
  }

  #encode(protocol: 2 | 3, head: readonly string[], channel: Uint8Array, message: Uint8Array): Uint8Array {
    const reply = this.#scratch;
    reply.protocol = protocol;
    reply.push(head.length + 2);
    for (const word of head) reply.bulkLatin1(word);
    reply.bulk(channel, 0, channel.length);
    reply.bulk(message, 0, message.length);
    return reply.takeToKeep();
  }
}
