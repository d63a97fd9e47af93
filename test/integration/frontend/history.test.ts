// What a front end serves out of the log: far more than the rings hold, to subscribers, pulls and queries.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { Broker } from '../../../src/server/broker.ts';
import type { BrokerOptions } from '../../../src/server/options.ts';
import type { CommandOf, PartitionRoute, TopicRoute } from '../../../src/wire/commands.ts';
import { until } from '../../support/until.ts';
import { BinaryClient, KINDS, RawClient, start, stopAll } from './harness.ts';

const folders: string[] = [];
const RING_BYTES = 64 * 1024;
/** About ten rings full. */
const TOTAL = 4_000;
const PER_BATCH = 40;

afterEach(async () => {
  await stopAll();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A broker that keeps its data, with a topic of one small ring. */
async function begin(
  transport: (typeof KINDS)[number],
  topic: Partial<CommandOf<'create-topic'>> = {},
  options: BrokerOptions = {},
) {
  const data = mkdtempSync(path.join(tmpdir(), 'ringmq-history-'));
  folders.push(data);
  const broker = await start({ transport }, { data, segmentBytes: 4 * 1024 * 1024, ...options });
  const publisher = await BinaryClient.connect(broker.url as string);
  const route = await publisher.createTopic('t', { ringBytes: RING_BYTES, ...topic });
  return { broker, publisher, route, partition: route.partitions[0] };
}

const bodyOf = (n: number): string => `${n}`.padEnd(120, '.');
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
const offsetsOf = (client: BinaryClient): number[] => client.delivered.map((one) => one.offset);

/** Publishes messages `from` to `to`; every batch is on the disk when it returns. */
async function publish(client: BinaryClient, partition: PartitionRoute, from: number, to: number): Promise<void> {
  for (let first = from; first < to; first += PER_BATCH * 10) {
    const requests: number[] = [];
    for (let at = first; at < Math.min(to, first + PER_BATCH * 10); at += PER_BATCH) {
      requests.push(client.publish(partition, range(at, Math.min(to, at + PER_BATCH)).map(bodyOf), { ack: 'durable' }));
    }
    for (const request of requests) {
      const { status, baseOffset } = await client.ack(request);
      expect(status).toBe(0);
      expect(baseOffset).toBeGreaterThanOrEqual(first);
    }
    client.acks.length = 0;
  }
}

class JsonClient extends RawClient {
  readonly said: Record<string, unknown>[] = [];

  say(command: object): void {
    this.raw.send(JSON.stringify(command));
  }

  async ask(command: { readonly id: number } & Record<string, unknown>): Promise<Record<string, unknown>> {
    this.say(command);
    await until(() => this.said.some((one) => one.id === command.id), `an answer to ${command.op}`);
    return this.said.find((one) => one.id === command.id) as Record<string, unknown>;
  }

  get messages(): Record<string, unknown>[] {
    return this.said.filter((one) => one.op === 'message');
  }

  protected override took(data: Buffer): void {
    this.said.push(JSON.parse(data.toString()) as Record<string, unknown>);
  }
}

describe.each(KINDS)('subscribers over %s', (transport) => {
  test('who starts at the beginning gets everything once while others publish', async () => {
    const { broker, publisher, partition } = await begin(transport);
    await publish(publisher, partition, 0, TOTAL);
    const reader = await BinaryClient.connect(broker.url as string);
    const { starts } = await reader.subscribe('t', 'earliest');
    expect(starts).toMatchObject([{ offset: 0, gap: false }]);
    await publish(publisher, partition, TOTAL, 2 * TOTAL);
    await until(() => reader.count >= 2 * TOTAL, 'everything arrives', 30_000);
    expect(offsetsOf(reader)).toEqual(range(0, 2 * TOTAL));
    expect(reader.delivered.every(({ offset, text }) => text === bodyOf(offset))).toBe(true);
    expect(reader.news('gap')).toEqual([]);
  });

  test('who takes nothing holds nobody up and misses nothing', async () => {
    const { broker, publisher, partition } = await begin(transport);
    const reader = await BinaryClient.connect(broker.url as string);
    await reader.subscribe('t', 'latest', 16 * 1024);
    await publish(publisher, partition, 0, TOTAL);
    expect(reader.count).toBeLessThan(TOTAL / 2);
    reader.credits = true;
    reader.send({ type: 'credit', bytes: 1_000_000 });
    await until(() => reader.count >= TOTAL, 'everything arrives', 30_000);
    expect(offsetsOf(reader)).toEqual(range(0, TOTAL));
    expect(reader.news('gap')).toEqual([]);
  });

  test('who starts at an offset, a time or a position gets exactly what follows', async () => {
    const { broker, publisher, partition } = await begin(transport);
    await publish(publisher, partition, 0, TOTAL / 2);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const time = Date.now();
    await publish(publisher, partition, TOTAL / 2, TOTAL);
    const { epoch } = partition;
    const froms = [
      { from: { offset: 77 }, first: 77 },
      { from: { time }, first: TOTAL / 2 },
      { from: { positions: [{ partition: 0, epoch, offset: 1_234 }] }, first: 1_234 },
      { from: { last: TOTAL - 10 }, first: 10 },
    ];
    for (const { from, first } of froms) {
      const reader = await BinaryClient.connect(broker.url as string);
      const { starts } = await reader.subscribe('t', from);
      expect(starts).toMatchObject([{ offset: first, gap: false }]);
      await until(() => reader.delivered.at(-1)?.offset === TOTAL - 1, 'everything arrives');
      expect(offsetsOf(reader).filter((offset) => offset >= first)).toEqual(range(first, TOTAL));
    }
  });

  test('the readable protocol reads the log as well', async () => {
    const { broker, publisher, partition } = await begin(transport);
    await publish(publisher, partition, 0, TOTAL);
    const reader = await new JsonClient(broker.url as string, []).open();
    const subscribed = await reader.ask({ op: 'subscribe', id: 1, topic: 't', from: { offset: 101 } });
    expect(subscribed).toMatchObject({ partitions: [{ partition: 0, offset: 101 }] });
    await until(() => reader.messages.length >= TOTAL - 101, 'everything arrives', 30_000);
    expect(reader.messages.map((one) => one.offset)).toEqual(range(101, TOTAL));
    const pulled = await reader.ask({ op: 'pull', id: 2, topic: 't', partition: 0, from: { offset: 5 } });
    expect((pulled.messages as { offset: number }[])[0].offset).toBe(5);
  });
});

test('who comes too late is told what retention took, and gets the rest', async () => {
  const kept = { segmentBytes: 1024 * 1024, retentionBytes: 1024 * 1024 };
  const { broker, publisher, partition } = await begin(KINDS[0], {}, kept);
  const slow = await BinaryClient.connect(broker.url as string);
  await slow.subscribe('t', 'latest', 16 * 1024);
  let end = 0;
  const oldest = async (): Promise<number> => {
    const { route } = await publisher.ask<'route-reply'>({ type: 'route-request', topic: 't', create: false });
    return route.partitions[0].oldestOffset;
  };
  for (const deadline = Date.now() + 20_000; (await oldest()) === 0 && Date.now() < deadline; end += 1_000) {
    await publish(publisher, partition, end, end + 1_000);
  }
  const left = await oldest();
  expect(left).toBeGreaterThan(0);

  const late = await BinaryClient.connect(broker.url as string);
  const { starts } = await late.subscribe('t', { offset: 0 });
  expect(starts).toMatchObject([{ gap: true, gapFrom: 0 }]);
  expect(starts[0].offset).toBeGreaterThanOrEqual(left);
  slow.credits = true;
  slow.send({ type: 'credit', bytes: 1_000_000 });
  for (const reader of [late, slow]) {
    await until(() => reader.delivered.at(-1)?.offset === end - 1, 'everything that is left arrives');
  }
  expect(offsetsOf(late).filter((offset) => offset >= starts[0].offset)).toEqual(range(starts[0].offset, end));
  const gaps = slow.news('gap');
  expect(gaps.map((gap) => gap.reason)).toEqual(['expired']);
  const [{ fromOffset, toOffset }] = gaps;
  expect(offsetsOf(slow)).toEqual([...range(0, fromOffset), ...range(toOffset, end)]);

  const pull = { topic: 't', partition: 0, epoch: partition.epoch, maxBytes: 1, waitMs: 0, filter: '' };
  const reply = await publisher.ask<'pull-reply'>({ type: 'pull', ...pull, from: { offset: 3 } });
  expect(reply.gap).toBe(true);
  expect(reply.nextOffset).toBeGreaterThan(left);
});

test('pulls read the log from any offset, and go on in the ring', async () => {
  const { publisher, partition } = await begin(KINDS[0]);
  await publish(publisher, partition, 0, TOTAL);
  const seen: number[] = [];
  let from: CommandOf<'pull'>['from'] = 'earliest';
  for (let next = 0; next < TOTAL; ) {
    const request = { topic: 't', partition: 0, epoch: partition.epoch, maxBytes: 50_000, waitMs: 1_000, filter: '' };
    const reply = await publisher.ask<'pull-reply'>({ type: 'pull', ...request, from });
    expect(reply.gap).toBe(false);
    seen.push(reply.nextOffset - next);
    expect(reply.nextOffset).toBeGreaterThan(next);
    next = reply.nextOffset;
    from = { offset: next };
  }
  expect(seen.reduce((sum, count) => sum + count, 0)).toBe(TOTAL);
  expect(seen.length).toBeGreaterThan(5);
});

describe('over HTTP', () => {
  async function ask(broker: Broker, where: string, method = 'GET', body?: object) {
    const response = await fetch(`${(broker.url as string).replace('ws', 'http')}${where}`, {
      method,
      ...(body ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } } : {}),
    });
    return { status: response.status, body: (await response.json()) as Record<string, never> };
  }

  test('messages are read, found by key, time and id, and kept as long as is said', async () => {
    const { broker, publisher, partition } = await begin(KINDS[0]);
    await publish(publisher, partition, 0, TOTAL);
    const post = await ask(broker, '/api/topics/t/messages?ack=durable', 'POST', { body: 'found', key: 'order-7' });
    expect(post.body).toEqual({ acks: [{ partition: 0, offset: TOTAL }] });

    const page = await ask(broker, '/api/topics/t/messages?from=9&max=3');
    expect((page.body.messages as { offset: number }[]).map((one) => one.offset)).toEqual([9, 10, 11]);
    expect(page.body.nextOffset).toBe(12);

    const byKey = await ask(broker, '/api/topics/t/query?key=order-7');
    expect(byKey).toMatchObject({ status: 200, body: { more: false, messages: [{ body: 'found', offset: TOTAL }] } });
    const [{ id }] = byKey.body.messages as { id: string }[];
    expect((await ask(broker, `/api/messages/${id}`)).body).toMatchObject({ id, body: 'found', key: 'order-7' });
    const old = `${id.slice(0, 12)}${(3).toString(16).padStart(12, '0')}`;
    expect((await ask(broker, `/api/messages/${old}`)).body).toMatchObject({ offset: 3, body: bodyOf(3) });

    const byTime = await ask(broker, '/api/topics/t/query?limit=5');
    expect((byTime.body.messages as { offset: number }[]).map((one) => one.offset)).toEqual([0, 1, 2, 3, 4]);
    expect(byTime.body.more).toBe(true);
    expect((await ask(broker, `/api/topics/t/query?from=${Date.now() + 60_000}`)).body.messages).toEqual([]);

    const kept = await ask(broker, '/api/topics/t/retention', 'PUT', { retentionMs: 3_600_000 });
    expect(kept).toMatchObject({ status: 200, body: { topic: 't', durable: true, retentionMs: 3_600_000 } });
    expect((await ask(broker, '/health')).body).toMatchObject({ status: 'ok', store: 'running' });
  });

  test('what a volatile topic cannot do is refused, and says why', async () => {
    const { broker } = await begin(KINDS[0], { durable: false });
    expect(await ask(broker, '/api/topics/t/query?key=k')).toMatchObject({
      status: 409,
      body: { error: { code: 'topic-volatile' } },
    });
    const post = await ask(broker, '/api/topics/t/messages?ack=written', 'POST', { body: 1 });
    expect(post).toMatchObject({ status: 400, body: { error: { code: 'ack-unsupported' } } });
    expect((await ask(broker, '/api/topics/t/messages', 'POST', { body: 1 })).status).toBe(200);
    expect((await ask(broker, `/api/messages/${'0'.repeat(24)}`)).status).toBe(404);
    expect((await ask(broker, '/api/topics/t/query?limit=x')).status).toBe(400);
    expect((await ask(broker, '/api/topics/nobody/query')).status).toBe(404);
  });
});

test('groups keep their offsets, in both protocols', async () => {
  const { broker, publisher, partition } = await begin(KINDS[0]);
  await publish(publisher, partition, 0, 100);
  const { epoch } = partition;
  const position = { partition: 0, epoch, offset: 60 };
  await publisher.ask({ type: 'commit-offsets', group: 'g', topic: 't', positions: [position] });
  const kept = await publisher.ask<'offsets-reply'>({ type: 'offsets-request', group: 'g', topic: 't' });
  expect(kept.positions).toEqual([position]);
  const client = await new JsonClient(broker.url as string, []).open();
  const moved = { ...position, offset: 61 };
  await client.ask({ op: 'commit-offsets', id: 1, group: 'g', topic: 't', positions: [moved] });
  expect(await client.ask({ op: 'offsets', id: 2, group: 'g', topic: 't' })).toMatchObject({ positions: [moved] });
  const queried = await client.ask({ op: 'query', id: 3, topic: 't', limit: 2 });
  expect(queried).toMatchObject({ op: 'queried', more: true, matches: [{ offset: 0 }, { offset: 1 }] });
});

test('many readers of the whole log take turns, and those who keep up are not disturbed', async () => {
  const { broker, publisher, route } = await begin(KINDS[0], { partitions: 3 });
  for (const one of route.partitions) await publish(publisher, one, 0, TOTAL / 2);
  const live = await BinaryClient.connect(broker.url as string);
  await live.subscribe('t', 'latest');
  const readers = await Promise.all(Array.from({ length: 12 }, () => BinaryClient.connect(broker.url as string)));
  await Promise.all(readers.map((reader) => reader.subscribe('t', 'earliest')));
  const more = (one: PartitionRoute) => publish(publisher, one, TOTAL / 2, TOTAL);
  for (const one of (route as TopicRoute).partitions) await more(one);
  await until(() => readers.every((reader) => reader.count >= 3 * TOTAL), 'everybody has everything', 30_000);
  await until(() => live.count >= (3 * TOTAL) / 2, 'the live one has the new ones');
  for (const reader of [live, ...readers]) {
    for (const { id } of route.partitions) {
      const offsets = reader.delivered.filter((one) => one.partition === id).map((one) => one.offset);
      expect(offsets).toEqual(range(reader === live ? TOTAL / 2 : 0, TOTAL));
    }
    expect(reader.news('gap')).toEqual([]);
  }
});
