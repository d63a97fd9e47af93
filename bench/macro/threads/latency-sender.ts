// Sends at a steady rate, or plays ping.
import { type Attachment, attach, type InProcessConnection, type Producer } from '../../../src/index.ts';
import type { Latency } from '../../support/bench.ts';
import { LatencyRecorder, sharedNow } from '../../support/latency.ts';
import { BOARD } from '../../support/threads.ts';

export interface LatencyData {
  readonly attachment: Attachment;
  readonly mode: 'direct' | 'broker' | 'ping-pong';
  readonly perSecond: number;
  readonly bodyBytes: number;
  readonly durationMs: number;
}

const TICK_MS = 0.02;
/** Idle time before each ping, so that every thread sleeps. */
const IDLE_MS = 1;

export async function run(
  data: LatencyData,
  board: Int32Array,
  ready: () => void,
): Promise<{ received: number; latency: Latency }> {
  const connection = attach(data.attachment);
  const producer = data.mode === 'direct' ? await connection.directProducer('there') : connection.producer('there');
  await producer.ready();
  const result =
    data.mode === 'ping-pong'
      ? await ping(connection, producer, data, board, ready)
      : load(connection, producer, data, board, ready);
  Atomics.store(board, BOARD.sent, result.received);
  Atomics.store(board, BOARD.producersDone, 1);
  await producer.flush();
  await connection.close();
  return result;
}

function load(
  connection: InProcessConnection,
  producer: Producer,
  data: LatencyData,
  board: Int32Array,
  ready: () => void,
): { received: number; latency: Latency } {
  const body = new Uint8Array(data.bodyBytes);
  const stamp = new Float64Array(body.buffer, 0, 1);
  const perTick = Math.round((data.perSecond * TICK_MS) / 1000);
  ready();
  Atomics.wait(board, BOARD.go, 0);
  const start = sharedNow();
  let sent = 0;
  for (let tick = 0; tick * TICK_MS < data.durationMs; tick++) {
    const due = start + tick * TICK_MS;
    while (sharedNow() < due) connection.work();
    stamp[0] = due;
    for (let i = 0; i < perTick; i++) {
      while (!producer.trySend(body)) connection.poll();
      sent++;
    }
    connection.poll();
  }
  return { received: sent, latency: new LatencyRecorder().result() };
}

async function ping(
  connection: InProcessConnection,
  producer: Producer,
  data: LatencyData,
  board: Int32Array,
  ready: () => void,
): Promise<{ received: number; latency: Latency }> {
  let answers = 0;
  const consumer = connection.consumer('back', {
    onBatch: (batch) => {
      answers += batch.count;
    },
  });
  await consumer.ready();
  const body = new Uint8Array(data.bodyBytes);
  const recorder = new LatencyRecorder();
  ready();
  Atomics.wait(board, BOARD.go, 0);
  const end = sharedNow() + data.durationMs;
  let sent = 0;
  while (sharedNow() < end) {
    Atomics.wait(board, BOARD.go, 1, IDLE_MS);
    const start = sharedNow();
    producer.trySend(body);
    connection.poll();
    sent++;
    while (answers < sent) connection.wait(100);
    recorder.record(sharedNow() - start);
  }
  return { received: sent, latency: recorder.result() };
}
