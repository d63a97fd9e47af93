// Consumers that share work.
//
//   simple-consumer   C leases messages from the coordinator thread and acknowledges each by itself
import { startBroker } from '../../src/index.ts';
import { type Bench, check, type Measured, type Scale } from '../support/bench.ts';
import { Payload } from '../support/payload.ts';
import { startThread } from '../support/threads.ts';
import type { SimpleConsumerResult } from './threads/simple-consumer.ts';

const SIMPLE_CONSUMER = new URL('./threads/simple-consumer.js', import.meta.url);
const PARTITIONS = 4;
/** Messages for each second that a run shall take. */
const PER_SECOND = 300_000;
const RING_MIN_BYTES = 4 * 1024 * 1024;
/** Header and padding of a record, and its share of the batch's header. */
const RECORD_OVERHEAD_BYTES = 40;

async function simpleConsumer({ durationMs, bodyBytes }: Scale): Promise<Measured> {
  const count = Math.ceil((PER_SECOND * durationMs) / 1000 / PARTITIONS) * PARTITIONS;
  let ringBytes = RING_MIN_BYTES;
  while (ringBytes < (count / PARTITIONS) * (bodyBytes + RECORD_OVERHEAD_BYTES)) ringBytes *= 2;
  await using broker = await startBroker({ ringMemoryMaxBytes: 2 * PARTITIONS * ringBytes });
  const connection = broker.connect();
  await connection.createTopic('bench', { partitions: PARTITIONS, ringBytes });
  const payload = new Payload(bodyBytes);
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const producer = connection.producer('bench', { partition, timeoutMs: 60_000 });
    await producer.ready();
    for (let i = partition; i < count; i += PARTITIONS) {
      while (!producer.trySend(payload.of(i))) await producer.ready();
    }
    await producer.close();
  }
  const thread = startThread(
    SIMPLE_CONSUMER,
    { attachment: broker.attachment, topic: 'bench', count, bodyBytes },
    new SharedArrayBuffer(64),
  );
  const { acknowledged, wrong, seconds } = (await thread.result) as SimpleConsumerResult;
  check(wrong === 0, `${wrong} messages were changed, came twice or lost their lease`);
  check(acknowledged === count, `${acknowledged} of ${count} messages were acknowledged`);
  const { queues } = await connection.describeGroup('bench');
  const lag = queues.reduce((sum, one) => sum + one.lag, 0);
  check(lag === 0, `the group still has ${lag} messages`);
  await connection.close();
  return { messagesPerSecond: count / seconds };
}

export const messagingBenches: readonly Bench[] = [
  {
    name: 'simple-consumer',
    what: 'messages leased one by one, one ack for each, pipelined',
    peers: [],
    measure: simpleConsumer,
  },
];
