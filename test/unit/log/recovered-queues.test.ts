import { expect, test } from 'vitest';
import { RecoveredQueues } from '../../../src/log/recovered-queues.ts';
import type { Run } from '../../../src/log/run.ts';

const run = (baseOffset: number, size = 200): Run => ({
  topicId: 1,
  partition: 0,
  baseOffset,
  nextOffset: baseOffset + 1,
  storedFirst: 1,
  storedSpan: 0,
  epoch: 1,
  flags: 0,
  records: 1,
  position: baseOffset * 4096,
  size,
});

const NONE_RECENT = Number.POSITIVE_INFINITY;

function queueOf(count: number, tailBytesMax: number, recentFrom = NONE_RECENT): RecoveredQueues {
  const queues = new RecoveredQueues(tailBytesMax, recentFrom);
  queues.add({ topicId: 1, partition: 0, firstOffset: 0, nextOffset: count });
  return queues;
}

test('a tail has no more than 16,384 runs, however small they are', () => {
  const queues = queueOf(30_000, 1e9);
  for (let offset = 29_999; offset >= 0; offset--) queues.addOlder(run(offset));
  const [{ tail }] = queues.toArray();
  expect([tail.length, tail[0].baseOffset, tail.at(-1)?.baseOffset]).toEqual([16_384, 30_000 - 16_384, 29_999]);
  expect(queues.wantsTails).toBe(false);
});

test('what was written lately is in the tail, whether a ring has room for it or not', () => {
  const queues = queueOf(10, 400, 4 * 4096);
  for (let offset = 9; offset >= 0; offset--) queues.addOlder(run(offset));
  expect(queues.toArray()[0].tail.map((one) => one.baseOffset)).toEqual([4, 5, 6, 7, 8, 9]);
});

test('a tail ends where the log has a gap', () => {
  const queues = queueOf(10, 1e9);
  for (const offset of [9, 8, 6, 5]) queues.addOlder(run(offset));
  expect(queues.toArray()[0].tail.map((one) => one.baseOffset)).toEqual([8, 9]);
});

test('nothing is wanted beyond the oldest run, nor of other queues', () => {
  const queues = queueOf(2, 1e9);
  queues.addOlder({ ...run(1), partition: 5 });
  queues.addOlder(run(1));
  expect(queues.wantsTails).toBe(true);
  queues.addOlder(run(0));
  expect([queues.wantsTails, queues.wantsTail(1, 0), queues.wantsTail(1, 5)]).toEqual([false, false, false]);
});

test('many queues share the memory, with some runs for each', () => {
  const queues = new RecoveredQueues(1e9, NONE_RECENT);
  for (let partition = 0; partition < 4_000; partition++) {
    for (let topicId = 1; topicId <= 8; topicId++) queues.add({ topicId, partition, firstOffset: 0, nextOffset: 100 });
  }
  for (let offset = 99; offset >= 0; offset--) queues.addOlder(run(offset));
  expect(queues.toArray().find((one) => one.topicId === 1 && one.partition === 0)?.tail.length).toBe(16);
});

test('queues come in the order of topics and partitions, over all segments', () => {
  const queues = new RecoveredQueues(0, NONE_RECENT);
  queues.add({ topicId: 2, partition: 1, firstOffset: 5, nextOffset: 7 });
  queues.add({ topicId: 1, partition: 3, firstOffset: 0, nextOffset: 1 });
  queues.add({ topicId: 2, partition: 1, firstOffset: 7, nextOffset: 9 });
  expect(queues.toArray()).toEqual([
    { topicId: 1, partition: 3, oldestOffset: 0, nextOffset: 1, tail: [] },
    { topicId: 2, partition: 1, oldestOffset: 5, nextOffset: 9, tail: [] },
  ]);
});
