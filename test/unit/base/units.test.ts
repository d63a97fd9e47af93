import { describe, expect, test } from 'vitest';
import { assert as assertInvariant, Fault } from '../../../src/base/fault.ts';
import { ACK_LEVELS, isGroupName, isTopicName } from '../../../src/base/units.ts';

describe('topic names', () => {
  test.each(['t', 'orders', '%RETRY%group', '%DLQ%g', 'a.b-c_D|9', '...', 'x'.repeat(127)])('%j is one', (name) => {
    expect(isTopicName(name)).toBe(true);
  });

  test.each(['', '.', '..', 'a b', 'a/b', 'ü', 'a\n', '\0', 'x'.repeat(128), '#', '*', '../x'])(
    '%j is none',
    (name) => {
      expect(isTopicName(name)).toBe(false);
    },
  );
});

describe('group names', () => {
  test.each(['g', '%RETRY%g', 'a.b-c_D|9', '.', 'x'.repeat(255)])('%j is one', (name) => {
    expect(isGroupName(name)).toBe(true);
  });

  test.each(['', 'a b', 'a/b', 'ü', 'a\n', 'x'.repeat(256)])('%j is none', (name) => {
    expect(isGroupName(name)).toBe(false);
  });
});

test('ack levels are numbered from the weakest to the strongest', () => {
  expect(Object.entries(ACK_LEVELS)).toEqual([
    ['none', 0],
    ['accepted', 1],
    ['written', 2],
    ['durable', 3],
    ['replicated', 4],
  ]);
});

describe('assert', () => {
  test('throws a Fault that says what does not hold', () => {
    expect(() => assertInvariant(false, 'the tail went backwards')).toThrow(Fault);
    expect(() => assertInvariant(false, 'the tail went backwards')).toThrow('the tail went backwards');
  });

  test('does nothing while it holds', () => {
    expect(() => assertInvariant(true, 'x')).not.toThrow();
  });
});
