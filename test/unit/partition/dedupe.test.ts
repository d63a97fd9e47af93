import { expect, test } from 'vitest';
import { Dedupe, DUPLICATE, FRESH, OUT_OF_ORDER, SKIPPED, UNPROVEN } from '../../../src/partition/dedupe.ts';

test('the first batch of a producer is fresh whatever its sequence, and then only the next one is', () => {
  const dedupe = new Dedupe();
  expect(dedupe.check(7, 100)).toBe(FRESH);
  dedupe.accepted(7, 100, 5, 1_000);
  expect(dedupe.check(7, 105)).toBe(FRESH);
  expect(dedupe.check(7, 100)).toBe(DUPLICATE);
  expect(dedupe.check(7, 104)).toBe(DUPLICATE);
  expect(dedupe.check(7, 106)).toBe(OUT_OF_ORDER);
  expect(dedupe.check(8, 3)).toBe(FRESH);
});

test('a duplicate among the last sixteen batches is answered with its offset, an older one with -1', () => {
  const dedupe = new Dedupe();
  for (let i = 0; i < 17; i++) dedupe.accepted(1, i, 1, 500 + i);
  expect(dedupe.offsetOf(1, 16)).toBe(516);
  expect(dedupe.offsetOf(1, 1)).toBe(501);
  expect(dedupe.offsetOf(1, 0)).toBe(-1);
  expect(dedupe.offsetOf(2, 0)).toBe(-1);
});

test('sequences wrap from the largest int32 to the smallest', () => {
  const dedupe = new Dedupe();
  dedupe.accepted(1, 0x7fffffff, 2, 0);
  expect(dedupe.check(1, -0x7fffffff)).toBe(FRESH);
  expect(dedupe.check(1, 0x7fffffff)).toBe(DUPLICATE);
  expect(dedupe.check(1, -0x7ffffffe)).toBe(OUT_OF_ORDER);
});

test('what follows a batch that was refused for good is in order; what follows a deferred one is not', () => {
  const dedupe = new Dedupe();
  dedupe.skipped(1, 0, 3);
  expect(dedupe.check(1, 3)).toBe(FRESH);
  dedupe.deferred(2, 0);
  expect(dedupe.check(2, 3)).toBe(OUT_OF_ORDER);
  expect(dedupe.check(2, 0)).toBe(FRESH);
  dedupe.accepted(2, 0, 3, 10);
  dedupe.deferred(2, 3);
  expect(dedupe.check(2, 3)).toBe(FRESH);
});

test('the producer that was quiet longest is forgotten first', () => {
  const dedupe = new Dedupe(3);
  for (const id of [1, 2, 3]) dedupe.accepted(id, 0, 1, id);
  dedupe.check(1, 1);
  dedupe.accepted(4, 0, 1, 4);
  expect(dedupe.size).toBe(3);
  expect(dedupe.check(2, 9)).toBe(FRESH);
  expect(dedupe.check(1, 9)).toBe(OUT_OF_ORDER);
  expect(dedupe.check(3, 9)).toBe(OUT_OF_ORDER);
  expect(dedupe.check(4, 0)).toBe(DUPLICATE);
});

test('a producer that nobody knows must begin at the beginning where batches may be refused on the way', () => {
  const dedupe = new Dedupe();
  expect(dedupe.check(5, 10, true)).toBe(OUT_OF_ORDER);
  expect(dedupe.check(5, 0, true)).toBe(FRESH);
  dedupe.accepted(5, 0, 10, 0);
  expect(dedupe.check(5, 10, true)).toBe(FRESH);
});

test('a batch that may have been accepted before what is remembered is unproven, unless its producer is known', () => {
  const dedupe = new Dedupe(2);
  dedupe.knownFrom = 100;
  dedupe.accepted(1, 5, 1, 100);
  expect(dedupe.check(2, 0, true, 99)).toBe(UNPROVEN);
  expect(dedupe.check(2, 7, true, 99)).toBe(UNPROVEN);
  expect(dedupe.check(2, 0, true, 100)).toBe(FRESH);
  expect(dedupe.check(2, 7, true, 100)).toBe(OUT_OF_ORDER);
  expect([dedupe.check(1, 5, true, 99), dedupe.check(1, 6, true, 99)]).toEqual([DUPLICATE, FRESH]);
});

test('who was forgotten to make room is not known any more up to his newest batch', () => {
  const dedupe = new Dedupe(2);
  dedupe.accepted(1, 0, 1, 40);
  dedupe.accepted(2, 0, 1, 50);
  dedupe.accepted(3, 0, 1, 60);
  expect(dedupe.knownFrom).toBe(41);
  expect([dedupe.check(1, 0, true, 40), dedupe.check(9, 0, true, 41)]).toEqual([UNPROVEN, FRESH]);
});

test('what was skipped is told from what was accepted, as far back as that is known', () => {
  const dedupe = new Dedupe();
  for (let i = 0; i < 200; i++) {
    dedupe.accepted(1, i * 5, 1, i);
    dedupe.skipped(1, i * 5 + 1, 2);
    dedupe.skipped(1, i * 5 + 3, 2);
  }
  expect([995, 996, 998].map((sequence) => dedupe.check(1, sequence))).toEqual([DUPLICATE, SKIPPED, SKIPPED]);
  expect([0, 1, 3].map((sequence) => dedupe.check(1, sequence))).toEqual([UNPROVEN, UNPROVEN, UNPROVEN]);
});

test('what is missing between two batches of the log was skipped; before the first one nobody knows', () => {
  const dedupe = new Dedupe();
  dedupe.rejects = true;
  for (const sequence of [0x7fffffff, -0x7ffffffd, 0x7fffffff, -0x7ffffffd]) dedupe.accepted(1, sequence, 1, 7);
  const sequences = [0x7ffffffe, 0x7fffffff, -0x80000000, -0x7ffffffe, -0x7ffffffd, -0x7ffffffc];
  const verdicts = [UNPROVEN, DUPLICATE, SKIPPED, SKIPPED, DUPLICATE, FRESH];
  expect(sequences.map((sequence) => dedupe.check(1, sequence))).toEqual(verdicts);
});
