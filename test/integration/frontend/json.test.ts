import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { Broker } from '../../../src/server/broker.ts';
import { until } from '../../support/until.ts';
import { BinaryClient, KINDS, RawClient, start, stopAll } from './harness.ts';

type Said = Record<string, unknown> & { readonly op: string; readonly id?: number };

/** A client of the readable protocol. */
class JsonClient extends RawClient {
  readonly said: Said[] = [];

  static connect(url: string): Promise<JsonClient> {
    return new JsonClient(url, []).open();
  }

  say(command: object): void {
    this.raw.send(JSON.stringify(command));
  }

  /** Sends a command and waits for what answers its id. */
  async ask(command: { readonly id: number; readonly op: string }): Promise<Said> {
    this.say(command);
    await until(() => this.said.some((one) => one.id === command.id), `an answer to ${command.op}`);
    return this.said.find((one) => one.id === command.id) as Said;
  }

  messages(): Said[] {
    return this.said.filter((one) => one.op === 'message');
  }

  protected override took(data: Buffer): void {
    this.said.push(JSON.parse(data.toString()) as Said);
  }
}

let broker: Broker;
afterEach(stopAll);

describe.each(KINDS)('the readable protocol over %s', (transport) => {
  beforeEach(async () => {
    broker = await start({ transport });
  });

  test('ten lines suffice: connect, subscribe, publish, read', async () => {
    const socket = new WebSocket(broker.url as string);
    const messages: unknown[] = [];
    socket.onopen = () => socket.send('{"op":"subscribe","topic":"hello"}');
    socket.onmessage = (event) => {
      const said = JSON.parse(event.data as string) as Said;
      if (said.op === 'subscribed') socket.send('{"op":"publish","topic":"hello","body":{"any":"JSON"}}');
      if (said.op === 'message') messages.push(said.body);
    };
    await until(() => messages.length === 1, 'the message arrives');
    expect(messages).toEqual([{ any: 'JSON' }]);
    socket.close();
  });

  test('one and many messages, acknowledged for each partition they went to', async () => {
    const client = await JsonClient.connect(broker.url as string);
    await client.ask({ op: 'create-topic', id: 1, topic: 't', partitions: 2 } as never);
    await client.ask({ op: 'subscribe', id: 2, topic: 't' } as never);
    const ack = await client.ask({ op: 'publish', id: 3, topic: 't', body: 'text', key: 'k', tag: 'a' } as never);
    expect(ack).toMatchObject({ op: 'ack', offset: 0, count: 1 });
    const messages = Array.from({ length: 20 }, (_, i) => ({ body: i, key: `key${i}`, properties: { n: `${i}` } }));
    client.say({ op: 'publish', id: 4, topic: 't', messages });
    const acks = () => client.said.filter((one) => one.id === 4);
    await until(() => acks().reduce((sum, one) => sum + Number(one.count), 0) === 20, 'all are acknowledged');
    expect(new Set(acks().map((one) => one.partition))).toEqual(new Set([0, 1]));
    await until(() => client.messages().length === 21, 'all arrive');
    expect(client.messages()[0]).toMatchObject({ topic: 't', body: 'text', key: 'k', tag: 'a', offset: 0 });
    const bodies = client
      .messages()
      .slice(1)
      .map((one) => one.body);
    expect(bodies.toSorted((a, b) => Number(a) - Number(b))).toEqual(messages.map((one) => one.body));
    for (const one of client.messages().slice(1)) expect(one.properties).toEqual({ n: String(one.body) });
  });

  test('publishes keep their order, also while the topic is being made', async () => {
    const client = await JsonClient.connect(broker.url as string);
    for (let i = 0; i < 100; i++) client.say({ op: 'publish', topic: 'new', body: i, key: 'one partition' });
    client.say({ op: 'subscribe', id: 1, topic: 'new', from: 'earliest' });
    await until(() => client.messages().length === 100, 'all arrive');
    expect(client.messages().map((one) => one.body)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  test('both protocols read the same messages', async () => {
    const json = await JsonClient.connect(broker.url as string);
    const binary = await BinaryClient.connect(broker.url as string);
    const [partition] = (await binary.createTopic('t')).partitions;
    await binary.subscribe('t');
    await json.ask({ op: 'subscribe', id: 1, topic: 't' } as never);
    await binary.ack(binary.publish(partition, ['from binary', 'to all']));
    await json.ask({ op: 'publish', id: 2, topic: 't', bodyBase64: '/w==' } as never);
    await until(() => json.messages().length === 3 && binary.delivered.length === 3, 'all arrive');
    expect(json.messages().map((one) => one.body ?? one.bodyBase64)).toEqual(['from binary', 'to all', '/w==']);
  });

  test('from the middle of a batch only what was asked for is delivered', async () => {
    const json = await JsonClient.connect(broker.url as string);
    const binary = await BinaryClient.connect(broker.url as string);
    const [partition] = (await binary.createTopic('t')).partitions;
    await binary.ack(binary.publish(partition, ['0', '1', '2', '3', '4']));
    const subscribed = await json.ask({ op: 'subscribe', id: 1, topic: 't', from: { last: 2 } } as never);
    expect(subscribed.partitions).toEqual([{ partition: 0, epoch: partition.epoch, offset: 3 }]);
    const pulled = await json.ask({ op: 'pull', id: 2, topic: 't', from: { offset: 4 } } as never);
    expect(pulled).toMatchObject({ op: 'pulled', nextOffset: 5 });
    expect((pulled.messages as Said[]).map((one) => one.body)).toEqual(['4']);
    await until(() => json.messages().length === 2, 'both arrive');
    expect(json.messages().map((one) => one.offset)).toEqual([3, 4]);
  });

  test('a slow reader of large messages gets each once', async () => {
    const json = await JsonClient.connect(broker.url as string);
    const binary = await BinaryClient.connect(broker.url as string);
    const [partition] = (await binary.createTopic('t', { ringBytes: 1024 * 1024 })).partitions;
    await json.ask({ op: 'subscribe', id: 1, topic: 't' } as never);
    json.raw.pause();
    let accepted = 0;
    const deadline = performance.now() + 3_000;
    while (performance.now() < deadline && accepted < 6_000) {
      const requests = Array.from({ length: 10 }, () =>
        binary.publish(partition, ['x'.repeat(3_000), '"'.repeat(500)]),
      );
      for (const request of requests) if ((await binary.ack(request)).status === 0) accepted += 2;
      binary.acks.length = 0;
    }
    json.raw.resume();
    await until(() => json.messages().length >= accepted, 'all arrive', 30_000);
    expect(json.messages().map((one) => one.offset)).toEqual(Array.from({ length: accepted }, (_, i) => i));
  });
});

describe('answers of the readable protocol', () => {
  beforeEach(async () => {
    broker = await start();
  });

  test('topics, routes, ping, unsubscribe, delete', async () => {
    const client = await JsonClient.connect(broker.url as string);
    expect(await client.ask({ op: 'create-topic', id: 1, topic: 't', partitions: 1 } as never)).toMatchObject({
      op: 'route',
      topic: 't',
      overflow: 'block',
    });
    expect(await client.ask({ op: 'topics', id: 2 })).toMatchObject({ op: 'topics', more: false });
    expect(await client.ask({ op: 'route', id: 3, topic: 't' } as never)).toMatchObject({ op: 'route', topic: 't' });
    expect(await client.ask({ op: 'ping', id: 4 })).toMatchObject({ op: 'pong' });
    await client.ask({ op: 'subscribe', id: 5, topic: 't' } as never);
    expect(await client.ask({ op: 'unsubscribe', id: 6, topic: 't' } as never)).toEqual({ op: 'ok', id: 6 });
    expect(await client.ask({ op: 'delete-topic', id: 7, topic: 't' } as never)).toEqual({ op: 'ok', id: 7 });
    await until(() => client.said.some((one) => one.op === 'route-changed'), 'the news arrives');
  });

  test.each<[string, object, string]>([
    ['an unknown op', { op: 'frobnicate' }, 'unknown-command'],
    ['an illegal topic', { op: 'publish', topic: 'no spaces', body: 1 }, 'illegal-topic'],
    ['a topic that is not there', { op: 'route', topic: 'nothing' }, 'unknown-topic'],
    ['a level that volatile topics lack', { op: 'publish', topic: 't', body: 1, ack: 'durable' }, 'ack-unsupported'],
    ['a tag with a bar', { op: 'publish', topic: 't', body: 1, tag: 'a|b' }, 'illegal-tag'],
    ['a key too long', { op: 'publish', topic: 't', body: 1, key: 'k'.repeat(2_000) }, 'key-too-long'],
    ['a message too large', { op: 'publish', topic: 't', body: 'x'.repeat(2_000_000) }, 'message-too-large'],
    ['an unsubscribe of nothing', { op: 'unsubscribe', topic: 't' }, 'unknown-subscription'],
  ])('%s is refused, and the session goes on', async (_, command, code) => {
    const client = await JsonClient.connect(broker.url as string);
    const answer = await client.ask({ ...command, id: 9 } as never);
    expect(answer).toMatchObject({ op: 'error', code });
    expect(answer.text).not.toBe('');
    expect(await client.ask({ op: 'ping', id: 10 })).toMatchObject({ op: 'pong' });
  });

  test('one bad message of many refuses the whole publish', async () => {
    const client = await JsonClient.connect(broker.url as string);
    await client.ask({ op: 'create-topic', id: 1, topic: 't', partitions: 1 } as never);
    const messages = [{ body: 1 }, { body: 2, tag: 'a|b' }];
    expect(await client.ask({ op: 'publish', id: 2, topic: 't', messages } as never)).toMatchObject({ op: 'error' });
    expect(await client.ask({ op: 'publish', id: 3, topic: 't', body: 3 } as never)).toMatchObject({ offset: 0 });
  });
});
