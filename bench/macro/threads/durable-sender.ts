// Sends at a steady rate with an acknowledgement for every message, and notes how long a sample of them took.
import { type Attachment, attach } from '../../../src/index.ts';
import type { Latency } from '../../support/bench.ts';
import { LatencyRecorder, sharedNow } from '../../support/latency.ts';
import { BOARD } from '../../support/threads.ts';

export interface DurableSenderData {
  readonly attachment: Attachment;
  readonly topic: string;
  readonly perSecond: number;
  readonly bodyBytes: number;
  readonly durationMs: number;
}

export interface DurableSenderResult {
  readonly sent: number;
  readonly latency: Latency;
}

const TICK_MS = 0.1;

export async function run(data: DurableSenderData, board: Int32Array, ready: () => void): Promise<DurableSenderResult> {
  const connection = attach(data.attachment);
  const producer = connection.producer(data.topic, { ack: 'durable', partition: 0, timeoutMs: 60_000 });
  await producer.ready();
  const body = new Uint8Array(data.bodyBytes);
  const recorder = new LatencyRecorder();
  const perTick = Math.round((data.perSecond * TICK_MS) / 1000);
  let failed = 0;
  ready();
  Atomics.wait(board, BOARD.go, 0);
  const start = sharedNow();
  let sent = 0;
  for (let tick = 0; tick * TICK_MS < data.durationMs; tick++) {
    // Due times and not sending times: a stall of the sender counts.
    const due = start + tick * TICK_MS;
    for (let left = due - sharedNow(); left > 0; left = due - sharedNow()) {
      // Asleep, as a program that waits for its next message is: the threads of the broker have the core.
      connection.wait(left);
      await undefined;
    }
    for (let i = 1; i < perTick; i++) {
      while (!producer.trySend(body)) connection.wait(1);
      sent++;
    }
    // Unlike trySend(), send() refuses where too much is unanswered.
    while (!producer.hasRoom) connection.wait(1);
    producer.send(body).then(
      () => recorder.record(sharedNow() - due),
      () => void failed++,
    );
    sent++;
    // Sends what is open, takes what has come, and lets promises settle.
    connection.poll();
    await undefined;
  }
  await producer.flush();
  await connection.close();
  if (failed > 0) throw new Error(`${failed} sends failed`);
  return { sent, latency: recorder.result() };
}
