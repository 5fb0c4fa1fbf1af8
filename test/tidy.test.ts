/**
 * Keeps the tree in the shape that src/README.md describes: imports lead down, each package has one
 * door, names and sizes stay what a reader expects.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * The folders a folder may import from, besides itself. Arena and resp stand side by side, as do
 * rdb and replication: neither knows the other. Files at the top of src/ may import everything.
 */
const TOP = '';
const bottom = ['base', 'kernels'];
const data = [...bottom, 'arena', 'resp', 'structs', 'keyspace'];
const jobs = [...data, 'rdb', 'replication', 'workers'];
const mayImport: Readonly<Record<string, readonly string[]>> = {
  base: [],
  kernels: ['base'],
  arena: bottom,
  resp: bottom,
  structs: [...bottom, 'arena', 'resp'],
  keyspace: [...bottom, 'arena', 'resp', 'structs'],
  rdb: data,
  replication: data,
  workers: [...data, 'rdb', 'replication'],
  commands: jobs,
  server: [...jobs, 'commands'],
  // A fenced folder: only the files at the top start it, and of them it knows what a node is.
  rehearsal: ['base', 'resp', 'server', TOP],
};

/**
 * The parts of the server that a part may import from. Files at the top of src/server/ may be
 * imported by all of them.
 */
const serverParts: Readonly<Record<string, readonly string[]>> = {
  config: [],
  dispatch: ['config'],
  net: ['config', 'dispatch'],
  persistence: ['config', 'dispatch', 'net'],
  link: ['config', 'dispatch'],
  primary: ['config', 'dispatch', 'net', 'link'],
  admin: ['config', 'dispatch', 'net', 'persistence', 'link', 'primary'],
};

/** The one file that imports a package, by the specifier that it uses. */
const doors: Readonly<Record<string, string>> = {
  piscina: 'workers/pool.ts',
  'msgpackr/pack': 'workers/messages.ts',
  pino: 'base/log.ts',
};

const MAX_SOURCE_LINES = 700;

/** Files below `folder` with one of these extensions, as paths from the root of the project. */
function filesBelow(folder: string, extensions: RegExp): string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && extensions.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** Specifiers of all imports and re-exports of a module: static, dynamic, and of types. */
function importsOf(text: string): string[] {
  const code = text.replace(/^\s*(?:\/\*\*?[\s\S]*?\*\/|\/\/.*)$/gm, '');
  const pattern = /(?:\bfrom|\bimport)\s*\(?\s*['"]([^'"]+)['"]/g;
  return [...code.matchAll(pattern)].map((match) => match[1]!);
}

/** The folder of a source under src/, or TOP. */
function folderOf(source: string): string {
  const [folder, ...rest] = source.split('/').slice(1);
  return rest.length === 0 ? TOP : folder!;
}

const sources = filesBelow('src', /\.ts$/).filter(
  (file) => !file.startsWith('src/kernels/assembly/'),
);
const tests = filesBelow('test', /\.ts$/);
const scripts = filesBelow('bin', /\.js$/);
const benches = filesBelow('native-free-bench', /\.ts$/);
const everything = [...sources, ...tests, ...scripts, ...benches];

/** The lines that break a rule, so that a failure names them all. */
function offences(files: readonly string[], find: (file: string) => readonly string[]): string[] {
  return files.flatMap((file) => find(file).map((what) => `${file}: ${what}`));
}

describe('imports', () => {
  test.each([
    ["import { a } from './support/seed.ts';", './support/seed.ts'],
    ["import type { A } from './support/seed.ts';", './support/seed.ts'],
    ["import './support/seed.ts';", './support/seed.ts'],
    ["export * from './support/seed.ts';", './support/seed.ts'],
    ["const a = await import('./support/seed.ts');", './support/seed.ts'],
    ["import {\n  a,\n  b,\n} from './support/seed.ts';", './support/seed.ts'],
  ])('are seen in %j', (code, specifier) => {
    expect(importsOf(code)).toEqual([specifier]);
    expect(importsOf(`// ${code.replaceAll('\n', ' ')}`)).toEqual([]);
  });

  test('lead to the own folder or to a lower one', () => {
    const found = offences(sources, (file) => {
      const folder = folderOf(file);
      if (folder === TOP) return [];
      const allowed = mayImport[folder];
      if (allowed === undefined) return [`folder ${folder} has no place among the layers`];
      return importsOf(read(file))
        .filter((specifier) => specifier.startsWith('.'))
        .filter((specifier) => {
          const target = join(dirname(file), specifier);
          const other = folderOf(target);
          return !target.startsWith('src/') || (other !== folder && !allowed.includes(other));
        });
    });
    expect(found).toEqual([]);
  });

  test('name files that exist, with their extension', () => {
    const found = offences([...sources, ...tests], (file) =>
      importsOf(read(file))
        .filter((specifier) => specifier.startsWith('.'))
        .filter((specifier) => !existsSync(join(root, dirname(file), specifier))),
    );
    expect(found).toEqual([]);
  });

  test('of packages stand in one file each', () => {
    const found = offences(sources, (file) =>
      importsOf(read(file))
        .filter((specifier) => !specifier.startsWith('.') && !specifier.startsWith('node:'))
        .filter((specifier) => `src/${doors[specifier]}` !== file),
    );
    expect(found).toEqual([]);
  });

  test('between the parts of the server lead one way', () => {
    const partOf = (file: string): string | undefined => /^src\/server\/([^/]+)\//.exec(file)?.[1];
    const found = offences(sources, (file) => {
      const part = partOf(file);
      if (part === undefined) return [];
      const allowed = serverParts[part];
      if (allowed === undefined) return [`part ${part} has no place in the server`];
      return importsOf(read(file)).filter((specifier) => {
        const other = partOf(join(dirname(file), specifier));
        return other !== undefined && other !== part && !allowed.includes(other);
      });
    });
    expect(found).toEqual([]);
  });

  test('never form a circle between files, types counted', () => {
    const targets = new Map<string, string[]>();
    for (const file of sources) {
      const local = importsOf(read(file)).filter((specifier) => specifier.startsWith('.'));
      targets.set(
        file,
        local.map((specifier) => join(dirname(file), specifier)),
      );
    }
    expect(findCircle(targets)).toEqual([]);
  });
});

/** The files of one circle of imports, in order, or none. */
function findCircle(targets: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): string[] => {
    const seenAt = path.indexOf(file);
    if (seenAt >= 0) return [...path.slice(seenAt), file];
    if (done.has(file)) return [];
    path.push(file);
    for (const target of targets.get(file) ?? []) {
      const circle = visit(target);
      if (circle.length > 0) return circle;
    }
    path.pop();
    done.add(file);
    return [];
  };
  for (const file of targets.keys()) {
    const circle = visit(file);
    if (circle.length > 0) return circle;
  }
  return [];
}

describe('files', () => {
  test('have kebab-case names', () => {
    const name = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z]+)*\.(?:ts|js)$/;
    expect(everything.filter((file) => !name.test(basename(file)))).toEqual([]);
  });

  test('are no index but src/index.ts', () => {
    const indexes = everything.filter((file) => /^index\./.test(basename(file)));
    expect(indexes.filter((file) => file !== 'src/index.ts')).toEqual([]);
  });

  test(`of src have at most ${MAX_SOURCE_LINES} lines`, () => {
    const long = offences(sources, (file) => {
      const lines = read(file).split('\n').length - 1;
      return lines > MAX_SOURCE_LINES ? [`${lines} lines`] : [];
    });
    expect(long).toEqual([]);
  });

  test('of src begin with a comment that says what they are', () => {
    expect(sources.filter((file) => !/^(?:#!.*\n)?\/(?:\*\*|\/)/.test(read(file)))).toEqual([]);
  });

  test('of src export names, and no default', () => {
    expect(sources.filter((file) => /^export default\b/m.test(read(file)))).toEqual([]);
  });
});

describe('nothing is left over:', () => {
  // In two halves, so that this file does not find itself.
  const markers = new RegExp(`\\b(?:TO${'DO'}|FIX${'ME'})\\b`);
  const switchedOff = new RegExp(
    `\\b(?:${['it', 'test', 'describe'].join('|')})\\.(?:skip|only|todo|fails)\\b`,
  );

  test('no note about unfinished work', () => {
    const files = [...everything, ...filesBelow('docs', /\.md$/), ...filesBelow('src', /\.md$/)];
    expect(offences(files, (file) => linesMatching(file, markers))).toEqual([]);
  });

  test('no test that is switched off or stands alone', () => {
    expect(offences(tests, (file) => linesMatching(file, switchedOff))).toEqual([]);
  });
});

function linesMatching(file: string, pattern: RegExp): string[] {
  return read(file)
    .split('\n')
    .filter((line) => pattern.test(line));
}

describe('documents', () => {
  const required = [
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'src/README.md',
    'docs/architecture.md',
  ];

  test.each([...required, 'docs/compatibility.md', 'docs/operations.md'])('%s exists', (file) => {
    expect(existsSync(join(root, file))).toBe(true);
  });

  test('src/README.md names each folder of src/', () => {
    const text = existsSync(join(root, 'src/README.md')) ? read('src/README.md') : '';
    const folders = new Set(sources.map(folderOf).filter((folder) => folder !== TOP));
    expect([...folders].filter((folder) => !text.includes(`${folder}/`))).toEqual([]);
  });
});
