// Broadcasting groups: the broker keeps where a consumer is. The same in process and over WebSocket.
import { describe, expect, test } from 'vitest';
import type { Connection, ConsumerOptions } from '../../../src/client/connection.ts';
import { connect } from '../../../src/client/node.ts';
import { errorOf, startConnected } from '../../support/engine.ts';
import { until, untilAnswer } from '../../support/until.ts';

const WAYS = ['in process', 'over WebSocket'] as const;

/** A broker that keeps no data, with a connection and a topic of some partitions with ten messages each. */
async function started(way: (typeof WAYS)[number], partitions = 2): Promise<Connection> {
  const { broker, connection } = await startConnected({ listen: { port: 0, transport: 'ws' } });
  await connection.createTopic('t', { partitions });
  for (let partition = 0; partition < partitions; partition++) {
    await connection.producer('t', { partition }).sendBatch(Array.from({ length: 10 }, (_, i) => `${partition}/${i}`));
  }
  return way === 'in process' ? connection : connect(broker.url ?? '');
}

/** What a consumer of the group gets until it has `wanted` messages; it is closed then. */
async function take(bus: Connection, wanted: number, options: ConsumerOptions): Promise<string[]> {
  const texts: string[] = [];
  const consumer = bus.consumer('t', {
    group: 'g',
    mode: 'broadcasting',
    ...options,
    onMessage: (message) => {
      texts.push(message.text());
      if (texts.length === wanted) consumer.pause();
    },
  });
  await consumer.ready();
  await until(() => texts.length === wanted, `${wanted} messages`);
  await consumer.close();
  return texts;
}

test('a consumer of a group waits for its broker', async () => {
  const first = await startConnected({ listen: { port: 0, transport: 'ws' } });
  const port = Number(new URL(first.broker.url ?? '').port);
  await first.broker.stop();
  const bus = connect(`ws://127.0.0.1:${port}`, { reconnect: { minMs: 20, maxMs: 50 }, requestTimeoutMs: 100 });
  const texts: string[] = [];
  const from = 'earliest';
  const consumer = bus.consumer('t', {
    group: 'g',
    mode: 'broadcasting',
    from,
    onMessage: (message) => void texts.push(message.text()),
  });
  await new Promise((resolve) => setTimeout(resolve, 200)); // Longer than one request lasts.
  const second = await startConnected({ listen: { port, transport: 'ws' } });
  await second.connection.producer('t').send('hello');
  await until(() => texts.length === 1, 'the message');
  await consumer.close();
  expect((await second.connection.committed('g', 't')).map((one) => one.offset).sort()).toContain(1);
  await bus.close();
});

describe.each(WAYS)('%s', (way) => {
  test('a consumer goes on where the last one of its group was closed', async () => {
    const bus = await started(way, 1);
    expect(await take(bus, 4, { from: 'earliest' })).toEqual(['0/0', '0/1', '0/2', '0/3']);
    expect(await bus.committed('g', 't')).toMatchObject([{ partition: 0, offset: 4 }]);
    expect(await take(bus, 3, { from: 'latest' })).toEqual(['0/4', '0/5', '0/6']);
    expect(await take(bus, 10, { from: 'earliest', group: 'another' })).toHaveLength(10);
    expect(await bus.committed('g', 't')).toMatchObject([{ partition: 0, offset: 7 }]);
    await bus.close();
  });

  test('partitions without a position start where the consumer says', async () => {
    const bus = await started(way, 2);
    await take(bus, 6, { from: 'earliest', partitions: [1] });
    const texts = await take(bus, 5, { from: { last: 1 } });
    expect(texts.sort()).toEqual(['0/9', '1/6', '1/7', '1/8', '1/9']);
    await bus.close();
  });

  test('positions are committed every now and then, by hand, and when the connection is closed', async () => {
    const bus = await started(way, 1);
    let count = 0;
    const onMessage = (): void => void count++;
    const often = bus.consumer('t', {
      group: 'often',
      mode: 'broadcasting',
      from: 'earliest',
      commitMs: 20,
      onMessage,
    });
    const kept = () => bus.committed('often', 't');
    await untilAnswer(kept, (positions) => positions[0]?.offset === 10, 'a commit by itself');
    await often.close();
    const byHand = bus.consumer('t', {
      group: 'hand',
      mode: 'broadcasting',
      from: 'earliest',
      commitMs: Number.POSITIVE_INFINITY,
      onMessage,
    });
    await until(() => count === 20, 'all messages again');
    expect(await bus.committed('hand', 't')).toEqual([]);
    await byHand.commit();
    expect(await bus.committed('hand', 't')).toMatchObject([{ partition: 0, offset: 10 }]);
    await byHand.close();
    await bus.close();
  });

  test('closing the connection commits where its consumers are', async () => {
    const { broker, connection } = await startConnected({ listen: { port: 0, transport: 'ws' } });
    await connection.producer('t', { partition: 0 }).sendBatch(['a', 'b', 'c']);
    const bus = way === 'in process' ? broker.connect() : connect(broker.url ?? '');
    let count = 0;
    const group = { group: 'g', mode: 'broadcasting' } as const;
    const options = { ...group, partitions: [0], from: 'earliest', onMessage: () => void count++ } as const;
    bus.consumer('t', { ...options, commitMs: Number.POSITIVE_INFINITY });
    await until(() => count === 3, 'three messages');
    await bus.close();
    expect(await connection.committed('g', 't')).toMatchObject([{ partition: 0, offset: 3 }]);
  });

  test('names that are none are refused', async () => {
    const bus = await started(way, 1);
    expect(() => bus.consumer('t', { group: 'not a name', mode: 'broadcasting' })).toThrow(
      expect.objectContaining({ code: 'illegal-group' }),
    );
    expect((await errorOf(bus.committed('', 't'))).code).toBe('illegal-group');
    await bus.close();
  });

  test('a volatile topic is read from a time on, as far as its ring goes back', async () => {
    const bus = await started(way, 1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const time = Date.now();
    const producer = bus.producer('t', { partition: 0 });
    await producer.sendBatch(['late', 'later']);
    expect(await take(bus, 2, { group: 'timed', from: { time } })).toEqual(['late', 'later']);
    expect(await take(bus, 12, { group: 'old', from: { time: time - 60_000 } })).toHaveLength(12);
    await bus.close();
  });
});
