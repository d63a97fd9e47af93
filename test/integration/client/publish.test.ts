// Publishing over a connection that breaks, with a broker that refuses: order, exactly once, and the window.
import { afterEach, expect, test } from 'vitest';
import { connect } from '../../../src/client/node.ts';
import type { WsConnection } from '../../../src/client/ws-connection.ts';
import { FakeBroker, type FakeOptions } from '../../support/fake-broker.ts';
import { TcpProxy } from '../../support/proxy.ts';
import { until } from '../../support/until.ts';

const FAST = { reconnect: { minMs: 2, maxMs: 10 } } as const;
const INSIST = { attemptsMax: Number.POSITIVE_INFINITY, timeoutMs: Number.POSITIVE_INFINITY } as const;
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

function client(url: string): WsConnection {
  const connection = connect(url, FAST);
  open.push(connection);
  return connection;
}

/** Everything a partition holds, oldest first. */
async function stored(connection: WsConnection, topic: string, partition = 0): Promise<string[]> {
  const texts: string[] = [];
  for (let offset = 0; ; ) {
    const result = await connection.pull({ topic, partition, from: { offset }, max: 10_000, waitMs: 0 });
    if (result.messages.length === 0) return texts;
    texts.push(...result.messages.map((one) => one.text()));
    offset = result.nextOffset;
  }
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));

/** Sends the numbers from 0 on, as fast as there is room. */
async function sendNumbers(connection: WsConnection, count: number, batchBytes = 2_048): Promise<void> {
  const producer = connection.producer('t', { ...INSIST, batchBytes, bufferBytes: 64 * 1024, partition: 0 });
  await producer.ready();
  for (let i = 0; i < count; ) {
    if (producer.trySend(String(i))) i++;
    else await producer.ready();
  }
  await producer.close();
}

test('every message arrives once and in order across cuts of the connection', async () => {
  const { broker, proxy } = await start();
  const connection = client(proxy.url);
  await connection.ready();
  let chunks = 0;
  // Cut in the middle of frames, again and again, before or after the acknowledgement came through.
  const cutNow = (): void => {
    chunks++;
    if (chunks % 9 === 5) proxy.cut();
  };
  proxy.onUp = cutNow;
  proxy.onDown = cutNow;
  await sendNumbers(connection, 20_000);
  proxy.onUp = () => {};
  proxy.onDown = () => {};
  expect(proxy.count).toBeGreaterThan(5);
  expect(await stored(client(broker.url), 't')).toEqual(numbers(20_000));
});

test('a broker that says busy now and then gets every batch in order', async () => {
  let asked = 0;
  const { broker } = await start({
    onBatch: () => {
      asked++;
      return asked > 1 && asked % 7 === 3 ? 'busy' : undefined;
    },
  });
  const connection = client(broker.url);
  await sendNumbers(connection, 3_000);
  expect(asked).toBeGreaterThan(20);
  expect(await stored(connection, 't')).toEqual(numbers(3_000));
});

test('damaged bytes are refused by their CRC and sent again', async () => {
  const { broker, proxy } = await start();
  const connection = client(proxy.url);
  await connection.ready();
  let damaged = 0;
  proxy.onUp = (chunk) => {
    // Far behind the headers of WebSocket frame and batch.
    if (chunk.length < 1_500 || damaged >= 5) return;
    chunk[chunk.length - 100] ^= 0x40;
    damaged++;
  };
  await sendNumbers(connection, 3_000);
  expect(damaged).toBeGreaterThan(0);
  expect(await stored(client(broker.url), 't')).toEqual(numbers(3_000));
});

test('bytes in flight stay within the window, and go on when acknowledgements come', async () => {
  const { broker } = await start({ publishWindowBytes: 16 * 1024 });
  const connection = client(broker.url);
  await connection.ready();
  const [session] = broker.sessions;
  session.mute = true;
  const producer = connection.producer('t', { ...INSIST, batchBytes: 2_048, partition: 0 });
  await producer.ready();
  let sent = 0;
  while (producer.trySend('x'.repeat(100))) sent++;
  await until(() => broker.inFlightMax > 12 * 1024, 'the window is used');
  expect(sent).toBeLessThan(400);
  session.unmute();
  await producer.ready();
  for (let i = sent; i < 2_000; ) {
    if (producer.trySend('x'.repeat(100))) i++;
    else await producer.ready();
  }
  await producer.flush();
  expect(broker.inFlightMax).toBeLessThanOrEqual(16 * 1024);
  expect(broker.routeOf('t').partitions[0].nextOffset).toBe(2_000);
});

test('a message larger than the window goes when it goes alone; one larger than a frame is refused', async () => {
  const { broker } = await start({ publishWindowBytes: 4_096, frameMaxBytes: 64 * 1024 });
  const connection = client(broker.url);
  const producer = connection.producer('t');
  expect(await producer.send(new Uint8Array(50_000))).toMatchObject({ offset: 0 });
  await expect(producer.send(new Uint8Array(70_000))).rejects.toMatchObject({ code: 'frame-too-large' });
  expect(await producer.send('still alive')).toMatchObject({ offset: 1 });
  await expect(producer.send(new Uint8Array(1_000_001))).rejects.toMatchObject({ code: 'message-too-large' });
  await expect(producer.flush()).rejects.toMatchObject({ code: 'frame-too-large' });
});

test('after a batch has failed for good, the ones behind it still arrive, once and in order', async () => {
  let refusals = 0;
  const { broker } = await start({
    onBatch: (_, sequence) => {
      if (sequence !== 2 || refusals === 2) return undefined;
      refusals++;
      return 'bad-checksum';
    },
  });
  const connection = client(broker.url);
  const producer = connection.producer('t', { attemptsMax: 2 });
  await producer.ready();
  const sends: PromiseLike<unknown>[] = [];
  for (let i = 0; i < 6; i++) {
    sends.push(producer.send(String(i)));
    producer.flushNow();
  }
  const outcomes = await Promise.allSettled(sends);
  expect(outcomes.map(({ status }) => status)).toEqual([
    'fulfilled',
    'fulfilled',
    'rejected',
    'fulfilled',
    'fulfilled',
    'fulfilled',
  ]);
  expect(await stored(connection, 't')).toEqual(['0', '1', '3', '4', '5']);
});

test('a batch that timed out without an answer does not make later ones be taken twice or lost', async () => {
  const { broker, proxy } = await start();
  const connection = client(proxy.url);
  connection.onError(() => {});
  const producer = connection.producer('t', { timeoutMs: 200, partition: 0 });
  await producer.ready();
  await producer.send('first');
  proxy.stall();
  const late = producer.send('late').then(
    () => 'acknowledged',
    (error) => error.code,
  );
  expect(await late).toBe('timeout');
  const after = producer.send('after');
  producer.flushNow();
  proxy.cut();
  proxy.resume();
  await after;
  await producer.send('last');
  const texts = await stored(client(broker.url), 't');
  expect(texts.filter((one) => one === 'after')).toHaveLength(1);
  expect(texts.at(-1)).toBe('last');
});

test('without acknowledgement nothing is waited for, and a lost batch stops nobody', async () => {
  const { broker } = await start({ onBatch: (_, sequence) => (sequence === 0 ? 'busy' : undefined) });
  const connection = client(broker.url);
  const producer = connection.producer('t', { ack: 'none', partition: 0 });
  await producer.ready();
  expect(await producer.send('lost')).toMatchObject({ offset: -1 });
  for (let i = 0; i < 1_000; i++) {
    expect(await producer.send(`kept ${i}`)).toMatchObject({ offset: -1 });
  }
  await producer.close();
  await until(() => broker.routeOf('t').partitions[0].nextOffset > 900, 'arrived');
  expect(broker.inFlightMax).toBe(0);
});

test('what is sent before the connection stands goes out when it does', async () => {
  const { broker } = await start({ partitions: 3 });
  const connection = client(broker.url);
  const producer = connection.producer('t');
  const receipts = await Promise.all(['a', 'b', 'c'].map((body) => producer.send(body, { key: 'k' })));
  expect(receipts.map(({ offset }) => offset)).toEqual([0, 1, 2]);
  expect(new Set(receipts.map(({ partition }) => partition)).size).toBe(1);
});

test('closing a connection first sends what is buffered', async () => {
  const { broker } = await start();
  const connection = client(broker.url);
  const producer = connection.producer('t');
  await producer.ready();
  for (let i = 0; i < 5_000; i++) producer.trySend(`m${i}`);
  await connection.close();
  expect(broker.routeOf('t').partitions[0].nextOffset).toBe(5_000);
});

test('a deleted topic fails what is on its way to it', async () => {
  const { broker } = await start();
  const connection = client(broker.url);
  connection.onError(() => {});
  const producer = connection.producer('t');
  await producer.ready();
  [...broker.sessions][0].mute = true;
  const sent = producer.send('x');
  producer.flushNow();
  broker.delete('t');
  await expect(sent).rejects.toMatchObject({ code: 'unknown-topic' });
});

test('a broker that has room for few batches is sent few more than it takes', async () => {
  let room = 8;
  let asked = 0;
  const { broker } = await start({
    publishWindowBytes: 4 * 1024 * 1024,
    onBatch: () => {
      asked++;
      if (room === 0) return 'busy';
      room--;
      return undefined;
    },
  });
  const drain = setInterval(() => {
    room = 8;
  }, 2);
  open.push({ close: async () => clearInterval(drain) });
  const connection = client(broker.url);
  // The limits of a producer that does not insist: being told to wait is no failure.
  const producer = connection.producer('t', { batchBytes: 1_024, partition: 0 });
  await producer.ready();
  for (let i = 0; i < 30_000; ) {
    if (producer.trySend(String(i))) i++;
    else await producer.ready();
  }
  await producer.flush();
  const batches = 30_000 / 30;
  expect(asked).toBeLessThan(batches * 4);
  expect(await stored(connection, 't')).toEqual(numbers(30_000));
});
