// What a queue that a member holds knows of itself: how far it was read, what is acknowledged.
import { describe, expect, test } from 'vitest';
import { type GroupDispatch, HeldQueue } from '../../../src/client/group-queue.ts';
import { Dispatch } from '../../../src/group/dispatch.ts';

function held(
  offset: number,
  acked: number[] = [],
  waitingMax = 10,
): { queue: HeldQueue<string>; put(at: number): void } {
  const dispatch: GroupDispatch<string> = new Dispatch({ order: 'none', concurrency: 1, priority: false });
  const place = { topic: 't', partition: 3, epoch: 5, offset, acked, attempts: [] };
  const queue = new HeldQueue<string>(place, dispatch, waitingMax);
  const put = (at: number): void => {
    const about = { offset: at, key: undefined, priority: 0, lengthBytes: 1, failures: 0 };
    dispatch.put(queue.waiting, undefined, about);
  };
  return { queue, put };
}

const where = (queue: HeldQueue<string>): string => {
  const { epoch, offset, acked } = queue.wire();
  return `${epoch}: ${offset} ${acked.join(',')}`;
};

describe('what comes', () => {
  test('is wanted unless it is acknowledged, and waits for its own ack', () => {
    const { queue } = held(2, [4, 6]);
    expect([2, 3, 4, 5, 6].map((offset) => queue.comes(offset))).toEqual([true, true, false, false, true]);
    expect([where(queue), queue.readTo]).toEqual(['5: 2 4,6', 7]);
    queue.acked(3);
    queue.acked(2);
    expect(where(queue)).toBe('5: 6 ');
  });

  test('leaves behind what was left out: nobody waits for that', () => {
    const { queue } = held(0);
    queue.comes(0);
    queue.comes(4);
    expect([where(queue), queue.dirty]).toEqual(['5: 0 1,4', true]);
    queue.passed(9);
    queue.acked(0);
    expect([where(queue), queue.readTo]).toEqual(['5: 4 5,9', 9]);
  });

  test('is read again from where a crash took messages back, and only there', () => {
    const { queue } = held(0);
    for (let offset = 0; offset < 8; offset++) queue.comes(offset);
    for (const offset of [0, 1, 2, 5, 7]) queue.acked(offset);
    queue.beginAnew(6, 6);
    expect([where(queue), queue.readTo]).toEqual(['6: 3 5,6', 6]);
    expect([queue.comes(6), queue.comes(7)]).toEqual([true, true]);
    queue.beginAnew(7, 0);
    expect([where(queue), queue.readTo]).toEqual(['7: 0 ', 0]);
    queue.beginAnew(8, 20);
    expect([where(queue), queue.readTo]).toEqual(['8: 20 ', 20]);
  });
});

test('a queue is full at its limit, and has room again at half of it', () => {
  const { queue, put } = held(0, [], 4);
  const states: string[] = [];
  for (let offset = 0; offset < 4; offset++) {
    put(offset);
    states.push(`${queue.isFull} ${queue.hasRoom}`);
  }
  expect(states).toEqual(['false true', 'false true', 'false false', 'true false']);
});
