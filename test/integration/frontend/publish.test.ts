import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BATCH_CRC, BATCH_HEADER_BYTES } from '../../../native-layout/batch.ts';
import { codeNumber } from '../../../src/base/codes.ts';
import type { Broker } from '../../../src/server/broker.ts';
import { until } from '../../support/until.ts';
import { type BatchOptions, BinaryClient, batchOf, joined, KINDS, start, stopAll } from './harness.ts';

let broker: Broker;
afterEach(stopAll);

describe.each(KINDS)('publishing over %s', (transport) => {
  beforeEach(async () => {
    broker = await start({ transport });
  });
  const connect = () => BinaryClient.connect(broker.url as string);

  test('batches are acknowledged with their offsets, by one ack command where they came in one frame', async () => {
    const client = await connect();
    const [partition] = (await client.createTopic('t')).partitions;
    const batches = [1, 2, 3].map((request) => batchOf(partition, ['a', 'b'], { request }));
    client.raw.send(joined(...batches));
    await client.ack(3);
    expect(client.acks).toEqual(
      [0, 2, 4].map((baseOffset, i) => {
        return { request: i + 1, status: 0, partition: partition.id, count: 2, baseOffset };
      }),
    );
    expect(client.order.filter((one) => one === 'ack')).toHaveLength(1);
  });

  test('request numbers are the client’s own, whatever they are, and two sessions do not meet', async () => {
    const [a, b] = [await connect(), await connect()];
    const [partition] = (await a.createTopic('t')).partitions;
    for (const request of [-1, 0, 0x7fff_ffff]) {
      a.publish(partition, ['a'], { request });
      b.publish(partition, ['b'], { request });
    }
    await Promise.all([a.ack(0x7fff_ffff), b.ack(0x7fff_ffff)]);
    expect(a.acks.map((entry) => entry.request)).toEqual([-1, 0, 0x7fff_ffff]);
    const offsets = [...a.acks, ...b.acks].map((entry) => entry.baseOffset);
    expect(new Set(offsets).size).toBe(6);
  });

  test('what a batch says about its records is delivered as it is', async () => {
    const client = await connect();
    const [partition] = (await client.createTopic('t')).partitions;
    await client.subscribe('t');
    const bodies = Array.from({ length: 500 }, (_, i) => `message ${i} ${'x'.repeat(i % 50)}`);
    await client.ack(client.publish(partition, bodies));
    await until(() => client.delivered.length === bodies.length, 'all arrive');
    expect(client.delivered.map((one) => one.text)).toEqual(bodies);
    expect(client.delivered.map((one) => one.offset)).toEqual(bodies.map((_, i) => i));
  });

  test('a batch that was accepted before is a duplicate with its old offset', async () => {
    const client = await connect();
    const [partition] = (await client.createTopic('t')).partitions;
    const identity = { producerId: 77, baseSequence: 0 };
    await client.ack(client.publish(partition, ['a', 'b'], { ...identity, request: 1 }));
    const again = await client.ack(client.publish(partition, ['a', 'b'], { ...identity, request: 2 }));
    expect(again).toMatchObject({ status: codeNumber('duplicate'), baseOffset: 0 });
  });

  test('with ack none nothing is answered and everything arrives', async () => {
    const client = await connect();
    const [partition] = (await client.createTopic('t')).partitions;
    await client.subscribe('t');
    for (let i = 0; i < 50; i++) client.publish(partition, [`m${i}`], { ack: 'none' });
    await until(() => client.delivered.length === 50, 'all arrive');
    expect(client.acks).toEqual([]);
  });
});

describe('what cannot be published', () => {
  beforeEach(async () => {
    broker = await start();
  });
  const connect = () => BinaryClient.connect(broker.url as string);

  async function statusOf(change: Partial<{ id: number }> & BatchOptions): Promise<number> {
    const client = await connect();
    const [partition] = (await client.createTopic('t', { ifNotExists: true })).partitions;
    const { id, ...options } = change;
    const entry = await client.ack(client.publish({ ...partition, id: id ?? partition.id }, ['a'], options));
    expect(client.closed).toBeUndefined();
    return entry.status;
  }

  test('levels beyond accepted', async () => {
    expect(await statusOf({ ack: 'written' })).toBe(codeNumber('ack-unsupported'));
    expect(await statusOf({ ack: 'replicated' })).toBe(codeNumber('ack-unsupported'));
  });

  test('partitions that do not exist', async () => {
    for (const id of [-5, 4_000, 65_535, 65_536, 0x7fff_ffff]) {
      expect(await statusOf({ id })).toBe(codeNumber('unknown-partition'));
    }
  });

  test('an epoch of another life of the partition', async () => {
    expect(await statusOf({ epoch: 1 })).toBe(codeNumber('route-stale'));
  });

  test('a topic without write permission', async () => {
    const client = await connect();
    await client.createTopic('t');
    await client.ask({ type: 'set-permission', topic: 't', owner: -1, permission: 4 });
    expect(await statusOf({})).toBe(codeNumber('no-write-permission'));
  });

  test('a partition that a thread of the program writes', async () => {
    const connection = broker.connect();
    const producer = await connection.directProducer('direct');
    const client = await connect();
    const { route } = await client.ask<'route-reply'>({ type: 'route-request', topic: 'direct', create: false });
    const entry = await client.ack(client.publish(route.partitions[0], ['a']));
    expect(entry.status).toBe(codeNumber('direct-only'));
    producer.close();
    await connection.close();
  });

  test('more than a ring takes, and more than a lane takes', async () => {
    const client = await connect();
    const small = await client.createTopic('small', { ringBytes: 16_384 });
    const entry = await client.ack(client.publish(small.partitions[0], ['x'.repeat(5_000)]));
    expect(entry.status).toBe(codeNumber('message-too-large'));
    const large = await client.createTopic('large', { ringBytes: 16 * 1024 * 1024 });
    // What a lane takes, but for the room that the broker needs for its own, and both headers.
    const body = 'x'.repeat(1024 * 1024 - 4_096 - 88);
    expect((await client.ack(client.publish(large.partitions[0], [`${body}y`]))).status).toBe(
      codeNumber('message-too-large'),
    );
    expect((await client.ack(client.publish(large.partitions[0], [body]))).status).toBe(0);
  });

  test('damaged records, while the batches around them are taken', async () => {
    const client = await connect();
    const [partition] = (await client.createTopic('t')).partitions;
    const damaged = batchOf(partition, ['damaged'], { request: 2 });
    damaged[BATCH_CRC] ^= 1;
    const lying = batchOf(partition, ['lying'], { request: 3 });
    lying[BATCH_HEADER_BYTES]++;
    const ends = [1, 4].map((request) => batchOf(partition, ['fine'], { request }));
    client.raw.send(joined(ends[0], damaged, lying, ends[1]));
    await client.ack(4);
    const statuses = client.acks
      .toSorted((a, b) => a.request - b.request)
      .map((entry) => [entry.request, entry.status]);
    expect(statuses).toEqual([
      [1, 0],
      [2, codeNumber('bad-checksum')],
      [3, codeNumber('malformed-batch')],
      [4, 0],
    ]);
  });

  test('a full ring answers busy at once, and the same batch is taken when there is room', async () => {
    const client = await connect();
    const [partition] = (await client.createTopic('t', { ringBytes: 16_384 })).partitions;
    const connection = broker.connect();
    const consumer = connection.consumer('t', { bufferMessages: 1 });
    await consumer.ready();
    // The flag that asks to wait is an embedding thread's: from the network it is ignored.
    const options = { requestFlags: 1 };
    let busy = 0;
    for (let i = 0; i < 12 && busy === 0; i++) {
      const entry = await client.ack(client.publish(partition, ['x'.repeat(3_000)], options));
      if (entry.status !== 0) busy = entry.status;
    }
    expect(busy).toBe(codeNumber('busy'));
    await consumer.close();
    expect((await client.ack(client.publish(partition, ['y']))).status).toBe(0);
    await connection.close();
  });
});

test('what does not fit the lane is held, bounded by the window, and put out in order', async () => {
  // One batch of 28 KiB fills the lane; the worker has to be asked for each.
  broker = await start({}, { laneBytes: 64 * 1024 });
  const client = await BinaryClient.connect(broker.url as string);
  const other = await BinaryClient.connect(broker.url as string);
  const [partition] = (await client.createTopic('t', { overflow: 'drop-oldest' })).partitions;
  client.keeps = false;
  await client.subscribe('t');
  const count = 600;
  const frames = Array.from({ length: count }, (_, i) => batchOf(partition, ['z'.repeat(28_000)], { request: i + 1 }));
  // 17 MB at once: more than a frame takes, and more than the window holds.
  for (let at = 0; at < count; at += 100) client.raw.send(joined(...frames.slice(at, at + 100)));
  const answered = other.publish(partition, ['in between']);
  await client.ack(count, 60_000);
  await other.ack(answered);
  await until(() => client.acks.length === count, 'every batch is answered');
  const accepted = client.acks.filter((entry) => entry.status === 0);
  const refused = client.acks.filter((entry) => entry.status !== 0);
  expect(new Set(refused.map((entry) => entry.status)).size).toBeLessThanOrEqual(1);
  for (const entry of refused) expect(entry.status).toBe(codeNumber('window-exceeded'));
  expect(accepted.length).toBeGreaterThan(250);
  const inOrder = accepted.toSorted((a, b) => a.request - b.request).map((entry) => entry.baseOffset);
  expect(inOrder).toEqual(inOrder.toSorted((a, b) => a - b));
});
