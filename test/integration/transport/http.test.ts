// The contract of both transports: plain HTTP on the same port.
import http from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import type { HttpRequest, HttpResponse } from '../../../src/frontend/transport/transport.ts';
import { until } from '../../support/until.ts';
import { connect, connectRaw, HOST, KINDS, LIMITS, start, stopAll } from './harness.ts';

afterEach(stopAll);

/** Answers with what it was asked. */
async function mirror(request: HttpRequest): Promise<HttpResponse> {
  await new Promise(setImmediate);
  if (request.path === '/missing') return { status: 404, headers: {}, body: 'no such thing' };
  if (request.path === '/nothing') return { status: 204, headers: {}, body: '' };
  const { method, path, query, remoteAddress } = request;
  const token = request.header('x-token');
  const body = JSON.stringify({ method, path, query, remoteAddress, token, length: request.body.length });
  return { status: 200, headers: { 'content-type': 'application/json', 'x-own': 'yes' }, body };
}

describe.each(KINDS)('%s: HTTP', (kind) => {
  test('GET, POST, HEAD, 204 and 404, several on one connection', async () => {
    const server = await start(kind, { request: mirror });
    const url = `http://${HOST}:${server.port}`;
    for (let round = 0; round < 3; round++) {
      const got = await fetch(`${url}/a%20b?c=%2F`, { headers: { 'X-Token': 'abc' } });
      expect(got.status).toBe(200);
      expect(got.headers.get('x-own')).toBe('yes');
      const common = { path: '/a%20b', query: 'c=%2F', remoteAddress: '127.0.0.1', token: 'abc' };
      expect(await got.json()).toEqual({ ...common, method: 'GET', length: 0 });

      const head = await fetch(`${url}/x`, { method: 'HEAD' });
      expect(head.status).toBe(200);
      expect(Number(head.headers.get('content-length'))).toBeGreaterThan(50);
      expect(await head.text()).toBe('');

      const posted = await fetch(`${url}/x`, { method: 'POST', body: Buffer.alloc(60_000, 1) });
      expect(await posted.json()).toMatchObject({ method: 'POST', length: 60_000, query: '' });

      expect((await fetch(`${url}/nothing`)).status).toBe(204);
      const missing = await fetch(`${url}/missing`, { method: 'DELETE' });
      expect(missing.status).toBe(404);
      expect(await missing.text()).toBe('no such thing');
    }
  });

  test('one keep-alive connection serves HEAD, GET and POST one after the other', async () => {
    const server = await start(kind, { request: mirror });
    const raw = await connectRaw(server.port);
    let seen = 0;
    for (const request of ['HEAD /1', 'GET /2', 'HEAD /3', 'GET /4']) {
      raw.socket.write(`${request} HTTP/1.1\r\nHost: x\r\n\r\n`);
      await until(() => raw.text().split('HTTP/1.1 200 OK').length === seen + 2, `${request} is answered`);
      seen++;
    }
    expect(raw.ended()).toBe(false);
  });

  test('the body arrives whole however it is cut, and is an owned copy', async () => {
    const bodies: Uint8Array[] = [];
    const server = await start(kind, {
      request: (request) => {
        bodies.push(request.body);
        return { status: 200, headers: {}, body: request.body };
      },
    });
    const parts = Array.from({ length: 50 }, (_, n) => Buffer.alloc(1_000, n));
    const answer = await sendInParts(server.port, parts, {});
    expect(answer.status).toBe(200);
    expect(answer.body.equals(Buffer.concat(parts))).toBe(true);
    expect(Buffer.from(bodies[0].slice()).equals(Buffer.concat(parts))).toBe(true);
  });

  test('a large answer arrives whole, from shared memory too', async () => {
    const shared = new Uint8Array(new SharedArrayBuffer(5_000_000)).fill(7);
    const server = await start(kind, { request: () => ({ status: 200, headers: {}, body: shared.subarray(1) }) });
    const answer = await fetch(`http://${HOST}:${server.port}/`);
    const body = Buffer.from(await answer.arrayBuffer());
    expect(body.equals(Buffer.alloc(4_999_999, 7))).toBe(true);
  });

  test('a body declared too large is answered with 413 before it is read', async () => {
    let asked = 0;
    const server = await start(kind, {
      request: () => {
        asked++;
        return { status: 200, headers: {}, body: '' };
      },
    });
    const raw = await connectRaw(server.port);
    raw.socket.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${LIMITS.bodyMaxBytes + 1}\r\n\r\n`);
    await until(() => raw.text().startsWith('HTTP/1.1 413 '), '413 comes before the body is sent');
    const answer = await sendInParts(server.port, [Buffer.alloc(LIMITS.bodyMaxBytes)], {});
    expect(answer.status).toBe(200);
    expect(asked).toBe(1);
  });

  test('a chunked body is answered with 413 as soon as it is too large', async () => {
    let asked = 0;
    const server = await start(kind, {
      request: () => {
        asked++;
        return { status: 200, headers: {}, body: '' };
      },
    });
    const raw = await connectRaw(server.port);
    raw.socket.write('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
    const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`;
    for (let n = 0; n < 5; n++) raw.socket.write(chunk);
    await until(() => raw.text().startsWith('HTTP/1.1 413 '), '413 comes before the body is complete');
    const parts = Array.from({ length: 100 }, () => Buffer.alloc(16_384));
    expect((await sendInParts(server.port, parts, {})).status).toBe(413);
    expect(asked).toBe(0);
  });

  test('a client that goes away before the answer aborts the signal', async () => {
    let request: HttpRequest | undefined;
    const server = await start(kind, {
      request: (asked) => {
        request = asked;
        return new Promise((resolve) => {
          asked.signal.addEventListener('abort', () => resolve({ status: 200, headers: {}, body: 'too late' }));
        });
      },
    });
    const controller = new AbortController();
    const asked = fetch(`http://${HOST}:${server.port}/`, { signal: controller.signal }).catch(() => 'aborted');
    await until(() => request !== undefined, 'the request arrives');
    expect(request?.signal.aborted).toBe(false);
    controller.abort();
    expect(await asked).toBe('aborted');
    await until(() => request?.signal.aborted === true, 'the signal fires');
  });

  test('a client that goes away in the middle of its body is forgotten', async () => {
    let asked = 0;
    const server = await start(kind, {
      request: () => {
        asked++;
        return { status: 200, headers: {}, body: '' };
      },
    });
    const raw = await connectRaw(server.port);
    raw.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf');
    await new Promise((resolve) => setTimeout(resolve, 20));
    raw.socket.destroy();
    expect((await fetch(`http://${HOST}:${server.port}/`)).status).toBe(200);
    expect(asked).toBe(1);
  });

  test('close() waits for an answer in progress and refuses new requests', async () => {
    let answer: (() => void) | undefined;
    const server = await start(kind, {
      request: () =>
        new Promise((resolve) => {
          answer = () => resolve({ status: 200, headers: {}, body: 'in time' });
        }),
    });
    const asked = fetch(`http://${HOST}:${server.port}/`);
    await until(() => answer !== undefined, 'the request arrives');
    const closing = server.transport.close(1001, '');
    await new Promise((resolve) => setTimeout(resolve, 30));
    answer?.();
    expect(await (await asked).text()).toBe('in time');
    await closing;
    await expect(fetch(`http://${HOST}:${server.port}/`)).rejects.toThrow();
  });

  test('a request that is never answered does not hold up close() for ever', async () => {
    let asked = 0;
    const server = await start(kind, { request: () => new Promise(() => asked++) });
    const answer = fetch(`http://${HOST}:${server.port}/`).catch(() => 'cut');
    await until(() => asked === 1, 'the request arrives');
    await server.transport.close(1001, '');
    expect(await answer).toBe('cut');
  });

  test('HTTP and WebSocket share the port', async () => {
    const server = await start(kind, { request: mirror, message: (socket, data) => socket.send(data) });
    const client = await connect(server.port, [], { path: '/same' });
    client.raw.send('ws');
    expect((await fetch(`http://${HOST}:${server.port}/same`)).status).toBe(200);
    expect((await client.frame(0)).toString()).toBe('ws');
  });
});

/** POST with a chunked body, one part at a time. */
function sendInParts(port: number, parts: readonly Uint8Array[], headers: Record<string, string>) {
  return new Promise<{ status: number; body: Buffer }>((resolve, reject) => {
    const request = http.request({ host: HOST, port, method: 'POST', path: '/', headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
    });
    request.on('error', reject);
    const next = (index: number) => {
      if (index === parts.length) request.end();
      else request.write(parts[index], () => setImmediate(next, index + 1));
    };
    next(0);
  });
}
