import { expect, test } from 'vitest';
import { Registry } from '../../../src/nameserver/registry.ts';

test('a broker is there from its first sign of life until 120 s after its last', () => {
  const registry = new Registry({ expireMs: 120_000 });
  expect(registry.isAvailable(2)).toBe(false);
  expect(registry.saw(2, 1, 0)).toBe(true);
  expect(registry.saw(2, 2, 60_000)).toBe(false);
  expect(registry.expire(179_999)).toEqual([]);
  expect(registry.expire(180_000)).toEqual([2]);
  expect(registry.expire(180_001)).toEqual([]);
  expect([registry.available(), registry.isAvailable(2)]).toEqual([[], false]);
});

test('a heartbeat that does not change is no sign of life; one that does brings the broker back', () => {
  const registry = new Registry({ expireMs: 1_000 });
  registry.saw(2, 7, 0);
  expect(registry.saw(2, 7, 900)).toBe(false);
  expect(registry.expire(1_000)).toEqual([2]);
  expect(registry.saw(2, 7, 1_100)).toBe(false);
  expect(registry.isAvailable(2)).toBe(false);
  expect(registry.saw(2, 8, 1_200)).toBe(true);
  expect(registry.available()).toEqual([2]);
});

test('a broker that leaves is gone at once, which changes routes only if it was there', () => {
  const registry = new Registry({ expireMs: 1_000 });
  registry.saw(2, 1, 0);
  registry.saw(3, 1, 0);
  expect(registry.unregister(2)).toBe(true);
  expect(registry.unregister(2)).toBe(false);
  expect(registry.expire(5_000)).toEqual([3]);
  expect(registry.unregister(3)).toBe(false);
});
