import { afterEach, expect, test } from 'vitest';
import { type CodeName, RingmqError } from '../../../src/base/codes.ts';
import { StoredHalf } from '../../../src/client/half-sender.ts';
import type { TransactionOptions } from '../../../src/client/messaging.ts';
import { CallTransactionalProducer, type HalfStore } from '../../../src/client/transactional-producer.ts';
import type { Call, ParamsOf } from '../../../src/wire/services.ts';
import { errorOf } from '../../support/engine.ts';
import { routeOf } from '../../support/fake-outlet.ts';
import { payloadOf } from '../../support/move-world.ts';
import { until } from '../../support/until.ts';

const closing: CallTransactionalProducer<string>[] = [];

afterEach(async () => {
  for (const producer of closing.splice(0)) await producer.close();
});

/** A coordinator that answers as it is told to. */
function fake(options: Partial<TransactionOptions<string>> = {}, checkLimitMs?: number, halves?: HalfStore) {
  const prepared: number[] = [];
  const ended: ParamsOf<'transaction-end'>[] = [];
  const failures: CodeName[] = [];
  const told: string[] = [];
  const checks: { transaction: string; text: string }[] = [];
  let next = 0;
  const call = (async (method: string, params: ParamsOf<'transaction-end'>, how: { payload: Uint8Array }) => {
    const failure = method === 'transaction-checks' ? undefined : failures.shift();
    if (failure) throw new RingmqError(failure);
    if (method === 'transaction-prepare') {
      const count = new Int32Array(how.payload.buffer, how.payload.byteOffset)[11];
      prepared.push(count);
      return { result: { transactions: Array.from({ length: count }, () => `t${next++}`) }, payload: new Uint8Array() };
    }
    if (method === 'transaction-end') {
      ended.push(params);
      const [commits, rollbacks] = [params.commits, params.rollbacks].map((names) => names.map(() => 'ok'));
      const places = params.receipts ? { places: params.commits.flatMap(() => [1, 5]) } : {};
      return { result: { commits, rollbacks, ...places }, payload: new Uint8Array() };
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
    const asked = checks.splice(0);
    const all = asked.map(({ transaction }) => ({ transaction, topic: 't', checks: 1 }));
    return {
      result: { checks: all },
      payload: asked.length > 0 ? payloadOf(asked.map(({ text }) => text)) : new Uint8Array(),
    };
  }) as unknown as Call;
  const settled = { group: 'g', check: () => 'unknown' as const, ...options };
  const host = {
    call,
    route: async () => routeOf(),
    failed: (error: Error) => void told.push(error.message),
    closed: () => {},
    halves,
  };
  const producer = new CallTransactionalProducer<string>('t', settled, host, checkLimitMs);
  closing.push(producer);
  return { producer, prepared, ended, failures, told, checks };
}

test('what is begun in one turn travels in one call, and so do resolutions', async () => {
  const { producer, prepared, ended } = fake();
  const transactions = await Promise.all(Array.from({ length: 100 }, (_, i) => producer.begin(`m${i}`)));
  expect(prepared).toEqual([100]);
  await Promise.all(transactions.slice(0, 60).map((one) => one.commit()));
  const receipts = await Promise.all(transactions.slice(60).map((one) => one.commit({ receipt: true })));
  expect(ended.map(({ commits, receipts }) => [commits.length, receipts])).toEqual([
    [60, false],
    [40, true],
  ]);
  expect(receipts[0]).toEqual({ topic: 't', partition: 1, offset: 5, id: '000000010001000000000005' });
});

test('a large message travels in a call of its own', async () => {
  const { producer, prepared } = fake();
  await Promise.all(['a', 'x'.repeat(200_000), 'b'].map((body) => producer.begin(body)));
  expect(prepared).toEqual([1, 1, 1]);
});

test('a resolution is repeated while the coordinator is away, a half message is not', async () => {
  const { producer, ended, failures } = fake();
  failures.push('coordinator-unavailable');
  expect(await errorOf(producer.begin('one'))).toMatchObject({ code: 'coordinator-unavailable' });
  const transaction = await producer.begin('one');
  failures.push('coordinator-unavailable', 'timeout');
  await transaction.rollback();
  expect(ended).toEqual([{ commits: [], rollbacks: [transaction.id], receipts: false, own: true }]);
});

test('checks are answered with what check() says; unknown ones are left', async () => {
  const fates = { one: 'commit', two: 'rollback', three: 'unknown' } as const;
  const { ended, checks } = fake({ check: (message) => fates[message.text() as keyof typeof fates] });
  checks.push(...Object.keys(fates).map((text) => ({ transaction: `t-${text}`, text })));
  await until(() => ended.length === 2, 'two are resolved');
  expect(ended.flatMap(({ commits }) => commits)).toEqual(['t-one']);
  expect(ended.flatMap(({ rollbacks }) => rollbacks)).toEqual(['t-two']);
});

test('a check that hangs keeps nobody from being asked about others', async () => {
  const hang = new Promise<'commit'>(() => {});
  const { ended, checks } = fake({ check: (message) => (message.text() === 'hangs' ? hang : 'commit') }, 20);
  checks.push({ transaction: 't1', text: 'hangs' }, { transaction: 't2', text: 'b' });
  await until(() => checks.length === 0, 'it is asked');
  checks.push({ transaction: 't3', text: 'c' });
  const resolved = (): string[] => ended.flatMap(({ commits }) => commits);
  await until(() => resolved().length === 2, 'the others are resolved');
  expect(resolved()).toEqual(['t2', 't3']);
});

test('a check that throws or says nonsense is told, and the producer goes on', async () => {
  const { told, checks } = fake({
    check: (message) => {
      if (message.text() === 'one') throw new Error('no database');
      return 'perhaps' as never;
    },
  });
  checks.push({ transaction: 't1', text: 'one' }, { transaction: 't2', text: 'two' });
  await until(() => told.length === 2, 'both are told');
  expect(told.join()).toContain('no database');
  expect(told.join()).toContain('commit, rollback or unknown');
});

test.each([
  [{ group: '' }, 'illegal-group'],
  [{ group: 'a|b' }, 'illegal-group'],
  [{ check: undefined }, 'illegal-argument'],
] as const)('options that cannot be are refused: %j', (options, code) => {
  let refusal: unknown;
  try {
    fake(options as never);
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toMatchObject({ code });
});

/** Stores half messages without the coordinator, and answers op messages as it is told to. */
function store() {
  const sent: number[][] = [];
  const answers: (boolean | Promise<boolean>)[] = [];
  const calls = { keepsUp: 0 };
  let next = 0;
  const halves: HalfStore = {
    accepted: () => {},
    store: async () => new StoredHalf(7, next++, 0),
    keepsUp: () => void calls.keepsUp++,
    mayCommit: () => true,
    commit: async (all) => {
      sent.push(all.map(({ offset }) => offset));
      const answer = await (answers.shift() ?? true);
      return all.map(() => answer);
    },
    close: async () => {},
  };
  return { ...fake({}, undefined, halves), sent, answers, calls };
}

test('commits by op messages, and the coordinator is not asked', async () => {
  const { producer, ended, sent } = store();
  const all = await Promise.all(['a', 'b', 'c'].map((body) => producer.begin(body)));
  await Promise.all(all.map((one) => one.commit()));
  await all[0].commit();
  expect(await errorOf(all[0].rollback())).toMatchObject({ code: 'transaction-ended' });
  expect([sent, ended]).toEqual([[[0, 1, 2]], []]);
  expect(await all[1].commit({ receipt: true })).toMatchObject({ partition: 1, offset: 5 });
  expect(ended).toEqual([{ commits: [all[1].id], rollbacks: [], receipts: true, own: true }]);
});

test('what an op message did not decide the coordinator is asked', async () => {
  const { producer, ended, sent, answers, calls } = store();
  const one = await producer.begin('a');
  answers.push(false);
  await one.commit();
  expect(ended).toEqual([{ commits: [one.id], rollbacks: [], receipts: false, own: true }]);
  expect(calls.keepsUp).toBe(1);
  await one.commit();
  expect([sent.length, ended.length]).toEqual([1, 2]);
});

test('a rollback beside a commit leaves it to the coordinator which of them was first', async () => {
  const { producer, ended, answers } = store();
  const one = await producer.begin('a');
  let answer: (isDecided: boolean) => void = () => {};
  const waiting = new Promise<boolean>((resolve) => {
    answer = resolve;
  });
  answers.push(waiting);
  const committed = one.commit();
  await one.rollback();
  expect(ended).toEqual([{ commits: [], rollbacks: [one.id], receipts: false, own: false }]);
  answer(true);
  await committed;
});

test('what was rolled back is never committed by an op message', async () => {
  const { producer, ended, sent } = store();
  const one = await producer.begin('a');
  await Promise.all([one.rollback(), one.commit()]);
  expect(sent).toEqual([]);
  expect(ended.map(({ own }) => own)).toEqual([true, true]);
});
