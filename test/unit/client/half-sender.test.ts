import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import type { Producer } from '../../../src/client/connection.ts';
import { HalfSender, StoredHalf } from '../../../src/client/half-sender.ts';
import { HalfReader, transactionName } from '../../../src/transaction/half-message.ts';
import { OP_MS, OPS_MAX, opsOf } from '../../../src/transaction/op-message.ts';
import { errorOf } from '../../support/engine.ts';
import { routeOf } from '../../support/fake-outlet.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

/** A sender, and a topic of half messages that answers as it is told to. */
function rig({ durable = true } = {}) {
  const stored: Uint8Array[] = [];
  const answers: (number | RingmqError)[] = [];
  const made: string[] = [];
  const send = async (body: Uint8Array) => {
    const answer = answers.shift() ?? stored.length;
    if (typeof answer !== 'number') throw answer;
    stored.push(body.slice());
    return { topic: '', partition: 0, offset: answer, id: '' };
  };
  const host = {
    route: async () => ({ ...routeOf(), topicId: 7, durable }),
    producer: (topic: string) => {
      made.push(topic);
      return { send, close: async () => {} } as unknown as Producer<Uint8Array>;
    },
  };
  const sender = new HalfSender(host, 'orders', 'g');
  const accepted = async (): Promise<void> => {
    sender.accepted();
    for (let i = 0; i < 5; i++) await Promise.resolve();
  };
  return { sender, stored, answers, made, accepted };
}

const BODY = new TextEncoder().encode('one');

test('stores what the coordinator would, under the name that it would give', async () => {
  const { sender, stored, accepted } = rig();
  expect(await sender.store(BODY, {})).toBeUndefined();
  await accepted();
  expect((await sender.store(BODY, { key: 'k' }))?.name).toBe(transactionName(7, 0));
  expect((await sender.store(BODY, {}))?.name).toBe(transactionName(7, 1));
  expect(new HalfReader().read(stored[0])).toMatchObject({ topic: 'orders', group: 'g', ops: true });
});

test('the coordinator is asked after a while, about long messages, and about all of a volatile broker', async () => {
  const { sender, accepted } = rig();
  await accepted();
  expect(await sender.store(new Uint8Array(4_000), {})).toBeDefined();
  expect(await sender.store(new Uint8Array(4_090), {})).toBeUndefined();
  expect(await sender.store(new Uint8Array(8_192), {})).toBeUndefined();
  expect(await sender.store(BODY, { properties: { a: 'x'.repeat(5_000) } })).toBeUndefined();
  vi.advanceTimersByTime(101);
  expect(await sender.store(BODY, {})).toBeUndefined();
  await accepted();
  expect(await sender.store(BODY, {})).toBeDefined();
  const volatile = rig({ durable: false });
  await volatile.accepted();
  expect(await volatile.sender.store(BODY, {})).toBeUndefined();
  expect(volatile.made).toEqual([]);
});

test('a topic that is gone is left to the coordinator; what else goes wrong is told', async () => {
  const { sender, answers, made, accepted } = rig();
  await accepted();
  answers.push(new RingmqError('store-failed'), -1, new RingmqError('unknown-topic'));
  expect(await errorOf(sender.store(BODY, {}) as Promise<unknown>)).toMatchObject({ code: 'store-failed' });
  expect(await errorOf(sender.store(BODY, {}) as Promise<unknown>)).toMatchObject({ code: 'timeout' });
  expect(await errorOf(sender.store(BODY, { tag: 'a|b' }) as Promise<unknown>)).toMatchObject({ code: 'illegal-tag' });
  expect(await sender.store(BODY, {})).toBeUndefined();
  expect(await sender.store(BODY, {})).toBeUndefined();
  await accepted();
  expect(await sender.store(BODY, {})).toBeDefined();
  expect(made).toHaveLength(2);
  await sender.close();
  await accepted();
  expect(await sender.store(BODY, {})).toBeUndefined();
});

/** Half messages that were stored, and a coordinator that keeps up with commits. */
async function begun(count: number) {
  const made = rig();
  await made.accepted();
  const halves: StoredHalf[] = [];
  for (let i = 0; i < count; i++) halves.push((await made.sender.store(BODY, {})) as StoredHalf);
  made.sender.keepsUp();
  return { ...made, halves };
}

test('commits by an op message while the coordinator keeps up, and not for long after the begin', async () => {
  const { sender, stored, halves, accepted } = await begun(3);
  expect(halves.map((half) => sender.mayCommit(half))).toEqual([true, true, true]);
  expect(await sender.commit(halves.slice(0, 2))).toEqual([true, true]);
  expect(opsOf(stored[3], 7)).toEqual([0, 1]);
  expect(sender.mayCommit(new StoredHalf(8, 2, performance.now()))).toBe(false);
  vi.advanceTimersByTime(100);
  expect(sender.mayCommit(halves[2])).toBe(false);
  sender.keepsUp();
  expect(sender.mayCommit(halves[2])).toBe(true);
  vi.advanceTimersByTime(OP_MS / 2);
  sender.keepsUp();
  expect(sender.mayCommit(halves[2])).toBe(false);
  await sender.close();
  await accepted();
  expect(sender.mayCommit(new StoredHalf(7, 9, performance.now()))).toBe(false);
});

test('many go in several op messages', async () => {
  const { sender, stored, halves } = await begun(1);
  const many = Array.from({ length: OPS_MAX + 1 }, (_, i) => new StoredHalf(7, i, halves[0].begunAt));
  expect(await sender.commit(many)).toEqual(many.map(() => true));
  expect(stored.slice(1).map((body) => opsOf(body, 7)?.length)).toEqual([OPS_MAX, 1]);
});

test('an op message that was refused, or acknowledged too late, has decided nothing', async () => {
  const { sender, answers, halves } = await begun(2);
  answers.push(new RingmqError('disk-full'));
  expect(await sender.commit(halves)).toEqual([false, false]);
  vi.advanceTimersByTime(OP_MS - 1);
  expect(await sender.commit([halves[0]])).toEqual([true]);
  const late = sender.commit([halves[1]]);
  vi.advanceTimersByTime(1);
  expect(await late).toEqual([false]);
});

test('without a way to the topic nothing is decided', async () => {
  const { sender, stored, halves } = await begun(1);
  await sender.close();
  expect(await sender.commit(halves)).toEqual([false]);
  expect(stored).toHaveLength(1);
});
