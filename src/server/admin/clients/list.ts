/** The line of CLIENT LIST, and the classes of clients. */
import type { PubSub } from '../../dispatch/pubsub.ts';
import type { Connection } from '../../net/connection.ts';

export type ClientClass = 'normal' | 'master' | 'replica' | 'pubsub';

const CLASS_NAMES: Readonly<Record<string, ClientClass>> = {
  normal: 'normal',
  master: 'master',
  replica: 'replica',
  slave: 'replica',
  pubsub: 'pubsub',
};

/** The class of a name in any letter case, or undefined. */
export const clientClassOf = (name: string): ClientClass | undefined =>
  Object.hasOwn(CLASS_NAMES, name.toLowerCase()) ? CLASS_NAMES[name.toLowerCase()] : undefined;

/** A client that watches others' commands is a normal one here. */
export function classOf(connection: Connection): ClientClass {
  if (connection.fromPrimary) return 'master';
  if (connection.isReplica) return 'replica';
  return connection.subscribed ? 'pubsub' : 'normal';
}

const FLAGS: readonly (readonly [string, (connection: Connection) => boolean])[] = [
  ['O', (c) => c.monitor],
  ['S', (c) => c.isReplica && !c.monitor],
  ['M', (c) => c.fromPrimary],
  ['P', (c) => c.subscribed],
  ['x', (c) => c.queued !== undefined],
  ['b', (c) => c.blocked],
  ['d', (c) => c.watchBroken],
  ['c', (c) => c.closeAfterReply && !c.reply.isCut],
  ['A', (c) => c.reply.isCut],
  ['U', (c) => c.remoteAddress === ''],
  ['e', (c) => c.noEvict],
  ['T', (c) => c.noTouch],
];

/**
 * The line of a client. `requestBytes` are the bytes of its running command, which the reader has
 * handed over.
 */
export function clientLine(
  connection: Connection,
  pubsub: PubSub,
  nowMs: number,
  requestBytes: number,
): string {
  const { reader, reply, queued, queuedBytes, heldBytes } = connection;
  const flags = FLAGS.filter(([, holds]) => holds(connection)).map(([letter]) => letter);
  const pending = reader.pendingBytes;
  const waiting = connection.writer.waitingBytes;
  const seconds = (sinceMs: number): number => Math.max(0, Math.floor((nowMs - sinceMs) / 1000));
  const fields: Record<string, string | number> = {
    id: connection.id,
    addr: connection.address,
    laddr: connection.localAddressText,
    fd: descriptorOf(connection),
    name: connection.name,
    age: seconds(connection.connectedMs),
    idle: seconds(connection.lastActiveMs),
    flags: flags.join('') || 'N',
    db: connection.dbIndex,
    sub: pubsub.channels.of(connection).size,
    psub: pubsub.patterns.of(connection).size,
    ssub: pubsub.shards.of(connection).size,
    multi: queued?.length ?? -1,
    watch: connection.watched.length,
    qbuf: pending + requestBytes,
    'qbuf-free': Math.max(0, reader.ownBytes - pending),
    'argv-mem': heldBytes,
    'multi-mem': queuedBytes,
    rbs: reply.lastChunkBytes,
    rbp: 0,
    obl: reply.lastChunkSize,
    oll: connection.writer.waitingWrites + reply.fullChunks,
    omem: waiting + reply.size - reply.lastChunkSize,
    'tot-mem': connection.memoryBytes,
    events: waiting > 0 ? 'rw' : 'r',
    cmd: connection.lastCommand,
    user: 'default',
    redir: -1,
    resp: connection.protocol,
    'lib-name': connection.libName,
    'lib-ver': connection.libVersion,
  };
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}

interface WithDescriptor {
  readonly _handle?: { readonly fd?: number } | null;
}

/** The file descriptor, which Node.js gives on some systems only; else -1. */
function descriptorOf({ socket }: Connection): number {
  return (socket as unknown as WithDescriptor)._handle?.fd ?? -1;
}
