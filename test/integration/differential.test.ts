/**
 * Random commands over all types and options, sent in pipelines to headwater and to a real server,
 * in RESP2 and RESP3 by turns: the replies are the same, the digests at checkpoints too, and at the
 * end a real replica of headwater holds what both hold.
 *
 * HEADWATER_DIFFERENTIAL_COMMANDS sets how many. The real server is a 7.0: what a 7.2 does
 * otherwise is listed in support/reply-rules.ts and docs/compatibility.md.
 */
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { RandomCommands } from '../../native-free-bench/lib/random-commands.ts';
import { Prng } from '../../src/base/prng.ts';
import { digestOf, waitForSync } from '../support/digest.ts';
import { type Headwater, startHeadwater } from '../support/headwater.ts';
import { type RealRedis, startRedis } from '../support/real-redis.ts';
import { type Command, commandText, replyText, sameReply } from '../support/reply-rules.ts';
import type { Argument, RespClient } from '../support/resp-client.ts';
import { RespError, type RespValue } from '../support/resp-parser.ts';
import { testSeed } from '../support/seed.ts';

const COMMANDS = Number(process.env['HEADWATER_DIFFERENTIAL_COMMANDS'] ?? 20_000);
const BATCH = 500;
const DATABASES = 3;
const MAX_PAYLOADS = 60;
/** How many commands are remembered, and how many of them are told when a reply differs. */
const HISTORY = 5000;
/** Commands that concern all keys. */
const EVERYWHERE = new Set(['SELECT', 'SWAPDB', 'FLUSHDB', 'FLUSHALL']);
const RELATED_SHOWN = 20;
/** Low, so that values often change their encoding. */
const THRESHOLDS = [
  ...['--hash-max-listpack-entries', '16', '--zset-max-listpack-entries', '16'],
  ...['--set-max-intset-entries', '16', '--list-max-listpack-size', '10'],
  ...['--stream-node-max-entries', '10', '--hll-sparse-max-bytes', '300'],
];

const history: Command[] = [];
let ours: Headwater;
let theirs: RealRedis;
let replica: RealRedis;

beforeAll(async () => {
  ours = await startHeadwater({ args: ['--enable-debug-command', 'yes', ...THRESHOLDS] });
  theirs = await startRedis({ args: THRESHOLDS });
  replica = await startRedis({ replicaOf: ours.port, args: THRESHOLDS });
});

afterAll(async () => {
  await Promise.all([ours, theirs, replica].map((server) => server?.stop()));
});

test(`${COMMANDS} random commands have the replies and effects of a real server`, {
  timeout: 3_600_000,
}, async () => {
  const seed = testSeed('differential', 11);
  onTestFailed(() => {
    for (const server of [ours, theirs]) console.error(server.lines.slice(-40).join('\n'));
  });
  const servers = [ours, theirs, replica];
  const [us, them, below] = await Promise.all(
    servers.map((server) => server.client({ bulk: 'latin1' })),
  );
  await Promise.all(
    [ours, theirs].map((server) => call(server, 'DEBUG', 'SET-ACTIVE-EXPIRE', '0')),
  );
  const random = new RandomCommands(new Prng(seed), { without: await absentCommands(us, them) });
  const tally = new Map<string, number>();
  let protocol: 2 | 3 = 2;
  for (let done = 0; done < COMMANDS; ) {
    const setting = random.configuration();
    for (const client of [us, them, below]) await client.call(...setting);
    const commands = random.batch(BATCH);
    for (const client of [us, them]) await client.call('HELLO', protocol);
    for (const piece of piecesOf(commands)) {
      const [a, b] = await Promise.all([us.pipeline(piece), them.pipeline(piece)]);
      expectSameReplies(piece, a, b);
      for (const key of damagedBy(piece, b))
        await Promise.all([us, them].map((client) => client.call('DEL', key)));
    }
    // What is asked for between batches is answered in RESP2.
    for (const client of [us, them]) await client.call('HELLO', 2);
    protocol = protocol === 2 ? 3 : 2;
    for (const [name] of commands) tally.set(String(name), (tally.get(String(name)) ?? 0) + 1);
    done += commands.length;
    await expectSameEffects(us, them, `after ${done} commands`);
    await waitForSync(ours, replica);
    await expectSameEffects(us, below, `on the replica, after ${done} commands`);
    refresh(random.payloads, await payloadsOf(done % 2 === 0 ? us : them));
  }
  expect(tally.size, 'kinds of commands').toBeGreaterThan(100);
  expect(await digestOf(replica)).toBe(await digestOf(theirs));
  await Promise.all([us, them, below].map((client) => client.close()));
});

/** The commands in pieces that end behind each PFADD, or the transaction that it is in. */
function piecesOf(commands: readonly Argument[][]): Argument[][][] {
  const pieces: Argument[][][] = [[]];
  let isOpen = false;
  let cuts = false;
  for (const command of commands) {
    pieces.at(-1)!.push(command);
    const name = String(command[0]).toUpperCase();
    if (name === 'MULTI') isOpen = true;
    if (name === 'EXEC' || name === 'DISCARD') isOpen = false;
    cuts ||= name === 'PFADD';
    if (isOpen || !cuts) continue;
    pieces.push([]);
    cuts = false;
  }
  return pieces.filter((piece) => piece.length > 0);
}

/**
 * The keys of HyperLogLogs that PFADD found damaged: random commands on strings do that. Redis
 * keeps the elements that it has added before it comes upon the damage, and we add none, so such a
 * key is to be deleted on both sides.
 */
function damagedBy(piece: readonly Argument[][], replies: readonly RespValue[]): Argument[] {
  const failed = (reply: RespValue): boolean =>
    reply instanceof RespError && reply.code === 'INVALIDOBJ';
  const last = replies.at(-1)!;
  const isHurt = failed(last) || (Array.isArray(last) && last.some(failed));
  return isHurt
    ? piece.flatMap((command) => (/^PFADD$/i.test(String(command[0])) ? [command[1]!] : []))
    : [];
}

/** Compares reply by reply; those of a transaction stand in the reply to EXEC. */
function expectSameReplies(
  commands: readonly Command[],
  a: readonly RespValue[],
  b: readonly RespValue[],
): void {
  const differences: string[] = [];
  history.push(...commands);
  history.splice(0, history.length - HISTORY);
  let queued: Command[] = [];
  for (const [i, command] of commands.entries()) {
    const [mine, real] = [a[i]!, b[i]!];
    const name = String(command[0]).toUpperCase();
    if (name === 'MULTI' || name === 'DISCARD') queued = [];
    if (mine === 'QUEUED' && real === 'QUEUED') queued.push(command);
    const isTransaction = name === 'EXEC' && Array.isArray(mine) && Array.isArray(real);
    const inside = isTransaction && mine.length === real.length && mine.length === queued.length;
    if (inside) {
      for (const [j, inner] of queued.entries()) {
        if (!sameReply(inner, mine[j]!, real[j]!))
          differences.push(difference(inner, mine[j]!, real[j]!));
      }
    } else if (!sameReply(command, mine, real)) differences.push(difference(command, mine, real));
    if (name === 'EXEC') queued = [];
  }
  expect(differences.slice(0, 5), `${differences.length} replies differ`).toEqual([]);
}

/**
 * The commands before the one that differs, or before now, in the history of both, that share a key
 * with it.
 */
function before(command: Command): string[] {
  const keys = command.slice(1).filter((word) => /^[a-z]+\d$/.test(String(word)));
  const known = history.lastIndexOf(command);
  const at = known < 0 ? history.length : known;
  const related = history
    .slice(0, at)
    .filter((one) => EVERYWHERE.has(String(one[0])) || keys.some((key) => one.includes(key)));
  return related.slice(-RELATED_SHOWN).map((one) => `  after  ${commandText(one).slice(0, 300)}`);
}

function difference(command: Command, ours: RespValue, theirs: RespValue): string {
  const replies = [
    `  ours   ${replyText(ours).slice(0, 1500)}`,
    `  theirs ${replyText(theirs).slice(0, 1500)}`,
  ];
  return [commandText(command), ...replies, ...before(command)].join('\n');
}

async function expectSameEffects(us: RespClient, them: RespClient, when: string): Promise<void> {
  await expectSameGroups(us, them, when);
  const [a, b] = await Promise.all([us.call('DEBUG', 'DIGEST'), them.call('DEBUG', 'DIGEST')]);
  if (a !== b)
    expect(await differingKeys(us, them), `keys with another digest ${when}`).toEqual([]);
  expect(a, `digest ${when}`).toBe(b);
}

/** Which keys make the digests differ, for the message of a failure. */
async function differingKeys(us: RespClient, them: RespClient): Promise<string[]> {
  const found: string[] = [];
  for (let db = 0; db < DATABASES; db++) {
    const keys = await everywhere([us, them], db, ['KEYS', '*']);
    const all = [...new Set((keys as string[][]).flat())].sort();
    for (const key of all) {
      const looks: Argument[][] = [
        ['DEBUG', 'DIGEST-VALUE', key],
        ['TYPE', key],
        ['PEXPIRETIME', key],
        ['DUMP', key],
      ];
      const [a, b] = await Promise.all([us.pipeline(looks), them.pipeline(looks)]);
      if (String(a[0]) !== String(b[0]) || a[1] !== b[1] || (a[2] === -1) !== (b[2] === -1)) {
        const values = `db ${db} ${JSON.stringify(key)}: ${replyText(a)} and ${replyText(b)}`;
        found.push([values.slice(0, 3000), ...before(['EXISTS', key])].join('\n'));
      }
    }
  }
  return found;
}

/** Consumer groups are not in the digest. */
async function expectSameGroups(us: RespClient, them: RespClient, when: string): Promise<void> {
  for (let db = 0; db < DATABASES; db++) {
    // The scan removes what has expired, too: that would be in the digest.
    const found = await everywhere([them, us], db, ['SCAN', 0, 'COUNT', 100_000, 'TYPE', 'stream']);
    const commands = (found[0] as [string, string[]])[1].flatMap((key): Argument[][] => [
      ['XINFO', 'STREAM', key, 'FULL', 'COUNT', 0],
      ['XINFO', 'GROUPS', key],
      ['XPENDING', key, 'g1', '-', '+', 1000],
      ['XPENDING', key, 'g2', '-', '+', 1000],
    ]);
    const [a, b] = await Promise.all([us.pipeline(commands), them.pipeline(commands)]);
    for (const [i, command] of commands.entries()) {
      if (!sameReply(command, a[i]!, b[i]!))
        expect.fail(`db ${db} ${when}: ${difference(command, a[i]!, b[i]!)}`);
    }
  }
  await everywhere([us, them], 0, ['PING']);
}

/** The replies of several servers to a command in a database, which stays selected. */
async function everywhere(
  clients: readonly RespClient[],
  db: number,
  command: Argument[],
): Promise<RespValue[]> {
  const replies = await Promise.all(
    clients.map((client) => client.pipeline([['SELECT', db], command])),
  );
  return replies.map((pair) => pair[1]!);
}

/** DUMP of keys of the selected database, for RESTORE. */
async function payloadsOf(client: RespClient): Promise<Buffer[]> {
  const keys = ((await client.call('KEYS', '*')) as string[]).sort().slice(0, MAX_PAYLOADS);
  const dumps = await client.pipeline(keys.map((key): Argument[] => ['DUMP', key]));
  return dumps.map((dump) => Buffer.from(String(dump), 'latin1'));
}

function refresh(payloads: Buffer[], fresh: readonly Buffer[]): void {
  for (const payload of fresh) {
    if (payloads.length < MAX_PAYLOADS) payloads.push(payload);
    else payloads[payload.length % MAX_PAYLOADS] = payload;
  }
}

/** Commands that the real server has and we have not. */
async function absentCommands(us: RespClient, them: RespClient): Promise<Set<string>> {
  const [mine, real] = (await Promise.all([
    us.call('COMMAND', 'LIST'),
    them.call('COMMAND', 'LIST'),
  ])) as string[][];
  const known = new Set(mine!.map((name) => name.toUpperCase()));
  return new Set(real!.map((name) => name.toUpperCase()).filter((name) => !known.has(name)));
}

async function call(server: Headwater | RealRedis, ...command: Argument[]): Promise<void> {
  const client = await server.client();
  const reply = await client.command(...command);
  await client.close();
  if (reply instanceof RespError) throw new Error(reply.message);
}
