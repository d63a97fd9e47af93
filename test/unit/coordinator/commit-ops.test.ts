import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type CodeName, RingmqError } from '../../../src/base/codes.ts';
import { CommitOps } from '../../../src/coordinator/commit-ops.ts';
import { CHECK_RULES, HalfTable } from '../../../src/transaction/half-table.ts';
import { errorOf } from '../../support/engine.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A mover that decides, or refuses as it is told to, and a topic of half messages that is read up to its end. */
function rig() {
  const table = new HalfTable(CHECK_RULES);
  const asked: string[] = [];
  const refusals: CodeName[] = [];
  const given: string[] = [];
  let caughtUp = 0;
  const ops = new CommitOps({
    table: () => table,
    halves: {
      reached: async () => false,
      caughtUp: async () => void caughtUp++,
    },
    publish: async ({ topic, offsets, decide }) => {
      asked.push(`${topic} ${offsets}`);
      const refusal = refusals.shift();
      if (refusal) throw new RingmqError(refusal);
      for (const offset of offsets) table.decided(offset, 'commit');
      decide();
    },
    giveUp: ({ offset }, outcome, { code }) => {
      given.push(`${offset} ${outcome.fate} ${code}`);
      table.ended(offset, outcome);
      return true;
    },
  });
  const prepare = (...offsets: number[]): void => {
    for (const offset of offsets) table.prepared(offset, offset < 100 ? 'a' : 'b', 'g', 0, performance.now() + 1_000);
  };
  const states = (...offsets: number[]) => offsets.map((offset) => table.state(offset).is);
  return { ops, table, asked, refusals, given, prepare, states, caught: () => caughtUp };
}

test('those of a turn go together, each once, by topic', async () => {
  const { ops, asked, prepare, states } = rig();
  prepare(0, 1, 2, 100);
  ops.take([0, 0]);
  await vi.advanceTimersByTimeAsync(0);
  ops.take([1]);
  ops.take([100, 2, 1]);
  expect(asked).toEqual(['a 0']);
  await vi.advanceTimersByTimeAsync(0);
  expect(asked.slice(1)).toEqual(['a 1,2', 'b 100']);
  ops.take([0, 1, 2, 7]);
  await vi.advanceTimersByTimeAsync(5);
  expect(asked).toHaveLength(3);
  expect(states(0, 1, 2, 100)).toEqual(['ending', 'ending', 'ending', 'ending']);
});

test('many are not one move', async () => {
  const { ops, table, asked } = rig();
  const many = Array.from({ length: 1_025 }, (_, i) => i);
  for (const offset of many) table.prepared(offset, 'a', 'g', 0, 1);
  for (let at = 0; at < many.length; at += 500) ops.take(many.slice(at, at + 500));
  await vi.advanceTimersByTimeAsync(0);
  expect(asked).toEqual([`a ${many.slice(0, 1_024)}`, 'a 1024']);
});

test('what others are about to decide is theirs', async () => {
  const { ops, table, asked, prepare } = rig();
  prepare(0, 1);
  Object.assign(table.pendingAt(0) ?? {}, { resolving: new Promise(() => {}) });
  ops.take([0, 1]);
  await vi.advanceTimersByTimeAsync(5);
  expect(asked).toEqual(['a 1']);
});

test('what is refused is tried again by itself, until it is taken', async () => {
  const { ops, table, asked, refusals, prepare, states } = rig();
  prepare(0, 1);
  refusals.push('disk-full', 'disk-full', 'store-failed', 'log-busy');
  ops.take([0, 1]);
  await vi.advanceTimersByTimeAsync(0);
  expect(asked).toEqual(['a 0,1', 'a 0', 'a 1']);
  expect(table.pendingAt(0)?.resolving).toBeDefined();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(asked.slice(3)).toEqual(['a 0', 'a 1', 'a 0']);
  expect(states(0, 1)).toEqual(['ending', 'ending']);
});

test.each([
  ['unknown-topic', 'commit'],
  ['not-found', 'dropped'],
] as const)('%s for ten seconds is the end, and not before', async (code, fate) => {
  const { ops, refusals, given, prepare, states } = rig();
  prepare(0, 1);
  refusals.push(...Array.from({ length: 6 }, () => code));
  ops.take([0]);
  await vi.advanceTimersByTimeAsync(15_000);
  expect([given, states(0)]).toEqual([[], ['ending']]);
  refusals.push(code, code, code, code, 'disk-full', ...Array.from({ length: 30 }, () => code));
  ops.take([1]);
  await vi.advanceTimersByTimeAsync(13_000);
  expect(given).toEqual([]);
  await vi.advanceTimersByTimeAsync(3_000);
  expect(given).toEqual([`1 ${fate} ${code}`]);
});

test('whoever else decides waits until no op message can come any more, and for those that are there', async () => {
  const { ops, table, prepare, caught } = rig();
  await ops.settled([7]);
  table.prepared(50, 'a', 'g', 0);
  await ops.settled([50]);
  expect(caught()).toBe(0);
  prepare(0);
  const settled = vi.fn();
  void ops.settled([50, 0]).then(settled);
  await vi.advanceTimersByTimeAsync(999);
  expect(settled).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(settled).toHaveBeenCalled();
  expect(caught()).toBe(1);
});

test('a stop leaves what is open to the next coordinator, and holds up nobody', async () => {
  const { ops, table, refusals, prepare, states } = rig();
  prepare(0, 1);
  ops.take([0]);
  await vi.advanceTimersByTimeAsync(0);
  ops.take([1]);
  const waiting = table.pendingAt(1)?.resolving;
  refusals.push('shutting-down', 'shutting-down');
  ops.stop();
  await waiting;
  await vi.advanceTimersByTimeAsync(1);
  expect(states(0, 1)).toEqual(['ending', 'pending']);
  expect(table.pendingAt(1)?.resolving).toBeUndefined();
  expect(await errorOf(ops.settled([1]))).toMatchObject({ code: 'shutting-down' });
});
