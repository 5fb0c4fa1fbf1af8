/**
 * A replica's link is not a client. Each command is sent on a link of the real server and on one of
 * ours, behind the first ACK and right behind PSYNC, and what it has changed is looked for
 * everywhere: in the dataset, the configuration, the role, the directory, the other replica's
 * stream.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FakeReplica } from '../../support/fake-replica.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import { startRedis } from '../../support/real-redis.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { waitFor } from '../../support/wait-for.ts';

type Words = readonly string[];

interface Case {
  readonly commands: readonly Words[];
  /** What it changes on a real server. */
  readonly redis: readonly (keyof State)[];
  /** The link goes on: of the real server, and of ours. */
  readonly redisStays?: true;
  readonly stays?: true;
  /** Unknown to this server. */
  readonly unknown?: true;
  /** The real server is not to be used for another case afterwards. */
  readonly ruins?: true;
}

/** What can be seen of a server. */
interface State {
  readonly alive: boolean;
  readonly data: string;
  readonly timeout: string;
  readonly role: string;
  readonly saved: boolean;
  readonly client: boolean;
  readonly stream: string;
}

const cases: readonly Case[] = [
  { commands: [['SET', 'y', '1']], redis: [] },
  { commands: [['GET', 'x']], redis: [] },
  { commands: [['DEL', 'x']], redis: [] },
  { commands: [['FLUSHALL']], redis: [] },
  { commands: [['SWAPDB', '0', '1']], redis: [] },
  { commands: [['BLPOP', 'q', '0']], redis: [] },
  { commands: [['PUBLISH', 'channel', 'message']], redis: [] },
  { commands: [['EVAL', 'return redis.call("set", "y", "1")', '0']], redis: [], unknown: true },
  { commands: [['SCRIPT', 'FLUSH']], redis: [], unknown: true },
  { commands: [['FUNCTION', 'FLUSH']], redis: [], unknown: true },
  { commands: [['NOSUCH']], redis: [], unknown: true },
  {
    commands: [['MULTI'], ['SET', 'y', '1'], ['CONFIG', 'SET', 'timeout', '99'], ['EXEC']],
    redis: [],
  },
  { commands: [['WATCH', 'x']], redis: [] },
  { commands: [['CONFIG', 'SET', 'timeout', '99']], redis: ['timeout'] },
  { commands: [['DEBUG', 'SLEEP', '0']], redis: [] },
  { commands: [['DEBUG', 'SET-ACTIVE-EXPIRE', '0']], redis: [] },
  { commands: [['SUBSCRIBE', 'channel']], redis: [] },
  { commands: [['CLIENT', 'KILL', 'TYPE', 'normal']], redis: ['client'], ruins: true },
  { commands: [['CLIENT', 'PAUSE', '1']], redis: [] },
  { commands: [['CLIENT', 'REPLY', 'OFF']], redis: [], redisStays: true },
  { commands: [['MONITOR']], redis: [], redisStays: true },
  { commands: [['SAVE']], redis: ['saved'], ruins: true },
  { commands: [['BGSAVE']], redis: ['saved'], ruins: true },
  { commands: [['AUTH', 'password']], redis: [] },
  { commands: [['HELLO', '3']], redis: [] },
  { commands: [['SELECT', '3']], redis: [] },
  { commands: [['RESET']], redis: [] },
  { commands: [['QUIT']], redis: [] },
  { commands: [['INFO']], redis: [] },
  { commands: [['WAIT', '0', '0']], redis: [] },
  { commands: [['SLOWLOG', 'RESET']], redis: [] },
  { commands: [['PING']], redis: [] },
  { commands: [['REPLCONF', 'listening-port', '77']], redis: [] },
  { commands: [['REPLCONF', 'nothing', '1']], redis: [] },
  { commands: [['REPLCONF', 'ACK', '0']], redis: [], redisStays: true, stays: true },
  { commands: [['REPLCONF', 'GETACK', '*']], redis: [], redisStays: true, stays: true },
  { commands: [['PSYNC', '?', '-1']], redis: [], redisStays: true, stays: true },
  { commands: [['SYNC']], redis: [], redisStays: true, stays: true },
  { commands: [['REPLICAOF', 'NO', 'ONE']], redis: [] },
  { commands: [['REPLICAOF', '127.0.0.1', '1']], redis: [] },
  { commands: [['FAILOVER']], redis: ['role'], ruins: true },
  { commands: [['SHUTDOWN', 'NOSAVE']], redis: ['alive', 'client'], ruins: true },
];

/** Commands of the test itself. */
const OURS = new Set(['CONFIG', 'DEBUG', 'INFO', 'PING', 'SET']);

const nameOf = ({ commands }: Case): string => commands.map((words) => words.join(' ')).join(', ');

interface Subject {
  readonly port: number;
  readonly dir: string;
  readonly client: RespClient;
}

async function stateOf({ client, dir }: Subject, other: FakeReplica): Promise<State> {
  const replies = client.isClosed
    ? []
    : await client
        .pipeline([['DEBUG', 'DIGEST'], ['CONFIG', 'GET', 'timeout'], ['ROLE']])
        .catch(() => []);
  const [data, timeout, role] = replies;
  return {
    alive: !other.isClosed,
    data: String(data),
    timeout: String((timeout as string[] | undefined)?.[1]),
    role: String((role as string[] | undefined)?.[0]),
    saved: existsSync(join(dir, 'dump.rdb')),
    client: !client.isClosed,
    stream: JSON.stringify(
      other.commands.filter(([name]) => !/^(?:PING|SELECT|REPLCONF)$/i.test(name!)),
    ),
  };
}

/** Names of what differs. What cannot be asked any more is told by `client` and `alive`. */
function changes(before: State, after: State): (keyof State)[] {
  const names = Object.keys(before) as (keyof State)[];
  const changed = names.filter((name) => before[name] !== after[name]);
  return after.client ? changed : changed.filter((name) => name === 'client' || name === 'alive');
}

/**
 * Plays the replica that sends the commands; returns what they changed and whether its link goes
 * on.
 */
async function play(
  subject: Subject,
  { commands }: Case,
  behindPsync: boolean,
  isDone: (changed: (keyof State)[], link: FakeReplica) => boolean,
): Promise<{ changed: (keyof State)[]; stays: boolean }> {
  const other = await FakeReplica.attach(subject.port);
  await other.waitForDump();
  const before = await stateOf(subject, other);
  const link = await FakeReplica.attach(subject.port, behindPsync ? { behindPsync: commands } : {});
  if (!behindPsync) {
    await link.waitForDump();
    // While the child that made the dump is there, the real server refuses to save.
    const { client } = subject;
    await waitFor(
      async () => (await client.infoField('persistence', 'rdb_bgsave_in_progress')) === '0',
    );
    for (const words of commands) link.send(...words);
  }
  let changed: (keyof State)[] = [];
  await waitFor(
    async () => {
      changed = changes(before, await stateOf(subject, other));
      return isDone(changed, link);
    },
    { what: 'the commands to have their effect' },
  );
  const stays = !link.isClosed;
  await link.close();
  await other.close();
  return { changed, stays };
}

describe('the real server', () => {
  let subject: Subject | undefined;
  let stop: (() => Promise<void>) | undefined;
  const fresh = async (): Promise<Subject> => {
    const server = await startRedis();
    const client = await server.client();
    await client.call('SET', 'x', 'v');
    stop = async () => {
      await client.close();
      await server.stop();
    };
    return { port: server.port, dir: server.dir, client };
  };
  afterAll(() => stop?.());

  for (const place of ['behind an ACK', 'behind PSYNC']) {
    test.each(cases.map((each) => [nameOf(each), each] as const))(
      `takes on a link, ${place}: %s`,
      async (_, each) => {
        // SAVE and BGSAVE find the one that makes the dump right behind PSYNC.
        const behindPsync = place === 'behind PSYNC';
        if (behindPsync && each.redis.includes('saved')) return;
        subject ??= await fresh();
        const expected = [...each.redis].sort();
        const { changed, stays } = await play(subject, each, behindPsync, (now, link) => {
          const same = JSON.stringify([...now].sort()) === JSON.stringify(expected);
          return same && (each.redisStays === true ? link.isStreaming : link.isClosed);
        });
        expect(changed.sort()).toEqual(expected);
        expect(stays).toBe(each.redisStays === true);
        if (changed.length > 0) {
          await stop?.();
          subject = undefined;
        }
      },
    );
  }
});

describe('headwater', () => {
  let node: NodeInProcess;
  let subject: Subject;
  beforeAll(async () => {
    node = await startNode('enable-debug-command yes');
    const client = await node.client();
    await client.call('SET', 'x', 'v');
    subject = { port: node.port, dir: node.node.server.config.values.dir, client };
  });
  afterAll(async () => {
    await subject.client.close();
    await node.stop();
  });

  for (const place of ['behind an ACK', 'behind PSYNC']) {
    test.each(cases.map((each) => [nameOf(each), each] as const))(
      `refuses on a link, ${place}: %s`,
      async (_, each) => {
        const { dispatcher } = node.node;
        const rowOf = (name: string) => {
          const row = dispatcher.lookup.byName(name);
          return row?.subcommands.get(each.commands[0]![1]?.toLowerCase() ?? '') ?? row;
        };
        const callsOf = (): number[] =>
          each.commands.map(([name]) => (OURS.has(name!) ? 0 : (rowOf(name!)?.calls ?? 0)));
        const calls = callsOf();
        const { changed, stays } = await play(
          subject,
          each,
          place === 'behind PSYNC',
          (_now, link) => (each.stays === true ? link.isStreaming : link.isClosed),
        );
        expect(changed).toEqual([]);
        expect(stays).toBe(each.stays === true);
        if (each.commands[0]![0] === 'REPLCONF' || each.stays === true) return;
        // No handler of theirs has run.
        expect(callsOf()).toEqual(calls);
        const name =
          each.unknown === true ? '<unknown>' : (rowOf(each.commands[0]![0]!)?.fullName ?? '');
        expect(node.messages.findLast((line) => line.startsWith('Replica generated'))).toMatch(
          `Replica generated a reply to command '${name}', disconnecting it: id=`,
        );
      },
    );
  }

  test('ends a link that had its replies turned off before', async () => {
    const link = await FakeReplica.attach(node.port, { ack: 'never' });
    await link.waitForDump();
    const muted = await FakeReplica.attach(node.port, {
      behindPsync: [
        ['CLIENT', 'REPLY', 'OFF'],
        ['CONFIG', 'SET', 'timeout', '99'],
      ],
    });
    await muted.closed;
    expect(node.node.server.config.values.timeout).toBe(0);
    await link.close();
  });

  test('does not make a replica of a client that monitors', async () => {
    const client = await node.client();
    await client.call('MONITOR');
    await waitFor(() => node.node.primary.peers.size === 0, { what: 'the links to be gone' });
    client.socket.write('PSYNC ? -1\r\n');
    await subject.client.call('PING');
    expect(node.node.primary.peers.size).toBe(0);
    await client.close();
  });

  test('tells how many links ended so', async () => {
    expect(
      Number(await subject.client.infoField('headwater', 'headwater_links_ended')),
    ).toBeGreaterThan(60);
  });
});
