// Calls to the coordinator over the network: binary sessions, readable ones, plain HTTP; and what happens when a
// session
// ends in the middle.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { codeNumber } from '../../../src/base/codes.ts';
import { connect } from '../../../src/client/node.ts';
import type { WsConnection } from '../../../src/client/ws-connection.ts';
import { CALLS_HELD_MAX } from '../../../src/frontend/config.ts';
import type { Broker } from '../../../src/server/broker.ts';
import type { GroupDescription, GroupSync } from '../../../src/wire/services.ts';
import { errorOf } from '../../support/engine.ts';
import { until, untilAnswer } from '../../support/until.ts';
import { BinaryClient, KINDS, RawClient, start, stopAll } from '../frontend/harness.ts';

type Said = Record<string, unknown> & { readonly op: string; readonly id?: number };

/** A client of the readable protocol. */
class JsonClient extends RawClient {
  readonly said: Said[] = [];
  private id = 0;

  async ask(command: Record<string, unknown>): Promise<Said> {
    const id = ++this.id;
    this.raw.send(JSON.stringify({ id, ...command }));
    await until(() => this.said.some((one) => one.id === id), `an answer to ${JSON.stringify(command)}`);
    return this.said.find((one) => one.id === id) as Said;
  }

  call(method: string, params: object, more: object = {}): Promise<Said> {
    return this.ask({ op: 'call', method, params, ...more });
  }

  protected override took(data: Buffer): void {
    this.said.push(JSON.parse(data.toString()) as Said);
  }
}

const SYNC: GroupSync = {
  group: 'g',
  topic: 'orders',
  member: 'm1',
  client: 'a test',
  generation: 0,
  owned: [],
  from: 'earliest',
  order: 'key',
  filter: '',
  waitMs: 0,
};
const RECEIVE = { group: 's', topic: 'orders', member: 'r1', from: 'earliest', waitMs: 5_000 } as const;

let broker: Broker;
let url: string;
const connections: WsConnection[] = [];

afterEach(async () => {
  for (const connection of connections.splice(0)) await connection.close();
  await stopAll();
});

function client(): WsConnection {
  const connection = connect(url) as WsConnection;
  connections.push(connection);
  return connection;
}

async function post(path: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
  const init: RequestInit = { method: 'POST', headers: { 'content-type': 'application/json' } };
  if (body !== undefined) init.body = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(`${url.replace('ws:', 'http:')}${path}`, init);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

async function membersOf(group: string): Promise<number> {
  const { body } = await post('/api/call/group-describe', { group });
  return (body.result as GroupDescription).members.length;
}

describe.each(KINDS)('over %s', (transport) => {
  beforeEach(async () => {
    broker = await start({ transport });
    url = broker.url as string;
    const own = broker.connect();
    await own.createTopic('orders', { partitions: 2 });
  });

  test('a connection calls as one in process does', async () => {
    const connection = client();
    const { result } = await connection.call('group-sync', SYNC);
    expect(result.queues.map(({ partition }) => partition).sort()).toEqual([0, 1]);
    expect(await errorOf(connection.call('group-describe', { group: 'nobody' }))).toMatchObject({
      code: 'unknown-group',
    });
    await connection.producer('orders').send('hello', { key: 'k' });
    const received = await connection.call('receive', {
      ...RECEIVE,
      order: 'key',
      priority: false,
      filter: '',
      maxMessages: 10,
      invisibleMs: 60_000,
    });
    expect(received.result.messages).toHaveLength(4);
    expect(Buffer.from(received.payload).includes('hello')).toBe(true);
  });

  test('a call without hello is refused', async () => {
    const raw = await BinaryClient.connect(url, false);
    const call = { type: 'call', method: 'group-list', params: '{}', payload: new Uint8Array(0) } as const;
    expect((await errorOf(raw.ask(call))).message).toBe('hello-expected');
  });

  test('a readable session calls, and gets messages as texts', async () => {
    const json = await new JsonClient(url, []).open();
    expect(await json.call('group-settings', { group: 's', settings: { attemptsMax: 3 } })).toMatchObject({
      op: 'called',
      result: { attemptsMax: 3 },
    });
    await json.ask({ op: 'publish', topic: 'orders', messages: [{ body: { n: 1 }, tag: 'a' }, { body: 'two' }] });
    const { result, messages } = await json.call('receive', { ...RECEIVE, maxMessages: 2 });
    const all = messages as { topic: string; partition: number; offset: number; body: unknown }[];
    const { queues, messages: leases } = result as { queues: { partition: number }[]; messages: number[] };
    all.forEach(({ topic, partition, offset }, i) => {
      expect([topic, partition, offset]).toEqual(['orders', queues[leases[i * 4]].partition, leases[i * 4 + 1]]);
    });
    expect(all[0].body).toEqual({ n: 1 });
    const acks = [leases[1], leases[2]];
    const settled = { topic: 'orders', partition: all[0].partition, acks };
    expect(await json.call('settle', { group: 's', topic: 'orders', queues: [settled] })).toMatchObject({
      result: { stale: [[]] },
    });
    expect((await json.call('nothing', {})).code).toBe('unknown-method');
    expect((await json.call('group-describe', { grup: 's' })).code).toBe('illegal-argument');
    expect((await json.ask({ op: 'call', method: 'group-list', params: [] })).code).toBe('malformed-command');
    expect((await json.ask({ op: 'call' })).code).toBe('malformed-command');
  });

  test('messages of a readable call go with it', async () => {
    const json = await new JsonClient(url, []).open();
    const messages = [{ body: 'later', key: 'k' }, { body: { n: 2 } }];
    const deliverAt = [Date.now() + 50, Date.now() + 50];
    const { result } = await json.call('schedule', { topic: 'orders', deliverAt }, { messages });
    expect((result as { handles: string[] }).handles).toHaveLength(2);
    const received = await json.call('receive', { ...RECEIVE, maxMessages: 1 });
    expect(received.messages).toHaveLength(1);
  });

  test('HTTP calls, with an empty body for no parameters, and codes as statuses', async () => {
    expect(await post('/api/call/group-list')).toMatchObject({ status: 200, body: { result: { groups: [] } } });
    expect((await post('/api/call/group-describe', { group: 'nobody' })).status).toBe(404);
    expect((await post('/api/call/nothing', {})).status).toBe(404);
    expect((await post('/api/call/receive', { group: 's' })).status).toBe(400);
    expect((await post('/api/call/receive', '[1]')).body.error).toMatchObject({ code: 'malformed-command' });
    expect((await post('/api/call/receive', '{')).body.error).toMatchObject({ code: 'malformed-command' });
    expect((await fetch(`${url.replace('ws:', 'http:')}/api/call/group-list`)).status).toBe(405);
    expect((await post('/api/call/group-list/more')).status).toBe(404);
    await post('/api/topics/orders/messages', { body: { n: 1 } });
    const { status, body } = await post('/api/call/receive', RECEIVE);
    expect([status, (body.messages as { body: unknown }[])[0].body]).toEqual([200, { n: 1 }]);
  });

  test('a session that ends leaves its groups at once', async () => {
    const json = await new JsonClient(url, []).open();
    await json.call('group-sync', SYNC);
    const connection = client();
    await connection.call('group-sync', { ...SYNC, member: 'm2' });
    expect(await membersOf('g')).toBe(2);
    json.raw.terminate();
    await untilAnswer(
      () => membersOf('g'),
      (count) => count === 1,
      'the readable session has left',
      3_000,
    );
    await connection.close();
    await untilAnswer(
      () => membersOf('g'),
      (count) => count === 0,
      'the connection has left',
      3_000,
    );
  });

  test('a session that was refused a member’s name takes it from nobody when it ends', async () => {
    const connection = client();
    await connection.call('group-sync', SYNC);
    const json = await new JsonClient(url, []).open();
    expect(await json.call('group-sync', { ...SYNC, client: 'somebody else' })).toMatchObject({
      code: 'member-exists',
    });
    json.raw.terminate();
    await sleep(300);
    expect(await membersOf('g')).toBe(1);
  });

  test('messages that are leased to a session which has ended meanwhile are given back', async () => {
    const json = await new JsonClient(url, []).open();
    json.raw.send(JSON.stringify({ op: 'call', id: 1, method: 'receive', params: { ...RECEIVE, waitMs: 20_000 } }));
    await untilAnswer(
      () => post('/api/call/group-list'),
      ({ body }) => (body.result as { groups: unknown[] }).groups.length === 1,
      'the call is held',
    );
    json.raw.terminate();
    await sleep(100);
    await post('/api/topics/orders/messages', { body: 'x' });
    const { body } = await post('/api/call/receive', { ...RECEIVE, member: 'r2', waitMs: 10_000 });
    expect(body.messages).toHaveLength(1);
  });

  test('a session holds no more calls than it may, and others are served', async () => {
    const json = await new JsonClient(url, []).open();
    const params = { ...RECEIVE, waitMs: 20_000 };
    const last = 1_001 + CALLS_HELD_MAX;
    for (let id = 1_001; id <= last; id++) json.raw.send(JSON.stringify({ op: 'call', id, method: 'receive', params }));
    await until(() => json.said.some((one) => one.id === last), 'the last one is refused');
    expect(json.said.filter((one) => one.code === 'busy')).toHaveLength(1);
    expect((await json.call('group-list', {})).op).toBe('called');
  });

  test('the topics that the coordinator keeps things in are made and deleted by nobody else', async () => {
    const json = await new JsonClient(url, []).open();
    for (const topic of ['RMQ_SYS_TIMER', 'RMQ_SYS_TRANS_HALF_TOPIC']) {
      expect(await json.ask({ op: 'create-topic', topic })).toMatchObject({ code: 'no-write-permission' });
      expect(await json.ask({ op: 'route', topic, create: true })).toMatchObject({ code: 'unknown-topic' });
      expect(await json.ask({ op: 'publish', topic, body: 'x' })).toMatchObject({ code: 'unknown-topic' });
      expect(await errorOf(client().createTopic(topic))).toMatchObject({ code: 'no-write-permission' });
    }
    const params = { topic: 'orders', deliverAt: [Date.now() + 60_000] };
    const { result } = await json.call('schedule', params, { messages: [{ body: 'x' }] });
    expect(await json.ask({ op: 'delete-topic', topic: 'RMQ_SYS_TIMER' })).toMatchObject({
      code: 'no-write-permission',
    });
    const { handles } = result as { handles: string[] };
    expect(await json.call('recall', { handle: handles[0] })).toMatchObject({ op: 'called' });
    expect((await json.ask({ op: 'create-topic', topic: 'RMQ_SYS_TRACE_TOPIC' })).op).toBe('route');
    expect((await json.ask({ op: 'delete-topic', topic: 'RMQ_SYS_TRACE_TOPIC' })).op).toBe('ok');
  });

  test('topics of the broker take no messages from clients, by no way', async () => {
    await post('/api/call/group-settings', { group: 'g', settings: {} });
    const own = broker.connect();
    const route = await own.createTopic('%DLQ%g', { partitions: 1 });
    const json = await new JsonClient(url, []).open();
    const refused = await json.ask({ op: 'publish', topic: '%DLQ%g', body: 'x' });
    expect(refused).toMatchObject({
      op: 'error',
      code: 'no-write-permission',
      text: expect.stringContaining('send-back'),
    });
    expect((await post('/api/topics/%25DLQ%25g/messages', { body: 'x' })).status).toBe(403);
    const scheduled = await json.call('schedule', { topic: '%DLQ%g', deliverAt: [0] }, { messages: [{ body: 'x' }] });
    expect(scheduled.code).toBe('no-write-permission');
    const failed = await errorOf(client().producer('%DLQ%g', { timeoutMs: 500 }).send('x'));
    expect(failed).toMatchObject({ code: 'no-write-permission' });
    // The lane's own check: a client that knows the number of the partition.
    const raw = await BinaryClient.connect(url);
    expect(await raw.ack(raw.publish(route.partitions[0], ['x']))).toMatchObject({
      status: codeNumber('no-write-permission'),
    });
  });
});
