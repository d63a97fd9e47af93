import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Broker } from '../../../src/server/broker.ts';
import type { PartitionRoute, StartFrom } from '../../../src/wire/commands.ts';
import { until } from '../../support/until.ts';
import { BinaryClient, batchOf, KINDS, start, stopAll } from './harness.ts';

let broker: Broker;
let writer: BinaryClient;

afterEach(stopAll);

const connect = () => BinaryClient.connect(broker.url as string);

/** Publishes numbered bodies, three to a batch, and waits until they are accepted. */
async function publish(partition: PartitionRoute, from: number, to: number): Promise<void> {
  let last = 0;
  for (let i = from; i < to; i += 3) {
    const bodies = Array.from({ length: Math.min(3, to - i) }, (_, k) => `m${i + k}`);
    last = writer.publish(partition, bodies);
  }
  if (last > 0) await writer.ack(last);
}

/** Offsets from where the subscription starts: what a client keeps of what it gets. */
function offsets(client: BinaryClient, first: number): number[] {
  return client.delivered.map((one) => one.offset).filter((offset) => offset >= first);
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

describe.each(KINDS)('subscriptions over %s', (transport) => {
  beforeEach(async () => {
    broker = await start({ transport });
    writer = await connect();
  });

  test.each<[string, StartFrom, number]>([
    ['latest', 'latest', 30],
    ['earliest', 'earliest', 0],
    ['an offset at the start of a batch', { offset: 12 }, 12],
    ['an offset inside a batch', { offset: 13 }, 13],
    ['the end', { offset: 30 }, 30],
    ['the last four', { last: 4 }, 26],
    ['the last of more than there are', { last: 400 }, 0],
  ])(
    'from %s: says where it starts before the first delivery, and delivers exactly from there',
    async (_, from, first) => {
      const [partition] = (await writer.createTopic('t')).partitions;
      await publish(partition, 0, 30);
      const reader = await connect();
      const { starts, subscription } = await reader.subscribe('t', from);
      expect(subscription).toBeGreaterThan(0);
      const { id, epoch } = partition;
      expect(starts).toEqual([{ id, number: 0, epoch, offset: first, gap: false, gapFrom: 0 }]);
      await publish(partition, 30, 40);
      await until(() => reader.delivered.at(-1)?.offset === 39, 'the last one arrives');
      expect(offsets(reader, first)).toEqual(range(first, 40));
      expect(reader.order.indexOf('subscribed')).toBeLessThan(reader.order.indexOf('batches'));
    },
  );

  test('nothing before the batch with the wanted offset is sent', async () => {
    const [partition] = (await writer.createTopic('t')).partitions;
    await publish(partition, 0, 300);
    const reader = await connect();
    await reader.subscribe('t', { offset: 200 });
    await until(() => reader.delivered.at(-1)?.offset === 299, 'the last one arrives');
    expect(reader.delivered[0].offset).toBe(198);
  });

  test('from positions it resumes exactly there, and says so where that is not possible', async () => {
    const [partition] = (await writer.createTopic('t')).partitions;
    await publish(partition, 0, 30);
    const resume = (epoch: number, offset: number): StartFrom => ({ positions: [{ partition: 0, epoch, offset }] });
    const exact = await (await connect()).subscribe('t', resume(partition.epoch, 17));
    expect(exact.starts[0]).toMatchObject({ offset: 17, gap: false });
    const other = await (await connect()).subscribe('t', resume(partition.epoch - 1, 17));
    expect(other.starts[0]).toMatchObject({ offset: 0, gap: true });
    const ahead = await (await connect()).subscribe('t', resume(partition.epoch, 31));
    expect(ahead.starts[0]).toMatchObject({ offset: 0, gap: true });
    const unknown = await (await connect()).subscribe('t', { positions: [] });
    expect(unknown.starts[0]).toMatchObject({ offset: 0, gap: false });
  });

  test('a client that comes back at its position misses nothing and gets nothing twice', async () => {
    const [partition] = (await writer.createTopic('t')).partitions;
    const seen: number[] = [];
    let next = 0;
    let sent = 0;
    for (let round = 0; round < 8; round++) {
      const reader = await connect();
      const from: StartFrom = { positions: [{ partition: 0, epoch: partition.epoch, offset: next }] };
      const { starts } = await reader.subscribe('t', from);
      expect(starts[0]).toMatchObject({ offset: next, gap: false });
      await publish(partition, sent, sent + 25);
      sent += 25;
      await until(() => offsets(reader, next).length >= 10, 'some arrive');
      // It goes in the middle of a batch.
      const got = offsets(reader, next).slice(0, 10);
      seen.push(...got);
      next += 10;
      reader.raw.terminate();
    }
    expect(seen).toEqual(range(0, 80));
  });

  test('credit: what is delivered and not given back stays within the window', async () => {
    const [partition] = (await writer.createTopic('t')).partitions;
    const reader = await connect();
    await reader.subscribe('t', 'earliest', 64 * 1024);
    const body = 'x'.repeat(10_000);
    for (let i = 0; i < 60; i++) writer.publish(partition, [body]);
    await writer.ack(60);
    const size = batchOf(partition, [body]).length;
    const bytes = () => reader.frames.reduce((sum, length) => sum + length, 0);
    await until(() => bytes() + size > 64 * 1024, 'the window is full');
    await writer.ask({ type: 'ping', time: 0 });
    await reader.ask({ type: 'ping', time: 0 });
    expect(bytes()).toBeLessThanOrEqual(64 * 1024);
    reader.credits = true;
    reader.send({ type: 'credit', bytes: bytes() });
    await until(() => reader.delivered.length === 60, 'the rest arrives');
    expect(reader.delivered.map((one) => one.offset)).toEqual(range(0, 60));
  });

  test('a frame larger than the window goes out when nothing else is outstanding', async () => {
    const [partition] = (await writer.createTopic('t')).partitions;
    const reader = await connect();
    await reader.subscribe('t', 'earliest', 1_000);
    for (let i = 0; i < 3; i++) writer.publish(partition, ['y'.repeat(5_000)]);
    await writer.ack(3);
    await until(() => reader.frames.length === 1, 'one arrives');
    await reader.ask({ type: 'ping', time: 0 });
    expect(reader.frames).toHaveLength(1);
    reader.credits = true;
    reader.send({ type: 'credit', bytes: reader.frames[0] });
    await until(() => reader.delivered.length === 3, 'the others arrive');
  });
});

describe('subscriptions', () => {
  beforeEach(async () => {
    broker = await start();
    writer = await connect();
  });

  test('all partitions of a topic, or those that were named', async () => {
    const { partitions } = await writer.createTopic('t', { partitions: 3 });
    const all = await connect();
    const some = await connect();
    expect((await all.subscribe('t')).starts.map((one) => one.number)).toEqual([0, 1, 2]);
    const reply = await some.ask<'subscribed'>({
      type: 'subscribe',
      subscription: 9,
      topic: 't',
      from: 'latest',
      partitions: [2, 0],
      windowBytes: 0,
      filter: '',
    });
    expect(reply.starts.map((one) => one.number)).toEqual([0, 2]);
    for (const partition of partitions) await writer.ack(writer.publish(partition, [`p${partition.number}`]));
    await until(() => all.delivered.length === 3 && some.delivered.length === 2, 'all arrive');
    expect(some.delivered.map((one) => one.text)).toEqual(['p0', 'p2']);
    await expect(
      some.ask({
        type: 'subscribe',
        subscription: 10,
        topic: 'u',
        from: 'latest',
        partitions: [77],
        windowBytes: 0,
        filter: '',
      }),
    ).rejects.toThrow('unknown-partition');
  });

  test('a topic is made by its first subscriber, unless that is off', async () => {
    expect((await writer.subscribe('fresh')).starts).toHaveLength(4);
    const strict = await start({}, { autoCreateTopics: false });
    const client = await BinaryClient.connect(strict.url as string);
    await expect(client.subscribe('fresh')).rejects.toThrow('auto-create-off');
    await client.createTopic('fresh');
    expect((await client.subscribe('fresh')).starts).toHaveLength(1);
  });

  test('one subscription a topic and a number; ended ones deliver nothing more', async () => {
    const [partition] = (await writer.createTopic('t')).partitions;
    const reader = await connect();
    const { subscription } = await reader.subscribe('t');
    await expect(reader.subscribe('t')).rejects.toThrow('illegal-argument');
    await expect(
      reader.ask({
        type: 'subscribe',
        subscription,
        topic: 'u',
        from: 'latest',
        partitions: [],
        windowBytes: 0,
        filter: '',
      }),
    ).rejects.toThrow('illegal-argument');
    expect(await reader.ask({ type: 'unsubscribe', subscription })).toEqual({ type: 'done' });
    await expect(reader.ask({ type: 'unsubscribe', subscription })).rejects.toThrow('unknown-subscription');
    await publish(partition, 0, 3);
    expect((await reader.subscribe('t', 'earliest')).starts[0].offset).toBe(0);
    await until(() => reader.delivered.length === 3, 'all arrive once');
    expect(reader.frames).toHaveLength(1);
  });

  test('a topic without read permission is refused', async () => {
    await writer.createTopic('t');
    await writer.ask({ type: 'set-permission', topic: 't', owner: -1, permission: 2 });
    await expect(writer.subscribe('t')).rejects.toThrow('no-read-permission');
    await expect(
      writer.ask({
        type: 'pull',
        topic: 't',
        partition: 0,
        epoch: 0,
        from: 'earliest',
        maxBytes: 0,
        waitMs: 0,
        filter: '',
      }),
    ).rejects.toThrow('no-read-permission');
  });

  test('a deleted topic ends its subscriptions, and the next topic of that name starts anew', async () => {
    const [partition] = (await writer.createTopic('t')).partitions;
    await publish(partition, 0, 3);
    const reader = await connect();
    await reader.subscribe('t', 'earliest');
    await until(() => reader.delivered.length === 3, 'all arrive');
    await writer.ask({ type: 'delete-topic', topic: 't' });
    await until(() => reader.news('route-changed').some((news) => news.deleted), 'the news arrives');
    const again = (await writer.createTopic('t')).partitions[0];
    const { starts } = await reader.subscribe('t', {
      positions: [{ partition: 0, epoch: partition.epoch, offset: 3 }],
    });
    expect(starts[0]).toMatchObject({ epoch: again.epoch, offset: 0, gap: true });
    await publish(again, 0, 2);
    await until(() => reader.delivered.length === 5, 'the new ones arrive');
  });

  test('partitions of a direct topic are delivered as their writers come', async () => {
    const reader = await connect();
    await writer.ask({
      type: 'create-topic',
      topic: 'd',
      partitions: 0,
      overflow: 'block',
      ringBytes: 0,
      direct: true,
      durable: undefined,
      retentionMs: 0,
      retentionBytes: 0,
      ifNotExists: false,
    });
    expect((await reader.subscribe('d')).starts).toEqual([]);
    const connection = broker.connect();
    for (const name of ['first', 'second']) {
      const producer = await connection.directProducer('d');
      const body = new TextEncoder().encode(name);
      await until(() => producer.trySend(body), 'there is room');
      producer.flushNow();
    }
    await until(() => reader.delivered.length === 2, 'both arrive');
    expect(reader.news('subscribed').map((news) => news.starts.map((one) => one.number))).toEqual([[0], [1]]);
    expect(reader.order.indexOf('subscribed')).toBeLessThan(reader.order.indexOf('batches'));
    await connection.close();
  });

  test('many subscribers get every message in order', async () => {
    const { partitions } = await writer.createTopic('t', { partitions: 2 });
    const readers = await Promise.all(Array.from({ length: 40 }, connect));
    await Promise.all(readers.map((reader) => reader.subscribe('t')));
    for (let i = 0; i < 300; i++) writer.publish(partitions[i % 2], [`m${i}`, 'and another']);
    await writer.ack(300);
    for (const reader of readers) {
      await until(() => reader.delivered.length === 600, 'all arrive');
      for (const { id } of partitions) {
        const mine = reader.delivered.filter((one) => one.partition === id).map((one) => one.offset);
        expect(mine).toEqual(range(0, 300));
      }
    }
  });

  test('one session may read hundreds of topics', async () => {
    const reader = await connect();
    const count = 300;
    const topics = Array.from({ length: count }, (_, i) => `t${i}`);
    const routes = await Promise.all(topics.map((topic) => writer.createTopic(topic, { ringBytes: 16_384 })));
    await Promise.all(topics.map((topic) => reader.subscribe(topic)));
    for (const route of routes) writer.publish(route.partitions[0], [route.topic]);
    await writer.ack(count);
    await until(() => reader.delivered.length === count, 'all arrive');
    expect(new Set(reader.delivered.map((one) => one.text))).toEqual(new Set(topics));
  });
});

describe('pull', () => {
  beforeEach(async () => {
    broker = await start();
    writer = await connect();
  });

  const pull = (client: BinaryClient, from: 'latest' | 'earliest' | { offset: number }, more = {}) =>
    client.ask<'pull-reply'>({
      type: 'pull',
      topic: 't',
      partition: 0,
      epoch: 0,
      from,
      maxBytes: 0,
      waitMs: 0,
      filter: '',
      ...more,
    });

  test('gives whole batches from an offset on, and the offset to go on at', async () => {
    const [partition] = (await writer.createTopic('t')).partitions;
    await publish(partition, 0, 30);
    const all = await pull(writer, 'earliest');
    expect(all).toMatchObject({ id: partition.id, number: 0, epoch: partition.epoch, nextOffset: 30, gap: false });
    const size = batchOf(partition, ['m0', 'm1', 'm2']).length;
    expect(all.batches.length).toBe(10 * size);
    const two = await pull(writer, { offset: 13 }, { maxBytes: 2 * size });
    expect(two.nextOffset).toBe(18);
    expect(two.batches.length).toBe(2 * size);
    const one = await pull(writer, { offset: 13 }, { maxBytes: 1 });
    expect(one.nextOffset).toBe(15);
    const none = await pull(writer, { offset: 30 });
    expect(none).toMatchObject({ nextOffset: 30, gap: false });
    expect(none.batches.length).toBe(0);
    expect(await pull(writer, { offset: 31 })).toMatchObject({ nextOffset: 30, gap: true });
    expect(await pull(writer, { offset: 3 }, { epoch: partition.epoch + 1 })).toMatchObject({ gap: true });
    await expect(pull(writer, 'latest', { partition: 1 })).rejects.toThrow('unknown-partition');
    await expect(pull(writer, 'latest', { topic: 'nothing' })).rejects.toThrow('unknown-topic');
  });

  test('waits for the first message', async () => {
    const [partition] = (await writer.createTopic('t')).partitions;
    const reader = await connect();
    const waiting = pull(reader, 'latest', { waitMs: 20_000 });
    const other = pull(reader, { offset: 0 }, { waitMs: 20_000 });
    let answered = false;
    waiting.then(() => {
      answered = true;
    });
    // Again and again, because nobody says when the pull has begun to wait.
    for (let sent = 0; !answered; sent += 3) await publish(partition, sent, sent + 3);
    expect((await waiting).batches.length).toBeGreaterThan(0);
    expect((await other).batches.length).toBeGreaterThan(0);
    const startedAt = performance.now();
    expect((await pull(reader, 'latest', { waitMs: 200 })).batches.length).toBe(0);
    expect(performance.now() - startedAt).toBeGreaterThan(150);
  });

  test('at most sixteen of a session wait; those of a session that goes away end', async () => {
    await writer.createTopic('t');
    const reader = await connect();
    const waiting = Array.from({ length: 16 }, () => pull(reader, 'latest', { waitMs: 30_000 }).catch(() => {}));
    await expect(pull(reader, 'latest', { waitMs: 30_000 })).rejects.toThrow('busy');
    reader.raw.terminate();
    await Promise.all(waiting);
    await broker.stop();
  });
});
