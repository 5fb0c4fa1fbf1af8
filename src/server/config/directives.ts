/**
 * Every directive: one table drives redis.conf, CONFIG GET, SET and REWRITE, the typed values, and
 * help.
 *
 * Names, ranges and defaults are those of Redis 7.2, with the few newer names in existing
 * configuration files. One default differs on purpose: repl-diskless-sync-delay is 0, because a
 * late replica joins the running snapshot. The last group is this program's own. A new feature only
 * changes its row's tier here.
 */
import type { Directive } from './directive.ts';
import { accepted, IMMUTABLE, obeyed, refused } from './directive.ts';
import {
  addresses,
  directory,
  fileName,
  integer,
  keyspaceEvents,
  LONG_MAX,
  memory,
  memoryOrPercent,
  octal,
  oneNumberOf,
  oneOf,
  oomScores,
  optional,
  outputLimits,
  password,
  percentiles,
  primaryAddress,
  savePoints,
  shutdownOptions,
  string,
  ULONG_MAX,
  yesNo,
} from './kinds.ts';
import { replicaDialects } from './replica-dialects.ts';

const MAX_PORT = 65535;
const PROTECTED_ACTIONS = ['no', 'yes', 'local'] as const;

const network = {
  bind: obeyed(addresses(['*', '-::*']), 'addresses to listen on'),
  port: obeyed(integer(6379, 0, MAX_PORT), 'TCP port; 0 = none'),
  'protected-mode': obeyed(yesNo('yes'), 'refuse others than loopback while there is no password'),
  unixsocket: obeyed(optional(), 'path of a Unix socket to listen on', IMMUTABLE),
  unixsocketperm: obeyed(octal(0, 0o777), 'its permissions', IMMUTABLE),
  'tcp-backlog': obeyed(
    integer(511),
    'length of the queue of connections not yet accepted',
    IMMUTABLE,
  ),
  'tcp-keepalive': obeyed(integer(300), 'seconds between TCP keepalive probes; 0 = none'),
  timeout: obeyed(integer(0), 'close a client idle for so many seconds; 0 = never'),
  maxclients: obeyed(integer(10000, 1, 4294967295n), 'most clients at once'),
  requirepass: obeyed(password(), 'password that clients must give', { sensitive: true }),
  'client-query-buffer-limit': obeyed(
    memory('1gb', 1048576),
    'most bytes of a client that wait to be run',
  ),
  'proto-max-bulk-len': obeyed(memory('512mb', 1048576), 'most bytes of one argument'),
  'client-output-buffer-limit': obeyed(
    outputLimits({
      normal: { hardBytes: 0, softBytes: 0, softSeconds: 0 },
      replica: { hardBytes: 268435456, softBytes: 67108864, softSeconds: 60 },
      pubsub: { hardBytes: 33554432, softBytes: 8388608, softSeconds: 60 },
    }),
    'disconnect a client whose replies, or a replica whose lag, pass this',
  ),
  'bind-source-addr': obeyed(optional(), 'address of outgoing connections'),
  'socket-mark-id': accepted(integer(0, 0, 4294967295n), 'mark of listening sockets', IMMUTABLE),
  'max-new-connections-per-cycle': accepted(
    integer(10, 1, 1000),
    'connections accepted per loop turn',
  ),
  'max-new-tls-connections-per-cycle': accepted(
    integer(1, 1, 1000),
    'TLS connections accepted per loop turn',
  ),
  'maxmemory-clients': obeyed(
    memoryOrPercent('0'),
    'most bytes, or % of maxmemory, of all clients; the largest end',
  ),
  'tracking-table-max-keys': accepted(integer(1000000, 0, LONG_MAX), 'keys of client side caching'),
} as const;

const replication = {
  replicaof: obeyed(primaryAddress(), 'follow this primary', { alias: 'slaveof', immutable: true }),
  masterauth: obeyed(password(), "the primary's password", { sensitive: true }),
  masteruser: obeyed(optional(), "the primary's user", { sensitive: true }),
  'replica-serve-stale-data': obeyed(yesNo('yes'), 'answer while the link is down', {
    alias: 'slave-serve-stale-data',
  }),
  'replica-read-only': obeyed(yesNo('yes'), 'refuse writes on a replica', {
    alias: 'slave-read-only',
  }),
  'replica-priority': obeyed(integer(100), 'rank for Sentinel; 0 = never promoted', {
    alias: 'slave-priority',
  }),
  'replica-announced': obeyed(yesNo('yes'), 'let Sentinel report this replica'),
  'replica-announce-ip': obeyed(optional(), 'address that the primary shows for us', {
    alias: 'slave-announce-ip',
  }),
  'replica-announce-port': obeyed(integer(0, 0, MAX_PORT), 'port that the primary shows for us', {
    alias: 'slave-announce-port',
  }),
  'min-replicas-to-write': obeyed(integer(0), 'good replicas without which writes are refused', {
    alias: 'min-slaves-to-write',
  }),
  'min-replicas-max-lag': obeyed(
    integer(10),
    'seconds since its ACK up to which a replica is good',
    {
      alias: 'min-slaves-max-lag',
    },
  ),
  'repl-timeout': obeyed(integer(60, 1), 'seconds of silence that end a link'),
  'repl-ping-replica-period': obeyed(integer(10, 1), 'seconds between PINGs in the stream', {
    alias: 'repl-ping-slave-period',
  }),
  'repl-backlog-size': obeyed(
    memory('1mb', 1),
    'stored bytes of the stream kept for partial resync',
  ),
  'repl-backlog-ttl': obeyed(
    integer(3600, 0, LONG_MAX),
    'seconds without replicas that free it; 0 = never',
  ),
  'repl-disable-tcp-nodelay': obeyed(yesNo('no'), 'let the kernel gather small segments'),
  'repl-diskless-sync': obeyed(yesNo('yes'), 'send the dump as it is made'),
  'repl-diskless-sync-delay': obeyed(
    integer(0),
    'seconds to wait for more replicas; late ones join anyhow',
  ),
  'repl-diskless-sync-max-replicas': obeyed(
    integer(0),
    'replicas that end that wait; 0 = no bound',
  ),
  'repl-diskless-load': obeyed(
    oneOf('swapdb', ['disabled', 'on-empty-db', 'swapdb'], ['flush-before-load']),
    'what becomes of the old dataset in a full sync',
    { denyLoading: true },
  ),
  'rdb-del-sync-files': accepted(yesNo('no'), 'remove dump files made for replicas'),
  'replica-lazy-flush': accepted(yesNo('no'), 'free the old dataset in the background', {
    alias: 'slave-lazy-flush',
  }),
  'replica-ignore-maxmemory': accepted(yesNo('yes'), 'evict nothing as a replica', {
    alias: 'slave-ignore-maxmemory',
  }),
  'replica-ignore-disk-write-errors': accepted(
    yesNo('no'),
    'go on as a replica when the disk fails',
  ),
  'propagation-error-behavior': accepted(
    oneOf('ignore', ['ignore', 'panic', 'panic-on-replicas']),
    'what to do when a command of the stream fails',
  ),
  'repl-rdb-channel': obeyed(yesNo('no'), 'a second connection for the dump (Redis 8)'),
  'dual-channel-replication-enabled': obeyed(yesNo('no'), 'the same (Valkey 8)'),
  'replica-full-sync-buffer-limit': obeyed(
    memory('0'),
    'stream bytes held here during a sync over two connections; 0 = as the output limit of replicas',
  ),
} as const;

const snapshot = {
  dir: obeyed(directory(), 'working directory', { protected: true, denyLoading: true }),
  dbfilename: obeyed(fileName('dbfilename', 'dump.rdb', 'filename', true), "the dump's file name", {
    protected: true,
  }),
  save: obeyed(
    savePoints([
      { seconds: 3600, changes: 1 },
      { seconds: 300, changes: 100 },
      { seconds: 60, changes: 10000 },
    ]),
    'save after so many seconds and changes; "" = never',
  ),
  rdbcompression: obeyed(yesNo('yes'), 'compress strings of the dump by LZF'),
  rdbchecksum: obeyed(yesNo('yes'), 'end the dump with a CRC64', IMMUTABLE),
  'stop-writes-on-bgsave-error': obeyed(yesNo('yes'), 'refuse writes after a save that failed'),
  'rdb-save-incremental-fsync': accepted(yesNo('yes'), 'fsync the dump every few megabytes'),
  'sanitize-dump-payload': accepted(
    oneOf('no', ['no', 'yes', 'clients']),
    'checks when loading: always full',
  ),
} as const;

const server = {
  databases: obeyed(integer(16, 1), 'count of databases', IMMUTABLE),
  maxmemory: obeyed(
    memory('0', 0, ULONG_MAX),
    'bytes of data beyond which writes are refused; 0 = none',
  ),
  'maxmemory-policy': refused(
    oneOf('noeviction', [
      'volatile-lru',
      'volatile-lfu',
      'volatile-random',
      'volatile-ttl',
      'allkeys-lru',
      'allkeys-lfu',
      'allkeys-random',
      'noeviction',
    ]),
    ['noeviction'],
    'what to evict: nothing',
  ),
  hz: obeyed(integer(10, 0, undefined, [1n, 500n]), 'background turns per second'),
  supervised: obeyed(
    oneOf('no', ['upstart', 'systemd', 'auto', 'no']),
    'tell systemd, by systemd-notify, or upstart when it is ready',
    IMMUTABLE,
  ),
  pidfile: obeyed(optional(), 'write the process id here', IMMUTABLE),
  daemonize: accepted(yesNo('no'), 'never: it stays in the foreground', IMMUTABLE),
  'shutdown-timeout': obeyed(integer(10), 'seconds to wait for replicas at shutdown'),
  'shutdown-on-sigint': obeyed(shutdownOptions(), 'how SIGINT ends it'),
  'shutdown-on-sigterm': obeyed(shutdownOptions(), 'how SIGTERM ends it'),
  'enable-protected-configs': obeyed(
    oneOf('no', PROTECTED_ACTIONS),
    'allow CONFIG SET dir',
    IMMUTABLE,
  ),
  'enable-debug-command': obeyed(oneOf('no', PROTECTED_ACTIONS), 'allow DEBUG', IMMUTABLE),
  'enable-module-command': obeyed(
    oneOf('no', PROTECTED_ACTIONS),
    'whether MODULE LOAD is forbidden, or fails because there are no modules',
    IMMUTABLE,
  ),
  'notify-keyspace-events': obeyed(keyspaceEvents(), 'classes of keyspace events to publish'),
  aclfile: refused(string(''), [''], 'file of ACL users', IMMUTABLE),
  'acllog-max-len': accepted(integer(128, 0, LONG_MAX), 'entries of ACL LOG'),
  'acl-pubsub-default': accepted(
    oneOf('resetchannels', ['allchannels', 'resetchannels']),
    'channels of a new user',
  ),
} as const;

const observability = {
  loglevel: obeyed(
    oneOf('notice', ['debug', 'verbose', 'notice', 'warning']),
    'least level that is logged',
  ),
  logfile: obeyed(string(''), 'log to this file; "" = standard output', IMMUTABLE),
  'slowlog-log-slower-than': obeyed(integer(10000, -1, LONG_MAX), 'microseconds; -1 = none'),
  'slowlog-max-len': obeyed(integer(128, 0, LONG_MAX), 'entries of SLOWLOG'),
  'latency-tracking': obeyed(yesNo('yes'), 'keep latency histograms per command'),
  'latency-tracking-info-percentiles': obeyed(percentiles([50, 99, 99.9]), 'percentiles in INFO'),
  'latency-monitor-threshold': obeyed(
    integer(0, 0, LONG_MAX),
    'milliseconds from which LATENCY keeps a sample; 0 = none',
  ),
  'syslog-enabled': accepted(yesNo('no'), 'log to syslog', IMMUTABLE),
  'syslog-ident': accepted(string('redis'), 'name in syslog', IMMUTABLE),
  'syslog-facility': accepted(
    oneOf('local0', [
      'user',
      'local0',
      'local1',
      'local2',
      'local3',
      'local4',
      'local5',
      'local6',
      'local7',
    ]),
    'facility in syslog',
    IMMUTABLE,
  ),
  'always-show-logo': accepted(yesNo('no'), 'there is none', IMMUTABLE),
  'crash-log-enabled': accepted(yesNo('yes'), 'report on crashes'),
  'crash-memcheck-enabled': accepted(yesNo('yes'), 'test memory on crashes'),
  'set-proc-title': obeyed(yesNo('yes'), 'set the process title', IMMUTABLE),
  'proc-title-template': obeyed(
    string('{title} {listen-addr} {server-mode}', checkTitle),
    'its template',
  ),
} as const;

const encodings = {
  'hash-max-listpack-entries': obeyed(integer(512, 0, LONG_MAX), 'fields of a compact hash', {
    alias: 'hash-max-ziplist-entries',
  }),
  'hash-max-listpack-value': obeyed(memory('64'), 'bytes of a value in it', {
    alias: 'hash-max-ziplist-value',
  }),
  'list-max-listpack-size': obeyed(
    integer(-2, -2147483648),
    'entries, or size class, of a list node',
    {
      alias: 'list-max-ziplist-size',
    },
  ),
  'list-compress-depth': accepted(integer(0), 'nodes of lists are never compressed'),
  'set-max-intset-entries': obeyed(integer(512, 0, LONG_MAX), 'members of a set of integers'),
  'set-max-listpack-entries': obeyed(integer(128, 0, LONG_MAX), 'members of a compact set'),
  'set-max-listpack-value': obeyed(integer(64, 0, LONG_MAX), 'bytes of a member in it'),
  'zset-max-listpack-entries': obeyed(
    integer(128, 0, LONG_MAX),
    'members of a compact sorted set',
    {
      alias: 'zset-max-ziplist-entries',
    },
  ),
  'zset-max-listpack-value': obeyed(memory('64'), 'bytes of a member in it', {
    alias: 'zset-max-ziplist-value',
  }),
  'hll-sparse-max-bytes': obeyed(memory('3000'), 'bytes of a sparse HyperLogLog'),
  'stream-node-max-bytes': obeyed(memory('4096'), 'bytes of a stream node'),
  'stream-node-max-entries': obeyed(integer(100, 0, LONG_MAX), 'entries of a stream node'),
  'locale-collate': accepted(string(''), 'order of SORT ALPHA'),
} as const;

const memoryAndCpu = {
  'maxmemory-samples': accepted(integer(5, 1), 'keys looked at per eviction'),
  'maxmemory-eviction-tenacity': accepted(integer(10, 0, 100), 'effort of eviction'),
  'active-expire-effort': obeyed(integer(1, 1, 10), 'effort of active expiry'),
  'lfu-log-factor': accepted(integer(10), 'growth of LFU counters'),
  'lfu-decay-time': accepted(integer(1), 'minutes of LFU decay'),
  'lazyfree-lazy-eviction': accepted(yesNo('no'), 'freeing is always sliced'),
  'lazyfree-lazy-expire': obeyed(
    yesNo('no'),
    'the stream says UNLINK of what has expired, not DEL',
  ),
  'lazyfree-lazy-server-del': obeyed(
    yesNo('no'),
    'the stream says UNLINK of what a command removes',
  ),
  'lazyfree-lazy-user-del': accepted(yesNo('no'), 'freeing is always sliced'),
  'lazyfree-lazy-user-flush': accepted(yesNo('no'), 'freeing is always sliced'),
  activerehashing: accepted(yesNo('yes'), 'rehash while idle'),
  'dynamic-hz': accepted(yesNo('yes'), 'more background turns with more clients'),
  'io-threads': accepted(integer(1, 1, 128), 'threads of input and output', IMMUTABLE),
  'io-threads-do-reads': accepted(yesNo('no'), 'read in them', IMMUTABLE),
  'jemalloc-bg-thread': accepted(yesNo('yes'), 'there is no jemalloc'),
  activedefrag: refused(yesNo('no'), ['no'], 'move objects to defragment'),
  'active-defrag-ignore-bytes': accepted(memory('100mb', 1), 'defragmentation'),
  'active-defrag-threshold-lower': accepted(integer(10, 0, 1000), 'defragmentation'),
  'active-defrag-threshold-upper': accepted(integer(100, 0, 1000), 'defragmentation'),
  'active-defrag-cycle-min': accepted(integer(1, 1, 99), 'defragmentation'),
  'active-defrag-cycle-max': accepted(integer(25, 1, 99), 'defragmentation'),
  'active-defrag-max-scan-fields': accepted(integer(1000, 1, LONG_MAX), 'defragmentation'),
  'disable-thp': accepted(yesNo('yes'), 'no transparent huge pages', IMMUTABLE),
  'oom-score-adj': accepted(
    oneOf('no', ['no', 'yes', 'relative', 'absolute']),
    'rank for the OOM killer',
  ),
  'oom-score-adj-values': accepted(oomScores([0, 200, 800]), 'ranks of primary, replica, child'),
  server_cpulist: accepted(optional(), 'CPU affinity', IMMUTABLE),
  bio_cpulist: accepted(optional(), 'CPU affinity', IMMUTABLE),
  aof_rewrite_cpulist: accepted(optional(), 'CPU affinity', IMMUTABLE),
  bgsave_cpulist: accepted(optional(), 'CPU affinity', IMMUTABLE),
  'busy-reply-threshold': accepted(integer(5000, 0, LONG_MAX), 'milliseconds of a slow script', {
    alias: 'lua-time-limit',
  }),
  'ignore-warnings': accepted(string(''), 'warnings at start to pass over'),
  'rdb-key-save-delay': accepted(integer(0, -2147483648), 'microseconds per key, for tests', {
    hidden: true,
  }),
  'key-load-delay': accepted(integer(0, -2147483648), 'microseconds per key, for tests', {
    hidden: true,
  }),
  'loading-process-events-interval-bytes': accepted(
    integer(2097152, 1024),
    'loading never blocks',
    {
      hidden: true,
    },
  ),
  'watchdog-period': accepted(integer(0), 'milliseconds', { hidden: true }),
  'use-exit-on-panic': accepted(yesNo('no'), 'how a panic ends', { hidden: true }),
} as const;

const appendOnly = {
  appendonly: obeyed(yesNo('no'), 'write the stream to disk', { denyLoading: true }),
  appendfilename: obeyed(fileName('appendfilename', 'appendonly.aof'), 'its name', IMMUTABLE),
  appenddirname: obeyed(
    fileName('appenddirname', 'appendonlydir', 'dirname'),
    'its folder',
    IMMUTABLE,
  ),
  appendfsync: obeyed(
    oneOf('everysec', ['everysec', 'always', 'no']),
    'when the append only file is synced: always, everysec, no',
  ),
  'no-appendfsync-on-rewrite': obeyed(yesNo('no'), 'no sync while a base is written'),
  'auto-aof-rewrite-percentage': obeyed(integer(100), 'growth that brings a rewrite'),
  'auto-aof-rewrite-min-size': obeyed(memory('64mb'), 'the least size for that'),
  'aof-load-truncated': obeyed(yesNo('yes'), 'start with a file whose end is lost'),
  'aof-use-rdb-preamble': obeyed(yesNo('yes'), 'bases are dumps; else commands'),
  'aof-timestamp-enabled': obeyed(yesNo('no'), 'lines with the time between commands'),
  'aof-rewrite-incremental-fsync': accepted(yesNo('yes'), 'append only file'),
  'aof-disable-auto-gc': obeyed(yesNo('no'), 'keep the files that a rewrite replaces'),
} as const;

const tls = {
  'tls-port': refused(integer(0, 0, MAX_PORT), ['0'], 'TLS port; 0 = none'),
  'tls-replication': refused(yesNo('no'), ['no'], 'TLS to the primary'),
  'tls-cluster': accepted(yesNo('no'), 'TLS of the cluster bus'),
  'tls-auth-clients': accepted(oneOf('yes', ['no', 'yes', 'optional']), 'ask for certificates'),
  'tls-cert-file': accepted(optional(), 'certificate'),
  'tls-key-file': accepted(optional(), 'key'),
  'tls-key-file-pass': accepted(optional(), "the key's password", { sensitive: true }),
  'tls-client-cert-file': accepted(optional(), 'certificate as a replica'),
  'tls-client-key-file': accepted(optional(), 'key as a replica'),
  'tls-client-key-file-pass': accepted(optional(), "that key's password", { sensitive: true }),
  'tls-ca-cert-file': accepted(optional(), 'trusted certificates'),
  'tls-ca-cert-dir': accepted(optional(), 'folder of them'),
  'tls-dh-params-file': accepted(optional(), 'Diffie-Hellman parameters'),
  'tls-protocols': accepted(optional(), 'versions of TLS'),
  'tls-ciphers': accepted(optional(), 'ciphers up to TLS 1.2'),
  'tls-ciphersuites': accepted(optional(), 'ciphers of TLS 1.3'),
  'tls-prefer-server-ciphers': accepted(yesNo('no'), 'our order of ciphers'),
  'tls-session-caching': accepted(yesNo('yes'), 'resume sessions'),
  'tls-session-cache-size': accepted(integer(20480), 'sessions kept'),
  'tls-session-cache-timeout': accepted(integer(300), 'seconds that they are kept'),
} as const;

const cluster = {
  'cluster-enabled': refused(yesNo('no'), ['no'], 'cluster mode', IMMUTABLE),
  'cluster-config-file': accepted(string('nodes.conf'), 'cluster', IMMUTABLE),
  'cluster-port': accepted(integer(0, 0, MAX_PORT), 'cluster', IMMUTABLE),
  'cluster-node-timeout': accepted(integer(15000, 0, LONG_MAX), 'cluster'),
  'cluster-announce-ip': accepted(optional(), 'cluster'),
  'cluster-announce-port': accepted(integer(0, 0, MAX_PORT), 'cluster'),
  'cluster-announce-tls-port': accepted(integer(0, 0, MAX_PORT), 'cluster'),
  'cluster-announce-bus-port': accepted(integer(0, 0, MAX_PORT), 'cluster'),
  'cluster-announce-hostname': accepted(optional(checkHostname), 'cluster'),
  'cluster-announce-human-nodename': accepted(optional(), 'cluster'),
  'cluster-preferred-endpoint-type': accepted(
    oneOf('ip', ['ip', 'hostname', 'unknown-endpoint']),
    'cluster',
  ),
  'cluster-replica-validity-factor': accepted(integer(10), 'cluster', {
    alias: 'cluster-slave-validity-factor',
  }),
  'cluster-replica-no-failover': accepted(yesNo('no'), 'cluster', {
    alias: 'cluster-slave-no-failover',
  }),
  'cluster-allow-replica-migration': accepted(yesNo('yes'), 'cluster'),
  'cluster-migration-barrier': accepted(integer(1), 'cluster'),
  'cluster-require-full-coverage': accepted(yesNo('yes'), 'cluster'),
  'cluster-allow-reads-when-down': accepted(yesNo('no'), 'cluster'),
  'cluster-allow-pubsubshard-when-down': accepted(yesNo('yes'), 'cluster'),
  'cluster-link-sendbuf-limit': accepted(memory('0', 0, ULONG_MAX), 'cluster'),
} as const;

const own = {
  'snapshot-cow-max': obeyed(
    memory('0'),
    'most shadow memory of a snapshot, else it ends; 0 = unlimited',
  ),
  'relay-serve-stale-psync': obeyed(
    yesNo('no'),
    'answer a PSYNC that the backlog covers although the link to the primary is down',
  ),
  'chain-reports': obeyed(
    yesNo('yes'),
    'tell the nodes of a chain, when they are headwaters, how far each hop lags',
  ),
  'repl-backlog-compression': obeyed(yesNo('yes'), 'compress the blocks of the backlog'),
  'repl-throttling': obeyed(yesNo('no'), 'slow writers while a replica is near its output limit'),
  'repl-throttling-max-delay': obeyed(
    integer(1000, 1, 60_000),
    'milliseconds that a write waits at most for that',
  ),
  'replica-dialect': obeyed(
    replicaDialects(),
    'version of dumps, and plain types, for replicas of an address',
  ),
  'snapshot-spool-memory': obeyed(memory('32mb'), 'dump bytes kept in memory for replicas'),
  'snapshot-keep': obeyed(integer(5), 'seconds that a dump stays open to late replicas; 0 = off'),
  'rdb-version': obeyed(
    oneNumberOf(10, [9, 10, 11, 12]),
    'version of dumps for those who announce none',
  ),
  'rdb-plain-types': obeyed(yesNo('no'), 'only types that Redis 5 and 6 read'),
  rehearsal: obeyed(
    yesNo('yes'),
    'run commands until a client comes, to have them compiled',
    IMMUTABLE,
  ),
  'log-format': obeyed(
    oneOf('auto', ['auto', 'json', 'redis']),
    'auto = Redis lines on a terminal, else JSON',
    IMMUTABLE,
  ),
} as const;

/** The groups in the order of help. */
export const groups = {
  Network: network,
  Replication: replication,
  Snapshot: snapshot,
  Server: server,
  Observability: observability,
  Encodings: encodings,
  'Memory and CPU': memoryAndCpu,
  'Append only file': appendOnly,
  TLS: tls,
  Cluster: cluster,
  "headwater's own": own,
} as const;

export const directives = {
  ...network,
  ...replication,
  ...snapshot,
  ...server,
  ...observability,
  ...encodings,
  ...memoryAndCpu,
  ...appendOnly,
  ...tls,
  ...cluster,
  ...own,
} as const;

export type DirectiveName = keyof typeof directives;

export const directiveNames = Object.keys(directives) as readonly DirectiveName[];

/** The row of a name, for code that treats all kinds alike. */
export const directiveOf = (name: DirectiveName): Directive<unknown> =>
  directives[name] as Directive<unknown>;

type Camel<S extends string> = S extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : S extends `${infer Head}_${infer Tail}`
    ? `${Head}${Capitalize<Camel<Tail>>}`
    : S;

/** `repl-backlog-size` is `replBacklogSize`, with the type of its kind. */
export type Values = {
  readonly [Name in DirectiveName as Camel<Name>]: (typeof directives)[Name] extends Directive<
    infer T
  >
    ? T
    : never;
};

/** The field of {@link Values} for a name. */
export function fieldOf(name: DirectiveName): keyof Values {
  return name.replace(/[-_]([a-z])/g, (_, letter: string) => letter.toUpperCase()) as keyof Values;
}

function checkHostname(text: string): string | null {
  if (text.length >= 256) return 'Hostnames must be less than 256 characters';
  if (/^[A-Za-z0-9.-]*$/.test(text)) return null;
  return 'Hostnames may only contain alphanumeric characters, hyphens or dots';
}

const TITLE_VARIABLES = /\{(title|listen-addr|server-mode|port|tls-port|unixsocket|config-file)\}/g;

function checkTitle(text: string): string | null {
  const bad = text === '' || /[{}]/.test(text.replace(TITLE_VARIABLES, ''));
  return bad ? 'template format is invalid or contains unknown variables' : null;
}
