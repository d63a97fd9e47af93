// What an answer to `receive` means: messages with their leases, out of sparse batches.
import { BATCH_HEADER_BYTES } from '../../native-layout/batch.ts';
import { RingmqError } from '../base/codes.ts';
import { BatchView, RecordView } from '../record/batch-view.ts';
import { isRetryTopic, PROPERTY } from '../wire/services.ts';
import type { Codec } from './codec.ts';
import type { PullRequest, PullResult } from './connection.ts';
import { type Lease, LeasedMessage, type LeasedQueue, leasePulled } from './leased-message.ts';
import type { Message, Origin } from './message.ts';

/** Numbers of one message in the answer. */
const ENTRY = 4;

/** Reads once; see Connection.pull(). */
export type Pull = (request: PullRequest) => Promise<PullResult>;

/** A Received, whose queues say what their messages need of the connection. */
interface Answer {
  readonly queues: readonly LeasedQueue[];
  readonly messages: readonly number[];
}

/**
 * The messages of an answer, in its order. A batch without records stands for a message that is too large for an
 * answer: it is pulled. One that is not kept any more is left out, and its lease runs out.
 */
export async function receivedMessages<T>(
  { queues, messages: entries }: Answer,
  payload: Uint8Array,
  codec: Codec<T> | undefined,
  pull: Pull,
): Promise<readonly Message<T>[]> {
  const messages: Message<T>[] = [];
  // Payloads come 8-byte aligned in their frames; one that was sliced out of a frame may not.
  const bytes = payload.byteOffset % 4 === 0 ? payload : payload.slice();
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  const view = new BatchView().span(bytes, words, 0, bytes.length);
  const record = new RecordView();
  let at = 0;
  const next = (): { readonly lease: Lease; readonly attempts: number } => {
    if (at >= entries.length) throw new RingmqError('internal', 'the broker sent more messages than leases');
    const queue: LeasedQueue = queues[entries[at]];
    const lease = { queue, offset: entries[at + 1], token: entries[at + 2] };
    const attempts = entries[at + 3];
    at += ENTRY;
    return { lease, attempts };
  };
  while (view.next()) {
    if (view.size === BATCH_HEADER_BYTES) {
      const { lease, attempts } = next();
      const one = await pullOne<T>(lease, codec, pull);
      if (one) messages.push(shown(one, attempts, queues));
      continue;
    }
    record.open(view);
    while (record.next()) {
      const { lease, attempts } = next();
      messages.push(shown(new LeasedMessage<T>(lease, view, record, codec), attempts, queues));
    }
  }
  if (at !== entries.length) throw new RingmqError('internal', 'the broker sent more leases than messages');
  return messages;
}

async function pullOne<T>(lease: Lease, codec: Codec<T> | undefined, pull: Pull): Promise<Message<T> | undefined> {
  const { queue, offset } = lease;
  const { topic, partition } = queue;
  const { messages } = await pull({ topic, partition, from: { offset }, max: 1, waitMs: 0 });
  const message = messages.at(0) as Message<T> | undefined;
  if (message?.offset !== offset) return undefined;
  leasePulled(message, lease);
  return message.decodedBy(codec);
}

/** A retried message shows where it was first, and every message its attempts. */
function shown<T>(message: Message<T>, attempts: number, queues: readonly LeasedQueue[]): Message<T> {
  if (!isRetryTopic(message.topic)) return attempts === 1 ? message : message.redelivered(attempts);
  return message.redelivered(attempts, originOf(message.properties, queues));
}

function originOf(properties: Message['properties'], queues: readonly LeasedQueue[]): Origin | undefined {
  const topic = properties?.[PROPERTY.realTopic];
  const partition = Number(properties?.[PROPERTY.realQueue]);
  const offset = Number(properties?.[PROPERTY.realOffset]);
  if (topic === undefined || !Number.isSafeInteger(partition) || !Number.isSafeInteger(offset)) return undefined;
  const identity = queues.find((one) => one.topic === topic) ?? { topicId: 0, replier: queues.at(0)?.replier };
  return { topic, partition, offset, identity };
}
