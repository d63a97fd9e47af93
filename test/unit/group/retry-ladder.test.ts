import { expect, test } from 'vitest';
import { exponentialDelays } from '../../../src/group/retry-ladder.ts';
import { DELAY_MAX_MS } from '../../../src/wire/services.ts';

test('without options the ladder is RocketMQ’s: 5 s, doubled up to 2 h', () => {
  const seconds = [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_120, 7_200];
  expect(exponentialDelays()).toEqual(seconds.map((one) => one * 1_000));
});

test('a factor of 1 is one delay for all attempts, and no ladder is longer than settings take', () => {
  expect(exponentialDelays({ firstMs: 100, factor: 1 })).toEqual([100]);
  expect(exponentialDelays({ firstMs: 100, maxMs: 100 })).toEqual([100]);
  const long = exponentialDelays({ firstMs: 1_000, factor: 1.01, maxMs: DELAY_MAX_MS });
  expect(long).toHaveLength(64);
  expect(long.every((one, i) => Number.isInteger(one) && (i === 0 || one > long[i - 1]))).toBe(true);
});

test.each([
  [{ firstMs: 0 }],
  [{ factor: 0.5 }],
  [{ factor: Number.NaN }],
  [{ maxMs: DELAY_MAX_MS + 1 }],
  [{ maxMs: 1 }],
])('%j is refused', (options) => {
  expect(() => exponentialDelays(options)).toThrow(expect.objectContaining({ code: 'illegal-argument' }));
});
