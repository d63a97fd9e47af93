import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { RequestTable } from '../../../src/frontend/request-table.ts';

/** A target that notes what it hears. */
function target() {
  const heard: number[][] = [];
  return { heard, answered: (...all: number[]) => void heard.push(all) };
}

test('an answer reaches who asked, with the number that was given', () => {
  const table = new RequestTable();
  const [a, b] = [target(), target()];
  const [first, second] = [table.tryOpen(a, -5), table.tryOpen(b, -5)];
  table.answer(second, 0, 9, 3, 100);
  table.answer(first, 100, 8, 2, -1);
  expect(a.heard).toEqual([[-5, 100, 8, 2, -1]]);
  expect(b.heard).toEqual([[-5, 0, 9, 3, 100]]);
  expect(table.pending).toBe(0);
});

test('a number is answered once, and an old one does not meet its successor', () => {
  const table = new RequestTable();
  const [a, b] = [target(), target()];
  const old = table.tryOpen(a, 1);
  table.answer(old, 0, 0, 0, 0);
  table.answer(old, 0, 0, 0, 0);
  const fresh = table.tryOpen(b, 2);
  table.answer(old, 0, 0, 0, 0);
  expect(a.heard).toHaveLength(1);
  expect(b.heard).toHaveLength(0);
  expect(fresh).not.toBe(old);
  for (const wild of [-1, 0x7fff_ffff, 12_345]) table.answer(wild, 0, 0, 0, 0);
  expect(table.pending).toBe(1);
});

test('numbers of open requests differ, whatever is opened and closed', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 4_000 }), (opens) => {
      const table = new RequestTable();
      const open: number[] = [];
      for (const isOpen of opens) {
        if (isOpen || open.length === 0) open.push(table.tryOpen(target(), 0));
        else table.close(open.shift() as number);
      }
      expect(new Set(open).size).toBe(open.length);
      expect(table.pending).toBe(open.length);
      expect(open.every((number) => number >= 0)).toBe(true);
    }),
    { numRuns: 30 },
  );
});
