/**
 * `npm start` in a tree that is not built: it builds, starts a primary, and the primary has none of
 * the memory that the build took.
 */
import { cpSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { launch, temporaryDirectory } from '../support/server-process.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const MIB = 1024 * 1024;

test('a first start builds apart from the primary, whose heap is that of any start', async () => {
  const tree = temporaryDirectory('first-start');
  for (const name of ['bin', 'src', 'dist', 'package.json', 'package-lock.json', 'tsconfig.json']) {
    cpSync(join(root, name), join(tree, name), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'));
  rmSync(join(tree, 'dist', '.build-stamp'));
  const server = await launch({
    name: 'npm start',
    command: process.execPath,
    args: (port, dir) => [
      ...[join(tree, 'bin', 'start.js'), '--port', String(port), '--bind', '127.0.0.1'],
      ...['--dir', dir, '--save', '', '--rehearsal', 'no'],
    ],
  });
  await server.waitForLine('attach a replica:');
  const client = await server.client();
  const memory = await client.info('memory');
  // 12 MiB with a build that is current, 74 MiB and 390 MiB where the build ran in this process.
  expect(Number(memory.get('used_memory_startup'))).toBeLessThan(32 * MIB);
  expect(Number(memory.get('used_memory_rss'))).toBeLessThan(160 * MIB);
  await server.stop();
});
