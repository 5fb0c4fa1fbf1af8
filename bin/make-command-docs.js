// @ts-check
/**
 * `node bin/make-command-docs.js`: writes src/commands/docs/<group>.ts from the replies of a real
 * redis-server to COMMAND DOCS, for the commands that headwater has. The files are checked in. The
 * summaries are headwater's own and are in the command tables. New parts of 7.2 are in
 * since-7-2.ts.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { findRedis } from './find-redis.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'src', 'commands', 'docs');
/** Files in the folder that are written by hand. */
const OWN_FILES = ['read.ts', 'reply-docs.ts', 'since-7-2.ts'];
const LINE_MAX = 98;

/** @typedef {{ [name: string]: any }} Doc */

const redis = findRedis();
if (redis === null) throw new Error('no redis-server');
const dir = mkdtempSync(join(tmpdir(), 'headwater-docs-'));
const socket = join(dir, 'socket');
const server = spawn(redis, ['--port', '0', '--unixsocket', socket, '--dir', dir, '--save', ''], {
  stdio: 'ignore',
});
try {
  const docs = await ask(['COMMAND', 'DOCS']);
  const own = await ownNames();
  /** @type {Map<string, string[]>} */
  const groups = new Map();
  for (const [name, doc] of Object.entries(docs).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (own.has(name)) add(groups, own, name, doc);
  }
  for (const file of readdirSync(folder)) if (!OWN_FILES.includes(file)) rmSync(join(folder, file));
  for (const [group, lines] of groups)
    writeFileSync(join(folder, `${group}.ts`), moduleOf(group, lines));
  console.log(`${groups.size} files in src/commands/docs`);
} finally {
  server.kill();
  rmSync(dir, { recursive: true, force: true });
}

/**
 * Returns the names of headwater's commands, with `container|name` for subcommands.
 * @returns {Promise<Set<string>>}
 */
async function ownNames() {
  const { Node } = await import('../dist/node.js');
  const { loadConfig } = await import('../dist/server/config/load.js');
  const node = new Node(loadConfig({ directory: dir }));
  const names = new Set();
  for (const row of node.dispatcher.lookup.rows.values()) {
    names.add(row.fullName);
    for (const sub of row.subcommands.values()) names.add(sub.fullName);
  }
  await node.stop();
  return names;
}

/**
 * @param {Map<string, string[]>} groups @param {Set<string>} own @param {string} name @param {Doc}
 * doc
 */
function add(groups, own, name, doc) {
  const lines = groups.get(doc.group) ?? [];
  groups.set(doc.group, lines);
  lines.push(name);
  if (doc.complexity !== undefined) lines.push(...wrapped(' : ', doc.complexity));
  const flags = [...(doc.doc_flags ?? [])];
  if (flags.length > 0) lines.push(` ! ${flags.join(' ')}`);
  if (doc.deprecated_since !== undefined) {
    lines.push(...wrapped(' < ', `${doc.deprecated_since} ${doc.replaced_by}`));
  }
  for (const [version, text] of doc.history ?? [])
    lines.push(...wrapped(' ~ ', `${version} ${text}`));
  addArguments(lines, doc.arguments ?? [], 1);
  for (const [sub, subDoc] of Object.entries(doc.subcommands ?? {}).sort(([a], [b]) =>
    a < b ? -1 : 1,
  )) {
    if (own.has(sub)) add(groups, own, sub, subDoc);
  }
}

/** @param {string[]} lines @param {Doc[]} args @param {number} depth */
function addArguments(lines, args, depth) {
  for (const arg of args) {
    const parts = [arg.name, arg.type];
    if (arg.key_spec_index !== undefined) parts.push(`@${arg.key_spec_index}`);
    if (arg.token !== undefined) parts.push(`=${arg.token}`);
    if (arg.since !== undefined) parts.push(`since:${arg.since}`);
    if (arg.deprecated_since !== undefined) parts.push(`until:${arg.deprecated_since}`);
    for (const flag of arg.flags ?? []) parts.push(flag);
    lines.push(`${'  '.repeat(depth)}- ${parts.join(' ')}`);
    addArguments(lines, arg.arguments ?? [], depth + 1);
  }
}

/** @param {string} mark @param {string} text */
function wrapped(mark, text) {
  const lines = [];
  let line = mark;
  for (const word of text.split(' ')) {
    if (line.length + word.length > LINE_MAX && line.trim() !== mark.trim()) {
      lines.push(line.trimEnd());
      line = ' + ';
    }
    line += `${word} `;
  }
  lines.push(line.slice(0, -1));
  return lines;
}

/** @param {string} group @param {string[]} lines */
function moduleOf(group, lines) {
  const text = lines.map((line) => line.replace(/[`\\$]/g, '\\$&')).join('\n');
  return `/** COMMAND DOCS of the group ${group}, as read.ts reads it. Made by bin/make-command-docs.js. */
export const text = \`
${text}
\`;
`;
}

/**
 * Returns the reply in RESP3, with maps as objects.
 * @param {string[]} words
 * @returns {Promise<Doc>}
 */
async function ask(words) {
  for (;;) {
    try {
      return await askOnce(words);
    } catch (error) {
      if (!['ENOENT', 'ECONNREFUSED'].includes(String(/** @type {Doc} */ (error)['code'])))
        throw error;
      await delay(20);
    }
  }
}

/** @param {string[]} words @returns {Promise<Doc>} */
async function askOnce(words) {
  const client = connect(socket);
  await once(client, 'connect');
  client.write(`HELLO 3\r\n${words.join(' ')}\r\nQUIT\r\n`);
  let bytes = '';
  client.setEncoding('utf8').on('data', (chunk) => {
    bytes += chunk;
  });
  await once(client, 'close');
  let at = 0;
  const line = () => {
    const end = bytes.indexOf('\r\n', at);
    const text = bytes.slice(at, end);
    at = end + 2;
    return text;
  };
  /** @returns {any} */
  const value = () => {
    const head = line();
    const count = Number(head.slice(1));
    switch (head[0]) {
      case '$': {
        const text = bytes.slice(at, at + count);
        at += count + 2;
        return text;
      }
      case ':':
        return count;
      case '*':
      case '~':
        return Array.from({ length: count }, value);
      case '%':
        return Object.fromEntries(Array.from({ length: count }, () => [value(), value()]));
      default:
        return head.slice(1);
    }
  };
  value();
  return value();
}
