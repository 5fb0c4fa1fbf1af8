/** The sections of INFO that snapshots and replication fill. Fields of our own go to our own section, the last one. */

import type { Dumps } from '../../persistence/dumps.ts';
import { forklessReplicationFields, replicationSection } from '../../primary/info.ts';
import type { Primary } from '../../primary/primary.ts';
import type { InfoRegistry } from './registry.ts';

const OWN = 'headwater_';

export function defineJobInfo(info: InfoRegistry, dumps: Dumps, primary: Primary): void {
  const dumpLines = (own: boolean): string[] =>
    dumps
      .info()
      .filter(([name]) => name.startsWith(OWN) === own)
      .map(([name, value]) => `${name}:${value}`);
  info.define('persistence', () => dumpLines(false));
  info.define('replication', () => linesOf(replicationSection(primary)));
  info.extend('forkless', () => {
    const lines = new Map<string, string>();
    for (const line of [...dumpLines(true), ...linesOf(forklessReplicationFields(primary))]) {
      lines.set(line.slice(0, line.indexOf(':')), line);
    }
    return [...lines.values()];
  });
}

const linesOf = (text: string): string[] => text.split('\r\n').filter((line) => line !== '');
