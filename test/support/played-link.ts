/** The state of a link as a transcript: events at times, and what each asks the node to do. */
import type { LinkOptions } from '../../src/replication/link-handshake.ts';
import type { CachedStream, LinkAction } from '../../src/replication/link-phase.ts';
import { LinkState } from '../../src/replication/link-state.ts';
import { LoadWay } from '../../src/replication/load-way.ts';

export const LINK_OPTIONS: LinkOptions = {
  user: '',
  password: '',
  listeningPort: 6380,
  announceIp: '',
  version: '',
  capability: '',
  hopsCapability: '',
  replTimeoutMs: 60_000,
  ownId: 'a'.repeat(40),
  failover: false,
  loadWay: LoadWay.BESIDE,
  rdbChannel: false,
  dualChannel: false,
};

export type LinkEvent = (link: LinkState, nowMs: number) => readonly LinkAction[];

export interface PlayedLink {
  readonly link: LinkState;
  readonly log: string[];
  /**
   * Runs an event at a time of the monotonic clock and tells what is to be done, without the lines
   * of the log.
   */
  at(nowMs: number, event: LinkEvent): string[];
}

/** `tell` may say more of an action than {@link told} does: it returns undefined otherwise. */
export function playLink(
  options: Partial<LinkOptions> = {},
  cached?: CachedStream,
  tell: (action: LinkAction) => string | undefined = () => undefined,
): PlayedLink {
  const log: string[] = [];
  const link = new LinkState(
    () => ({ ...LINK_OPTIONS, ...options }),
    () => cached,
  );
  return {
    link,
    log,
    at: (nowMs, event) => {
      const done: string[] = [];
      for (const action of event(link, nowMs)) {
        if (action.kind === 'log') log.push(action.line.text);
        else done.push(tell(action) ?? told(action));
      }
      return done;
    },
  };
}

function told(action: LinkAction): string {
  switch (action.kind) {
    case 'write':
      return action.text;
    case 'full':
      return `full ${action.replid} ${action.offset}`;
    case 'payload':
      return `payload ${action.mark || action.bytes}`;
    case 'continue':
      return `continue ${action.replid || 'same'}`;
    case 'failover':
      return `failover ${action.accepted ? 'accepted' : 'refused'}`;
    default:
      return action.kind;
  }
}
