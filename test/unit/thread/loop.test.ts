import { expect, test } from 'vitest';
import { SEAT_BELL } from '../../../native-layout/control.ts';
import { Bells, Doorbell, seatWord } from '../../../src/memory/bell.ts';
import { EventLoopDriver } from '../../../src/thread/loop.ts';
import { until } from '../../support/until.ts';
import { controlBlock } from '../memory/support.ts';

const SEAT = 20;

function rig() {
  const control = controlBlock();
  const bells = new Bells(control);
  const state = { news: 0, worked: 0 };
  const work = (): number => {
    state.worked++;
    const did = state.news;
    state.news = 0;
    return did;
  };
  const driver = new EventLoopDriver(new Doorbell(control, SEAT), { work, housekeep: () => {} });
  const parked = (): boolean => Atomics.load(control, seatWord(SEAT) + SEAT_BELL) === 1;
  return { control, bells, state, driver, parked };
}

test('the loop sleeps when there is nothing to do, and a ring wakes it', async () => {
  const { bells, state, driver, parked } = rig();
  await until(parked, 'it sleeps');
  const before = state.worked;
  await new Promise((resolve) => setImmediate(resolve));
  expect(state.worked).toBe(before);
  state.news = 1;
  bells.ring(SEAT);
  await until(() => state.news === 0, 'it has worked');
  await until(parked, 'it sleeps again');
  driver.stop();
});

test('a loop that was stopped leaves the bell alone, which may be somebody else’s by then', async () => {
  const { control, state, driver, parked } = rig();
  driver.hold(true);
  await until(parked, 'it sleeps');
  driver.stop();
  const worked = state.worked;
  const next = new Doorbell(control, SEAT);
  next.park();
  // As a late timeout of the first loop's sleep would.
  Atomics.notify(control, seatWord(SEAT) + SEAT_BELL);
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
  expect([parked(), state.worked]).toEqual([true, worked]);
});
