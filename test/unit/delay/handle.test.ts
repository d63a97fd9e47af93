import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeHandle, parseHandle } from '../../../src/delay/handle.ts';

const STORE = 'k3j9x0a1';

test('a handle says what was put in', () => {
  fc.assert(
    fc.property(fc.nat(Number.MAX_SAFE_INTEGER), fc.nat(Number.MAX_SAFE_INTEGER), (deliverAt, offset) => {
      expect(parseHandle(encodeHandle(STORE, deliverAt, offset))).toEqual({ store: STORE, deliverAt, offset });
    }),
  );
});

test('a handle with one character changed is refused', () => {
  const handle = encodeHandle(STORE, 1_800_000_000_123, 42_000);
  for (let i = 0; i < handle.length; i++) {
    const other = handle[i] === 'b' ? 'c' : 'b';
    const changed = handle.slice(0, i) + other + handle.slice(i + 1);
    expect(() => parseHandle(changed), changed).toThrow(expect.objectContaining({ code: 'illegal-argument' }));
  }
});

test('any other text is refused, and a long one is not repeated whole', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(() => parseHandle(text)).toThrow(expect.objectContaining({ code: 'illegal-argument' }));
    }),
  );
  expect(() => parseHandle('x'.repeat(10_000))).toThrow(/^'x{80}…' is no handle/);
});
