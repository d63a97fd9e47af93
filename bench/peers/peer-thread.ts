// Both ends of every peer: what a careful user of that mechanism would write.
import { BroadcastChannel, type MessagePort } from 'node:worker_threads';
import { Payload } from '../support/payload.ts';
import { BOARD } from '../support/threads.ts';
import { openRing } from './ringbuf.ts';

export type PeerKind = 'MessagePort' | 'BroadcastChannel' | 'ringbuf.js' | 'ringbuf.js blocks of 64';

export interface PeerData {
  readonly kind: PeerKind;
  readonly role: 'write' | 'read';
  readonly name: string;
  readonly bodyBytes: number;
  readonly durationMs: number;
  readonly port?: MessagePort;
  readonly storage?: SharedArrayBuffer;
}

export interface PeerResult {
  readonly received: number;
  readonly wrong: number;
  readonly seconds: number;
}

/** Messages under way at most: ports and channels have no limit of their own. */
const UNDER_WAY_MAX = 16_384;
const BLOCK = 64;
const CHUNK = 256;

export async function run(data: PeerData, board: Int32Array, ready: () => void): Promise<unknown> {
  const usesRing = data.kind.startsWith('ringbuf');
  if (data.role === 'read') return usesRing ? readRing(data, board, ready) : readPort(data, board, ready);
  ready();
  Atomics.wait(board, BOARD.go, 0);
  return usesRing ? writeRing(data, board) : writePort(data, board);
}

function finish(board: Int32Array, sent: number): number {
  Atomics.store(board, BOARD.sent, sent);
  Atomics.store(board, BOARD.producersDone, 1);
  return sent;
}

function writePort(data: PeerData, board: Int32Array): number {
  const port = data.port ?? new BroadcastChannel(data.name);
  const payload = new Payload(data.bodyBytes);
  const end = performance.now() + data.durationMs;
  let sent = 0;
  while (performance.now() < end) {
    for (let i = 0; i < CHUNK; i++) port.postMessage(payload.of(sent++));
    while (sent - Atomics.load(board, BOARD.received) > UNDER_WAY_MAX) {
      Atomics.wait(board, BOARD.received, Atomics.load(board, BOARD.received), 1);
    }
  }
  finish(board, sent);
  // Says that it is over: the reader sleeps in its event loop.
  port.postMessage(null);
  if (port instanceof BroadcastChannel) setTimeout(() => port.close(), 1_000);
  return sent;
}

function readPort(data: PeerData, board: Int32Array, ready: () => void): Promise<PeerResult> {
  const port = data.port ?? new BroadcastChannel(data.name);
  return new Promise((resolve) => {
    let received = 0;
    let wrong = 0;
    let first = 0;
    const done = (): void => {
      port.close();
      resolve({ received, wrong, seconds: (performance.now() - first) / 1000 });
    };
    const take = (body: Uint8Array | null): void => {
      if (body === null) {
        done();
        return;
      }
      if (first === 0) first = performance.now();
      const words = new Int32Array(body.buffer, body.byteOffset, body.length >> 2);
      if (words[0] !== received || words[words.length - 1] !== ~received) wrong++;
      received++;
      if ((received & (CHUNK - 1)) === 0) {
        Atomics.store(board, BOARD.received, received);
        Atomics.notify(board, BOARD.received);
      }
    };
    if (port instanceof BroadcastChannel) port.onmessage = (event) => take((event as { data: Uint8Array | null }).data);
    else port.on('message', take);
    ready();
  });
}

function writeRing(data: PeerData, board: Int32Array): number {
  const ring = openRing(data.storage as SharedArrayBuffer);
  const perPush = data.kind === 'ringbuf.js' ? 1 : BLOCK;
  const payload = new Payload(data.bodyBytes);
  const block = new Uint8Array(data.bodyBytes * perPush);
  const end = performance.now() + data.durationMs;
  let sent = 0;
  while (performance.now() < end) {
    for (let i = 0; i < CHUNK; i += perPush) {
      for (let j = 0; j < perPush; j++) block.set(payload.of(sent++), j * data.bodyBytes);
      let pushed = 0;
      while (pushed < block.length) pushed += ring.push(block, block.length - pushed, pushed);
    }
  }
  return finish(board, sent);
}

function readRing(data: PeerData, board: Int32Array, ready: () => void): PeerResult {
  const ring = openRing(data.storage as SharedArrayBuffer);
  const perPop = data.kind === 'ringbuf.js' ? 1 : BLOCK;
  const block = new Uint8Array(data.bodyBytes * perPop);
  const words = new Int32Array(block.buffer);
  const wordsEach = data.bodyBytes >> 2;
  let [received, wrong, first, filled] = [0, 0, 0, 0];
  ready();
  while (Atomics.load(board, BOARD.producersDone) === 0 || received < Atomics.load(board, BOARD.sent)) {
    filled += ring.pop(block, block.length - filled, filled);
    if (filled < block.length) continue;
    if (first === 0) first = performance.now();
    filled = 0;
    for (let at = 0; at < words.length; at += wordsEach) {
      if (words[at] !== received || words[at + wordsEach - 1] !== ~received) wrong++;
      received++;
    }
  }
  return { received, wrong, seconds: (performance.now() - first) / 1000 };
}
