import { expect, test } from 'vitest';
import { MessageQueue } from '../../../src/client/message-queue.ts';

function rig(limit: number) {
  let wanted = 0;
  const queue = new MessageQueue<number>(limit, () => void wanted++);
  return { queue, wanted: () => wanted };
}

test('items come out as they went in, and more is wanted when half of them are gone', () => {
  const { queue, wanted } = rig(4);
  for (let i = 0; i < 4; i++) {
    expect(queue.full).toBe(false);
    queue.put(i);
  }
  expect(queue.full).toBe(true);
  expect([queue.take(), wanted(), queue.take(), wanted(), queue.take(), wanted()]).toEqual([0, 0, 1, 1, 2, 1]);
  expect([queue.take(), queue.take(), queue.full]).toEqual([3, undefined, false]);
});

test('who waits is served in turn', async () => {
  const { queue } = rig(4);
  const waiting = [queue.next(), queue.next(), queue.next()];
  queue.put(1);
  queue.put(2);
  queue.end(undefined);
  expect(await Promise.all(waiting)).toEqual([1, 2, undefined]);
  expect(await queue.next()).toBeUndefined();
});

test('what is there is given before the end, or before the failure', async () => {
  const { queue } = rig(4);
  queue.put(1);
  queue.end(new Error('over'));
  queue.end(undefined);
  expect(await queue.next()).toBe(1);
  await expect(queue.next()).rejects.toThrow('over');
  const waiting = rig(4);
  const next = waiting.queue.next();
  waiting.queue.end(new Error('over'));
  await expect(next).rejects.toThrow('over');
});

test('a queue that never runs empty does not keep what was taken', () => {
  const { queue } = rig(8);
  queue.put(-1);
  for (let i = 0; i < 10_000; i++) {
    queue.put(i);
    expect(queue.take()).toBe(i - 1);
  }
  expect((queue as unknown as { items: number[] }).items.length).toBeLessThan(20);
});
