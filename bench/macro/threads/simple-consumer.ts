// A bench thread that leases messages and acknowledges each by itself; acks travel while the next messages come.
import { type Attachment, attach, type Message } from '../../../src/index.ts';

export interface SimpleConsumerData {
  readonly attachment: Attachment;
  readonly topic: string;
  readonly count: number;
  readonly bodyBytes: number;
}

export interface SimpleConsumerResult {
  /** Messages that came and were acknowledged. */
  readonly acknowledged: number;
  /** Messages that were changed, or came twice. */
  readonly wrong: number;
  readonly seconds: number;
}

/** Messages of one receive, and receives at once. */
const RECEIVE_MAX = 512;
const RECEIVES = 2;

export async function run(
  data: SimpleConsumerData,
  _board: Int32Array,
  ready: () => void,
): Promise<SimpleConsumerResult> {
  const { attachment, topic, count, bodyBytes } = data;
  const connection = attach(attachment);
  let wrong = 0;
  let received = 0;
  let acknowledged = 0;
  const failed = (): void => void wrong++;
  const done = (): void => void acknowledged++;
  const consumer = connection.simpleConsumer(topic, { group: 'bench', from: 'earliest' });
  const seen = new Uint8Array(count);
  const take = (message: Message): void => {
    const { body } = message;
    const words = new Int32Array(body.buffer, body.byteOffset, bodyBytes >> 2);
    const sequence = words[0];
    if (seen[sequence] !== 0 || words[words.length - 1] !== ~sequence) wrong++;
    seen[sequence] = 1;
    received++;
    consumer.ack(message).then(done, failed);
  };
  ready();
  const begun = performance.now();
  const receiving = async (): Promise<void> => {
    while (received < count) {
      for (const message of await consumer.receive({ max: RECEIVE_MAX, waitMs: 200 })) take(message);
    }
  };
  await Promise.all(Array.from({ length: RECEIVES }, receiving));
  // Closing waits until every ack is answered.
  await consumer.close();
  const seconds = (performance.now() - begun) / 1000;
  await connection.close();
  return { acknowledged, wrong, seconds };
}
