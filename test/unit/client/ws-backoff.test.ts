import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Backoff } from '../../../src/client/ws-backoff.ts';

test('waits grow from minMs to maxMs and are anything between 0 and the ceiling', () => {
  const ceilings = new Backoff({}, () => 1);
  expect(Array.from({ length: 9 }, () => ceilings.next())).toEqual([
    250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000,
  ]);
  fc.assert(
    fc.property(fc.double({ min: 0, max: 0.999999, noNaN: true }), fc.integer({ min: 1, max: 80 }), (random, times) => {
      const backoff = new Backoff({ minMs: 10, maxMs: 1_000 }, () => random);
      for (let i = 0; i < times; i++) {
        const wait = backoff.next();
        expect(wait).toBeGreaterThanOrEqual(0);
        expect(wait).toBeLessThanOrEqual(Math.min(1_000, 10 * 2 ** i));
      }
    }),
  );
});

test('attempts end after attemptsMax, and at once when reconnecting is off', () => {
  const twice = new Backoff({ attemptsMax: 2 }, () => 0);
  expect([twice.next(), twice.next(), twice.next()]).toEqual([0, 0, undefined]);
  expect(new Backoff(false).next()).toBeUndefined();
});

test('a session that lasted starts the waits anew, a short one does not', () => {
  const backoff = new Backoff({ minMs: 100 }, () => 1);
  backoff.next();
  backoff.next();
  backoff.lasted(10);
  expect(backoff.next()).toBe(400);
  backoff.lasted(60_000);
  expect(backoff.next()).toBe(100);
});

test('limits that contradict each other are refused', () => {
  expect(() => new Backoff({ minMs: 500, maxMs: 100 })).toThrow(/minMs/);
  expect(() => new Backoff({ attemptsMax: -1 })).toThrow(/attemptsMax/);
});
