// The judge of timers and transactions is judged: histories with one seeded anomaly each must be found guilty of
// exactly that.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type OutcomeAnomaly, OutcomeChecker } from '../../../torture/outcome-checker.ts';

const FATES = ['must', 'not', 'may'] as const;

interface Line {
  readonly id: string;
  readonly fate: (typeof FATES)[number];
  readonly notBefore: number;
}

interface Arrival {
  readonly id: string;
  readonly at: number;
}

const lines = fc
  .array(fc.record({ fate: fc.constantFrom(...FATES), notBefore: fc.integer({ min: 1, max: 1_000 }) }), {
    minLength: 1,
    maxLength: 30,
  })
  .map((choices) => choices.map((choice, n) => ({ ...choice, id: `m-${n}` })));

function judge(given: readonly Line[], arrivals: readonly Arrival[]): OutcomeChecker {
  const checker = new OutcomeChecker('o');
  for (const { id, fate, notBefore } of given) {
    checker.sending(id, notBefore);
    if (fate === 'must') checker.mustCome(id);
    if (fate === 'not') checker.mustNotCome(id);
  }
  for (const { id, at } of arrivals) checker.stored(id, at);
  checker.finish();
  return checker;
}

/** Damages what came; false: there is nothing to damage in this history. */
function seeded(kind: OutcomeAnomaly, damage: (arrivals: Arrival[], line: Line) => boolean): void {
  fc.assert(
    fc.property(lines, fc.nat(), (given, seed) => {
      // Every second one of those that may come.
      const came = given.filter(({ fate }, n) => fate === 'must' || (fate === 'may' && n % 2 === 0));
      const arrivals = came.map(({ id, notBefore }) => ({ id, at: notBefore }));
      expect(judge(given, arrivals).anomalies).toEqual([]);
      fc.pre(damage(arrivals, given[seed % given.length]));
      expect([...judge(given, arrivals).counts.keys()]).toEqual([kind]);
    }),
  );
}

test('lost: it was promised, and did not come', () => {
  seeded('lost', (arrivals, { id, fate }) => {
    const at = arrivals.findIndex((one) => one.id === id);
    if (fate !== 'must') return false;
    arrivals.splice(at, 1);
    return true;
  });
});

test('doubled: it came twice, promised or not', () => {
  seeded('doubled', (arrivals, { id, notBefore }) => {
    if (!arrivals.some((one) => one.id === id)) return false;
    arrivals.push({ id, at: notBefore + 1 });
    return true;
  });
});

test('early: it came before its time', () => {
  seeded('early', (arrivals, { id, notBefore }) => {
    const at = arrivals.findIndex((one) => one.id === id);
    if (at < 0) return false;
    arrivals[at] = { id, at: notBefore - 1 };
    return true;
  });
});

test('unwanted: it came although it was taken back', () => {
  seeded('unwanted', (arrivals, { id, fate, notBefore }) => {
    arrivals.push({ id, at: notBefore });
    return fate === 'not';
  });
});

test('phantom: nobody sent it', () => {
  seeded('phantom', (arrivals) => arrivals.push({ id: 'x', at: 0 }) > 0);
});

test('a recall without an answer leaves it open, one that came too late does not', () => {
  const checker = new OutcomeChecker('o');
  for (const id of ['open', 'too late', 'gone']) {
    checker.sending(id);
    checker.mustCome(id);
    checker.mayCome(id);
  }
  checker.mustCome('too late');
  checker.mustNotCome('gone');
  expect(checker.promised).toBe(1);
  checker.finish();
  expect(checker.anomalies).toEqual([{ kind: 'lost', text: 'o: too late was promised and did not come' }]);
});

test('how late the last one was is known', () => {
  const checker = judge(
    [
      { id: '1', fate: 'must', notBefore: 10 },
      { id: '2', fate: 'must', notBefore: 20 },
    ],
    [
      { id: '1', at: 17 },
      { id: '2', at: 21 },
    ],
  );
  expect([checker.lateMs, checker.came]).toEqual([7, 2]);
});
