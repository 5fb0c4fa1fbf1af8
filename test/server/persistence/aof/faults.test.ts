/**
 * The append only file when something comes in between: a step that fails, a role or a setting that
 * changes while a base is written. A copy of the directory is what a SIGKILL would have left.
 */
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { createLogger } from '../../../../src/base/log.ts';
import { Node } from '../../../../src/node.ts';
import { loadConfig } from '../../../../src/server/config/load.ts';
import { type AofDisk, realAofDisk } from '../../../../src/server/persistence/aof/aof-disk.ts';
import { Gate } from '../../../support/gate.ts';
import { RespClient } from '../../../support/resp-client.ts';
import { temporaryDirectory } from '../../../support/server-process.ts';
import { waitFor } from '../../../support/wait-for.ts';

const systemError = (code: string): Error => Object.assign(new Error(code), { code });

/** Called before a step; it may wait, or throw the step's error. */
type Before = (step: keyof AofDisk, path: string) => void | Promise<void>;

interface Running {
  readonly node: Node;
  readonly client: RespClient;
  readonly directory: string;
  readonly lines: readonly string[];
  readonly appendOnly: Node['dumps']['appendOnly'];
}

const running: Running[] = [];
const gates: Gate[] = [];
afterEach(async () => {
  for (const gate of gates.splice(0)) gate.open();
  for (const { client, node } of running.splice(0)) {
    await client.close();
    await node.stop();
  }
});

/** A gate that the end of the test opens. */
function newGate(state: 'open' | 'closed'): Gate {
  const gate = new Gate(state === 'open');
  gates.push(gate);
  return gate;
}

/** A disk that calls `before` before its steps; those of one turn take no promise. */
function diskWith(before: Before): AofDisk {
  const paths = new Map<number, string>();
  return {
    ...realAofDisk,
    openToAppend: (path) => {
      void before('openToAppend', path);
      const file = realAofDisk.openToAppend(path);
      paths.set(file, path);
      return file;
    },
    write: (file, bytes, start, length) => {
      void before('write', paths.get(file)!);
      return realAofDisk.write(file, bytes, start, length);
    },
    sync: async (file) => {
      await before('sync', paths.get(file)!);
      await realAofDisk.sync(file);
    },
    syncNow: (file) => {
      void before('syncNow', paths.get(file)!);
      realAofDisk.syncNow(file);
    },
    syncFile: async (path) => {
      await before('syncFile', path);
      await realAofDisk.syncFile(path);
    },
    writeWhole: async (path, text) => {
      await before('writeWhole', path);
      await realAofDisk.writeWhole(path, text);
    },
    makeDirectory: async (path) => {
      await before('makeDirectory', path);
      await realAofDisk.makeDirectory(path);
    },
    create: async (path) => {
      await before('create', path);
      return await realAofDisk.create(path);
    },
    rename: async (from, to) => {
      await before('rename', to);
      await realAofDisk.rename(from, to);
    },
    unlink: async (path) => {
      await before('unlink', path);
      await realAofDisk.unlink(path);
    },
    syncDirectory: async (path) => {
      await before('syncDirectory', path);
      await realAofDisk.syncDirectory(path);
    },
  };
}

async function start(
  before: Before,
  lines: readonly string[] = ['appendonly yes'],
  directory = temporaryDirectory('aof-faults'),
): Promise<Running> {
  const options = ['port 0', 'bind 127.0.0.1', 'save ""', `dir ${directory}`, ...lines];
  const config = loadConfig({ options: options.join('\n'), directory });
  const messages: string[] = [];
  const sink = (line: string): void => {
    messages.push((JSON.parse(line) as { msg: string }).msg);
  };
  const log = createLogger({ level: 'notice', format: 'json', sink });
  const node = new Node(config, log, diskWith(before));
  await node.start({ anyPort: true });
  const client = await RespClient.connect(node.port);
  const { appendOnly } = node.dumps;
  const made = { node, client, directory, lines: messages, appendOnly };
  running.push(made);
  return made;
}

/** The value of a key after a SIGKILL now. */
async function afterKill({ directory, appendOnly }: Running, key: string): Promise<unknown> {
  // While a thread syncs, a write is put off and its reply is not, as in Redis.
  await waitFor(() => appendOnly.journal.waitingBytes === 0 && !appendOnly.isRewriting);
  const copy = temporaryDirectory('aof-killed');
  cpSync(directory, copy, { recursive: true });
  const { client } = await start(() => {}, ['appendonly yes'], copy);
  return await client.call('GET', key);
}

/** The node may have begun one by itself, after a sync that failed. */
async function rewrite(client: RespClient): Promise<void> {
  const answer = await client.call('BGREWRITEAOF').catch((error: Error) => error.message);
  expect(answer).toMatch(/rewriting (?:started|scheduled|already in progress)/);
}

const isOn = ({ appendOnly }: Running): boolean =>
  appendOnly.state === 'on' && !appendOnly.isRewriting;

test('a first base that fails is made again in a file that nobody writes to', async () => {
  let creates = 0;
  const made = await start(
    (step) => {
      if (step === 'create' && ++creates === 1) throw systemError('ENOSPC');
    },
    ['appendonly no'],
  );
  const { client, appendOnly } = made;
  // A write between the new file of the second try and the freeze of its base. That try comes after
  // a second, also when nobody is ready for it.
  const { createIncrement } = appendOnly.files;
  let increments = 0;
  appendOnly.files.createIncrement = async (after) => {
    const increment = await createIncrement.call(appendOnly.files, after);
    if (++increments === 2) await client.call('INCR', 'n');
    return increment;
  };
  await client.call('CONFIG', 'SET', 'appendonly', 'yes');
  await waitFor(() => creates === 1 && !appendOnly.isRewriting);
  await client.call('INCR', 'n');
  await waitFor(() => isOn(made));
  expect(increments).toBe(2);
  await client.call('INCR', 'n');
  expect(await client.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);
  expect(await client.call('GET', 'n')).toBe('3');
  expect(await afterKill(made, 'n')).toBe('3');
  // What the first try has left is gone.
  expect(readdirSync(appendOnly.files.directory)).toHaveLength(3);
});

test('turned off and on while the manifest is written: it is on, and has everything', async () => {
  let toggle = false;
  const made = await start(async (step, path) => {
    if (!toggle || step !== 'rename' || !path.endsWith('.manifest')) return;
    toggle = false;
    await made.client.call('CONFIG', 'SET', 'appendonly', 'no');
    await made.client.call('SET', 'a', '1');
    await made.client.call('CONFIG', 'SET', 'appendonly', 'yes');
  });
  const { client, appendOnly } = made;
  await client.call('CONFIG', 'SET', 'appendonly', 'no');
  toggle = true;
  await client.call('CONFIG', 'SET', 'appendonly', 'yes');
  await waitFor(() => !toggle && isOn(made));
  await client.call('SET', 'b', '2');
  expect(await client.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);
  expect(appendOnly.journal.isOpen).toBe(true);
  expect(await afterKill(made, 'a')).toBe('1');
  expect(await afterKill(made, 'b')).toBe('2');
});

test('turned off while the manifest is written: it stays off, and can be turned on', async () => {
  let renames = 0;
  let toggle = false;
  const made = await start(async (step, path) => {
    // The first manifest names the increment, the second one the base.
    if (!toggle || step !== 'rename' || !path.endsWith('.manifest') || ++renames < 2) return;
    toggle = false;
    await made.client.call('CONFIG', 'SET', 'appendonly', 'no');
  });
  const { client, appendOnly } = made;
  toggle = true;
  await client.call('BGREWRITEAOF');
  await waitFor(() => !toggle && !appendOnly.isRewriting);
  expect(appendOnly.state).toBe('off');
  await client.call('SET', 'a', '1');
  await client.call('CONFIG', 'SET', 'appendonly', 'yes');
  await client.call('SET', 'b', '1');
  expect(await client.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);
  expect(await afterKill(made, 'a')).toBe('1');
  expect(await afterKill(made, 'b')).toBe('1');
});

test('a stream that ends while the manifest is written: nothing is confirmed before a new base', async () => {
  let lose = false;
  const made = await start((step, path) => {
    if (!lose || step !== 'rename' || !path.endsWith('.manifest')) return;
    lose = false;
    made.appendOnly.streamLost();
  });
  const { client, appendOnly } = made;
  await client.call('CONFIG', 'SET', 'appendonly', 'no');
  lose = true;
  await client.call('CONFIG', 'SET', 'appendonly', 'yes');
  let isWrong = false;
  await waitFor(() => {
    isWrong ||= appendOnly.state === 'on' && !appendOnly.journal.isOpen;
    return !lose && isOn(made);
  });
  expect(isWrong).toBe(false);
  await client.call('SET', 'a', '1');
  expect(await client.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);
  expect(await afterKill(made, 'a')).toBe('1');
});

test('what was read at the start is brought to the disk before anything counts as there', async () => {
  const first = await start(() => {});
  await first.client.call('SET', 'a', '1');
  await first.node.stop();
  const steps: string[] = [];
  await start(
    (step, path) => {
      steps.push(`${step} ${path.split('/').at(-1)}`);
    },
    ['appendonly yes'],
    first.directory,
  );
  expect(steps.slice(0, 4)).toEqual([
    'syncFile appendonly.aof.1.base.rdb',
    'syncFile appendonly.aof.1.incr.aof',
    'syncDirectory appendonlydir',
    'openToAppend appendonly.aof.1.incr.aof',
  ]);
});

test('WAITAOF ends with an error when the file is turned off', async () => {
  const gate = newGate('closed');
  const made = await start((step) => {
    if (step === 'syncNow') throw systemError('EIO');
    return step === 'sync' ? gate.pass() : undefined;
  });
  const { client, node } = made;
  const other = await RespClient.connect(node.port);
  await client.call('SET', 'a', '1');
  const waiting = client.call('WAITAOF', '1', '0', '0').catch((error: Error) => error.message);
  await waitFor(() => node.primary.waiters.count === 1);
  await other.call('CONFIG', 'SET', 'appendonly', 'no');
  gate.open();
  expect(String(await waiting)).toContain('appendonly is disabled');
  await other.close();
});

test('SHUTDOWN is refused while the first base is on its way, as in Redis', async () => {
  const gate = newGate('closed');
  const made = await start(
    (step) => (step === 'create' ? gate.pass() : undefined),
    ['appendonly no'],
  );
  const { client, lines } = made;
  await client.call('SET', 'a', '1');
  await client.call('CONFIG', 'SET', 'appendonly', 'yes');
  await waitFor(() => made.appendOnly.isRewriting);
  const refusal = await client.call('SHUTDOWN', 'NOSAVE').catch((error: Error) => error.message);
  expect(String(refusal)).toContain('Errors trying to SHUTDOWN');
  expect(lines).toContain("Writing initial AOF, can't exit.");
  gate.open();
  await waitFor(() => isOn(made));
  await client.call('SET', 'b', '1');
  expect(await afterKill(made, 'a')).toBe('1');
});

test('the end of a node ends its file', async () => {
  const made = await start(() => {});
  await made.client.call('SET', 'a', '1');
  await made.node.stop();
  const file = join(made.directory, 'appendonlydir', 'appendonly.aof.1.incr.aof');
  expect(readFileSync(file, 'latin1')).toMatch(/#headwater:end \d+\r\n$/);
});

test('a stream that goes on elsewhere inside of a file is damage, and nothing is set aside', async () => {
  const made = await start(() => {});
  await made.client.call('SET', 'a', '1');
  await made.node.stop();
  const folder = join(made.directory, 'appendonlydir');
  const file = join(folder, 'appendonly.aof.1.incr.aof');
  const text = readFileSync(file, 'latin1').replace(/#headwater:end.*\r\n/, '');
  const replid = /at ([0-9a-f]{40})/.exec(text)![1]!;
  const damaged = `${text}#headwater:at ${replid} 999999\r\n*1\r\n$4\r\nPING\r\n`;
  writeFileSync(file, damaged, 'latin1');
  await expect(start(() => {}, ['appendonly yes'], made.directory)).rejects.toThrow();
  expect(readFileSync(file, 'latin1')).toBe(damaged);
  expect(readdirSync(folder)).toHaveLength(3);
});

test('a directory that cannot be made is told at once', async () => {
  const made = await start(() => {}, ['appendonly no']);
  writeFileSync(join(made.directory, 'appendonlydir'), '');
  const answer = made.client.call('CONFIG', 'SET', 'appendonly', 'yes');
  await expect(answer).rejects.toThrow('Unable to turn on AOF. Check server logs.');
  expect(await made.client.call('CONFIG', 'GET', 'appendonly')).toEqual(['appendonly', 'no']);
  expect(made.appendOnly.state).toBe('off');
});

test('with another dir the file begins again there', async () => {
  const made = await start(() => {}, ['appendonly yes', 'enable-protected-configs yes']);
  const { client, appendOnly } = made;
  await client.call('SET', 'a', '1');
  const directory = temporaryDirectory('aof-moved');
  await client.call('CONFIG', 'SET', 'dir', directory);
  await client.call('SET', 'b', '1');
  expect(await client.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);
  expect(appendOnly.files.directory.startsWith(directory)).toBe(true);
  expect(await afterKill({ ...made, directory }, 'a')).toBe('1');
  expect(await afterKill({ ...made, directory }, 'b')).toBe('1');
});

test('after a sync that failed a new base is made before anything is confirmed', async () => {
  let fails = false;
  const made = await start((step) => {
    if (step === 'sync' && fails) throw systemError('EIO');
  });
  const { client, appendOnly } = made;
  fails = true;
  await client.call('SET', 'a', '1');
  await waitFor(() => appendOnly.journal.isBroken);
  const { rewrites } = appendOnly;
  expect(appendOnly.journal.failure).toBe('Input/output error');
  const refusal = await client.call('SET', 'b', '1').catch((error: Error) => error.message);
  expect(refusal).toBe('SET: MISCONF Errors writing to the AOF file: Input/output error');
  fails = false;
  await waitFor(() => appendOnly.rewrites > rewrites && !appendOnly.journal.isFailing);
  await client.call('SET', 'b', '2');
  expect(await client.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);
  expect(await afterKill(made, 'b')).toBe('2');
});

test('each step of a rewrite may fail once: the node goes on, and nothing is lost', async () => {
  const steps: (keyof AofDisk)[] = [
    'openToAppend',
    'write',
    'sync',
    'writeWhole',
    'makeDirectory',
    'create',
    'rename',
    'unlink',
    'syncDirectory',
  ];
  let failing: keyof AofDisk | undefined;
  const made = await start((step) => {
    if (step !== failing) return;
    failing = undefined;
    throw systemError(step === 'openToAppend' || step === 'create' ? 'EMFILE' : 'ENOSPC');
  });
  const { client, appendOnly } = made;
  let count = 0;
  for (const step of steps) {
    failing = step;
    await rewrite(client);
    await waitFor(() => failing === undefined && !appendOnly.isRewriting, { what: step });
    await waitFor(() => !appendOnly.journal.isFailing, { what: `the end of ${step}` });
    await client.call('INCR', 'n');
    count++;
    expect(await afterKill(made, 'n'), step).toBe(String(count));
    expect(await client.call('WAITAOF', '1', '0', '0'), step).toEqual([1, 0]);
    // The next one is done well, whatever was left.
    await waitFor(() => !appendOnly.isRewriting);
    const { rewrites } = appendOnly;
    await rewrite(client);
    await waitFor(() => appendOnly.rewrites > rewrites && isOn(made), { what: `after ${step}` });
    expect(await afterKill(made, 'n'), step).toBe(String(count));
  }
}, 180_000);

test('BGSAVE says that a base is being written, and waits for it when it is scheduled', async () => {
  const gate = newGate('open');
  const made = await start((step) => (step === 'create' ? gate.pass() : undefined));
  const { client, node, lines } = made;
  gate.close();
  await client.call('BGREWRITEAOF');
  // The worker is done with a small dataset long before the disk.
  const { snapshots } = node.dumps;
  await waitFor(() => gate.waitingCount === 1 && snapshots.inProgress === undefined);
  await expect(client.call('BGSAVE')).rejects.toThrow("can't BGSAVE right now");
  expect(await client.call('BGSAVE', 'SCHEDULE')).toBe('Background saving scheduled');
  expect((await client.info('persistence')).get('rdb_bgsave_in_progress')).toBe('0');
  gate.open();
  await waitFor(() => node.dumps.persistence.saveCount === 1);
  for (const line of [
    'Background append only file rewriting started by pid',
    'Background AOF rewrite terminated with success',
    'Successfully renamed the temporary AOF base file',
    'Removing the history file appendonly.aof.1.incr.aof in the background',
    'Background AOF rewrite finished successfully',
  ]) {
    await waitFor(() => lines.some((each) => each.startsWith(line)), { what: line });
  }
});

test('DEBUG RELOAD NOSAVE begins the file again: the older dump is not what the stream has made', async () => {
  const made = await start(() => {}, ['appendonly yes', 'enable-debug-command yes']);
  const { client } = made;
  await client.call('SET', 'a', '1');
  await client.call('SAVE');
  await client.call('SET', 'a', '2');
  expect(await client.call('DEBUG', 'RELOAD', 'NOSAVE')).toBe('OK');
  await client.call('SET', 'b', '1');
  expect(await client.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);
  expect(await client.call('GET', 'a')).toBe('1');
  expect(await afterKill(made, 'a')).toBe('1');
});

test('a client in WAITAOF is let go when the node becomes a replica', async () => {
  const gate = newGate('closed');
  const made = await start((step) => (step === 'sync' ? gate.pass() : undefined));
  const { client, node } = made;
  const other = await RespClient.connect(node.port);
  await client.call('SET', 'a', '1');
  const waiting = client.call('WAITAOF', '1', '0', '0').catch((error: Error) => error.message);
  await waitFor(() => node.primary.waiters.count === 1);
  await other.call('REPLICAOF', '127.0.0.1', '1');
  expect(await waiting).toContain('UNBLOCKED force unblock from blocking operation');
  await other.close();
});
