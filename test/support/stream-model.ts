/**
 * A plain model of a primary's stream. It computes the stream from the requests of the clients, in
 * the order in which they ran.
 *
 *   one write          [SELECT n] command
 *   a transaction      MULTI [SELECT n] command … EXEC   with two or more writes; else one write
 *   BLPOP              LPOP, behind the write that woke its client
 *   anything else      nothing: reads, errors, writes that changed nothing
 *
 * It knows the commands of {@link EFFECTS} and the parts of the dataset that they need. Strings are
 * latin1: one char per byte.
 */

/** Name and arguments. */
export type Words = readonly string[];

type Value =
  | { readonly type: 'string'; readonly number: number | null }
  | { readonly type: 'list'; length: number }
  | { readonly type: 'set'; readonly members: Set<string> };

interface Operation {
  readonly db: number;
  readonly words: Words;
}

interface ModelClient {
  db: number;
  /** Commands since MULTI. */
  queued: Words[] | null;
  /** Whether EXEC will run nothing. */
  broken: boolean;
  /** The list that its BLPOP waits for. */
  waitsFor: { readonly db: number; readonly key: string } | null;
}

/** No database is selected at the beginning of a stream. */
const NO_DB = -1;

/** Applies a command. Returns the command in the stream, or null for none. */
type Effect = (model: Dataset, words: Words) => Words | null;

interface Command {
  readonly wordsMin: number;
  readonly wordsMax: number;
  readonly effect: Effect;
}

/** One database. */
class Dataset {
  readonly values = new Map<string, Value>();

  /** Returns the value of this type, undefined for an absent key, or null for another type. */
  get<T extends Value['type']>(key: string, type: T): (Value & { type: T }) | undefined | null {
    const value = this.values.get(key);
    if (value === undefined) return undefined;
    return value.type === type ? (value as Value & { type: T }) : null;
  }
}

const nothing: Effect = () => null;

function push(dataset: Dataset, words: Words): Words | null {
  const list = dataset.get(words[1]!, 'list');
  if (list === null) return null;
  const count = words.length - 2;
  if (list === undefined) dataset.values.set(words[1]!, { type: 'list', length: count });
  else list.length += count;
  return words;
}

function pop(dataset: Dataset, words: Words): Words | null {
  const key = words[1]!;
  const list = dataset.get(key, 'list');
  if (list === null || list === undefined) return null;
  list.length--;
  if (list.length === 0) dataset.values.delete(key);
  return words;
}

function setString(dataset: Dataset, key: string, number: number | null): void {
  dataset.values.set(key, { type: 'string', number });
}

function increment(dataset: Dataset, words: Words, by: number): number | null {
  const key = words[1]!;
  const value = dataset.get(key, 'string');
  if (value === null || value?.number === null) return null;
  const number = (value?.number ?? 0) + by;
  setString(dataset, key, number);
  return number;
}

const EFFECTS: Readonly<Record<string, Command>> = {
  PING: { wordsMin: 1, wordsMax: 2, effect: nothing },
  ECHO: { wordsMin: 2, wordsMax: 2, effect: nothing },
  GET: { wordsMin: 2, wordsMax: 2, effect: nothing },
  CLIENT: { wordsMin: 3, wordsMax: 3, effect: nothing },
  SET: {
    wordsMin: 3,
    wordsMax: 3,
    effect: (dataset, words) => {
      setString(dataset, words[1]!, null);
      return words;
    },
  },
  SETNX: {
    wordsMin: 3,
    wordsMax: 3,
    effect: (dataset, words) => {
      if (dataset.values.has(words[1]!)) return null;
      setString(dataset, words[1]!, null);
      return words;
    },
  },
  MSET: {
    wordsMin: 3,
    wordsMax: Number.POSITIVE_INFINITY,
    effect: (dataset, words) => {
      for (let i = 1; i < words.length; i += 2) setString(dataset, words[i]!, null);
      return words;
    },
  },
  APPEND: {
    wordsMin: 3,
    wordsMax: 3,
    effect: (dataset, words) => {
      if (dataset.get(words[1]!, 'string') === null) return null;
      setString(dataset, words[1]!, null);
      return words;
    },
  },
  INCR: {
    wordsMin: 2,
    wordsMax: 2,
    effect: (dataset, words) => (increment(dataset, words, 1) === null ? null : words),
  },
  INCRBYFLOAT: {
    wordsMin: 3,
    wordsMax: 3,
    effect: (dataset, words) => {
      const number = increment(dataset, words, Number(words[2]));
      return number === null ? null : ['SET', words[1]!, String(number), 'KEEPTTL'];
    },
  },
  EXPIREAT: {
    wordsMin: 3,
    wordsMax: 3,
    effect: (dataset, words) =>
      dataset.values.has(words[1]!) ? ['PEXPIREAT', words[1]!, `${words[2]}000`] : null,
  },
  GETDEL: {
    wordsMin: 2,
    wordsMax: 2,
    effect: (dataset, words) => {
      const key = words[1]!;
      if (dataset.get(key, 'string') === undefined || dataset.get(key, 'string') === null)
        return null;
      dataset.values.delete(key);
      return ['DEL', key];
    },
  },
  DEL: {
    wordsMin: 2,
    wordsMax: Number.POSITIVE_INFINITY,
    effect: (dataset, words) => {
      let deleted = 0;
      for (const key of words.slice(1)) if (dataset.values.delete(key)) deleted++;
      return deleted > 0 ? words : null;
    },
  },
  LPUSH: { wordsMin: 3, wordsMax: Number.POSITIVE_INFINITY, effect: push },
  RPUSH: { wordsMin: 3, wordsMax: Number.POSITIVE_INFINITY, effect: push },
  LPOP: { wordsMin: 2, wordsMax: 2, effect: pop },
  SADD: {
    wordsMin: 3,
    wordsMax: Number.POSITIVE_INFINITY,
    effect: (dataset, words) => {
      const set = dataset.get(words[1]!, 'set');
      if (set === null) return null;
      const members = set?.members ?? new Set<string>();
      const before = members.size;
      for (const member of words.slice(2)) members.add(member);
      dataset.values.set(words[1]!, { type: 'set', members });
      return members.size > before ? words : null;
    },
  },
  /** Only for sets with one member, since otherwise the member is random. */
  SPOP: {
    wordsMin: 2,
    wordsMax: 2,
    effect: (dataset, words) => {
      const set = dataset.get(words[1]!, 'set');
      if (set === null || set === undefined) return null;
      if (set.members.size !== 1)
        throw new Error('SPOP of a set with several members is not modelled');
      dataset.values.delete(words[1]!);
      return ['SREM', words[1]!, [...set.members][0]!];
    },
  },
};

/** Commands that the model itself runs. */
const ITS_OWN: Readonly<Record<string, Pick<Command, 'wordsMin' | 'wordsMax'>>> = {
  SELECT: { wordsMin: 2, wordsMax: 2 },
  MULTI: { wordsMin: 1, wordsMax: 1 },
  EXEC: { wordsMin: 1, wordsMax: 1 },
  DISCARD: { wordsMin: 1, wordsMax: 1 },
  BLPOP: { wordsMin: 3, wordsMax: 3 },
};

const NOT_QUEUED = new Set(['MULTI', 'EXEC', 'DISCARD']);
const PUSHES = new Set(['LPUSH', 'RPUSH']);

/**
 * Returns a command in the form of the stream and of most clients: `*2 $4 INCR $1 k`, with line
 * ends.
 */
export function multibulk(words: Words): string {
  let text = `*${words.length}\r\n`;
  for (const word of words) text += `$${word.length}\r\n${word}\r\n`;
  return text;
}

export class StreamModel {
  readonly #datasets = new Map<number, Dataset>();
  readonly #clients = new Map<number, ModelClient>();
  /** Blocked clients, in the order in which they blocked. */
  readonly #waiting: number[] = [];
  #selected = NO_DB;
  #parts: string[] = [];
  #unit: Operation[] = [];

  /** The whole stream so far. */
  get stream(): Buffer {
    const text = this.#parts.join('');
    this.#parts = [text];
    return Buffer.from(text, 'latin1');
  }

  isWaiting(client: number): boolean {
    return this.#client(client).waitsFor !== null;
  }

  /** The database that a client has selected. */
  dbOf(client: number): number {
    return this.#client(client).db;
  }

  /** Runs the next request of a client, and those of the clients that it wakes. */
  run(id: number, words: Words): void {
    const client = this.#client(id);
    if (client.waitsFor !== null) throw new Error(`client ${id} runs ${words[0]} while it waits`);
    const name = words[0]!.toUpperCase();
    const command = EFFECTS[name] ?? ITS_OWN[name];
    if (
      command === undefined ||
      words.length < command.wordsMin ||
      words.length > command.wordsMax
    ) {
      if (client.queued !== null) client.broken = true;
      return;
    }
    if (client.queued !== null && !NOT_QUEUED.has(name)) {
      client.queued.push(words);
      return;
    }
    const pushed: { db: number; key: string }[] = [];
    switch (name) {
      case 'MULTI':
        client.queued ??= [];
        break;
      case 'DISCARD':
        client.queued = null;
        client.broken = false;
        break;
      case 'EXEC': {
        const queued = client.broken ? [] : (client.queued ?? []);
        client.queued = null;
        client.broken = false;
        for (const each of queued) this.#call(id, client, each, true, pushed);
        break;
      }
      default:
        this.#call(id, client, words, false, pushed);
    }
    this.#flush();
    for (const { db, key } of pushed) this.#serve(db, key);
  }

  #call(
    id: number,
    client: ModelClient,
    words: Words,
    inTransaction: boolean,
    pushed: { db: number; key: string }[],
  ): void {
    const name = words[0]!.toUpperCase();
    const { db } = client;
    const dataset = this.#dataset(db);
    if (name === 'SELECT') {
      client.db = Number(words[1]);
    } else if (name === 'BLPOP') {
      const popped = pop(dataset, ['LPOP', words[1]!]);
      if (popped !== null) this.#unit.push({ db, words: popped });
      else if (!inTransaction && dataset.get(words[1]!, 'list') === undefined) {
        client.waitsFor = { db, key: words[1]! };
        this.#waiting.push(id);
      }
    } else {
      const streamed = EFFECTS[name]!.effect(dataset, words);
      if (streamed === null) return;
      this.#unit.push({ db, words: streamed });
      if (PUSHES.has(name)) pushed.push({ db, key: words[1]! });
    }
  }

  /** Serves the clients that are blocked on a key, as long as the list has elements. */
  #serve(db: number, key: string): void {
    for (const id of [...this.#waiting]) {
      const client = this.#client(id);
      const { waitsFor } = client;
      if (waitsFor === null || waitsFor.db !== db || waitsFor.key !== key) continue;
      const words = pop(this.#dataset(db), ['LPOP', key]);
      if (words === null) return;
      this.#unit.push({ db, words });
      this.#flush();
      client.waitsFor = null;
      this.#waiting.splice(this.#waiting.indexOf(id), 1);
    }
  }

  #flush(): void {
    const unit = this.#unit;
    const isWrapped = unit.length > 1;
    if (isWrapped) this.#parts.push(multibulk(['MULTI']));
    for (const { db, words } of unit) {
      if (db !== this.#selected) this.#parts.push(multibulk(['SELECT', String(db)]));
      this.#selected = db;
      this.#parts.push(multibulk(words));
    }
    if (isWrapped) this.#parts.push(multibulk(['EXEC']));
    this.#unit = [];
  }

  #client(id: number): ModelClient {
    let client = this.#clients.get(id);
    if (client === undefined) {
      client = { db: 0, queued: null, broken: false, waitsFor: null };
      this.#clients.set(id, client);
    }
    return client;
  }

  #dataset(db: number): Dataset {
    let dataset = this.#datasets.get(db);
    if (dataset === undefined) {
      dataset = new Dataset();
      this.#datasets.set(db, dataset);
    }
    return dataset;
  }
}
