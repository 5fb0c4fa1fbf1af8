/**
 * Writes the commands that make one entry again: SET, RPUSH, SADD, ZADD or HMSET, those of a stream,
 * and PEXPIREAT. Runs on the thread of the snapshot over an image. Hot path.
 */
import { unreachable } from '../../base/assert.ts';
import type { ByteKernels } from '../../kernels/kernels.ts';
import { metaEncoding, metaHeaderBytes, metaType, ValueType } from '../../keyspace/entry.ts';
import { EntryHead } from '../entry-head.ts';
import { ObjectCopy } from '../object-copy.ts';
import type { ObjectReader } from '../object-reader.ts';
import { RdbType } from '../opcodes.ts';
import { HashSaver } from '../save-hash.ts';
import { ListSaver } from '../save-list.ts';
import { SetSaver } from '../save-set.ts';
import { SortedSetSaver } from '../save-zset.ts';
import type { DumpSink } from '../sink.ts';
import { CommandWriter, type CommandWriterOptions } from './command-writer.ts';
import { StreamRewriter } from './stream-rewriter.ts';

export class EntryRewriter {
  readonly #commands: CommandWriter;
  readonly #head: EntryHead;
  readonly #longKey: ObjectCopy;
  readonly #lists: ListSaver;
  readonly #hashes: HashSaver;
  readonly #sets: SetSaver;
  readonly #sortedSets: SortedSetSaver;
  readonly #streams: StreamRewriter;

  constructor(
    reader: ObjectReader,
    kernels: ByteKernels,
    sink: DumpSink,
    options: CommandWriterOptions,
  ) {
    const commands = new CommandWriter(reader, kernels, sink, options);
    this.#commands = commands;
    this.#head = new EntryHead(commands);
    this.#longKey = new ObjectCopy(reader);
    this.#lists = new ListSaver(commands);
    this.#hashes = new HashSaver(commands);
    this.#sets = new SetSaver(commands);
    this.#sortedSets = new SortedSetSaver(commands);
    this.#streams = new StreamRewriter(commands);
  }

  /** Writes the command that selects a database. */
  select(index: number): void {
    this.#commands.command(2, 'SELECT');
    this.#commands.number(index);
  }

  /** Writes the command that loads a library of functions. */
  library(code: Uint8Array): void {
    this.#commands.command(3, 'FUNCTION');
    this.#commands.word('LOAD');
    this.#commands.bytes(code, 0, code.length);
  }

  /** Writes all commands of `entry`. The sink is settled, and is so afterwards. */
  rewrite(entry: number): void {
    const head = this.#head;
    const commands = this.#commands;
    head.read(entry);
    if (metaType(head.meta) === ValueType.STRING && head.deadline < 0) {
      commands.command(3, 'SET');
      head.writeKey(entry);
      head.writeString(entry);
      return;
    }
    this.#takeKey(entry);
    this.#writeValue(entry);
    if (head.deadline < 0) return;
    commands.command(3, 'PEXPIREAT');
    commands.key();
    commands.number(head.deadline);
  }

  #takeKey(entry: number): void {
    const { meta, keyBytes, staged } = this.#head;
    const commands = this.#commands;
    const header = metaHeaderBytes(meta);
    if (staged) {
      commands.takeKey(commands.sink.memory, commands.start + header, keyBytes);
      return;
    }
    this.#longKey.read(entry, header + keyBytes);
    commands.takeKey(this.#longKey.bytes, header, keyBytes);
  }

  #writeValue(entry: number): void {
    const { meta, value } = this.#head;
    const commands = this.#commands;
    const type = metaType(meta);
    const encoding = metaEncoding(meta);
    switch (type) {
      case ValueType.STRING:
        commands.command(3, 'SET');
        commands.key();
        this.#head.writeString(entry);
        return;
      case ValueType.LIST:
        commands.collection('RPUSH', 1);
        this.#lists.save(RdbType.LIST, encoding, value);
        return;
      case ValueType.SET:
        commands.collection('SADD', 1);
        this.#sets.save(RdbType.SET, encoding, value);
        return;
      case ValueType.ZSET:
        commands.collection('ZADD', 2);
        this.#sortedSets.save(RdbType.ZSET_2, encoding, value);
        return;
      case ValueType.HASH:
        commands.collection('HMSET', 2);
        this.#hashes.save(RdbType.HASH, encoding, value);
        return;
      case ValueType.STREAM:
        this.#streams.rewrite(value);
        return;
      default:
        unreachable(type);
    }
  }
}
