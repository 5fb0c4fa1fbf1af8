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
  /** Further capabilities. */
  readonly capabilities: readonly string[];
  readonly replTimeoutMs: number;
  /** The run id of this node. */
  readonly ownId: string;
  /** PSYNC asks the other side to become the primary of this node: FAILOVER is in progress. */
  readonly failover: boolean;
  /** How a dump that begins now is loaded. */
  readonly loadWay: LoadWay;
}

/** A step of the handshake that waits for its answer. */
export interface Step {
  readonly text: string;
  /** An error ends the attempt. */
  readonly isFatal: boolean;
  /** The log's text before the error. */
  readonly complaint: string;
}

/** AUTH and REPLCONF, written without waiting in between. */
export function handshake({
  user,
  password,
  listeningPort,
  announceIp,
  version,
  capabilities,
}: LinkOptions): Step[] {
  const steps: Step[] = [];
  const optional = (what: string, ...words: readonly string[]): void => {
    const complaint = `Master does not understand REPLCONF ${what}`;
    steps.push({ text: request('REPLCONF', ...words), isFatal: false, complaint });
  };
  if (password !== '') {
    const words = user === '' ? [password] : [user, password];
    steps.push({
      text: request('AUTH', ...words),
      isFatal: true,
      complaint: 'Unable to AUTH to MASTER',
    });
  }
  optional('listening-port', 'listening-port', String(listeningPort));
  if (announceIp !== '') optional('ip-address', 'ip-address', announceIp);
  const all = ['eof', 'psync2', ...capabilities];
  optional('capa', ...all.flatMap((name) => ['capa', name]));
  if (version !== '') optional('VERSION', 'version', version);
  return steps;
}

/** A request of words in latin1. */
export function request(...words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
}
