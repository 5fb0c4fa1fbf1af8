/** The documents name what there is and what is missing. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startHeadwater } from '../../../support/headwater.ts';
import { startRedis } from '../../../support/real-redis.ts';
import type { RespClient } from '../../../support/resp-client.ts';
import type { TestServer } from '../../../support/server-process.ts';

const read = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../../../../docs/${name}`, import.meta.url)), 'utf8');

let ours: TestServer;
let theirs: TestServer;
let own: RespClient;
let real: RespClient;

beforeAll(async () => {
  [ours, theirs] = await Promise.all([startHeadwater(), startRedis()]);
  [own, real] = await Promise.all([ours.client(), theirs.client()]);
});

afterAll(async () => {
  await Promise.all([own.close(), real.close()]);
  await Promise.all([ours.stop(), theirs.stop()]);
});

test('docs/operations.md explains each field of our own', async () => {
  const text = read('operations.md');
  const lines = String(await own.call('INFO', 'headwater')).split('\r\n');
  const fields = lines.filter((line) => line.includes(':')).map((line) => line.split(':')[0]!);
  expect(fields.filter((name, index) => fields.indexOf(name) !== index)).toEqual([]);
  expect(fields.length).toBeGreaterThan(20);
  expect(fields.filter((name) => !text.includes(`| \`${name}\``))).toEqual([]);
  const explained = [...text.matchAll(/^\| `(headwater_\w+)`/gm)].map((match) => match[1]!);
  expect(explained.filter((name) => !fields.includes(name))).toEqual([]);
});

test('snapshots are counted whatever they are for', async () => {
  const started = async (): Promise<number> =>
    Number(await own.infoField('headwater', 'headwater_snapshots_started'));
  const before = await started();
  await own.call('SAVE');
  expect(await started()).toBe(before + 1);
});

test('docs/compatibility.md names each command of Redis that is missing', async () => {
  const missingPart = read('compatibility.md').split('## Different on purpose')[0]!;
  const names = new Set((await own.call('COMMAND', 'LIST')) as string[]);
  const missing = ((await real.call('COMMAND', 'LIST')) as string[]).filter(
    (name) => !names.has(name),
  );
  const unnamed = missing.filter((name) => {
    const [command, sub] = name.toUpperCase().split('|');
    // A container that is refused as a whole is named as a whole.
    if (sub !== undefined && ['CLUSTER', 'SCRIPT', 'FUNCTION'].includes(command!)) return false;
    return (
      !missingPart.includes(`\`${sub ?? command}\``) &&
      !missingPart.includes(`\`${command} ${sub}\``)
    );
  });
  expect(missing.length).toBeGreaterThan(10);
  expect(unnamed).toEqual([]);
});

test('docs/compatibility.md names each DEBUG subcommand of Redis that is missing', async () => {
  const text = read('compatibility.md');
  const namesOf = (help: unknown): string[] =>
    (help as string[])
      .filter((line) => /^[A-Z][A-Z-]+(?: [A-Z<[]|$)/.test(line) && !line.startsWith('DEBUG '))
      .map((line) => line.split(' ')[0]!);
  await ours.stop();
  ours = await startHeadwater({ args: ['--enable-debug-command', 'yes'] });
  own = await ours.client();
  const known = namesOf(await own.call('DEBUG', 'HELP'));
  const missing = namesOf(await real.call('DEBUG', 'HELP')).filter((name) => !known.includes(name));
  expect(missing.length).toBeGreaterThan(5);
  expect(missing.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});
