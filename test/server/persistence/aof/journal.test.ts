/** The journal over a disk that is slow, full or broken. */
import { expect, test } from 'vitest';
import { createLogger } from '../../../../src/base/log.ts';
import { asOffset } from '../../../../src/base/units.ts';
import type { Block } from '../../../../src/replication/log-cursor.ts';
import { ReplicationHistory } from '../../../../src/replication/replid.ts';
import { StreamLog } from '../../../../src/replication/stream-log.ts';
import { type AofDisk, realAofDisk } from '../../../../src/server/persistence/aof/aof-disk.ts';
import { Journal } from '../../../../src/server/persistence/aof/journal.ts';

const systemError = (code: string): Error => Object.assign(new Error(code), { code });

/** A disk in memory that does what the test says. */
class FakeDisk {
  readonly files = new Map<string, Buffer>();
  readonly opened: string[] = [];
  readonly closed: number[] = [];
  /** Bytes that fit before the disk is full. */
  room = Number.POSITIVE_INFINITY;
  syncFails = false;
  syncs = 0;
  /** Ends of the syncs that run. */
  readonly pending: (() => void)[] = [];

  get disk(): AofDisk {
    return {
      ...realAofDisk,
      openToAppend: (path) => {
        if (!this.files.has(path)) this.files.set(path, Buffer.alloc(0));
        return this.opened.push(path) - 1;
      },
      write: (file, bytes, start, length) => {
        const count = Math.min(length, this.room);
        if (count === 0) throw systemError('ENOSPC');
        this.room -= count;
        const path = this.opened[file]!;
        const copy = Buffer.from(bytes.slice(start, start + count));
        this.files.set(path, Buffer.concat([this.files.get(path)!, copy]));
        return count;
      },
      sync: () =>
        new Promise((resolve, reject) => {
          this.syncs++;
          this.pending.push(() => (this.syncFails ? reject(systemError('EIO')) : resolve()));
        }),
      syncNow: () => {
        this.syncs++;
        if (this.syncFails) throw systemError('EIO');
      },
      close: (file) => {
        this.closed.push(file);
      },
    };
  }

  text(path: string): string {
    return this.files.get(path)!.toString('latin1');
  }

  async endSyncs(): Promise<void> {
    while (this.pending.length > 0) {
      for (const end of this.pending.splice(0)) end();
      await new Promise(setImmediate);
    }
  }
}

function setUp(appendfsync: 'always' | 'everysec' | 'no', aofTimestampEnabled = false) {
  const fake = new FakeDisk();
  const log = new StreamLog(64 * 1024, asOffset(0));
  log.start(asOffset(100));
  const lines: string[] = [];
  let ms = 10_000;
  const state = {
    statuses: 0,
    synced: [] as number[],
    fatal: [] as string[],
    steps: new Set<string>(),
    maySync: true,
  };
  const history = new ReplicationHistory((count) => new Uint8Array(count).fill(0xab));
  const journal: Journal = new Journal({
    log,
    history,
    clock: {
      nowMs: () => ms,
      wallMicros: () => ms * 1000,
      monotonicMs: () => ms,
      micros: () => ms * 1000,
      turnMs: () => ms,
      tick: () => {},
    },
    logger: createLogger({
      level: 'notice',
      format: 'json',
      sink: (line) => lines.push((JSON.parse(line) as { msg: string }).msg),
    }),
    settings: { appendfsync, aofTimestampEnabled },
    disk: fake.disk,
    maySync: () => state.maySync,
    onStatus: () => {
      state.statuses++;
    },
    onLost: () => {},
    onSynced: () => {
      state.synced.push(journal.syncedOffset);
    },
    onStep: (event) => state.steps.add(event),
    fatal: (line) => state.fatal.push(line),
  });
  journal.open('a', 0, new Uint8Array(0));
  const append = (text: string): void => log.append(Buffer.from(text), 0, text.length);
  const pass = (milliseconds: number): void => {
    ms += milliseconds;
  };
  return { fake, log, history, journal, lines, state, append, pass };
}

const HEAD = `#headwater:at ${'ab'.repeat(20)} 100\r\n`;

test('writes before replies, and only what is new', () => {
  const { fake, journal, append } = setUp('no');
  append('one');
  expect(fake.text('a')).toBe(HEAD);
  journal.beforeReplies();
  expect(fake.text('a')).toBe(`${HEAD}one`);
  journal.beforeReplies();
  expect(fake.text('a')).toBe(`${HEAD}one`);
  expect(journal.writtenOffset).toBe(103);
});

test('a full disk keeps the bytes, refuses writes, and is tried again from where it stopped', () => {
  const { fake, journal, append, pass, state, lines } = setUp('everysec');
  fake.room = 2;
  append('one');
  journal.beforeReplies();
  expect(fake.text('a')).toBe(`${HEAD}on`);
  expect(journal.isWriteFailing).toBe(true);
  expect(journal.failure).toBe('No space left on device');
  expect(state.statuses).toBe(1);
  fake.room = 1000;
  append('two');
  // Not with every reply.
  journal.beforeReplies();
  expect(fake.text('a')).toBe(`${HEAD}on`);
  pass(1000);
  journal.tick();
  expect(fake.text('a')).toBe(`${HEAD}onetwo`);
  expect(journal.isWriteFailing).toBe(false);
  expect(state.statuses).toBe(2);
  expect(lines).toEqual([
    'Error writing to the AOF file: No space left on device',
    'AOF write error looks solved, The server can write again.',
  ]);
});

test('everysec syncs once a second, and puts writes off while it does, for two seconds', async () => {
  const { fake, journal, append, pass, state } = setUp('everysec');
  append('one');
  pass(1000);
  journal.beforeReplies();
  expect(fake.syncs).toBe(1);
  append('two');
  pass(100);
  journal.beforeReplies();
  expect(fake.text('a')).toBe(`${HEAD}one`);
  pass(2000);
  journal.beforeReplies();
  expect(fake.text('a')).toBe(`${HEAD}onetwo`);
  expect(journal.delayedSyncs).toBe(1);
  await fake.endSyncs();
  // The sync began before the second write.
  expect(state.synced).toEqual([103]);
  pass(1000);
  journal.tick();
  await fake.endSyncs();
  expect(state.synced).toEqual([103, 106]);
});

test('always is on disk before the reply, or ends the node', () => {
  const { fake, journal, append, state } = setUp('always');
  append('one');
  journal.beforeReplies();
  expect(journal.syncedOffset).toBe(103);
  fake.syncFails = true;
  append('two');
  journal.beforeReplies();
  expect(state.fatal).toEqual([
    "Can't persist AOF for fsync error when the AOF fsync policy is 'always': Input/output error. Exiting...",
  ]);
  expect(journal.syncedOffset).toBe(103);
});

test('the next file is synced behind the one before it, which is closed then', async () => {
  const { fake, journal, append, pass, state } = setUp('everysec');
  append('one');
  expect(journal.moveTo('b', Buffer.from('SELECT'))).toBe(true);
  append('two');
  journal.flush(true);
  expect(fake.text('a')).toBe(`${HEAD}one`);
  expect(fake.text('b')).toBe(
    `#headwater:at ${'ab'.repeat(20)} 103\r\n#headwater:beside 6\r\nSELECTtwo`,
  );
  expect(fake.closed).toEqual([]);
  await fake.endSyncs();
  pass(1000);
  journal.tick();
  await fake.endSyncs();
  expect(fake.closed).toEqual([0]);
  expect(state.synced).toEqual([103, 106]);
});

test('does not leave a file that has not all bytes', () => {
  const { fake, journal, append } = setUp('everysec');
  fake.room = 1;
  append('one');
  expect(journal.moveTo('b', new Uint8Array(0))).toBe(false);
  expect(fake.opened).toEqual(['a']);
  fake.room = 1000;
  journal.flush(true);
  expect(fake.text('a')).toBe(`${HEAD}one`);
});

test('a sync that fails is told, and tried again; nothing counts until a base replaces the file', async () => {
  const { fake, journal, append, pass, state } = setUp('everysec');
  fake.syncFails = true;
  append('one');
  pass(1000);
  journal.tick();
  await fake.endSyncs();
  expect(journal.isSyncFailing).toBe(true);
  expect(state.synced).toEqual([]);
  fake.syncFails = false;
  pass(1000);
  journal.tick();
  await fake.endSyncs();
  expect(journal.isFailing).toBe(false);
  // The system may have dropped the pages that it could not write.
  expect(journal.isBroken).toBe(true);
  expect(state.synced).toEqual([]);
  expect(journal.moveTo('b', new Uint8Array(0))).toBe(true);
  await fake.endSyncs();
  journal.replaced();
  append('two');
  journal.flush(true);
  pass(1000);
  journal.tick();
  await fake.endSyncs();
  expect(state.synced).toEqual([106]);
});

test('what is put off is not compressed: it can be written in one turn', () => {
  const { fake, log, journal, append } = setUp('everysec');
  fake.room = 0;
  for (let i = 0; i < 4; i++) append('x'.repeat(log.blockBytes));
  journal.beforeReplies();
  expect(journal.waitingBytes).toBe(4 * log.blockBytes);
  expect(log.beginPack()).toBeUndefined();
  fake.room = Number.POSITIVE_INFINITY;
  expect(journal.moveTo('b', new Uint8Array(0))).toBe(true);
  expect(log.beginPack()).toBeDefined();
});

test('does not leave a file whose last line is not whole', () => {
  const { fake, journal, history, append, pass } = setUp('no');
  append('one');
  journal.beforeReplies();
  history.adopt('cd'.repeat(20));
  fake.room = 5;
  journal.tick();
  expect(journal.waitingBytes).toBe(0);
  expect(journal.moveTo('b', new Uint8Array(0))).toBe(false);
  fake.room = 1000;
  pass(1000);
  expect(journal.moveTo('b', new Uint8Array(0))).toBe(true);
  expect(fake.text('a')).toBe(`${HEAD}one#headwater:at ${'cd'.repeat(20)} 103\r\n`);
});

test('a new id is told although nothing is streamed under it', () => {
  const { fake, journal, history, append } = setUp('no');
  append('one');
  journal.beforeReplies();
  history.adopt('cd'.repeat(20));
  journal.tick();
  journal.tick();
  expect(fake.text('a')).toBe(`${HEAD}one#headwater:at ${'cd'.repeat(20)} 103\r\n`);
});

test('under always a sync that a rewrite put off comes without another write', () => {
  const { journal, append, state } = setUp('always');
  state.maySync = false;
  append('one');
  journal.beforeReplies();
  expect(state.synced).toEqual([]);
  state.maySync = true;
  journal.tick();
  expect(state.synced).toEqual([103]);
  expect([...state.steps]).toEqual(['aof-write', 'aof-write-alone', 'aof-fsync-always']);
});

test('closing for good waits for the file before, too', () => {
  const { fake, journal, append } = setUp('everysec');
  append('one');
  journal.moveTo('b', new Uint8Array(0));
  const before = fake.syncs;
  journal.close(true);
  expect(fake.syncs - before).toBe(2);
});

test('closes for good with a line that nothing follows', async () => {
  const { fake, journal, append } = setUp('everysec');
  append('one');
  expect(journal.close(true)).toBe(true);
  expect(fake.text('a')).toBe(`${HEAD}one#headwater:end 103\r\n`);
  await fake.endSyncs();
  expect(fake.closed).toEqual([0]);
});

test('under no-appendfsync-on-rewrite nothing is synced while a rewrite runs', async () => {
  const { fake, journal, append, pass, state } = setUp('everysec');
  state.maySync = false;
  append('one');
  pass(2000);
  journal.tick();
  expect(fake.syncs).toBe(0);
  state.maySync = true;
  journal.tick();
  await fake.endSyncs();
  expect(state.synced).toEqual([103]);
});

test('puts no line inside of a command while it waits for a part that was compressed', () => {
  const { fake, log, journal, append, pass } = setUp('no', true);
  let wanted: Block | undefined;
  log.onWanted = (block) => {
    wanted = block;
  };
  fake.room = 0;
  // A unit that ends in the third block.
  const unit = 'x'.repeat(2.5 * log.blockBytes);
  append(unit);
  journal.beforeReplies();
  // The journal keeps what it lacks from being compressed; here it does not.
  log.rawFrom = () => Number.POSITIVE_INFINITY;
  const block = log.beginPack()!;
  const bytes = block.bytes.slice();
  log.packed(block, new Uint8Array(10), 10, 0, 0);
  fake.room = Number.POSITIVE_INFINITY;
  pass(5000);
  journal.tick();
  expect(wanted).toBe(block);
  pass(5000);
  journal.tick();
  const memory = log.takeBlock(block);
  new Uint8Array(memory).set(bytes);
  pass(5000);
  log.unpacked(block, memory);
  append('next');
  journal.beforeReplies();
  expect(journal.waitingBytes).toBe(0);
  const text = fake.text('a');
  expect(text.indexOf(unit)).toBeGreaterThan(0);
  expect(text.replace(unit, '(unit)')).toMatch(/\(unit\)#TS:\d+\r\nnext$/);
});
