// The plan of the torture: every place has its turn, the process and a thread alternately.
import { expect, test } from 'vitest';
import { CRASH_POINTS } from '../../../src/log/crash-point.ts';
import { type Crash, Plan } from '../../../torture/plan.ts';

const PASSED = CRASH_POINTS.filter((point) => point !== 'log.retained');
const MAIN_THREAD = ['recovery.done', 'recovery.verified'];

/** The first so many kills at places. */
function crashes(plan: Plan, count: number): Crash[] {
  return Array.from({ length: 2 * count }, (_, i) => plan.kill(i + 1)).filter((crash) => crash !== undefined);
}

test('every second kill is at a place, and in two rounds each place ends the process and a thread', () => {
  for (let seed = 0; seed < 20; seed++) {
    const plan = new Plan(seed);
    // The first round lacks the place whose turn number would be 0.
    const all = crashes(plan, 3 * PASSED.length);
    expect(all).toHaveLength(3 * PASSED.length);
    for (const point of PASSED) {
      const how = new Set(all.filter((crash) => crash.point === point).map(({ threadOnly }) => threadOnly));
      expect([point, [...how].sort()]).toEqual([point, MAIN_THREAD.includes(point) ? [false] : [false, true]]);
    }
  }
});

test('a seed makes one plan, and chosen places are all that it has', () => {
  expect(crashes(new Plan(7), 40)).toEqual(crashes(new Plan(7), 40));
  expect(crashes(new Plan(7), 40)).not.toEqual(crashes(new Plan(8), 40));
  const few = crashes(new Plan(7, ['move.done', 'log.retained']), 10);
  expect(new Set(few.map(({ point }) => point))).toEqual(new Set(['move.done']));
  expect(crashes(new Plan(7, ['log.retained']), 10)).toEqual([]);
});
