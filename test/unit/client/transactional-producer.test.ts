import { afterEach, expect, test } from 'vitest';
import { type CodeName, RingmqError } from '../../../src/base/codes.ts';
import type { TransactionOptions } from '../../../src/client/messaging.ts';
import { CallTransactionalProducer } from '../../../src/client/transactional-producer.ts';
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
function fake(options: Partial<TransactionOptions<string>> = {}, checkLimitMs?: number) {
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
  expect(ended).toEqual([{ commits: [], rollbacks: [transaction.id], receipts: false }]);
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
