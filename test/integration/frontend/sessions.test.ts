import { afterEach, describe, expect, test } from 'vitest';
import type { Broker } from '../../../src/server/broker.ts';
import { until } from '../../support/until.ts';
import { BinaryClient, FrontEndThread, KINDS, RawClient, start, stopAll } from './harness.ts';

afterEach(stopAll);

const url = (broker: Broker) => broker.url as string;

describe.each(KINDS)('sessions over %s', (transport) => {
  test('hello is answered with the broker and the limits that hold', async () => {
    const broker = await start({ transport }, { name: 'b1' });
    const client = await BinaryClient.connect(url(broker), false);
    const before = Date.now();
    const welcome = await client.ask<'welcome'>({ type: 'hello', client: 'c', version: '1', token: '' });
    expect(welcome).toMatchObject({
      broker: 'b1',
      messageMaxBytes: 1024 * 1024 - 4_096 - 96,
      frameMaxBytes: 4 * 1024 * 1024,
      publishWindowBytes: 8 * 1024 * 1024,
      heartbeatMs: 15_000,
    });
    expect(welcome.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(welcome.session).not.toBe('');
    expect(welcome.serverTime).toBeGreaterThanOrEqual(before);
    await expect(client.ask({ type: 'hello', client: 'c', version: '1', token: '' })).rejects.toThrow(
      'illegal-argument',
    );
  });

  test('a session that does not say hello in time is closed with 4501, and nothing is served before', async () => {
    const broker = await start({ transport });
    const thread = await new FrontEndThread(broker, { transport, helloMs: 300 }).listening();
    const silent = await BinaryClient.connect(thread.url, false);
    await expect(silent.ask({ type: 'ping', time: 1 })).rejects.toThrow('hello-expected');
    expect(silent.closed).toBeUndefined();
    expect(await silent.ended()).toMatchObject({ code: 4501 });
    const polite = await BinaryClient.connect(thread.url);
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(polite.closed).toBeUndefined();
  });

  test('ping is answered with the same time', async () => {
    const broker = await start({ transport });
    const client = await BinaryClient.connect(url(broker));
    expect(await client.ask({ type: 'ping', time: 12_345 })).toEqual({ type: 'pong', time: 12_345 });
  });

  test('an unknown subprotocol is refused; the first known one is taken', async () => {
    const broker = await start({ transport });
    await expect(new RawClient(url(broker), ['mqtt']).open()).rejects.toThrow('status 400');
    const client = await new RawClient(url(broker), ['mqtt', 'ringmq.json.v1']).open();
    expect(client.raw.protocol).toBe('ringmq.json.v1');
    const bare = await new RawClient(url(broker), []).open();
    expect(bare.raw.protocol).toBe('');
  });

  test('a stop closes clients with 4000 after what they earned was acknowledged', async () => {
    const broker = await start({ transport });
    const clients = await Promise.all([1, 2, 3].map(() => BinaryClient.connect(url(broker))));
    const route = await clients[0].createTopic('t');
    const requests = clients.map((client) => client.publish(route.partitions[0], ['last words']));
    await Promise.all(clients.map((client, i) => client.ack(requests[i])));
    await broker.stop();
    for (const client of clients) expect(await client.ended()).toMatchObject({ code: 4000 });
  });

  test('a front end that is told to stop with clients connected ends by itself with code 0', async () => {
    const broker = await start({ transport });
    const thread = await new FrontEndThread(broker, { transport }).listening();
    const client = await BinaryClient.connect(thread.url);
    const other = await BinaryClient.connect(url(broker));
    await client.createTopic('t');
    await client.subscribe('t');
    expect(await thread.stop()).toBe(0);
    expect(await client.ended()).toMatchObject({ code: 4000 });
    expect(await other.ask({ type: 'ping', time: 1 })).toMatchObject({ type: 'pong' });
  });
});

test('topics are made, listed, changed and deleted by command', async () => {
  const broker = await start();
  const client = await BinaryClient.connect(url(broker));
  const made = await client.createTopic('b', { partitions: 2, overflow: 'drop-oldest', ringBytes: 65_536 });
  expect(made).toMatchObject({ topic: 'b', overflow: 'drop-oldest', ringBytes: 65_536 });
  expect(made.partitions).toHaveLength(2);
  await client.createTopic('a');
  await expect(client.createTopic('a')).rejects.toThrow('topic-exists');
  await expect(client.createTopic('no spaces')).rejects.toThrow('illegal-topic');
  const list = await client.ask<'topics-reply'>({ type: 'topics-request', after: '', limit: 10 });
  expect(list.topics.map((one) => one.topic)).toEqual(['a', 'b']);
  await client.ask({ type: 'set-permission', topic: 'b', owner: -1, permission: 4 });
  const route = await client.ask<'route-reply'>({ type: 'route-request', topic: 'b', create: false });
  expect(route.route.partitions.map((one) => one.permission)).toEqual([4, 4]);
  expect(await client.ask({ type: 'delete-topic', topic: 'b' })).toEqual({ type: 'done' });
  await expect(client.ask({ type: 'route-request', topic: 'b', create: false })).rejects.toThrow('unknown-topic');
  await expect(client.ask({ type: 'open-direct', topic: 'd' })).rejects.toThrow('direct-only');
  await expect(client.ask({ type: 'done' })).rejects.toThrow('unknown-command');
});

test('a session hears of changed routes of topics that it asked about, and of no others', async () => {
  const broker = await start();
  const [client, other] = await Promise.all([BinaryClient.connect(url(broker)), BinaryClient.connect(url(broker))]);
  await other.createTopic('t');
  await client.ask({ type: 'route-request', topic: 't', create: false });
  await other.ask({ type: 'set-permission', topic: 't', owner: -1, permission: 2 });
  await until(() => client.news('route-changed').length === 1, 'the news arrives');
  await other.ask({ type: 'delete-topic', topic: 't' });
  await until(() => client.news('route-changed').length === 2, 'the news arrives');
  expect(client.news('route-changed').map((news) => news.deleted)).toEqual([false, true]);
  expect(other.news('route-changed')).toEqual([]);
});

test('two front ends of one broker serve the same topics', async () => {
  const broker = await start();
  const thread = await new FrontEndThread(broker).listening();
  const here = await BinaryClient.connect(url(broker));
  const there = await BinaryClient.connect(thread.url);
  const route = await here.createTopic('t');
  await there.subscribe('t');
  await here.ack(here.publish(route.partitions[0], ['over']));
  await until(() => there.delivered.length === 1, 'it arrives');
});

test('a front end that cannot listen says why and ends with code 0', async () => {
  const broker = await start();
  const port = Number(new URL(url(broker)).port);
  const thread = new FrontEndThread(broker, { port });
  await expect(thread.listening()).rejects.toThrow('failed EADDRINUSE');
  await until(() => thread.exitCode !== undefined, 'it ends');
  expect(thread.exitCode).toBe(0);
});
