/**
 * REPLCONF as a primary understands it: options come in pairs. Each changes the peer's state or
 * ends in an error.
 *
 *   listening-port <n>   ip-address <host>   capa <name>   version <x.y.z>       the handshake
 *   capa headwater-reads-<redis>-<valkey>                                        which dumps a headwater reads
 *   capa headwater-hops-<run id>                                                 a headwater asks for the chain
 *   rdb-only 0|1   rdb-filter-only "<list>"   rdb-no-compress 0|1   rdb-no-checksum 0|1      what dump it wants
 *   rdb-channel 0|1   main-ch-client-id <id>   set-rdb-client-id <id>            the two connections of one replica
 *   ack <offset> [fack <offset>]   getack *                                      never answered
 *
 * Once the peer is a replica, only the last line has an effect: its dump and stream are already
 * being sent, with the options set before. The reply to an option then ends the link, as any reply
 * does.
 *
 * Unknown *capabilities* are ignored and unknown *options* are errors: a peer takes OK to an option
 * as a promise (KeyDB's uuid), and treats the error as non-critical. Options before a faulty one keep their effect, as in Redis. Arguments are latin1
 * strings, so that bytes stay bytes. Main thread.
 */
import type { ChannelDoor } from './channels.ts';
import { parseInt64 } from './psync.ts';
import { DumpFilter, type ReplicaState } from './replica-state.ts';

export const REPLCONF_OK = '+OK\r\n';
/** The client gets no reply. */
export const NO_REPLY = '';

/** As Redis' NET_HOST_STR_LEN, its terminator included. */
const HOST_BYTES_MAX = 255;
const ERROR_SYNTAX = '-ERR syntax error\r\n';
const ERROR_NOT_AN_INTEGER = '-ERR value is not an integer or out of range\r\n';
const ERROR_NOT_0_OR_1 = '-ERR value is out of range, value must between 0 and 1\r\n';

export interface ReplconfOutcome {
  /** The whole reply line, or {@link NO_REPLY}. */
  readonly reply: string;
  /** A replica's ACK was recorded: WAIT and FAILOVER may need to check it. */
  readonly acked: boolean;
  /** This ACK ends the full sync: the stream flows to the peer, if it did not before. */
  readonly uncorked: boolean;
  /** GETACK came: a node with a primary replies with its own ACK. */
  readonly getack: boolean;
  /** A headwater has told its run id, and wants to know that of this node. */
  readonly introduced: boolean;
}

const SILENT: ReplconfOutcome = {
  reply: NO_REPLY,
  acked: false,
  uncorked: false,
  getack: false,
  introduced: false,
};
const OK: ReplconfOutcome = { ...SILENT, reply: REPLCONF_OK };
const INTRODUCED: ReplconfOutcome = { ...OK, introduced: true };
const GETACK: ReplconfOutcome = { ...SILENT, getack: true };
const ACKED: ReplconfOutcome = { ...SILENT, acked: true };
const UNCORKED: ReplconfOutcome = { ...ACKED, uncorked: true };

/** Applies `args`, the words after REPLCONF, to `peer`. */
export function applyReplconf(
  peer: ReplicaState,
  args: readonly string[],
  nowMs: number,
  channels: ChannelDoor,
): ReplconfOutcome {
  if (args.length % 2 !== 0) return failed(ERROR_SYNTAX);
  let isIntroduced = false;
  for (let i = 0; i < args.length; i += 2) {
    const option = args[i]!;
    const value = args[i + 1]!;
    if (peer.isReplica && !isOfStream(option)) continue;
    switch (option.toLowerCase()) {
      case 'listening-port': {
        // Any integer, of which 32 bits are kept.
        if (Number.isNaN(parseInt64(value))) return failed(ERROR_NOT_AN_INTEGER);
        peer.listeningPort = Number(BigInt.asIntN(32, BigInt(value)));
        break;
      }
      case 'ip-address': {
        const error = setAddress(peer, value);
        if (error !== '') return failed(error);
        break;
      }
      case 'capa': {
        const capability = value.toLowerCase();
        if (capability === 'eof') peer.capaEof = true;
        else if (capability === 'psync2') peer.capaPsync2 = true;
        // One that this node does not honour now is as one that it does not know.
        else if (capability === 'rdb-channel-repl') peer.capaRdbChannel ||= channels.honoursRedis;
        else if (capability === 'dual-channel') peer.capaDualChannel ||= channels.honoursValkey;
        // Valkey sends it on a link that is checked itself.
        else if (capability === 'skip-rdb-checksum') peer.wantsNoChecksum = true;
        else if (setNodeId(peer, capability)) isIntroduced = true;
        else setReads(peer, capability);
        break;
      }
      case 'version': {
        const version = parseVersion(value);
        if (version === -1) return failed(`-ERR Unrecognized version format: ${shown(value)}\r\n`);
        peer.version = version;
        break;
      }
      case 'ack':
        return ack(peer, args, i, nowMs);
      case 'getack':
        return GETACK;
      case 'rdb-only': {
        if (!isFlag(value)) return failed(flagError(value));
        peer.rdbOnly = value === '1';
        break;
      }
      case 'rdb-no-compress': {
        if (!isFlag(value)) return failed(flagError(value));
        peer.wantsNoCompression = value === '1';
        break;
      }
      case 'rdb-no-checksum': {
        if (!isFlag(value)) return failed(flagError(value));
        peer.wantsNoChecksum = value === '1';
        break;
      }
      case 'rdb-channel': {
        if (!isFlag(value)) return failed(flagError(value));
        peer.isDumpChannel = value === '1';
        break;
      }
      case 'main-ch-client-id': {
        const id = parseInt64(value);
        if (Number.isNaN(id)) return failed(ERROR_NOT_AN_INTEGER);
        if (!channels.waitsForDump(id)) return failed(unknownId(`: ${value}`));
        peer.mainId = id;
        break;
      }
      case 'set-rdb-client-id': {
        const id = parseInt64(value);
        if (Number.isNaN(id)) return failed(ERROR_NOT_AN_INTEGER);
        if (!channels.reserves(id)) return failed(unknownId(` ${value}`));
        peer.dumpId = id;
        break;
      }
      case 'rdb-filter-only': {
        const error = setFilter(peer, value);
        if (error !== '') return failed(error);
        break;
      }
      default:
        return failed(`-ERR Unrecognized REPLCONF option: ${shown(option)}\r\n`);
    }
  }
  return isIntroduced ? INTRODUCED : OK;
}

/**
 * The capability by which a headwater tells its primary the newest versions of dumps that it reads,
 * of Redis and of Valkey. Other primaries ignore it.
 */
export function readsCapability(redisVersion: number, valkeyVersion: number): string {
  return `headwater-reads-${redisVersion}-${valkeyVersion}`;
}

/**
 * The capability by which the headwater `id` tells that it asks for the chain above it. Other
 * primaries ignore it.
 */
export function hopsCapability(id: string): string {
  return `headwater-hops-${id}`;
}

/** The answer of the headwater `id` to the REPLCONF with that capability, behind its `+`. */
export function introduction(id: string): string {
  return `OK headwater-hops ${id}`;
}

/** The run id in such an answer; empty in that of another product. */
export function introducedId(line: string): string {
  return /^\+OK headwater-hops ([0-9a-f]{40})$/.exec(line)?.[1] ?? '';
}

function setNodeId(peer: ReplicaState, capability: string): boolean {
  const id = /^headwater-hops-([0-9a-f]{40})$/.exec(capability)?.[1];
  if (id === undefined) return false;
  peer.nodeId = id;
  return true;
}

function setReads(peer: ReplicaState, capability: string): void {
  const match = /^headwater-reads-(\d{1,4})-(\d{1,3})$/.exec(capability);
  if (match === null) return;
  peer.readsRedis = Number(match[1]);
  peer.readsValkey = Number(match[2]);
}

function isOfStream(option: string): boolean {
  return /^(?:ack|getack)$/i.test(option);
}

/** `x.y.z` as 0x00xxyyzz, or -1 when it is not three numbers of up to 255. */
export function parseVersion(text: string): number {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return -1;
  const major = Number(match[1]);
  const minor = Number(match[2]);
  const patch = Number(match[3]);
  return major > 255 || minor > 255 || patch > 255 ? -1 : (major << 16) | (minor << 8) | patch;
}

/**
 * `ACK n`, `ACK n FACK m`; ignored when the sender is no replica, or when the word is not a number.
 */
function ack(
  peer: ReplicaState,
  args: readonly string[],
  at: number,
  nowMs: number,
): ReplconfOutcome {
  if (!peer.isReplica) return SILENT;
  const offset = parseInt64(args[at + 1]!);
  if (Number.isNaN(offset)) return SILENT;
  let fsynced = 0;
  if (args.length > at + 3 && args[at + 2]!.toLowerCase() === 'fack') {
    fsynced = parseInt64(args[at + 3]!);
    if (Number.isNaN(fsynced)) fsynced = 0;
  }
  return peer.acked(offset, fsynced, nowMs) ? UNCORKED : ACKED;
}

function setAddress(peer: ReplicaState, value: string): string {
  if (value.length > HOST_BYTES_MAX) {
    return `-ERR REPLCONF ip-address provided by replica instance is too long: ${value.length} bytes\r\n`;
  }
  // Stricter than Redis: the address becomes part of lines of INFO and of the log.
  if (!/^[\x21-\x7e]*$/.test(value)) {
    return '-ERR REPLCONF ip-address provided by replica instance has invalid characters\r\n';
  }
  peer.announcedAddress = value;
  return '';
}

/** `functions` keeps the functions, an empty list keeps nothing but header and trailer. */
function setFilter(peer: ReplicaState, value: string): string {
  const words = unquotedWords(value);
  if (words === null) return '-ERR Missing rdb-filter-only values\r\n';
  peer.filter = DumpFilter.NO_DATA | DumpFilter.NO_FUNCTIONS;
  for (const word of words) {
    if (word.toLowerCase() !== 'functions') {
      return `-ERR Unsupported rdb-filter-only option: ${shown(word)}\r\n`;
    }
    peer.filter &= ~DumpFilter.NO_FUNCTIONS;
  }
  return '';
}

/** Words split at blanks, without plain pairs of quotes; null when a quote is not closed. */
function unquotedWords(text: string): string[] | null {
  const words = text.split(/\s+/).filter((word) => word !== '');
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const quote = word[0];
    if (quote !== '"' && quote !== "'") continue;
    if (word.length < 2 || !word.endsWith(quote)) return null;
    words[i] = word.slice(1, -1);
  }
  return words;
}

/** Redis has a colon before the id, Valkey has none. */
function unknownId(shownId: string): string {
  return `-ERR Unrecognized RDB client id${shownId}\r\n`;
}

function isFlag(value: string): boolean {
  return value === '0' || value === '1';
}

function flagError(value: string): string {
  return Number.isNaN(parseInt64(value)) ? ERROR_NOT_AN_INTEGER : ERROR_NOT_0_OR_1;
}

function failed(reply: string): ReplconfOutcome {
  return { ...SILENT, reply };
}

/** A word of the client, safe within one line of a reply. */
function shown(word: string): string {
  return word.slice(0, 128).replace(/[\r\n]/g, ' ');
}
