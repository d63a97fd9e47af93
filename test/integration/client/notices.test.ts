// A consumer that takes nothing is not told of every batch: to be woken for each of them would cost its thread more
// than to read them.
import { expect, test } from 'vitest';
import type { InProcessConnection } from '../../../src/client/in-process.ts';
import { startConnected } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

/** How often the connection is told that a partition has news. */
function countNotices(connection: InProcessConnection): () => number {
  const { readers } = connection as unknown as { readers: { noticed(partition: number): void } };
  const was = readers.noticed.bind(readers);
  let count = 0;
  readers.noticed = (partition) => {
    count++;
    was(partition);
  };
  return () => count;
}

async function started() {
  const { broker, connection } = await startConnected();
  await connection.createTopic('t', { partitions: 1 });
  const heard: string[] = [];
  const consumer = connection.consumer('t', { onMessage: (one) => void heard.push(one.text()) });
  await consumer.ready();
  const producer = broker.connect().producer('t');
  const send = async (from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i++) await producer.send(`${i}`);
  };
  return { connection, consumer, heard, send };
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `${from + i}`);

test('a paused consumer is told once, and gets everything when it goes on', async () => {
  const { connection, consumer, heard, send } = await started();
  await send(0, 1);
  await until(() => heard.length === 1, 'the first comes');
  consumer.pause();
  const notices = countNotices(connection);
  await send(1, 40);
  expect(notices()).toBeLessThanOrEqual(2);
  consumer.resume();
  await until(() => heard.length === 40, 'the rest comes');
  await send(40, 45);
  await until(() => heard.length === 45, 'and what follows');
  expect(heard).toEqual(numbers(0, 45));
});

test('another consumer of the thread misses nothing beside a paused one, whichever ends first', async () => {
  const { connection, consumer, heard, send } = await started();
  consumer.pause();
  await send(0, 5);
  const others: string[] = [];
  const other = connection.consumer('t', { from: 'earliest', onMessage: (one) => void others.push(one.text()) });
  await other.ready();
  await send(5, 10);
  await until(() => others.length === 10, 'the other one gets all');
  await send(10, 15);
  await until(() => others.length === 15, 'and what follows');
  await other.close();
  await send(15, 20);
  consumer.resume();
  await until(() => heard.length === 20, 'the paused one gets all');
  expect([others, heard]).toEqual([numbers(0, 15), numbers(0, 20)]);
});
