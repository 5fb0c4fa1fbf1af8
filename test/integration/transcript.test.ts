/**
 * The recorded full sync of 2020 (test/fixtures/replication) in both roles: the bytes of its primary
 * go to a replica here, and the bytes of its replica go to a primary here. A redis-server 7.0.15
 * plays the same roles beside headwater. Bytes and log lines are compared. Each difference is named.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, expect } from 'vitest';
import { loadBytes, loadOptions, modelOf } from '../rdb/keyspaces.ts';
import { FakeReplica } from '../support/fake-replica.ts';
import { logRecords } from '../support/headwater.ts';
import { RecordedId, recordedDump, recordedSteps } from '../support/recorded-sync.ts';
import type { TestServer } from '../support/server-process.ts';
import { type Servers, test } from '../support/servers.ts';
import { waitFor } from '../support/wait-for.ts';

type Maker = 'headwater' | 'redis-server';

function start(servers: Servers, maker: Maker, ...args: string[]): Promise<TestServer> {
  return maker === 'headwater' ? servers.headwater({ args }) : servers.redis({ args });
}

/** The messages of the log, without time and level. */
function messagesOf(maker: Maker, server: TestServer): string[] {
  if (maker === 'headwater') return logRecords(server).map((record) => String(record['msg']));
  return server.lines.flatMap((line) => {
    const match = /^\d+:[MSC] .{20,28} [.\-*#] (.*)$/.exec(line);
    return match === null ? [] : [match[1]!];
  });
}

/** Log lines from the one that begins with `first` on, with ids and addresses replaced. */
function logFrom(
  messages: readonly string[],
  first: string,
  replaced: Readonly<Record<string, string>>,
): string[] {
  const from = messages.findIndex((line) => line.startsWith(first));
  expect(from, messages.join('\n')).toBeGreaterThanOrEqual(0);
  return messages.slice(from).map((line) => {
    let text = line;
    for (const [own, name] of Object.entries(replaced)) text = text.replaceAll(own, name);
    return text
      .replace(/user request from '[^']*'/, 'user request from CLIENT')
      .replace(/^RDB age \d+ seconds/, 'RDB age N seconds')
      .replace(/my replication IDs are '[0-9a-f]{40}'/, "my replication IDs are 'OLD ID'");
  });
}

const steps = recordedSteps();
const said = (by: 'replica' | 'primary'): Buffer[] =>
  steps.filter((step) => step.by === by).map((step) => step.bytes);
const STOCK_CAPABILITIES =
  '*5\r\n$8\r\nREPLCONF\r\n$4\r\ncapa\r\n$3\r\neof\r\n$4\r\ncapa\r\n$6\r\npsync2\r\n';
const OWN_CAPABILITIES = new RegExp(
  `${STOCK_CAPABILITIES.replaceAll('$', '\\$').replace('*5', '\\*9')}` +
    '\\$4\r\ncapa\r\n\\$21\r\nheadwater-reads-15-81\r\n' +
    '\\$4\r\ncapa\r\n\\$55\r\nheadwater-hops-[0-9a-f]{40}\r\n',
);
const ACK = /^\*3\r\n\$8\r\nREPLCONF\r\n\$3\r\nACK\r\n/;

test('the record is that of a whole full sync', () => {
  expect(steps.map(({ by, bytes }) => `${by} ${bytes.length}`)).toEqual([
    ...['replica 14', 'primary 7', 'replica 49', 'primary 5', 'replica 59', 'primary 5'],
    ...['replica 69', 'primary 56', 'primary 6', 'primary 276'],
    ...['replica 34', 'replica 34', 'replica 34', 'primary 14', 'replica 35'],
  ]);
  expect(recordedDump.subarray(0, 9).toString()).toBe('REDIS0009');
});

/** A former primary, so that it has a history of its own to ask for. */
async function formerPrimary(
  servers: Servers,
  maker: Maker,
): Promise<{ server: TestServer; replid: string }> {
  const server = await start(
    servers,
    maker,
    ...['--replica-announce-port', '6379', '--repl-diskless-load', 'swapdb'],
  );
  const replica = await FakeReplica.attach(server.port);
  await replica.waitForDump();
  const { replid } = replica;
  await replica.close();
  // redis-server writes about the child process of that full sync whenever it ends.
  if (maker === 'redis-server') await server.waitForLine('Background RDB transfer terminated');
  return { server, replid };
}

interface Played {
  /** All that the replica has sent, signs of life left out. */
  readonly requests: Buffer;
  readonly log: string[];
}

/** Plays the recorded primary to a replica, which is told to follow it. */
async function playPrimary(servers: Servers, maker: Maker): Promise<Played> {
  const { server, replid } = await formerPrimary(servers, maker);
  let received = Buffer.alloc(0);
  let socket: Socket | undefined;
  const primary = createServer({ noDelay: true }, (accepted) => {
    socket = accepted;
    accepted.on('error', () => {});
    accepted.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes]);
    });
  });
  primary.listen(0, '127.0.0.1');
  await once(primary, 'listening');
  const { port } = primary.address() as AddressInfo;
  servers.atEnd(() => {
    socket?.destroy();
    primary.close();
  });
  const client = await server.client();
  expect(await client.call('REPLICAOF', '127.0.0.1', port)).toBe('OK');
  // Each answer goes out once the request before it is there. The first request of all, and ACKs of
  // which there are as many as seconds, are looked for by their number.
  const whole = (): string =>
    received
      .toString('latin1')
      .replace(/^\n+|(?<=\n)\n/g, '')
      // A headwater also tells which dumps it reads, and its run id: primaries ignore capabilities
      // that they do not know.
      .replace(OWN_CAPABILITIES, STOCK_CAPABILITIES);
  const count = (text: string): number => whole().split(text).length - 1;
  for (const [i, { by, bytes }] of steps.entries()) {
    if (by === 'primary') {
      socket!.write(bytes);
      continue;
    }
    const text = bytes.toString('latin1').replace(RecordedId.REPLICA, replid);
    const isAck = ACK.test(text);
    const before = steps.slice(0, i).filter((step) => step.bytes.equals(bytes)).length;
    const wanted = isAck ? before + 1 : 1;
    await waitFor(() => count(isAck ? text : pattern(text)) >= wanted, {
      what: `${maker} to send ${JSON.stringify(text)}`,
    });
  }
  const keys = (await client.call('KEYS', '*')) as string[];
  expect(keys.sort()).toEqual(
    [...modelOf(loadBytes(recordedDump, loadOptions()).keyspace)[0]!.keys()].sort(),
  );
  const info = await client.info('replication');
  expect(info.get('master_link_status')).toBe('up');
  expect(info.get('slave_repl_offset')).toBe('14');
  expect(info.get('master_replid')).toBe(RecordedId.PRIMARY);
  await client.close();
  await server.waitForLine('Finished with success');
  const log = logFrom(messagesOf(maker, server), 'Before turning into a replica', {
    [`127.0.0.1:${port}`]: 'PRIMARY',
    [replid]: 'OWN ID',
  });
  return { requests: Buffer.from(whole().replace(replid, RecordedId.REPLICA), 'latin1'), log };

  /** PSYNC has the offset of the history here; everything else is looked for as it is. */
  function pattern(text: string): string {
    return text.includes('PSYNC') ? text.slice(0, text.indexOf(replid) + replid.length) : text;
  }
}

describe.concurrent('as the replica of the recorded primary', () => {
  test('headwater sends what the recorded replica sent', async ({ servers }) => {
    const { requests } = await playPrimary(servers, 'headwater');
    const recorded = Buffer.concat(said('replica')).toString('latin1');
    const acks = (text: string): string[] =>
      text.split('*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n').slice(1);
    const [shake] = requests.toString('latin1').split('*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n');
    // The handshake is the same, byte for byte. The recorded replica waited for each answer before
    // it sent the next request; a replica of today, redis-server included, does not.
    expect(shake).toBe(recorded.slice(0, recorded.indexOf('*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK')));
    // ACKs: one after the dump and then one each second, of 0 until PING came and then of 14. The
    // recorded replica sent the second one right behind the first: its clock struck.
    const sent = acks(requests.toString('latin1'));
    expect(new Set(sent)).toEqual(new Set(acks(recorded)));
    expect(sent).toEqual([...sent].sort((a, b) => a.length - b.length));
  });

  test('headwater sends what a redis-server sends, and logs what it logs', async ({ servers }) => {
    const [ours, theirs] = await Promise.all([
      playPrimary(servers, 'headwater'),
      playPrimary(servers, 'redis-server'),
    ]);
    const withoutAcks = ({ requests }: Played): string => {
      const text = requests.toString('latin1');
      return text.slice(0, text.indexOf('*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK'));
    };
    expect(withoutAcks(ours)).toBe(withoutAcks(theirs));
    expect(ours.log).toEqual(theirs.log);
  });
});

interface Answered {
  /** What the primary has answered, by step, with its ids and lengths replaced. */
  readonly answers: string[];
  readonly dump: Buffer;
  readonly log: string[];
}

/** Plays the recorded replica to a primary that has the recorded keys. */
async function playReplica(servers: Servers, maker: Maker): Promise<Answered> {
  const server = await start(
    servers,
    maker,
    ...['--repl-diskless-sync', 'no', '--repl-ping-replica-period', '1'],
    ...(maker === 'headwater' ? ['--rdb-version', '9'] : []),
  );
  const client = await server.client();
  const model = modelOf(loadBytes(recordedDump, loadOptions()).keyspace)[0]!;
  for (const [key, { value }] of model) await client.call('SET', key, value);
  const socket = connect({ port: server.port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  let received = Buffer.alloc(0);
  socket.on('data', (bytes: Buffer) => {
    received = Buffer.concat([received, bytes]);
  });
  socket.on('error', () => {});
  servers.atEnd(() => socket.destroy());
  const answers: string[] = [];
  let at = 0;
  const takeLine = async (): Promise<string> => {
    // Empty lines are signs of life.
    const end = await waitFor(() => {
      while (received[at] === 10) at++;
      const found = received.indexOf('\r\n', at);
      return found < 0 ? undefined : found;
    });
    const line = received.toString('latin1', at, end);
    at = end + 2;
    return line;
  };
  const take = async (bytes: number): Promise<Buffer> => {
    await waitFor(() => received.length >= at + bytes);
    at += bytes;
    return received.subarray(at - bytes, at);
  };
  let dump = Buffer.alloc(0);
  for (const { by, bytes } of steps) {
    if (by === 'replica') socket.write(bytes);
    else if (bytes === recordedDump) {
      dump = Buffer.from(await take(Number(answers.at(-1)!.slice(1))));
    } else if (bytes.length === 14) answers.push((await take(14)).toString('latin1'));
    else answers.push(await takeLine());
  }
  const offset = await waitFor(async () => {
    const info = await client.info('replication');
    return /^ip=127.0.0.1,port=6379,state=online,offset=14,/.test(info.get('slave0') ?? '')
      ? info.get('master_repl_offset')
      : undefined;
  });
  expect(Number(offset)).toBeGreaterThanOrEqual(14);
  const info = await client.info('replication');
  const replid = info.get('master_replid')!;
  await client.close();
  await server.waitForLine('Synchronization with replica 127.0.0.1:6379 succeeded');
  const log = logFrom(messagesOf(maker, server), 'Replica 127.0.0.1', { [replid]: 'NEW ID' });
  return { answers: answers.map((line) => line.replace(replid, RecordedId.PRIMARY)), dump, log };
}

describe.concurrent('as the primary of the recorded replica', () => {
  test('headwater answers what the recorded primary answered', async ({ servers }) => {
    const { answers, dump } = await playReplica(servers, 'headwater');
    const recorded = said('primary').filter((bytes) => bytes !== recordedDump);
    const lines = recorded.map((bytes) => bytes.toString('latin1').replace(/^([^*].*)\r\n$/, '$1'));
    const [length] = lines.splice(4, 1);
    expect(length).toBe('$276');
    // The length is that of our dump: its fields about itself have other values.
    expect(answers.splice(4, 1)).toEqual([`$${dump.length}`]);
    expect(answers).toEqual(lines);
    const [ours, theirs] = [dump, recordedDump].map((bytes) => loadBytes(bytes, loadOptions()));
    expect(modelOf(ours!.keyspace)).toEqual(modelOf(theirs!.keyspace));
    expect(ours!.result.version).toBe(9);
    expect(ours!.result.aux.replication).toEqual({
      ...theirs!.result.aux.replication,
      replid: expect.stringMatching(/^[0-9a-f]{40}$/),
    });
  });

  test('headwater answers what a redis-server answers, and logs what it logs', async ({
    servers,
  }) => {
    const [ours, theirs] = await Promise.all([
      playReplica(servers, 'headwater'),
      playReplica(servers, 'redis-server'),
    ]);
    const known = (answers: readonly string[]): string[] =>
      // The lengths of the dumps differ. 7.0 says "ping", as no version before and after it.
      answers.filter((line) => !/^\$\d+$/.test(line)).map((line) => line.replace('ping', 'PING'));
    expect(known(ours.answers)).toEqual(known(theirs.answers));
    expect(ours.log).toEqual(theirs.log.filter((line) => !CHILD_PROCESS.test(line)));
  });

  /** Here a thread makes the dump. */
  const CHILD_PROCESS = /^(Background saving |DB saved on disk|Fork CoW for RDB)/;
});
