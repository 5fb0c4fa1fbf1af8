/**
 * The table of directives against the program and against docs/directives.md: what is marked as
 * obeyed is read somewhere and has a test, and what is not read is told to have no effect.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { Tier } from '../../../src/server/config/directive.ts';
import {
  type DirectiveName,
  directiveNames,
  directiveOf,
  fieldOf,
} from '../../../src/server/config/directives.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** Values that the loader reads to say that they have no effect. */
const READ_FOR_A_WARNING: readonly DirectiveName[] = ['daemonize'];

/** The sources that may read a value: all but the tables of the configuration. */
const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter(
    (file) => file.endsWith('.ts') && !/server\/config\/(?:directives|kinds|help)\.ts$/.test(file),
  )
  .map((file) =>
    readFileSync(join(root, 'src', file), 'utf8').replace(
      /^\s*(?:\/\*\*?[\s\S]*?\*\/|\/\/.*)$/gm,
      '',
    ),
  );

/** Whether some source reads the value: as a field, as a part of a pattern, or its text by name. */
function isRead(name: DirectiveName): boolean {
  const field = fieldOf(name);
  const patterns = [
    new RegExp(`(?:values|settings|limits|from|config)\\??\\.${field}\\b`),
    new RegExp(`\\{[^{}]*\\b${field}\\b[^{}]*\\} = [^;]*(?:values|settings)\\b`),
    new RegExp(`config\\.(?:text|bytes)\\('${name}'\\)`),
  ];
  return sources.some((source) => patterns.some((pattern) => pattern.test(source)));
}

describe('the program', () => {
  test.each(directiveNames.filter((name) => directiveOf(name).tier === Tier.OBEYED))(
    'reads %s',
    (name) => {
      expect(isRead(name)).toBe(true);
    },
  );

  test('reads none that is told to have no effect', () => {
    const idle = directiveNames.filter((name) => directiveOf(name).tier === Tier.ACCEPTED);
    expect(idle.filter((name) => isRead(name) && !READ_FOR_A_WARNING.includes(name))).toEqual([]);
  });
});

describe('docs/directives.md', () => {
  const rows = readFileSync(join(root, 'docs/directives.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  const cellsOf = new Map(
    rows.map(([name, ...cells]) => [name!.replaceAll('`', ''), cells] as const),
  );

  test('has one row for each directive, in the order of the table', () => {
    expect([...cellsOf.keys()]).toEqual(directiveNames);
    expect(rows).toHaveLength(directiveNames.length);
  });

  test.each(directiveNames)('%s: default, effect and test', (name) => {
    const { tier, kind, alias, help } = directiveOf(name);
    const [given, effect, where] = cellsOf.get(name)!;
    expect(given).toBe(kind.initial.text === '' ? 'none' : `\`${kind.initial.text}\``);
    expect(effect).toContain(help.replaceAll('|', '\\|'));
    if (tier === Tier.ACCEPTED) {
      expect(effect).toMatch(/^accepted without effect: /);
      expect(where).toBe('');
      return;
    }
    if (tier === Tier.REFUSED) expect(effect).toMatch(/^only `.*` is accepted: /);
    const file = join(root, 'test', where!.replaceAll('`', ''));
    expect([where, existsSync(file)]).toEqual([where, true]);
    const text = readFileSync(file, 'utf8');
    const names = [name, fieldOf(name), ...(alias === undefined ? [] : [alias])];
    expect([where, names.some((one) => text.includes(one))]).toEqual([where, true]);
  });
});
