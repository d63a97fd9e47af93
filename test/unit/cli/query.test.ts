import { expect, test } from 'vitest';
import { chosenWay } from '../../../src/cli/query.ts';

test('a query is by id, by offset, or a search', () => {
  expect(chosenWay({ limit: 64, id: 'x' })).toBe('id');
  expect(chosenWay({ limit: 64, partition: 0, offset: 5 })).toBe('offset');
  expect(chosenWay({ limit: 64, key: 'k' })).toBe('search');
  expect(chosenWay({ limit: 64, key: 'k', from: 1, to: 2, partition: 3 })).toBe('search');
});

test('a mixture is refused with what to do', () => {
  const cases: readonly (readonly [object, RegExp])[] = [
    [{}, /say what to find/],
    [{ partition: 1 }, /say what to find/],
    [{ id: 'x', key: 'k' }, /alone/],
    [{ id: 'x', partition: 1 }, /alone/],
    [{ offset: 1 }, /add --partition/],
    [{ offset: 1, partition: 1, from: 5 }, /does not go with/],
    [{ from: 5, to: 5 }, /before --to/],
  ];
  for (const [options, text] of cases) {
    const refusal = expect.objectContaining({ code: 'illegal-argument', message: expect.stringMatching(text) });
    expect(() => chosenWay({ limit: 64, ...options }), JSON.stringify(options)).toThrow(refusal);
  }
});
