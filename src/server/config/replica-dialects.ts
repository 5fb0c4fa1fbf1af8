/**
 * replica-dialect: the dialect of the dump for the replicas of an address, one line each. A later
 * line for the same address replaces the earlier one. CONFIG GET shows, and CONFIG SET takes, all
 * of them behind each other; an empty word removes all.
 *
 *   replica-dialect 10.0.0.7 9 plain
 *   replica-dialect replica-b.example 11
 */
import type { RdbVersion } from '../../rdb/dialect.ts';
import type { Kind, Setting } from './kinds.ts';

export interface ReplicaDialect {
  /** As the replica announces it (`replica-announce-ip`), or that of its socket. */
  readonly address: string;
  readonly version: RdbVersion;
  readonly plainTypes: boolean;
}

const VERSIONS: readonly RdbVersion[] = [9, 10, 11, 12];
const PLAIN = 'plain';
const ADDRESS_BYTES_MAX = 255;
export const REPLICA_DIALECTS_MAX = 1024;

const wordsOf = ({ address, version, plainTypes }: ReplicaDialect): string =>
  `${address} ${version}${plainTypes ? ` ${PLAIN}` : ''}`;

const settingOf = (value: readonly ReplicaDialect[]): Setting<readonly ReplicaDialect[]> => ({
  value,
  text: value.map(wordsOf).join(' '),
});

export function replicaDialects(): Kind<readonly ReplicaDialect[]> {
  return {
    shape: `address ${VERSIONS.join('|')} [${PLAIN}] ...`,
    multi: true,
    initial: settingOf([]),
    parse(words, before, append) {
      if (words.length === 1 && words[0] === '') return settingOf([]);
      const rows = new Map<string, ReplicaDialect>();
      if (append) for (const row of before.value) rows.set(row.address, row);
      for (let i = 0; i < words.length; ) {
        const address = words[i++]!;
        if (address.length > ADDRESS_BYTES_MAX || !/^[\x21-\x7e]+$/.test(address))
          return 'replica-dialect needs the address of a replica';
        const version = VERSIONS.find((known) => String(known) === words[i]);
        if (version === undefined)
          return `replica-dialect needs a version behind the address: ${VERSIONS.join(', ')}`;
        i++;
        const plainTypes = words[i]?.toLowerCase() === PLAIN;
        if (plainTypes) i++;
        rows.set(address, { address, version, plainTypes });
      }
      if (rows.size > REPLICA_DIALECTS_MAX)
        return `replica-dialect knows at most ${REPLICA_DIALECTS_MAX} addresses`;
      return settingOf([...rows.values()]);
    },
    rewrite: ({ value }) => value.map((row) => ({ words: wordsOf(row), force: true })),
  };
}
