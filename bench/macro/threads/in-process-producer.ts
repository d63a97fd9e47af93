// A bench thread that publishes to a topic as fast as it can for a while.
import { type Attachment, attach, type ProducerOptions } from '../../../src/index.ts';
import { Payload } from '../../support/payload.ts';
import { BOARD } from '../../support/threads.ts';

export interface ProducerData {
  readonly attachment: Attachment;
  readonly topic: string;
  readonly mode: 'direct' | 'batches' | 'single';
  readonly bodyBytes: number;
  readonly durationMs: number;
  readonly partition: number;
  /** Default: what the topic's default is. */
  readonly ack?: ProducerOptions['ack'];
}

const CHUNK = 256;

export async function run(data: ProducerData, board: Int32Array, ready: () => void): Promise<number> {
  const connection = attach(data.attachment);
  const producer =
    data.mode === 'direct'
      ? await connection.directProducer(data.topic)
      : connection.producer(data.topic, {
          partition: data.partition,
          timeoutMs: 60_000,
          ...(data.ack === undefined ? {} : { ack: data.ack }),
        });
  await producer.ready();
  const payload = new Payload(data.bodyBytes);
  ready();
  Atomics.wait(board, BOARD.go, 0);
  const end = performance.now() + data.durationMs;
  let sequence = 0;
  while (performance.now() < end) {
    if (data.mode === 'single') {
      // One send a message, with a receipt each; the loop turns now and then, as a program's would.
      for (let i = 0; i < CHUNK; i++) {
        while (!producer.hasRoom) connection.wait(10);
        void producer.send(payload.of(sequence++));
      }
      connection.work();
    } else {
      for (let i = 0; i < CHUNK; i++) {
        while (!producer.trySend(payload.of(sequence))) connection.wait(10);
        sequence++;
      }
      if (data.mode === 'batches') connection.work();
    }
  }
  Atomics.add(board, BOARD.sent, sequence);
  Atomics.add(board, BOARD.producersDone, 1);
  await producer.flush();
  await connection.close();
  return sequence;
}
