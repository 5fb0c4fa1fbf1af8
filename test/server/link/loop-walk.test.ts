/** What a walk reads in INFO of other nodes, and where it goes from there. */
import { describe, expect, test } from 'vitest';
import { LinkTrouble, LinkTroubleKind } from '../../../src/replication/link-trouble.ts';
import { hostSeenFrom, sighting } from '../../../src/server/link/loop-walk.ts';

const ID = '0a'.repeat(20);
const OTHER = '0b'.repeat(20);
const info = (...lines: string[]): string => lines.map((line) => `${line}\r\n`).join('');

describe('a sighting', () => {
  test('of a replica names its primary', () => {
    const text = info(
      ...['# Server', `run_id:${ID}`, 'tcp_port:1', '# Replication', 'role:slave'],
      ...['master_host:10.0.0.9', 'master_port:6380', 'master_link_status:down'],
    );
    expect(sighting(text)).toEqual({ id: ID, above: { host: '10.0.0.9', port: 6380 } });
  });

  test.each([
    ['a primary', ['role:master']],
    ['a replica without a port', ['role:slave', 'master_host:a']],
    ['a replica whose port is none', ['role:slave', 'master_host:a', 'master_port:70000']],
    [
      'a replica whose host has a byte that is no letter',
      ['role:slave', 'master_host:a\0b', 'master_port:1'],
    ],
    ['a replica whose host has a blank', ['role:slave', 'master_host:a b', 'master_port:1']],
  ])('of %s names none', (_, lines) => {
    expect(sighting(info(`run_id:${ID}`, ...lines))).toEqual({ id: ID, above: undefined });
  });

  test('of what is no server has no id', () => {
    expect(sighting('HTTP/1.1 400\r\n')).toEqual({ id: '', above: undefined });
  });
});

test.each([
  ['10.0.0.1', '10.0.0.2', '10.0.0.2'],
  ['10.0.0.1', '127.0.0.1', '10.0.0.1'],
  ['10.0.0.1', 'localhost', '10.0.0.1'],
  ['::2', '::1', '::2'],
  ['127.0.0.1', '127.0.0.1', '127.0.0.1'],
  ['127.0.0.1', '10.0.0.2', '10.0.0.2'],
])('seen from a node at %s, %s is %s', (node, host, seen) => {
  expect(hostSeenFrom(node, host)).toBe(seen);
});

describe('a refusal without a path', () => {
  const line = "-NOMASTERLINK Can't SYNC while not connected with my master";

  test('is a loop once a walk has come back to this node, with pauses that grow', () => {
    const trouble = new LinkTrouble();
    expect(trouble.refused(line, ID)).toBe(1000);
    expect(trouble.isUnnamed).toBe(true);
    trouble.walked([OTHER, ID]);
    expect([1, 2, 3, 4, 5].map(() => trouble.refused(line, ID))).toEqual([
      ...[1000, 2000, 4000, 8000, 8000],
    ]);
    expect(trouble.kind).toBe(LinkTroubleKind.LOOP);
    expect(trouble.pathBelow(ID)).toBe(`${ID} ${OTHER} ${ID}`);
    trouble.walked([OTHER]);
    expect(trouble.refused(line, ID)).toBe(1000);
    expect(trouble.kind).toBe(LinkTroubleKind.NONE);
  });

  test('forgets the walk when the primary answers, or names a path itself', () => {
    const trouble = new LinkTrouble();
    trouble.refused(line, ID);
    trouble.walked([OTHER, ID]);
    trouble.answered();
    expect(trouble.isUnnamed).toBe(false);
    trouble.refused(line, ID);
    expect(trouble.path).toEqual([]);
    trouble.walked([OTHER, ID]);
    trouble.refused(`${line}: ${OTHER}`, ID);
    expect([trouble.isUnnamed, trouble.path, trouble.kind]).toEqual([false, [OTHER], 'none']);
  });

  test('takes nothing for a path that is none', () => {
    const trouble = new LinkTrouble();
    trouble.walked(['', ID]);
    trouble.refused(line, ID);
    expect(trouble.path).toEqual([]);
    trouble.walked(Array(17).fill(ID));
    trouble.refused(line, ID);
    expect(trouble.path).toEqual([]);
  });
});
