/** Which dump each replica gets, and who shares one. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { directiveOf } from '../../../src/server/config/directives.ts';
import { loadConfig } from '../../../src/server/config/load.ts';
import { rewriteText } from '../../../src/server/config/rewrite.ts';
import { FakeReplica, type FakeReplicaOptions } from '../../support/fake-replica.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import type { RespClient } from '../../support/resp-client.ts';

let primary: NodeInProcess;
let client: RespClient;
let replicas: FakeReplica[];

async function start(...lines: string[]): Promise<void> {
  primary = await startNode(...lines);
  client = await primary.client();
  await client.pipeline([
    ['SET', 'text', 'so many words '.repeat(100)],
    ['HSET', 'hash', 'f', 'v'],
    ['RPUSH', 'list', 'a', 'b'],
  ]);
}

async function dumpOf(options: FakeReplicaOptions = {}): Promise<Buffer> {
  const replica = await FakeReplica.attach(primary.port, options);
  replicas.push(replica);
  await replica.waitForDump();
  return replica.dump;
}

const versionOf = (dump: Buffer): string => dump.toString('latin1', 0, 9);
const isCompressed = (dump: Buffer): boolean => !dump.includes('so many words '.repeat(100));
const hasChecksum = (dump: Buffer): boolean => !dump.subarray(-8).every((byte) => byte === 0);
const started = (): number => primary.node.primary.fullSyncs.snapshotsStarted;
const announcing = (address: string): FakeReplicaOptions => ({
  handshake: [['REPLCONF', 'ip-address', address]],
});

beforeEach(() => {
  replicas = [];
});
afterEach(async () => {
  for (const replica of replicas) await replica.close();
  await client.close();
  await primary.stop();
});

describe('replica-dialect', () => {
  test('decides by the announced address, then by that of the socket', async () => {
    await start('replica-dialect 10.0.0.7 9 plain', 'replica-dialect 127.0.0.1 12');
    const plain = await dumpOf(announcing('10.0.0.7'));
    expect(versionOf(plain)).toBe('REDIS0009');
    expect(versionOf(await dumpOf(announcing('10.0.0.8')))).toBe('REDIS0012');
    expect(versionOf(await dumpOf())).toBe('REDIS0012');
    // Those of one dialect share a dump.
    expect(started()).toBe(2);
    await client.call('CONFIG', 'SET', 'replica-dialect', '');
    expect(versionOf(await dumpOf({ listeningPort: 1 }))).toBe('REDIS0010');
  });

  test('is stronger than a version that the replica announces, which bounds rdb-version', async () => {
    await start('rdb-version 12', 'replica-dialect 10.0.0.7 10');
    const valkey: FakeReplicaOptions = { handshake: [['REPLCONF', 'version', '8.1.0']] };
    expect(versionOf(await dumpOf(valkey))).toBe('REDIS0011');
    const both: FakeReplicaOptions = {
      handshake: [...announcing('10.0.0.7').handshake!, ...valkey.handshake!],
    };
    expect(versionOf(await dumpOf(both))).toBe('REDIS0010');
    expect(versionOf(await dumpOf())).toBe('REDIS0012');
  });

  test('is shown, set and rewritten', async () => {
    await start('replica-dialect a 9 plain', 'replica-dialect b 11', 'replica-dialect a 10');
    const get = (): Promise<unknown> => client.call('CONFIG', 'GET', 'replica-dialect');
    expect(await get()).toEqual(['replica-dialect', 'a 10 b 11']);
    await client.call('CONFIG', 'SET', 'replica-dialect', 'c 9 PLAIN d 12 e 9');
    expect(await get()).toEqual(['replica-dialect', 'c 9 plain d 12 e 9']);
    for (const wrong of ['c', 'c 8', 'c 9 plane', 'c 9 plain plain'])
      await expect(client.call('CONFIG', 'SET', 'replica-dialect', wrong)).rejects.toThrow(
        /CONFIG SET failed/,
      );
    expect(await get()).toEqual(['replica-dialect', 'c 9 plain d 12 e 9']);
    const { values } = primary.node.server.config;
    const text = rewriteText('replica-dialect a 10\n# note\n', (name) =>
      name === 'replica-dialect'
        ? { value: values.replicaDialect, text: '' }
        : directiveOf(name).kind.initial,
    );
    expect(text).toContain('replica-dialect c 9 plain\n# note\n');
    const again = loadConfig({ options: text, directory: '/tmp' });
    expect(again.values.replicaDialect).toEqual(values.replicaDialect);
  });
});

describe('a dump without compression and checksum', () => {
  test('goes to replicas that ask for it, and they may join others', async () => {
    await start('snapshot-keep 0');
    const without: FakeReplicaOptions = {
      handshake: [['REPLCONF', 'rdb-no-compress', '1', 'rdb-no-checksum', '1']],
    };
    const bare = await dumpOf(without);
    expect([isCompressed(bare), hasChecksum(bare)]).toEqual([false, false]);
    const usual = await dumpOf();
    expect([isCompressed(usual), hasChecksum(usual)]).toEqual([true, true]);
  });

  test('as Valkey asks for one without a checksum', async () => {
    await start();
    const dump = await dumpOf({ capa: ['eof', 'psync2', 'skip-rdb-checksum'] });
    expect([isCompressed(dump), hasChecksum(dump)]).toEqual([true, false]);
  });

  test('does not go to those who need the length first, or wait with others who need all', async () => {
    await start('repl-diskless-sync-delay 60', 'repl-diskless-sync-max-replicas 2');
    const without: FakeReplicaOptions = {
      handshake: [['REPLCONF', 'rdb-no-compress', '1', 'rdb-no-checksum', '1']],
    };
    const [bare, usual] = await Promise.all([dumpOf(without), dumpOf({ listeningPort: 1 })]);
    expect(bare.equals(usual)).toBe(true);
    expect([isCompressed(bare), hasChecksum(bare)]).toEqual([true, true]);
    expect(started()).toBe(1);
    await client.call('CONFIG', 'SET', 'repl-diskless-sync-delay', '0', 'snapshot-keep', '0');
    const whole = await dumpOf({ ...without, capa: ['psync2'] });
    expect([isCompressed(whole), hasChecksum(whole)]).toEqual([true, true]);
  });
});

test('a dump that leaves functions out is told of', async () => {
  await start('replica-dialect 127.0.0.1 9');
  primary.node.dumps.libraries.codes = [Buffer.from('#!lua name=one\n')];
  await dumpOf();
  expect(primary.messages.filter((line) => line.includes('no place for functions'))).toEqual([
    'Replica 127.0.0.1:6380 gets a dump of version 9, which has no place for functions: 1 libraries are left out',
  ]);
});
