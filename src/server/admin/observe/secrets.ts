/** Arguments that neither MONITOR nor SLOWLOG may show: passwords. */
import type { Request } from '../../../resp/request.ts';
import { lookupDirective } from '../../config/config.ts';
import { directiveOf } from '../../config/directives.ts';
import type { CommandRow } from '../../dispatch/command-lookup.ts';

export const REDACTED = '(redacted)';

/** Whether argument `index` of a request for `row` is a secret. */
export function isSecret(row: CommandRow, request: Request, index: number): boolean {
  switch (row.fullName) {
    case 'auth':
      return index > 0;
    case 'hello':
      return index > 2 && isAfterAuth(request, index);
    case 'config|set':
      return index > 2 && index % 2 === 1 && isSensitive(request.latin1(index - 1));
    default:
      return false;
  }
}

function isAfterAuth(request: Request, index: number): boolean {
  return (
    request.equalsIgnoreCase(index - 1, 'AUTH') ||
    (index > 3 && request.equalsIgnoreCase(index - 2, 'AUTH'))
  );
}

function isSensitive(name: string): boolean {
  const directive = lookupDirective(name);
  return directive !== undefined && directiveOf(directive).sensitive === true;
}
