import { describe, expect, test } from 'vitest';
import { Parse } from '../../src/resp/parser.ts';
import { bytes, drain, type Found, makeReader, multibulk, parseAll } from './requests.ts';

const whole = (input: string) => parseAll(bytes(input), () => input.length);
const byteByByte = (input: string) => parseAll(bytes(input), () => 1);

interface Case {
  readonly input: string;
  readonly words?: readonly (readonly string[])[];
  readonly error?: string;
  readonly pending?: number;
}

const PING = '*1\r\n$4\r\nPING\r\n';

const cases: Record<string, Case> = {
  'a multibulk': { input: '*2\r\n$3\r\nGET\r\n$1\r\nk\r\n', words: [['GET', 'k']] },
  'two multibulks': { input: PING + PING, words: [['PING'], ['PING']] },
  'an empty argument': { input: '*2\r\n$3\r\nGET\r\n$0\r\n\r\n', words: [['GET', '']] },
  'an argument with line ends and zeros': {
    input: multibulk(['SET', 'a\r\n\0', '*1\r\n$']),
    words: [['SET', 'a\r\n\0', '*1\r\n$']],
  },
  'more arguments than digits of one': {
    input: multibulk(Array(23).fill('x')),
    words: [Array(23).fill('x')],
  },
  'empty arrays': { input: `*-1\r\n*0\r\n*-7\r\n${PING}`, words: [[], [], [], ['PING']] },
  'any byte behind a CR': { input: '*1\rx$4\ryPING\r\n', words: [['PING']] },
  'any two bytes behind an argument': {
    input: `*1\r\n$4\r\nPINGab${PING}`,
    words: [['PING'], ['PING']],
  },
  'a line': { input: 'SET key value\r\n', words: [['SET', 'key', 'value']] },
  'a line that ends with LF alone': { input: 'PING\nPING\n', words: [['PING'], ['PING']] },
  'spaces around words': { input: '  PING \t x  \r\n', words: [['PING', 'x']] },
  'empty lines': { input: '\r\n\n \r\nPING\n', words: [[], [], [], ['PING']] },
  'a CR inside a line': { input: 'PI\rNG\r\n', words: [['PI', 'NG']] },
  'a vertical tab inside a word': { input: 'PING\va \vb\r\n', words: [['PING\va', 'b']] },
  'escapes in double quotes': {
    input: 'A "\\x41\\n\\r\\t\\b\\a\\"\\\\\\q"\r\n',
    words: [['A', 'A\n\r\t\b\x07"\\q']],
  },
  'an incomplete hex escape': { input: 'A "\\xzz\\x4"\r\n', words: [['A', 'xzzx4']] },
  'single quotes': { input: "A 'it\\'s' '\\n'\r\n", words: [['A', "it's", '\\n']] },
  'quotes inside a word': { input: 'A fo"o b" x\r\n', words: [['A', 'foo b', 'x']] },
  'empty quotes': { input: 'A "" \'\'\r\n', words: [['A', '', '']] },
  'bytes above 127': { input: 'A \xe9\xff\r\n', words: [['A', '\xe9\xff']] },
  'a NUL hides the end of a line': { input: 'PI\0NG\r\nPING\r\n', pending: 13 },
  'a NUL hides the end of a length': { input: `*1\r\n$4\0\r\n${PING}`, pending: 23 },
  'an incomplete count': { input: '*1', pending: 2 },
  'a count without its LF': { input: '*1\r', pending: 3 },
  'an incomplete argument': { input: `${PING}*1\r\n$4\r\nPIN`, words: [['PING']], pending: 11 },
  'an argument without its line end': { input: '*1\r\n$4\r\nPING', pending: 12 },

  'no count': { input: '*\r\n', error: 'Protocol error: invalid multibulk length' },
  'a leading zero': { input: '*01\r\n', error: 'Protocol error: invalid multibulk length' },
  'minus zero': { input: '*-0\r\n', error: 'Protocol error: invalid multibulk length' },
  'a count that is no number': {
    input: `${PING}*2x\r\n`,
    words: [['PING']],
    error: 'Protocol error: invalid multibulk length',
  },
  'a count of 2^31': {
    input: '*2147483648\r\n',
    error: 'Protocol error: invalid multibulk length',
  },
  'an argument that is no bulk': {
    input: '*1\r\n+4\r\n',
    error: "Protocol error: expected '$', got '+'",
  },
  'a bulk that begins with a CR': {
    input: '*1\r\n\r\n',
    error: "Protocol error: expected '$', got '\r'",
  },
  'a bulk that begins with a high byte': {
    input: '*1\r\n\xe9\r\n',
    error: "Protocol error: expected '$', got '\xe9'",
  },
  'a negative length': { input: '*1\r\n$-1\r\n', error: 'Protocol error: invalid bulk length' },
  'no length': { input: '*1\r\n$\r\n', error: 'Protocol error: invalid bulk length' },
  'a length with a leading zero': {
    input: '*1\r\n$04\r\n',
    error: 'Protocol error: invalid bulk length',
  },
  'a length with a space': { input: '*1\r\n$ 4\r\n', error: 'Protocol error: invalid bulk length' },
  'a length beyond the limit': {
    input: '*1\r\n$536870913\r\n',
    error: 'Protocol error: invalid bulk length',
  },
  'a length beyond 64 bits': {
    input: '*1\r\n$92233720368547758080\r\n',
    error: 'Protocol error: invalid bulk length',
  },
  'an open double quote': {
    input: 'A "b\r\n',
    error: 'Protocol error: unbalanced quotes in request',
  },
  'an open single quote': {
    input: "A 'b\r\n",
    error: 'Protocol error: unbalanced quotes in request',
  },
  'a backslash before the end': {
    input: 'A "b\\\r\n',
    error: 'Protocol error: unbalanced quotes in request',
  },
  'a word right behind a quote': {
    input: 'A "b"c\r\n',
    error: 'Protocol error: unbalanced quotes in request',
  },
};

describe('requests, in one chunk and byte by byte', () => {
  test.each(Object.entries(cases))('%s', (_, { input, words = [], error = null, pending = 0 }) => {
    for (const outcome of [whole(input), byteByByte(input)]) {
      expect(outcome.found.map((found) => found.words)).toEqual(words);
      expect(outcome.error).toBe(error);
      expect(outcome.pending).toBe(pending);
    }
  });

  test.each([2, 3, 5, 7, 11])('all of them in pieces of %i bytes', (pieceBytes) => {
    for (const [name, { input, words = [], error = null }] of Object.entries(cases)) {
      const outcome = parseAll(bytes(input), () => pieceBytes);
      expect(
        outcome.found.map((found) => found.words),
        name,
      ).toEqual(words);
      expect(outcome.error, name).toBe(error);
    }
  });
});

describe('lines that are too long', () => {
  const LIMIT = 65536;
  const tooLong = [
    ['an inline request', 'X'.repeat(LIMIT + 1), 'Protocol error: too big inline request'],
    ['a count', `*${'1'.repeat(LIMIT)}`, 'Protocol error: too big mbulk count string'],
    ['a length', `*1\r\n$${'1'.repeat(LIMIT)}`, 'Protocol error: too big bulk count string'],
  ] as const;

  test.each(tooLong)('%s', (_, input, error) => {
    for (const pieceBytes of [1, 1000, input.length]) {
      expect(parseAll(bytes(input), () => pieceBytes).error).toBe(error);
      const oneLess = bytes(input.slice(0, -1));
      expect(parseAll(oneLess, () => pieceBytes)).toMatchObject({ error: null });
    }
  });

  test('a line end does not help when it comes too late', () => {
    const late = bytes(`PING ${'x'.repeat(LIMIT)}\r\n`);
    const inTime = bytes(`PING ${'x'.repeat(LIMIT - 6)}\r\n`);
    for (const pieceBytes of [777, late.length]) {
      expect(parseAll(late, () => pieceBytes).error).toBe('Protocol error: too big inline request');
      expect(parseAll(inTime, () => pieceBytes).found).toHaveLength(1);
    }
  });
});

describe('limits', () => {
  test('a client that has yet to authenticate sends ten arguments and 16 KiB', () => {
    const attempts = [
      [multibulk(Array(10).fill('x'.repeat(16384))), null],
      [multibulk(Array(11).fill('x')), 'Protocol error: unauthenticated multibulk length'],
      [multibulk(['x'.repeat(16385)]), 'Protocol error: unauthenticated bulk length'],
      ['*1\r\n$536870913\r\n', 'Protocol error: invalid bulk length'],
    ] as const;
    for (const [input, error] of attempts) {
      const reader = makeReader();
      reader.authRequired = true;
      expect(parseAll(bytes(input), () => 1000, reader).error).toBe(error);
    }
  });

  test('a changed limit holds from the next argument on', () => {
    const reader = makeReader();
    expect(parseAll(bytes(multibulk(['abcdef'])), () => 4, reader).error).toBeNull();
    reader.limits.bulkBytesMax = 5;
    expect(parseAll(bytes(multibulk(['abcdef'])), () => 4, reader).error).toBe(
      'Protocol error: invalid bulk length',
    );
  });

  test('a request beyond the query buffer limit fails without a text', () => {
    const reader = makeReader({ queryBytesMax: 100 });
    expect(parseAll(bytes(multibulk(['x'.repeat(80)])), () => 10, reader).error).toBeNull();
    expect(parseAll(bytes(multibulk(['x'.repeat(200)])), () => 10, reader).error).toBe('');
  });

  test('an error is final', () => {
    const reader = makeReader();
    expect(parseAll(bytes('*x\r\n'), () => 4, reader).error).not.toBeNull();
    expect(parseAll(bytes(PING), () => 4, reader)).toMatchObject({
      found: [],
      error: reader.error,
    });
    expect(reader.error).toBe('Protocol error: invalid multibulk length');
  });
});

describe('what a request says about itself', () => {
  test.each([
    [PING, true, false],
    ['*2\r\n$0\r\n\r\n$12\r\n123456789012\r\n', true, false],
    ['*1\rx$4\r\nPING\r\n', false, false],
    ['*1\r\n$4\rxPING\r\n', false, false],
    ['*1\r\n$4\r\nPING\rx', false, false],
    ['*1\r\n$4\r\nPINGx\n', false, false],
    ['PING\r\n', false, true],
    ['PING "a b"\r\n', false, true],
    ['\n', false, true],
    ['*0\r\n', true, false],
  ])('%j: canonical %j, inline %j', (input, canonical, inline) => {
    for (const outcome of [whole(input), byteByByte(input)]) {
      expect(outcome.found).toMatchObject([{ canonical, inline, raw: input }]);
    }
  });

  test('its arguments as numbers, keywords and copies', () => {
    const reader = makeReader();
    const input = bytes(multibulk(['set', 'ключ', '-12', '012', 'eX']));
    reader.push(input, 0, input.length);
    expect(reader.next()).toBe(Parse.REQUEST);
    const { request } = reader;
    expect(request.equalsIgnoreCase(0, 'SET')).toBe(true);
    expect(request.equalsIgnoreCase(4, 'PX')).toBe(false);
    expect(request.integer(2)).toBe(-12);
    expect(request.integer(3)).toBeNaN();
    const copy = request.copy(0);
    input.fill(0);
    expect(copy).toEqual(bytes('set'));
    expect(copy.buffer.byteLength).toBe(3);
  });
});

describe('between turns', () => {
  test('an idle reader holds nothing, and a large buffer goes at once', () => {
    const reader = makeReader();
    const big = bytes(multibulk(['SET', 'k', 'x'.repeat(3 << 20)]));
    expect(parseAll(big, () => 65536, reader).found).toHaveLength(1);
    expect(reader.ownBytes).toBe(0);
    expect(parseAll(bytes(multibulk(['x'.repeat(5000)])), () => 1000, reader).found).toHaveLength(
      1,
    );
    expect(reader.ownBytes).toBeGreaterThan(0);
    reader.releaseIdle();
    reader.releaseIdle();
    expect(reader.ownBytes).toBe(0);
  });

  test('memory follows what has arrived, not what was announced', () => {
    const reader = makeReader();
    expect(
      parseAll(bytes(`*1000000\r\n$500000000\r\n${'x'.repeat(1000)}`), () => 100, reader).pending,
    ).toBe(1022);
    expect(reader.ownBytes).toBeLessThan(4096);
    expect(reader.request.position.length).toBeLessThan(64);
  });

  test('a growing request gets no more room than it announced', () => {
    const reader = makeReader();
    const big = bytes(multibulk(['SET', 'k', 'x'.repeat(600_000)])).subarray(0, 599_000);
    expect(parseAll(big, () => 16_384, reader).pending).toBe(599_000);
    expect(reader.ownBytes).toBeLessThan(610_000);
  });

  test('a request of very many arguments leaves no arrays behind', () => {
    const reader = makeReader();
    const words = Array.from({ length: 20_000 }, (_, i) => String(i));
    expect(parseAll(bytes(multibulk(words)), () => 999, reader).found[0]?.words).toEqual(words);
    expect(reader.request.position.length).toBeLessThan(64);
  });

  test('chunks gather while a blocked client runs nothing', () => {
    const reader = makeReader();
    const found: Found[] = [];
    const input = bytes(
      Array.from({ length: 100 }, (_, i) => multibulk(['GET', `key:${i}`])).join(''),
    );
    reader.push(input, 0, 50);
    expect(reader.next()).toBe(Parse.REQUEST);
    reader.keep();
    const unread = 50 - multibulk(['GET', 'key:0']).length;
    expect(reader.pendingBytes).toBe(unread);
    for (let at = 50; at < input.length; at += 100) {
      reader.push(input, at, Math.min(at + 100, input.length));
      if (at % 200 === 50) reader.keep();
    }
    expect(reader.pendingBytes).toBe(input.length - 50 + unread);
    drain(reader, found);
    reader.keep();
    expect(found.map((each) => each.words[1])).toEqual(
      Array.from({ length: 99 }, (_, i) => `key:${i + 1}`),
    );
    expect(reader.pendingBytes).toBe(0);
  });

  test('requests in the chunk behind a completed one are parsed where they lie', () => {
    const reader = makeReader();
    const tail = bytes(multibulk(['SET', 'k', 'x'.repeat(3000)]));
    reader.push(tail, 0, 1000);
    expect(reader.next()).toBe(Parse.MORE);
    reader.keep();
    const rest = bytes(Buffer.from(tail.subarray(1000)).toString('latin1') + PING.repeat(500));
    reader.push(rest, 0, rest.length);
    expect(reader.next()).toBe(Parse.REQUEST);
    expect(reader.request.bytes).not.toBe(rest);
    expect(reader.next()).toBe(Parse.REQUEST);
    expect(reader.request.bytes).toBe(rest);
    expect(reader.pendingBytes).toBe(PING.length * 499);
  });
});
