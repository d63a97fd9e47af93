// The browser client in a browser: what its interface promises, against a real broker.
import { createHash } from 'node:crypto';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { connect, textCodec } from '../../src/client/node.ts';
import type { WsConnection } from '../../src/client/ws-connection.ts';
import { type Broker, startBroker } from '../../src/server/broker.ts';
import { clientPage, httpOf, launch } from './chromium.ts';

const MIB = 1024 * 1024;
let broker: Broker;
let browser: Browser;
let node: WsConnection;
const pages: Page[] = [];

beforeAll(async () => {
  // Lanes and rings large enough for a message of 1 MiB.
  broker = await startBroker({
    workers: 1,
    laneBytes: 4 * MIB,
    ringBytes: 8 * MIB,
    listen: { port: 0, frontends: 1, systemMetrics: false },
  });
  node = connect(broker.url as string);
  await node.ready();
  browser = await launch();
});

afterEach(async () => {
  for (const page of pages.splice(0)) await page.context().close();
});

afterAll(async () => {
  await browser?.close();
  await node?.close();
  await broker?.stop();
});

async function openClient(): Promise<Page> {
  const page = await clientPage(browser, httpOf(broker.url));
  pages.push(page);
  return page;
}

test('what is sent comes back with its receipt, key, tag, properties and time', async () => {
  const page = await openClient();
  const { receipt, message } = await page.evaluate(async () => {
    const connection = ringmq.connect(location.origin);
    const consumer = connection.consumer('echo');
    await consumer.ready();
    const receipt = await connection
      .producer('echo')
      .send('grüße', { key: 'k', tag: 't', properties: { trace: 'abc', über: 'ja' } });
    for await (const message of consumer) {
      const { partition, offset, key, tag, properties, storedAt } = message;
      await connection.close();
      return { receipt, message: { partition, offset, key, tag, properties, storedAt, text: message.text() } };
    }
    throw new Error('the consumer ended');
  });
  expect(receipt).toEqual({ topic: 'echo', partition: message.partition, offset: 0 });
  expect(message).toMatchObject({ offset: 0, key: 'k', tag: 't', text: 'grüße' });
  expect(message.properties).toEqual({ trace: 'abc', über: 'ja' });
  expect(Math.abs(Date.now() - message.storedAt)).toBeLessThan(60_000);
});

test('binary bodies keep every byte, up to 1 MiB, in both directions', async () => {
  await node.createTopic('binary', { partitions: 1 });
  await node.createTopic('binary-back', { partitions: 1 });
  const page = await openClient();
  const hashes: string[] = [];
  const back = node.consumer('binary-back', {
    onMessage: ({ body }) => void hashes.push(createHash('sha256').update(body).digest('hex')),
  });
  await back.ready();
  await page.evaluate(async () => {
    const connection = ringmq.connect(location.origin, { verifyChecksums: true });
    const producer = connection.producer('binary-back', { timeoutMs: 30_000 });
    const consumer = connection.consumer('binary', {
      onMessage: async ({ body }) => void (await producer.send(body)),
    });
    await consumer.ready();
  });
  const bodies = [0, 1, 255, 65_536, MIB].map((length) => {
    return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255);
  });
  for (const body of bodies) await node.producer('binary', { timeoutMs: 30_000 }).send(body);
  const wanted = bodies.map((body) => createHash('sha256').update(body).digest('hex'));
  await expect.poll(() => hashes, { timeout: 20_000 }).toEqual(wanted);
  await back.close();
});

test('a message that is too large is refused with its code, and the connection goes on', async () => {
  const page = await openClient();
  const outcome = await page.evaluate(async () => {
    const connection = ringmq.connect(location.origin);
    const producer = connection.producer('large');
    const refused = await producer.send(new Uint8Array(3 * 1024 * 1024)).then(
      () => 'accepted',
      (error: InstanceType<typeof ringmq.RingmqError>) => `${error.code} ${error.number} ${error.advice}`,
    );
    const receipt = await producer.send('small');
    const state = connection.state;
    await connection.close();
    return { refused, offset: receipt.offset, state, closed: connection.state };
  });
  expect(outcome).toEqual({ refused: 'message-too-large 300 fix', offset: 0, state: 'connected', closed: 'closed' });
});

test('JSON goes through a codec, in the browser and in Node', async () => {
  await node.createTopic('json', { partitions: 1 });
  const page = await openClient();
  const seen = await page.evaluate(async () => {
    const connection = ringmq.connect(location.origin);
    const codec = ringmq.jsonCodec<{ n: number; list: readonly (string | null)[] }>();
    const producer = connection.producer('json', { codec });
    const values: unknown[] = [];
    const consumer = connection.consumer('json', { codec, onMessage: (message) => void values.push(message.value) });
    await consumer.ready();
    await producer.sendBatch([
      { n: 1, list: ['a', null] },
      { n: 2.5, list: [] },
    ]);
    while (values.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    await connection.close();
    return values;
  });
  const values = [
    { n: 1, list: ['a', null] },
    { n: 2.5, list: [] },
  ];
  expect(seen).toEqual(values);
  const texts: string[] = [];
  const consumer = node.consumer('json', { from: 'earliest', codec: textCodec });
  for await (const message of consumer) if (texts.push(message.value) === 2) break;
  expect(texts.map((text) => JSON.parse(text))).toEqual(values);
});

test('an iterator takes a long run in order while it is slower than the sender', async () => {
  await node.createTopic('iterate', { partitions: 1 });
  const page = await openClient();
  const total = 20_000;
  const reading = page.evaluate(async (count) => {
    const connection = ringmq.connect(location.origin);
    const consumer = connection.consumer('iterate', { from: 'earliest', bufferMessages: 64 });
    let next = 0;
    for await (const message of consumer) {
      if (Number(message.text()) !== next) return `${message.text()} where ${next} was expected`;
      next++;
      if (next % 1_000 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      if (next === count) break;
    }
    await connection.close();
    return 'in order';
  }, total);
  await node.producer('iterate', { timeoutMs: 30_000 }).sendBatch(Array.from({ length: total }, (_, n) => String(n)));
  expect(await reading).toBe('in order');
});

test('what a handler throws is reported, and the next message comes', async () => {
  await node.createTopic('throws', { partitions: 1 });
  const page = await openClient();
  const outcome = await page.evaluate(async () => {
    const connection = ringmq.connect(location.origin);
    const errors: string[] = [];
    const taken: string[] = [];
    const consumer = connection.consumer('throws', {
      onMessage: async (message) => {
        const text = message.text();
        if (text === 'bad') throw new Error(`cannot take ${text}`);
        taken.push(text);
      },
      onError: (error) => void errors.push(error.message),
    });
    await consumer.ready();
    await connection.producer('throws').sendBatch(['good', 'bad', 'better']);
    while (taken.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    await connection.close();
    return { errors, taken };
  });
  expect(outcome).toEqual({ errors: ['cannot take bad'], taken: ['good', 'better'] });
});

test('batches are seen where they lie, positions say where to go on, and a new consumer goes on there', async () => {
  await node.createTopic('positions', { partitions: 2 });
  const page = await openClient();
  const outcome = await page.evaluate(async () => {
    const connection = ringmq.connect(location.origin);
    const producer = connection.producer('positions');
    await producer.sendBatch(Array.from({ length: 500 }, (_, n) => `first ${n}`));
    let count = 0;
    const first = connection.consumer('positions', {
      from: 'earliest',
      onBatch: (batch) => {
        while (batch.next()) if (batch.text().startsWith('first')) count++;
      },
    });
    while (count < 500) await new Promise((resolve) => setTimeout(resolve, 5));
    const positions = first.positions();
    await first.close();
    await producer.sendBatch(['second 0', 'second 1']);
    const texts: string[] = [];
    const second = connection.consumer('positions', {
      from: { positions },
      onMessage: (message) => void texts.push(message.text()),
    });
    await second.ready();
    while (texts.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    // All of a batch goes to one partition, whichever has its turn.
    const [{ partition }] = positions.toSorted((a, b) => b.offset - a.offset);
    const pulled = await connection.pull({ topic: 'positions', partition, from: 'earliest', max: 3, waitMs: 0 });
    const topics = (await connection.topics()).map((route) => route.topic);
    await connection.close();
    return { count, texts: texts.sort(), pulled: pulled.messages.map((message) => message.offset), topics };
  });
  expect(outcome.count).toBe(500);
  expect(outcome.texts).toEqual(['second 0', 'second 1']);
  expect(outcome.pulled).toEqual([0, 1, 2]);
  expect(outcome.topics).toContain('positions');
});
