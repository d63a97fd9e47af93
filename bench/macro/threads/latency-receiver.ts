// Takes stamped messages, or plays pong.
import { attach, type Batch } from '../../../src/index.ts';
import type { Latency } from '../../support/bench.ts';
import { LatencyRecorder, sharedNow } from '../../support/latency.ts';
import { BOARD } from '../../support/threads.ts';
import type { LatencyData } from './latency-sender.ts';

/** Messages whose latency is recorded: every one of this many. */
const SAMPLE = 16;

export async function run(
  data: LatencyData,
  board: Int32Array,
  ready: () => void,
): Promise<{ received: number; latency: Latency }> {
  const connection = attach(data.attachment);
  const answers = data.mode === 'ping-pong' ? connection.producer('back', { ack: 'none' }) : undefined;
  await answers?.ready();
  const recorder = new LatencyRecorder();
  const body = new Uint8Array(data.bodyBytes);
  let received = 0;
  let stamps: Float64Array = new Float64Array(0);
  const onBatch = (batch: Batch): void => {
    if (stamps.buffer !== batch.bytes.buffer) stamps = new Float64Array(batch.bytes.buffer);
    const now = sharedNow();
    while (batch.next()) {
      if (received++ % SAMPLE === 0 && !answers) recorder.record(now - stamps[batch.bodyAt >> 3]);
      answers?.trySend(body);
    }
  };
  const consumer = connection.consumer('there', { from: 'earliest', onBatch });
  await consumer.ready();
  ready();
  while (Atomics.load(board, BOARD.producersDone) === 0 || received < Atomics.load(board, BOARD.sent)) {
    if (connection.poll() === 0) connection.wait(20);
  }
  await connection.close();
  return { received, latency: recorder.result() };
}
