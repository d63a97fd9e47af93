// What programs use today between threads, measured by the same rules: 64-byte bodies that check themselves, a bounded
// number of messages under way, the clock stopped when the last one has been checked.

import { MessageChannel } from 'node:worker_threads';
import { type Contestant, check, type Measured, type Scale } from '../support/bench.ts';
import { BOARD, startThread } from '../support/threads.ts';
import type { PeerKind, PeerResult } from './peer-thread.ts';
import { ringStorage } from './ringbuf.ts';

const THREAD = new URL('./peer-thread.js', import.meta.url);

async function measure(kind: PeerKind, scale: Scale): Promise<Measured> {
  const board = new SharedArrayBuffer(64);
  const name = `ringmq-bench-${process.pid}-${Math.random()}`;
  const channel = kind === 'MessagePort' ? new MessageChannel() : undefined;
  const storage = kind.startsWith('ringbuf') ? ringStorage() : undefined;
  const common = { kind, name, storage, bodyBytes: scale.bodyBytes, durationMs: scale.durationMs };
  const writer = startThread(
    THREAD,
    { ...common, role: 'write', port: channel?.port1 },
    board,
    channel ? [channel.port1] : [],
  );
  const reader = startThread(
    THREAD,
    { ...common, role: 'read', port: channel?.port2 },
    board,
    channel ? [channel.port2] : [],
  );
  await Promise.all([writer.ready, reader.ready]);
  const words = new Int32Array(board);
  Atomics.store(words, BOARD.go, 1);
  Atomics.notify(words, BOARD.go);
  const sent = (await writer.result) as number;
  const result = (await reader.result) as PeerResult;
  check(
    result.wrong === 0 && result.received === sent,
    `${kind}: ${result.received} of ${sent}, ${result.wrong} wrong`,
  );
  return { messagesPerSecond: sent / result.seconds };
}

function peer(name: PeerKind): Contestant {
  return { name, measure: (scale) => measure(name, scale) };
}

export const messagePort: Contestant = peer('MessagePort');
export const broadcastChannel: Contestant = peer('BroadcastChannel');
export const ringbufSingle: Contestant = peer('ringbuf.js');
export const ringbufBlocks: Contestant = peer('ringbuf.js blocks of 64');
