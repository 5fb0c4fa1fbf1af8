/**
 * The arithmetic of INCRBYFLOAT: x87 long doubles, which Redis parses with strtold, adds, and
 * prints with "%.17Lf".
 *
 *   value = mantissa * 2^exponent,  |mantissa| < 2^64,  exponent >= -16445,  |value| < 2^16384
 *
 * A replica of a stock primary receives the printed sum, so it must be the same to the last digit.
 * Doubles have only 53 bits. So mantissas are bigints here, and every rounding is to the nearest,
 * ties to even. Clarity over speed: one sum takes some microseconds. No state, any thread.
 */

export interface LongDouble {
  readonly mantissa: bigint;
  readonly exponent: number;
  /** The mantissa is then 1 or -1, and only its sign counts. */
  readonly infinite: boolean;
}

interface Format {
  readonly mantissaBits: number;
  readonly exponentMin: number;
  /** Values are below 2^magnitudeBits. */
  readonly magnitudeBits: number;
}

const EXTENDED: Format = { mantissaBits: 64, exponentMin: -16445, magnitudeBits: 16384 };
const DOUBLE: Format = { mantissaBits: 53, exponentMin: -1074, magnitudeBits: 1024 };

/** Redis copies the text to a buffer of this size, with a terminator, before it parses. */
const TEXT_BYTES_MAX = 5 * 1024 - 1;
/** Decimal exponents beyond these overflow, or round to zero, in every format here. */
const DECIMAL_EXPONENT_MAX = 5000;
const DECIMAL_EXPONENT_MIN = -5050;
/**
 * More significant hex digits than any format holds. Later digits only matter as zero or not zero.
 */
const HEX_DIGITS_MAX = 40;
const BINARY_EXPONENT_MAX = 20_000;

const FRACTION_DIGITS = 17;
const FRACTION_SCALE = 10n ** BigInt(FRACTION_DIGITS);

const DIGIT_0 = 0x30;
const DOT = 0x2e;

const DECIMAL = /^[+-]?(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:e([+-]?\d+))?$/i;
const INFINITE = /^[+-]?inf(?:inity)?$/i;
const ZERO: LongDouble = { mantissa: 0n, exponent: 0, infinite: false };

/**
 * The long double that the text spells. Undefined when it is no number, NaN, too big, or when its
 * nonzero digits round to zero. `text` has a char per byte.
 */
export function parseLongDouble(text: string): LongDouble | undefined {
  if (text.length > TEXT_BYTES_MAX) return undefined;
  const negative = text.startsWith('-');
  if (INFINITE.test(text)) return { mantissa: negative ? -1n : 1n, exponent: 0, infinite: true };
  const parts = DECIMAL.exec(text);
  if (parts === null) return parseHex(text, EXTENDED);
  const fraction = parts[2] ?? parts[3] ?? '';
  const digits = ((parts[1] ?? '') + fraction).replace(/^0+/, '');
  if (digits === '') return ZERO;
  const power = Number(parts[4] ?? 0) - fraction.length;
  if (digits.length + power > DECIMAL_EXPONENT_MAX || digits.length + power < DECIMAL_EXPONENT_MIN)
    return undefined;
  const value =
    power < 0
      ? rounded(BigInt(digits), 10n ** BigInt(-power), EXTENDED)
      : rounded(BigInt(digits) * 10n ** BigInt(power), 1n, EXTENDED);
  return signed(value, negative);
}

/**
 * The double that a C hex float such as "-0x1.8p3" spells, or undefined. Linear in the text's
 * length.
 */
export function binaryFloat64(text: string): number | undefined {
  const value = parseHex(text, DOUBLE);
  return value === undefined ? undefined : Number(value.mantissa) * 2 ** value.exponent;
}

/** a + b, or undefined when that is infinite or NaN. */
export function sumLongDouble(a: LongDouble, b: LongDouble): LongDouble | undefined {
  if (a.infinite || b.infinite) return undefined;
  const exponent = Math.min(a.exponent, b.exponent);
  const sum =
    (a.mantissa << BigInt(a.exponent - exponent)) + (b.mantissa << BigInt(b.exponent - exponent));
  if (sum === 0n) return ZERO;
  const negative = sum < 0n;
  const magnitude = negative ? -sum : sum;
  const value =
    exponent < 0
      ? rounded(magnitude, 1n << BigInt(-exponent), EXTENDED)
      : rounded(magnitude << BigInt(exponent), 1n, EXTENDED);
  return signed(value, negative);
}

/** "%.17Lf" without trailing zeros: Redis' human-readable form, never with an exponent. */
export function printLongDouble(value: LongDouble): string {
  const negative = value.mantissa < 0n;
  if (value.infinite) return negative ? '-inf' : 'inf';
  const magnitude = negative ? -value.mantissa : value.mantissa;
  const scaled =
    value.exponent < 0
      ? divided(magnitude * FRACTION_SCALE, 1n << BigInt(-value.exponent))
      : (magnitude << BigInt(value.exponent)) * FRACTION_SCALE;
  if (scaled === 0n) return '0';
  const digits = scaled.toString().padStart(FRACTION_DIGITS + 1, '0');
  const whole = digits.slice(0, -FRACTION_DIGITS);
  const fraction = digits.slice(-FRACTION_DIGITS).replace(/0+$/, '');
  return `${negative ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`;
}

/**
 * The sum of two numbers as INCRBYFLOAT prints it. Undefined when one is no number, or when the sum
 * is NaN or infinite.
 */
export function addLongDouble(a: string, b: string): string | undefined {
  const left = parseLongDouble(a);
  const right = parseLongDouble(b);
  if (left === undefined || right === undefined) return undefined;
  const sum = sumLongDouble(left, right);
  return sum === undefined ? undefined : printLongDouble(sum);
}

const doubleBits = new DataView(new ArrayBuffer(8));

/** A double in the same form, for the replies of GEOPOS, GEODIST and others. */
export function formatLongDouble(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf';
  if (Number.isSafeInteger(value)) return String(value);
  doubleBits.setFloat64(0, value);
  const bits = doubleBits.getBigUint64(0);
  const biased = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xf_ffff_ffff_ffffn;
  const mantissa = biased === 0 ? fraction : fraction | 0x10_0000_0000_0000n;
  const exponent = (biased === 0 ? 1 : biased) - 1075;
  return printLongDouble({ mantissa: value < 0 ? -mantissa : mantissa, exponent, infinite: false });
}

/**
 * Reads `[sign] 0x digits [. digits] [p exponent]` by hand: an argument may have megabytes of
 * digits.
 */
function parseHex(text: string, format: Format): LongDouble | undefined {
  const negative = text.startsWith('-');
  let at = negative || text.startsWith('+') ? 1 : 0;
  if (text[at] !== '0' || (text[at + 1] !== 'x' && text[at + 1] !== 'X')) return undefined;
  let digits = '0x0';
  let digitCount = 0;
  let exponent = 0;
  let lost = false;
  let point = false;
  for (at += 2; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === DOT && !point) {
      point = true;
      continue;
    }
    if (!isHexDigit(code)) break;
    digitCount++;
    if (digits.length === 3 + HEX_DIGITS_MAX) {
      lost ||= code !== DIGIT_0;
      if (!point) exponent += 4;
      continue;
    }
    if (code !== DIGIT_0 || digits.length > 3) digits += text[at];
    if (point) exponent -= 4;
  }
  if (digitCount === 0) return undefined;
  if (at < text.length) {
    const power = /^p([+-]?\d{1,100})$/i.exec(text.slice(at, at + 103));
    if (power === null || at + power[0].length !== text.length) return undefined;
    exponent += Number(power[1]);
  }
  const mantissa = (BigInt(digits) << 1n) | (lost ? 1n : 0n);
  if (mantissa === 0n) return ZERO;
  exponent--;
  if (Math.abs(exponent + bitLength(mantissa)) > BINARY_EXPONENT_MAX) return undefined;
  const value =
    exponent < 0
      ? rounded(mantissa, 1n << BigInt(-exponent), format)
      : rounded(mantissa << BigInt(exponent), 1n, format);
  return signed(value, negative);
}

function isHexDigit(code: number): boolean {
  const lower = code | 0x20;
  return (code >= DIGIT_0 && code <= 0x39) || (lower >= 0x61 && lower <= 0x66);
}

/**
 * numerator / denominator, both positive, in the given format; undefined when it overflows or
 * rounds to zero. The exponent is chosen so that the quotient has as many bits as the mantissa, or
 * fewer for a denormal.
 */
function rounded(numerator: bigint, denominator: bigint, format: Format): LongDouble | undefined {
  const { mantissaBits, exponentMin, magnitudeBits } = format;
  // The quotient has this many bits, or one more.
  const quotientBits = bitLength(numerator) - bitLength(denominator);
  let exponent = Math.max(quotientBits - mantissaBits, exponentMin);
  if (scaledQuotient(numerator, denominator, exponent) >> BigInt(mantissaBits) !== 0n) exponent++;
  const mantissa =
    exponent < 0
      ? divided(numerator << BigInt(-exponent), denominator)
      : divided(numerator, denominator << BigInt(exponent));
  if (mantissa === 0n || bitLength(mantissa) + exponent > magnitudeBits) return undefined;
  return { mantissa, exponent, infinite: false };
}

function scaledQuotient(numerator: bigint, denominator: bigint, exponent: number): bigint {
  return exponent < 0
    ? (numerator << BigInt(-exponent)) / denominator
    : numerator / (denominator << BigInt(exponent));
}

/** The quotient rounded to the nearest, ties to even. */
function divided(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  const twice = (numerator % denominator) * 2n;
  if (twice < denominator) return quotient;
  return twice > denominator || (quotient & 1n) === 1n ? quotient + 1n : quotient;
}

function bitLength(value: bigint): number {
  const hex = value.toString(16);
  return hex.length * 4 - Math.clz32(Number.parseInt(hex[0]!, 16)) + 28;
}

function signed(value: LongDouble | undefined, negative: boolean): LongDouble | undefined {
  if (value === undefined || !negative) return value;
  return { mantissa: -value.mantissa, exponent: value.exponent, infinite: false };
}
