import { describe, expect, test } from 'vitest';
import type { ChannelDoor } from '../../src/replication/channels.ts';
import {
  applyReplconf,
  hopsCapability,
  introducedId,
  introduction,
  NO_REPLY,
  parseVersion,
  REPLCONF_OK,
  readsCapability,
} from '../../src/replication/replconf.ts';
import { DumpFilter, PeerEvent, ReplicaState } from '../../src/replication/replica-state.ts';

/** A node that honours both kinds of second connections; 42 and 43 wait for their other half. */
const OPEN: ChannelDoor = {
  honoursRedis: true,
  honoursValkey: true,
  waitsForDump: (id) => id === 42,
  reserves: (id) => id === 43,
};
const SHUT: ChannelDoor = { ...OPEN, honoursRedis: false, honoursValkey: false };
const applyWords = (state: ReplicaState, args: readonly string[], nowMs = 0, door = OPEN) =>
  applyReplconf(state, args, nowMs, door);
const apply = (state: ReplicaState, line: string, door = OPEN): string =>
  applyWords(state, words(line), 1000, door).reply;
const words = (line: string): string[] => (line === '' ? [] : line.split(' '));
const fresh = (): ReplicaState => new ReplicaState('10.0.0.2');
const attached = (): ReplicaState => {
  const state = fresh();
  state.apply(PeerEvent.CONTINUE, 0);
  return state;
};

describe('the handshake of', () => {
  test.each([
    ['redis 7', ['listening-port 6380', 'ip-address 10.9.8.7', 'capa eof capa psync2']],
    [
      'redis 8',
      [
        'listening-port 6380',
        'rdb-no-compress 1 rdb-no-checksum 1',
        'capa eof capa psync2 capa rdb-channel-repl',
      ],
    ],
    [
      'valkey',
      ['listening-port 6380', 'capa eof capa psync2 capa skip-rdb-checksum', 'version 8.1.3'],
    ],
    ['keydb', ['listening-port 6380', 'capa eof capa psync2 capa activeExpire']],
    ['dragonfly', ['capa eof capa psync2', 'capa dragonfly']],
    ['redisshake', ['LISTENING-PORT 10007', 'CAPA EOF']],
    ['redis-cli --functions-rdb', ['capa eof', 'rdb-filter-only functions', 'rdb-only 1']],
  ])('%s gets +OK for each line', (_name, lines) => {
    const state = fresh();
    for (const line of lines) expect(apply(state, line)).toBe(REPLCONF_OK);
    expect(state.capaEof).toBe(true);
  });
});

test('a port is any integer, of which 32 bits are kept', () => {
  for (const [text, port] of [
    ['99999999', 99_999_999],
    ['-1', -1],
    ['99999999999', 1_215_752_191],
    ['9223372036854775807', -1],
  ] as const) {
    const state = fresh();
    expect(apply(state, `listening-port ${text}`)).toBe(REPLCONF_OK);
    expect(state.listeningPort).toBe(port);
  }
});

test('what was announced is kept', () => {
  const state = fresh();
  apply(
    state,
    'listening-port 6380 ip-address host-2.example capa EOF capa PSYNC2 version 9.0.1 rdb-only 1',
  );
  expect(state).toMatchObject({
    listeningPort: 6380,
    announcedAddress: 'host-2.example',
    capaEof: true,
    capaPsync2: true,
    version: 0x090001,
    rdbOnly: true,
  });
  apply(state, 'rdb-only 0 rdb-no-compress 1');
  expect(state).toMatchObject({ rdbOnly: false, wantsNoCompression: true, wantsNoChecksum: false });
});

// Compared with redis-server 7.0.15, but for the control characters in an address.
describe('replies', () => {
  const NOT_INTEGER = '-ERR value is not an integer or out of range\r\n';
  test.each([
    ['', REPLCONF_OK],
    ['capa', '-ERR syntax error\r\n'],
    ['capa eof capa', '-ERR syntax error\r\n'],
    ['ack', '-ERR syntax error\r\n'],
    ['uuid 1234', '-ERR Unrecognized REPLCONF option: uuid\r\n'],
    ['Set-Cluster-Node-Id 42', '-ERR Unrecognized REPLCONF option: Set-Cluster-Node-Id\r\n'],
    ['listening-port abc', NOT_INTEGER],
    ['listening-port 9223372036854775808', NOT_INTEGER],
    ['rdb-only x', NOT_INTEGER],
    ['rdb-only 2', '-ERR value is out of range, value must between 0 and 1\r\n'],
    ['version 8.1', '-ERR Unrecognized version format: 8.1\r\n'],
    ['rdb-filter-only data', '-ERR Unsupported rdb-filter-only option: data\r\n'],
    ['rdb-filter-only "functions', '-ERR Missing rdb-filter-only values\r\n'],
    ['getack *', NO_REPLY],
    ['ack 100', NO_REPLY],
    [
      `ip-address ${'x'.repeat(256)}`,
      '-ERR REPLCONF ip-address provided by replica instance is too long: 256 bytes\r\n',
    ],
    [
      'ip-address a\r\nslave9:ip=1',
      '-ERR REPLCONF ip-address provided by replica instance has invalid characters\r\n',
    ],
  ])('%j', (line, reply) => {
    expect(apply(fresh(), line)).toBe(reply);
  });

  test('an option of the client stays within one line and within bounds', () => {
    expect(applyWords(fresh(), [`a\r\nb${'c'.repeat(5000)}`, '1']).reply).toBe(
      `-ERR Unrecognized REPLCONF option: a  b${'c'.repeat(124)}\r\n`,
    );
  });

  test('a headwater tells which dumps it reads', () => {
    const state = fresh();
    const line = `capa eof capa psync2 capa ${readsCapability(12, 80)} capa headwater-reads-x-1`;
    expect(apply(state, line)).toBe(REPLCONF_OK);
    expect([state.capaEof, state.readsRedis, state.readsValkey]).toEqual([true, 12, 80]);
  });

  test('a headwater tells its run id, and is told that of this node', () => {
    const state = fresh();
    const id = '0a'.repeat(20);
    const words = `capa eof capa ${hopsCapability(id)} capa headwater-hops-x`.split(' ');
    expect(applyReplconf(state, words, 0, OPEN)).toMatchObject({
      reply: REPLCONF_OK,
      introduced: true,
    });
    expect(state.nodeId).toBe(id);
    expect(applyReplconf(state, ['capa', 'eof'], 0, OPEN).introduced).toBe(false);
    expect(introducedId(`+${introduction(id)}`)).toBe(id);
    for (const other of ['+OK', `+OK ${id}`, `+OK headwater-hops ${id} `, `-${introduction(id)}`])
      expect(introducedId(other)).toBe('');
  });

  test('options before the faulty one keep their effect', () => {
    const state = fresh();
    apply(state, 'capa eof nonsense 1');
    expect(state.capaEof).toBe(true);
  });
});

describe('second connections', () => {
  test.each([
    ['rdb-channel-repl', OPEN, true, false],
    ['RDB-CHANNEL-REPL', SHUT, false, false],
    ['dual-channel', OPEN, false, true],
    ['dual-channel', SHUT, false, false],
  ])('capa %s counts only while it is honoured (%#)', (name, door, redis, valkey) => {
    const state = fresh();
    expect(apply(state, `capa ${name}`, door)).toBe(REPLCONF_OK);
    expect([state.capaRdbChannel, state.capaDualChannel]).toEqual([redis, valkey]);
  });

  test('what a second connection of Redis 8 sends', () => {
    const state = fresh();
    const line = 'capa eof rdb-only 1 rdb-channel 1 main-ch-client-id 42 listening-port 6380';
    expect(apply(state, line, SHUT)).toBe(REPLCONF_OK);
    expect(state).toMatchObject({ rdbOnly: true, isDumpChannel: true, mainId: 42 });
    expect(apply(state, 'rdb-channel 0')).toBe(REPLCONF_OK);
    expect(state.isDumpChannel).toBe(false);
  });

  test('what the main connection of Valkey sends', () => {
    const state = fresh();
    expect(apply(state, 'set-rdb-client-id 43', SHUT)).toBe(REPLCONF_OK);
    expect(state.dumpId).toBe(43);
  });

  // As in replication.c of Redis 8.0 (with a colon) and Valkey 8.0 (without).
  test.each([
    ['main-ch-client-id 41', '-ERR Unrecognized RDB client id: 41\r\n'],
    ['main-ch-client-id -1', '-ERR Unrecognized RDB client id: -1\r\n'],
    ['main-ch-client-id x', '-ERR value is not an integer or out of range\r\n'],
    ['set-rdb-client-id 42', '-ERR Unrecognized RDB client id 42\r\n'],
    ['set-rdb-client-id 1.5', '-ERR value is not an integer or out of range\r\n'],
    ['rdb-channel 2', '-ERR value is out of range, value must between 0 and 1\r\n'],
    ['rdb-channel yes', '-ERR value is not an integer or out of range\r\n'],
    ['rdb-channel', '-ERR syntax error\r\n'],
  ])('%s', (line, reply) => {
    const state = fresh();
    expect(apply(state, line)).toBe(reply);
    expect([state.mainId, state.dumpId, state.isDumpChannel]).toEqual([0, 0, false]);
  });
});

describe('rdb-filter-only', () => {
  test.each([
    ['functions', DumpFilter.NO_DATA],
    ['"FUNCTIONS"', DumpFilter.NO_DATA],
    ['functions functions', DumpFilter.NO_DATA],
    ['', DumpFilter.NO_DATA | DumpFilter.NO_FUNCTIONS],
  ])('%j', (list, filter) => {
    const state = fresh();
    expect(applyWords(state, ['rdb-filter-only', list]).reply).toBe(REPLCONF_OK);
    expect(state.filter).toBe(filter);
  });
});

describe('ACK', () => {
  test.each([
    ['ack 100', 100, 0, true],
    ['ACK 100 FACK 90', 100, 90, true],
    ['ack 100 fack x', 100, 0, true],
    ['ack x', 0, 0, false],
    ['ack 9223372036854775808', 0, 0, false],
    ['capa eof ack 7', 7, 0, true],
  ])('%s', (line, ack, fsynced, acked) => {
    const state = attached();
    const outcome = applyWords(state, words(line), 5000);
    expect(outcome).toMatchObject({ reply: NO_REPLY, acked, uncorked: false });
    expect([state.ackOffset, state.fsyncedOffset]).toEqual([ack, fsynced]);
  });

  test('of a client that is no replica means nothing', () => {
    const state = fresh();
    expect(applyWords(state, ['ack', '100'])).toMatchObject({
      reply: NO_REPLY,
      acked: false,
    });
    expect(state.ackOffset).toBe(0);
  });

  test('the first one after an $EOF: payload uncorks the stream', () => {
    const state = fresh();
    state.capaEof = true;
    state.apply(PeerEvent.FULL, 0);
    state.apply(PeerEvent.STREAM_DUMP, 0);
    expect(applyWords(state, ['ack', '0']).uncorked).toBe(false);
    state.dumpSent(0);
    expect([0, 0].map(() => applyWords(state, ['ack', '0']).uncorked)).toEqual([true, false]);
  });
});

test.each([
  ['8.1.3', 0x080103],
  ['255.255.255', 0xffffff],
  ['256.0.0', -1],
  ['8.1', -1],
  ['8.1.3.4', -1],
  ['a.b.c', -1],
  ['', -1],
])('version %j is %i', (text, version) => {
  expect(parseVersion(text)).toBe(version);
});
