import { expect, test } from 'vitest';
import { RingmqError } from '../../../src/base/codes.ts';
import type { ConsumerOptions, MessageExtras, Producer, TopicOptions } from '../../../src/client/connection.ts';
import type { Message } from '../../../src/client/message.ts';
import { type RequestHost, Requests } from '../../../src/client/request-reply.ts';
import { until } from '../../support/until.ts';

interface Sent {
  readonly topic: string;
  readonly body: unknown;
  readonly properties: Readonly<Record<string, string>>;
}

/** A connection that keeps what is sent, and hands on what the test says has come. */
class World implements RequestHost {
  readonly made: string[] = [];
  readonly sent: Sent[] = [];
  readonly closed: string[] = [];
  readonly onOver: ((error: RingmqError | undefined) => void)[] = [];
  refusal: RingmqError | undefined;
  sendRefusal: RingmqError | undefined;
  /** What readers of reply topics begin with, in turn. */
  readonly readyRefusals: RingmqError[] = [];
  private readonly handlers: ((message: Message) => unknown)[] = [];

  async createTopic(topic: string, options: TopicOptions): Promise<void> {
    if (this.refusal) throw this.refusal;
    expect(options).toEqual({ partitions: 1, durable: false, overflow: 'drop-oldest' });
    this.made.push(topic);
  }

  reader(_topic: string, { onMessage }: ConsumerOptions): ReturnType<RequestHost['reader']> {
    this.handlers.push(onMessage as (message: Message) => unknown);
    const { onOver } = this;
    return {
      ready: async () => {
        const refusal = this.readyRefusals.shift();
        if (refusal) throw refusal;
      },
      close: async () => {},
      set onOver(over: (error: RingmqError | undefined) => void) {
        onOver.push(over);
      },
    };
  }

  producer(topic: string): Producer {
    return {
      send: async (body: unknown, extras: MessageExtras) => {
        if (this.sendRefusal) throw this.sendRefusal;
        this.sent.push({ topic, body, properties: extras.properties ?? {} });
      },
      close: async () => void this.closed.push(topic),
    } as unknown as Producer;
  }

  comes(correlation: string | undefined, text: string): void {
    const properties = correlation === undefined ? undefined : { CORRELATION_ID: correlation };
    this.handlers.at(-1)?.({ properties, text: () => text } as unknown as Message);
  }
}

async function asked(world: World, count: number): Promise<readonly string[]> {
  await until(() => world.sent.length === count, `${count} requests are sent`);
  return world.sent.map((one) => one.properties.CORRELATION_ID);
}

test('requests of a connection share one reply topic, and each gets its own reply, once', async () => {
  const world = new World();
  const requests = new Requests(world);
  const replies = ['a', 'b', 'c'].map((body) => requests.request('t', body, { properties: { mine: 'kept' } }));
  const ids = await asked(world, 3);
  expect(new Set(ids).size).toBe(3);
  expect(world.made).toEqual([expect.stringMatching(/^%REPLY%[0-9a-f]{32}$/)]);
  expect(world.sent[0].properties).toEqual({ mine: 'kept', REPLY_TO_CLIENT: world.made[0], CORRELATION_ID: ids[0] });
  world.comes('of somebody else', 'x');
  world.comes(undefined, 'x');
  for (const i of [2, 0, 1, 1]) world.comes(ids[i], `reply ${i}`);
  expect((await Promise.all(replies)).map((one) => one.text())).toEqual(['reply 0', 'reply 1', 'reply 2']);
});

test('a reply topic that ends with its session before it is read is made anew, and the request goes out', async () => {
  const world = new World();
  world.readyRefusals.push(new RingmqError('unknown-topic'), new RingmqError('unknown-partition'));
  const requests = new Requests(world);
  const reply = requests.request('t', 'a');
  const [id] = await asked(world, 1);
  expect(world.made).toHaveLength(3);
  expect(world.sent[0].properties.REPLY_TO_CLIENT).toBe(world.made[2]);
  world.comes(id, 'b');
  expect((await reply).text()).toBe('b');
});

test.each(['unknown-topic', 'unknown-partition'] as const)('a reply that meets %s has nowhere to go', async (code) => {
  const world = new World();
  world.sendRefusal = new RingmqError(code);
  const properties = { REPLY_TO_CLIENT: '%REPLY%x', CORRELATION_ID: '1' };
  const reply = new Requests(world).reply({ properties } as unknown as Message, 'b');
  await expect(reply).rejects.toMatchObject({ code: 'unknown-topic', message: expect.stringContaining('has gone') });
});

test('when the session ends, who waits is told at once, and the next request has a new topic', async () => {
  const world = new World();
  const requests = new Requests(world);
  const first = requests.request('t', 'a');
  await asked(world, 1);
  world.onOver[0](new RingmqError('unknown-topic'));
  await expect(first).rejects.toMatchObject({ code: 'connection-lost' });
  const second = requests.request('t', 'b');
  const ids = await asked(world, 2);
  expect(world.made.length).toBe(2);
  // The end of the first one is heard of late: it is not the second one's.
  world.onOver[0](undefined);
  world.comes(ids[1], 'here');
  expect((await second).text()).toBe('here');
});

test('a reply topic that cannot be made is tried again by the next request', async () => {
  const world = new World();
  const requests = new Requests(world);
  world.refusal = new RingmqError('topic-quota');
  await expect(requests.request('t', 'a')).rejects.toMatchObject({ code: 'topic-quota' });
  world.refusal = undefined;
  const second = requests.request('t', 'b');
  const [id] = await asked(world, 1);
  world.comes(id, 'here');
  expect((await second).text()).toBe('here');
});

test('what cannot be sent rejects, and the end of the connection rejects what waits', async () => {
  const world = new World();
  const requests = new Requests(world);
  world.sendRefusal = new RingmqError('disk-full');
  await expect(requests.request('t', 'a')).rejects.toMatchObject({ code: 'disk-full' });
  world.sendRefusal = undefined;
  const waiting = requests.request('t', 'b');
  await asked(world, 1);
  requests.end(new RingmqError('shutting-down'));
  await expect(waiting).rejects.toMatchObject({ code: 'shutting-down' });
  await expect(requests.request('t', 'c')).rejects.toMatchObject({ code: 'closed' });
});

test('replies go to reply topics only, and producers of the last ones are kept', async () => {
  const world = new World();
  const requests = new Requests(world);
  const message = (properties: object | undefined) => ({ topic: 't', partition: 0, offset: 1, properties }) as Message;
  for (const properties of [undefined, {}, { CORRELATION_ID: '1' }, { REPLY_TO_CLIENT: '%REPLY%a' }]) {
    await expect(requests.reply(message(properties), 'x')).rejects.toMatchObject({ code: 'illegal-argument' });
  }
  const foreign = message({ REPLY_TO_CLIENT: 'orders', CORRELATION_ID: '1' });
  await expect(requests.reply(foreign, 'x')).rejects.toMatchObject({ code: 'illegal-topic' });
  for (let i = 0; i < 70; i++) {
    await requests.reply(message({ REPLY_TO_CLIENT: `%REPLY%${i}`, CORRELATION_ID: `${i}` }), 'x');
    await requests.reply(message({ REPLY_TO_CLIENT: '%REPLY%0', CORRELATION_ID: '0' }), 'x');
  }
  expect(world.closed).toEqual(['%REPLY%1', '%REPLY%2', '%REPLY%3', '%REPLY%4', '%REPLY%5', '%REPLY%6']);
  world.sendRefusal = new RingmqError('unknown-topic');
  const gone = requests.reply(message({ REPLY_TO_CLIENT: '%REPLY%0', CORRELATION_ID: '0' }), 'x');
  await expect(gone).rejects.toThrow(/has gone/);
});

test('a request that timed out before it could be sent is not sent later, and nothing of it stays', async () => {
  const world = new World();
  let made: () => void = () => {};
  const creating = new Promise<void>((resolve) => {
    made = resolve;
  });
  world.createTopic = async () => creating;
  const requests = new Requests(world);
  await expect(requests.request('t', 'late', { timeoutMs: 5 })).rejects.toMatchObject({ code: 'timeout' });
  made();
  const second = requests.request('t', 'in time');
  const [id] = await asked(world, 1);
  expect(world.sent.map((one) => one.body)).toEqual(['in time']);
  const { pending } = requests as unknown as { readonly pending: ReadonlyMap<string, unknown> };
  expect([...pending.keys()]).toEqual([id]);
  world.comes(id, 'here');
  expect((await second).text()).toBe('here');
  expect(pending.size).toBe(0);
});
