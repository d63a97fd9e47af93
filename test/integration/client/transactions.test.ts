// Transactions, retries and dead letters as applications use them, in process and over WebSocket, with the broker's own
// coordinator thread; also while that thread dies.
import { afterEach, describe, expect, test } from 'vitest';
import type { InProcessConnection } from '../../../src/client/in-process.ts';
import { connect } from '../../../src/client/node.ts';
import type { Broker } from '../../../src/server/broker.ts';
import type { BrokerOptions } from '../../../src/server/options.ts';
import { dataFolder, kill, listen, startTestBroker } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

type Client = Pick<
  InProcessConnection,
  | 'transactionalProducer'
  | 'consumer'
  | 'producer'
  | 'createTopic'
  | 'setGroup'
  | 'describeGroup'
  | 'replayDeadLetters'
  | 'onError'
  | 'close'
>;

const clients: Client[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

function started(client: Client): Client {
  client.onError(() => {});
  clients.push(client);
  return client;
}

describe.each(['in process', 'WebSocket'])('%s', (way) => {
  async function broker(options: BrokerOptions = {}): Promise<{ broker: Broker; client: Client }> {
    const one = await startTestBroker({ data: dataFolder(), listen: { port: 0, frontends: 1 }, ...options });
    return { broker: one, client: started(way === 'WebSocket' ? connect(one.url as string) : one.connect()) };
  }

  test('committed messages come once, rolled back ones never', async () => {
    const { client } = await broker();
    await client.createTopic('orders');
    const heard = await listen(client, 'orders');
    const producer = client.transactionalProducer<string>('orders', { group: 'g', check: () => 'unknown' });
    const fates = Array.from({ length: 200 }, (_, i) => i % 3 !== 0);
    await Promise.all(
      fates.map(async (commit, i) => {
        const transaction = await producer.begin(`m${i}`, { key: `k${i % 7}` });
        if (!commit) return transaction.rollback();
        const receipt = await transaction.commit({ receipt: true });
        expect(receipt.offset).toBeGreaterThanOrEqual(0);
      }),
    );
    const wanted = fates.flatMap((commit, i) => (commit ? [`m${i}`] : [])).sort();
    await until(() => heard.length >= wanted.length, 'all come');
    expect(heard.map((one) => one.text()).sort()).toEqual(wanted);
    await producer.close();
  });

  test('a producer that is gone is answered for by another one of its group', async () => {
    const rules = { transactionTimeoutMs: 100, transactionCheckMs: 100, transactionChecksMax: 50 };
    const { broker: one, client } = await broker(rules);
    await client.createTopic('orders');
    const heard = await listen(client, 'orders');
    const gone = way === 'WebSocket' ? connect(one.url as string) : one.connect();
    const first = gone.transactionalProducer<string>('orders', { group: 'g', check: () => 'unknown' });
    await first.begin('kept', { key: 'a', properties: { n: '1' } });
    await first.begin('dropped', { key: 'b' });
    await gone.close();
    const asked: string[] = [];
    client.transactionalProducer<string>('orders', {
      group: 'g',
      check: (message) => {
        asked.push(`${message.topic} ${message.key} ${message.text()}`);
        return message.key === 'a' ? 'commit' : 'rollback';
      },
    });
    await until(() => heard.length > 0 && asked.length >= 2, 'both are asked about', 20_000);
    expect([...new Set(asked)].sort()).toEqual(['orders a kept', 'orders b dropped']);
    expect(heard.map((message) => [message.text(), { ...message.properties }])).toEqual([['kept', { n: '1' }]]);
  });

  test('what always fails ends among the dead letters, and comes again when it is replayed', async () => {
    const { client } = await broker();
    await client.createTopic('orders', { partitions: 1 });
    await client.setGroup('g', { retryDelaysMs: [30, 60], attemptsMax: 3 });
    let broken = true;
    const tries: string[] = [];
    const done: string[] = [];
    const consumer = client.consumer('orders', {
      group: 'g',
      order: 'none',
      from: 'earliest',
      onError: () => {},
      onMessage: (message) => {
        tries.push(`${message.text()} ${message.attempts}`);
        if (broken && message.text() === 'bad') throw new Error('poison');
        done.push(message.text());
      },
    });
    await consumer.ready();
    const producer = client.producer<string>('orders');
    await producer.send('good');
    await producer.send('bad');
    await producer.send('fine');
    await until(() => tries.length >= 5, 'it comes again and again', 20_000);
    while ((await client.describeGroup('g')).deadLetters === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(tries.filter((one) => one.startsWith('bad'))).toEqual(['bad 1', 'bad 2', 'bad 3']);
    expect(done).toEqual(['good', 'fine']);
    broken = false;
    expect(await client.replayDeadLetters('g')).toEqual({ replayed: 1, left: 0 });
    await until(() => done.length === 3, 'it comes again');
    expect(tries.at(-1)).toBe('bad 1');
    await consumer.close();
  });

  test('the coordinator dies while transactions are under way: each comes once', async () => {
    const { broker: one, client } = await broker();
    await client.createTopic('orders');
    const heard = await listen(client, 'orders');
    const producer = client.transactionalProducer<string>('orders', { group: 'g', check: () => 'unknown' });
    const committed: string[] = [];
    let stop = false;
    const workers = [0, 1, 2, 3].map(async (worker) => {
      for (let i = 0; !stop; i++) {
        const body = `w${worker}-${i}`;
        try {
          const transaction = await producer.begin(body);
          await transaction.commit();
          committed.push(body);
        } catch {
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    });
    for (const wanted of [30, 60]) {
      await until(() => committed.length >= wanted, 'transactions go on', 20_000);
      await kill(one, 'coordinator');
    }
    await until(() => committed.length >= 100, 'transactions go on', 20_000);
    stop = true;
    await Promise.all(workers);
    await until(() => committed.every((body) => heard.some((message) => message.text() === body)), 'all come', 20_000);
    const texts = heard.map((message) => message.text());
    expect(new Set(texts).size).toBe(texts.length);
    await producer.close();
  });
});
