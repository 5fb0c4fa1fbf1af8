/** The texts of `--help` (one screen) and `--help-all` (from the table of directives). */
import type { Directive } from './directive.ts';
import { Tier } from './directive.ts';
import type { DirectiveName } from './directives.ts';
import { directiveOf, groups } from './directives.ts';
import { versionLine } from './product.ts';

/** The directives of the table on the one screen. */
const COMMON: readonly (readonly [group: string, names: readonly DirectiveName[]])[] = [
  ['Network', ['port', 'bind', 'requirepass', 'maxclients']],
  ['Replication', ['replicaof', 'masterauth', 'repl-backlog-size', 'min-replicas-to-write']],
  ['Snapshot', ['dir', 'dbfilename', 'save', 'snapshot-cow-max', 'rdb-version']],
  ['Observability', ['loglevel', 'log-format', 'slowlog-log-slower-than']],
];

const NAME_WIDTH = 26;

export function helpText(): string {
  const sections = COMMON.map(([group, names]) => {
    const rows = names.map((name) => `  --${name.padEnd(NAME_WIDTH)}${directiveOf(name).help}`);
    return `${group}\n${rows.join('\n')}\n`;
  });
  return `headwater: a Redis-protocol replication node

Usage: headwater [file.conf] [--name value ...] ... [-]
  file.conf   a redis.conf; any directive in it is an option too: --name value
  -           read more configuration from standard input
  Environment: HEADWATER_<NAME>=value, HEADWATER_<NAME>_FILE=path; options win over it, it wins over the file

${sections.join('\n')}
Examples
  headwater                                    a primary on port 6379
  headwater --port 7000 --save ""              another port, no saving by itself
  headwater --port 7001 --replicaof 10.0.0.5 6379
  headwater /etc/redis/redis.conf --loglevel verbose
  echo 'maxmemory 128mb' | headwater -
  redis-server --port 7002 --replicaof 127.0.0.1 7000    a stock replica below it

-v, --version   -h, --help   --help-all: every directive
`;
}

export function helpAllText(): string {
  const sections = Object.entries(groups).map(([group, rows]) => {
    const lines = Object.entries(rows)
      .filter(([, row]) => (row as Directive<unknown>).hidden !== true)
      .map(([name, row]) => helpRow(name, row as Directive<unknown>));
    return `${group}\n${lines.join('\n')}\n`;
  });
  return `${versionLine()}

Directives of redis.conf; each is also an option, --name value. Marks: * accepted without effect,
! only this value is accepted, = not changed by CONFIG SET.

${sections.join('\n')}`;
}

function helpRow(name: string, row: Directive<unknown>): string {
  const mark = row.tier === Tier.ACCEPTED ? '*' : row.tier === Tier.REFUSED ? '!' : ' ';
  const lock = row.immutable === true ? '=' : ' ';
  const { shape, initial } = row.kind;
  const given = initial.text === '' ? '""' : initial.text;
  const alias = row.alias === undefined ? '' : ` (also ${row.alias})`;
  return `${mark}${lock} ${name} <${shape}>, default ${given}\n       ${row.help}${alias}`;
}
