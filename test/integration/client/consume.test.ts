// Consuming over a connection that breaks: resuming, gaps, flow control, several consumers.
import { afterEach, expect, test } from 'vitest';
import type { Gap } from '../../../src/client/connection.ts';
import { type ConnectOptions, connect, jsonCodec } from '../../../src/client/node.ts';
import type { WsConnection } from '../../../src/client/ws-connection.ts';
import { FakeBroker, type FakeOptions } from '../../support/fake-broker.ts';
import { TcpProxy } from '../../support/proxy.ts';
import { until } from '../../support/until.ts';

const FAST = { reconnect: { minMs: 2, maxMs: 10 } } as const;
const open: { close?(): Promise<void>; stop?(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await (one.close?.() ?? one.stop?.());
});

async function start(options: Partial<FakeOptions> = {}): Promise<{ broker: FakeBroker; proxy: TcpProxy }> {
  const broker = await FakeBroker.start(options);
  const proxy = await TcpProxy.start(broker.port);
  open.push(broker, proxy);
  return { broker, proxy };
}

function client(url: string, options: ConnectOptions = {}): WsConnection {
  const connection = connect(url, { ...FAST, ...options });
  open.push(connection);
  return connection;
}

const numbers = (count: number, from = 0): string[] => Array.from({ length: count }, (_, i) => String(from + i));

/** Sends numbers to partition 0 through a connection of its own. */
async function send(broker: FakeBroker, texts: readonly string[], batchBytes = 1_024): Promise<void> {
  const connection = connect(broker.url);
  const producer = connection.producer('t', { partition: 0, batchBytes });
  await producer.sendBatch(texts);
  await connection.close();
}

test('a consumer resumes after every cut without a gap or a duplicate', async () => {
  const { broker, proxy } = await start();
  const connection = client(proxy.url);
  const got: string[] = [];
  const gaps: Gap[] = [];
  const consumer = connection.consumer('t', {
    from: 'earliest',
    onMessage: (message) => void got.push(message.text()),
    onGap: (gap) => gaps.push(gap),
  });
  await consumer.ready();
  let chunks = 0;
  proxy.onDown = () => {
    chunks++;
    if (chunks % 4 === 3) proxy.cut();
  };
  for (let i = 0; i < 20; i++) await send(broker, numbers(500, i * 500));
  proxy.onDown = () => {};
  await until(() => got.length >= 10_000, 'everything');
  expect(got).toEqual(numbers(10_000));
  expect(gaps).toEqual([]);
  expect(proxy.count).toBeGreaterThan(3);
});

test('what the broker no longer has after a cut is reported as a gap, once', async () => {
  const { broker, proxy } = await start({ retain: 10 });
  const connection = client(proxy.url);
  const got: string[] = [];
  const gaps: Gap[] = [];
  const consumer = connection.consumer('t', {
    onMessage: (message) => void got.push(message.text()),
    onGap: (gap) => gaps.push(gap),
  });
  await consumer.ready();
  await send(broker, numbers(100));
  await until(() => got.length === 100, 'the first hundred');
  proxy.closedForAll = true;
  proxy.cut();
  await send(broker, numbers(2_000, 100));
  proxy.closedForAll = false;
  await until(() => got.at(-1) === '2099', 'the end');
  expect(gaps).toHaveLength(1);
  expect(gaps[0]).toMatchObject({ topic: 't', partition: 0, from: 100, reason: 'expired' });
  expect(got.slice(100)).toEqual(numbers(2_100 - gaps[0].to, gaps[0].to));
});

test('a new generation of a partition is told, and read from where the broker says', async () => {
  const { broker, proxy } = await start();
  const connection = client(proxy.url);
  const got: string[] = [];
  const gaps: Gap[] = [];
  const consumer = connection.consumer('t', {
    onMessage: (message) => void got.push(message.text()),
    onGap: (gap) => gaps.push(gap),
  });
  await consumer.ready();
  await send(broker, ['old']);
  await until(() => got.length === 1, 'the old one');
  const [partition] = broker.topic('t');
  partition.epoch = 8;
  partition.next = 0;
  partition.batches = [];
  proxy.cut();
  await until(() => gaps.length === 1, 'told');
  expect(gaps[0]).toMatchObject({ reason: 'epoch-changed' });
  await send(broker, ['new']);
  await until(() => got.length === 2, 'the new one');
  expect(consumer.positions()).toEqual([{ partition: 0, epoch: 8, offset: 1 }]);
});

test('gaps that the broker tells keep their place among the messages', async () => {
  const { broker } = await start();
  await send(broker, numbers(100));
  const connection = client(broker.url, { windowBytes: 64 * 1024 });
  const seen: string[] = [];
  const consumer = connection.consumer('t', {
    from: 'earliest',
    onMessage: (message) => void seen.push(message.text()),
    onGap: ({ from, to, reason }) => seen.push(`${reason} ${from}..${to}`),
  });
  await consumer.ready();
  await until(() => seen.length === 100, 'the hundred');
  consumer.pause();
  await send(broker, ['a']);
  const [{ id, epoch }] = broker.topic('t');
  for (const session of broker.sessions) {
    session.say({ type: 'gap', id, number: 0, epoch, topic: 't', fromOffset: 101, toOffset: 150, reason: 'evicted' });
  }
  broker.topic('t')[0].next = 150;
  for (const one of [...broker.sessions].flatMap((session) => [...session.subscriptions.values()])) {
    for (const partition of one.cursors.keys()) one.cursors.set(partition, 150);
  }
  await send(broker, ['b']);
  consumer.resume();
  await until(() => seen.length === 103, 'the rest');
  expect(seen.slice(100)).toEqual(['a', 'evicted 101..150', 'b']);
});

test('a paused consumer holds at most its window, and gets the rest when it resumes', async () => {
  const { broker } = await start();
  const connection = client(broker.url, { windowBytes: 64 * 1024 });
  const got: string[] = [];
  const consumer = connection.consumer('t', { onMessage: (message) => void got.push(message.text()) });
  await consumer.ready();
  const [session] = broker.sessions;
  consumer.pause();
  await send(broker, numbers(20_000), 8_192);
  await until(() => session.credit <= 0, 'the window is full');
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(got).toEqual([]);
  expect(session.credit).toBeGreaterThan(-256 * 1024);
  consumer.resume();
  await until(() => got.length === 20_000, 'everything');
  expect(got).toEqual(numbers(20_000));
});

test('a handler that takes its time gets one message at a time, in order', async () => {
  const { broker } = await start();
  await send(broker, numbers(200));
  const connection = client(broker.url);
  const got: string[] = [];
  let running = 0;
  connection.consumer('t', {
    from: 'earliest',
    onMessage: async (message) => {
      running++;
      expect(running).toBe(1);
      await new Promise((resolve) => setImmediate(resolve));
      got.push(message.text());
      running--;
    },
  });
  await until(() => got.length === 200, 'all');
  expect(got).toEqual(numbers(200));
});

test('an iterator is bounded and ends with its consumer', async () => {
  const { broker } = await start();
  await send(broker, numbers(5_000));
  const connection = client(broker.url, { windowBytes: 64 * 1024 });
  const consumer = connection.consumer('t', { from: 'earliest', bufferMessages: 10 });
  const got: string[] = [];
  for await (const message of consumer) {
    got.push(message.text());
    if (got.length === 5_000) break;
  }
  expect(got).toEqual(numbers(5_000));
  expect(consumer.closed).toBe(true);
});

test('two consumers of one topic each get what they ask for, at their own pace', async () => {
  const { broker } = await start();
  await send(broker, numbers(300));
  const connection = client(broker.url);
  const all: string[] = [];
  const live: string[] = [];
  const first = connection.consumer('t', { onMessage: (message) => void live.push(message.text()) });
  const second = connection.consumer('t', { from: 'earliest', onMessage: (message) => void all.push(message.text()) });
  await Promise.all([first.ready(), second.ready()]);
  expect(broker.sessions.size).toBe(2);
  first.pause();
  await send(broker, ['new']);
  await until(() => all.length === 301, 'everything');
  expect(live).toEqual([]);
  first.resume();
  await until(() => live.length === 1, 'the live one');
  expect(all).toEqual([...numbers(300), 'new']);
  await second.close();
  await until(() => broker.sessions.size === 1, 'its session is closed');
});

test('a consumer that has stopped does not starve others on the same connection', async () => {
  const { broker } = await start();
  const connection = client(broker.url, { windowBytes: 64 * 1024 });
  const other: string[] = [];
  const stuckGot: string[] = [];
  const stuck = connection.consumer('t', { onMessage: (message) => void stuckGot.push(message.text()) });
  const lively = connection.consumer('u', { onMessage: (message) => void other.push(message.text()) });
  await Promise.all([stuck.ready(), lively.ready()]);
  stuck.pause();
  await send(broker, numbers(20_000), 4_096);
  const sender = client(broker.url).producer('u');
  await sender.sendBatch(numbers(20_000));
  await until(() => other.length === 20_000, 'the other gets everything');
  expect(other).toEqual(numbers(20_000));
  expect(stuckGot).toEqual([]);
  stuck.resume();
  await until(() => stuckGot.length === 20_000, 'the stopped one gets everything later');
  expect(stuckGot).toEqual(numbers(20_000));
});

test('a session that was closed because its consumer had stopped is subscribed again when it wants more', async () => {
  const { broker } = await start();
  const connection = client(broker.url, { windowBytes: 64 * 1024 });
  const got: string[] = [];
  const consumer = connection.consumer('t', { onMessage: (message) => void got.push(message.text()) });
  await consumer.ready();
  consumer.pause();
  await send(broker, numbers(20_000));
  for (const session of broker.sessions) session.socket.close(4001);
  await until(() => connection.state === 'connected' && broker.sessions.size === 1, 'back');
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect([...broker.sessions][0].subscriptions.size).toBe(0);
  consumer.resume();
  await until(() => got.length === 20_000, 'everything');
  expect(got).toEqual(numbers(20_000));
});

test('credit is given back for everything that was consumed', async () => {
  const { broker } = await start();
  const connection = client(broker.url, { windowBytes: 64 * 1024 });
  let count = 0;
  const consumer = connection.consumer('t', {
    onBatch: (batch) => {
      while (batch.next()) count++;
    },
  });
  await consumer.ready();
  await send(broker, numbers(30_000));
  await until(() => count === 30_000, 'everything');
  const [session] = broker.sessions;
  await until(() => session.credit === 64 * 1024, 'all credit is back');
});

test('a damaged delivery is asked for again', async () => {
  const { broker, proxy } = await start();
  const connection = client(proxy.url);
  connection.onError(() => {});
  const got: string[] = [];
  const consumer = connection.consumer('t', { onMessage: (message) => void got.push(message.text()) });
  await consumer.ready();
  let damaged = 0;
  proxy.onDown = (chunk) => {
    if (chunk.length < 1_000 || damaged > 0) return;
    chunk[chunk.length - 40] ^= 1;
    damaged++;
  };
  await send(broker, numbers(1_000));
  await until(() => got.length === 1_000, 'everything');
  expect(damaged).toBe(1);
  expect(got).toEqual(numbers(1_000));
});

test('a deleted topic ends its consumers, telling them', async () => {
  const { broker } = await start();
  const connection = client(broker.url);
  const errors: string[] = [];
  const consumer = connection.consumer('t', { onMessage: () => {}, onError: (error) => errors.push(error.message) });
  await consumer.ready();
  broker.delete('t');
  await until(() => consumer.closed, 'ended');
  expect(errors).toEqual(['topic t was deleted']);
  const iterated = connection.consumer('u');
  await iterated.ready();
  broker.delete('u');
  const next = iterated[Symbol.asyncIterator]().next();
  await expect(next).rejects.toMatchObject({ code: 'unknown-topic' });
});

test.each(['reader-quota', 'shutting-down'] as const)(
  'a refused subscription says why; one that may succeed later is tried again (%s)',
  async (passing) => {
    let refusals = 0;
    const { broker } = await start({
      onCommand: (session, correlation, command) => {
        if (command.type !== 'subscribe') return false;
        const code = command.topic === 'closed' ? 'no-read-permission' : passing;
        if (code === passing && refusals > 0) return false;
        refusals++;
        session.say({ type: 'refused', code, text: '' }, correlation);
        return true;
      },
    });
    const connection = client(broker.url);
    await connection.consumer('t').ready();
    await expect(connection.consumer('closed').ready()).rejects.toMatchObject({ code: 'no-read-permission' });
  },
);

test('values pass through a codec; partitions can be chosen', async () => {
  const { broker } = await start({ partitions: 3 });
  const connection = client(broker.url);
  const codec = jsonCodec<{ n: number }>();
  const values: number[] = [];
  const consumer = connection.consumer('t', { codec, partitions: [1], onMessage: (m) => void values.push(m.value.n) });
  expect(await consumer.ready()).toEqual([{ partition: 1, epoch: 7, offset: 0 }]);
  for (const partition of [0, 1, 2]) {
    await connection.producer('t', { codec, partition }).send({ n: partition });
  }
  await until(() => values.length > 0, 'one');
  expect(values).toEqual([1]);
});

test('a pull waits for the first message, and goes on where it ended', async () => {
  const { broker } = await start();
  const connection = client(broker.url);
  const waiting = connection.pull({ topic: 't', waitMs: 5_000 });
  await new Promise((resolve) => setTimeout(resolve, 50));
  await send(broker, numbers(100));
  const first = await waiting;
  expect(first.messages[0].text()).toBe('0');
  const second = await connection.pull({ topic: 't', from: { offset: 7 }, max: 3 });
  expect(second.messages.map((one) => one.text())).toEqual(['7', '8', '9']);
  expect(second.nextOffset).toBe(10);
  expect((await connection.pull({ topic: 't', from: { offset: 100 }, waitMs: 0 })).messages).toEqual([]);
  const controller = new AbortController();
  const aborted = connection.pull({ topic: 't', signal: controller.signal });
  controller.abort();
  await expect(aborted).rejects.toMatchObject({ code: 'closed' });
});
