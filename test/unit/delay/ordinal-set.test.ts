import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fromRuns, OrdinalSet, toRuns } from '../../../src/delay/ordinal-set.ts';

const ordinals = fc.array(fc.nat(400), { maxLength: 200 });

test('a set of numbers agrees with Set, and its pairs make it again', () => {
  fc.assert(
    fc.property(ordinals, fc.integer({ min: 1, max: 10 }), (numbers, most) => {
      const set = new OrdinalSet();
      const model = new Set<number>();
      for (const number of numbers) {
        expect(set.add(number)).toBe(!model.has(number));
        model.add(number);
      }
      expect(set.size).toBe(model.size);
      for (let i = 0; i < 500; i++) expect(set.has(i)).toBe(model.has(i));
      const again = new OrdinalSet();
      for (const pairs of set.pairs(most)) again.addPairs(pairs);
      expect([...again.pairs(10_000)]).toEqual([...set.pairs(10_000)]);
      expect(again.size).toBe(model.size);
    }),
  );
});

test('full words are stepped over, and pairs are as long as can be', () => {
  const set = new OrdinalSet();
  set.addPairs([3, 200, 256, 512]);
  expect([...set.pairs(100)]).toEqual([[3, 200, 256, 512]]);
  expect([...set.pairs(2)]).toEqual([
    [3, 200],
    [256, 512],
  ]);
  expect([...new OrdinalSet().pairs(1)]).toEqual([]);
});

test('truncate takes out everything from a number on', () => {
  fc.assert(
    fc.property(ordinals, fc.nat(450), (numbers, length) => {
      const set = new OrdinalSet();
      for (const number of numbers) set.add(number);
      set.truncate(length);
      const left = new Set(numbers.filter((one) => one < length));
      expect(set.size).toBe(left.size);
      for (let i = 0; i < 500; i++) expect(set.has(i)).toBe(left.has(i));
    }),
  );
});

test('runs keep the order of numbers', () => {
  expect(toRuns([5, 6, 7, 3, 4, 9])).toEqual([5, 8, 3, 5, 9, 10]);
  fc.assert(
    fc.property(ordinals, (numbers) => {
      expect(fromRuns(toRuns(numbers))).toEqual(numbers);
    }),
  );
});
