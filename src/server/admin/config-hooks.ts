/**
 * Hooks of CONFIG SET, for values that their users do not read again each time. Each hook is called
 * once after the values are set, and again with the old ones when a later hook refuses.
 */

import { EventClass } from '../../commands/ports.ts';
import type { Dispatcher } from '../dispatch/dispatcher.ts';
import type { Housekeeping } from '../housekeeping.ts';
import type { Listeners } from '../net/listeners.ts';
import type { Server } from '../server.ts';
import { Obstacle } from '../server.ts';
import { setAuthenticated } from './auth/handshake.ts';
import type { Descriptors } from './clients/descriptors.ts';
import type { ClientEviction } from './clients/eviction.ts';
import type { SlowLog } from './observe/slow-log.ts';

const EVENTS_TO_SOMEBODY = EventClass.KEYSPACE | EventClass.KEYEVENT;
const MS_PER_SECOND = 1000;

/** Applies the present configuration, and from now on every change. */
export function hookConfig(parts: {
  readonly server: Server;
  readonly dispatcher: Dispatcher;
  readonly housekeeping: Housekeeping;
  readonly slowLog: SlowLog;
  readonly descriptors: Descriptors;
  readonly eviction: ClientEviction;
  readonly listeners: Listeners;
}): void {
  const { server, dispatcher, housekeeping, slowLog, descriptors, eviction, listeners } = parts;
  const { config, log } = server;
  const { values } = config;

  /** Applies now and after each change of one of the directives. */
  const keep = (names: Parameters<typeof config.onChange>[0], apply: () => void): void => {
    apply();
    config.onChange(names, () => {
      apply();
      return null;
    });
  };

  keep(['loglevel'], () => {
    log.level = values.loglevel;
  });
  keep(['proto-max-bulk-len', 'client-query-buffer-limit'], () => {
    server.requestLimits.bulkBytesMax = values.protoMaxBulkLen;
    server.requestLimits.queryBytesMax = values.clientQueryBufferLimit;
  });
  keep(['client-output-buffer-limit'], () => {
    for (const name of ['normal', 'pubsub'] as const) {
      const { hardBytes, softBytes, softSeconds } = values.clientOutputBufferLimit[name];
      server.outputLimits[name] = { hardBytes, softBytes, softMs: softSeconds * MS_PER_SECOND };
    }
  });
  keep(['notify-keyspace-events'], () => {
    // Without K and E no channel gets any event.
    const classes = values.notifyKeyspaceEvents;
    server.eventClasses = (classes & EVENTS_TO_SOMEBODY) === 0 ? 0 : classes;
  });
  keep(['slowlog-log-slower-than', 'slowlog-max-len', 'latency-monitor-threshold'], () => {
    const slow =
      values.slowlogLogSlowerThan < 0 ? Number.POSITIVE_INFINITY : values.slowlogLogSlowerThan;
    const spike = values.latencyMonitorThreshold * 1000 || Number.POSITIVE_INFINITY;
    dispatcher.slowMicros = Math.min(slow, spike);
    slowLog.trim();
  });
  keep(['maxmemory'], () => {
    server.setObstacle(Obstacle.MEMORY_LIMIT, values.maxmemory > 0);
  });
  keep(['maxmemory-clients', 'maxmemory'], () => eviction.applyLimit());
  keep(['latency-tracking'], () => {
    dispatcher.clock.trackLatency = values.latencyTracking;
  });
  keep(['requirepass'], () => {
    // Authenticated clients stay so. Without a password all clients are.
    if (values.requirepass !== '') return;
    for (const connection of server.clients.values()) setAuthenticated(connection, true);
  });
  config.onChange(['hz'], () => {
    housekeeping.restart();
    return null;
  });
  config.onChange(['tcp-keepalive'], () => {
    for (const { socket } of server.clients.values()) {
      socket.setKeepAlive(values.tcpKeepalive > 0, values.tcpKeepalive * MS_PER_SECOND);
    }
    return null;
  });
  config.onChange(['maxclients'], () => descriptors.refusal());
  let addresses = { hosts: values.bind, port: values.port };
  config.onChange(['port', 'bind'], () => {
    const to = { hosts: values.bind, port: values.port };
    // Called with the old values after another directive was refused, or after this one was.
    const isOld = to.port === addresses.port && to.hosts.join() === addresses.hosts.join();
    if (isOld || listeners.move(to, (line) => log.warning(line))) {
      addresses = to;
      return null;
    }
    return to.port === addresses.port
      ? 'Failed to bind to specified addresses.'
      : 'Unable to listen on this port. Check server logs.';
  });
}
