// The contract of both transports: how connections end.
import { afterEach, describe, expect, test } from 'vitest';
import { DROPPED, type Socket } from '../../../src/frontend/transport/transport.ts';
import { until } from '../../support/until.ts';
import { connect, connectRaw, KINDS, start, stopAll, upgradeText } from './harness.ts';

afterEach(stopAll);

function useAfterClose(socket: Socket): void {
  expect(socket.send('late')).toBe(DROPPED);
  expect(socket.send(new Uint8Array(3))).toBe(DROPPED);
  expect(socket.bufferedBytes()).toBe(0);
  socket.cork(() => {
    throw new Error('cork ran after close');
  });
  socket.close(1000, 'again');
  socket.terminate();
}

describe.each(KINDS)('%s: closing', (kind) => {
  test('the server closes: the peer gets code and reason, the handler one call with the code', async () => {
    const server = await start(kind);
    const client = await connect(server.port);
    const [socket] = server.opened;
    socket.session = { mine: true };
    socket.close(4321, 'ünd tschüß');
    useAfterClose(socket);
    expect(await client.end()).toEqual({ code: 4321, reason: 'ünd tschüß' });
    await until(() => server.closes.length > 0, 'the close handler ran');
    useAfterClose(socket);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(server.closes).toEqual([{ socket, code: 4321 }]);
    expect(socket.session).toEqual({ mine: true });
  });

  test('the client closes: the handler gets its code', async () => {
    const server = await start(kind);
    for (const code of [1000, 1001, 4000, 4999]) {
      const client = await connect(server.port);
      client.raw.close(code, 'bye');
      expect((await client.end()).code).toBe(code);
    }
    await until(() => server.closes.length === 4, 'the close handler ran');
    expect(server.closes.map((close) => close.code)).toEqual([1000, 1001, 4000, 4999]);
    for (const socket of server.opened) useAfterClose(socket);
  });

  test('a close frame without a code is 1005, a connection that breaks is 1006', async () => {
    const server = await start(kind);
    (await connect(server.port)).raw.close();
    await until(() => server.closes.length === 1, 'the first close');
    (await connect(server.port)).raw.terminate();
    await until(() => server.closes.length === 2, 'the second close');
    const reset = await connectRaw(server.port);
    reset.socket.write(upgradeText());
    await until(() => server.opened.length === 3, 'open');
    reset.socket.resetAndDestroy();
    await until(() => server.closes.length === 3, 'the third close');
    expect(server.closes.map((close) => close.code)).toEqual([1005, 1006, 1006]);
  });

  test('terminate ends at once, and the handler runs once', async () => {
    const server = await start(kind);
    const client = await connect(server.port);
    server.opened[0].terminate();
    useAfterClose(server.opened[0]);
    expect((await client.end()).code).toBe(1006);
    await until(() => server.closes.length === 1, 'the close handler ran');
    expect(server.closes[0].code).toBe(1006);
  });

  test('the close handler never runs inside close() or terminate()', async () => {
    let inside = false;
    const nested: boolean[] = [];
    const server = await start(kind, { close: () => nested.push(inside) });
    await Promise.all([connect(server.port), connect(server.port), connect(server.port)]);
    inside = true;
    server.opened[0].close(1000, '');
    server.opened[1].terminate();
    server.opened[2].cork(() => server.opened[2].close(1000, ''));
    inside = false;
    await until(() => nested.length === 3, 'all are closed');
    expect(nested).toEqual([false, false, false]);
  });

  test('a socket can be closed in open and in message, and gets nothing more', async () => {
    const server = await start(kind, {
      open: (socket) => {
        if (server.opened.length === 1) socket.close(4403, 'not you');
      },
      message: (socket) => socket.close(4400, 'not that'),
    });
    const first = await connect(server.port);
    expect(await first.end()).toEqual({ code: 4403, reason: 'not you' });
    const second = await connect(server.port);
    for (let n = 0; n < 10; n++) second.raw.send('x');
    expect(await second.end()).toEqual({ code: 4400, reason: 'not that' });
    expect(server.messages.length).toBe(1);
    await until(() => server.closes.length === 2, 'both handlers ran');
  });

  test('a reason that is too long is cut, not in the middle of a character', async () => {
    const server = await start(kind);
    const client = await connect(server.port);
    server.opened[0].close(4000, 'é'.repeat(100));
    expect((await client.end()).reason).toBe('é'.repeat(61));
  });

  test('a code that must not be sent is our bug', async () => {
    const server = await start(kind);
    await connect(server.port);
    for (const code of [0, 999, 1005, 1006, 1015, 2000, 5000]) {
      expect(() => server.opened[0].close(code, ''), `code ${code}`).toThrow(/must not be sent/);
    }
  });
});

describe.each(KINDS)('%s: the whole transport closes', (kind) => {
  test('every peer gets code and reason, every close handler runs before close() resolves', async () => {
    const server = await start(kind);
    const clients = await Promise.all(Array.from({ length: 20 }, () => connect(server.port)));
    const idleHttp = await connectRaw(server.port);
    await server.transport.close(1001, 'going away');
    expect(server.closes.length).toBe(20);
    expect(new Set(server.closes.map((close) => close.socket)).size).toBe(20);
    for (const client of clients) expect(await client.end()).toEqual({ code: 1001, reason: 'going away' });
    await until(() => idleHttp.ended(), 'the idle connection is ended');
    await expect(connect(server.port)).rejects.toThrow();
    await server.transport.close(1001, 'twice');
  });

  test('a peer that does not read is cut after about two seconds', async () => {
    const server = await start(kind);
    const client = await connect(server.port);
    client.pause();
    while (server.opened[0].send(new Uint8Array(100_000)) !== DROPPED);
    const startedAt = performance.now();
    await server.transport.close(1001, 'going away');
    expect(performance.now() - startedAt).toBeGreaterThan(1_500);
    expect(performance.now() - startedAt).toBeLessThan(4_000);
    expect(server.closes.length).toBe(1);
  });

  test('a slow peer gets all that was accepted before it is closed', async () => {
    const server = await start(kind, {}, { bufferedMaxBytes: 4_000_000 });
    const client = await connect(server.port);
    client.pause();
    let taken = 0;
    while (server.opened[0].send(new Uint8Array(100_000)) !== DROPPED) taken++;
    const closing = server.transport.close(1001, 'going away');
    await new Promise((resolve) => setTimeout(resolve, 100));
    client.resume();
    expect(await client.end()).toEqual({ code: 1001, reason: 'going away' });
    expect(client.frames.length).toBe(taken);
    await closing;
  });

  test('after stopListening open sockets go on and nobody new gets in', async () => {
    const server = await start(kind, { message: (socket, data) => socket.send(data) });
    const client = await connect(server.port);
    server.transport.stopListening();
    await expect(connect(server.port)).rejects.toThrow();
    client.raw.send('hello');
    expect((await client.frame(0)).toString()).toBe('hello');
    server.transport.stopListening();
  });
});
