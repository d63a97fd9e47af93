// The contract of both transports: slow readers, limits on what is buffered, silence.
import { afterEach, describe, expect, test } from 'vitest';
import { BUFFERED, DROPPED, SENT, type Socket } from '../../../src/frontend/transport/transport.ts';
import { until } from '../../support/until.ts';
import { connect, connectRaw, KINDS, start, stopAll, upgradeText } from './harness.ts';

afterEach(stopAll);

/** A frame that says its number at both ends. */
function numbered(number: number, size: number): Buffer {
  const frame = Buffer.alloc(size, number & 0xff);
  frame.writeUInt32LE(number, 0);
  frame.writeUInt32LE(number, size - 4);
  return frame;
}

/** Sends until the socket says DROPPED; the number of frames that it took. */
function sendUntilDropped(socket: Socket, size: number): number {
  for (let count = 0; ; count++) {
    if (socket.send(numbered(count, size)) === DROPPED) return count;
    if (count * size > 256 * 1024 * 1024) throw new Error('nothing is ever dropped');
  }
}

describe.each(KINDS)('%s: slow reader', (kind) => {
  // Sizes on both sides of 16 KiB, where uWebSockets changes its way of sending, and far above.
  test.each([900, 16_000, 20_000, 300_000, 3_000_000])(
    'BUFFERED is followed by drain, and frames of %i bytes all arrive in order',
    async (size) => {
      const total = Math.ceil(60_000_000 / size);
      let next = 0;
      const outcomes: number[] = [0, 0, 0];
      const pump = (socket: Socket) => {
        while (next < total) {
          const outcome = socket.send(numbered(next++, size));
          outcomes[outcome]++;
          if (outcome !== SENT) return;
        }
      };
      const server = await start(kind, { drain: pump });
      const client = await connect(server.port);
      client.pause();
      pump(server.opened[0]);
      expect(next).toBeLessThan(total);
      expect(server.opened[0].bufferedBytes()).toBeGreaterThan(0);
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(server.drained).toEqual([]);
      client.resume();
      await client.frame(total - 1);
      expect(outcomes[DROPPED]).toBe(0);
      expect(outcomes[BUFFERED]).toBeGreaterThan(0);
      for (const [number, frame] of client.frames.entries()) {
        if (!frame.data.equals(numbered(number, size))) throw new Error(`frame ${number} is damaged`);
      }
      expect(client.frames.length).toBe(total);
      await until(() => server.opened[0].bufferedBytes() === 0, 'nothing is buffered any more');
    },
  );

  test('what waits for a slow reader is not touched when the shared memory it came from is', async () => {
    const shared = new Uint8Array(new SharedArrayBuffer(100_000));
    const server = await start(kind, {}, { bufferedMaxBytes: 4_000_000 });
    const client = await connect(server.port);
    client.pause();
    let taken = 0;
    for (; ; taken++) {
      shared.set(numbered(taken, shared.length));
      if (server.opened[0].send(shared) === DROPPED) break;
    }
    shared.fill(0xee);
    client.resume();
    await client.frame(taken - 1);
    for (let n = 0; n < taken; n++) expect(client.frames[n].data.equals(numbered(n, 100_000)), `frame ${n}`).toBe(true);
  });

  test('past bufferedMaxBytes frames are DROPPED whole, and what was accepted arrives', async () => {
    const server = await start(kind, {}, { bufferedMaxBytes: 500_000 });
    const client = await connect(server.port);
    client.pause();
    const [socket] = server.opened;
    const taken = sendUntilDropped(socket, 100_000);
    expect(socket.bufferedBytes()).toBeGreaterThan(500_000);
    expect(socket.bufferedBytes()).toBeLessThan(700_000);
    expect(socket.send('not even this')).toBe(DROPPED);
    client.resume();
    await until(() => server.drained.length === 1, 'drain');
    expect(socket.send('last')).not.toBe(DROPPED);
    await client.frame(taken);
    expect(client.frames.length).toBe(taken + 1);
    for (let n = 0; n < taken; n++) expect(client.frames[n].data.equals(numbered(n, 100_000))).toBe(true);
    expect(client.frames[taken].data.toString()).toBe('last');
    expect(server.closes).toEqual([]);
  });

  test('a slow reader that is closed still gets what was accepted, then the close frame', async () => {
    const server = await start(kind, {}, { bufferedMaxBytes: 500_000 });
    const client = await connect(server.port);
    client.pause();
    const taken = sendUntilDropped(server.opened[0], 100_000);
    server.opened[0].close(4008, 'too slow');
    expect(server.opened[0].bufferedBytes()).toBe(0);
    client.resume();
    expect(await client.end()).toEqual({ code: 4008, reason: 'too slow' });
    expect(client.frames.length).toBe(taken);
    expect(server.closes.map((close) => close.code)).toEqual([4008]);
  });

  test('frames sent in cork are not lost when the socket is congested', async () => {
    const server = await start(kind, {}, { bufferedMaxBytes: 8 * 1024 * 1024 });
    const client = await connect(server.port);
    client.pause();
    const [socket] = server.opened;
    let next = 0;
    while (socket.bufferedBytes() < 1_000_000) {
      socket.cork(() => {
        for (let n = 0; n < 20; n++)
          expect(socket.send(numbered(next++, 1_000 + (next % 7) * 4_000))).not.toBe(DROPPED);
      });
    }
    client.resume();
    await client.frame(next - 1);
    expect(client.frames.every((frame, n) => frame.data.equals(numbered(n, frame.data.length)))).toBe(true);
    await until(() => server.drained.length === 1, 'drain');
  });

  // uWebSockets drops pongs past its limit, `ws` cuts the connection: both are allowed, growth is not.
  test('pings of a client that never reads the pongs cost bounded memory', async () => {
    const server = await start(kind, {}, { bufferedMaxBytes: 100_000, messageMaxBytes: 100_000 });
    const raw = await connectRaw(server.port);
    raw.socket.write(upgradeText());
    await until(() => server.opened.length === 1, 'open');
    raw.socket.pause();
    const ping = Buffer.concat([Buffer.from([0x89, 0x80 | 125, 0, 0, 0, 0]), Buffer.alloc(125)]);
    const pings = Buffer.concat(Array.from({ length: 500 }, () => ping));
    for (let n = 0; n < 400 && server.closes.length === 0; n++) {
      raw.socket.write(pings);
      await new Promise(setImmediate);
    }
    await until(() => raw.socket.writableLength === 0 || server.closes.length === 1, 'the pings are taken');
    expect(server.opened[0].bufferedBytes()).toBeLessThan(1_000_000);
  });
});

test('a client that says nothing and answers no ping is closed in time; one that answers stays', async () => {
  const startedAt = performance.now();
  await Promise.all(
    KINDS.map(async (kind) => {
      const server = await start(kind, {}, { idleTimeoutS: 8 });
      const silent = await connect(server.port, [], { autoPong: false });
      const alive = await connect(server.port);
      let pings = 0;
      silent.raw.on('ping', () => pings++);
      await until(() => silent.closed !== undefined, `${kind} closes the silent client`, 15_000);
      // uWebSockets counts in steps of 4 s, the first of which may be short.
      expect(performance.now() - startedAt).toBeGreaterThan(3_500);
      expect(pings).toBeGreaterThan(0);
      expect(server.closes).toEqual([{ socket: server.opened[0], code: 1006 }]);
      expect(alive.closed).toBeUndefined();
    }),
  );
});
