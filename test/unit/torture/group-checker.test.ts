// The judge of groups is judged: histories with one seeded anomaly each must be found guilty of exactly that.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type GroupAnomaly, GroupChecker } from '../../../torture/group-checker.ts';

type Step = readonly [what: 'kept' | 'delivered' | 'handled' | 'gaveUp' | 'acked' | 'dead', id: string];

interface Line {
  readonly id: string;
  readonly key: string | undefined;
  /** Deliveries that fail; after the third one it is a dead letter. */
  readonly failures: number;
}

interface History {
  readonly lines: readonly Line[];
  readonly steps: Step[];
}

const ATTEMPTS_MAX = 3;

const lines = fc
  .array(fc.record({ key: fc.constantFrom('a', 'b', undefined), failures: fc.nat(ATTEMPTS_MAX) }), {
    minLength: 4,
    maxLength: 30,
  })
  .map((choices) => choices.map((choice, n) => ({ ...choice, id: `m-${n}` })));

/** All messages of a history without fault, one after the other. */
function faultless(given: readonly Line[]): History {
  const steps = given.flatMap(({ id, failures }): Step[] => {
    const attempts = Math.min(failures + 1, ATTEMPTS_MAX);
    const deliveries = Array.from({ length: attempts }, (): Step => ['delivered', id]);
    const end: Step[] =
      failures < ATTEMPTS_MAX
        ? [
            ['handled', id],
            ['acked', id],
          ]
        : [
            ['gaveUp', id],
            ['dead', id],
          ];
    return [['kept', id], ...deliveries, ...end];
  });
  return { lines: given, steps };
}

function judge({ lines: sent, steps }: History): GroupChecker {
  const checker = new GroupChecker('g');
  for (const { id, key } of sent) checker.sending(id, key);
  for (const [what, id] of steps) {
    if (what === 'delivered') checker.delivered(id, '0@0');
    else if (what === 'dead') checker.isDead(id);
    else checker[what](id);
  }
  checker.finish();
  return checker;
}

/** Damages histories; false: there is nothing to damage in this one. */
function seeded(kind: GroupAnomaly, damage: (history: History, line: Line) => boolean): void {
  fc.assert(
    fc.property(lines, fc.nat(), (given, seed) => {
      const history = faultless(given);
      expect(judge(history).anomalies).toEqual([]);
      fc.pre(damage(history, given[seed % given.length]));
      expect([...judge(history).counts.keys()]).toEqual([kind]);
    }),
  );
}

function remove(steps: Step[], which: (step: Step) => boolean): void {
  for (let i = steps.length - 1; i >= 0; i--) if (which(steps[i])) steps.splice(i, 1);
}

test('lost: the broker has it, nobody handled it and it is no dead letter', () => {
  seeded('lost', ({ steps }, { id }) => {
    remove(steps, (step) => step[1] === id && step[0] !== 'kept');
    return true;
  });
});

test('lost: its last attempt failed, and it is no dead letter', () => {
  seeded('lost', ({ steps }, { id, failures }) => {
    remove(steps, (step) => step[1] === id && step[0] === 'dead');
    return failures === ATTEMPTS_MAX;
  });
});

test('again: it comes after its acknowledgement was answered', () => {
  seeded('again', ({ steps }, { id, failures }) => {
    steps.push(['delivered', id]);
    return failures < ATTEMPTS_MAX;
  });
});

test('again: it is a dead letter after its acknowledgement was answered', () => {
  seeded('again', ({ steps }, { id, failures }) => {
    steps.push(['dead', id]);
    return failures < ATTEMPTS_MAX;
  });
});

test('overtaken: it comes for the first time behind others of its key', () => {
  seeded('overtaken', ({ lines: given, steps }, { id, key }) => {
    const at = given.findIndex((line) => line.id === id);
    if (key === undefined || !given.slice(at + 1).some((line) => line.key === key)) return false;
    const own = steps.filter((step) => step[1] === id);
    remove(steps, (step) => step[1] === id);
    steps.push(...own);
    return true;
  });
});

test('overtaken: another of its key comes between two attempts', () => {
  seeded('overtaken', ({ lines: given, steps }, { id, key, failures }) => {
    const at = given.findIndex((line) => line.id === id);
    const next = given.slice(at + 1).find((line) => line.key === key);
    if (key === undefined || next === undefined || failures === 0 || failures === ATTEMPTS_MAX) return false;
    const from = steps.findIndex((step) => step[1] === id && step[0] === 'delivered');
    steps.splice(from + 1, 0, ['delivered', next.id]);
    return true;
  });
});

test('doubled: it is a dead letter twice', () => {
  seeded('doubled', ({ steps }, { id, failures }) => {
    steps.push(['dead', id]);
    return failures === ATTEMPTS_MAX;
  });
});

test('phantom: nobody sent it', () => {
  seeded('phantom', ({ steps }) => steps.push(['delivered', 'x']) > 0);
  seeded('phantom', ({ steps }) => steps.push(['dead', 'x']) > 0);
});

test('what was not acknowledged may come again, and all of its key behind it', () => {
  const checker = new GroupChecker('g');
  for (const id of ['1', '2']) {
    checker.sending(id, 'key');
    checker.kept(id);
    checker.delivered(id, '0@0');
    checker.handled(id);
  }
  checker.delivered('1', '0@0');
  checker.delivered('2', '0@1');
  checker.acked('2');
  checker.finish();
  expect(checker.anomalies).toEqual([]);
});

test('an attempt that nobody saw may be the last one', () => {
  const checker = new GroupChecker('g');
  for (const id of ['1', '2']) checker.sending(id, 'key');
  checker.delivered('1', '0@0');
  checker.delivered('2', '0@1');
  checker.isDead('1');
  checker.finish();
  expect(checker.anomalies).toEqual([]);
});

test('what the broker had not acknowledged may be taken back by a crash, whatever was done with it', () => {
  const checker = new GroupChecker('g');
  checker.sending('1', undefined);
  checker.delivered('1', '0@0');
  checker.handled('1');
  checker.acked('1');
  checker.kept('1');
  checker.delivered('1', '0@0');
  checker.finish();
  expect(checker.anomalies).toEqual([]);
  expect(checker.acks).toBe(0);
});

test('it is known how many are still to be handled', () => {
  const checker = new GroupChecker('g');
  for (const id of ['1', '2', '3']) checker.sending(id, undefined);
  checker.handled('1');
  checker.kept('1');
  checker.kept('2');
  checker.kept('3');
  expect(checker.waiting).toBe(2);
  checker.handled('3');
  checker.handled('3');
  expect(checker.waiting).toBe(1);
});

test('it is known how many are still to be dealt with', () => {
  const checker = new GroupChecker('g');
  for (const id of ['1', '2', '3', '4']) checker.sending(id, undefined);
  checker.gaveUp('1');
  for (const id of ['1', '2', '3', '4']) checker.kept(id);
  expect([checker.waiting, checker.open]).toEqual([4, 3]);
  checker.gaveUp('2');
  checker.gaveUp('2');
  checker.handled('2');
  expect([checker.waiting, checker.open]).toEqual([3, 2]);
  checker.handled('3');
  checker.gaveUp('3');
  expect([checker.waiting, checker.open]).toEqual([2, 1]);
});
