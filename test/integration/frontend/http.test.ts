import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { Broker } from '../../../src/server/broker.ts';
import { until } from '../../support/until.ts';
import { BinaryClient, KINDS, RawClient, start, stopAll } from './harness.ts';

let broker: Broker;
let base: string;

afterEach(stopAll);

async function begin(options: Parameters<typeof start>[0] = {}): Promise<void> {
  broker = await start(options);
  base = (broker.url as string).replace('ws:', 'http:');
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: the tests look into it.
  readonly body: any;
}

async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const isRaw = typeof body === 'string' || body instanceof Uint8Array;
  const init: RequestInit = {
    method,
    headers: { ...(isRaw ? {} : { 'content-type': 'application/json' }), ...headers },
  };
  if (body !== undefined) init.body = isRaw ? (body as BodyInit) : JSON.stringify(body);
  const response = await fetch(`${base}${path}`, init);
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json');
  return { status: response.status, headers: response.headers, body: isJson && text !== '' ? JSON.parse(text) : text };
}

describe.each(KINDS)('HTTP over %s', (transport) => {
  beforeEach(() => begin({ transport }));

  test('messages go in and come out', async () => {
    expect((await call('PUT', '/api/topics/t', { partitions: 1 })).status).toBe(201);
    const one = await call('POST', '/api/topics/t/messages', {
      body: { a: 1 },
      key: 'k',
      tag: 'x',
      properties: { p: 'q' },
    });
    expect(one).toMatchObject({ status: 200, body: { acks: [{ partition: 0, offset: 0 }] } });
    const many = await call('POST', '/api/topics/t/messages', { messages: [{ body: 'two' }, { bodyBase64: '/w==' }] });
    expect(many.body).toEqual({ acks: [1, 2].map((offset) => ({ partition: 0, offset })) });
    const raw = await call('POST', '/api/topics/t/messages?key=k2&tag=y', 'plain text');
    expect(raw.body.acks).toEqual([{ partition: 0, offset: 3 }]);
    const lines = await call('POST', '/api/topics/t/messages?lines=1', 'four\r\nfive\n\nseven\n');
    expect(lines.body.acks).toHaveLength(4);
    const all = await call('GET', '/api/topics/t/messages');
    expect(all.body).toMatchObject({ partition: 0, nextOffset: 8, gap: false });
    expect(all.body.messages.map((m: { body?: unknown; bodyBase64?: string }) => m.body ?? m.bodyBase64)).toEqual([
      { a: 1 },
      'two',
      '/w==',
      'plain text',
      'four',
      'five',
      '',
      'seven',
    ]);
    expect(all.body.messages[0]).toMatchObject({ key: 'k', tag: 'x', properties: { p: 'q' } });
    const some = await call('GET', '/api/topics/t/messages?offset=2&max=3');
    expect(some.body.messages.map((m: { offset: number }) => m.offset)).toEqual([2, 3, 4]);
    expect(some.body.nextOffset).toBe(5);
    const rest = await call('GET', `/api/topics/t/messages?offset=${some.body.nextOffset}`);
    expect(rest.body.messages.map((m: { offset: number }) => m.offset)).toEqual([5, 6, 7]);
  });

  test('messages spread over partitions keep their places in the answer', async () => {
    await call('PUT', '/api/topics/t', { partitions: 4 });
    const messages = Array.from({ length: 200 }, (_, i) => ({ body: i, key: `key${i % 17}` }));
    const { body } = await call('POST', '/api/topics/t/messages', { messages });
    expect(body.acks).toHaveLength(200);
    for (let i = 0; i < 200; i += 37) {
      const { partition, offset } = body.acks[i];
      const read = await call('GET', `/api/topics/t/messages?partition=${partition}&offset=${offset}&max=1`);
      expect(read.body.messages[0].body).toBe(i);
    }
  });

  test('a pull with a filter gives what matches, waits for it, and says where to go on', async () => {
    await call('PUT', '/api/topics/t', { partitions: 1 });
    const post = (tag: string, n: number) =>
      call('POST', '/api/topics/t/messages', { body: n, tag, properties: { n: String(n) } });
    for (let i = 0; i < 6; i++) await post(i % 2 === 0 ? 'even' : 'odd', i);
    const offsets = (answer: { body: { messages: { offset: number }[] } }) =>
      answer.body.messages.map(({ offset }) => offset);
    const odd = await call('GET', '/api/topics/t/messages?filter=odd');
    expect([offsets(odd), odd.body.nextOffset]).toEqual([[1, 3, 5], 6]);
    const one = await call('GET', '/api/topics/t/messages?filter=odd%20%7C%7C%20none&max=1');
    expect([offsets(one), one.body.nextOffset]).toEqual([[1], 3]);
    const sql = await call('GET', `/api/topics/t/messages?sql=${encodeURIComponent("n > 2 AND TAGS = 'even'")}`);
    expect(offsets(sql)).toEqual([4]);
    const none = await call('GET', '/api/topics/t/messages?filter=none&wait=50');
    expect(none.body).toMatchObject({ messages: [], nextOffset: 6, gap: false });
    const waiting = call('GET', '/api/topics/t/messages?offset=0&filter=late&wait=10000');
    await post('odd', 6);
    await post('late', 7);
    const late = await waiting;
    expect([offsets(late), late.body.nextOffset]).toEqual([[7], 8]);
    const both = await call('GET', '/api/topics/t/messages?filter=odd&sql=n');
    expect([both.status, both.body.error.code]).toEqual([400, 'illegal-argument']);
    const wrong = await call('GET', '/api/topics/t/messages?sql=n%20%3E');
    expect([wrong.status, wrong.body.error.code]).toEqual([400, 'illegal-filter']);
  });

  test('a pull waits for the first message', async () => {
    await call('PUT', '/api/topics/t', { partitions: 1 });
    const waiting = call('GET', '/api/topics/t/messages?from=latest&wait=10000');
    const other = fetch(`${base}/api/topics/t/messages?from=latest&wait=10000`, { signal: AbortSignal.timeout(200) });
    await expect(other).rejects.toThrow();
    await call('POST', '/api/topics/t/messages', { body: 'came' });
    expect((await waiting).body.messages[0].body).toBe('came');
    expect((await call('GET', '/api/topics/t/messages?from=latest&wait=50')).body.messages).toEqual([]);
  });

  test('topics and routes', async () => {
    await call('PUT', '/api/topics/b%25x', { partitions: 2, overflow: 'reject', ringBytes: 65_536 });
    await call('PUT', '/api/topics/a');
    const list = await call('GET', '/api/topics');
    expect(list.body.topics.map((one: { topic: string }) => one.topic)).toEqual(['a', 'b%x']);
    const page = await call('GET', '/api/topics?after=a&limit=1');
    expect(page.body).toMatchObject({ topics: [{ topic: 'b%x' }], more: false });
    const route = await call('GET', '/api/routes/b%25x');
    expect(route.body).toMatchObject({ topic: 'b%x', overflow: 'reject', ringBytes: 65_536 });
    expect(await call('DELETE', '/api/topics/a')).toMatchObject({ status: 200, body: { deleted: 'a' } });
    expect((await call('GET', '/api/routes/a')).status).toBe(404);
  });

  test('health and figures', async () => {
    const health = await call('GET', '/health');
    expect(health).toMatchObject({
      status: 200,
      body: { status: 'ok', broker: 'ringmq', workers: { alive: 1, expected: 1 } },
    });
    expect(health.body.transport).toBe(transport === 'ws' ? 'ws' : 'uWebSockets.js');
    const client = await BinaryClient.connect(broker.url as string);
    const [partition] = (await client.createTopic('t')).partitions;
    await client.subscribe('t');
    await client.ack(client.publish(partition, ['a', 'b', 'c']));
    await until(() => client.delivered.length === 3, 'all arrive');
    await new Promise((resolve) => setTimeout(resolve, 200));
    const metrics = await call('GET', '/metrics');
    expect(metrics.headers.get('content-type')).toContain('text/plain');
    expect(metrics.body).toMatch(/^ringmq_messages_in_total\{seat="2",role="broker"\} 3$/m);
    expect(metrics.body).toMatch(/^ringmq_messages_out_total\{seat="\d+",role="frontend"\} 3$/m);
    expect(metrics.body).toMatch(/^ringmq_connections 1$/m);
    expect(metrics.body).toMatch(/^ringmq_topics 1$/m);
    expect(metrics.body).toMatch(/^ringmq_topic_messages_total\{topic="t"\} 3$/m);
    expect(metrics.body).toMatch(/^ringmq_topic_ring_used_bytes\{topic="t"\} \d{3,}$/m);
    expect(metrics.body).toMatch(/^process_resident_memory_bytes \d+$/m);
    const again = await call('GET', '/metrics');
    expect(again.body).toMatch(/^ringmq_messages_in_total\{seat="2",role="broker"\} 3$/m);
  });

  test('the page and its files have a type and an etag; nothing else is served', async () => {
    const page = await call('GET', '/');
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toContain('text/html');
    const etag = page.headers.get('etag') as string;
    expect((await call('GET', '/', undefined, { 'if-none-match': etag })).status).toBe(304);
    const head = await call('HEAD', '/');
    expect(head).toMatchObject({ status: 200, body: '' });
    for (const path of [
      '/package.json',
      '/../package.json',
      '/%2e%2e/package.json',
      '/dashboard/../../package.json',
      '//',
    ]) {
      expect((await call('GET', path)).status).toBe(404);
    }
  });
});

describe('what HTTP refuses', () => {
  beforeEach(() => begin());

  test.each<[string, string, string, unknown, number, string]>([
    ['an unknown path', 'GET', '/nothing', undefined, 404, 'not-found'],
    ['an unknown path of the API', 'GET', '/api/nothing', undefined, 404, 'not-found'],
    ['a method that a path does not take', 'DELETE', '/health', undefined, 405, 'method-not-allowed'],
    ['a method that a topic does not take', 'POST', '/api/topics/t', {}, 405, 'method-not-allowed'],
    ['a topic with illegal characters', 'PUT', '/api/topics/a%2Fb', undefined, 400, 'illegal-topic'],
    ['a topic that is no UTF-8', 'PUT', '/api/topics/%ff', undefined, 400, 'illegal-topic'],
    ['a name that is none', 'PUT', '/api/topics/..%2e', undefined, 201, ''],
    ['a topic that is not there', 'DELETE', '/api/topics/t', undefined, 404, 'unknown-topic'],
    ['a pull of a topic that is not there', 'GET', '/api/topics/t/messages', undefined, 404, 'unknown-topic'],
    ['a ring that is no power of two', 'PUT', '/api/topics/t', { ringBytes: 100_000 }, 400, 'illegal-argument'],
    ['a member that does not exist', 'PUT', '/api/topics/t', { shards: 2 }, 400, 'illegal-argument'],
    ['a body that is no JSON', 'POST', '/api/topics/t/messages', undefined, 400, 'malformed-command'],
    ['a body that is no object', 'POST', '/api/topics/t/messages', [1], 400, 'malformed-command'],
    ['a message without a body', 'POST', '/api/topics/t/messages', { key: 'k' }, 400, 'malformed-command'],
    ['an unknown member', 'POST', '/api/topics/t/messages', { body: 1, propertes: {} }, 400, 'malformed-command'],
    ['an unknown parameter', 'POST', '/api/topics/t/messages?kye=1', 'x', 400, 'illegal-argument'],
    ['an offset that is no number', 'GET', '/api/topics/t/messages?offset=x', undefined, 400, 'illegal-argument'],
    ['a partition that is not there', 'POST', '/api/topics/t/messages?partition=9', 'x', 404, 'unknown-partition'],
    ['a message too large', 'POST', '/api/topics/t/messages', 'x'.repeat(2_000_000), 413, 'message-too-large'],
  ])('%s', async (_, method, path, body, status, code) => {
    const answer = await call(method, path, body);
    expect(answer.status).toBe(status);
    if (code === '') return;
    expect(answer.body.error).toMatchObject({ code });
    expect(answer.body.error.text).not.toBe('');
    expect(answer.body.error.number).toBeGreaterThan(0);
  });

  test('a topic that exists already, unless that is fine', async () => {
    await call('PUT', '/api/topics/t');
    expect((await call('PUT', '/api/topics/t')).status).toBe(409);
    expect((await call('PUT', '/api/topics/t', { ifNotExists: true })).status).toBe(201);
  });

  test('a full topic answers 429 with the time to come back', async () => {
    await call('PUT', '/api/topics/t', { partitions: 1, overflow: 'reject', ringBytes: 16_384 });
    const connection = broker.connect();
    const consumer = connection.consumer('t', { bufferMessages: 1 });
    await consumer.ready();
    let answer = await call('POST', '/api/topics/t/messages', 'x'.repeat(3_000));
    for (let i = 0; i < 20 && answer.status === 200; i++) {
      answer = await call('POST', '/api/topics/t/messages', 'x'.repeat(3_000));
    }
    expect(answer).toMatchObject({ status: 429, body: { error: { code: 'ring-full' } } });
    expect(answer.headers.get('retry-after')).toBe('1');
    await connection.close();
  });
});

describe('origins', () => {
  const open = (origin: string) => new RawClient(broker.url as string, [], { origin }).open();

  test('pages of others may neither connect nor change anything', async () => {
    await begin();
    const evil = { origin: 'http://evil.example' };
    await expect(open(evil.origin)).rejects.toThrow('status 403');
    await expect(open('null')).rejects.toThrow('status 403');
    await expect(open(`http://127.0.0.1:1`)).rejects.toThrow('status 403');
    expect((await call('POST', '/api/topics/t/messages', 'x', evil)).status).toBe(403);
    expect((await call('PUT', '/api/topics/t', undefined, evil)).status).toBe(403);
    const read = await call('GET', '/health', undefined, evil);
    expect(read.headers.get('access-control-allow-origin')).toBeNull();
  });

  test('the broker’s own page may, and pages that are listed', async () => {
    await begin({ origins: ['https://app.example'] });
    await open(base);
    await open('https://app.example');
    const headers = { origin: 'https://app.example' };
    const answer = await call('POST', '/api/topics/t/messages', 'x', headers);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://app.example');
    const preflight = await call('OPTIONS', '/api/topics/t/messages', undefined, headers);
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-methods')).toContain('POST');
    expect((await call('OPTIONS', '/api/topics/t', undefined, { origin: 'http://evil.example' })).status).toBe(403);
  });

  test('a name that somebody made point here is not known', async () => {
    await begin();
    const rebound = new RawClient(broker.url as string, [], { host: 'evil.example', origin: 'http://evil.example' });
    await expect(rebound.open()).rejects.toThrow('status 403');
  });
});

describe('sys.metrics', () => {
  test('goes out every second with real figures', async () => {
    await begin({ systemMetrics: true });
    const client = await BinaryClient.connect(broker.url as string);
    const [partition] = (await client.createTopic('t')).partitions;
    await client.subscribe('sys.metrics');
    await client.ack(client.publish(partition, ['a']));
    await until(() => client.delivered.length >= 3, 'three samples arrive');
    const sample = JSON.parse(client.delivered[2].text);
    expect(sample.totals.messagesIn).toBeGreaterThan(0);
    expect(sample.connections).toBe(1);
    expect(sample.cpu.cores.length).toBeGreaterThan(0);
    for (const core of sample.cpu.cores) expect(core >= 0 && core <= 100).toBe(true);
    expect(sample.memory.rssBytes).toBeGreaterThan(1_000_000);
    expect(sample.partitions.topics).toBe(2);
    expect(sample.seats.map((one: { role: string }) => one.role)).toEqual(
      expect.arrayContaining(['nameserver', 'broker', 'frontend']),
    );
    expect(sample.eventLoop.utilization).toBeGreaterThanOrEqual(0);
    const json: string[] = [];
    const page = new WebSocket(broker.url as string);
    page.onopen = () => page.send('{"op":"subscribe","topic":"sys.metrics","from":{"last":1}}');
    page.onmessage = (event) => json.push(event.data as string);
    await until(() => json.length >= 2, 'the last sample arrives');
    expect(JSON.parse(json[1]).body).toHaveProperty('uptimeS');
    page.close();
  });
});
