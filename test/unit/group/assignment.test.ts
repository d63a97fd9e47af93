import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Assignment, shareQueues } from '../../../src/group/assignment.ts';

const queuesOf = (count: number): string[] => Array.from({ length: count }, (_, i) => `t/${i}`);
const membersOf = (ids: readonly number[]): string[] => ids.map((id) => `m${id}`);

/** Least number of queues that must move for an even result: found by trying every share of the larger quotas. */
function leastMoves(queues: readonly string[], members: readonly string[], present: ReadonlyMap<string, string>) {
  const counts = members.map((member) => queues.filter((queue) => present.get(queue) === member).length);
  const least = Math.floor(queues.length / members.length);
  const more = queues.length % members.length;
  let kept = 0;
  for (let pick = 0; pick < 1 << members.length; pick++) {
    const quotas = members.map((_, i) => least + ((pick >> i) & 1));
    if (quotas.reduce((sum, quota) => sum + quota - least, 0) !== more) continue;
    kept = Math.max(
      kept,
      counts.reduce((sum, count, i) => sum + Math.min(count, quotas[i]), 0),
    );
  }
  return queues.length - kept;
}

describe('shareQueues()', () => {
  const input = fc.record({
    count: fc.integer({ min: 0, max: 20 }),
    before: fc.array(fc.integer({ min: 0, max: 7 }), { minLength: 20, maxLength: 20 }),
    members: fc.uniqueArray(fc.integer({ min: 0, max: 7 }), { minLength: 1, maxLength: 6 }),
  });

  test('gives every queue to a member, evenly, moving as few as can be, and the same again', () => {
    fc.assert(
      fc.property(input, ({ count, before, members: ids }) => {
        const queues = queuesOf(count);
        const members = membersOf(ids);
        // Ids 6 and 7 stand for nobody: queues that are new.
        const present = new Map(queues.map((queue, i) => [queue, `m${before[i]}`] as const));
        for (const queue of queues) if (present.get(queue) === 'm7') present.delete(queue);
        const shares = shareQueues(queues, members, present);
        expect([...shares.keys()].sort()).toEqual([...queues].sort());
        const counts = members.map((member) => [...shares.values()].filter((one) => one === member).length);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
        const moved = queues.filter((queue) => shares.get(queue) !== present.get(queue)).length;
        expect(moved).toBe(leastMoves(queues, members, present));
        expect(shareQueues(queues, members.toReversed(), present)).toEqual(shares);
        expect(shareQueues(queues, members, shares)).toEqual(shares);
      }),
    );
  });

  test('more members than queues: some have none', () => {
    const shares = shareQueues(queuesOf(2), ['a', 'b', 'c'], new Map([['t/1', 'c']]));
    expect(shares).toEqual(
      new Map([
        ['t/1', 'c'],
        ['t/0', 'a'],
      ]),
    );
  });

  test('nobody is there: nobody gets anything', () => {
    expect(shareQueues(queuesOf(3), [], new Map([['t/0', 'a']]))).toEqual(new Map());
  });

  test('two of four queues move to a second member, and a third takes one', () => {
    const queues = queuesOf(4);
    const one = shareQueues(queues, ['a'], new Map());
    const two = shareQueues(queues, ['a', 'b'], one);
    expect(queues.filter((queue) => two.get(queue) !== one.get(queue))).toHaveLength(2);
    const three = shareQueues(queues, ['a', 'b', 'c'], two);
    expect(queues.filter((queue) => three.get(queue) !== two.get(queue))).toHaveLength(1);
  });

  test('queues that are added go to who has least, and nothing else moves', () => {
    const before = shareQueues(queuesOf(3), ['a', 'b'], new Map());
    const after = shareQueues(queuesOf(4), ['a', 'b'], before);
    for (const [queue, member] of before) expect(after.get(queue)).toBe(member);
    expect([...after.values()].sort()).toEqual(['a', 'a', 'b', 'b']);
  });
});

describe('handing over (I1, I2)', () => {
  test('a queue goes to another member only when the first has given it up', () => {
    const assignment = new Assignment();
    expect(assignment.rebalance(queuesOf(2), ['a'])).toBe(true);
    assignment.granted('a', assignment.due('a'));
    expect(assignment.rebalance(queuesOf(2), ['a', 'b'])).toBe(true);
    expect(assignment.due('a')).toEqual(['t/0']);
    expect(assignment.due('b')).toEqual([]);
    expect(assignment.synced('a', new Set(['t/0', 't/1']))).toBe(false);
    expect(assignment.due('b')).toEqual([]);
    expect(assignment.synced('a', new Set(['t/0']))).toBe(true);
    expect(assignment.due('b')).toEqual(['t/1']);
  });

  test('at no time do two members hold one queue, whatever they say and when they die', () => {
    const action = fc.record({
      member: fc.integer({ min: 0, max: 3 }),
      act: fc.constantFrom('join', 'sync', 'give-up', 'die', 'grow'),
    });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const assignment = new Assignment();
        /** What members believe to hold: they handle messages of these. */
        const beliefs = new Map<string, Set<string>>();
        let count = 3;
        for (const { member: id, act } of actions) {
          const member = `m${id}`;
          const belief = beliefs.get(member);
          if (act === 'join' && !belief) beliefs.set(member, new Set());
          if (act === 'grow') count = Math.min(count + 1, 8);
          if (act === 'die' && belief) {
            assignment.left(member);
            beliefs.delete(member);
          }
          assignment.rebalance(queuesOf(count), [...beliefs.keys()]);
          if ((act === 'sync' || act === 'give-up') && belief) {
            const due = new Set(assignment.due(member));
            if (act === 'give-up') for (const queue of belief) if (!due.has(queue)) belief.delete(queue);
            assignment.synced(member, belief);
            const given = assignment.due(member);
            assignment.granted(member, given);
            for (const queue of given) belief.add(queue);
          }
          const held = [...beliefs.values()].flatMap((queues) => [...queues]);
          expect(new Set(held).size).toBe(held.length);
        }
        // Once everybody has given up what it should, all queues are held, evenly.
        for (const round of ['give up', 'take']) {
          for (const [member, belief] of beliefs) {
            const due = new Set(assignment.due(member));
            for (const queue of belief) if (!due.has(queue)) belief.delete(queue);
            assignment.synced(member, belief);
            const given = assignment.due(member);
            assignment.granted(member, given);
            for (const queue of given) belief.add(queue);
          }
          if (round === 'give up') continue;
          const counts = [...beliefs.values()].map(({ size }) => size);
          if (counts.length === 0) continue;
          expect(counts.reduce((sum, size) => sum + size, 0)).toBe(count);
          expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
        }
      }),
    );
  });
});
