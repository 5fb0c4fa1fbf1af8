/** All command tables that need nothing of the server around them; server/ adds its own. */
import { bitCommands } from './bits.ts';
import { connectionCommands } from './connection.ts';
import { databaseCommands } from './databases.ts';
import { expireCommands } from './expire.ts';
import { genericCommands } from './generic.ts';
import { geoCommands } from './geo.ts';
import { hashCommands } from './hash.ts';
import { hyperloglogCommands } from './hyperloglog.ts';
import { listCommands } from './list.ts';
import { objectCommands } from './object.ts';
import { scanCommands } from './scan.ts';
import { setCommands } from './set.ts';
import { sortCommands } from './sort.ts';
import type { CommandTable } from './spec.ts';
import { streamCommands } from './stream.ts';
import { stringCommands } from './string.ts';
import { sortedSetCommands } from './zset.ts';

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
