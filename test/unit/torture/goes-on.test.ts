// The torture's limit after the death of a thread: it trips when somebody gets no more answers, and only then.
import { expect, test } from 'vitest';
import { goesOn } from '../../../torture/goes-on.ts';

/** Judges lives in which each client's answers stop and come again at these times, in ms; no real time passes. */
async function judged(comesAgainAt: readonly number[], diesAt = Number.POSITIVE_INFINITY): Promise<[string?, number?]> {
  let time = 0;
  const verdict = await goesOn({
    server: {
      get alive() {
        return time < diesAt;
      },
    },
    answers: () => comesAgainAt.map((at) => (time >= at ? 8 : 7)),
    now: () => time,
    pause: async (ms) => {
      time += ms;
    },
  });
  return verdict === undefined ? [] : [verdict, time];
}

test('whoever gets no answers for 20 s is a fault, with all counts; the limit is not reached earlier', async () => {
  expect(await judged([30, Number.POSITIVE_INFINITY, 50])).toEqual(['7,7,7 before, 8,7,8 20000 ms later', 20_000]);
  expect(await judged([20_010])).toEqual(['7 before, 7 20000 ms later', 20_000]);
});

test('all that get answers in time, even at the last moment, are no fault', async () => {
  expect(await judged([10, 19_990, 20_000])).toEqual([]);
});

test('a process that dies meanwhile owes nobody an answer', async () => {
  expect(await judged([Number.POSITIVE_INFINITY], 10_000)).toEqual([]);
});
