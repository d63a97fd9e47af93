import { expect, test } from 'vitest';
import { DurableRig, LENGTH, RING_BYTES } from './durable-rig.ts';
import { FeedRig, range } from './support.ts';

test('the partitions of a session take turns', () => {
  const first = new DurableRig();
  const second = new FeedRig('drop-oldest', RING_BYTES, 0, { archive: first.history, topicId: 10 });
  for (let i = 0; i < 200; i++) second.publish(1, LENGTH);
  first.publish(200);
  const session = first.session();
  first.join(session, 0);
  first.joinFeed(second.feed, session, 0);
  first.run();
  // The other one waits for its turn.
  expect(first.log.requests).toHaveLength(1);
  const asked: number[] = [];
  const read = first.log.read.bind(first.log);
  first.log.read = (topicId, ...rest) => {
    asked.push(topicId);
    return read(topicId, ...rest);
  };
  for (let i = 0; i < 6; i++) {
    first.log.answer(0, 5);
    first.run();
  }
  expect(asked).toEqual([10, 9, 10, 9, 10, 9]);
  expect(session.offsets).toHaveLength(30);
});

test('a partition that cannot be read keeps the others of its session waiting no longer than an answer', () => {
  const first = new DurableRig();
  const second = new FeedRig('drop-oldest', RING_BYTES, 0, { archive: first.history, topicId: 10 });
  for (let i = 0; i < 200; i++) second.publish(1, LENGTH);
  first.publish(200);
  const session = first.session();
  first.join(session, 0);
  first.joinFeed(second.feed, session, 0);
  first.run();
  const asked: number[] = [];
  const read = first.log.read.bind(first.log);
  first.log.read = (topicId, ...rest) => {
    asked.push(topicId);
    return read(topicId, ...rest);
  };
  // No housekeeping: it pauses, and the turn goes to the other one.
  for (let i = 0; i < 3; i++) {
    first.log.refuse('internal');
    first.run();
  }
  expect(asked).toEqual([9, 9, 10]);
  expect(session.refusals).toEqual(['internal']);
  first.log.answer();
  first.run();
  expect(session.offsets).toEqual(range(0, 200));
  first.settle();
  expect(session.offsets).toHaveLength(400);
});

test('two that turn live at different offsets, and are passed before anything is handed out, lose nothing', () => {
  const durable = new DurableRig();
  durable.publish(5);
  const [late, early] = [durable.session(), durable.session()];
  durable.join(late, 5);
  durable.join(early, 3);
  durable.run();
  expect(durable.feed.lagging.size).toBe(0);
  durable.publish(40);
  durable.settle();
  expect(late.offsets).toEqual(range(5, 45));
  expect(early.offsets).toEqual(range(3, 45));
  expect([...late.gaps, ...early.gaps]).toEqual([]);
});
