/**
 * The npm package: what is in it, and that it runs where it is installed, for a user who may not
 * write there. The registry is not asked: the packages that it needs are copied from here.
 */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { RespClient } from '../support/resp-client.ts';
import { freePort, temporaryDirectory } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const NOBODY = 65534;

let installed = '';
let files: string[] = [];

/** Runs a program and returns its standard output. */
function run(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

beforeAll(() => {
  installed = temporaryDirectory('package');
  const name = run('npm', ['pack', '--silent', '--pack-destination', installed], root).trim();
  run('tar', ['-xzf', name], installed);
  const list = run('tar', ['-tzf', name], installed).trim().split('\n');
  files = list.map((file) => file.replace(/^package\//, ''));
  const modules = join(installed, 'node_modules');
  mkdirSync(join(modules, '.bin'), { recursive: true });
  cpSync(join(installed, 'package'), join(modules, 'headwater'), { recursive: true });
  const needed = run('npm', ['ls', '--omit=dev', '--all', '--parseable'], root)
    .trim()
    .split('\n')
    .slice(1);
  for (const path of needed) {
    cpSync(path, join(modules, relative(join(root, 'node_modules'), path)), { recursive: true });
  }
  symlinkSync('../headwater/bin/headwater.js', join(modules, '.bin', 'headwater'));
  writeFileSync(join(installed, 'package.json'), '{"private":true}');
  // The directory of a test is its user's alone.
  chmodSync(installed, 0o755);
});

test('holds what works where it is installed, and no source maps', () => {
  expect(files.filter((file) => file.startsWith('bin/'))).toEqual(['bin/headwater.js']);
  expect(files.filter((file) => /\.map$|(?:^|\/)\.|^src\/|^test\/|\.test\./.test(file))).toEqual(
    [],
  );
  expect(files.filter((file) => !file.includes('/')).sort()).toEqual([
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'package.json',
  ]);
  for (const file of [
    'dist/cli.js',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/kernels/kernels.wasm',
  ]) {
    expect(files).toContain(file);
  }
});

test('runs by names with blanks and a dash, through links, and in a shell that ends at errors', () => {
  const places = temporaryDirectory('a place');
  const name = join(places, '-head water');
  symlinkSync(join(installed, 'node_modules', '.bin', 'headwater'), name);
  expect(run(name, ['--version'], '/')).toMatch(/^headwater /);
  expect(run('./-head water', ['--version'], places)).toMatch(/^headwater /);
  expect(run('/bin/sh', ['-eu', name, '--version'], '/')).toMatch(/^headwater /);
});

test('has the workers and all that they import', () => {
  const missing: string[] = [];
  for (const file of files.filter((one) => /^dist\/.*\.js$/.test(one))) {
    const text = readFileSync(join(installed, 'package', file), 'utf8');
    for (const [, specifier] of text.matchAll(/^(?:import|export) [^'"();]*['"](\.[^'"]+)['"]/gm)) {
      const target = join(file, '..', specifier!);
      if (!files.includes(target)) missing.push(`${file}: ${specifier}`);
    }
  }
  expect(missing).toEqual([]);
});

test('runs by npx, for a user who may not write there', async () => {
  const port = await freePort();
  const cache = temporaryDirectory('npm-cache');
  chmodSync(cache, 0o777);
  const isRoot = process.getuid?.() === 0;
  const child = spawn(
    'npx',
    ['--no-install', 'headwater', '--port', String(port), '--bind', '127.0.0.1'],
    {
      cwd: installed,
      env: {
        ...process.env,
        HOME: cache,
        npm_config_cache: cache,
        npm_config_update_notifier: 'false',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}),
    },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  let code: number | null | undefined;
  child.once('exit', (status) => {
    code = status;
  });
  await waitFor(
    () => {
      if (code !== undefined) throw new Error(`ended with ${code}: ${output}`);
      return output.includes('Ready to accept connections tcp');
    },
    { what: 'headwater', timeoutMs: 60_000 },
  );
  const client = await RespClient.connect(port);
  await client.call('SET', 'k', 'v');
  if (isRoot) {
    // It may not write where it is, says so, and goes on.
    await client.call('BGSAVE');
    await waitFor(
      async () => (await client.info('persistence')).get('rdb_last_bgsave_status') === 'err',
      {
        what: 'the save to fail',
      },
    );
  }
  expect(await client.call('GET', 'k')).toBe('v');
  client.write('SHUTDOWN NOSAVE\r\n');
  await waitFor(() => code !== undefined, { what: 'the end' });
  expect(code).toBe(0);
});
