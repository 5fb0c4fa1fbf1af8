import { expect, test } from 'vitest';
import { exactArcsine, exactCosine, exactSine } from '../../src/base/exact-trigonometry.ts';
import { Prng } from '../../src/base/prng.ts';
import { testSeed } from '../support/seed.ts';

/** What glibc makes of arguments where V8 makes something else. */
test.each([
  [-2.05791270917996, -0.8836862934236681],
  [-0.8668978708786499, -0.7623249273792557],
  [-0.9354652446048708, -0.8048752618423894],
])('the sine of %d is %d', (angle, sine) => {
  expect(exactSine(angle)).toBe(sine);
});

test.each([
  [2.3336048350683942, -0.6909544333599608],
  [-2.4452345512069242, -0.7671832847528656],
  [0.9739800699646466, 0.5620119595394878],
])('the cosine of %d is %d', (angle, cosine) => {
  expect(exactCosine(angle)).toBe(cosine);
});

test.each([
  [0.9296553195975211, 1.193476200234733],
  [0.8268053039341334, 0.9734041667014969],
  [0.5908046970701188, 0.6320558524298515],
])('the arcsine of %d is %d', (sine, angle) => {
  expect(exactArcsine(sine)).toBe(angle);
});

test('edges', () => {
  expect([exactSine(0), exactCosine(0), exactArcsine(0)]).toEqual([0, 1, 0]);
  expect([exactArcsine(1), exactArcsine(-1)]).toEqual([Math.PI / 2, -Math.PI / 2]);
  expect(exactSine(Math.PI)).toBe(1.2246467991473532e-16);
});

test('all are within a digit of those of the engine', () => {
  const prng = new Prng(testSeed('trigonometry'));
  for (let i = 0; i < 3000; i++) {
    const angle = (prng.float() - 0.5) * 4 * Math.PI;
    expect(Math.abs(exactSine(angle) - Math.sin(angle))).toBeLessThan(3e-16);
    expect(Math.abs(exactCosine(angle) - Math.cos(angle))).toBeLessThan(3e-16);
    const sine = prng.float() * 2 - 1;
    expect(Math.abs(exactArcsine(sine) - Math.asin(sine))).toBeLessThan(5e-16);
  }
});
