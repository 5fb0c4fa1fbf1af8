/**
 * The two connections of a replica that gets its dump by a second one, as Redis 8 and Valkey 8 open
 * them. Each step is a call, so that a test may do something else between any two.
 */
import { Wire } from './wire.ts';

const PORT = 6380;

/** The first connection of both: all up to the answer to PSYNC. */
export async function openMain(
  port: number,
  capability: string,
  listeningPort = PORT,
): Promise<Wire> {
  const main = await Wire.open(port);
  await main.call('PING');
  await main.call('REPLCONF', 'listening-port', listeningPort);
  await main.call('REPLCONF', 'capa', 'eof', 'capa', 'psync2', 'capa', capability);
  return main;
}

/** Redis: PSYNC on the first connection. Returns its client id. */
export async function askRedis(main: Wire): Promise<number> {
  const line = await main.call('PSYNC', '?', -1);
  const id = /^\+RDBCHANNELSYNC (\d+)$/.exec(line)?.[1];
  if (id === undefined) throw new Error(`answered '${line}'`);
  return Number(id);
}

/** Redis: the second connection, all up to PSYNC, whose answer is not waited for. */
export async function openRedisDump(port: number, mainId: number): Promise<Wire> {
  const dump = await Wire.open(port);
  const words = ['capa', 'eof', 'rdb-only', 1, 'rdb-channel', 1, 'main-ch-client-id', mainId];
  const reply = await dump.call('REPLCONF', ...words, 'listening-port', PORT);
  if (reply !== '+OK') throw new Error(reply);
  dump.send('PSYNC', '?', -1);
  return dump;
}

/** The answer to the second connection: `id` and the offset at which its dump stands. */
export interface Granted {
  readonly replid: string;
  readonly offset: number;
}

export async function granted(dump: Wire): Promise<Granted> {
  const line = await dump.line();
  const match = /^\+FULLRESYNC ([0-9a-f]{40}) (\d+)$/.exec(line);
  if (match === null) throw new Error(`answered '${line}'`);
  return { replid: match[1]!, offset: Number(match[2]) };
}

/** Valkey: the second connection, all up to SYNC, whose answer is not waited for. */
export async function openValkeyDump(port: number): Promise<Wire> {
  const dump = await Wire.open(port);
  const words = ['capa', 'eof', 'rdb-only', 1, 'rdb-channel', 1, 'listening-port', PORT];
  const reply = await dump.call('REPLCONF', ...words, 'version', '8.1.3');
  if (reply !== '+OK') throw new Error(reply);
  dump.socket.write('SYNC\r\n');
  return dump;
}

export interface EndOffset extends Granted {
  readonly db: number;
  readonly dumpId: number;
}

export async function endOffset(dump: Wire): Promise<EndOffset> {
  const line = await dump.line();
  const match = /^\$ENDOFF:(\d+) ([0-9a-f]{40}) (\d+) (\d+)$/.exec(line);
  if (match === null) throw new Error(`answered '${line}'`);
  const [, offset, replid, db, dumpId] = match;
  return { replid: replid!, offset: Number(offset), db: Number(db), dumpId: Number(dumpId) };
}

/** Valkey: the stream on the first connection. Returns the answers to both commands. */
export async function continueValkey(main: Wire, end: EndOffset): Promise<string[]> {
  const reply = await main.call('REPLCONF', 'set-rdb-client-id', end.dumpId);
  return [reply, await main.call('PSYNC', end.replid, end.offset + 1)];
}
