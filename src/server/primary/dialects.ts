/**
 * Which dump a replica gets: the version and types of its dialect, and whether strings are
 * compressed and the dump has a checksum.
 *
 *   `replica-dialect` for its address     decides alone
 *   `REPLCONF version`, of Valkey         as configured, but at most version 11, since Valkey reads
 *                                         none between 12 and 79
 *   else                                  `rdb-version` and `rdb-plain-types`
 *
 * Redis 8 asks for `rdb-no-compress` and `rdb-no-checksum` when it parses the dump as it comes, and
 * Valkey has `capa skip-rdb-checksum` on links that are checked themselves (TLS). A dump that leaves
 * these out can be read by everybody, and one that has them, too: they never keep peers from
 * sharing a dump. So they are left out when nobody for whom the dump is begun needs them.
 * Main thread.
 */
import {
  type Dialect,
  FUNCTIONS_VERSION_MIN,
  isSameDialect,
  type RdbVersion,
} from '../../rdb/dialect.ts';
import { VALKEY_READS_REDIS } from '../../replication/full-sync.ts';
import { Framing, type ReplicaState, replicaName } from '../../replication/replica-state.ts';
import type { Server } from '../server.ts';
import type { DumpRequest } from '../snapshot-source.ts';

export class Dialects {
  readonly #server: Server;
  /** The number of function libraries of the dataset. */
  functionCount: () => number = () => 0;

  constructor(server: Server) {
    this.#server = server;
  }

  of(state: ReplicaState): Dialect {
    const { rdbVersion, rdbPlainTypes, replicaDialect } = this.#server.config.values;
    const given =
      replicaDialect.find(({ address }) => address === state.announcedAddress) ??
      replicaDialect.find(({ address }) => address === plainAddress(state.address));
    if (given !== undefined) return { version: given.version, plainTypes: given.plainTypes };
    const version = rdbVersion as RdbVersion;
    const isValkey = state.version !== 0;
    return {
      version: isValkey && version > VALKEY_READS_REDIS ? VALKEY_READS_REDIS : version,
      plainTypes: rdbPlainTypes,
    };
  }

  /** The dump for `first`, which `peers` will share: all that wait, `first` among them. */
  requestFor(first: ReplicaState, peers: Iterable<ReplicaState>): DumpRequest {
    const { rdbcompression, rdbchecksum } = this.#server.config.values;
    const dialect = this.of(first);
    let wantsCompression = false;
    let wantsChecksum = false;
    for (const peer of peers) {
      if (peer.filter !== first.filter || !isSameDialect(this.of(peer), dialect)) continue;
      // As in Redis, only a dump that goes to sockets leaves these out.
      const isStreamed = peer.framing === Framing.EOF_MARK;
      wantsCompression ||= !(isStreamed && peer.wantsNoCompression);
      wantsChecksum ||= !(isStreamed && peer.wantsNoChecksum);
    }
    this.#tellOfLoss(first, dialect);
    return {
      dialect,
      filter: first.filter,
      compress: rdbcompression && wantsCompression,
      checksum: rdbchecksum && wantsChecksum,
      reason: 'replication',
    };
  }

  #tellOfLoss(state: ReplicaState, { version }: Dialect): void {
    const count = this.functionCount();
    if (count === 0 || version >= FUNCTIONS_VERSION_MIN) return;
    this.#server.log.warning(
      `Replica ${replicaName(state)} gets a dump of version ${version}, which has no place for ` +
        `functions: ${count} libraries are left out`,
    );
  }
}

/** An IPv4 address without the prefix that it has on a socket for both versions. */
const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/, '');
