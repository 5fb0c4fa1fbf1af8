/** The reply to COMMAND DOCS for one command. The fields have the order of Redis. */
import type { Reply } from '../../resp/reply.ts';
import type { CommandSpec } from '../spec.ts';
import { type DocArgument, docOf } from './read.ts';

/** A command with the rows of its subcommands. */
export interface DocumentedRow {
  readonly fullName: string;
  readonly spec: CommandSpec;
  readonly subcommands: ReadonlyMap<string, DocumentedRow>;
}

/** Types of arguments that consist of other arguments. They have no display text. */
const COMPOSED = ['oneof', 'block'];

export function replyDocs(reply: Reply, { fullName, spec, subcommands }: DocumentedRow): void {
  const doc = docOf(fullName);
  const fields: [name: string, value: () => void][] = [];
  const text = (name: string, value: string | undefined): void => {
    if (value !== undefined) fields.push([name, () => reply.bulkString(value)]);
  };
  text('summary', spec.summary);
  text('since', spec.since);
  text('group', spec.group);
  text('complexity', doc?.complexity);
  const flags = doc?.flags ?? [];
  if (flags.length > 0) fields.push(['doc_flags', () => replyFlags(reply, flags)]);
  text('deprecated_since', doc?.deprecatedSince);
  text('replaced_by', doc?.replacedBy);
  const history = doc?.history ?? [];
  if (history.length > 0) fields.push(['history', () => replyHistory(reply, history)]);
  const args = doc?.arguments ?? [];
  if (args.length > 0) fields.push(['arguments', () => replyArguments(reply, args)]);
  if (subcommands.size > 0) {
    fields.push([
      'subcommands',
      () => {
        reply.map(subcommands.size);
        for (const sub of subcommands.values()) replyDocs(reply, sub);
      },
    ]);
  }
  reply.bulkLatin1(fullName);
  replyFields(reply, fields);
}

function replyFields(reply: Reply, fields: readonly (readonly [string, () => void])[]): void {
  reply.map(fields.length);
  for (const [name, value] of fields) {
    reply.bulkLatin1(name);
    value();
  }
}

function replyFlags(reply: Reply, flags: readonly string[]): void {
  reply.set(flags.length);
  for (const flag of flags) reply.simple(flag);
}

function replyHistory(reply: Reply, history: readonly (readonly [string, string])[]): void {
  reply.set(history.length);
  for (const [version, change] of history) {
    reply.array(2);
    reply.bulkLatin1(version);
    reply.bulkLatin1(change);
  }
}

function replyArguments(reply: Reply, args: readonly DocArgument[]): void {
  reply.array(args.length);
  for (const arg of args) {
    const fields: [name: string, value: () => void][] = [];
    const text = (name: string, value: string | undefined): void => {
      if (value !== undefined) fields.push([name, () => reply.bulkLatin1(value)]);
    };
    text('name', arg.name);
    text('type', arg.type);
    // Redis 7.2 has this field, and redis-cli shows it.
    if (!COMPOSED.includes(arg.type)) text('display_text', arg.name);
    if (arg.keySpec >= 0) fields.push(['key_spec_index', () => reply.integer(arg.keySpec)]);
    text('token', arg.token);
    text('since', arg.since);
    text('deprecated_since', arg.deprecatedSince);
    if (arg.flags.length > 0) fields.push(['flags', () => replyFlags(reply, arg.flags)]);
    if (arg.arguments.length > 0) {
      fields.push(['arguments', () => replyArguments(reply, arg.arguments)]);
    }
    replyFields(reply, fields);
  }
}
