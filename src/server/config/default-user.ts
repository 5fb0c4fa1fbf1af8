/**
 * The line `user default …`, which Redis' CONFIG REWRITE leaves in every file. There are no other
 * users here, so the line may only state what is always true, that the user is on and may do
 * everything, and its password.
 */
import { createHash } from 'node:crypto';

export const DEFAULT_USER = 'default';

/** The password in a line: none, itself, or its SHA-256 in hex. All are byte strings. */
export type UserPassword =
  | { readonly kind: 'none' }
  | { readonly kind: 'plain'; readonly text: string }
  | { readonly kind: 'hash'; readonly hex: string };

const OPENS: Readonly<Record<string, 'keys' | 'channels' | 'commands'>> = {
  '~*': 'keys',
  allkeys: 'keys',
  '&*': 'channels',
  allchannels: 'channels',
  '+@all': 'commands',
  allcommands: 'commands',
};
/**
 * Rules without effect on this user: payloads are always checked, and there are no selectors.
 */
const IDLE = ['sanitize-payload', 'clearselectors'];

/** The password of a user that is on and may do everything, or null for any other rules. */
export function passwordOfRules(rules: readonly string[]): UserPassword | null {
  const open = new Set<string>();
  let isOn = false;
  let password: UserPassword | null = null;
  for (const rule of rules) {
    const lower = rule.toLowerCase();
    const opens = Object.hasOwn(OPENS, lower) ? OPENS[lower] : undefined;
    let given: UserPassword | null = null;
    if (opens !== undefined) open.add(opens);
    else if (lower === 'on') isOn = true;
    else if (lower === 'nopass') given = { kind: 'none' };
    else if (rule.startsWith('>')) given = { kind: 'plain', text: rule.slice(1) };
    else if (/^#[0-9a-f]{64}$/.test(rule)) given = { kind: 'hash', hex: rule.slice(1) };
    else if (!IDLE.includes(lower)) return null;
    if (given !== null && password !== null) return null;
    password ??= given;
  }
  return isOn && open.size === 3 ? password : null;
}

/** Whether the line and `requirepass` mean the same; '' is no password. */
export function agrees(password: UserPassword, requirepass: string): boolean {
  switch (password.kind) {
    case 'none':
      return requirepass === '';
    case 'plain':
      return requirepass === password.text;
    default:
      return hashOf(requirepass) === password.hex;
  }
}

/** The rules of the user as Redis writes them. */
export function rulesOf(requirepass: string): string {
  return `on ${requirepass === '' ? 'nopass' : `#${hashOf(requirepass)}`} ~* &* +@all`;
}

const hashOf = (bytes: string): string =>
  createHash('sha256').update(Buffer.from(bytes, 'latin1')).digest('hex');
