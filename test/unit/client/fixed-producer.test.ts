import { describe, expect, test } from 'vitest';
import type { CodeName } from '../../../src/base/codes.ts';
import { FixedProducer } from '../../../src/client/fixed-producer.ts';
import type { TopicRoute } from '../../../src/wire/commands.ts';
import { FakeOutlet, routeOf } from '../../support/fake-outlet.ts';
import { payloadOf } from '../../support/move-world.ts';

async function fixed(route: TopicRoute = routeOf(2)) {
  const outlet = new FakeOutlet(false);
  outlet.route$ = async () => route;
  let stalled = 0;
  const producer = new FixedProducer(
    { outlet, stalled: () => void stalled++, closed: () => {}, failed: () => {} },
    't',
  );
  await producer.route();
  const answers: [number, CodeName, number][] = [];
  const publish = (sequence: number, producerId = 7, partition = 0): void => {
    const bytes = payloadOf([`m${sequence}`]);
    producer.publish({ bytes, count: 1, partition, producerId, sequence }, (code, offset) => {
      answers.push([sequence, code, offset]);
    });
  };
  const pass = (ms: number): void => {
    outlet.clock += ms;
    producer.housekeep(outlet.clock);
  };
  return { outlet, producer, answers, publish, pass, stalled: () => stalled };
}

const sequences = (outlet: FakeOutlet): number[] => outlet.put.map(({ sequence }) => sequence);

describe('batches under given identities', () => {
  test('go out as they are, without waiting for room in the ring', async () => {
    const { outlet, answers, publish } = await fixed();
    publish(3, 9, 1);
    expect(outlet.put).toMatchObject([{ partition: 11, producerId: 9, sequence: 3, count: 1, ack: 1, texts: ['m3'] }]);
    outlet.answer('ok', 40);
    expect(answers).toEqual([[3, 'ok', 40]]);
  });

  test('no more than sixteen of one identity are out: the broker remembers the offsets of as many', async () => {
    const { outlet, answers, publish } = await fixed();
    for (let i = 0; i < 20; i++) publish(i);
    expect(sequences(outlet)).toHaveLength(16);
    outlet.answer('ok', 0);
    expect(sequences(outlet).at(-1)).toBe(16);
    while (outlet.put.length > 0) outlet.answer('duplicate', 5);
    expect(answers.map(([sequence]) => sequence)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });

  test('one that is refused for now comes again when all are answered, before those behind it', async () => {
    const { outlet, answers, publish, pass } = await fixed();
    for (let i = 0; i < 3; i++) publish(i);
    outlet.answer('busy');
    pass(10_000);
    expect(sequences(outlet)).toEqual([1, 2]);
    outlet.answer('out-of-order');
    outlet.answer('out-of-order');
    expect(sequences(outlet)).toEqual([]);
    pass(10_000);
    expect(sequences(outlet)).toEqual([0, 1, 2]);
    for (let i = 0; i < 3; i++) outlet.answer('ok', i);
    expect(answers).toEqual([
      [0, 'ok', 0],
      [1, 'ok', 1],
      [2, 'ok', 2],
    ]);
  });

  test('one that is out of order with nothing before it is given back, and so are those behind it', async () => {
    const { outlet, answers, publish } = await fixed();
    publish(4);
    publish(5);
    outlet.answer('out-of-order');
    outlet.answer('out-of-order');
    expect(answers).toEqual([
      [4, 'out-of-order', -1],
      [5, 'out-of-order', -1],
    ]);
  });

  test('a stale route is asked for again', async () => {
    const { outlet, publish, pass, answers } = await fixed();
    publish(0);
    const [partition] = routeOf(1).partitions;
    outlet.route$ = async () => routeOf(1, { partitions: [{ ...partition, epoch: 2 }] });
    outlet.answer('route-stale');
    pass(10_000);
    await new Promise((resolve) => setImmediate(resolve));
    pass(10_000);
    expect(outlet.put).toMatchObject([{ sequence: 0, epoch: 2 }]);
    outlet.answer('ok', 1);
    expect(answers).toEqual([[0, 'ok', 1]]);
  });

  test('a full lane stalls; room lets it go on', async () => {
    const { outlet, producer, publish, stalled } = await fixed();
    outlet.full = true;
    publish(0);
    expect([outlet.put.length, stalled()]).toEqual([0, 1]);
    outlet.full = false;
    producer.onRoom();
    expect(sequences(outlet)).toEqual([0]);
  });

  test('a partition that is gone answers all that waits, however much it is', async () => {
    const { outlet, publish, answers, producer } = await fixed();
    outlet.full = true;
    for (let i = 0; i < 20_000; i++) publish(i, 7, 1);
    outlet.full = false;
    producer.updateRoute(routeOf(1));
    expect(answers).toHaveLength(20_000);
    expect(new Set(answers.map(([, code]) => code))).toEqual(new Set(['unknown-partition']));
    expect(producer.idle).toBe(true);
  });

  test('a topic or partition that is gone answers for good', async () => {
    const { producer, publish, answers } = await fixed();
    publish(0, 7, 5);
    publish(0);
    producer.updateRoute(undefined);
    expect(answers).toEqual([
      [0, 'unknown-partition', -1],
      [0, 'unknown-topic', -1],
    ]);
    expect(producer.idle).toBe(true);
  });
});
