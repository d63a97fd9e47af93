import { expect, test } from 'vitest';
import { bucketOf, checkDeliverAt, deliverTime } from '../../../src/delay/deliver-time.ts';
import { DELAY_MAX_MS } from '../../../src/wire/services.ts';

const NOW = 1_800_000_000_000;

test('a time is absolute or a delay, one of the two', () => {
  expect(deliverTime({ deliverAt: NOW + 5 }, NOW)).toBe(NOW + 5);
  expect(deliverTime({ delayMs: 7 }, NOW)).toBe(NOW + 7);
  expect(deliverTime({ delayMs: 0.5 }, NOW)).toBe(NOW + 1);
  for (const both of [{}, { deliverAt: NOW, delayMs: 1 }]) {
    expect(() => deliverTime(both, NOW)).toThrow(/one of the two/);
  }
});

test('what has passed is allowed, what is no time is not', () => {
  expect(deliverTime({ deliverAt: 0 }, NOW)).toBe(0);
  for (const deliverAt of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '7' as unknown as number]) {
    expect(() => deliverTime({ deliverAt }, NOW)).toThrow(expect.objectContaining({ code: 'illegal-argument' }));
  }
  for (const delayMs of [-1, Number.NaN, Number.POSITIVE_INFINITY, 'x' as unknown as number]) {
    expect(() => deliverTime({ delayMs }, NOW)).toThrow(expect.objectContaining({ code: 'illegal-argument' }));
  }
});

test('the limit is 366 days, to the millisecond, and the refusal names it', () => {
  checkDeliverAt(NOW + DELAY_MAX_MS, NOW);
  expect(deliverTime({ delayMs: DELAY_MAX_MS }, NOW)).toBe(NOW + DELAY_MAX_MS);
  const beyond = expect.objectContaining({ code: 'delay-out-of-range', message: expect.stringContaining('366 days') });
  expect(() => checkDeliverAt(NOW + DELAY_MAX_MS + 1, NOW)).toThrow(beyond);
  expect(() => deliverTime({ delayMs: DELAY_MAX_MS + 1 }, NOW)).toThrow(beyond);
});

test('buckets are ten minutes long and begin at multiples of that', () => {
  expect(bucketOf(NOW)).toBe(NOW);
  expect(bucketOf(NOW + 599_999)).toBe(NOW);
  expect(bucketOf(NOW + 600_000)).toBe(NOW + 600_000);
  expect(bucketOf(0)).toBe(0);
});
