/**
 * A group of two headwaters and a real server under three processes of redis-sentinel. The primary
 * is killed; another takes over within ten seconds, the returned node follows, and no write is lost
 * that WAIT 1 has confirmed. TEST_SENTINEL_ROUNDS sets the number of kills.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { expectSameData } from '../support/digest.ts';
import { HEADWATER } from '../support/headwater.ts';
import { findRedisServer } from '../support/real-redis.ts';
import type { RespClient } from '../support/resp-client.ts';
import { GROUP, primaryPort, startSentinel, told } from '../support/sentinel.ts';
import {
  freePort,
  launch,
  type TestServer,
  temporaryDirectory,
} from '../support/server-process.ts';
import { test } from '../support/servers.ts';
import { mixedWrites, SteadyWriter } from '../support/steady-writer.ts';
import { waitFor } from '../support/wait-for.ts';

const ROUNDS = Number(process.env.TEST_SENTINEL_ROUNDS ?? 1);
const SENTINELS = 3;
const DOWN_AFTER_MS = 1000;
const FAILOVER_TIMEOUT_MS = 3000;
/** The bound of a failover, from the kill on. */
const TAKEN_OVER_MS = 60_000;
const SETTLED_MS = 90_000;

type Kind = 'headwater' | 'redis';

interface Member {
  readonly kind: Kind;
  readonly port: number;
  readonly file: string;
  readonly dir: string;
  server: TestServer;
}

/** Starts on the configuration file as it is: Sentinel has it rewritten. */
function run(kind: Kind, file: string, dir: string, port: number): Promise<TestServer> {
  const isOurs = kind === 'headwater';
  return launch({
    name: kind,
    command: isOurs ? process.execPath : findRedisServer(),
    args: () => (isOurs ? ['--no-addons', HEADWATER, file] : [file]),
    dir,
    port,
  });
}

async function field(server: TestServer, section: string, name: string): Promise<string> {
  const client = await server.client();
  const value = await client.infoField(section, name);
  await client.close();
  return value;
}

/** INFO replication, or undefined: Sentinel ends the clients of nodes whose role changes. */
async function replicationOf(member: Member): Promise<Map<string, string> | undefined> {
  try {
    const client = await member.server.client();
    const info = await client.info('replication');
    await client.close();
    return info;
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
    return undefined;
  }
}

const replicaofLine = ({ file }: Member): string | undefined =>
  /^(?:replicaof|slaveof) .*$/m.exec(readFileSync(file, 'utf8'))?.[0];

/** Three nodes and the sentinels that watch them. */
class Group {
  readonly members: Member[] = [];
  readonly #sentinels: TestServer[] = [];
  /** A client of the first sentinel. */
  sentinel!: RespClient;

  async start(): Promise<void> {
    const first = await this.#startMember('headwater');
    await this.#startMember('headwater', first.port);
    await this.#startMember('redis', first.port);
    for (let i = 0; i < SENTINELS; i++) {
      this.#sentinels.push(
        await startSentinel({
          primary: first.port,
          quorum: 2,
          downAfterMs: DOWN_AFTER_MS,
          failoverTimeoutMs: FAILOVER_TIMEOUT_MS,
        }),
      );
    }
    this.sentinel = await this.#sentinels[0]!.client();
    // They find each other by messages that the primary, a headwater, hands on.
    await waitFor(
      async () => {
        const [primary] = await told(this.sentinel, 'MASTER');
        return primary!.get('num-slaves') === '2' && primary!.get('num-other-sentinels') === '2';
      },
      { what: 'the sentinels to know the group', timeoutMs: 60_000 },
    );
  }

  async #startMember(kind: Kind, replicaOf?: number): Promise<Member> {
    const dir = temporaryDirectory('member');
    const file = join(dir, 'member.conf');
    const port = await freePort();
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${dir}`,
      'save ""',
      'enable-debug-command yes',
      'repl-backlog-size 32mb',
      'repl-diskless-sync-delay 0',
      ...(kind === 'headwater' ? ['rehearsal no'] : []),
      ...(replicaOf === undefined ? [] : [`replicaof 127.0.0.1 ${replicaOf}`]),
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
    const member = { kind, port, file, dir, server: await run(kind, file, dir, port) };
    this.members.push(member);
    return member;
  }

  /** The port of the node that the first sentinel takes for the primary. */
  primaryPort(): Promise<number> {
    return primaryPort(this.sentinel);
  }

  async primary(): Promise<Member> {
    return this.memberAt(await this.primaryPort());
  }

  memberAt(port: number): Member {
    return this.members.find((member) => member.port === port)!;
  }

  /** Waits until the first sentinel knows a primary that is not at `port`, and that is one. */
  async waitForOther(port: number): Promise<void> {
    await waitFor(
      async () => {
        const now = await this.primaryPort();
        return now !== port && (await replicationOf(this.memberAt(now)))?.get('role') === 'master';
      },
      { what: 'another primary', timeoutMs: TAKEN_OVER_MS },
    );
  }

  /**
   * Waits until all members that run follow the one that the sentinel calls the primary, and their
   * configurations say so. Sentinels that do not know of each other yet may replace it twice.
   */
  async settled(): Promise<Member> {
    let primary = await this.primary();
    let problem = '';
    await waitFor(
      async () => {
        primary = await this.primary();
        problem = '';
        for (const member of this.members) problem ||= await problemOf(member, primary);
        return problem === '';
      },
      { what: 'one primary that all follow', timeoutMs: SETTLED_MS },
    ).catch((error: Error) => {
      throw new Error(`${error.message}: ${problem}\n${this.#sentinels[0]!.output.slice(-2000)}`);
    });
    return primary;
  }

  /** Their messages are part of the stream, which ends then. */
  async killSentinels(): Promise<void> {
    await this.sentinel.close();
    for (const sentinel of this.#sentinels.splice(0)) await sentinel.kill();
  }

  async kill(): Promise<void> {
    for (const sentinel of this.#sentinels) await sentinel.kill();
    for (const member of this.members) await member.server.kill();
  }
}

/** What keeps a member from its place in the group; empty when nothing does. */
async function problemOf(member: Member, primary: Member): Promise<string> {
  if (member.server.hasExited) return '';
  const name = `${member.kind} ${member.port}`;
  const info = await replicationOf(member);
  if (info === undefined) return `${name} hung up`;
  const line = replicaofLine(member);
  if (member === primary) {
    if (info.get('role') !== 'master') return `${name} is no primary`;
    return line === undefined ? '' : `${name} has in its file: ${line}`;
  }
  if (info.get('role') !== 'slave') return `${name} is a primary`;
  if (info.get('master_port') !== String(primary.port)) return `${name} follows another one`;
  if (info.get('master_link_status') !== 'up') return `the link of ${name} is down`;
  return line === `replicaof 127.0.0.1 ${primary.port}` ? '' : `${name} has in its file: ${line}`;
}

describe.concurrent('a group under sentinels', () => {
  test(`a primary that is killed is replaced, and follows when it is back: ${ROUNDS} rounds`, {
    timeout: 180_000 + ROUNDS * 180_000,
  }, async ({ servers }) => {
    const group = new Group();
    servers.atEnd(() => group.kill());
    await group.start();
    const writer = new SteadyWriter(() => group.primaryPort(), {
      waitMs: 500,
      before: mixedWrites,
    });
    for (let round = 0; round < ROUNDS; round++) {
      const killed = await group.primary();
      const seen = writer.confirmed;
      await waitFor(() => writer.confirmed > seen + 30, { timeoutMs: 60_000 });
      await killed.server.kill();
      await group.waitForOther(killed.port);
      await group.settled();
      killed.server = await run(killed.kind, killed.file, killed.dir, killed.port);
      await group.settled();
      const before = writer.confirmed;
      await waitFor(() => writer.confirmed > before + 30, { timeoutMs: 60_000 });
    }
    await writer.stop();
    const primary = await group.primary();
    await group.killSentinels();
    await writer.expectAllThere(primary.server);
    for (const other of group.members) {
      if (other !== primary) await expectSameData(primary.server, other.server);
    }
  });

  test('SENTINEL FAILOVER changes the primary, and what a sentinel tells of headwater is right', {
    timeout: 180_000,
  }, async ({ servers }) => {
    const group = new Group();
    servers.atEnd(() => group.kill());
    await group.start();
    const [first, second] = group.members as [Member, Member, Member];
    const writer = new SteadyWriter(() => group.primaryPort(), { waitMs: 500 });
    await waitFor(() => writer.confirmed > 30);
    // It reads INFO from time to time.
    const isFollowing = (each: Map<string, string>): boolean =>
      each.get('master-link-status') === 'ok' &&
      each.get('flags') === 'slave' &&
      Number(each.get('slave-repl-offset')) > 0;
    const replicas = await waitFor(
      async () => {
        const known = await told(group.sentinel, 'REPLICAS');
        return known.every(isFollowing) ? known : undefined;
      },
      { timeoutMs: 60_000 },
    );
    const ours = replicas.find((each) => each.get('port') === String(second.port))!;
    expect(ours.get('runid')).toBe(await field(second.server, 'server', 'run_id'));
    expect(ours.get('flags')).toBe('slave');
    expect(ours.get('slave-priority')).toBe('100');
    expect(ours.get('role-reported')).toBe('slave');
    expect(ours.get('replica-announced')).toBe('1');
    expect(ours.get('master-host')).toBe('127.0.0.1');
    expect(ours.get('master-port')).toBe(String(first.port));
    const [primary] = await told(group.sentinel, 'MASTER');
    expect(primary!.get('runid')).toBe(await field(first.server, 'server', 'run_id'));
    // Until the end of the failover Sentinel leaves the old primary as it is: writes would be lost.
    await writer.stop();
    const subscriber = await first.server.client();
    await subscriber.call('SUBSCRIBE', 'channel');
    expect(await group.sentinel.call('SENTINEL', 'FAILOVER', GROUP)).toBe('OK');
    await group.waitForOther(first.port);
    const now = await group.settled();
    // Clients must ask again who the primary is.
    await subscriber.closed;
    await group.killSentinels();
    await writer.expectAllThere(now.server);
    for (const other of group.members)
      if (other !== now) await expectSameData(now.server, other.server);
  });
});
