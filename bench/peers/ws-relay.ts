// What a program does today without a broker: a `ws` server that relays every message to the other side, one frame
// each.
import { type Contestant, check, type Measured, type Scale } from '../support/bench.ts';
import { BOARD, startThread } from '../support/threads.ts';
import type { PeerResult } from './peer-thread.ts';

const THREAD = new URL('./ws-relay-thread.js', import.meta.url);

async function measure(scale: Scale): Promise<Measured> {
  const board = new SharedArrayBuffer(64);
  const common = { bodyBytes: scale.bodyBytes, durationMs: scale.durationMs };
  const relay = startThread(THREAD, { ...common, role: 'relay' }, board);
  await relay.ready;
  const reader = startThread(THREAD, { ...common, role: 'read' }, board);
  await reader.ready;
  const writer = startThread(THREAD, { ...common, role: 'write' }, board);
  await writer.ready;
  const words = new Int32Array(board);
  const warm = Atomics.load(words, BOARD.warm);
  Atomics.store(words, BOARD.go, 1);
  Atomics.notify(words, BOARD.go);
  const sent = (await writer.result) as number;
  const result = (await reader.result) as PeerResult;
  await relay.result;
  check(
    result.wrong === 0 && result.received === sent,
    `ws relay: ${result.received} of ${sent}, ${result.wrong} wrong`,
  );
  return { messagesPerSecond: (sent - warm) / result.seconds };
}

export const wsEcho: Contestant = { name: 'ws relay, a frame each', measure };
