/**
 * The sections of INFO that snapshots and replication fill. Our own fields go to our own section,
 * the last one.
 */

import type { Listeners } from '../../net/listeners.ts';
import type { Dumps } from '../../persistence/dumps.ts';
import { ownReplicationFields, replicationSection } from '../../primary/info.ts';
import type { Primary } from '../../primary/primary.ts';
import type { InfoRegistry } from './registry.ts';

const OWN = 'headwater_';

export function defineJobInfo(
  info: InfoRegistry,
  dumps: Dumps,
  primary: Primary,
  listeners: Listeners,
): void {
  info.extend('server', () => [...shutdownLines(dumps), ...listenerLines(listeners)]);
  const dumpLines = (own: boolean): string[] =>
    dumps
      .info()
      .filter(([name]) => name.startsWith(OWN) === own)
      .map(([name, value]) => `${name}:${value}`);
  info.define('persistence', () => dumpLines(false));
  info.define('replication', () => linesOf(replicationSection(primary)));
  info.extend('headwater', () => [...dumpLines(true), ...linesOf(ownReplicationFields(primary))]);
}

const linesOf = (text: string): string[] => text.split('\r\n').filter((line) => line !== '');

/** Only while a shutdown waits for replicas. */
function shutdownLines({ shutdown }: Dumps): string[] {
  const { waitMs } = shutdown;
  return waitMs < 0 ? [] : [`shutdown_in_milliseconds:${Math.round(waitMs)}`];
}

/**
 * `listener0:name=tcp,bind=127.0.0.1,port=6379`; the numbers are those of Redis' kinds of
 * connections.
 */
function listenerLines({ views }: Listeners): string[] {
  return views.map(({ name, addresses, port }) => {
    const bound = addresses.map((address) => `,bind=${address}`).join('');
    return `listener${name === 'tcp' ? 0 : 1}:name=${name}${bound}${port === 0 ? '' : `,port=${port}`}`;
  });
}
