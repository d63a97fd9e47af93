// kill -9 of a broker process between begin, commit and what follows: over WebSocket, with retries and dead letters on
// the way. What was answered holds afterwards, and nothing comes twice.
import { expect, test } from 'vitest';
import { freePort } from '../../../bench/support/free-port.ts';
import { connect } from '../../../src/client/node.ts';
import type { Connection, Message, TransactionalProducer } from '../../../src/index.ts';
import { dataFolder } from '../../support/engine.ts';
import { ServerProcess } from '../../support/engine-server.ts';
import { until, untilAnswer } from '../../support/until.ts';

/** What is known of a message: it must come, must not come, or its call got no answer. */
type Fate = 'committed' | 'rolled-back' | 'open';

/** A client; `signal` ends it at once, where close() would wait for a broker that is gone to come back. */
function connected(url: string, signal?: AbortSignal): ReturnType<typeof connect> {
  const connection = connect(url, signal === undefined ? {} : { signal });
  connection.onError(() => {});
  return connection;
}

/** Transactions one after the other, some rolled back, some left open, until the broker is gone. */
async function work(producer: TransactionalProducer<string>, prefix: string, fates: Map<string, Fate>): Promise<void> {
  for (let i = 0; i < 100_000; i++) {
    const body = `${prefix}-${i}`;
    try {
      fates.set(body, 'open');
      const transaction = await producer.begin(body, { key: `k${i % 5}` });
      if (i % 5 === 4) continue;
      if (i % 3 === 0) await transaction.rollback();
      else await transaction.commit();
      fates.set(body, i % 3 === 0 ? 'rolled-back' : 'committed');
    } catch {
      return;
    }
  }
}

async function readAll(connection: Connection, topic: string): Promise<Message[]> {
  const heard: Message[] = [];
  const consumer = connection.consumer(topic, { from: 'earliest', onMessage: (message) => void heard.push(message) });
  await consumer.ready();
  const { partitions } = await connection.route(topic);
  const end = partitions.reduce((sum, { nextOffset }) => sum + nextOffset, 0);
  await until(() => heard.length >= end, 'all of the topic is read', 30_000);
  await consumer.close();
  return heard;
}

test('killed in the middle of transactions: what was committed is there once, what was rolled back never', async () => {
  const data = dataFolder();
  const port = String(await freePort());
  const fates = new Map<string, Fate>();
  for (let round = 0; round < 3; round++) {
    const server = await ServerProcess.start(['--data', data, '--port', port]);
    const client = new AbortController();
    const connection = connected(server.url, client.signal);
    await connection.ready();
    // Nobody is asked about open ones: they stay open.
    const producers = [0, 1, 2, 3].map(() =>
      connection.transactionalProducer<string>('orders', { group: `g${round}`, check: () => 'unknown' }),
    );
    const working = producers.map((producer, i) => work(producer, `r${round}p${i}`, fates));
    const before = fates.size;
    await until(() => fates.size >= before + 200 + round * 37, 'transactions are under way', 60_000);
    await server.kill();
    client.abort();
    await Promise.all(working);
  }
  const server = await ServerProcess.start(['--data', data, '--port', port]);
  const connection = connected(server.url);
  await connection.ready();
  // The coordinator finishes what its predecessor had decided: here behind its back.
  const committed = [...fates].filter(([, fate]) => fate === 'committed').length;
  const texts = await untilAnswer(
    async () => (await readAll(connection, 'orders')).map((message) => message.text()),
    ({ length }) => length >= committed,
    'all that was committed comes',
  );
  expect(new Set(texts).size, 'nothing twice').toBe(texts.length);
  const came = new Set(texts);
  for (const [body, fate] of fates) {
    if (fate === 'committed') expect(came.has(body), `${body} was committed`).toBe(true);
    if (fate === 'rolled-back') expect(came.has(body), `${body} was rolled back`).toBe(false);
  }
  expect(came.size).toBeGreaterThan(100);
  await connection.close();
  await server.stop();
});

test('open transactions of a killed broker are asked about afterwards', async () => {
  const data = dataFolder();
  const port = String(await freePort());
  const first = await ServerProcess.start(['--data', data, '--port', port]);
  const client = new AbortController();
  const before = connected(first.url, client.signal);
  const producer = before.transactionalProducer<string>('orders', { group: 'g', check: () => 'unknown' });
  await producer.begin('kept', { key: 'a' });
  await producer.begin('dropped', { key: 'b' });
  await first.kill();
  client.abort();
  const second = await ServerProcess.start(['--data', data, '--port', port]);
  const after = connected(second.url);
  const heard: string[] = [];
  const asked: string[] = [];
  await after.consumer('orders', { from: 'earliest', onMessage: (one) => void heard.push(one.text()) }).ready();
  after.transactionalProducer<string>('orders', {
    group: 'g',
    check: (message) => {
      asked.push(message.text());
      return message.key === 'a' ? 'commit' : 'rollback';
    },
  });
  await until(() => heard.length > 0 && asked.length >= 2, 'both are asked about', 30_000);
  expect([heard, asked.sort()]).toEqual([['kept'], ['dropped', 'kept']]);
  await after.close();
  await second.stop();
});
