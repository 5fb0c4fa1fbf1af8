/** All command tables that need nothing of the server around them; server/ adds its own. */
import { connectionCommands } from './connection.ts';
import type { CommandTable } from './spec.ts';

export const commandTables: readonly CommandTable[] = [connectionCommands];
