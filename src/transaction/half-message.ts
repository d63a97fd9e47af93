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
import { align8 } from '../../native-layout/layout.ts';
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
  /** Its producer may commit it by an op message. */
  readonly ops?: boolean;
  /** One batch with the record as its sender made it. */
  readonly payload: Uint8Array;
}

/** Longer bodies take more memory. */
const SHORT_BYTES = 8 * 1024;
/** There is room for the header of a batch before the record. */
const BODY_AT = align8(BATCH_HEADER_BYTES);

/** Between topic and group, and behind it where there may be op messages: groups have none of it in their names. */
const SEPARATOR = '|';

/** The body that is stored. */
export function halfBody({ topic, group, ops = false, bornAt, payload }: HalfMessage): Uint8Array {
  const envelope = new HalfEnvelope(topic, group, ops);
  const size = payload.length - BATCH_HEADER_BYTES;
  const body = new Uint8Array(envelope.lengthOf(size));
  envelope.put(body, new Int32Array(body.buffer), bornAt, payload, size);
  return body;
}

/** Makes the bodies that are stored, for one topic and group. */
export class HalfEnvelope {
  private readonly name: Uint8Array;

  constructor(topic: string, group: string, ops: boolean) {
    this.name = utf8(`${topic}${SEPARATOR}${group}${ops ? SEPARATOR : ''}`);
  }

  /** Length of the body of a record of `size` bytes. */
  lengthOf(size: number): number {
    return envelopeLength(this.name.length, size);
  }

  /** Writes the body of a record, which stands in `payload` as the first one of a batch. Returns its length. HOT */
  put(bytes: Uint8Array, words: Int32Array, bornAt: number, payload: Uint8Array, size: number): number {
    return putEnvelope(bytes, words, this.name, bornAt, payload, BATCH_HEADER_BYTES, size);
  }
}

/** Reads bodies that are stored. What it answers is in memory of its own. */
export class HalfReader {
  private readonly envelope = new EnvelopeView();
  private bytes = new Uint8Array(SHORT_BYTES);
  private words = new Int32Array(this.bytes.buffer);
  /** Of the last one: most are to one topic. */
  private name = '';
  private topic = '';
  private group = '';
  private ops = false;

  /** What a stored body says; undefined if it is not what was written. HOT */
  read(body: Uint8Array): HalfMessage | undefined {
    const end = BODY_AT + body.length;
    if (end > this.bytes.length) {
      this.bytes = new Uint8Array(align8(end));
      this.words = new Int32Array(this.bytes.buffer);
    }
    // It may change, and is in shared memory: looked at and taken from a copy.
    this.bytes.set(body, BODY_AT);
    const { envelope, bytes, words } = this;
    if (!envelope.open(bytes, words, BODY_AT, body.length)) return undefined;
    if (!envelope.isFor(this.name) && !this.learn(envelope.topic)) return undefined;
    const { deliverAt: bornAt, recordAt, recordLength } = envelope;
    // The header of its batch is written over what stood before the record.
    const start = recordAt - BATCH_HEADER_BYTES;
    putHeader(words, start, recordLength, bornAt);
    const payload = bytes.slice(start, recordAt + recordLength);
    return { topic: this.topic, group: this.group, ops: this.ops, bornAt, payload };
  }

  private learn(name: string): boolean {
    const ops = name.endsWith(SEPARATOR);
    const end = ops ? name.length - SEPARATOR.length : name.length;
    const at = name.lastIndexOf(SEPARATOR, end - 1);
    if (at < 0) return false;
    this.name = name;
    this.topic = name.slice(0, at);
    this.group = name.slice(at + 1, end);
    this.ops = ops;
    return true;
  }
}

/** A batch of one record. */
export function recordPayload(source: Uint8Array, at: number, size: number, bornAt: number): Uint8Array {
  const payload = new Uint8Array(BATCH_HEADER_BYTES + size);
  payload.set(source.subarray(at, at + size), BATCH_HEADER_BYTES);
  putHeader(new Int32Array(payload.buffer), 0, size, bornAt);
  return payload;
}

/** The header of a batch of one record of `size` bytes, which stands behind it. */
function putHeader(words: Int32Array, at: number, size: number, bornAt: number): void {
  const record = at + BATCH_HEADER_BYTES;
  words.fill(0, at >> 2, record >> 2);
  words[(at + BATCH_SIZE) >> 2] = BATCH_HEADER_BYTES + size;
  words[(at + BATCH_MAGIC) >> 2] = MAGIC_WORD;
  words[(at + BATCH_COUNT) >> 2] = 1;
  putInt64(words, (at + BATCH_BORN_FIRST) >> 2, bornAt);
  words[(record + RECORD_SIZE) >> 2] = size;
  words[(record + RECORD_OFFSET_DELTA) >> 2] = 0;
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
