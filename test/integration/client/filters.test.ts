// Filters against a real broker, in process, over both transports' sockets and in the readable protocol: what arrives,
// where a consumer stands, and what is refused.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { BATCH_MAGIC, MAGIC_SPARSE } from '../../../native-layout/batch.ts';
import { CODES } from '../../../src/base/codes.ts';
import type { Connection, Gap } from '../../../src/client/connection.ts';
import { connect } from '../../../src/client/node.ts';
import { type Broker, startBroker } from '../../../src/server/broker.ts';
import { TcpProxy } from '../../support/proxy.ts';
import { until } from '../../support/until.ts';
import { BinaryClient, batchOf } from '../frontend/harness.ts';

const data = fs.mkdtempSync(path.join(os.tmpdir(), 'ringmq-filters-'));
const open: Connection[] = [];
let broker: Broker;
let writer: Connection;

beforeAll(async () => {
  broker = await startBroker({ data, workers: 1, listen: { port: 0, systemMetrics: false } });
  writer = client('in process');
});

afterAll(async () => {
  for (const one of open) await one.close();
  await broker.stop();
  fs.rmSync(data, { recursive: true });
});

const KINDS = ['in process', 'ws'] as const;
type Kind = (typeof KINDS)[number];

function client(kind: Kind, options = {}, url = broker.url as string): Connection {
  const connection = kind === 'ws' ? connect(url, options) : broker.connect();
  open.push(connection);
  return connection;
}

let topics = 0;

/** A topic of one partition with `count` messages; one in a hundred has the tag `rare`, and `n` says which it is. */
async function filled(count: number, options: { durable?: boolean; ringBytes?: number } = {}): Promise<string> {
  const topic = `filters-${++topics}`;
  await writer.createTopic(topic, { partitions: 1, ...options });
  await publish(topic, 0, count);
  return topic;
}

async function publish(topic: string, from: number, count: number): Promise<void> {
  const producer = writer.producer(topic);
  const sends: PromiseLike<unknown>[] = [];
  for (let i = from; i < from + count; i++) {
    const extras = { tag: i % 100 === 7 ? 'rare' : 'plenty', properties: { n: String(i) } };
    sends.push(producer.send(`message ${i}`, extras));
  }
  await Promise.all(sends);
  await producer.close();
}

const every = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, i) => `message ${(from + i) * 100 + 7}`);

for (const kind of KINDS) {
  for (const durable of [false, true]) {
    const where = `${kind}, ${durable ? 'durable' : 'volatile'}`;

    test(`one in a hundred arrives, and the position goes past the rest (${where})`, async () => {
      const topic = await filled(3_000, { durable });
      const got: string[] = [];
      const gaps: Gap[] = [];
      const consumer = client(kind).consumer(topic, {
        from: 'earliest',
        filter: 'rare',
        onMessage: (message) => void got.push(message.text()),
        onGap: (gap) => gaps.push(gap),
      });
      await until(() => got.length === 30, 'all that match');
      await until(
        () => consumer.positions()[0].offset === 3_000,
        'the position reaches the end although nothing comes',
      );
      // Live now, a message at a time.
      for (let i = 3_000; i < 3_120; i++) await publish(topic, i, 1);
      await until(() => consumer.positions()[0].offset === 3_120, 'the position follows');
      expect(got).toEqual(
        every(32)
          .slice(0, 32)
          .filter((_, i) => i < 30 || 3_007 + (i - 30) * 100 < 3_120),
      );
      expect(gaps).toEqual([]);
    });
  }

  test.each([
    ['a topic in the ring', 3_000, {}],
    ['a topic in the log', 20_000, { durable: true, ringBytes: 64 * 1024 }],
  ])(`pulls of %s give what matches, and go on behind what does not (${kind})`, async (_, count, options) => {
    const topic = await filled(count, options);
    const bus = client(kind);
    const got: string[] = [];
    let from: 'earliest' | { offset: number } = 'earliest';
    for (let next = 0; next < count; ) {
      const pulled = await bus.pull({ topic, from, filter: 'rare', max: 4, waitMs: 0 });
      got.push(...pulled.messages.map((one) => one.text()));
      expect(pulled.messages.length).toBeLessThanOrEqual(4);
      expect(pulled.nextOffset).toBeGreaterThan(next);
      next = pulled.nextOffset;
      from = { offset: next };
    }
    expect(got).toEqual(every(count / 100));
    const sql = "n BETWEEN 100 AND 104 AND TAGS = 'plenty'";
    const some = await bus.pull({ topic, from: { offset: 98 }, filter: { sql }, waitMs: 0 });
    expect(some.messages.map((one) => one.offset)).toEqual([100, 101, 102, 103, 104]);
  });

  test(`a pull waits for what matches, and says how far it is if nothing does (${kind})`, async () => {
    const topic = await filled(0);
    const bus = client(kind);
    const waiting = bus.pull({ topic, from: { offset: 0 }, filter: 'rare', waitMs: 10_000 });
    for (let i = 0; i < 7; i++) await publish(topic, i, 1);
    const nothing = await bus.pull({ topic, from: { offset: 2 }, filter: 'rare', waitMs: 100 });
    expect(nothing).toMatchObject({ messages: [], nextOffset: 7, gap: false });
    await publish(topic, 7, 1);
    const { messages, nextOffset } = await waiting;
    expect([messages.map((one) => one.text()), nextOffset]).toEqual([['message 7'], 8]);
    await expect(bus.pull({ topic, filter: { sql: 'n >' }, waitMs: 0 })).rejects.toMatchObject({
      code: 'illegal-filter',
    });
  });

  test(`SQL over properties, tag and key (${kind})`, async () => {
    const topic = await filled(500);
    const got: string[] = [];
    const sql = "n BETWEEN 100 AND 120 AND TAGS = 'plenty' OR n IN ('499')";
    const options = {
      from: 'earliest',
      filter: { sql },
      onMessage: (one: { text(): string }) => void got.push(one.text()),
    };
    client(kind).consumer(topic, options as never);
    await until(() => got.length === 21, 'all that match');
    const expected = Array.from({ length: 21 }, (_, i) => i + 100).filter((n) => n !== 107);
    expect(got).toEqual([...expected, 499].map((n) => `message ${n}`));
  });

  test(`batches show what matches, and none is empty (${kind})`, async () => {
    const topic = await filled(2_000);
    const got: string[] = [];
    const consumer = client(kind).consumer(topic, {
      from: 'earliest',
      filter: 'rare || other',
      onBatch: (batch) => {
        const before = got.length;
        while (batch.next()) got.push(batch.text());
        expect(got.length).toBeGreaterThan(before);
      },
    });
    await until(() => consumer.positions()[0]?.offset === 2_000, 'everything is read');
    expect(got).toEqual(every(20));
  });

  test(`an iterator, and a group that goes on where it was (${kind})`, async () => {
    const topic = await filled(1_000);
    const options = {
      from: 'earliest',
      filter: 'rare',
      group: `of-${topic}`,
      mode: 'broadcasting',
      commitMs: 10,
    } as const;
    const first: string[] = [];
    const one = client(kind).consumer(topic, options);
    for await (const message of one) if (first.push(message.text()) === 4) break;
    const second: string[] = [];
    const other = client(kind).consumer(topic, {
      ...options,
      onMessage: (message) => void second.push(message.text()),
    });
    await until(() => second.length === 7, 'the rest');
    expect([first, second]).toEqual([every(4), every(7, 3)]);
    await until(() => other.positions()[0].offset === 1_000, 'it is at the end');
    await other.commit();
    await other.close();
    const third = client(kind).consumer(topic, { ...options, onMessage: () => {} });
    const [start] = await third.ready();
    expect(start.offset).toBe(1_000);
    await third.close();
  });

  test(`a filter that cannot be read is refused with its place (${kind})`, async () => {
    expect(() => client(kind).consumer('t', { filter: { sql: 'price >' }, onMessage: () => {} })).toThrow(
      expect.objectContaining({ code: 'illegal-filter', message: expect.stringContaining('column 8') }),
    );
  });

  test(`clustering and leases want the same (${kind})`, async () => {
    const topic = await filled(400);
    const pushed: string[] = [];
    const consumer = client(kind).consumer(topic, {
      from: 'earliest',
      filter: 'rare',
      group: `pushed-${topic}`,
      onMessage: (message) => void pushed.push(message.text()),
    });
    const simple = client(kind).simpleConsumer(topic, {
      group: `leased-${topic}`,
      from: 'earliest',
      filter: { sql: "TAGS = 'rare'" },
    });
    const leased: string[] = [];
    while (leased.length < 4) {
      for (const message of await simple.receive({ waitMs: 1_000 })) {
        leased.push(message.text());
        await simple.ack(message);
      }
    }
    await until(() => pushed.length === 4, 'all that match are pushed');
    expect([pushed.toSorted(), leased.toSorted()]).toEqual([every(4).toSorted(), every(4).toSorted()]);
    await consumer.close();
    await simple.close();
  });
}

test('a slow reader with a small window catches up from the log, each message once', async () => {
  const topic = await filled(20_000, { durable: true, ringBytes: 65_536 });
  const got: string[] = [];
  const gaps: Gap[] = [];
  const consumer = client('ws', { windowBytes: 64 * 1024 }).consumer(topic, {
    from: 'earliest',
    filter: 'plenty',
    onMessage: (message) =>
      got.push(message.text()) % 5_000 === 0 ? new Promise((resolve) => setTimeout(resolve, 20)) : undefined,
    onGap: (gap) => gaps.push(gap),
  });
  await until(() => consumer.positions()[0]?.offset === 20_000, 'everything is read', 20_000);
  expect(got).toEqual(Array.from({ length: 20_000 }, (_, i) => `message ${i}`).filter((_, i) => i % 100 !== 7));
  expect(gaps).toEqual([]);
});

test('a subscription over a connection that breaks goes on without a gap or a duplicate', async () => {
  const topic = await filled(0, { durable: true });
  const proxy = await TcpProxy.start(Number(new URL(broker.url as string).port));
  const got: string[] = [];
  const gaps: Gap[] = [];
  const consumer = client('ws', { reconnect: { minMs: 2, maxMs: 10 } }, proxy.url).consumer(topic, {
    from: 'earliest',
    filter: 'rare',
    onMessage: (message) => void got.push(message.text()),
    onGap: (gap) => gaps.push(gap),
  });
  await consumer.ready();
  for (let i = 0; i < 30; i++) {
    await publish(topic, i * 100, 100);
    if (i % 3 === 2) proxy.cut();
  }
  await until(() => got.length >= 30 && consumer.positions()[0].offset === 3_000, 'everything');
  expect([got, gaps]).toEqual([every(30), []]);
  expect(proxy.count).toBeGreaterThan(5);
  await consumer.close();
  await proxy.stop();
});

test('what is left out costs no bytes', async () => {
  const topic = await filled(10_000);
  const url = broker.url as string;
  const bytes: number[] = [];
  for (const filter of ['rare', '']) {
    const reader = await BinaryClient.connect(url);
    let length = 0;
    reader.raw.on('message', (frame: Buffer) => {
      length += frame.length;
    });
    const before = reader.delivered.length;
    await reader.subscribe(topic, 'earliest', 0, filter);
    await until(() => reader.delivered.length - before === (filter === '' ? 10_000 : 100), 'what is wanted');
    bytes.push(length);
  }
  expect(bytes[0] * 10).toBeLessThan(bytes[1]);
});

test('a publisher may not send batches with holes', async () => {
  const topic = await filled(1);
  const publisher = await BinaryClient.connect(broker.url as string);
  const [partition] = (await writer.route(topic)).partitions;
  const batch = batchOf(partition, ['a'], { request: 9 });
  const words = new Int32Array(batch.buffer, batch.byteOffset, batch.length >> 2);
  words[BATCH_MAGIC >> 2] |= MAGIC_SPARSE;
  publisher.raw.send(batch);
  expect((await publisher.ack(9)).status).toBe(CODES['malformed-batch'].number);
});

test('the readable protocol filters too, and says where a filter is wrong', async () => {
  const topic = await filled(300);
  const socket = new WebSocket(broker.url as string);
  const said: Record<string, unknown>[] = [];
  socket.on('message', (text) => said.push(JSON.parse(text.toString())));
  await new Promise((resolve) => socket.once('open', resolve));
  const say = (command: object): void => socket.send(JSON.stringify(command));
  say({ op: 'subscribe', id: 1, topic, from: 'earliest', filter: { sql: 'n > 5 AND' } });
  say({ op: 'subscribe', id: 2, topic, from: 'earliest', filter: 'A || |' });
  say({ op: 'subscribe', id: 3, topic, from: 'earliest', filter: 7 });
  say({ op: 'subscribe', id: 4, topic, from: 'earliest', filter: 'rare' });
  await until(() => said.filter((one) => one.op === 'message').length === 3, 'what matches');
  const errors = said.filter((one) => one.op === 'error');
  expect(errors).toMatchObject([
    { id: 1, code: 'illegal-filter', text: expect.stringContaining('column 10: it ends; expected a property') },
    { id: 2, code: 'illegal-filter', text: expect.stringContaining('column 6: found `|`') },
    { id: 3, code: 'malformed-command', text: `filter must be "A || B" or {"sql": ".."}` },
  ]);
  expect(said.filter((one) => one.op === 'message').map((one) => one.body)).toEqual(every(3));
  socket.close();
});
