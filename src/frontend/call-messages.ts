// Messages that go with calls, where people read and write them: JSON to the payload of a call, and the payload of an
// answer to texts.
import { BATCH_HEADER_BYTES } from '../../native-layout/batch.ts';
import { RingmqError } from '../base/codes.ts';
import { BatchBuilder } from '../record/batch-builder.ts';
import { BatchView, RecordView } from '../record/batch-view.ts';
import type { JsonMessage } from '../wire/json.ts';
import { jsonMessage } from '../wire/json-replies.ts';
import type { Received, ResultOf } from '../wire/services.ts';

/** Everything is one batch. The largest memory is larger than any batch that a call takes; most calls need little. */
const CAPACITIES = [4 * 1024, 64 * 1024, 1024 * 1024, 8 * 1024 * 1024];
const NO_BYTES = new Uint8Array(0);

/** One batch of records for `schedule` and `transaction-prepare`. Throws a RingmqError for what cannot be a message. */
export function payloadOf(messages: readonly JsonMessage[], bornAt: number): Uint8Array {
  if (messages.length === 0) return NO_BYTES;
  for (const capacity of CAPACITIES) {
    const builder = new BatchBuilder(capacity);
    if (!messages.every((message) => builder.tryAdd(message.body, extrasOf(message), bornAt))) continue;
    return builder.bytes.slice(0, builder.closePayload(true));
  }
  throw new RingmqError('frame-too-large', 'the messages of a call are more than it takes: send them with several');
}

/** Texts of the messages that came with the answer to a call, in order. */
export function answeredTexts(method: string, result: string, payload: Uint8Array): string[] {
  if (payload.length === 0) return [];
  const placeOf = placesOf(method, result);
  const words = new Int32Array(payload.buffer, payload.byteOffset, payload.length >> 2);
  const view = new BatchView().span(payload, words, 0, payload.length);
  const record = new RecordView();
  const texts: string[] = [];
  let index = 0;
  while (view.next()) {
    // It stands for a message that is too large for an answer: who wants it pulls it.
    if (view.size === BATCH_HEADER_BYTES) {
      texts.push(JSON.stringify({ op: 'message', ...placeOf(index++), epoch: view.epoch, pull: true }));
    }
    record.open(view);
    while (record.next()) {
      const { key = '', tag = '', properties = {}, body, flags } = record;
      const { epoch, bornAt, storedAt } = view;
      const place = placeOf(index++) ?? { topic: '', partition: 0, offset: record.offset };
      texts.push(jsonMessage({ ...place, epoch, key, tag, properties, bornAt, storedAt, body, flags }));
    }
  }
  return texts;
}

interface Place {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** Where the message with this index lies. */
function placesOf(method: string, result: string): (index: number) => Place | undefined {
  const value: unknown = JSON.parse(result);
  if (method === 'receive') {
    const { queues, messages } = value as Received;
    return (index) => {
      const { topic, partition } = queues[messages[index * 4]];
      return { topic, partition, offset: messages[index * 4 + 1] };
    };
  }
  const { checks = [] } = value as Partial<ResultOf<'transaction-checks'>>;
  return (index) => (checks[index] ? { topic: checks[index].topic, partition: 0, offset: -1 } : undefined);
}

function extrasOf({ key, tag, properties, flags }: JsonMessage) {
  return {
    key: key === '' ? undefined : key,
    tag: tag === '' ? undefined : tag,
    properties: Object.keys(properties).length === 0 ? undefined : properties,
    flags,
  };
}
