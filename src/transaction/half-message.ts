// A half message as it is stored: the sender's record, whole, in an envelope that says where it is to go and which
// producers answer for it. And the name of its transaction, which is where it is stored.
import {
  BATCH_BORN_FIRST,
  BATCH_COUNT,
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  BATCH_SIZE,
  MAGIC_WORD,
} from '../../native-layout/batch.ts';
import { RECORD_OFFSET_DELTA, RECORD_SIZE } from '../../native-layout/record.ts';
import { RingmqError } from '../base/codes.ts';
import { EnvelopeView, envelopeLength, putEnvelope } from '../delay/envelope.ts';
import { BatchView, RecordView } from '../record/batch-view.ts';
import { putInt64 } from '../record/int64.ts';
import { messageId, parseMessageId } from '../record/message-id.ts';
import { utf8 } from '../record/text.ts';
import { validateBatch } from '../record/validate.ts';

export interface HalfMessage {
  readonly topic: string;
  readonly group: string;
  readonly bornAt: number;
  /** One batch with the record as its sender made it. */
  readonly payload: Uint8Array;
}

/** Between topic and group: groups have none of it in their names. */
const SEPARATOR = '|';

/** The body that is stored. */
export function halfBody({ topic, group, bornAt, payload }: HalfMessage): Uint8Array {
  const name = utf8(`${topic}${SEPARATOR}${group}`);
  const size = payload.length - BATCH_HEADER_BYTES;
  const body = new Uint8Array(envelopeLength(name.length, size));
  putEnvelope(body, new Int32Array(body.buffer), name, bornAt, payload, BATCH_HEADER_BYTES, size);
  return body;
}

/** What a stored body says; undefined if it is not what was written. */
export function readHalf(body: Uint8Array): HalfMessage | undefined {
  const bytes = new Uint8Array(body);
  const envelope = new EnvelopeView();
  if (!envelope.open(bytes, new Int32Array(bytes.buffer, 0, bytes.length >> 2), 0, bytes.length)) return undefined;
  const name = envelope.topic;
  const at = name.lastIndexOf(SEPARATOR);
  if (at < 0) return undefined;
  const { deliverAt: bornAt, recordAt, recordLength } = envelope;
  const payload = recordPayload(bytes, recordAt, recordLength, bornAt);
  return { topic: name.slice(0, at), group: name.slice(at + 1), bornAt, payload };
}

/** A batch of one record. */
export function recordPayload(source: Uint8Array, at: number, size: number, bornAt: number): Uint8Array {
  const payload = new Uint8Array(BATCH_HEADER_BYTES + size);
  const words = new Int32Array(payload.buffer);
  payload.set(source.subarray(at, at + size), BATCH_HEADER_BYTES);
  words[BATCH_SIZE >> 2] = payload.length;
  words[BATCH_MAGIC >> 2] = MAGIC_WORD;
  words[BATCH_COUNT >> 2] = 1;
  putInt64(words, BATCH_BORN_FIRST >> 2, bornAt);
  words[(BATCH_HEADER_BYTES + RECORD_SIZE) >> 2] = size;
  words[(BATCH_HEADER_BYTES + RECORD_OFFSET_DELTA) >> 2] = 0;
  return payload;
}

/** Each record of a call's payload by itself. Throws what is wrong with it. */
export function halvesOf(topic: string, group: string, payload: Uint8Array, recordMax: number): HalfMessage[] {
  const bytes = payload.byteOffset % 8 === 0 ? payload : payload.slice();
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  const code = validateBatch(bytes, words, 0, bytes.length);
  if (code !== 'ok') throw new RingmqError(code, `transaction-prepare: the messages are not a batch (${code})`);
  const batch = new BatchView().span(bytes, words, 0, words[0]);
  batch.next();
  const record = new RecordView().open(batch);
  const { bornAt } = batch;
  const halves: HalfMessage[] = [];
  while (record.next()) {
    const size = words[record.at >> 2];
    if (size > recordMax) {
      throw new RingmqError('message-too-large', `a message of ${size} bytes; ${topic} takes ${recordMax}`);
    }
    halves.push({ topic, group, bornAt, payload: recordPayload(bytes, record.at, size, bornAt) });
  }
  return halves;
}

/** Opaque to clients. `topicId`: of the topic of half messages. */
export function transactionName(topicId: number, offset: number): string {
  return messageId(topicId, 0, offset);
}

/** Where the half message of a transaction is; undefined for a text that names none. */
export function parseTransaction(name: string): { readonly topicId: number; readonly offset: number } | undefined {
  const place = parseMessageId(name);
  return place?.partition === 0 ? { topicId: place.topicId, offset: place.offset } : undefined;
}
