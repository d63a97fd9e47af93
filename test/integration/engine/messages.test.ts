// Messages through a broker worker: within a thread, between threads, by key, and over several workers.
import { expect, test } from 'vitest';
import type { Message } from '../../../src/client/message.ts';
import { RoleThread, startConnected } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

test('a thread receives what it sent itself, in order, with offsets that the receipts name', async () => {
  const { connection } = await startConnected();
  const received: Message[] = [];
  const consumer = connection.consumer('orders', { onMessage: (message) => void received.push(message) });
  await consumer.ready();
  const producer = connection.producer('orders', { partition: 2 });
  const sent = Array.from({ length: 500 }, (_, i) => producer.send(`n${i}`, { key: `k${i}`, tag: 't' }));
  const receipts = await Promise.all(sent);
  await until(() => received.length === 500, 'everything arrives');
  expect(received.map((one) => one.text())).toEqual(Array.from({ length: 500 }, (_, i) => `n${i}`));
  expect(receipts.map((one) => [one.partition, one.offset])).toEqual(received.map((one) => [2, one.offset]));
  expect(received.map((one) => one.offset)).toEqual(Array.from({ length: 500 }, (_, i) => i));
  expect([received[7].key, received[7].tag, received[7].partition]).toEqual(['k7', 't', 2]);
});

test('messages sent before the route is known keep their order, and their receipts name their places', async () => {
  const { connection } = await startConnected();
  const producer = connection.producer('early', { partition: 1 });
  const sent = Array.from({ length: 20 }, (_, i) => producer.send(`${i}`));
  const receipts = await Promise.all(sent);
  expect(receipts.map((one) => one.offset)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  expect(new Set(receipts.map((one) => one.partition))).toEqual(new Set([1]));
  const { messages } = await connection.pull({ topic: 'early', partition: 1, from: 'earliest', waitMs: 1_000 });
  expect(messages.map((one) => one.text())).toEqual(Array.from({ length: 20 }, (_, i) => `${i}`));
});

test('keys keep their order over many partitions and two workers', async () => {
  const { connection } = await startConnected({ workers: 2 });
  await connection.createTopic('keyed', { partitions: 8 });
  const byKey = new Map<string, number[]>();
  const partitionsOf = new Map<string, Set<number>>();
  let received = 0;
  const consumer = connection.consumer('keyed', {
    onMessage: (message) => {
      const key = message.key ?? '';
      byKey.set(key, [...(byKey.get(key) ?? []), Number(message.text())]);
      partitionsOf.set(key, (partitionsOf.get(key) ?? new Set()).add(message.partition));
      received++;
    },
  });
  await consumer.ready();
  const producer = connection.producer('keyed');
  for (let i = 0; i < 3_000; i++) void producer.send(`${i}`, { key: `key-${i % 37}` });
  await producer.flush();
  await until(() => received === 3_000, 'everything arrives');
  for (const [key, numbers] of byKey) {
    expect(numbers, key).toEqual([...numbers].sort((a, b) => a - b));
    expect(partitionsOf.get(key)?.size, key).toBe(1);
  }
  expect(new Set([...partitionsOf.values()].flatMap((one) => [...one])).size).toBeGreaterThan(4);
});

test('without keys the batches go round all partitions', async () => {
  const { connection } = await startConnected({ workers: 2 });
  await connection.createTopic('spread', { partitions: 4 });
  const producer = connection.producer('spread');
  const partitions = new Set<number>();
  for (let i = 0; i < 12; i++) partitions.add((await producer.send('x')).partition);
  expect(partitions).toEqual(new Set([0, 1, 2, 3]));
});

test('threads produce with receipts and consume in blocking loops', async () => {
  const { broker, connection } = await startConnected({ workers: 2 });
  await connection.createTopic('threads', { partitions: 3 });
  const count = 20_000;
  const consumers = [1, 2].map(() => new RoleThread(broker, 'count', { topic: 'threads', count: count + 5_000 }));
  for (const consumer of consumers) await consumer.heard('ready');
  const flood = new RoleThread(broker, 'flood', { topic: 'threads', producer: 1, count });
  const produce = new RoleThread(broker, 'produce', { topic: 'threads', producer: 2, count: 5_000 });
  expect(await flood.heard('done')).toMatchObject({ sent: count });
  expect(await produce.heard('done')).toMatchObject({ acked: 5_000 });
  for (const consumer of consumers) {
    expect(await consumer.heard('done')).toMatchObject({ received: count + 5_000, wrong: 0 });
    expect(await consumer.exited()).toBe(0);
  }
});

test('a small ring takes many messages of one turn, although a batch would be larger than it takes', async () => {
  const { connection } = await startConnected();
  await connection.createTopic('narrow', { partitions: 1, ringBytes: 16 * 1024 });
  let received = 0;
  const consumer = connection.consumer('narrow', { onMessage: () => void received++ });
  await consumer.ready();
  const producer = connection.producer('narrow', { timeoutMs: 10_000 });
  const receipts = await producer.sendBatch(Array.from({ length: 300 }, () => 'x'.repeat(1_000)));
  expect(receipts.at(-1)?.offset).toBe(299);
  await until(() => received === 300, 'everything arrives');
});

test('who wants no acknowledgements hears of room in the lane as soon as there is some', async () => {
  const { connection } = await startConnected({ laneBytes: 64 * 1024 });
  await connection.createTopic('oneway', { partitions: 1 });
  const producer = connection.producer('oneway', { ack: 'none', batchBytes: 4_096 });
  await producer.ready();
  const body = new Uint8Array(1_000);
  let fills = 0;
  const began = performance.now();
  for (let i = 0; i < 20_000; i++) {
    for (; !producer.trySend(body); fills++) connection.wait(1_000);
  }
  expect(fills).toBeGreaterThan(100);
  // Housekeeping, which finds it out too, is due every 50 ms.
  expect((performance.now() - began) / fills).toBeLessThan(25);
});

test('without acknowledgement everything arrives all the same', async () => {
  const { connection } = await startConnected();
  let received = 0;
  const consumer = connection.consumer('oneway', {
    onBatch: (batch) => {
      received += batch.count;
    },
  });
  await consumer.ready();
  const producer = connection.producer('oneway', { ack: 'none' });
  for (let i = 0; i < 5_000; i++) void producer.send('x'.repeat(100));
  expect((await producer.send('last')).offset).toBe(-1);
  await until(() => received === 5_001, 'everything arrives');
  const { expected } = connection as unknown as { expected: { readonly pending: number } };
  expect(expected.pending).toBe(0);
});

test('an idle broker with a connection, a producer and a consumer uses next to no CPU', async () => {
  const { connection } = await startConnected();
  const consumer = connection.consumer('quiet', { onMessage: () => {} });
  await consumer.ready();
  await connection.producer('quiet').send('x');
  // Compilers and collectors of many threads have something to do for a while: of some seconds the quietest counts.
  let share = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 6 && share >= 0.05; i++) {
    const before = process.cpuUsage();
    const start = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const { user, system } = process.cpuUsage(before);
    share = Math.min(share, (user + system) / 1000 / (performance.now() - start));
  }
  expect(share).toBeLessThan(0.05);
});
