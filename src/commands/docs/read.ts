/**
 * The parts of COMMAND DOCS that are not in the command tables: arguments, complexity, history.
 * Each group of commands has a text, which is parsed at the first request, so that the start of the
 * server does not pay for it.
 *
 *   name              of a command, or container|name
 *    : text           complexity
 *    ! word …         flags
 *    < version text   deprecated since, and its replacement
 *    ~ version text   history
 *    + text           continues the line before
 *     - name type …   an argument; those of a block or a choice follow, two spaces deeper
 *
 * After the type of an argument: @0 is its key specification, then =TOKEN, since:, until: and
 * flags.
 */
import { assert } from '../../base/assert.ts';
import { text as bitmap } from './bitmap.ts';
import { text as cluster } from './cluster.ts';
import { text as connection } from './connection.ts';
import { text as generic } from './generic.ts';
import { text as geo } from './geo.ts';
import { text as hash } from './hash.ts';
import { text as hyperloglog } from './hyperloglog.ts';
import { text as list } from './list.ts';
import { text as pubsub } from './pubsub.ts';
import { text as server } from './server.ts';
import { text as set } from './set.ts';
import { text as since72 } from './since-7-2.ts';
import { text as sortedSet } from './sorted-set.ts';
import { text as stream } from './stream.ts';
import { text as string } from './string.ts';
import { text as transactions } from './transactions.ts';

export interface DocArgument {
  readonly name: string;
  readonly type: string;
  /** Index of the key specification, -1 for none. */
  keySpec: number;
  token: string | undefined;
  since: string | undefined;
  deprecatedSince: string | undefined;
  readonly flags: string[];
  readonly arguments: DocArgument[];
}

export interface CommandDoc {
  complexity: string | undefined;
  flags: readonly string[];
  deprecatedSince: string | undefined;
  replacedBy: string | undefined;
  readonly history: (readonly [version: string, text: string])[];
  readonly arguments: DocArgument[];
}

/** The order matters: a later entry of a name replaces an earlier one. */
const TEXTS = [
  ...[
    bitmap,
    cluster,
    connection,
    generic,
    geo,
    hash,
    hyperloglog,
    list,
    pubsub,
    server,
    set,
    sortedSet,
  ],
  ...[stream, string, transactions, since72],
];

let docs: ReadonlyMap<string, CommandDoc> | undefined;

/**
 * Returns the docs of a command by its full name, or undefined for a command that Redis does not
 * have.
 */
export function docOf(fullName: string): CommandDoc | undefined {
  docs ??= readDocs(TEXTS);
  return docs.get(fullName);
}

function readDocs(texts: readonly string[]): Map<string, CommandDoc> {
  const found = new Map<string, CommandDoc>();
  for (const text of texts) {
    let doc = emptyDoc();
    for (const line of joinedLines(text)) {
      if (line.startsWith(' ')) {
        readLine(doc, line);
      } else {
        doc = emptyDoc();
        found.set(line, doc);
      }
    }
  }
  return found;
}

const emptyDoc = (): CommandDoc => ({
  complexity: undefined,
  flags: [],
  deprecatedSince: undefined,
  replacedBy: undefined,
  history: [],
  arguments: [],
});

/** Joins each line with the lines that continue it. */
const joinedLines = (text: string): string[] => text.trim().replaceAll('\n + ', ' ').split('\n');

function readLine(doc: CommandDoc, line: string): void {
  const rest = line.slice(3);
  const space = rest.indexOf(' ');
  switch (line[1]) {
    case ':':
      doc.complexity = rest;
      return;
    case '!':
      doc.flags = rest.split(' ');
      return;
    case '<':
      doc.deprecatedSince = rest.slice(0, space);
      doc.replacedBy = rest.slice(space + 1);
      return;
    case '~':
      doc.history.push([rest.slice(0, space), rest.slice(space + 1)]);
      return;
    default:
      addArgument(doc.arguments, line);
  }
}

/** Adds an argument below the last argument of the next higher level. */
function addArgument(top: DocArgument[], line: string): void {
  const dash = line.indexOf('-');
  let level = top;
  for (let indent = 2; indent < dash; indent += 2) level = level.at(-1)!.arguments;
  const [name, type, ...words] = line.slice(dash + 2).split(' ') as [string, string, ...string[]];
  const argument: DocArgument = {
    name,
    type,
    keySpec: -1,
    token: undefined,
    since: undefined,
    deprecatedSince: undefined,
    flags: [],
    arguments: [],
  };
  for (const word of words) {
    if (word.startsWith('@')) argument.keySpec = Number(word.slice(1));
    else if (word.startsWith('=')) argument.token = word.slice(1);
    else if (word.startsWith('since:')) argument.since = word.slice(6);
    else if (word.startsWith('until:')) argument.deprecatedSince = word.slice(6);
    else argument.flags.push(word);
  }
  assert(dash >= 2 && dash % 2 === 0, 'an argument stands at its level');
  level.push(argument);
}
