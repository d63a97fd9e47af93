// What a simple consumer says of messages: which calls come of it, and what each caller hears.
import { expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import type { Lease } from '../../../src/client/leased-message.ts';
import { ACK, EXTENSION, NACK, Settlements } from '../../../src/client/settlements.ts';
import type { Call, Settle, Settled } from '../../../src/wire/services.ts';

/** A coordinator whose answers the test gives. */
class Coordinator {
  readonly asked: { readonly params: Settle; answer(stale: number[][]): void; refuse(error: Error): void }[] = [];

  readonly call = ((_method, params) =>
    new Promise((resolve, reject) => {
      const answer = (stale: number[][]): void =>
        resolve({ result: { stale } satisfies Settled as never, payload: new Uint8Array(0) });
      this.asked.push({ params: params as Settle, answer, refuse: reject });
    })) as Call;

  get settlements(): Settlements {
    return new Settlements(this.call, 'g', 't');
  }
}

function leaseOf(offset: number, token = 1, partition = 0): Lease {
  return { queue: { topic: 't', partition, topicId: 4 }, offset, token };
}

function codeOf(promise: Promise<void>): Promise<string> {
  return promise.then(
    () => 'ok',
    (error: RingmqError) => error.code,
  );
}

/** Everything that is due without a timer has happened. */
async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test('calls of one turn travel together, by queue', async () => {
  const coordinator = new Coordinator();
  const { settlements } = coordinator;
  const outcomes = [
    settlements.add(leaseOf(5, 9), ACK, 0),
    settlements.add(leaseOf(3, 8, 1), NACK, 250),
    settlements.add(leaseOf(6, 9), ACK, 0),
    settlements.add(leaseOf(4, 8, 1), EXTENSION, 1_000),
    settlements.add(leaseOf(7, 9), NACK, -1),
  ].map(codeOf);
  await turn();
  expect(coordinator.asked.map(({ params }) => params)).toEqual([
    {
      group: 'g',
      topic: 't',
      queues: [
        { topic: 't', partition: 0, acks: [5, 9, 6, 9], nacks: [7, 9, -1], extensions: [] },
        { topic: 't', partition: 1, acks: [], nacks: [3, 8, 250], extensions: [4, 8, 1_000] },
      ],
    },
  ]);
  coordinator.asked[0].answer([[6], [3]]);
  expect(await Promise.all(outcomes)).toEqual(['ok', 'stale-lease', 'stale-lease', 'ok', 'ok']);
});

test('a few calls are under way at once, and what comes meanwhile travels in the next one', async () => {
  const coordinator = new Coordinator();
  const { settlements } = coordinator;
  const outcomes: Promise<string>[] = [];
  for (let i = 0; i < 10; i++) {
    outcomes.push(codeOf(settlements.add(leaseOf(i), ACK, 0)));
    await turn();
  }
  expect(coordinator.asked).toHaveLength(4);
  coordinator.asked[2].answer([[]]);
  await turn();
  expect(coordinator.asked).toHaveLength(5);
  expect(coordinator.asked[4].params.queues[0].acks).toEqual([4, 1, 5, 1, 6, 1, 7, 1, 8, 1, 9, 1]);
  for (const one of coordinator.asked) one.answer([[]]);
  expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['ok']));
});

test('a long list is split', async () => {
  const coordinator = new Coordinator();
  const { settlements } = coordinator;
  for (let i = 0; i < 5_000; i++) void settlements.add(leaseOf(i), ACK, 0);
  await turn();
  expect(coordinator.asked.map(({ params }) => params.queues[0].acks.length / 2)).toEqual([4_096, 904]);
  for (const one of coordinator.asked) one.answer([[]]);
  await settlements.drained();
});

test('a refusal reaches everybody whose word it was', async () => {
  const coordinator = new Coordinator();
  const { settlements } = coordinator;
  const outcomes = [settlements.add(leaseOf(1), ACK, 0), settlements.add(leaseOf(2), ACK, 0)].map(codeOf);
  await turn();
  coordinator.asked[0].refuse(new RingmqError('disk-full'));
  expect(await Promise.all(outcomes)).toEqual(['disk-full', 'disk-full']);
});

test('a coordinator that is being started again is asked again', async () => {
  const coordinator = new Coordinator();
  const { settlements } = coordinator;
  const outcome = codeOf(settlements.add(leaseOf(1), ACK, 0));
  await turn();
  coordinator.asked[0].refuse(new RingmqError('coordinator-unavailable'));
  while (coordinator.asked.length < 2) await turn();
  expect(coordinator.asked[1].params).toEqual(coordinator.asked[0].params);
  coordinator.asked[1].answer([[]]);
  expect(await outcome).toBe('ok');
});
