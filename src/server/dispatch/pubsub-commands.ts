/**
 * The SUBSCRIBE commands, PUBLISH, PUBSUB. A message per name confirms a subscription: a push in
 * RESP3, an array in RESP2. A guard in server/admin/admin.ts limits what a subscribed client may
 * send.
 */

import { globMatch } from '../../base/glob.ts';
import { container, replyHelp } from '../../commands/container.ts';
import type { CommandContext } from '../../commands/context.ts';
import { type CommandTable, Flag, keyAt, keysFrom, NO_KEYS } from '../../commands/spec.ts';
import { type PubSub, type Subscriptions, writeConfirmation } from './pubsub.ts';
import { type Session, sessionOf } from './session.ts';

const { PUBSUB, NOSCRIPT, LOADING, STALE, FAST, MAY_REPLICATE } = Flag;
const GROUP = { group: 'pubsub', categories: [], keys: NO_KEYS } as const;
const SUBSCRIBING = { ...GROUP, flags: PUBSUB | NOSCRIPT | LOADING | STALE } as const;
const PUBLISHING = {
  ...GROUP,
  arity: 3,
  flags: PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE,
} as const;
const ASKING = { ...GROUP, flags: PUBSUB | LOADING | STALE } as const;

const HELP = [
  'CHANNELS [<pattern>]',
  "    Return the currently active channels matching a <pattern> (default: '*').",
  'NUMPAT',
  '    Return number of subscriptions to patterns.',
  'NUMSUB [<channel> ...]',
  '    Return the number of subscribers for the specified channels, excluding',
  '    pattern subscriptions(default: no channels).',
  'SHARDCHANNELS [<pattern>]',
  "    Return the currently active shard level channels matching a <pattern> (default: '*').",
  'SHARDNUMSUB [<shardchannel> ...]',
  '    Return the number of subscribers for the specified shard level channel(s)',
];

export function pubsubCommands(pubsub: PubSub): CommandTable {
  const { channels, patterns, shards } = pubsub;
  /** The count in a confirmation: of shard channels alone, or of channels and patterns together. */
  const countFor = (kind: Subscriptions, session: Session): number =>
    kind === shards
      ? shards.of(session).size
      : channels.of(session).size + patterns.of(session).size;

  /** Confirmations are messages: a client that wants no replies gets them, too. */
  const confirm = (session: Session, word: string, name: string | null, count: number): void => {
    if (session.isMuted) session.confirm(pubsub.confirmation(session.protocol, word, name, count));
    else writeConfirmation(session.reply, word, name, count);
  };

  const subscribe = (kind: Subscriptions, word: string) => (context: CommandContext) => {
    const session = sessionOf(context);
    for (let i = 1; i < context.request.argc; i++) {
      const name = context.request.latin1(i);
      kind.add(session, name);
      confirm(session, word, name, countFor(kind, session));
    }
    pubsub.noteClient(session);
  };

  const unsubscribe = (kind: Subscriptions, word: string) => (context: CommandContext) => {
    const { request } = context;
    const session = sessionOf(context);
    const names: string[] = request.argc === 1 ? [...kind.of(session)] : [];
    for (let i = 1; i < request.argc; i++) names.push(request.latin1(i));
    for (const name of names) {
      kind.remove(session, name);
      confirm(session, word, name, countFor(kind, session));
    }
    if (names.length === 0) confirm(session, word, null, countFor(kind, session));
    pubsub.noteClient(session);
  };

  const publish = (sharded: boolean) => (context: CommandContext) => {
    const { request, reply } = context;
    const channel = request.copy(1);
    const message = request.copy(2);
    reply.integer(
      sharded ? pubsub.publishShard(channel, message) : pubsub.publish(channel, message),
    );
    context.replicateAlways();
  };

  const list = (kind: Subscriptions) => (context: CommandContext) => {
    const { request, reply } = context;
    const pattern = request.argc > 2 ? request.copy(2) : undefined;
    const names = [...kind.names()].filter((name) => {
      if (pattern === undefined) return true;
      const bytes = Buffer.from(name, 'latin1');
      return globMatch(pattern, 0, pattern.length, bytes, 0, bytes.length, false);
    });
    reply.array(names.length);
    for (const name of names) reply.bulkLatin1(name);
  };

  const count = (kind: Subscriptions) => (context: CommandContext) => {
    const { request, reply } = context;
    reply.array((request.argc - 2) * 2);
    for (let i = 2; i < request.argc; i++) {
      const name = request.latin1(i);
      reply.bulkLatin1(name);
      reply.integer(kind.subscribers(name).size);
    }
  };

  return {
    SUBSCRIBE: {
      ...SUBSCRIBING,
      arity: -2,
      since: '2.0.0',
      summary: 'Begins to listen on channels.',
      handler: subscribe(channels, 'subscribe'),
    },
    UNSUBSCRIBE: {
      ...SUBSCRIBING,
      arity: -1,
      since: '2.0.0',
      summary: 'Ends listening on channels, or on all of them.',
      handler: unsubscribe(channels, 'unsubscribe'),
    },
    PSUBSCRIBE: {
      ...SUBSCRIBING,
      arity: -2,
      since: '2.0.0',
      summary: 'Begins to listen on all channels that match a pattern.',
      handler: subscribe(patterns, 'psubscribe'),
    },
    PUNSUBSCRIBE: {
      ...SUBSCRIBING,
      arity: -1,
      since: '2.0.0',
      summary: 'Ends listening by patterns, or by all of them.',
      handler: unsubscribe(patterns, 'punsubscribe'),
    },
    SSUBSCRIBE: {
      ...SUBSCRIBING,
      keys: [keysFrom(1, -1, 1, 'not_key')],
      arity: -2,
      since: '7.0.0',
      summary: 'Begins to listen on shard channels.',
      handler: subscribe(shards, 'ssubscribe'),
    },
    SUNSUBSCRIBE: {
      ...SUBSCRIBING,
      keys: [keysFrom(1, -1, 1, 'not_key')],
      arity: -1,
      since: '7.0.0',
      summary: 'Ends listening on shard channels, or on all of them.',
      handler: unsubscribe(shards, 'sunsubscribe'),
    },
    PUBLISH: {
      ...PUBLISHING,
      since: '2.0.0',
      summary: 'Sends a message to a channel.',
      handler: publish(false),
    },
    SPUBLISH: {
      ...PUBLISHING,
      keys: [keyAt(1, 'not_key')],
      since: '7.0.0',
      summary: 'Sends a message to a shard channel.',
      handler: publish(true),
    },
    PUBSUB: {
      ...GROUP,
      arity: -2,
      flags: 0,
      since: '2.8.0',
      summary: 'Tells about channels and who listens.',
      handler: container,
      subcommands: {
        CHANNELS: {
          ...ASKING,
          arity: -2,
          since: '2.8.0',
          summary: 'Lists the channels that somebody listens on.',
          handler: list(channels),
        },
        NUMPAT: {
          ...ASKING,
          arity: 2,
          since: '2.8.0',
          summary: 'Counts the patterns that somebody listens by.',
          handler: ({ reply }) => reply.integer(patterns.count),
        },
        NUMSUB: {
          ...ASKING,
          arity: -2,
          since: '2.8.0',
          summary: 'Counts the listeners of channels.',
          handler: count(channels),
        },
        SHARDCHANNELS: {
          ...ASKING,
          arity: -2,
          since: '7.0.0',
          summary: 'Lists the shard channels that somebody listens on.',
          handler: list(shards),
        },
        SHARDNUMSUB: {
          ...ASKING,
          arity: -2,
          since: '7.0.0',
          summary: 'Counts the listeners of shard channels.',
          handler: count(shards),
        },
        HELP: {
          ...GROUP,
          arity: 2,
          flags: LOADING | STALE,
          since: '6.2.0',
          summary: 'Tells about the subcommands.',
          handler: (context) => replyHelp(context, 'PUBSUB', HELP),
        },
      },
    },
  };
}
