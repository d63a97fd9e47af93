import { describe, expect, test } from 'vitest';
import { Expected } from '../../../src/client/expected.ts';
import { randomFrom } from '../../support/random.ts';

describe('requests that wait for their answers', () => {
  const hearer = () => ({ answered: () => {}, lost: () => {} });

  test('each is found once, by its number', () => {
    const expected = new Expected();
    const one = hearer();
    const other = hearer();
    const number = expected.add(one);
    expect(expected.add(other)).toBe(number + 1);
    expect(expected.take(number)).toBe(one);
    expect(expected.take(number)).toBeUndefined();
    expect(expected.take(number + 1)).toBe(other);
    expect(expected.take(0)).toBeUndefined();
  });

  test('one that waits while the numbers go round is still found, and nobody in its place', () => {
    const expected = new Expected();
    const patient = hearer();
    const number = expected.add(patient);
    for (let i = 0; i < 5_000; i++) {
      const quick = hearer();
      expect(expected.take(expected.add(quick))).toBe(quick);
    }
    expect(expected.take(number)).toBe(patient);
    expect(expected.take(number)).toBeUndefined();
  });

  test('whatever waits for how long, it finds what a map finds', () => {
    const expected = new Expected();
    const model = new Map<number, ReturnType<typeof hearer>>();
    const below = randomFrom(7);
    for (let i = 0; i < 40_000; i++) {
      const waiting = [...model.keys()].slice(0, 3);
      if (model.size < 3_000 && (waiting.length === 0 || below(5) > 1)) {
        const one = hearer();
        model.set(expected.add(one), one);
      } else {
        const number = below(20) === 0 ? below(i + 1) : waiting[below(waiting.length)];
        expect(expected.take(number)).toBe(model.get(number));
        model.delete(number);
      }
    }
    expect(expected.pending).toBe(model.size);
    for (const [number, one] of model) expect(expected.take(number)).toBe(one);
  });
});
