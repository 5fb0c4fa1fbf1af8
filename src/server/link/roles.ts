/**
 * Changes of the role of this node, with the directive `replicaof` that CONFIG REWRITE writes.
 * REPLICAOF, FAILOVER and PSYNC FAILOVER change the role. Main thread.
 */
import type { Server } from '../server.ts';
import type { Upstream } from './upstream.ts';

/** Follows `host`:`port`. Returns an error text, or null. */
export function becomeReplica(
  server: Server,
  upstream: Upstream,
  host: string,
  port: number,
): string | null {
  const refusal = server.config.assign('replicaof', [host, String(port)]);
  if (refusal === null) upstream.follow(host, port);
  return refusal;
}

/** Makes this node a primary. */
export function becomePrimary(server: Server, upstream: Upstream): void {
  server.config.assign('replicaof', ['no', 'one']);
  upstream.unfollow();
}
