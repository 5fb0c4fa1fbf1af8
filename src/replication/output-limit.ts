/**
 * `client-output-buffer-limit` disconnects a client that does not read. The same rule applies to a
 * replica's lag behind the log and to the replies that wait for a normal or a pub/sub client.
 *
 *   hard   ends a client that is at or above it
 *   soft   ends a client that is at or above it for longer than softMs without a break
 *
 * A limit of 0 is off. The only state is the start of a soft breach. Ask when bytes were added, and
 * on a clock, since a soft breach must end an idle client as well.
 */

export interface OutputLimit {
  readonly hardBytes: number;
  readonly softBytes: number;
  readonly softMs: number;
}

export const OutputVerdict = { WITHIN: 0, HARD: 1, SOFT: 2 } as const;
export type OutputVerdict = (typeof OutputVerdict)[keyof typeof OutputVerdict];

/** One client's state between the limits. */
export class OutputGauge {
  /** Since when the soft limit has been exceeded, or -1. */
  softSinceMs: number;

  constructor() {
    this.softSinceMs = -1;
  }

  /** Checks `bytes` that wait for the client at `nowMs`. */
  judge(limit: OutputLimit, bytes: number, nowMs: number): OutputVerdict {
    if (limit.softBytes === 0 || bytes < limit.softBytes) this.softSinceMs = -1;
    else if (this.softSinceMs === -1) this.softSinceMs = nowMs;
    if (limit.hardBytes !== 0 && bytes >= limit.hardBytes) return OutputVerdict.HARD;
    if (this.softSinceMs !== -1 && nowMs - this.softSinceMs > limit.softMs)
      return OutputVerdict.SOFT;
    return OutputVerdict.WITHIN;
  }
}

/**
 * The limit for replicas. A hard limit below the backlog's size would disconnect peers that the
 * backlog could have brought back, so it is raised to that size.
 */
export function replicaLimit(limit: OutputLimit, backlogBytesMax: number): OutputLimit {
  if (limit.hardBytes === 0 || limit.hardBytes >= backlogBytesMax) return limit;
  return { hardBytes: backlogBytesMax, softBytes: limit.softBytes, softMs: limit.softMs };
}

/** Whether a client that begins with `bytes` waiting would be cut off before it has read one. */
export function passesAtOnce(limit: OutputLimit, bytes: number): boolean {
  if (limit.hardBytes !== 0 && bytes >= limit.hardBytes) return true;
  return limit.softBytes !== 0 && limit.softMs === 0 && bytes >= limit.softBytes;
}

/** The log line of a disconnection; `client` describes the client as CLIENT LIST does. */
export function cutOffText(client: string): string {
  return `Client ${client} scheduled to be closed ASAP for overcoming of output buffer limits.`;
}
