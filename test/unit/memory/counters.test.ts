import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SEAT_COUNTER_COUNT, SEAT_COUNTERS, SEAT_LANES_OPEN, SEAT_WORDS } from '../../../native-layout/control.ts';
import { seatWord } from '../../../src/memory/bell.ts';
import { COUNTER, Counters, readCounter } from '../../../src/memory/counters.ts';
import { readWide, storeWide } from '../../../src/memory/wide.ts';
import { controlBlock } from './support.ts';

test('a sum is not seen before publish and is exact after', () => {
  const control = controlBlock();
  const counters = new Counters(control, 3);
  counters.add(COUNTER.messagesIn, 5);
  counters.add(COUNTER.messagesIn, 7);
  expect(readCounter(control, 3, COUNTER.messagesIn)).toBe(0);
  counters.publish();
  expect(readCounter(control, 3, COUNTER.messagesIn)).toBe(12);
  counters.publish();
  expect(readCounter(control, 3, COUNTER.messagesIn)).toBe(12);
});

test('sums pass 2^31 and 2^32 and reach 2^53', () => {
  const control = controlBlock();
  const counters = new Counters(control, 3);
  let sum = 0;
  for (const amount of [2 ** 31 - 1, 1, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 45, 2 ** 52]) {
    sum += amount;
    counters.add(COUNTER.bytesIn, amount);
    counters.publish();
    expect(readCounter(control, 3, COUNTER.bytesIn)).toBe(sum);
  }
});

test('a successor on the seat counts on', () => {
  const control = controlBlock();
  const first = new Counters(control, 3);
  first.add(COUNTER.turns, 2 ** 33 + 5);
  first.publish();
  first.add(COUNTER.turns, 1000);
  const second = new Counters(control, 3);
  second.add(COUNTER.turns, 1);
  second.publish();
  expect(readCounter(control, 3, COUNTER.turns)).toBe(2 ** 33 + 6);
});

test('counters of one seat do not touch each other, nor other words', () => {
  const control = controlBlock();
  const counters = new Counters(control, 3);
  for (let i = 0; i < SEAT_COUNTER_COUNT; i++) counters.add(i, i + 1 + 2 ** 32 * i);
  counters.publish();
  for (let i = 0; i < SEAT_COUNTER_COUNT; i++) expect(readCounter(control, 3, i)).toBe(i + 1 + 2 ** 32 * i);
  const first = seatWord(3) + SEAT_COUNTERS;
  expect(control.subarray(0, first).every((word) => word === 0)).toBe(true);
  expect(control.subarray(seatWord(3) + SEAT_LANES_OPEN).every((word) => word === 0)).toBe(true);
  expect(seatWord(4) - seatWord(3)).toBe(SEAT_WORDS);
});

test('places of counters are unique and fit the seat', () => {
  const places = Object.values(COUNTER);
  expect(new Set(places).size).toBe(places.length);
  expect(Math.max(...places)).toBeLessThan(SEAT_COUNTER_COUNT);
});

test('I1 of wide numbers: any rising sequence is read back exactly', () => {
  const rising = fc.array(fc.integer({ min: 0, max: 2 ** 48 }), { maxLength: 30 });
  fc.assert(
    fc.property(rising, (steps) => {
      const words = new Int32Array(2);
      let value = 0;
      for (const step of steps) {
        value = Math.min(value + step, Number.MAX_SAFE_INTEGER);
        storeWide(words, 0, value);
        expect(readWide(words, 0)).toBe(value);
      }
    }),
  );
});

test('I1 of wide numbers: a writer that dies while it passes 2^32 leaves a round number that a successor mends', () => {
  const words = new Int32Array([-7, ~3]);
  expect(readWide(words, 0)).toBe(3 * 2 ** 32);
  storeWide(words, 0, 3 * 2 ** 32 + 9);
  expect(readWide(words, 0)).toBe(3 * 2 ** 32 + 9);
  expect(words[1]).toBe(3);
});
