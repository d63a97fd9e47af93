// Full rings: what each policy does with writers and readers, and the limits of messages and memory.
import { expect, test } from 'vitest';
import type { Gap } from '../../../src/client/connection.ts';
import { errorOf, startConnected } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

const RING = 16 * 1024;

test('drop-oldest tells a slow consumer exactly what it missed', async () => {
  const { connection } = await startConnected();
  await connection.createTopic('drop', { partitions: 1, ringBytes: RING, overflow: 'drop-oldest' });
  const offsets: number[] = [];
  const gaps: Gap[] = [];
  const consumer = connection.consumer('drop', {
    onMessage: (message) => void offsets.push(message.offset),
    onGap: (gap) => gaps.push(gap),
  });
  await consumer.ready();
  const producer = connection.producer('drop');
  for (let i = 0; i < 5; i++) await producer.send('x'.repeat(500));
  await until(() => offsets.length === 5, 'the first arrive');
  consumer.pause();
  for (let i = 0; i < 200; i++) await producer.send('x'.repeat(500));
  consumer.resume();
  await until(() => offsets.at(-1) === 204, 'the newest arrives');
  expect(gaps).toHaveLength(1);
  const [gap] = gaps;
  expect(gap).toMatchObject({ topic: 'drop', partition: 0, from: 5, reason: 'evicted' });
  expect(offsets).toEqual([0, 1, 2, 3, 4, ...Array.from({ length: 205 - gap.to }, (_, i) => gap.to + i)]);
  expect(gap.to).toBeGreaterThan(100);
});

test('block makes writers wait for a slow consumer, loses nothing and goes on', async () => {
  const { connection } = await startConnected();
  await connection.createTopic('block', { partitions: 1, ringBytes: RING });
  const offsets: number[] = [];
  const consumer = connection.consumer('block', { onMessage: (message) => void offsets.push(message.offset) });
  await consumer.ready();
  consumer.pause();
  const producer = connection.producer('block', { timeoutMs: 30_000 });
  let acked = 0;
  const sent = Array.from({ length: 100 }, () => producer.send('x'.repeat(1_000)).then(() => acked++));
  await until(() => acked > 0, 'the ring takes some');
  const since = performance.now();
  await until(() => performance.now() - since > 150, 'and no more');
  expect(acked).toBeLessThan(20);
  consumer.resume();
  await Promise.all(sent);
  await until(() => offsets.length === 100, 'everything arrives');
  expect(offsets).toEqual(Array.from({ length: 100 }, (_, i) => i));
});

test('a send that waits for room longer than its time fails, and the producer goes on with the next', async () => {
  const { connection } = await startConnected();
  await connection.createTopic('late', { partitions: 1, ringBytes: RING });
  const consumer = connection.consumer('late', { onMessage: () => {} });
  await consumer.ready();
  consumer.pause();
  const producer = connection.producer('late', { timeoutMs: 200 });
  const outcomes = await Promise.allSettled(Array.from({ length: 60 }, () => producer.send('x'.repeat(1_000))));
  const failed = outcomes.filter((one) => one.status === 'rejected').map((one) => one.reason.code);
  expect(new Set(failed)).toEqual(new Set(['timeout']));
  expect(await errorOf(producer.flush())).toMatchObject({ code: 'timeout' });
  consumer.resume();
  expect((await producer.send('after')).offset).toBeGreaterThan(10);
});

test('reject answers ring-full while a reader holds the room, and takes messages again afterwards', async () => {
  const { connection } = await startConnected();
  await connection.createTopic('reject', { partitions: 1, ringBytes: RING, overflow: 'reject' });
  const offsets: number[] = [];
  const consumer = connection.consumer('reject', { onMessage: (message) => void offsets.push(message.offset) });
  await consumer.ready();
  consumer.pause();
  const producer = connection.producer('reject');
  let error: { code?: string } = {};
  for (let i = 0; i < 100 && !error.code; i++) {
    await producer.send('x'.repeat(1_000)).then(undefined, (reason: { code?: string }) => {
      error = reason;
    });
  }
  expect(error.code).toBe('ring-full');
  consumer.resume();
  await until(() => offsets.length > 10, 'the reader has made room');
  const { offset } = await producer.send('again');
  await until(() => offsets.at(-1) === offset, 'the message arrives');
  expect(offsets).toEqual(Array.from({ length: offset + 1 }, (_, i) => i));
});

test('reject takes more than a ring at once while nobody reads slowly', async () => {
  const { connection } = await startConnected();
  await connection.createTopic('burst', { partitions: 1, ringBytes: RING, overflow: 'reject' });
  const producer = connection.producer('burst');
  const receipts = await producer.sendBatch(Array.from({ length: 300 }, () => 'x'.repeat(1_000)));
  expect(receipts.at(-1)?.offset).toBe(299);
});

test('a message that is too large is refused, with body alone and with everything else counted', async () => {
  const { connection } = await startConnected();
  const { messageMaxBytes } = await connection.createTopic('large', { partitions: 1, ringBytes: RING });
  const producer = connection.producer('large');
  expect((await producer.send(new Uint8Array(messageMaxBytes))).offset).toBe(0);
  expect(await errorOf(producer.send(new Uint8Array(messageMaxBytes + 1)))).toMatchObject({
    code: 'message-too-large',
  });
  expect(await errorOf(producer.send(new Uint8Array(messageMaxBytes), { key: 'a longer key' }))).toMatchObject({
    code: 'message-too-large',
  });
  const properties = { p: 'x'.repeat(messageMaxBytes) };
  expect(await errorOf(producer.send('', { properties }))).toMatchObject({ code: 'message-too-large' });
  expect((await producer.send('after')).offset).toBe(1);
});

test('a message as large as the lane takes comes through with a key, and does not stall what follows', async () => {
  const { connection } = await startConnected({ laneBytes: 64 * 1024, ringBytes: 1024 * 1024 });
  const { messageMaxBytes } = await connection.createTopic('lane', { partitions: 1 });
  const producer = connection.producer('lane');
  await producer.ready();
  expect((await producer.send(new Uint8Array(messageMaxBytes))).offset).toBe(0);
  expect(await errorOf(producer.send(new Uint8Array(messageMaxBytes), { key: 'a longer key' }))).toMatchObject({
    code: 'message-too-large',
  });
  expect((await producer.send('after', { key: 'k' })).offset).toBe(1);
});

test('when ring memory is used up producers and consumers are refused, and other topics go on', async () => {
  const { connection } = await startConnected({ ringBytes: RING, ringMemoryMaxBytes: 2 * RING });
  await connection.createTopic('fits', { partitions: 2 });
  const fits = connection.producer('fits');
  for (let i = 0; i < 4; i++) await fits.send('x');
  await connection.createTopic('over', { partitions: 1 });
  expect(await errorOf(connection.producer('over').send('x'))).toMatchObject({ code: 'memory-quota' });
  expect(await errorOf(connection.consumer('over').ready())).toMatchObject({ code: 'memory-quota' });
  await fits.send('x');
  await connection.deleteTopic('fits');
  const producer = connection.producer('over');
  let offset = -1;
  const deadline = performance.now() + 5_000;
  while (offset < 0 && performance.now() < deadline) {
    offset = await producer.send('x').then(
      (receipt) => receipt.offset,
      () => -1,
    );
  }
  expect(offset).toBe(0);
});
