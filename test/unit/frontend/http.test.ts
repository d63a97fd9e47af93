import { describe, expect, test } from 'vitest';
import { statusOf } from '../../../src/frontend/http/answers.ts';
import { HistoryApi } from '../../../src/frontend/http/history-api.ts';
import { Origins } from '../../../src/frontend/http/origins.ts';
import { readPublish } from '../../../src/frontend/http/publish-request.ts';
import { Query } from '../../../src/frontend/http/query.ts';
import { type HttpParts, HttpRouter } from '../../../src/frontend/http/router.ts';
import { TopicsApi } from '../../../src/frontend/http/topics-api.ts';
import type { HttpRequest } from '../../../src/frontend/transport/transport.ts';
import { messageId } from '../../../src/record/message-id.ts';
import type { Command, TopicRoute } from '../../../src/wire/commands.ts';

const TOPIC: TopicRoute = {
  topic: 't',
  topicId: 5,
  version: 1,
  overflow: 'block',
  ringBytes: 65_536,
  messageMaxBytes: 1_000,
  direct: false,
  durable: true,
  retentionMs: 7,
  retentionBytes: 0,
  partitions: [],
};

function request(method: string, path: string, headers: Record<string, string> = {}, body = ''): HttpRequest {
  const [bare, query = ''] = path.split('?');
  return {
    method,
    path: bare,
    query,
    remoteAddress: '',
    header: (name) => headers[name] ?? '',
    body: new TextEncoder().encode(body),
    signal: new AbortController().signal,
  };
}

describe('origins', () => {
  test.each<[string, string, string, string[], boolean]>([
    ['no page', '', '127.0.0.1:7400', [], true],
    ['the own page', 'http://127.0.0.1:7400', '127.0.0.1:7400', [], true],
    ['the own page by name', 'http://localhost:7400', 'LOCALHOST:7400', [], true],
    ['the own page over IPv6', 'http://[::1]:7400', '[::1]:7400', [], true],
    ['another port', 'http://127.0.0.1:7401', '127.0.0.1:7400', [], false],
    ['another host', 'http://evil.example', '127.0.0.1:7400', [], false],
    ['a name that was made to point here', 'http://evil.example:7400', 'evil.example:7400', [], false],
    ['a name that looks like ours', 'http://localhost.evil.example', 'localhost.evil.example', [], false],
    ['a page of a file', 'null', '127.0.0.1:7400', [], false],
    ['a listed page', 'https://app.example', '127.0.0.1:7400', ['https://app.example/'], true],
    ['a listed page by another scheme', 'http://app.example', '127.0.0.1:7400', ['https://app.example'], false],
    ['anything', 'http://evil.example', 'evil.example', ['*'], true],
  ])('%s', (_, origin, host, list, allowed) => {
    expect(new Origins(list, '127.0.0.1').allows(origin, host)).toBe(allowed);
  });

  test('on loopback only names that cannot be pointed elsewhere are known, and those that are listed', () => {
    const origins = new Origins(['https://app.example'], '127.0.0.1');
    for (const host of ['', 'localhost', '127.0.0.1:7400', '[::1]:7400', 'app.example', 'x.localhost:1']) {
      expect(origins.knowsHost(host)).toBe(true);
    }
    for (const host of ['evil.example', '127.0.0.1.evil.example:7400', '10.0.0.1']) {
      expect(origins.knowsHost(host)).toBe(false);
    }
    expect(new Origins([], '0.0.0.0').knowsHost('broker.lan')).toBe(true);
    expect(new Origins([], '0.0.0.0').allows('http://broker.lan', 'broker.lan')).toBe(true);
    expect(new Origins([], '0.0.0.0').allows('http://evil.example', 'broker.lan')).toBe(false);
  });
});

describe('the router', () => {
  const asked: string[] = [];
  const serve = (name: string) => (_request: HttpRequest, topic: string) => {
    asked.push(`${name} ${topic}`);
    return { status: 200, headers: {}, body: '' };
  };
  const parts: HttpParts = {
    origins: new Origins([], '127.0.0.1'),
    asset: ({ path }) => (path === '/' ? { status: 200, headers: {}, body: 'page' } : undefined),
    health: serve('health'),
    metrics: serve('metrics'),
    topics: serve('topics'),
    createTopic: serve('create'),
    deleteTopic: serve('delete'),
    route: serve('route'),
    publish: serve('publish'),
    pull: serve('pull'),
    query: serve('query'),
    setRetention: serve('retention'),
    call: serve('call'),
    groups: serve('groups'),
    group: serve('group'),
    message: serve('message'),
  };
  const router = new HttpRouter(parts);

  test.each([
    ['GET', '/health', 'health '],
    ['HEAD', '/metrics', 'metrics '],
    ['GET', '/api/topics', 'topics '],
    ['GET', '/api/groups', 'groups '],
    ['GET', '/api/groups/a%25', 'group a%'],
    ['PUT', '/api/topics/a.b-c_d%7C%25', 'create a.b-c_d|%'],
    ['DELETE', '/api/topics/t', 'delete t'],
    ['POST', '/api/topics/t/messages', 'publish t'],
    ['GET', '/api/topics/t/messages', 'pull t'],
    ['GET', '/api/topics/t/query?key=k', 'query t'],
    ['PUT', '/api/topics/t/retention', 'retention t'],
    ['GET', '/api/messages/000000050001000000000007', 'message 000000050001000000000007'],
    ['GET', '/api/routes/t', 'route t'],
  ])('%s %s', async (method, path, who) => {
    asked.length = 0;
    expect((await router.handle(request(method, path))).status).toBe(200);
    expect(asked).toEqual([who]);
  });

  test.each([
    ['GET', '/api', 404],
    ['GET', '/api/', 404],
    ['GET', '/api/topics/', 400],
    ['GET', '/api/topics/t/messages/x', 404],
    ['GET', '/api/topics/t/other', 404],
    ['POST', '/api/topics/t/query', 405],
    ['GET', '/api/topics/t/retention', 405],
    ['GET', '/api/messages', 404],
    ['GET', '/api/messages/x/y', 404],
    ['DELETE', '/api/messages/x', 405],
    ['GET', '/api/routes', 404],
    ['PATCH', '/api/topics/t', 405],
    ['POST', '/', 405],
    ['constructor', '/health', 405],
  ])('%s %s is refused', async (method, path, status) => {
    expect((await router.handle(request(method, path))).status).toBe(status);
  });

  test('a fault is not answered but thrown on', async () => {
    const broken = new HttpRouter({
      ...parts,
      health: () => {
        throw new TypeError('bug');
      },
    });
    await expect(broken.handle(request('GET', '/health'))).rejects.toThrow(TypeError);
  });
});

describe('a publish over HTTP', () => {
  const json = { 'content-type': 'application/json; charset=utf-8' };
  const read = (path: string, headers: Record<string, string>, body: string) =>
    readPublish(request('POST', path, headers, body), 't');
  const bodies = (path: string, body: string) =>
    read(path, {}, body).messages.map((one) => new TextDecoder().decode(one.body));

  test('lines end at line breaks of either kind; the last one ends nothing but its line', () => {
    expect(bodies('/?lines=1', 'a\nb\r\n\nc')).toEqual(['a', 'b', '', 'c']);
    expect(bodies('/?lines=1', 'a\n')).toEqual(['a']);
    expect(bodies('/?lines', '\n')).toEqual(['']);
    expect(bodies('/?lines=0', 'a\nb')).toEqual(['a\nb']);
    expect(() => bodies('/?lines=1', '')).toThrow('empty');
  });

  test('a JSON body cannot be anything but a publish to the topic of the path', () => {
    const { messages } = read('/', json, '{"op":"delete-topic","topic":"other","id":9,"body":1}');
    expect(messages).toHaveLength(1);
    expect(() => read('/', json, '{"body":1,"__proto__":{"x":1}}')).toThrow();
    expect(() => read('/', json, '"text"')).toThrow('JSON object');
    expect(() => read('/', json, '{')).toThrow('not JSON');
  });
});

test('a publish waits for what it asks for, in the address or in the body', () => {
  const ack = (path: string, type = '', body = 'x') =>
    readPublish(request('POST', path, { 'content-type': type }, body), 't').ack;
  expect(ack('/')).toBeUndefined();
  expect(ack('/?ack=written')).toBe('written');
  expect(ack('/', 'application/json', '{"body":1,"ack":"durable"}')).toBe('durable');
  expect(ack('/?ack=accepted', 'application/json', '{"body":1,"ack":"durable"}')).toBe('accepted');
  for (const bad of ['none', 'DURABLE', '', '3', 'constructor']) {
    expect(() => ack(`/?ack=${bad}`)).toThrow('accepted, written or durable');
  }
});

describe('topics over HTTP', () => {
  const asked: Command[] = [];
  const route = { type: 'route-reply', route: TOPIC } as const;
  const api = new TopicsApi(async (command) => {
    asked.push(command);
    return command.type === 'set-retention' ? { type: 'done' } : route;
  });
  const put = (path: string, body: unknown) => request('PUT', path, {}, JSON.stringify(body));

  test('a topic is created durable or volatile, with a retention of its own', async () => {
    asked.length = 0;
    await api.create(put('/', { durable: false }), 't');
    await api.create(put('/', { retentionMs: 5, retentionBytes: 2 ** 40 }), 't');
    expect(asked[0]).toMatchObject({ durable: false, retentionMs: 0, retentionBytes: 0 });
    expect(asked[1]).toMatchObject({ durable: undefined, retentionMs: 5, retentionBytes: 2 ** 40 });
  });

  test('retention is set, and the route says so', async () => {
    asked.length = 0;
    const { status, body } = await api.setRetention(put('/', { retentionMs: 60_000 }), 't');
    expect(asked[0]).toEqual({ type: 'set-retention', topic: 't', retentionMs: 60_000, retentionBytes: 0 });
    expect(status).toBe(200);
    expect(JSON.parse(String(body))).toMatchObject({ topic: 't', durable: true, retentionMs: 7 });
  });

  test.each<[unknown, string]>([
    [{}, 'at least one of retentionMs, retentionBytes'],
    [{ retentionMs: -1 }, 'retentionMs is a whole number'],
    [{ retentionBytes: 1.5 }, 'retentionBytes is a whole number'],
    [{ retentionBytes: '1' }, 'retentionBytes is a whole number'],
    [{ retention: 1 }, 'retention: no such member'],
    [[], 'JSON object'],
  ])('a retention of %j is refused', async (body, text) => {
    await expect(api.setRetention(put('/', body), 't')).rejects.toThrow(text);
  });

  test('durable is true or false', async () => {
    await expect(api.create(put('/', { durable: 1 }), 't')).rejects.toThrow('true or false');
  });
});

test('a message id that is none, or of a topic that is gone, is refused', async () => {
  const api = new HistoryApi({
    ask: async () => ({ type: 'topics-reply', topics: [TOPIC], more: false }),
    routes: { fetch: async () => TOPIC },
    pulls: {
      begin: (_puller, { from }, target) => {
        const offset = (from as { offset: number }).offset;
        target.answer({ id: 1, number: 0, epoch: 7, nextOffset: offset, gap: false, batches: new Uint8Array(0) });
      },
    },
    queries: { run: async () => ({ route: TOPIC, matches: [], more: false }) },
    questions: undefined,
    kick: () => {},
  });
  const get = (id: string) => api.message(request('GET', `/api/messages/${id}`), id);
  for (const bad of ['', 'x', '0'.repeat(23), '0'.repeat(25), 'g'.repeat(24)]) {
    await expect(get(bad)).rejects.toThrow('24 hex digits');
  }
  await expect(get(messageId(99, 0, 1))).rejects.toMatchObject({ code: 'unknown-topic' });
  await expect(get(messageId(5, 0, 1))).rejects.toMatchObject({ code: 'not-found' });
});

test('numbers in a query are whole and safe, and unknown names are refused', () => {
  const query = new Query('n=12&flag&e=', ['n', 'flag', 'e']);
  expect(query.count('n', 0)).toBe(12);
  expect(query.count('missing', 7)).toBe(7);
  expect(query.flag('flag')).toBe(true);
  for (const bad of ['-1', '1.5', '1e3', 'x', '', '99999999999999999', '0x10', ' 1']) {
    expect(() => new Query(`n=${encodeURIComponent(bad)}`, ['n']).count('n', 0)).toThrow('whole number');
  }
  expect(() => new Query('m=1', ['n'])).toThrow('known are n');
});

test('statuses: what may succeed later says so', () => {
  expect(statusOf('busy')).toBe(429);
  expect(statusOf('broker-unavailable')).toBe(503);
  expect(statusOf('log-busy')).toBe(429);
  expect(statusOf('store-failed')).toBe(503);
  expect(statusOf('disk-full')).toBe(507);
  expect(statusOf('unknown-topic')).toBe(404);
  expect(statusOf('illegal-argument')).toBe(400);
  expect(statusOf('internal')).toBe(500);
});
