// The simple consumer as an application uses it: in process and over WebSocket, through the real coordinator, which is
// killed in between, and with a data folder that a later broker opens.
import { afterEach, describe, expect, test } from 'vitest';
import type { InProcessConnection } from '../../../src/client/in-process.ts';
import type { Message } from '../../../src/client/message.ts';
import type { SimpleConsumer } from '../../../src/client/messaging.ts';
import { connect, type WsConnection } from '../../../src/client/node.ts';
import type { Broker } from '../../../src/server/broker.ts';
import { dataFolder, kill, startTestBroker } from '../../support/engine.ts';
import { bodies, refusalOf } from './lease-harness.ts';

type Client = InProcessConnection | WsConnection;

const TRANSPORTS = ['in process', 'over WebSocket'] as const;

const clients: Client[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

async function open(transport: (typeof TRANSPORTS)[number], options = {}): Promise<{ broker: Broker; client: Client }> {
  const broker = await startTestBroker({ listen: { port: 0 }, ...options });
  return { broker, client: clientOf(broker, transport) };
}

function clientOf(broker: Broker, transport: (typeof TRANSPORTS)[number]): Client {
  return transport === 'in process' ? broker.connect() : connect(broker.url as string);
}

async function receiveAll(consumer: SimpleConsumer, count: number): Promise<Message[]> {
  const all: Message[] = [];
  while (all.length < count) all.push(...(await consumer.receive({ waitMs: 10_000 })));
  return all;
}

describe.each(TRANSPORTS)('%s', (transport) => {
  test('receive, ack out of order, prolong, give back', async () => {
    const { client } = await open(transport);
    clients.push(client);
    await client.createTopic('t', { partitions: 1 });
    await client.producer('t').sendBatch(['a', 'b', 'c', 'd']);
    const consumer = client.simpleConsumer('t', { group: 'g', from: 'earliest' });
    const [a, b, c, d] = await receiveAll(consumer, 4);
    await Promise.all([consumer.ack(c), consumer.ack(a)]);
    await consumer.changeInvisible(b, 60_000);
    await consumer.changeInvisible(d, 0);
    const [again] = await consumer.receive();
    expect([again.text(), again.attempts]).toEqual(['d', 2]);
    expect(await refusalOf(consumer.ack(d))).toBe('stale-lease');
    const { queues } = await client.describeGroup('g');
    expect(queues.find((one) => one.topic === 't')).toMatchObject({ offset: 1, acked: [2, 3], leased: 2, lag: 2 });
    await Promise.all([consumer.ack(b), consumer.ack(again)]);
    expect((await client.describeGroup('g')).queues[0]).toMatchObject({ offset: 4, acked: [], leased: 0, lag: 0 });
  });

  test('a filter leaves messages out, and they are acknowledged; one that cannot be read is refused', async () => {
    const { client } = await open(transport);
    clients.push(client);
    await client.createTopic('t', { partitions: 1 });
    const producer = client.producer('t');
    for (const tag of ['a', 'b', 'a', 'c', 'b']) await producer.send(`of ${tag}`, { tag });
    const consumer = client.simpleConsumer('t', { group: 'g', from: 'earliest', filter: 'a || c' });
    const messages = await receiveAll(consumer, 3);
    expect(bodies(messages)).toEqual(['of a', 'of a', 'of c']);
    await Promise.all(messages.map((one) => consumer.ack(one)));
    expect((await client.describeGroup('g')).queues[0]).toMatchObject({ offset: 5, lag: 0 });
    expect(() => client.simpleConsumer('t', { group: 'other', filter: { sql: 'price >' } })).toThrow('column 8');
    const terms = { group: 'other', topic: 't', member: 'm', from: 'latest', order: 'key', priority: false } as const;
    const limits = { maxMessages: 1, invisibleMs: 1_000, waitMs: 0 };
    expect(await refusalOf(client.call('receive', { ...terms, ...limits, filter: 'sql:price >' }))).toBe(
      'illegal-filter',
    );
    expect((await client.groups()).map(({ group }) => group)).toEqual(['g']);
  });

  test('a message that fails comes again, then lies among the dead letters', async () => {
    const { client } = await open(transport);
    clients.push(client);
    await client.createTopic('t', { partitions: 1 });
    await client.producer('t').send('bad', { properties: { who: 'me' } });
    const consumer = client.simpleConsumer('t', { group: 'g', from: 'earliest' });
    const [first] = await receiveAll(consumer, 1);
    await client.setGroup('g', { attemptsMax: 2, retryDelaysMs: [20] });
    await consumer.nack(first);
    const [second] = await receiveAll(consumer, 1);
    expect([second.text(), second.attempts, second.topic, second.offset]).toEqual(['bad', 2, 't', 0]);
    expect(second.properties?.who).toBe('me');
    await consumer.nack(second);
    const dead = await client.pull({ topic: '%DLQ%g', from: 'earliest' });
    expect(bodies(dead.messages)).toEqual(['bad']);
    expect(await consumer.receive({ waitMs: 100 })).toEqual([]);
  });

  test('two consumers share one queue until it is empty', async () => {
    const { broker, client } = await open(transport);
    const second = clientOf(broker, transport);
    clients.push(client);
    clients.push(second);
    await client.createTopic('t', { partitions: 1 });
    const sent = Array.from({ length: 300 }, (_, i) => `m${i}`);
    await client.producer('t').sendBatch(sent);
    const got: string[] = [];
    const work = async (consumer: SimpleConsumer): Promise<void> => {
      while (got.length < sent.length) {
        const messages = await consumer.receive({ max: 10, waitMs: 100 });
        got.push(...bodies(messages));
        await Promise.all(messages.map((one) => consumer.ack(one)));
      }
    };
    const options = { group: 'g', from: 'earliest' } as const;
    await Promise.all([work(client.simpleConsumer('t', options)), work(second.simpleConsumer('t', options))]);
    expect([...got].sort()).toEqual([...sent].sort());
  });

  test('the coordinator is killed in the middle: nothing acknowledged comes again, nothing is lost', async () => {
    const { broker, client } = await open(transport, { data: dataFolder() });
    clients.push(client);
    await client.createTopic('t', { partitions: 1 });
    await client.producer('t').sendBatch(['a', 'b', 'c', 'd']);
    const consumer = client.simpleConsumer('t', { group: 'g', from: 'earliest', invisibleMs: 3_000 });
    const [a, b, c] = await receiveAll(consumer, 4);
    await consumer.ack(b);
    await kill(broker, 'coordinator');
    await consumer.ack(a);
    await client.producer('t').send('e');
    expect(bodies(await receiveAll(consumer, 1))).toEqual(['e']);
    await consumer.ack(c);
    const [d] = await receiveAll(consumer, 1);
    expect([d.text(), d.attempts]).toEqual(['d', 2]);
    await consumer.ack(d);
    expect((await client.describeGroup('g')).queues[0]).toMatchObject({ offset: 4 });
  });
});

test('a connection that is lost while a call is held is made again, and leases go on', async () => {
  const { broker, client } = await open('over WebSocket', { listen: { port: 0, transport: 'ws' } });
  clients.push(client);
  await client.createTopic('t', { partitions: 1 });
  const inside = broker.connect();
  await inside.producer('t').send('a');
  const consumer = client.simpleConsumer('t', { group: 'g', from: 'earliest' });
  const [a] = await receiveAll(consumer, 1);
  const receiving = receiveAll(consumer, 1);
  await kill(broker, 'frontend');
  await inside.producer('t').send('b');
  const [b] = await receiving;
  expect([b.text(), b.attempts]).toEqual(['b', 1]);
  await Promise.all([consumer.ack(a), consumer.ack(b)]);
  expect((await client.describeGroup('g')).queues[0]).toMatchObject({ offset: 2, leased: 0 });
});

test('a later broker with the same data goes on: leases, acks and tokens', async () => {
  const data = dataFolder();
  const before = await startTestBroker({ data });
  const first = before.connect();
  await first.createTopic('t', { partitions: 1 });
  await first.producer('t').sendBatch(['a', 'b', 'c']);
  const consumer = first.simpleConsumer('t', { group: 'g', from: 'earliest' });
  const [a, b] = await receiveAll(consumer, 3);
  await consumer.ack(a);
  await first.close();
  await before.stop();
  const after = await startTestBroker({ data });
  const second = after.connect();
  await second.producer('t').send('d');
  const other = second.simpleConsumer('t', { group: 'g' });
  expect(bodies(await receiveAll(other, 1))).toEqual(['d']);
  await other.ack(b);
  expect(await refusalOf(other.ack(a))).toBe('stale-lease');
  const { queues } = await second.describeGroup('g');
  expect(queues[0]).toMatchObject({ offset: 2, leased: 2, lag: 2 });
});
