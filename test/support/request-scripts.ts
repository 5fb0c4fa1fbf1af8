/**
 * The requests of random clients, as words and as encoded bytes. They are for tests that know the
 * effect of each request (stream-model.ts), so there are few commands, but many ways to encode
 * them.
 */
import type { Prng } from '../../src/base/prng.ts';
import { KIB } from '../../src/base/units.ts';
import { multibulk, type Words } from './stream-model.ts';

export interface ScriptedRequest {
  /** Name and arguments, in latin1. */
  readonly words: Words;
  /** The encoded request: a multibulk, an inline request, or a multibulk with wrong line ends. */
  readonly bytes: string;
}

/** The properties of a script. */
export interface ScriptStyle {
  /** Bytes of all requests together, roughly. */
  readonly bytes: number;
  readonly requestsMax: number;
  /** The length of the longest value. Most are much shorter. */
  readonly valueBytesMax: number;
  /** The number per 1000 requests that are not encoded as a plain multibulk. */
  readonly oddSpellings: number;
  /** The number of BLPOPs per 1000 requests. */
  readonly blocking: number;
  /** The number per 1000 requests of transactions, SELECT, CLIENT REPLY and errors. */
  readonly special: number;
  /** The number per 1000 requests that are repeated, up to some thousand times. */
  readonly repeated: number;
}

const KEYS = 40;
const DATABASES = 3;
const WAITED_FOR = 3;
const FAR_SECONDS = 9_000_000_000;

/** The length of the random bytes from which values are cut. */
const POOL_BYTES = 400 * KIB;
const pools = new WeakMap<Prng, string>();

function poolOf(prng: Prng): string {
  let pool = pools.get(prng);
  if (pool === undefined) {
    const bytes = Buffer.allocUnsafe(POOL_BYTES);
    for (let at = 0; at < POOL_BYTES; at += 4) bytes.writeUInt32LE(prng.u32(), at);
    pool = bytes.toString('latin1');
    pools.set(prng, pool);
  }
  return pool;
}

/** The key of a list that {@link randomScript} lets clients wait for. */
export function waitedForKey(index: number): string {
  return `wait:${index % WAITED_FOR}`;
}

/**
 * The requests of one client. It ends outside a transaction, and the client may be blocked at the
 * end.
 */
export function randomScript(prng: Prng, style: ScriptStyle): ScriptedRequest[] {
  const script: ScriptedRequest[] = [];
  let bytes = 0;
  const add = (words: Words): void => {
    const request = { words, bytes: spell(prng, words, style) };
    let times = 1;
    if (prng.below(1000) < style.repeated) times += prng.below([4, 40, 400, 4000][prng.below(4)]!);
    for (; times > 0 && bytes < style.bytes && script.length < style.requestsMax; times--) {
      script.push(request);
      bytes += request.bytes.length;
    }
  };
  while (bytes < style.bytes && script.length < style.requestsMax) {
    const dice = prng.below(1000);
    if (dice < style.blocking) add(['BLPOP', waitedForKey(prng.below(WAITED_FOR)), '0']);
    else if (dice < style.blocking + style.special) special(prng, style, add);
    else add(ordinary(prng, style));
  }
  // Ends a transaction, and turns replies on again.
  for (const words of [['DISCARD'], ['CLIENT', 'REPLY', 'ON']])
    script.push({ words, bytes: multibulk(words) });
  return script;
}

function special(prng: Prng, style: ScriptStyle, add: (words: Words) => void): void {
  switch (prng.below(8)) {
    case 0:
    case 1:
    case 2: {
      add(['MULTI']);
      for (let i = prng.below(6); i > 0; i--) {
        const dice = prng.below(20);
        if (dice === 0) add(['SELECT', String(prng.below(DATABASES))]);
        else if (dice === 1) add(['BLPOP', waitedForKey(0), '0']);
        else if (dice === 2 && prng.below(3) === 0) add(mistake(prng));
        else add(ordinary(prng, style));
      }
      add([prng.below(8) === 0 ? 'DISCARD' : 'EXEC']);
      break;
    }
    case 3:
      add(['SELECT', String(prng.below(DATABASES))]);
      break;
    case 4:
      add(['CLIENT', 'REPLY', ['OFF', 'ON', 'SKIP', 'SKIP'][prng.below(4)]!]);
      break;
    case 5:
      add(['EXEC']);
      break;
    default:
      add(mistake(prng));
  }
}

function mistake(prng: Prng): Words {
  switch (prng.below(3)) {
    case 0:
      return ['NOSUCHCOMMAND', key(prng, 'string')];
    case 1:
      return ['SET', key(prng, 'string')];
    default:
      return ['GET', 'too', 'many', 'words'];
  }
}

function key(prng: Prng, kind: string): string {
  return `${kind}:${prng.below(KEYS)}`;
}

/** Mostly a few bytes; now and then as many as the style allows. */
function value(prng: Prng, style: ScriptStyle): string {
  const dice = prng.below(100);
  const most = dice < 70 ? 30 : dice < 95 ? 500 : style.valueBytesMax;
  const length = 1 + prng.below(Math.min(most, style.valueBytesMax));
  const start = prng.below(POOL_BYTES - length);
  return poolOf(prng).slice(start, start + length);
}

function ordinary(prng: Prng, style: ScriptStyle): Words {
  switch (prng.below(24)) {
    case 0:
      return ['PING'];
    case 1:
      return ['GET', key(prng, 'string')];
    case 2:
      return ['SETNX', key(prng, 'string'), value(prng, style)];
    case 3:
      return ['APPEND', key(prng, 'string'), value(prng, style)];
    case 4:
      return prng.below(2) === 0
        ? ['DEL', key(prng, 'string'), key(prng, 'list'), key(prng, 'set')]
        : ['DEL', waitedForKey(prng.below(WAITED_FOR))];
    case 5:
      return ['INCRBYFLOAT', key(prng, 'number'), String(1 + prng.below(9))];
    case 6:
      return ['EXPIREAT', key(prng, 'string'), String(FAR_SECONDS + prng.below(1000))];
    case 7:
      return ['GETDEL', key(prng, 'string')];
    case 8:
      return ['SADD', key(prng, 'set'), `${prng.below(50)}`, `${prng.below(50)}`];
    case 9:
      return prng.below(2) === 0 ? ['SADD', key(prng, 'one'), 'only'] : ['SPOP', key(prng, 'one')];
    case 10:
      return ['LPOP', key(prng, 'list')];
    case 11:
      return ['RPUSH', waitedForKey(prng.below(WAITED_FOR)), value(prng, style)];
    case 12:
      // The key has another type, so this is an error.
      return ['INCR', key(prng, 'list')];
    case 13:
      return ['ECHO', value(prng, style)];
    case 14:
      return [
        'MSET',
        ...Array.from({ length: 1 + prng.below(12) }, () => [
          key(prng, 'string'),
          value(prng, { ...style, valueBytesMax: 40 }),
        ]).flat(),
      ];
    case 15:
    case 16:
      return ['LPUSH', key(prng, 'list'), value(prng, style)];
    case 17:
      return ['set', key(prng, 'string'), value(prng, style)];
    case 18:
    case 19:
    case 20:
      return ['SET', key(prng, 'string'), value(prng, style)];
    default:
      return ['INCR', key(prng, 'counter')];
  }
}

const PLAIN_WORD = /^[!#-&(-~]+$/;
const INLINE_BYTES_MAX = 60 * KIB;

function spell(prng: Prng, words: Words, style: ScriptStyle): string {
  if (prng.below(1000) >= style.oddSpellings) return multibulk(words);
  const text = multibulk(words);
  switch (prng.below(4)) {
    case 0:
      // The two bytes behind an argument may be anything.
      return `${text.slice(0, -2)}??`;
    case 1:
      // The byte behind a CR may also be anything.
      return text.replace('\r\n', '\r.');
    case 2:
      // Empty lines and empty arrays are not requests.
      return `${['\r\n', '\n', '*0\r\n', '*-1\r\n'][prng.below(4)]}${text}`;
    default: {
      const line = `${words.map((word) => (PLAIN_WORD.test(word) ? word : quoted(word))).join(' ')}\r\n`;
      return line.length < INLINE_BYTES_MAX ? line : text;
    }
  }
}

function quoted(word: string): string {
  let text = '"';
  for (let i = 0; i < word.length; i++)
    text += `\\x${word.charCodeAt(i).toString(16).padStart(2, '0')}`;
  return `${text}"`;
}
