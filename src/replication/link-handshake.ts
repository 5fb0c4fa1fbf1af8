/**
 * The requests of a replica before PSYNC, and what it needs to know for them. The order and the
 * words are those of Redis 7.2. Pure.
 */
import type { LoadWay } from './load-way.ts';

/** This node's data for the handshake, and its timeouts. Read again for each attempt. */
export interface LinkOptions {
  readonly user: string;
  /** `masterauth`; empty for no AUTH. */
  readonly password: string;
  readonly listeningPort: number;
  /** `replica-announce-ip`; empty for none. */
  readonly announceIp: string;
  /** The version for `REPLCONF version`; empty for none. */
  readonly version: string;
  /** The capability that tells which dumps this node reads; empty for none. */
  readonly capability: string;
  /** The one that tells its run id, see server/link/hop-asker.ts; empty for none. */
  readonly hopsCapability: string;
  readonly replTimeoutMs: number;
  /** The run id of this node. */
  readonly ownId: string;
  /** PSYNC asks the other side to become the primary of this node: FAILOVER is in progress. */
  readonly failover: boolean;
  /** How a dump that begins now is loaded. */
  readonly loadWay: LoadWay;
  /** `repl-rdb-channel`, `dual-channel-replication-enabled`: the second connections it can make. */
  readonly rdbChannel: boolean;
  readonly dualChannel: boolean;
}

/** The second connections that an attempt offers. */
export type ChannelOffer = Pick<LinkOptions, 'rdbChannel' | 'dualChannel'>;

/** A step of the handshake that waits for its answer. */
export interface Step {
  readonly text: string;
  /** An error ends the attempt. */
  readonly isFatal: boolean;
  /** The log's text before the error. */
  readonly complaint: string;
}

/** AUTH and REPLCONF, written without waiting in between. */
export function handshake(options: LinkOptions, { rdbChannel, dualChannel }: ChannelOffer): Step[] {
  const { user, password, listeningPort, announceIp, version } = options;
  const steps: Step[] = [];
  const optional = (what: string, ...words: readonly string[]): void => {
    const complaint = `Master does not understand REPLCONF ${what}`;
    steps.push({ text: request('REPLCONF', ...words), isFatal: false, complaint });
  };
  if (password !== '') steps.push(auth(user, password, 'Unable to AUTH to MASTER'));
  optional('listening-port', 'listening-port', String(listeningPort));
  if (announceIp !== '') optional('ip-address', 'ip-address', announceIp);
  const names = ['eof', 'psync2'];
  if (rdbChannel) names.push('rdb-channel-repl');
  if (dualChannel) names.push('dual-channel');
  const further = [options.capability, options.hopsCapability].filter((name) => name !== '');
  optional('capa', ...[...names, ...further].flatMap((name) => ['capa', name]));
  if (version !== '') optional('VERSION', 'version', version);
  return steps;
}

/**
 * AUTH and REPLCONF of the second connection, see dump-channel.ts. `mainId` is the id that the main
 * connection has at a Redis; empty for a Valkey, which tells none. The dump has the version that
 * this connection asks for.
 */
export function channelHandshake(
  { user, password, listeningPort, announceIp, version, capability }: LinkOptions,
  mainId: string,
): Step[] {
  const isRedis = mainId !== '';
  const prefix = isRedis ? '' : 'Dual channel replication: ';
  const steps: Step[] = [];
  const needed = (complaint: string, ...words: readonly string[]): void => {
    const text = request('REPLCONF', ...words);
    steps.push({ text, isFatal: true, complaint: prefix + complaint });
  };
  if (password !== '') {
    const complaint = isRedis ? 'Unable to AUTH to master' : `${prefix}Unable to AUTH to Primary`;
    steps.push(auth(user, password, complaint));
  }
  const words = ['capa', 'eof', 'rdb-only', '1', 'rdb-channel', '1'];
  if (isRedis) words.push('main-ch-client-id', mainId);
  words.push('listening-port', String(listeningPort));
  if (isRedis && announceIp !== '') words.push('ip-address', announceIp);
  if (version !== '') words.push('version', version);
  if (capability !== '') words.push('capa', capability);
  if (isRedis) {
    needed('Master replied error to replconf', ...words);
    return steps;
  }
  needed(
    'Server does not support sync with offset, dual channel sync approach cannot be used',
    ...words,
  );
  if (announceIp !== '') needed('Primary rejected REPLCONF ip-address', 'ip-address', announceIp);
  return steps;
}

function auth(user: string, password: string, complaint: string): Step {
  const words = user === '' ? [password] : [user, password];
  return { text: request('AUTH', ...words), isFatal: true, complaint };
}

/** A request of words in latin1. */
export function request(...words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
}
