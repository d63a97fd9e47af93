// The contract of both transports: handshake and messages.
import { afterEach, describe, expect, test } from 'vitest';
import { DROPPED, SUBPROTOCOLS } from '../../../src/frontend/transport/transport.ts';
import { until } from '../../support/until.ts';
import { clientFrame, connect, connectRaw, KINDS, start, stopAll, upgradeText } from './harness.ts';

afterEach(stopAll);

describe.each(KINDS)('%s: handshake', (kind) => {
  test('the server sees path, query, origin, offers, headers and address', async () => {
    const server = await start(kind);
    const headers = { Origin: 'https://example.org', 'X-Token': 'abc' };
    const offers = ['other.v1', SUBPROTOCOLS.json];
    const client = await connect(server.port, offers, { path: '/a%20b/c?x=1&y=%2F', headers });
    const [request] = server.upgrades;
    expect(request.path).toBe('/a%20b/c');
    expect(request.query).toBe('x=1&y=%2F');
    expect(request.origin).toBe('https://example.org');
    expect(request.protocols).toEqual(offers);
    expect(request.header('x-token')).toBe('abc');
    expect(request.header('missing')).toBe('');
    expect(request.remoteAddress).toBe('127.0.0.1');
    expect(server.opened[0].remoteAddress).toBe('127.0.0.1');
    expect(server.opened[0].protocol).toBe(SUBPROTOCOLS.json);
    expect(server.opened[0].session).toBeUndefined();
    expect(client.raw.protocol).toBe(SUBPROTOCOLS.json);
  });

  test('a client that offers nothing gets nothing echoed', async () => {
    const server = await start(kind);
    const client = await connect(server.port, []);
    expect(client.raw.protocol).toBe('');
    expect(server.opened[0].protocol).toBe(SUBPROTOCOLS.json);
    const raw = await connectRaw(server.port);
    raw.socket.write(upgradeText());
    await until(() => raw.text().includes('\r\n\r\n'), 'the handshake is answered');
    expect(raw.text()).toMatch(/^HTTP\/1\.1 101 /);
    expect(raw.text().toLowerCase()).not.toContain('sec-websocket-protocol');
  });

  test('an accepted protocol that was not offered is not echoed', async () => {
    const server = await start(kind, { upgrade: () => ({ accept: SUBPROTOCOLS.json }) });
    const raw = await connectRaw(server.port);
    raw.socket.write(upgradeText({ 'Sec-WebSocket-Protocol': 'other.v1, another.v2' }));
    await until(() => raw.text().includes('\r\n\r\n'), 'the handshake is answered');
    expect(raw.text()).toMatch(/^HTTP\/1\.1 101 /);
    expect(raw.text().toLowerCase()).not.toContain('sec-websocket-protocol');
    expect(server.upgrades[0].protocols).toEqual(['other.v1', 'another.v2']);
  });

  test('a refusal carries the status and the text, and opens nothing', async () => {
    const server = await start(kind, { upgrade: () => ({ refuse: 401, text: 'who are you' }) });
    await expect(connect(server.port)).rejects.toThrow('status 401');
    const raw = await connectRaw(server.port);
    raw.socket.write(upgradeText());
    await until(() => raw.ended(), 'the connection is ended');
    expect(raw.text()).toMatch(/^HTTP\/1\.1 401 Unauthorized\r\n/);
    expect(raw.text()).toContain('who are you');
    expect(server.opened).toEqual([]);
  });

  test('a wrong WebSocket version is answered with 426 and the right one', async () => {
    const server = await start(kind);
    const raw = await connectRaw(server.port);
    raw.socket.write(upgradeText({ 'Sec-WebSocket-Version': '8' }));
    await until(() => raw.ended(), 'the connection is ended');
    expect(raw.text()).toMatch(/^HTTP\/1\.1 426 /);
    expect(raw.text().toLowerCase()).toContain('sec-websocket-version: 13');
    expect(server.upgrades).toEqual([]);
  });

  test('one connection more than connectionsMax is answered with 503, until one closes', async () => {
    const server = await start(kind, {}, { connectionsMax: 2 });
    const first = await connect(server.port);
    await connect(server.port);
    await expect(connect(server.port)).rejects.toThrow('status 503');
    expect(server.upgrades.length).toBe(2);
    first.raw.close(1000);
    await until(() => server.closes.length === 1, 'the server sees the close');
    await connect(server.port);
  });
});

describe.each(KINDS)('%s: messages', (kind) => {
  test('text and binary frames are echoed as what they are', async () => {
    const server = await start(kind, {
      message: (socket, data, binary) => socket.send(binary ? data : new TextDecoder().decode(data)),
    });
    const client = await connect(server.port);
    client.raw.send('grüße 🎉');
    client.raw.send(Buffer.from([0, 1, 2, 255]));
    client.raw.send('');
    client.raw.send(Buffer.alloc(0));
    await client.frame(3);
    expect(client.frames.map((frame) => frame.binary)).toEqual([false, true, false, true]);
    expect(client.frames[0].data.toString()).toBe('grüße 🎉');
    expect([...client.frames[1].data]).toEqual([0, 1, 2, 255]);
    expect(client.frames[2].data.length).toBe(0);
    expect(client.frames[3].data.length).toBe(0);
    expect(server.messages.map((message) => message.binary)).toEqual([false, true, false, true]);
  });

  test('frames from shared memory arrive intact though it is overwritten right after send', async () => {
    const shared = new Uint8Array(new SharedArrayBuffer(300_000));
    const sizes = [1, 125, 126, 5_000, 65_536, 200_000];
    const server = await start(kind, {
      open: (socket) => {
        for (const size of sizes) {
          shared.fill(size & 0xff);
          expect(socket.send(shared.subarray(77, 77 + size))).not.toBe(DROPPED);
          shared.fill(0xee);
        }
      },
    });
    const client = await connect(server.port);
    await client.frame(sizes.length - 1);
    for (const [index, size] of sizes.entries()) {
      expect(client.frames[index].data.equals(Buffer.alloc(size, size & 0xff)), `frame of ${size} bytes`).toBe(true);
    }
    expect(server.closes).toEqual([]);
  });

  test('4 MiB go both ways in one frame', async () => {
    const server = await start(kind, { message: (socket, data) => socket.send(data) });
    const client = await connect(server.port);
    const payload = Buffer.alloc(4 * 1024 * 1024);
    for (let at = 0; at < payload.length; at += 4) payload.writeUInt32LE(at, at);
    client.raw.send(payload);
    expect((await client.frame(0)).equals(payload)).toBe(true);
    expect(server.messages[0].data.equals(payload)).toBe(true);
  });

  test('a fragmented message arrives whole, with a ping between its parts', async () => {
    const server = await start(kind);
    const client = await connect(server.port);
    client.raw.send('one ', { fin: false });
    client.raw.ping();
    client.raw.send('two ', { fin: false });
    client.raw.send('three', { fin: true });
    await until(() => server.messages.length === 1, 'the message arrives');
    expect(server.messages[0].data.toString()).toBe('one two three');
    expect(server.messages[0].binary).toBe(false);
  });

  test('frames fed byte by byte arrive whole', async () => {
    const server = await start(kind);
    const raw = await connectRaw(server.port);
    raw.socket.setNoDelay(true);
    for (const byte of Buffer.concat([
      Buffer.from(upgradeText(), 'latin1'),
      clientFrame(0x82, Buffer.from('abc')),
      clientFrame(0x81, Buffer.from('äöü')),
    ])) {
      raw.socket.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    await until(() => server.messages.length === 2, 'both messages arrive');
    expect(server.messages.map((message) => message.data.toString())).toEqual(['abc', 'äöü']);
  });

  test('corked frames arrive in order, and a close inside cork comes after them', async () => {
    const server = await start(kind);
    const client = await connect(server.port);
    const [socket] = server.opened;
    socket.cork(() => {
      for (let n = 0; n < 1_000; n++) expect(socket.send(`frame ${n} ${'x'.repeat(100)}`)).not.toBe(DROPPED);
      socket.cork(() => socket.send('nested'));
      socket.close(4001, 'enough');
      expect(socket.send('after')).toBe(DROPPED);
    });
    expect(await client.end()).toEqual({ code: 4001, reason: 'enough' });
    expect(client.frames.length).toBe(1_001);
    expect(
      client.frames.every((frame, n) => frame.data.toString().startsWith(n < 1_000 ? `frame ${n} ` : 'nested')),
    ).toBe(true);
  });

  test('a close inside cork ends the connection itself, not only the WebSocket', async () => {
    const server = await start(kind);
    const raw = await connectRaw(server.port);
    raw.socket.write(upgradeText());
    await until(() => server.opened.length === 1, 'open');
    setImmediate(() => server.opened[0].cork(() => server.opened[0].close(4001, 'enough')));
    await until(() => raw.text().includes('enough'), 'the close frame arrives');
    raw.socket.write(clientFrame(0x88, Buffer.from([4001 >> 8, 4001 & 0xff])));
    await until(() => raw.ended(), 'the server ends the connection', 2_000);
  });

  test('sends from within message reach the sender and others, large and small', async () => {
    const server = await start(kind, {
      message: (from, data) => {
        for (const socket of server.opened) {
          socket.send('first');
          socket.cork(() => expect(socket.send(data)).not.toBe(DROPPED));
          if (socket === from) socket.send('last');
        }
      },
    });
    const sender = await connect(server.port);
    const others = await Promise.all([connect(server.port), connect(server.port)]);
    const sizes = [1_000, 15_000, 16_380, 16_384, 16_390, 40_000];
    for (const size of sizes) sender.raw.send(Buffer.alloc(size, size & 0xff));
    await sender.frame(sizes.length * 3 - 1);
    expect(sender.frames.map((frame) => frame.data.length)).toEqual(sizes.flatMap((size) => [5, size, 4]));
    for (const other of others) {
      await other.frame(sizes.length * 2 - 1);
      for (const [index, size] of sizes.entries()) {
        expect(other.frames[2 * index].data.toString()).toBe('first');
        expect(other.frames[2 * index + 1].data.equals(Buffer.alloc(size, size & 0xff))).toBe(true);
      }
    }
  });
});

describe.each(KINDS)('%s: messages that are refused', (kind) => {
  test('a message over messageMaxBytes closes with 1009, whole or in fragments', async () => {
    const server = await start(kind, {}, { messageMaxBytes: 10_000 });
    const whole = await connect(server.port);
    whole.raw.send(Buffer.alloc(10_000));
    whole.raw.send(Buffer.alloc(10_001));
    expect((await whole.end()).code).toBe(1009);
    const parts = await connect(server.port);
    parts.raw.send(Buffer.alloc(6_000), { fin: false });
    parts.raw.send(Buffer.alloc(6_000), { fin: true });
    expect((await parts.end()).code).toBe(1009);
    await until(() => server.closes.length === 2, 'the server sees both closes');
    expect(server.closes.map((close) => close.code)).toEqual([1009, 1009]);
    expect(server.messages.map((message) => message.data.length)).toEqual([10_000]);
  });

  test('a message far over messageMaxBytes ends the connection, and the server knows why', async () => {
    const server = await start(kind, {}, { messageMaxBytes: 10_000 });
    const client = await connect(server.port);
    client.raw.send(Buffer.alloc(1_000_000));
    await client.end();
    await until(() => server.closes.length === 1, 'the server sees the close');
    expect(server.closes[0].code).toBe(1009);
    expect(server.messages).toEqual([]);
  });

  test('text that is not UTF-8 closes with 1007 and is not delivered', async () => {
    const server = await start(kind);
    const raw = await connectRaw(server.port);
    raw.socket.write(upgradeText());
    await until(() => server.opened.length === 1, 'open');
    raw.socket.write(clientFrame(0x81, Buffer.from([0x61, 0xff, 0x62])));
    await until(() => server.closes.length === 1, 'the server closes');
    expect(server.closes[0].code).toBe(1007);
    expect(server.messages).toEqual([]);
    raw.socket.end();
    await until(() => raw.ended(), 'the connection is ended');
  });

  test.each([
    ['an unmasked frame', Buffer.from([0x82, 0x01, 0x61])],
    ['an unknown opcode', clientFrame(0x83, Buffer.from('a'))],
    ['a reserved bit', clientFrame(0xc2, Buffer.from('a'))],
    ['a continuation of nothing', clientFrame(0x80, Buffer.from('a'))],
    ['a ping in fragments', clientFrame(0x09, Buffer.from('a'))],
  ])('%s harms nobody', async (_what, bytes) => {
    const server = await start(kind);
    const other = await connect(server.port);
    const raw = await connectRaw(server.port);
    raw.socket.write(upgradeText());
    await until(() => server.opened.length === 2, 'both are open');
    raw.socket.write(bytes);
    raw.socket.end();
    await until(() => server.closes.length === 1, 'the bad one is closed');
    expect(server.closes[0].socket).toBe(server.opened[1]);
    other.raw.send('still here');
    await until(() => server.messages.some((message) => message.data.toString() === 'still here'), 'the other works');
  });

  test('garbage instead of HTTP harms nobody', async () => {
    const server = await start(kind);
    const garbage = [Buffer.alloc(70_000, 0xff), Buffer.from('\r\n\r\n'), Buffer.from('GET\0 / HTTP/9.9\r\n\r\n')];
    for (const bytes of [...garbage, Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])]) {
      const raw = await connectRaw(server.port);
      raw.socket.end(bytes);
      await until(() => raw.ended(), 'the connection is ended');
    }
    await connect(server.port);
  });
});
