import { describe, expect, test } from 'vitest';
import { BatchPool } from '../../../src/client/batch-pool.ts';
import { fakeProducer, routeOf } from '../../support/fake-outlet.ts';

describe('memory of batches', () => {
  test('what was emptied last is filled next, for the same length only', () => {
    const pool = new BatchPool();
    const small = [pool.takeBuilder(4_090), pool.takeBuilder(4_090)];
    small[0].tryAddText('old', 1);
    for (const one of small) pool.giveBuilder(one);
    expect(pool.takeBuilder(65_536)).not.toBe(small[1]);
    expect(pool.takeBuilder(4_090)).toBe(small[1]);
    const again = pool.takeBuilder(4_090);
    expect(again).toBe(small[0]);
    expect(again.count).toBe(0);
  });

  test('what is kept is bounded', () => {
    const pool = new BatchPool();
    const many = Array.from({ length: 20 }, () => pool.takeBuilder(1024 * 1024));
    for (const one of many) pool.giveBuilder(one);
    const kept = many.map(() => pool.takeBuilder(1024 * 1024)).filter((one) => many.includes(one));
    expect(kept.length).toBe(8);
  });

  test('producers of a connection share it, and a batch on its way keeps its own', async () => {
    const { outlet, producer } = fakeProducer(true, { partition: 0 }, routeOf(1));
    await producer.ready();
    producer.trySend('first');
    producer.flushNow();
    producer.trySend('second');
    producer.flushNow();
    outlet.lose();
    producer.housekeep(outlet.clock);
    expect(outlet.put.map((batch) => batch.texts)).toEqual([['first'], ['second']]);
    outlet.answer();
    outlet.answer();
    expect(producer.idle).toBe(true);
  });

  test('in process a batch that was answered is used again, and an old number does not reach it', async () => {
    const { outlet, producer } = fakeProducer(false, { partition: 0 }, routeOf(1));
    await producer.ready();
    const first = producer.send('first');
    producer.flushNow();
    const batch = outlet.expecting.get(outlet.put[0].request);
    outlet.answer('ok', 5);
    expect((await first).offset).toBe(5);
    batch?.answered(0, 9); // Nobody's now: nothing happens.
    const second = producer.send('second');
    producer.flushNow();
    expect(outlet.expecting.get(outlet.put[0].request)).toBe(batch);
    outlet.answer('ok', 6);
    expect((await second).offset).toBe(6);
    expect(producer.idle).toBe(true);
  });
});
