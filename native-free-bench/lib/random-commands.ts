/**
 * Random commands of all types and options, for two servers that are compared. A step is one
 * command or a few that belong together. Some commands are damaged on purpose: they have a word too
 * many or too few, or a word that makes no sense there.
 *
 * Commands that draw at random (SPOP and the like) act on a copy that is deleted at once, or ask
 * for so many members that the reply has all of them. So both servers keep the same data.
 */
import type { Prng } from '../../src/base/prng.ts';
import { type Argument, RandomWords } from './random-words.ts';

export type Step = Argument[][];

/** More elements than any collection here has, so a draw of this many returns them all. */
export const EVERYTHING = 100_000;

const SPOIL_ONE_IN = 30;
const JUNK: readonly Argument[] = [
  '',
  'abc',
  '-1',
  '1.5',
  '9223372036854775808',
  'nan',
  'LIMIT',
  'COUNT',
  '(',
];

export interface RandomCommandsOptions {
  /** Commands that are not made, in capitals. */
  readonly without?: ReadonlySet<string>;
  /** Whether other commands than those on keys are made: MULTI, SELECT. */
  readonly connection?: boolean;
}

export class RandomCommands {
  /** Payloads for RESTORE; the owner fills them in. */
  readonly payloads: Buffer[] = [];
  readonly #words: RandomWords;
  readonly #without: ReadonlySet<string>;
  readonly #connection: boolean;

  constructor(prng: Prng, options: RandomCommandsOptions = {}) {
    this.#words = new RandomWords(prng);
    this.#without = options.without ?? new Set();
    this.#connection = options.connection ?? true;
  }

  /** The commands of a pipeline, at least `count`. No transaction is open before or after them. */
  batch(count: number): Step {
    const all: Step = [];
    while (all.length < count) all.push(...this.step());
    return all;
  }

  /**
   * Changes a threshold of encodings. Replicas need the same thresholds, since the sign of -0 and
   * the bytes of HyperLogLogs depend on them.
   */
  configuration(): Argument[] {
    const w = this.#words;
    const [name, values] = w.of<[string, number[]]>(
      ['hash-max-listpack-entries', [0, 4, 16, 512]],
      ['hash-max-listpack-value', [8, 64]],
      ['zset-max-listpack-entries', [0, 4, 16, 128]],
      ['zset-max-listpack-value', [8, 64]],
      ['set-max-intset-entries', [0, 4, 16, 512]],
      ['list-max-listpack-size', [-2, -1, 1, 5, 20]],
      ['hll-sparse-max-bytes', [0, 100, 300, 3000]],
      ['stream-node-max-entries', [1, 5, 100, 0]],
      ['stream-node-max-bytes', [100, 4096, 0]],
    );
    return ['CONFIG', 'SET', name, w.of(...values)];
  }

  step(): Step {
    const w = this.#words;
    if (this.#connection && w.below(60) === 0) return this.#transaction();
    return this.#single();
  }

  #single(): Step {
    const w = this.#words;
    for (;;) {
      const step = w.below(40) === 0 ? restore(w, this.payloads) : w.of(...FAMILIES)(w);
      if (step.some((command) => this.#without.has(String(command[0]).toUpperCase()))) continue;
      if (!this.#connection && step.some(([name]) => name === 'SELECT')) continue;
      if (
        step.length === 1 &&
        w.below(SPOIL_ONE_IN) === 0 &&
        !NEVER_SPOILT.has(String(step[0]![0]))
      ) {
        return [spoilt(w, step[0]!)];
      }
      return step;
    }
  }

  #transaction(): Step {
    const w = this.#words;
    const inside = w.list(w.below(6), () => this.#single()).flat();
    return [
      ...(w.below(4) === 0 ? [['WATCH', w.anyKey()]] : []),
      ['MULTI'],
      ...inside,
      ...(w.below(4) === 0 ? [waiting(w)] : []),
      [w.of('EXEC', 'EXEC', 'EXEC', 'DISCARD')],
      ...(w.below(8) === 0 ? [[w.of('EXEC', 'DISCARD', 'UNWATCH')]] : []),
    ];
  }
}

/**
 * Commands that are never damaged: those that block when they find nothing, and those for which
 * Redis 7.2 accepts more words than 7.0, or makes a consumer of any word. SPOP with one word less
 * would remove a random member.
 */
const NEVER_SPOILT = new Set([
  ...['BLPOP', 'BRPOP', 'BLMOVE', 'BRPOPLPUSH', 'BLMPOP', 'BZPOPMIN', 'BZPOPMAX', 'BZMPOP'],
  ...['ZRANK', 'ZREVRANK', 'XREADGROUP', 'XCLAIM', 'XAUTOCLAIM', 'SPOP'],
]);

const FAMILIES: readonly ((w: RandomWords) => Step)[] = [
  strings,
  bits,
  lists,
  lists,
  hashes,
  hashes,
  sets,
  sets,
  sortedSets,
  sortedSets,
  sortedSetCombinations,
  membersInOrder,
  streams,
  streams,
  groups,
  hyperLogLogs,
  geo,
  sorting,
  anyKeys,
  anyKeys,
  deadlines,
  scans,
];

function spoilt(w: RandomWords, command: Argument[]): Argument[] {
  const at = 1 + w.below(Math.max(1, command.length - 1));
  switch (w.below(5)) {
    case 0:
      return command.slice(0, -1).length > 0 ? command.slice(0, -1) : command;
    case 1:
      return [...command, w.of(...JUNK)];
    case 2:
      return [...command.slice(0, at), w.of(...JUNK), ...command.slice(at)];
    case 3:
      return [...command.slice(0, at), ...command.slice(at + 1)];
    default:
      return command.map((word, i) => (i === at ? w.of(...JUNK) : word));
  }
}

function restore(w: RandomWords, payloads: readonly Buffer[]): Step {
  if (payloads.length === 0) return [['DUMP', 'none']];
  const ttl = w.of<Argument>(0, 0, w.farSeconds() * 1000, -1, 'x');
  const options = [...w.maybe('REPLACE'), ...w.rarely(6, 'IDLETIME', w.of<Argument>(5, -1, 'x'))];
  return [
    [
      'RESTORE',
      w.anyKey(),
      ttl,
      w.of(...payloads),
      ...options,
      ...w.rarely(8, 'FREQ', w.of<Argument>(5, 256)),
    ],
  ];
}

function strings(w: RandomWords): Step {
  const key = w.key('str');
  const value = w.of<() => Argument>(
    () => w.member(),
    () => w.integer(),
    () => w.float(),
  )();
  return w.of<() => Step>(
    () => [['SET', key, value]],
    () => [
      ['SET', key, value, ...w.of<Argument[]>(['NX'], ['XX'], ['GET'], ['get', 'nx'], ['KEEPTTL'])],
    ],
    () => [
      ['SET', key, value, ...w.deadline(), ...w.rarely(3, w.of('GET', 'XX', 'KEEPTTL', 'NX'))],
    ],
    () => [['GET', key]],
    () => [[w.of('SETNX', 'GETSET', 'APPEND'), key, value]],
    () => [['SETEX', key, w.of<Argument>(w.farSeconds(), 0, 'x'), value]],
    () => [['PSETEX', key, w.of<Argument>(w.farSeconds() * 1000, -1), value]],
    () => [[w.of('GETDEL', 'STRLEN', 'INCR', 'DECR'), key]],
    () => [['GETEX', key, ...w.of<Argument[]>([], ['PERSIST'], w.deadline())]],
    () => [['MGET', key, w.anyKey(), w.key('str')]],
    () => [[w.of('MSET', 'MSETNX'), key, value, w.key('str'), w.member()]],
    () => [
      [
        'SETRANGE',
        key,
        w.of<Argument>(w.below(60), -1, 'x', 600_000_000),
        w.of<Argument>('', 'abc', value),
      ],
    ],
    () => [[w.of('GETRANGE', 'SUBSTR'), key, w.index(), w.index()]],
    () => [[w.of('INCRBY', 'DECRBY'), key, w.integer()]],
    () => [
      ['SET', key, w.integer()],
      [w.of('INCRBY', 'DECRBY'), key, w.integer()],
    ],
    () => [['INCRBYFLOAT', key, w.float()]],
    () => [
      [
        'LCS',
        key,
        w.key('str'),
        ...w.of<Argument[]>(
          [],
          ['LEN'],
          ['IDX'],
          ['IDX', 'WITHMATCHLEN'],
          ['IDX', 'MINMATCHLEN', 2],
        ),
      ],
    ],
  )();
}

function bits(w: RandomWords): Step {
  const key = w.key('str');
  const offset = (): Argument =>
    w.of<Argument>(w.below(120), w.below(120), w.below(20_000), -1, 'x');
  const field = (): Argument[] => [
    `${w.of('i', 'u')}${1 + w.below(66)}`,
    w.of<Argument>(w.below(60), `#${w.below(6)}`),
  ];
  return w.of<() => Step>(
    () => [['SETBIT', key, offset(), w.of<Argument>(0, 1, 1, 2)]],
    () => [['GETBIT', key, offset()]],
    () => [['BITCOUNT', key, ...w.maybe(w.index(), w.index(), ...w.maybe(w.of('BIT', 'byte')))]],
    () => [
      [
        'BITPOS',
        key,
        w.of<Argument>(0, 1, 2),
        ...w.maybe(w.index(), ...w.maybe(w.index(), ...w.maybe('BIT'))),
      ],
    ],
    () => [
      [
        'BITOP',
        w.of('AND', 'or', 'XOR', 'NOT', 'NAND'),
        key,
        w.key('str'),
        ...w.maybe(w.key('str')),
      ],
    ],
    () => [
      [
        'BITFIELD',
        key,
        'GET',
        ...field(),
        ...w.maybe('OVERFLOW', w.of('SAT', 'WRAP')),
        'SET',
        ...field(),
        w.integer(),
      ],
    ],
    () => [
      ['BITFIELD', key, 'OVERFLOW', w.of('SAT', 'WRAP', 'BAD'), 'INCRBY', ...field(), w.integer()],
    ],
    () => [['BITFIELD_RO', key, w.of('GET', 'GET', 'SET'), ...field()]],
  )();
}

function lists(w: RandomWords): Step {
  const key = w.key('list');
  const side = (): string => w.of('LEFT', 'RIGHT', 'left');
  const many = (): Argument[] => [...w.countedKeys('list'), side(), ...w.maybe('COUNT', w.count())];
  return w.of<() => Step>(
    () => [[w.of('LPUSH', 'RPUSH', 'LPUSHX', 'RPUSHX'), key, ...w.members()]],
    () => [[w.of('LPUSH', 'RPUSH'), key, ...w.members()]],
    () => [['LINSERT', key, w.of('BEFORE', 'after', 'x'), w.member(), w.member()]],
    () => [['LSET', key, w.index(), w.member()]],
    () => [[w.of('LPOP', 'RPOP'), key, ...w.maybe(w.count())]],
    () => [['LMOVE', key, w.key('list'), side(), side()]],
    () => [['RPOPLPUSH', key, w.key('list')]],
    () => [['LMPOP', ...many()]],
    () => [['LREM', key, w.index(), w.member()]],
    () => [['LTRIM', key, w.below(3), -1 - w.below(3)]],
    () => [['LRANGE', key, w.index(), w.index()]],
    () => [['LINDEX', key, w.index()]],
    () => [['LLEN', key]],
    () => [
      [
        'LPOS',
        key,
        w.member(),
        ...w.maybe('RANK', w.index()),
        ...w.maybe('COUNT', w.count()),
        ...w.maybe('MAXLEN', w.count()),
      ],
    ],
    () => [['RPUSH', key, 'x'], waiting(w, key)],
  )();
}

/**
 * A blocking command. Outside a transaction `listKey` must hold elements, or must not be a list.
 */
function waiting(w: RandomWords, listKey = w.key('list')): Argument[] {
  const side = (): string => w.of('LEFT', 'RIGHT');
  return w.of<Argument[]>(
    [w.of('BLPOP', 'BRPOP'), listKey, w.key('list'), '0.01'],
    ['BLMOVE', listKey, w.key('list'), side(), side(), w.of<Argument>('0.01', 'x', -1)],
    ['BRPOPLPUSH', listKey, w.key('list'), '0.01'],
    ['BLMPOP', '0.01', 2, listKey, w.key('list'), side(), ...w.maybe('COUNT', w.below(4))],
    [w.of('BZPOPMIN', 'BZPOPMAX'), w.key('zset'), '0.01'],
    ['BZMPOP', '0.01', 1, w.key('zset'), w.of('MIN', 'MAX'), ...w.maybe('COUNT', w.below(4))],
  );
}

function hashes(w: RandomWords): Step {
  const key = w.key('hash');
  const pairs = (): Argument[] =>
    w.list(1 + w.below(w.below(10) === 0 ? 25 : 3), () => [w.member(), w.member()]).flat();
  return w.of<() => Step>(
    () => [['HSET', key, ...pairs()]],
    () => [['HSET', key, ...pairs()]],
    () => [['HMSET', key, ...pairs()]],
    () => [['HSETNX', key, w.member(), w.member()]],
    () => [['HDEL', key, ...w.members()]],
    () => [[w.of('HGET', 'HEXISTS', 'HSTRLEN'), key, w.member()]],
    () => [['HMGET', key, ...w.members()]],
    () => [[w.of('HGETALL', 'HKEYS', 'HVALS', 'HLEN'), key]],
    () => [['HINCRBY', key, w.member(), w.integer()]],
    () => [['HINCRBYFLOAT', key, w.member(), w.float()]],
    () => [['HRANDFIELD', key, w.of<Argument>(EVERYTHING, -3, 2, 'x'), ...w.maybe('WITHVALUES')]],
    () => [['HRANDFIELD', key]],
  )();
}

function sets(w: RandomWords): Step {
  const key = w.key('set');
  const numbers = (): Argument[] =>
    w.list(1 + w.below(20), () => w.of<Argument>(w.below(60), w.integer()));
  return w.of<() => Step>(
    () => [['SADD', key, ...w.members()]],
    () => [['SADD', key, ...numbers()]],
    () => [
      ['DEL', key],
      ['SADD', key, ...w.list(5, () => w.below(100_000))],
    ],
    () => [['SREM', key, ...w.members()]],
    () => [['SMOVE', key, w.key('set'), w.member()]],
    () => [[w.of('SINTERSTORE', 'SUNIONSTORE', 'SDIFFSTORE'), key, ...w.keys('set')]],
    () => [[w.of('SINTER', 'SUNION', 'SDIFF'), ...w.keys('set')]],
    () => [
      ['SINTERCARD', ...w.countedKeys('set'), ...w.maybe('LIMIT', w.of<Argument>(0, 1, 3, -1))],
    ],
    () => [[w.of('SMEMBERS', 'SCARD'), key]],
    () => [['SISMEMBER', key, w.member()]],
    () => [['SMISMEMBER', key, ...w.members()]],
    () => [['SPOP', key, w.of<Argument>(EVERYTHING, 0, -1, 'x')]],
    () => [
      ['COPY', key, 'drawn', 'REPLACE'],
      ['SPOP', 'drawn', ...w.maybe(w.below(9))],
      ['SCARD', 'drawn'],
      ['DEL', 'drawn'],
    ],
    () => [['SRANDMEMBER', key, ...w.maybe(w.of<Argument>(EVERYTHING, EVERYTHING, 3, -5, 'x'))]],
  )();
}

function sortedSets(w: RandomWords): Step {
  const key = w.key('zset');
  const scores = w.maybe('WITHSCORES');
  const pairs = (): Argument[] =>
    w.list(1 + w.below(w.below(10) === 0 ? 25 : 4), () => [w.score(), w.member()]).flat();
  const option = (): Argument[] =>
    w.of<Argument[]>(['NX'], ['XX'], ['gt'], ['LT'], ['CH'], ['INCR'], []);
  return w.of<() => Step>(
    () => [['ZADD', key, ...pairs()]],
    () => [['ZADD', key, ...pairs()]],
    () => [['ZADD', key, ...option(), ...option(), ...pairs()]],
    () => [['ZADD', key, ...option(), ...option(), w.score(), w.member()]],
    () => [['ZADD', key, ...w.list(4, () => [0, `m${w.below(50)}`]).flat()]],
    () => [['ZINCRBY', key, w.score(), w.member()]],
    () => [['ZREM', key, ...w.members()]],
    () => [['ZREMRANGEBYRANK', key, w.index(), w.index()]],
    () => [['ZREMRANGEBYSCORE', key, w.scoreBound(), w.scoreBound()]],
    () => [[w.of('ZPOPMIN', 'ZPOPMAX'), key, ...w.maybe(w.count())]],
    () => [
      [
        'ZMPOP',
        ...w.countedKeys('zset'),
        w.of('MIN', 'max', 'MID'),
        ...w.maybe('COUNT', w.count()),
      ],
    ],
    () => [[w.of('ZCARD'), key]],
    () => [[w.of('ZSCORE', 'ZRANK', 'ZREVRANK'), key, w.member()]],
    () => [['ZMSCORE', key, ...w.members()]],
    () => [['ZCOUNT', key, w.scoreBound(), w.scoreBound()]],
    () => [[w.of('ZRANGE', 'ZREVRANGE'), key, w.index(), w.index(), ...scores]],
    () => [
      [
        'ZRANGE',
        key,
        w.scoreBound(),
        w.scoreBound(),
        'BYSCORE',
        ...w.maybe('REV'),
        ...w.limit(),
        ...scores,
      ],
    ],
    () => [
      [
        w.of('ZRANGEBYSCORE', 'ZREVRANGEBYSCORE'),
        key,
        w.scoreBound(),
        w.scoreBound(),
        ...scores,
        ...w.limit(),
      ],
    ],
    () => [
      [
        'ZRANDMEMBER',
        key,
        ...w.maybe(w.of<Argument>(EVERYTHING, -4, 'x'), ...w.maybe('WITHSCORES')),
      ],
    ],
  )();
}

/** Ranges by member are defined where all scores are equal. */
function membersInOrder(w: RandomWords): Step {
  const range = w.of<() => Argument[]>(
    () => ['ZREMRANGEBYLEX', 'lex', w.lexBound(), w.lexBound()],
    () => ['ZLEXCOUNT', 'lex', w.lexBound(), w.lexBound()],
    () => ['ZRANGE', 'lex', w.lexBound(), w.lexBound(), 'BYLEX', ...w.maybe('REV'), ...w.limit()],
    () => [w.of('ZRANGEBYLEX', 'ZREVRANGEBYLEX'), 'lex', w.lexBound(), w.lexBound(), ...w.limit()],
    () => ['ZRANGESTORE', w.key('zset'), 'lex', w.lexBound(), w.lexBound(), 'BYLEX', ...w.limit()],
  );
  return [
    ['DEL', 'lex'],
    ['ZADD', 'lex', ...w.list(2 + w.below(30), () => [0, `m${w.below(50)}`]).flat()],
    range(),
  ];
}

function sortedSetCombinations(w: RandomWords): Step {
  const type = w.of('zset', 'zset', 'set');
  const many = w.countedKeys(type);
  const options = [
    ...w.maybe('WEIGHTS', ...w.list(many.length - 1, () => w.score())),
    ...w.maybe('AGGREGATE', w.of('SUM', 'min', 'MAX', 'AVG')),
  ];
  return w.of<() => Step>(
    () => [[w.of('ZUNION', 'ZINTER'), ...many, ...options, ...w.maybe('WITHSCORES')]],
    () => [[w.of('ZUNIONSTORE', 'ZINTERSTORE'), w.key('zset'), ...many, ...options]],
    () => [['ZDIFF', ...many, ...w.maybe('WITHSCORES')]],
    () => [['ZDIFFSTORE', w.key('zset'), ...many]],
    () => [['ZINTERCARD', ...many, ...w.maybe('LIMIT', w.of<Argument>(0, 1, 3, -1))]],
    () => [['ZRANGESTORE', w.key('zset'), w.key('zset'), w.index(), w.index(), ...w.maybe('REV')]],
    () => [
      [
        ...['ZRANGESTORE', w.key('zset'), w.key('zset'), w.scoreBound(), w.scoreBound(), 'BYSCORE'],
        ...w.maybe('REV'),
        ...w.limit(),
      ],
    ],
  )();
}

function streams(w: RandomWords): Step {
  const key = w.key('stream');
  const trim = (): Argument[] => [
    ...w.of<Argument[]>(
      ['MAXLEN', ...w.maybe(w.of('=', '~')), w.below(30)],
      ['MINID', ...w.maybe(w.of('=', '~')), w.streamId()],
    ),
    ...w.rarely(5, 'LIMIT', w.below(20)),
  ];
  const fields = (): Argument[] => {
    const same = w.below(3) > 0;
    return w.list(1 + w.below(3), () => [same ? 'field' : w.member(), w.member()]).flat();
  };
  // Ids are random: when the last one is high, most additions fail. So sometimes a stream is
  // deleted and begins again.
  return w.of<() => Step>(
    () => [['XADD', key, `${w.below(60)}-*`, ...fields()]],
    () => w.list(8, () => ['XADD', key, `${w.below(100)}-*`, ...fields()]),
    () => [
      ['XADD', key, ...w.rarely(5, 'NOMKSTREAM'), ...w.maybe(...trim()), w.streamId(), ...fields()],
    ],
    () => (w.below(3) === 0 ? [['DEL', key]] : [['XLEN', key]]),
    () => [['XDEL', key, ...w.list(1 + w.below(3), () => w.streamId())]],
    () => [['XTRIM', key, ...trim()]],
    () => [
      [
        w.of('XRANGE', 'XREVRANGE'),
        key,
        w.streamBound(),
        w.streamBound(),
        ...w.maybe('COUNT', w.count()),
      ],
    ],
    () => [[w.of('XRANGE'), key, '-', '+']],
    () => [
      [
        'XREAD',
        ...w.maybe('COUNT', w.count()),
        'STREAMS',
        key,
        w.key('stream'),
        w.streamId(),
        w.of(w.streamId(), '$'),
      ],
    ],
    () => [
      [
        'XSETID',
        key,
        w.of('100-0', '101-5', '200', 'x', '-1'),
        ...w.maybe('ENTRIESADDED', w.keptCount(), 'MAXDELETEDID', w.streamId()),
      ],
    ],
    () => [['XINFO', 'STREAM', key]],
  )();
}

const CONSUMERS = ['alice', 'bob', 'carol'] as const;

function groups(w: RandomWords): Step {
  const key = w.key('stream');
  const group = w.of('g1', 'g2', 'g1', 'gone');
  const made = w.of('g1', 'g2');
  const consumer = w.of(...CONSUMERS);
  const entriesRead = w.rarely(4, 'ENTRIESREAD', w.keptCount());
  const ids = (): Argument[] => w.list(1 + w.below(4), () => w.streamId());
  const read = (id: string): Argument[] => [
    ...[
      'XREADGROUP',
      'GROUP',
      group,
      consumer,
      ...w.maybe('COUNT', w.count()),
      ...w.rarely(5, 'NOACK'),
    ],
    ...['STREAMS', key, id],
  ];
  return w.of<() => Step>(
    () => [
      [
        'XGROUP',
        'CREATE',
        key,
        made,
        w.of('0', '$', w.streamId()),
        ...w.maybe('MKSTREAM'),
        ...entriesRead,
      ],
      ...CONSUMERS.map((name) => ['XGROUP', 'CREATECONSUMER', key, made, name]),
    ],
    () => [['XGROUP', 'SETID', key, group, w.of('0', '$', w.streamId()), ...entriesRead]],
    () => [
      ['XGROUP', 'DELCONSUMER', key, group, consumer],
      ['XGROUP', 'CREATECONSUMER', key, group, consumer],
    ],
    () => (w.below(4) === 0 ? [['XGROUP', 'DESTROY', key, group]] : [['XINFO', 'GROUPS', key]]),
    () => [read('>')],
    () => [read('>')],
    () => [read(w.streamId())],
    () => [['XACK', key, group, ...ids()]],
    () => [['XPENDING', key, group]],
    () => [
      [
        'XPENDING',
        key,
        group,
        ...w.rarely(3, 'IDLE', w.of(0, 1e9)),
        w.streamBound(),
        w.streamBound(),
        w.count(),
        ...w.maybe(consumer),
      ],
    ],
    () => [
      [
        ...['XCLAIM', key, group, consumer, w.of<Argument>(0, 0, 1e9, 'x'), ...ids()],
        ...w.rarely(4, 'IDLE', w.below(1000)),
        ...w.rarely(4, 'RETRYCOUNT', w.keptCount()),
        ...w.rarely(4, 'FORCE'),
        ...w.rarely(4, 'JUSTID'),
        ...w.rarely(6, 'LASTID', w.streamId()),
      ],
    ],
    () => [
      [
        'XAUTOCLAIM',
        key,
        group,
        consumer,
        w.of<Argument>(0, 0, 1e9, 'x'),
        w.streamId(),
        ...w.maybe('COUNT', w.count()),
        ...w.rarely(4, 'JUSTID'),
      ],
    ],
    () => [['XINFO', w.of('GROUPS', 'STREAM'), key]],
    () => [['XINFO', 'CONSUMERS', key, group]],
    () => [['XINFO', 'STREAM', key, 'FULL', ...w.maybe('COUNT', w.below(5))]],
  )();
}

function hyperLogLogs(w: RandomWords): Step {
  const key = w.key('hll');
  return w.of<() => Step>(
    () => [['PFADD', key, ...w.members()]],
    () => [['PFADD', key, ...w.list(w.below(40), () => w.below(100_000))]],
    () => [['PFCOUNT', ...w.keys('hll')]],
    () => [['PFMERGE', ...w.keys('hll')]],
    () => (w.below(3) === 0 ? [['DEL', key]] : [['STRLEN', key]]),
  )();
}

function geo(w: RandomWords): Step {
  const key = w.key('geo');
  const places = (): Argument[] =>
    w.list(1 + w.below(6), () => [...w.longitudeLatitude(), w.member()]).flat();
  return w.of<() => Step>(
    () => [['GEOADD', key, ...w.rarely(4, w.of('NX', 'XX')), ...w.rarely(4, 'CH'), ...places()]],
    () => [['GEODIST', key, w.member(), w.member(), ...w.maybe(w.of('m', 'km', 'mi', 'FT', 'x'))]],
    () => [[w.of('GEOHASH', 'GEOPOS'), key, ...w.members()]],
    () => [['DEL', 'places'], ['GEOADD', 'places', ...places(), ...places()], geoSearch(w)],
  )();
}

/**
 * Uses places that are all different, since places at one distance have no order. Does not use
 * STOREDIST, since the last bit of a distance depends on the C library.
 */
function geoSearch(w: RandomWords): Argument[] {
  const centre = w.of<Argument[]>(
    ['FROMLONLAT', ...w.longitudeLatitude()],
    ['FROMMEMBER', w.member()],
  );
  const shape = w.of<Argument[]>(
    ['BYRADIUS', w.below(20_000), w.of('km', 'mi', 'x')],
    ['BYBOX', w.below(30_000), w.below(20_000), 'km'],
  );
  const count = w.maybe('COUNT', w.of<Argument>(1, 2, 3, 0, 'x'));
  const order = [w.of('ASC', 'DESC'), ...count, ...w.rarely(20, 'ANY', 'BAD')];
  const shown = [...w.maybe('WITHCOORD'), ...w.maybe('WITHDIST'), ...w.maybe('WITHHASH')];
  const radius = [w.below(20_000), w.of('km', 'm', 'ft')];
  const store = w.maybe('STORE', w.key('geo'));
  return w.of<Argument[]>(
    ['GEOSEARCH', 'places', ...centre, ...shape, ...order, ...shown],
    ['GEOSEARCHSTORE', w.key('geo'), 'places', ...centre, ...shape, ...order],
    ['GEORADIUS_RO', 'places', ...w.longitudeLatitude(), ...radius, ...shown, ...order],
    ['GEORADIUS', 'places', ...w.longitudeLatitude(), ...radius, ...order, ...store],
    ['GEORADIUSBYMEMBER', 'places', w.member(), ...radius, ...order, ...store],
    ['GEORADIUSBYMEMBER_RO', 'places', w.member(), ...radius, ...shown, ...order],
  );
}

/**
 * Changes nothing, but resets errno in Redis. Redis' SORT does not reset it, and so takes an
 * overflow of strtod in an earlier command for its own.
 */
const FLOAT_THAT_FITS: Argument[] = ['ZADD', 'absent', 'XX', 0, 'x'];

/** Sorts a copy: Redis gives a small sorted set the encoding of a large one when it sorts it. */
function sorting(w: RandomWords): Step {
  const limit = w.rarely(4, 'LIMIT', w.index(), w.of<Argument>(w.below(20), -1, 'x'));
  const order = w.maybe(w.of('ASC', 'DESC'));
  const bad = w.rarely(20, w.of('BAD', 'BY', 'LIMIT', 'STORE'));
  const command = w.of<Argument[]>(
    ['SORT', 'drawn', ...limit, ...order, ...bad],
    ['SORT', 'drawn', ...limit, ...order, 'ALPHA', ...bad],
    ['SORT', 'drawn', ...order, ...w.maybe('ALPHA'), 'STORE', w.key('list'), ...bad],
    [
      'SORT_RO',
      'drawn',
      ...limit,
      ...order,
      'ALPHA',
      ...w.maybe('GET', '#'),
      ...w.maybe('GET', 'str*'),
      ...bad,
    ],
  );
  const list = [
    'SORT',
    'drawn',
    'BY',
    'nosort',
    ...limit,
    ...w.maybe('GET', 'hash*->m20', 'GET', '#'),
    ...bad,
  ];
  return w.of<() => Step>(
    () => [
      ['COPY', w.key(w.of('list', 'set', 'zset')), 'drawn', 'REPLACE'],
      FLOAT_THAT_FITS,
      command,
      ['DEL', 'drawn'],
    ],
    () => [['DEL', 'drawn'], ['RPUSH', 'drawn', ...w.members()], list, ['DEL', 'drawn']],
  )();
}

function anyKeys(w: RandomWords): Step {
  const key = w.anyKey();
  return w.of<() => Step>(
    () => [[w.of('DEL', 'UNLINK'), key, ...w.rarely(4, w.anyKey())]],
    () => [[w.of('EXISTS', 'TOUCH'), key, w.anyKey()]],
    () => [['TYPE', key]],
    () => [[w.of('RENAME', 'RENAMENX'), key, w.anyKey()]],
    () => [
      [
        'COPY',
        key,
        w.anyKey(),
        ...w.maybe('DB', w.of<Argument>(0, 1, 2, 99, 'x')),
        ...w.maybe('REPLACE'),
      ],
    ],
    () => [['MOVE', key, w.of<Argument>(0, 1, 2, 99, 'x')]],
    () => [['KEYS', w.of('*', 'str*', 'l*[1-2]', 'zset?', '')]],
    () => [['DBSIZE']],
    // RANDOMKEY deletes the expired keys that it meets. A scan removes all of them before.
    () => [['SCAN', 0, 'COUNT', EVERYTHING], ['RANDOMKEY']],
    () => [['SELECT', w.of<Argument>(0, 0, 1, 2)]],
    () =>
      w.below(4) === 0
        ? [['SWAPDB', w.of<Argument>(0, 1, 2, 'x'), w.of<Argument>(0, 1, 2, 99)]]
        : [],
    () =>
      w.below(40) === 0
        ? [[w.of('FLUSHDB', 'FLUSHALL'), ...w.maybe(w.of('SYNC', 'ASYNC', 'X'))]]
        : [],
    () => [['OBJECT', w.of('ENCODING', 'ENCODING', 'IDLETIME', 'FREQ', 'FOO'), key]],
  )();
}

function deadlines(w: RandomWords): Step {
  const key = w.anyKey();
  const condition = w.of<Argument[]>([], [], ['NX'], ['XX'], ['gt'], ['LT'], ['NX', 'GT'], ['BAD']);
  return w.of<() => Step>(
    () => [
      [
        'EXPIRE',
        key,
        w.of<Argument>(w.farSeconds(), w.farSeconds(), -5, 'x', '9223372036854775807'),
        ...condition,
      ],
    ],
    () => [
      [
        'PEXPIRE',
        key,
        w.of<Argument>(w.farSeconds() * 1000, -1, '', '-9223372036854775808'),
        ...condition,
      ],
    ],
    () => [
      ['EXPIREAT', key, w.of<Argument>(2_000_000_000 + w.farSeconds(), 100, 'x'), ...condition],
    ],
    () => [
      ['PEXPIREAT', key, w.of<Argument>((2_000_000_000 + w.farSeconds()) * 1000, 1), ...condition],
    ],
    () => [[w.of('TTL', 'PTTL', 'EXPIRETIME', 'PEXPIRETIME', 'PERSIST'), key]],
  )();
}

function scans(w: RandomWords): Step {
  const match = w.maybe('MATCH', w.of('*', 'm*', '*1*'));
  const cursor = w.below(30) === 0 ? w.of('x', '-1', '') : 0;
  return w.of<() => Step>(
    () => [
      [
        'SCAN',
        cursor,
        ...match,
        'COUNT',
        EVERYTHING,
        ...w.maybe('TYPE', w.of('string', 'zset', 'LIST', 'foo')),
      ],
    ],
    () => [['HSCAN', w.key('hash'), cursor, ...match, 'COUNT', EVERYTHING]],
    () => [['SSCAN', w.key('set'), cursor, ...match, 'COUNT', EVERYTHING]],
    () => [['ZSCAN', w.key('zset'), cursor, ...match, 'COUNT', EVERYTHING]],
  )();
}
