// The client against the real broker: everything the interface promises, over WebSocket.
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Gap } from '../../../src/client/connection.ts';
import { type ConnectOptions, connect, jsonCodec, textCodec } from '../../../src/client/node.ts';
import type { WsConnection } from '../../../src/client/ws-connection.ts';
import type { Broker } from '../../../src/server/broker.ts';
import { TcpProxy } from '../../support/proxy.ts';
import { fractionsFrom } from '../../support/random.ts';
import { until } from '../../support/until.ts';

const FAST = { reconnect: { minMs: 2, maxMs: 20 } } as const;
const INSIST = { attemptsMax: Number.POSITIVE_INFINITY, timeoutMs: Number.POSITIVE_INFINITY } as const;
const open: { close?(): Promise<void>; stop?(): Promise<void> }[] = [];
let broker: Broker;
let topics = 0;

beforeAll(async () => {
  // Threads run from dist, so the broker does too.
  const entry = new URL('../../../dist/src/index.js', import.meta.url).href;
  const { startBroker } = (await import(entry)) as typeof import('../../../src/index.ts');
  broker = await startBroker({ listen: { port: 0 }, logLevel: 'error' });
});

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await (one.close?.() ?? one.stop?.());
});

afterAll(() => broker.stop());

function client(url = broker.url as string, options: ConnectOptions = {}): WsConnection {
  const connection = connect(url, { ...FAST, ...options });
  open.push(connection);
  return connection;
}

async function proxied(): Promise<TcpProxy> {
  const proxy = await TcpProxy.start(Number(new URL(broker.url as string).port));
  open.push(proxy);
  return proxy;
}

/** A topic that no other test uses. */
async function freshTopic(connection: WsConnection, partitions = 1): Promise<string> {
  topics++;
  const topic = `topic-${topics}`;
  await connection.createTopic(topic, { partitions });
  return topic;
}

const numbers = (count: number, from = 0): string[] => Array.from({ length: count }, (_, i) => String(from + i));

test('every way to send reaches every way to receive', async () => {
  const connection = client();
  const topic = await freshTopic(connection);
  const byMessage: string[] = [];
  const byBatch: string[] = [];
  const byIterator: string[] = [];
  const first = connection.consumer(topic, { onMessage: (message) => void byMessage.push(message.text()) });
  const second = connection.consumer(topic, {
    onBatch: (batch) => {
      while (batch.next()) byBatch.push(batch.text());
    },
  });
  const third = connection.consumer(topic);
  await Promise.all([first.ready(), second.ready(), third.ready()]);
  const producer = connection.producer(topic);
  const receipt = await producer.send('one');
  expect(receipt).toEqual({ topic, partition: 0, offset: 0 });
  await producer.ready();
  expect(producer.trySend(new TextEncoder().encode('two'))).toBe(true);
  await producer.flush();
  const receipts = await producer.sendBatch(['three', 'four']);
  expect(receipts.map((one) => one.offset)).toEqual([2, 3]);
  for await (const message of third) if (byIterator.push(message.text()) === 4) break;
  await until(() => byMessage.length === 4 && byBatch.length === 4, 'all four');
  for (const texts of [byMessage, byBatch, byIterator]) expect(texts).toEqual(['one', 'two', 'three', 'four']);
});

test('a message keeps its key, tag, properties and times', async () => {
  const connection = client();
  const topic = await freshTopic(connection);
  const before = Date.now();
  const properties = { kind: 'test', naïve: '✓' };
  await connection.producer(topic).send('body', { key: 'k', tag: 't', properties });
  const { messages } = await connection.pull({ topic, from: 'earliest' });
  expect(messages).toHaveLength(1);
  expect(messages[0]).toMatchObject({ key: 'k', tag: 't', properties, offset: 0, partition: 0 });
  expect(messages[0].bornAt).toBeGreaterThanOrEqual(before - 1);
  expect(messages[0].storedAt).toBeGreaterThanOrEqual(messages[0].bornAt - 1);
});

test('messages of one key keep their order; others spread over the partitions', async () => {
  const connection = client();
  const topic = await freshTopic(connection, 4);
  const byKey = new Map<string, number[]>();
  const partitions = new Set<number>();
  let count = 0;
  const consumer = connection.consumer(topic, {
    codec: jsonCodec<{ key: string; n: number }>(),
    onMessage: ({ value: { key, n }, partition }) => {
      byKey.set(key, [...(byKey.get(key) ?? []), n]);
      partitions.add(partition);
      count++;
    },
  });
  await consumer.ready();
  const producer = connection.producer(topic, { codec: jsonCodec<{ key: string; n: number }>(), batchBytes: 512 });
  for (let n = 0; n < 2_000; n++) {
    const key = `key-${n % 7}`;
    void producer.send({ key, n }, { key });
  }
  await producer.flush();
  await until(() => count === 2_000, 'all');
  expect(partitions.size).toBeGreaterThan(1);
  for (const order of byKey.values()) expect(order).toEqual([...order].sort((a, b) => a - b));
});

test('starts: earliest, last, offset and positions', async () => {
  const connection = client();
  const topic = await freshTopic(connection);
  await connection.producer(topic).sendBatch(numbers(100));
  const read = async (from: NonNullable<Parameters<WsConnection['consumer']>[1]>['from'], count: number) => {
    const texts: string[] = [];
    const consumer = connection.consumer(topic, { from: from as 'earliest', codec: textCodec });
    for await (const message of consumer) if (texts.push(message.value) === count) break;
    return texts;
  };
  expect(await read('earliest', 100)).toEqual(numbers(100));
  expect(await read({ last: 5 }, 5)).toEqual(numbers(5, 95));
  expect(await read({ offset: 42 }, 3)).toEqual(['42', '43', '44']);
  const { partitions } = await connection.route(topic);
  expect(await read({ positions: [{ partition: 0, epoch: partitions[0].epoch, offset: 77 }] }, 2)).toEqual([
    '77',
    '78',
  ]);
});

test('bodies of every size arrive as they are', async () => {
  const connection = client();
  const topic = await freshTopic(connection);
  const { messageMaxBytes } = await connection.route(topic);
  const sizes = [0, 1, 7, 8, 63, 64, 65, 1_000, 16_383, 16_384, 65_536, 300_000, messageMaxBytes - 64];
  const bodies = sizes.map((size) => Uint8Array.from({ length: size }, (_, i) => (i * 31 + size) & 255));
  const got: Uint8Array[] = [];
  const consumer = connection.consumer(topic, { onMessage: (message) => void got.push(message.body) });
  await consumer.ready();
  const producer = connection.producer(topic);
  for (const body of bodies) await producer.send(body);
  await until(() => got.length === bodies.length, 'all');
  for (const [i, body] of bodies.entries()) expect(Buffer.compare(got[i], body)).toBe(0);
});

test('pause holds messages back, resume brings them', async () => {
  const connection = client();
  const topic = await freshTopic(connection);
  const got: string[] = [];
  const consumer = connection.consumer(topic, { onMessage: (message) => void got.push(message.text()) });
  await consumer.ready();
  consumer.pause();
  await connection.producer(topic).sendBatch(numbers(1_000));
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(got).toEqual([]);
  consumer.resume();
  await until(() => got.length === 1_000, 'all');
  expect(got).toEqual(numbers(1_000));
});

test('a lossless topic waits for a slow subscriber instead of losing messages', async () => {
  const connection = client(undefined, { windowBytes: 256 * 1024 });
  topics++;
  const topic = `topic-${topics}`;
  await connection.createTopic(topic, { partitions: 1, ringBytes: 256 * 1024 });
  const sender = client();
  const gaps: Gap[] = [];
  let count = 0;
  let wrong = 0;
  const consumer = connection.consumer(topic, {
    onGap: (gap) => gaps.push(gap),
    onMessage: async (message) => {
      if (message.text() !== `${count}${'.'.repeat(500)}`) wrong++;
      count++;
      if (count % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    },
  });
  await consumer.ready();
  const producer = sender.producer(topic, { ...INSIST, batchBytes: 8_192 });
  await producer.ready();
  for (let n = 0; n < 10_000; ) {
    if (producer.trySend(`${n}${'.'.repeat(500)}`)) n++;
    else await producer.ready();
  }
  await producer.flush();
  await until(() => count === 10_000, 'all', 30_000);
  expect([wrong, gaps]).toEqual([0, []]);
});

test('topics can be made, listed, closed for writing and deleted', async () => {
  const connection = client();
  const route = await connection.createTopic('made', { partitions: 3, overflow: 'drop-oldest' });
  expect(route).toMatchObject({ topic: 'made', overflow: 'drop-oldest' });
  expect(route.partitions).toHaveLength(3);
  await expect(connection.createTopic('made')).rejects.toMatchObject({ code: 'topic-exists' });
  await connection.createTopic('made', { ifNotExists: true });
  await expect(connection.createTopic('no spaces')).rejects.toMatchObject({ code: 'illegal-topic' });
  expect((await connection.topics()).map((one) => one.topic)).toContain('made');
  const producer = connection.producer('made', { partition: 0 });
  await producer.send('x');
  await connection.setPermission('made', 'r');
  await expect(producer.send('y')).rejects.toMatchObject({ code: 'no-write-permission' });
  const errors: Error[] = [];
  const consumer = connection.consumer('made', { onMessage: () => {}, onError: (error) => errors.push(error) });
  await consumer.ready();
  await connection.deleteTopic('made');
  await until(() => consumer.closed, 'the consumer ends');
  expect(errors.at(-1)).toMatchObject({ code: 'unknown-topic' });
  await expect(connection.route('made')).rejects.toMatchObject({ code: 'unknown-topic' });
  await expect(connection.deleteTopic('made')).rejects.toMatchObject({ code: 'unknown-topic' });
});

test('a pull waits for the first message, and several pulls read everything', async () => {
  const connection = client();
  const topic = await freshTopic(connection);
  const { messages } = await connection.pull({ topic, waitMs: 0 });
  expect(messages).toEqual([]);
  const waiting = connection.pull({ topic, from: { offset: 0 }, waitMs: 20_000 });
  await connection.producer(topic).sendBatch(numbers(500));
  const texts: string[] = [];
  for (let result = await waiting; ; ) {
    texts.push(...result.messages.map((one) => one.text()));
    if (texts.length >= 500) break;
    result = await connection.pull({ topic, from: { offset: result.nextOffset }, epoch: result.epoch, max: 77 });
  }
  expect(texts).toEqual(numbers(500));
});

test('random cuts lose nothing, repeat nothing and reorder nothing', async () => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
  const random = fractionsFrom(seed);
  const admin = client();
  const topic = await freshTopic(admin);
  const [up, down] = [await proxied(), await proxied()];
  const got: string[] = [];
  const gaps: Gap[] = [];
  const consumer = client(down.url).consumer(topic, {
    onMessage: (message) => void got.push(message.text()),
    onGap: (gap) => gaps.push(gap),
  });
  await consumer.ready();
  for (const proxy of [up, down]) {
    proxy.onUp = () => random() < 0.1 && proxy.cut();
    proxy.onDown = () => random() < 0.1 && proxy.cut();
  }
  const producer = client(up.url).producer(topic, { ...INSIST, batchBytes: 2_048 });
  await producer.ready();
  const total = 30_000;
  for (let n = 0; n < total; ) {
    if (n % 100 === 99) await new Promise((resolve) => setImmediate(resolve));
    if (n === 10_000 || n === 20_000) for (const proxy of [up, down]) proxy.cut();
    if (producer.trySend(String(n))) n++;
    else await producer.ready();
  }
  await producer.flush();
  await until(() => got.length >= total, `everything (SEED=${seed})`, 30_000);
  expect(Math.min(up.count, down.count)).toBeGreaterThan(1);
  expect([seed, gaps]).toEqual([seed, []]);
  expect([seed, got]).toEqual([seed, numbers(total)]);
});

test('the broker’s errors keep their codes', async () => {
  const connection = client();
  const topic = await freshTopic(connection);
  await expect(connection.consumer(topic, { partitions: [9] }).ready()).rejects.toMatchObject({
    code: 'unknown-partition',
  });
  await expect(connection.producer(topic, { partition: 9 }).send('x')).rejects.toMatchObject({
    code: 'unknown-partition',
  });
  await expect(connection.pull({ topic: 'nowhere' })).rejects.toMatchObject({ code: 'unknown-topic' });
  await expect(connection.producer('bad name').send('x')).rejects.toMatchObject({ code: 'illegal-topic' });
  await expect(connection.producer('new', { createTopic: false }).send('x')).rejects.toMatchObject({
    code: 'unknown-topic',
  });
});
