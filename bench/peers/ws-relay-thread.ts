// The three ends of the relay: server, writer, reader. The board's last words carry the port.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { type RawData, WebSocket, WebSocketServer } from 'ws';
import { WARM_UP } from '../support/bench.ts';
import { Payload } from '../support/payload.ts';
import { BOARD } from '../support/threads.ts';
import type { PeerResult } from './peer-thread.ts';

interface RelayData {
  readonly role: 'relay' | 'read' | 'write';
  readonly bodyBytes: number;
  readonly durationMs: number;
}

const PORT = 8;
const RELAY_DONE = 9;
const PER_TURN = 256;
const BUFFERED_MAX = 1024 * 1024;
const UNDER_WAY_MAX = 16_384;

export async function run(data: RelayData, board: Int32Array, ready: () => void): Promise<unknown> {
  if (data.role === 'relay') return relay(board, ready);
  const socket = new WebSocket(`ws://127.0.0.1:${Atomics.load(board, PORT)}/${data.role}`, {
    perMessageDeflate: false,
  });
  await once(socket, 'open');
  return data.role === 'read' ? read(socket, board, ready) : write(socket, data, board, ready);
}

async function relay(board: Int32Array, ready: () => void): Promise<void> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
  await once(server, 'listening');
  const readers = new Set<WebSocket>();
  server.on('connection', (socket, request) => {
    if (request.url === '/read') readers.add(socket);
    else socket.on('message', (body: RawData) => readers.forEach((reader) => void reader.send(body as Buffer)));
  });
  Atomics.store(board, PORT, (server.address() as AddressInfo).port);
  ready();
  while (Atomics.load(board, RELAY_DONE) === 0) await sleep(5);
  for (const client of server.clients) client.terminate();
  server.close();
}

async function write(socket: WebSocket, data: RelayData, board: Int32Array, ready: () => void): Promise<number> {
  const payload = new Payload(data.bodyBytes);
  let sent = 0;
  const relayed = async (durationMs: number): Promise<void> => {
    const end = performance.now() + durationMs;
    while (performance.now() < end) {
      for (let i = 0; i < PER_TURN; i++) socket.send(payload.of(sent++));
      await turn();
      while (socket.bufferedAmount > BUFFERED_MAX || sent - Atomics.load(board, BOARD.received) > UNDER_WAY_MAX)
        await turn();
    }
  };
  await relayed(data.durationMs * WARM_UP);
  while (Atomics.load(board, BOARD.received) < sent) await turn();
  Atomics.store(board, BOARD.warm, sent);
  ready();
  Atomics.wait(board, BOARD.go, 0);
  await relayed(data.durationMs);
  Atomics.store(board, BOARD.sent, sent);
  Atomics.store(board, BOARD.producersDone, 1);
  while (Atomics.load(board, RELAY_DONE) === 0) await sleep(5);
  socket.close();
  return sent;
}

async function read(socket: WebSocket, board: Int32Array, ready: () => void): Promise<PeerResult> {
  let [received, wrong, first] = [0, 0, 0];
  socket.on('message', (body: Buffer) => {
    if (first === 0 && Atomics.load(board, BOARD.go) === 1) first = performance.now();
    if (body.readInt32LE(0) !== received || body.readInt32LE(body.length - 4) !== ~received) wrong++;
    Atomics.store(board, BOARD.received, ++received);
  });
  ready();
  while (Atomics.load(board, BOARD.producersDone) === 0 || received < Atomics.load(board, BOARD.sent)) await sleep(1);
  const seconds = (performance.now() - first) / 1000;
  Atomics.store(board, RELAY_DONE, 1);
  socket.close();
  return { received, wrong, seconds };
}
