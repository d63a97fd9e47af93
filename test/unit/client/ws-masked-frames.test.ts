import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import type { Writable } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as ws from 'ws';
import { MaskedFrames, maskWords } from '../../../src/client/ws-masked-frames.ts';

// The types of ws leave out what its own sockets read with.
const { Receiver } = ws as unknown as { Receiver: new (options: object) => Writable };

test('frames of every length are what a WebSocket server reads, also when memory is used again at once', async () => {
  const lengths = [0, 8, 16, 120, 124, 128, 1_000, 65_528, 65_536, 65_544, 300_000, 8, 200_000];
  const received: Buffer[] = [];
  const server = net.createServer((socket) => {
    const receiver = new Receiver({ isServer: true });
    receiver.on('message', (data: Buffer, isBinary: boolean) => {
      expect(isBinary).toBe(true);
      received.push(Buffer.from(data));
    });
    socket.pipe(receiver);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = net.connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  let taken = 0;
  const frames = new MaskedFrames(socket, () => taken++);
  const memory = new Uint8Array(300_000);
  const rounds = 5;
  for (let round = 0; round < rounds; round++) {
    for (const length of lengths) {
      memory.fill((length + round) & 255, 0, length);
      frames.send(memory.subarray(0, length));
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  socket.end();
  await once(socket, 'close');
  server.close();
  expect(taken).toBe(rounds * lengths.length);
  expect(received).toHaveLength(rounds * lengths.length);
  for (const [i, data] of received.entries()) {
    const length = lengths[i % lengths.length];
    const value = (length + Math.floor(i / lengths.length)) & 255;
    expect(data.length).toBe(length);
    expect(data.every((byte) => byte === value)).toBe(true);
  }
});

test('masking a word at a time is masking byte by byte', () => {
  const bytes = fc.uint8Array({ maxLength: 70 });
  const key = fc.uint8Array({ minLength: 4, maxLength: 4 });
  fc.assert(
    fc.property(bytes, key, fc.nat(8), fc.nat(8), (source, mask, from, to) => {
      const memory = new Uint8Array(from + source.length);
      memory.set(source, from);
      const target = new Uint8Array(to + source.length);
      maskWords(memory.subarray(from), mask, target, to, source.length);
      expect([...target.subarray(to)]).toEqual(Array.from(source, (byte, i) => byte ^ mask[i & 3]));
    }),
  );
});
