// Durable topics as clients see them: history joins what is live, messages are found again, a broker that comes back is
// gone on with. The same in process and over WebSocket.
import { describe, expect, test } from 'vitest';
import type { Connection, SendReceipt } from '../../../src/client/connection.ts';
import type { InProcessConnection } from '../../../src/client/in-process.ts';
import { connect } from '../../../src/client/node.ts';
import { dataFolder, errorOf, kill, startConnected } from '../../support/engine.ts';
import { until, untilAnswer } from '../../support/until.ts';

const WAYS = ['in process', 'over WebSocket'] as const;
const LISTEN = { port: 0, transport: 'ws' } as const;
const SMALL = { listen: LISTEN, segmentBytes: 4 * 1024 * 1024 };
const RING_BYTES = 16 * 1024;

interface Started {
  /** Of the broker's own thread. */
  readonly connection: InProcessConnection;
  readonly bus: Connection;
}

/** A durable topic `t` of one partition, and a way to it. */
async function started(way: (typeof WAYS)[number]): Promise<Started> {
  const { broker, connection } = await startConnected({ ...SMALL, data: dataFolder() });
  await connection.createTopic('t', { partitions: 1, ringBytes: RING_BYTES });
  return { connection, bus: way === 'in process' ? connection : connect(broker.url ?? '') };
}

/** Sends messages named by their offsets, each a bit of a ring, in batches of ten. */
async function fill(bus: Connection, from: number, to: number): Promise<readonly SendReceipt[]> {
  const producer = bus.producer('t', { ack: 'written', timeoutMs: 20_000 });
  const receipts: SendReceipt[] = [];
  for (let at = from; at < to; at += 10) {
    const texts = Array.from({ length: Math.min(10, to - at) }, (_, i) => text(at + i));
    receipts.push(...(await producer.sendBatch(texts)));
  }
  await producer.close();
  return receipts;
}

function text(offset: number): string {
  return `${offset} `.padEnd(200, '.');
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

describe.each(WAYS)('%s', (way) => {
  test('a handler that takes its time holds nobody up and misses nothing', async () => {
    const { connection, bus } = await started(way);
    const seen: number[] = [];
    const gaps: unknown[] = [];
    const consumer = bus.consumer('t', {
      from: 'earliest',
      onGap: (gap) => gaps.push(gap),
      onMessage: async ({ offset }) => {
        if (offset % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
        seen.push(offset);
      },
    });
    await consumer.ready();
    await fill(connection, 0, 1_000);
    await until(() => seen.length >= 1_000, 'all messages', 20_000);
    expect([seen, gaps]).toEqual([numbers(0, 1_000), []]);
    await bus.close();
  });

  test('an iterator goes from the beginning into what comes meanwhile', async () => {
    const { connection, bus } = await started(way);
    await fill(connection, 0, 400);
    const seen: number[] = [];
    const later = fill(connection, 400, 800);
    for await (const message of bus.consumer('t', { from: { offset: 15 }, bufferMessages: 7 })) {
      seen.push(message.offset);
      if (seen.length === 785) break;
    }
    await later;
    expect(seen).toEqual(numbers(15, 800));
    await bus.close();
  });

  test('pull reads from anywhere in the log, also without waiting', async () => {
    const { connection, bus } = await started(way);
    await fill(connection, 0, 500);
    const offsets = async (from: 'earliest' | { offset: number }, max: number): Promise<number[]> => {
      const { messages, nextOffset } = await bus.pull({ topic: 't', from, max, waitMs: 0 });
      return [...messages.map((one) => one.offset), nextOffset];
    };
    expect(await offsets('earliest', 2)).toEqual([0, 1, 2]);
    expect(await offsets({ offset: 123 }, 1)).toEqual([123, 124]);
    expect(await offsets({ offset: 499 }, 9)).toEqual([499, 500]);
    expect(await offsets({ offset: 500 }, 9)).toEqual([500]);
    await bus.close();
  });

  test('messages are found by id, by time and by key', async () => {
    const { connection, bus } = await started(way);
    const receipts = await fill(connection, 0, 300);
    const keyed = await bus.producer('t').send('the one', { key: 'order 7' });
    const found = await bus.message(receipts[42].id);
    expect([found.offset, found.text(), found.id]).toEqual([42, text(42), receipts[42].id]);
    for await (const first of bus.consumer('t', { from: { offset: 42 } })) {
      expect(first.id).toBe(found.id);
      break;
    }
    expect(found.storedAt).toBeGreaterThanOrEqual(found.bornAt);
    expect(found.producerId).toBeGreaterThan(0);
    const { storedAt } = found;
    const inTime = await bus.query({ topic: 't', fromTime: storedAt, toTime: storedAt + 1, limit: 1_000 });
    expect(inTime.map((one) => one.offset)).toContain(42);
    expect(inTime.every((one) => one.storedAt === storedAt)).toBe(true);
    expect(await bus.query({ topic: 't', limit: 3 })).toMatchObject([{ offset: 0 }, { offset: 1 }, { offset: 2 }]);
    const byKey = () => bus.query({ topic: 't', key: 'order 7' });
    const matches = await untilAnswer(byKey, (now) => now.length > 0, 'the key index has it');
    expect(matches).toMatchObject([{ partition: 0, offset: keyed.offset }]);
    await bus.close();
  });

  test('what is not there is said', async () => {
    const { bus } = await started(way);
    await bus.createTopic('v', { durable: false });
    const producer = bus.producer('v', { ack: 'durable' });
    expect((await errorOf(producer.send('x'))).code).toBe('ack-unsupported');
    const refusals = [
      errorOf(bus.query({ topic: 'v', key: 'k' })),
      errorOf(bus.query({ topic: 'nowhere', key: 'k' })),
      errorOf(bus.query({ topic: 't', limit: 1_001 })),
      errorOf(bus.message('00000001000000000000FFFF')),
      errorOf(bus.message('0000FFFF0000000000000000')),
      errorOf(bus.message('no id')),
      errorOf(bus.setRetention('v', { retentionMs: 1_000 })),
    ];
    expect((await Promise.all(refusals)).map((one) => one.code)).toEqual([
      'topic-volatile',
      'unknown-topic',
      'illegal-argument',
      'not-found',
      'not-found',
      'illegal-argument',
      'topic-volatile',
    ]);
    await bus.close();
  });

  test('topics say how much of them is kept', async () => {
    const { bus } = await started(way);
    const made = await bus.createTopic('kept', { retentionMs: 3_600_000, retentionBytes: 5 * 2 ** 30 });
    expect(made).toMatchObject({ durable: true, retentionMs: 3_600_000, retentionBytes: 5 * 2 ** 30 });
    await bus.setRetention('kept', { retentionMs: 7_200_000 });
    expect(await bus.route('kept')).toMatchObject({ retentionMs: 7_200_000, retentionBytes: 0 });
    await bus.close();
  });
});

test('a loop that owns its thread reads history and what is live, asleep in between', async () => {
  const { connection, bus } = await started('in process');
  await fill(connection, 0, 600);
  const loop = bus as InProcessConnection;
  const seen: number[] = [];
  const consumer = loop.consumer('t', { from: 'earliest', onMessage: ({ offset }) => void seen.push(offset) });
  await consumer.ready();
  const turnUntil = (count: number): void => {
    for (const deadline = Date.now() + 10_000; seen.length < count && Date.now() < deadline; ) {
      if (loop.poll() === 0) loop.wait(1_000);
    }
  };
  const began = Date.now();
  turnUntil(600);
  // Bells wake it: a loop that sleeps a second for each chunk would take far longer.
  expect(Date.now() - began).toBeLessThan(5_000);
  const producer = loop.producer('t', { ack: 'written' });
  await producer.ready();
  for (let i = 0; i < 50; i++) producer.trySend(`${i}`);
  turnUntil(650);
  expect(seen).toEqual(numbers(0, 650));
});

test('the log reader may die in the middle of it', async () => {
  const { broker, connection } = await startConnected({ ...SMALL, data: dataFolder() });
  await connection.createTopic('t', { partitions: 1, ringBytes: RING_BYTES });
  await fill(connection, 0, 600);
  const seen: number[] = [];
  const gaps: unknown[] = [];
  const consumer = connection.consumer('t', {
    from: 'earliest',
    onGap: (gap) => gaps.push(gap),
    onMessage: async ({ offset }) => {
      seen.push(offset);
      if (offset % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    },
  });
  await consumer.ready();
  await kill(broker, 'log-reader');
  const late = connection.pull({ topic: 't', from: { offset: 5 }, max: 1, waitMs: 0 });
  await until(() => seen.length >= 600, 'everything');
  expect([seen, gaps, (await late).messages[0].offset]).toEqual([numbers(0, 600), [], 5]);
});

test('a consumer over WebSocket goes on where it was when the broker is started again', async () => {
  const data = dataFolder();
  const first = await startConnected({ ...SMALL, data });
  await first.connection.createTopic('t', { partitions: 1, ringBytes: RING_BYTES });
  const port = Number(new URL(first.broker.url ?? '').port);
  const bus = connect(`ws://127.0.0.1:${port}`, { reconnect: { minMs: 20, maxMs: 100 } });
  const seen: number[] = [];
  const gaps: unknown[] = [];
  const errors: string[] = [];
  bus.onError((error) => errors.push(error.message));
  bus.consumer('t', {
    from: 'earliest',
    onMessage: ({ offset }) => void seen.push(offset),
    onGap: (gap) => gaps.push(gap),
  });
  await fill(first.connection, 0, 100);
  await until(() => seen.length === 100, 'what was sent before');
  await first.broker.stop();
  const second = await startConnected({ ...SMALL, data, listen: { ...LISTEN, port } });
  await fill(second.connection, 100, 300);
  await until(() => seen.length >= 300, 'what was sent after', 20_000);
  expect([seen, gaps, errors]).toEqual([numbers(0, 300), [], []]);
  await bus.close();
});
