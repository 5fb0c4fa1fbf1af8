/**
 * Keeps subscriptions to channels, patterns and shard channels, and delivers messages. Shard
 * channels are a separate name space. Names are strings here, one char per byte. Key events are
 * messages as well. Main thread.
 *
 * A message is appended to the reply of each subscriber, and sent at the end of the turn at the
 * latest (for a message that a client sends to itself, see session.ts). It is encoded once per
 * protocol.
 */
import { latin1 } from '../../base/bytes.ts';
import { globMatch } from '../../base/glob.ts';
import { ClientMode } from '../../commands/client.ts';
import { EventClass } from '../../commands/ports.ts';
import { Reply } from '../../resp/reply.ts';
import type { Session } from './session.ts';

const NOBODY: ReadonlySet<Session> = new Set();
const NOTHING: ReadonlySet<string> = new Set();
/** About what a subscription takes on the heap beside its name. */
const SUBSCRIPTION_BYTES = 256;

/** Subscriptions of one kind. */
export class Subscriptions {
  readonly #byName = new Map<string, Set<Session>>();
  readonly #byClient = new Map<Session, Set<string>>();

  /** The number of names with subscribers. */
  get count(): number {
    return this.#byName.size;
  }

  names(): IterableIterator<string> {
    return this.#byName.keys();
  }

  subscribers(name: string): ReadonlySet<Session> {
    return this.#byName.get(name) ?? NOBODY;
  }

  /** A client's names, in the order in which it subscribed. */
  of(session: Session): ReadonlySet<string> {
    return this.#byClient.get(session) ?? NOTHING;
  }

  add(session: Session, name: string): void {
    if (!this.of(session).has(name)) session.namesBytes += SUBSCRIPTION_BYTES + name.length;
    addTo(this.#byName, name, session);
    addTo(this.#byClient, session, name);
  }

  remove(session: Session, name: string): void {
    if (this.of(session).has(name)) session.namesBytes -= SUBSCRIPTION_BYTES + name.length;
    removeFrom(this.#byName, name, session);
    removeFrom(this.#byClient, session, name);
  }

  removeAll(session: Session): void {
    for (const name of this.of(session)) {
      removeFrom(this.#byName, name, session);
      session.namesBytes -= SUBSCRIPTION_BYTES + name.length;
    }
    this.#byClient.delete(session);
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

/**
 * Writes that a client has subscribed to a name or unsubscribed; null when it had no subscription.
 */
export function writeConfirmation(
  reply: Reply,
  word: string,
  name: string | null,
  count: number,
): void {
  reply.push(3);
  reply.bulkLatin1(word);
  if (name === null) reply.nil();
  else reply.bulkLatin1(name);
  reply.integer(count);
}

export class PubSub {
  readonly channels = new Subscriptions();
  readonly patterns = new Subscriptions();
  readonly shards = new Subscriptions();
  /** Clients with a subscription of any kind. */
  readonly clients = new Set<Session>();
  readonly #scratch = new Reply();

  /** Must be called after the subscriptions of a client have changed. */
  noteClient(session: Session): void {
    const { channels, patterns, shards } = this;
    const count = channels.of(session).size + patterns.of(session).size + shards.of(session).size;
    session.setMode(ClientMode.SUBSCRIBED, count > 0);
    if (count > 0) this.clients.add(session);
    else this.clients.delete(session);
  }

  /** Ends all subscriptions of a client without telling it. */
  removeAll(session: Session): void {
    if (!this.clients.has(session)) return;
    this.channels.removeAll(session);
    this.patterns.removeAll(session);
    this.shards.removeAll(session);
    this.noteClient(session);
  }

  /**
   * Delivers a message and returns the count of deliveries: a client may get it for its channel and
   * for several patterns.
   */
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

  /**
   * Publishes a key event to the channel of the key, of the event, or both, as `classesOn` says.
   */
  keyEvent(classesOn: number, event: string, dbIndex: number, key: Uint8Array): void {
    if (this.clients.size === 0) return;
    if ((classesOn & EventClass.KEYSPACE) !== 0) {
      this.publish(
        Buffer.concat([Buffer.from(`__keyspace@${dbIndex}__:`), key]),
        Buffer.from(event),
      );
    }
    if ((classesOn & EventClass.KEYEVENT) !== 0) {
      this.publish(Buffer.from(`__keyevent@${dbIndex}__:${event}`), key);
    }
  }

  #deliver(
    receivers: ReadonlySet<Session>,
    head: readonly string[],
    channel: Uint8Array,
    message: Uint8Array,
  ): void {
    const encoded: (Uint8Array | undefined)[] = [];
    for (const session of receivers) {
      const { protocol } = session;
      const bytes = encoded[protocol] ?? this.#encode(protocol, head, channel, message);
      encoded[protocol] = bytes;
      session.deliver(bytes);
    }
  }

  /** The confirmation of a subscription, or of its end, as a separate message. */
  confirmation(protocol: 2 | 3, word: string, name: string | null, count: number): Uint8Array {
    const reply = this.#scratch;
    reply.protocol = protocol;
    writeConfirmation(reply, word, name, count);
    return reply.takeToKeep();
  }

  #encode(
    protocol: 2 | 3,
    head: readonly string[],
    channel: Uint8Array,
    message: Uint8Array,
  ): Uint8Array {
    const reply = this.#scratch;
    reply.protocol = protocol;
    reply.push(head.length + 2);
    for (const word of head) reply.bulkLatin1(word);
    reply.bulk(channel, 0, channel.length);
    reply.bulk(message, 0, message.length);
    return reply.takeToKeep();
  }
}
