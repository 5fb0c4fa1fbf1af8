/** Libraries of functions, and what only a stream may name. */
import { expect, onTestFinished, test } from 'vitest';
import { FunctionLibraries, libraryName } from '../../../src/server/persistence/functions.ts';
import { startFakePrimary } from '../../support/fake-primary.ts';
import { startNode } from '../../support/node-in-process.ts';
import { encodeCommand } from '../../support/resp-client.ts';
import { waitFor } from '../../support/wait-for.ts';

const code = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

test.for([
  ['#!lua name=one', 'one'],
  ['#!lua name=one\nname=two', 'one'],
  ['#!lua  NAME="one"\n', 'one'],
  ['#!lua "name=one"\n', 'one'],
  ["#!lua other=1 name='one' \r\n", 'one'],
  ['#!lua\nname=one', undefined],
  ['lua name=one', undefined],
  ['#!lua name=\n', undefined],
  ['', undefined],
] as const)('the name in %j is %s', ([text, name]) => {
  expect(libraryName(code(text))).toBe(name);
});

test('of several libraries all are added, or none', () => {
  const libraries = new FunctionLibraries();
  const [one, two, other] = ['one', 'two', 'two x=1'].map((name) => code(`#!lua name=${name}\n`));
  expect(libraries.load(two!, false)).toBeNull();
  expect(libraries.loadAll([one!, other!], false)).toBe("ERR Library 'two' already exists");
  expect(libraries.codes).toEqual([two]);
  expect(libraries.loadAll([one!, other!], true)).toBeNull();
  expect(libraries.codes).toEqual([one, other]);
  expect(libraries.delete('two')).toBeNull();
  expect(libraries.delete('two')).toBe('ERR Library not found');
  expect(libraries.codes).toEqual([one]);
});

test('SCRIPT of an old primary takes no transaction with it; clients have none', async () => {
  const words = [
    ['SELECT', '0'],
    ['MULTI'],
    ['SET', 'a', '1'],
    ['SCRIPT', 'LOAD', 'return 1'],
    ['SCRIPT', 'FLUSH'],
    ['SET', 'b', '2'],
    ['EXEC'],
  ];
  const stream = Buffer.concat(words.map((request) => encodeCommand(request)));
  const primary = await startFakePrimary('v', { stream });
  onTestFinished(() => primary.close());
  const served = await startNode('rehearsal no');
  onTestFinished(() => served.stop());
  const client = await served.client();
  await client.call('REPLICAOF', '127.0.0.1', primary.port);
  await waitFor(async () => (await client.call('GET', 'b')) === '2', { what: 'the transaction' });
  expect(await client.call('GET', 'a')).toBe('1');
  expect(await client.infoField('stats', 'unexpected_error_replies')).toBe('0');
  for (const name of ['SCRIPT', 'FUNCTION'])
    expect(String(await client.command(name, 'FLUSH'))).toContain(`unknown command '${name}'`);
  await client.close();
});
