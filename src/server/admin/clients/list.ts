/** The line of CLIENT LIST, and the classes of clients. */
import type { Socket } from 'node:net';
import type { PubSub } from '../../dispatch/pubsub.ts';
import type { UpstreamSession } from '../../link/applier.ts';
import { CLIENT_BYTES, type Connection } from '../../net/connection.ts';

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

/** Who is listed and can be killed. */
export type Listed = Connection | UpstreamSession;

/** A client that watches others' commands is a normal one here. */
export function classOf(client: Listed): ClientClass {
  if (client.fromPrimary) return 'master';
  if (client.isReplica) return 'replica';
  return client.subscribed ? 'pubsub' : 'normal';
}

const FLAGS: readonly (readonly [string, (connection: Connection) => boolean])[] = [
  ['O', (c) => c.monitor],
  ['S', (c) => c.isReplica && !c.monitor],
  ['M', (c) => c.fromPrimary],
  ['C', (c) => c.isDumpChannel],
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

/** The fields of a line, in their order. */
const FIELDS = [
  ...['id', 'addr', 'laddr', 'fd', 'name', 'age', 'idle', 'flags', 'db', 'sub', 'psub', 'ssub'],
  ...['multi', 'watch', 'qbuf', 'qbuf-free', 'argv-mem', 'multi-mem', 'rbs', 'rbp', 'obl', 'oll'],
  ...['omem', 'tot-mem', 'events', 'cmd', 'user', 'redir', 'resp', 'lib-name', 'lib-ver'],
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
  return lineOf({
    id: connection.id,
    addr: connection.address,
    laddr: connection.localAddressText,
    fd: descriptorOf(connection.socket),
    name: connection.name,
    age: secondsOf(nowMs - connection.connectedMs),
    idle: secondsOf(nowMs - connection.lastActiveMs),
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
  });
}

/** The line of the primary, which was last heard `silentMs` ago. It belongs to no user. */
export function primaryLine(primary: UpstreamSession, silentMs: number, nowMs: number): string {
  const { reader, reply, queued, queuedBytes } = primary;
  const pending = reader?.pendingBytes ?? 0;
  const ownBytes = reader?.ownBytes ?? 0;
  return lineOf({
    id: primary.id,
    addr: primary.address,
    laddr: primary.localAddressText,
    fd: descriptorOf(primary.socket),
    age: secondsOf(nowMs - primary.connectedMs),
    idle: secondsOf(silentMs),
    flags: queued === undefined ? 'M' : 'Mx',
    db: primary.dbIndex,
    multi: queued?.length ?? -1,
    qbuf: pending,
    'qbuf-free': Math.max(0, ownBytes - pending),
    'multi-mem': queuedBytes,
    'tot-mem': CLIENT_BYTES + ownBytes + queuedBytes + reply.heldBytes,
    events: primary.socket.writableLength > 0 ? 'rw' : 'r',
    cmd: primary.lastCommand,
    user: '(superuser)',
    redir: -1,
    resp: primary.protocol,
    name: '',
    'lib-name': '',
    'lib-ver': '',
  });
}

const secondsOf = (ms: number): number => Math.max(0, Math.floor(ms / 1000));

/** A field that is not given is 0. */
const lineOf = (fields: Readonly<Record<string, string | number>>): string =>
  FIELDS.map((name) => `${name}=${fields[name] ?? 0}`).join(' ');

interface WithDescriptor {
  readonly _handle?: { readonly fd?: number } | null;
}

/** The file descriptor, which Node.js gives on some systems only; else -1. */
function descriptorOf(socket: Socket): number {
  return (socket as unknown as WithDescriptor)._handle?.fd ?? -1;
}
