/** All command tables that need no other part of the server. server/ adds its own tables. */
import { connectionCommands } from './connection.ts';
import { databaseCommands } from './databases.ts';
import { geoCommands } from './geo/commands.ts';
import { hashCommands } from './hash/commands.ts';
import { hyperloglogCommands } from './hyperloglog/commands.ts';
import { expireCommands } from './keys/expire.ts';
import { genericCommands } from './keys/generic.ts';
import { objectCommands } from './keys/object.ts';
import { scanCommands } from './keys/scan.ts';
import { sortCommands } from './keys/sort.ts';
import { listCommands } from './list/commands.ts';
import { setCommands } from './set/commands.ts';
import type { CommandTable } from './spec.ts';
import { streamCommands } from './stream/commands.ts';
import { bitCommands } from './string/bits.ts';
import { stringCommands } from './string/commands.ts';
import { sortedSetCommands } from './zset/commands.ts';

export const commandTables: readonly CommandTable[] = [
  stringCommands,
  bitCommands,
  listCommands,
  hashCommands,
  setCommands,
  hyperloglogCommands,
  sortedSetCommands,
  geoCommands,
  streamCommands,
  genericCommands,
  expireCommands,
  scanCommands,
  sortCommands,
  objectCommands,
  databaseCommands,
  connectionCommands,
];
