// Direct topics: every writing thread has a partition of its own.
import { expect, test } from 'vitest';
import { errorOf, RoleThread, startConnected } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

test('several threads write directly, and a consumer that was there first gets everything in order', async () => {
  const { broker, connection } = await startConnected();
  // Rings that hold everything: a writer does not wait for readers that have not heard of it yet.
  await connection.createTopic('direct', { direct: true, ringBytes: 4 * 1024 * 1024 });
  const next = new Map<number, number>();
  let received = 0;
  let wrong = 0;
  const consumer = connection.consumer('direct', {
    onBatch: (batch) => {
      while (batch.next()) {
        const sequence = batch.int32(4);
        if (sequence !== (next.get(batch.int32(0)) ?? 0)) wrong++;
        next.set(batch.int32(0), sequence + 1);
        received++;
      }
    },
  });
  expect(await consumer.ready()).toEqual([]);
  const writers = [1, 2, 3].map(
    (producer) => new RoleThread(broker, 'direct', { topic: 'direct', producer, count: 50_000, stays: true }),
  );
  for (const writer of writers) await writer.heard('sent');
  await until(() => received === 150_000, 'everything arrives');
  expect(wrong).toBe(0);
  const numbers = writers.map((writer) => writer.said.get('ready')?.partition);
  expect(new Set(numbers).size).toBe(3);
});

test('direct producers that one thread asks for at once have a partition each', async () => {
  const { connection } = await startConnected();
  await connection.createTopic('at-once', { direct: true });
  const producers = await Promise.all([1, 2, 3].map(() => connection.directProducer('at-once')));
  expect(new Set(producers.map(({ partition }) => partition)).size).toBe(3);
  const seen: string[] = [];
  connection.consumer('at-once', { from: 'earliest', onMessage: (message) => void seen.push(message.text()) });
  await Promise.all(producers.map((one, i) => one.sendBatch([`a${i}`, `b${i}`])));
  await until(() => seen.length === 6, 'everything arrives');
  expect(seen.sort()).toEqual(['a0', 'a1', 'a2', 'b0', 'b1', 'b2']);
});

test('what a direct producer wrote before it closed is read to the end, and its partition goes', async () => {
  const { broker, connection } = await startConnected();
  const reader = broker.connect();
  await connection.createTopic('short', { direct: true });
  const seen: string[] = [];
  const consumer = reader.consumer('short', {
    from: 'earliest',
    onMessage: (message) => void seen.push(message.text()),
  });
  await consumer.ready();
  for (let round = 0; round < 5; round++) {
    const producer = await connection.directProducer('short');
    await until(() => consumer.positions().length === 1, 'the consumer reads the partition');
    consumer.pause();
    await producer.sendBatch([`a${round}`, `b${round}`]);
    await producer.close();
    const routed = async (): Promise<number> => (await connection.route('short')).partitions.length;
    let left = 1;
    for (let i = 0; i < 1_000 && left > 0; i++) left = await routed();
    expect(left).toBe(0);
    consumer.resume();
    await until(() => seen.length === 2 * (round + 1), 'the rest arrives');
    await until(() => consumer.positions().length === 0, 'and then the partition is let go');
  }
  expect(seen).toEqual(Array.from({ length: 5 }, (_, i) => [`a${i}`, `b${i}`]).flat());
});

test('direct producers that come and go leak neither partitions nor arenas', async () => {
  const { broker, connection } = await startConnected({ partitionMax: 64, partitionsPerTopicMax: 8 });
  await connection.createTopic('turnover', { direct: true });
  let opened = 0;
  const deadline = performance.now() + 20_000;
  while (opened < 100 && performance.now() < deadline) {
    try {
      const producer = await connection.directProducer('turnover');
      await producer.send('x');
      await producer.close();
      opened++;
    } catch (error) {
      expect((error as { code: string }).code).toBe('partition-quota');
    }
  }
  expect(opened).toBe(100);
  await until(() => broker.attachment.arenas.length === 1, 'the arenas are forgotten');
});

test('a direct writer that dies leaves what it showed, and its partition is cleared away', async () => {
  const { broker, connection } = await startConnected();
  await connection.createTopic('dies', { direct: true });
  let received = 0;
  const consumer = connection.consumer('dies', { onMessage: () => void received++ });
  await consumer.ready();
  const writer = new RoleThread(broker, 'direct', { topic: 'dies', count: 1_000, stays: true });
  await writer.heard('sent');
  await until(() => consumer.positions().length === 1, 'the consumer has heard of the writer');
  await writer.terminate();
  await until(() => received === 1_000, 'all of it arrives');
  await until(() => consumer.positions().length === 0, 'the partition is gone');
  const fresh = connection.consumer('dies', { from: 'earliest', onMessage: () => {} });
  expect(await fresh.ready()).toEqual([]);
});

test('a direct producer that waits for a reader goes on when the reader does, and when the reader dies', async () => {
  const { broker, connection } = await startConnected();
  await connection.createTopic('waits', { direct: true, ringBytes: 16 * 1024 });
  const producer = await connection.directProducer('waits');
  await producer.send('first');
  const reader = new RoleThread(broker, 'pinned', { topic: 'waits' });
  await reader.heard('pinned');
  let done = false;
  const sending = producer.sendBatch(Array.from({ length: 100 }, () => 'x'.repeat(1_000))).then((receipts) => {
    done = true;
    return receipts;
  });
  await until(() => !producer.hasRoom, 'the ring is full');
  expect(done).toBe(false);
  const started = performance.now();
  await reader.terminate();
  const receipts = await sending;
  expect(performance.now() - started).toBeLessThan(900);
  expect(receipts.map((one) => one.offset)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
});

test('closing a direct producer that has no room fails what was not written, in bounded time', async () => {
  const { broker, connection } = await startConnected();
  const reader = broker.connect();
  connection.onError(() => {});
  // Who looks first, when the reader leaves room with the topic, is a matter of luck.
  for (let i = 0; i < 12; i++) {
    const topic = `full-${i}`;
    await connection.createTopic(topic, { direct: true, ringBytes: 16 * 1024 });
    const producer = await connection.directProducer(topic);
    const consumer = reader.consumer(topic, { from: 'earliest' });
    await consumer.ready();
    consumer.pause();
    while (producer.trySend('x'.repeat(1_000)));
    const stuck = errorOf(producer.flush());
    await connection.deleteTopic(topic);
    expect(await stuck).toMatchObject({ code: 'unknown-topic' });
    expect(() => producer.trySend('x')).toThrow('closed');
  }
});

test('a direct topic refuses ordinary producers, and an ordinary one direct producers', async () => {
  const { connection } = await startConnected();
  await connection.createTopic('direct', { direct: true });
  await connection.createTopic('ordinary');
  expect(await errorOf(connection.producer('direct').send('x'))).toMatchObject({ code: 'direct-only' });
  expect(await errorOf(connection.directProducer('ordinary'))).toMatchObject({ code: 'not-direct' });
});

test('a wiped permission holds for direct producers too', async () => {
  const { connection } = await startConnected();
  connection.onError(() => {});
  const producer = await connection.directProducer('wiped');
  await producer.send('x');
  await connection.setPermission('wiped', 'r');
  await until(() => {
    void producer.send('y').then(undefined, () => {});
    return !(producer as unknown as { target: { writable: boolean } }).target.writable;
  }, 'the producer hears of it');
  expect(await errorOf(producer.send('z'))).toMatchObject({ code: 'no-write-permission' });
  expect(await errorOf(producer.sendBatch(['z']))).toMatchObject({ code: 'no-write-permission' });
});
