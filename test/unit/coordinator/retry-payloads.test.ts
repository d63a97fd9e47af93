import { expect, test } from 'vitest';
import { BATCH_HEADER_BYTES } from '../../../native-layout/batch.ts';
import { RECORD_HEADER_BYTES } from '../../../native-layout/record.ts';
import { Message } from '../../../src/client/message.ts';
import { failedPayload, givenUpPayload, replayPayload, timerPayload } from '../../../src/coordinator/retry-payloads.ts';
import { BatchBuilder, type RecordExtras } from '../../../src/record/batch-builder.ts';
import { BatchView, RecordView } from '../../../src/record/batch-view.ts';
import { halfBody } from '../../../src/transaction/half-message.ts';
import { OWN_ROOM_BYTES } from '../../../src/wire/services.ts';

const TOPIC = 't'.repeat(127);
const GROUP = 'g'.repeat(120);
/** The longest, in the longest encoding. */
const REASON = '€'.repeat(1_024);
const LARGEST_COUNT = 2 ** 31 - 1;

function payloadOf(body: Uint8Array, extras: RecordExtras = {}): Uint8Array {
  const builder = new BatchBuilder(1_024);
  builder.tryAdd(body, extras, 1);
  return builder.bytes.slice(0, builder.closePayload(false));
}

function messageOf(topic: string, payload: Uint8Array): Message {
  const batch = new BatchView().span(payload, new Int32Array(payload.buffer), 0, payload.length);
  batch.next();
  const record = new RecordView().open(batch);
  record.next();
  return new Message(topic, 0, batch, record, { topicId: 1 });
}

/** Far up in the last partition, as the broker counts. */
function failed(payload: Uint8Array, reason?: string): Uint8Array {
  const message = messageOf(TOPIC, payload);
  const { bornAt, key, tag, properties, flags, body } = message;
  const place = { topic: TOPIC, partition: 4_095, offset: Number.MAX_SAFE_INTEGER };
  return failedPayload({ ...place, bornAt, key, tag, properties, flags, body }, LARGEST_COUNT, reason);
}

test('what the broker puts around a message fits the room that producers leave for it', () => {
  const sent = payloadOf(new Uint8Array(50_000), { properties: { a: 'b' } });
  const most = sent.length + OWN_ROOM_BYTES;
  expect(failed(sent, REASON).length).toBeLessThanOrEqual(most);
  // `%RETRY%group|topic` is a topic's name, and these have no more characters than TOPIC.
  expect(timerPayload(failed(sent), TOPIC, 1).length).toBeLessThanOrEqual(most);
  const half = { topic: TOPIC, group: GROUP, bornAt: 1, payload: sent };
  expect(BATCH_HEADER_BYTES + RECORD_HEADER_BYTES + halfBody(half).length).toBeLessThanOrEqual(most);
  expect(givenUpPayload(half).length).toBeLessThanOrEqual(most);
});

test('a replayed message is, byte for byte, what was sent: with properties and without', () => {
  for (const extras of [{}, { key: 'k', tag: 't' }, { properties: { a: 'b' } }]) {
    const sent = payloadOf(new Uint8Array(1_000).fill(7), extras);
    expect(replayPayload([messageOf('%DLQ%g', failed(sent, 'it threw'))])).toEqual(sent);
  }
});
