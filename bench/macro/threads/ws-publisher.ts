// A bench thread that publishes over WebSocket as fast as the broker acknowledges: to warm up, then for the bench.
import { setImmediate as turn } from 'node:timers/promises';
import { connect } from '../../../src/index.ts';
import { WARM_UP } from '../../support/bench.ts';
import { Payload } from '../../support/payload.ts';
import { BOARD } from '../../support/threads.ts';

export interface WsData {
  readonly url: string;
  readonly topic: string;
  readonly connections: number;
  readonly bodyBytes: number;
  readonly durationMs: number;
}

/** Messages between two turns of the event loop, so that acknowledgements get in. */
const PER_TURN = 4_096;

export async function run(data: WsData, board: Int32Array, ready: () => void): Promise<number> {
  const connection = connect(data.url);
  const producer = connection.producer(data.topic, { timeoutMs: 60_000, attemptsMax: Number.POSITIVE_INFINITY });
  await producer.ready();
  const payload = new Payload(data.bodyBytes);
  let sequence = 0;
  const publish = async (durationMs: number): Promise<void> => {
    const end = performance.now() + durationMs;
    while (performance.now() < end) {
      for (let i = 0; i < PER_TURN; i++) {
        while (!producer.trySend(payload.of(sequence))) await producer.ready();
        sequence++;
      }
      await turn();
    }
    await producer.flush();
  };
  await publish(data.durationMs * WARM_UP);
  Atomics.store(board, BOARD.warm, sequence);
  ready();
  Atomics.wait(board, BOARD.go, 0);
  await publish(data.durationMs);
  Atomics.store(board, BOARD.sent, sequence);
  Atomics.store(board, BOARD.producersDone, 1);
  await connection.close();
  return sequence;
}
