import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BUCKET_MS } from '../../../src/delay/deliver-time.ts';
import { TimerWheel } from '../../../src/delay/wheel.ts';

function due(wheel: TimerWheel, slot: number, most = 1_000): number[] {
  const into = new Uint32Array(most);
  return [...into.subarray(0, wheel.takeDue(slot, into, most))];
}

test('messages come by their time, and those of one time in order of arrival', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: BUCKET_MS - 1 }), { maxLength: 300 }), (slots) => {
      const wheel = new TimerWheel();
      for (const [i, slot] of slots.entries()) wheel.add(slot, i * 8, 8, i, false);
      const expected = slots.map((_, i) => i).sort((a, b) => slots[a] - slots[b] || a - b);
      expect(wheel.nextSlot()).toBe(slots.length === 0 ? -1 : slots[expected[0]]);
      expect(due(wheel, BUCKET_MS)).toEqual(expected);
      expect(wheel.nextSlot()).toBe(-1);
      expect(wheel.waiting).toBe(0);
    }),
  );
});

test('messages that come while others are taken wait at their own time, also an earlier one', () => {
  const step = fc.record({
    slots: fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 20 }),
    now: fc.nat(6_000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), fc.integer({ min: 1, max: 7 }), (steps, most) => {
      const wheel = new TimerWheel();
      const waiting: { slot: number; ordinal: number }[] = [];
      for (const { slots, now } of steps) {
        for (const slot of slots) waiting.push({ slot, ordinal: wheel.add(slot, 0, 8, wheel.count, false) });
        waiting.sort((a, b) => a.slot - b.slot || a.ordinal - b.ordinal);
        const ready = waiting.filter(({ slot }) => slot <= now).slice(0, most);
        expect(due(wheel, now, most)).toEqual(ready.map(({ ordinal }) => ordinal));
        waiting.splice(0, ready.length);
        expect(wheel.nextSlot()).toBe(waiting[0]?.slot ?? -1);
        expect(wheel.waiting).toBe(waiting.length);
      }
    }),
  );
});

test('what is over has a number and does not wait', () => {
  const wheel = new TimerWheel();
  wheel.add(5, 0, 8, 100, true);
  wheel.add(5, 8, 16, 103, false);
  expect(due(wheel, 10)).toEqual([1]);
  expect(wheel.place(1)).toBe(8);
  expect(wheel.length(1)).toBe(16);
});

test('a message is found by its offset in the timer topic, also where that passes 32 bits', () => {
  const wheel = new TimerWheel();
  const offsets = [2 ** 32 - 3, 2 ** 32 - 1, 2 ** 32 + 7, 2 ** 32 + 8];
  for (const offset of offsets) wheel.add(0, 0, 8, offset, false);
  expect(offsets.map((offset) => wheel.ordinalAt(offset))).toEqual([0, 1, 2, 3]);
  for (const other of [2 ** 32 - 4, 2 ** 32 - 2, 2 ** 32, 2 ** 32 + 9]) expect(wheel.ordinalAt(other)).toBe(-1);
  expect(new TimerWheel().ordinalAt(0)).toBe(-1);
});

test('places reach 32 GiB', () => {
  const wheel = new TimerWheel();
  const far = 2 ** 35 - 8;
  wheel.add(0, far, 8, 0, false);
  expect(wheel.place(0)).toBe(far);
});
