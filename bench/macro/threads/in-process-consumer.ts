// A bench thread that reads a topic in a loop of its own and checks every message.
import { type Attachment, attach, type Batch } from '../../../src/index.ts';
import { Checker } from '../../support/payload.ts';
import { BOARD } from '../../support/threads.ts';

export interface ConsumerData {
  readonly attachment: Attachment;
  readonly topic: string;
  readonly producers: number;
  readonly bodyBytes: number;
  readonly partitions?: readonly number[];
}

export interface ConsumerResult {
  readonly received: number;
  readonly wrong: number;
  readonly seconds: number;
}

export async function run(data: ConsumerData, board: Int32Array, ready: () => void): Promise<ConsumerResult> {
  const connection = attach(data.attachment);
  const checker = new Checker(data.producers, data.bodyBytes);
  let first = 0;
  const onBatch = (batch: Batch): void => {
    if (first === 0) first = performance.now();
    const producer = data.producers === 1 ? 0 : batch.partition;
    while (batch.next()) checker.take(producer, batch);
  };
  const consumer = connection.consumer(data.topic, { from: 'earliest', onBatch });
  await consumer.ready();
  ready();
  while (!finished(board, data.producers, checker.received)) {
    if (connection.poll() === 0) connection.wait(20);
  }
  const seconds = (performance.now() - first) / 1000;
  await connection.close();
  return { received: checker.received, wrong: checker.wrong, seconds };
}

function finished(board: Int32Array, producers: number, received: number): boolean {
  return Atomics.load(board, BOARD.producersDone) === producers && received >= Atomics.load(board, BOARD.sent);
}
