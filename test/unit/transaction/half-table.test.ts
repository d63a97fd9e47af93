import { describe, expect, test } from 'vitest';
import { CHECK_RULES, HalfTable, type Outcome } from '../../../src/transaction/half-table.ts';

const COMMIT: Outcome = { fate: 'commit', partition: 1, offset: 7 };
const ROLLBACK: Outcome = { fate: 'rollback', partition: -1, offset: -1 };
const GROUPS: ReadonlySet<string> = new Set(['g']);

function tableWith(...offsets: number[]): HalfTable {
  const table = new HalfTable(CHECK_RULES);
  for (const offset of offsets) table.prepared(offset, 't', 'g', 1_000);
  return table;
}

describe('what becomes of a half message', () => {
  test('one that was resolved stays so', () => {
    const table = tableWith(0, 1);
    table.decided(0, 'commit');
    expect(table.state(0)).toEqual({ is: 'ending', fate: 'commit' });
    table.ended(0, COMMIT);
    table.ended(0, ROLLBACK);
    table.decided(0, 'dropped');
    expect(table.state(0)).toEqual({ is: 'ended', outcome: COMMIT });
    expect(table.prepared(0, 't', 'g', 1)).toBe(false);
    expect([table.floor, table.pendingCount]).toEqual([1, 1]);
  });

  test('outcomes are forgotten, the oldest first, but not that there was one', () => {
    const table = new HalfTable(CHECK_RULES, 0, 2);
    for (const offset of [0, 1, 2]) {
      table.prepared(offset, 't', 'g', 1);
      table.ended(offset, COMMIT);
    }
    expect([0, 1, 2].map((offset) => table.state(offset).is)).toEqual(['unknown', 'ended', 'ended']);
    expect(table.prepared(0, 't', 'g', 1)).toBe(false);
  });
});

test('what was resolved behind the end of the topic was lost: who comes there now is somebody else', () => {
  const table = tableWith(0, 1, 2, 3, 4);
  for (const offset of [0, 2, 3]) table.ended(offset, COMMIT);
  table.decided(4, 'commit');
  table.clip(2);
  expect([0, 1, 2, 3, 4].map((offset) => table.state(offset).is)).toEqual([
    'ended',
    'pending',
    'unknown',
    'unknown',
    'unknown',
  ]);
  expect([2, 3, 4].map((offset) => table.prepared(offset, 't', 'g', 9))).toEqual([true, true, true]);
  // The end of what was decided before the loss comes now.
  table.ended(4, COMMIT);
  expect(table.state(4).is).toBe('pending');
  table.ended(4, ROLLBACK);
  expect(table.state(4)).toEqual({ is: 'ended', outcome: ROLLBACK });
});

describe('checks', () => {
  const { immunityMs, intervalMs, checksMax } = CHECK_RULES;

  test('the first comes when the immunity is over, the next after the interval', () => {
    const table = tableWith(0);
    expect(table.sweep(GROUPS, 1_000 + immunityMs - 1, 9).due.size).toBe(0);
    expect(table.sweep(GROUPS, 1_000 + immunityMs, 9).due.get('g')).toHaveLength(1);
    const now = 10_000;
    table.wasChecked(0, 1, table.nextCheck(now));
    expect(table.sweep(GROUPS, now + intervalMs - 1, 9).due.size).toBe(0);
    expect(table.sweep(GROUPS, now + intervalMs, 9).due.get('g')?.[0].checks).toBe(1);
  });

  test('only groups that can be asked, and so many of each', () => {
    const table = tableWith(0, 1, 2);
    table.prepared(3, 't', 'h', 1_000);
    const { due } = table.sweep(GROUPS, 100_000, 2);
    expect([...due.keys()]).toEqual(['g']);
    expect(due.get('g')?.map(({ offset }) => offset)).toEqual([0, 1]);
  });

  test('after the last one it is hopeless, once its producer had the time to answer', () => {
    const table = tableWith(0);
    table.wasChecked(0, checksMax, 50_000);
    expect(table.sweep(GROUPS, 49_999, 9).hopeless).toEqual([]);
    const { due, hopeless } = table.sweep(GROUPS, 50_000, 9);
    expect([due.size, hopeless.length]).toEqual([0, 1]);
  });

  test('one that nobody could be asked about for three days is hopeless', () => {
    const table = tableWith(0);
    const end = 1_000 + 72 * 3_600_000;
    const nobody = new Set<string>();
    expect(table.sweep(nobody, end - 1, 9).hopeless).toEqual([]);
    expect(table.sweep(nobody, end, 9).hopeless).toHaveLength(1);
    expect(table.sweep(GROUPS, end, 9).hopeless).toEqual([]);
  });

  test('a clock that is set back does not put checks off for as long', () => {
    const table = tableWith(0);
    table.wasChecked(0, 1, 10_000_000);
    expect(table.sweep(GROUPS, 1_000, 9).due.size).toBe(1);
  });

  test('checks of a half message that is read again are counted on', () => {
    const table = new HalfTable(CHECK_RULES);
    table.wasChecked(4, 3, 90_000);
    table.prepared(4, 't', 'g', 1_000);
    expect(table.state(4)).toMatchObject({ is: 'pending', half: { checks: 3, checkAt: 90_000 } });
  });
});

test('against a naive model: nothing resolved is forgotten before all older ones are, nothing resolved twice', () => {
  let seed = 20_260_709;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed % below;
  };
  for (let round = 0; round < 40; round++) {
    const table = new HalfTable(CHECK_RULES, 0, 16);
    const model = new Map<number, string>();
    let next = 0;
    for (let step = 0; step < 60; step++) {
      const offset = random(Math.max(1, next));
      const what = random(5);
      if (what < 2) {
        table.prepared(next, 't', 'g', 1);
        model.set(next++, 'pending');
      } else if (model.get(offset) === 'pending' && what === 2) {
        table.decided(offset, 'commit');
        model.set(offset, 'ending');
      } else if (model.get(offset) === 'ending' || (model.get(offset) === 'pending' && what === 3)) {
        table.ended(offset, model.get(offset) === 'ending' ? COMMIT : ROLLBACK);
        model.set(offset, model.get(offset) === 'ending' ? 'commit' : 'rollback');
      }
      const open = [...model].filter(([, state]) => state === 'pending' || state === 'ending').map(([at]) => at);
      expect(table.floor, `round ${round} step ${step}`).toBe(Math.min(next, ...open));
      for (const [at, state] of model) {
        const found = table.state(at);
        if (found.is === 'unknown') expect(['commit', 'rollback']).toContain(state);
        else expect(found.is === 'ended' ? found.outcome.fate : found.is).toBe(state);
        if (state !== 'pending') expect(table.prepared(at, 't', 'g', 1)).toBe(false);
      }
    }
  }
});
