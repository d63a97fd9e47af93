import { expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import { RingConsumer } from '../../../src/client/consumer.ts';
import { pullOnce } from '../../../src/client/pull.ts';
import { deliverTo } from './deliver.ts';

const START = { id: 5, number: 0, epoch: 1, offset: 0, gap: false, gapFrom: 0 };

/** A pull that waits for a minute, and the consumer that it has opened. */
async function waiting() {
  const opened: RingConsumer<Uint8Array>[] = [];
  const host = {
    open: (topic: string, options: ConstructorParameters<typeof RingConsumer<Uint8Array>>[1]) => {
      const consumer = new RingConsumer<Uint8Array>(topic, options, () => {});
      consumer.source = { wanted: () => {}, close: async () => {} };
      opened.push(consumer);
      consumer.begin([START]);
      return consumer;
    },
    takeNow: () => {},
    readsLog: () => false,
  };
  const pull = pullOnce(host, { topic: 't', waitMs: 60_000 });
  pull.catch(() => {});
  await new Promise((resolve) => setImmediate(resolve));
  return { pull, consumer: opened[0] };
}

test('a pull that waits is refused at once when its connection is closed or its topic deleted', async () => {
  const closed = await waiting();
  closed.consumer.ended();
  await expect(closed.pull).rejects.toMatchObject({ code: 'closed' });
  const deleted = await waiting();
  deleted.consumer.refuse(new RingmqError('unknown-topic', 'gone'));
  await expect(deleted.pull).rejects.toMatchObject({ code: 'unknown-topic' });
}, 2_000);

test('what has come before is still handed out', async () => {
  const { pull, consumer } = await waiting();
  deliverTo(consumer, 0, 2);
  consumer.ended();
  const { messages, nextOffset } = await pull;
  expect([messages.map((one) => one.offset), nextOffset]).toEqual([[0, 1], 2]);
}, 2_000);
