import { describe, expect, test } from 'vitest';
import { statusOf } from '../../../src/frontend/http/answers.ts';
import { Origins } from '../../../src/frontend/http/origins.ts';
import { readPublish } from '../../../src/frontend/http/publish-request.ts';
import { Query } from '../../../src/frontend/http/query.ts';
import { type HttpParts, HttpRouter } from '../../../src/frontend/http/router.ts';
import type { HttpRequest } from '../../../src/frontend/transport/transport.ts';

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
  };
  const router = new HttpRouter(parts);

  test.each([
    ['GET', '/health', 'health '],
    ['HEAD', '/metrics', 'metrics '],
    ['GET', '/api/topics', 'topics '],
    ['PUT', '/api/topics/a.b-c_d%7C%25', 'create a.b-c_d|%'],
    ['DELETE', '/api/topics/t', 'delete t'],
    ['POST', '/api/topics/t/messages', 'publish t'],
    ['GET', '/api/topics/t/messages', 'pull t'],
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
  expect(statusOf('unknown-topic')).toBe(404);
  expect(statusOf('illegal-argument')).toBe(400);
  expect(statusOf('internal')).toBe(500);
});
