import { expect, test } from 'vitest';
import { SEAT_BELL } from '../../../native-layout/control.ts';
import { Bells, Doorbell, seatWord } from '../../../src/memory/bell.ts';
import { controlBlock } from './support.ts';

const SEAT = 7;

function rig(): { control: Int32Array; bell: Doorbell; bells: Bells; word: () => number } {
  const control = controlBlock();
  const word = (): number => control[seatWord(SEAT) + SEAT_BELL];
  return { control, bell: new Doorbell(control, SEAT), bells: new Bells(control), word };
}

/** Calls `action` and gives the arguments of the Atomics.notify calls that it made. */
function notifiesOf(action: () => void): unknown[][] {
  const real = Atomics.notify;
  const calls: unknown[][] = [];
  Atomics.notify = ((...args: unknown[]) => calls.push(args) - 1) as typeof real;
  try {
    action();
  } finally {
    Atomics.notify = real;
  }
  return calls;
}

test('I2: an awake thread costs its wakers one load and no notify', () => {
  const { bells, word } = rig();
  expect(notifiesOf(() => bells.ring(SEAT))).toEqual([]);
  expect(word()).toBe(0);
});

test('I2: of several wakers only the first notifies', () => {
  const { control, bell, bells, word } = rig();
  bell.park();
  expect(word()).toBe(1);
  const other = new Bells(control);
  expect(notifiesOf(() => [bells, other, bells].forEach((one) => void one.ring(SEAT))).length).toBe(1);
  expect(word()).toBe(0);
});

test('I1: wait returns at once when the bell rang between park and wait', () => {
  const { bell, bells, word } = rig();
  bell.park();
  bells.ring(SEAT);
  const before = performance.now();
  bell.wait(10_000);
  expect(performance.now() - before).toBeLessThan(5_000);
  expect(word()).toBe(0);
});

test('wait ends with the timeout and leaves the thread awake', () => {
  const { bell, word } = rig();
  bell.park();
  bell.wait(1);
  expect(word()).toBe(0);
});

test('unpark takes park back', () => {
  const { bell, bells, word } = rig();
  bell.park();
  bell.unpark();
  expect(word()).toBe(0);
  expect(notifiesOf(() => bells.ring(SEAT))).toEqual([]);
});

test('waitAsync resolves when rung and is undefined when it rang before', async () => {
  const { bell, bells } = rig();
  bell.park();
  const rung = bell.waitAsync(60_000);
  bells.ring(SEAT);
  expect(await rung).toBe('ok');
  bell.park();
  bells.ring(SEAT);
  expect(bell.waitAsync(60_000)).toBeUndefined();
});

test('waitAsync resolves at its timeout', async () => {
  const { bell } = rig();
  bell.park();
  expect(await bell.waitAsync(1)).toBe('timed-out');
});

test('a given-up promise does not swallow the wake-up of the next', async () => {
  const { bell, bells } = rig();
  bell.park();
  const givenUp = bell.waitAsync(60_000);
  bell.unpark();
  bell.park();
  const wanted = bell.waitAsync(60_000);
  bells.ring(SEAT);
  expect(await Promise.all([givenUp, wanted])).toEqual(['ok', 'ok']);
});

test('rouse wakes a thread whose bell was swapped by somebody who died before notifying', async () => {
  const { control, bell, bells } = rig();
  bell.park();
  const rung = bell.waitAsync(60_000);
  control[seatWord(SEAT) + SEAT_BELL] = 0;
  expect(notifiesOf(() => bells.ring(SEAT))).toEqual([]);
  bells.rouse(SEAT);
  expect(await rung).toBe('ok');
  bell.park();
  bells.rouse(SEAT);
  expect(bell.waitAsync(60_000)).toBeUndefined();
});

test('the bells of two seats are two words', () => {
  const { control, bell, bells, word } = rig();
  bell.park();
  bells.ring(SEAT + 1);
  bells.ring(SEAT - 1);
  expect(word()).toBe(1);
  expect(control.filter((value) => value !== 0).length).toBe(1);
});
