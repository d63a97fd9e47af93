// The messages that retries, dead letters and their replay publish, made of those that they come from: the same bytes
// each time, for a successor publishes again what its predecessor may have published.
import { RingmqError } from '../base/codes.ts';
import type { Message } from '../client/message.ts';
import { envelopeLength, putEnvelope } from '../delay/envelope.ts';
import { BatchBuilder } from '../record/batch-builder.ts';
import { BatchView, RecordView } from '../record/batch-view.ts';
import type { MessageProperties } from '../record/properties.ts';
import { utf8 } from '../record/text.ts';
import type { HalfMessage } from '../transaction/half-message.ts';
import { isReservedTopic, PROPERTY } from '../wire/services.ts';

/** What of a message is needed. */
export type RetriedMessage = Pick<
  Message,
  'topic' | 'partition' | 'offset' | 'bornAt' | 'key' | 'tag' | 'properties' | 'flags' | 'body'
>;

type Content = Pick<RetriedMessage, 'body' | 'key' | 'tag' | 'flags' | 'bornAt'>;

const BATCH_BYTES = 64 * 1024;

/** A failed message, as it waits for its next delivery (`reason` left out) or lies among the dead letters. */
export function failedPayload(message: RetriedMessage, failures: number, reason?: string): Uint8Array {
  const { topic, partition, offset, properties } = message;
  const first: MessageProperties = {
    [PROPERTY.realTopic]: topic,
    [PROPERTY.realQueue]: String(partition),
    [PROPERTY.realOffset]: String(offset),
  };
  // Where it was first is kept over all rounds. Only in topics that the broker alone publishes to it is the broker that
  // says so.
  const isFirst = !isReservedTopic(topic) || properties?.[PROPERTY.realTopic] === undefined;
  const own = { ...(isFirst ? first : brokersOf(properties)), [PROPERTY.reconsumeTimes]: String(failures) };
  const all = { ...properties, ...own };
  const said = reason === undefined ? all : { ...all, [PROPERTY.deadReason]: reason };
  const builder = new BatchBuilder(BATCH_BYTES);
  addWhatFits(builder, message, [said, all, own]);
  return closed(builder);
}

function brokersOf(properties: MessageProperties = {}): MessageProperties {
  return Object.fromEntries(
    Object.entries(properties).filter(([name]) => (BROKERS as readonly string[]).includes(name)),
  );
}

/**
 * All properties have some room together. Where the broker's have none beside the sender's the reason goes first, then
 * the sender's: without its count a message would come for ever, without its topic no dead letter could be replayed.
 */
function addWhatFits(builder: BatchBuilder, message: Content, choices: readonly MessageProperties[]): void {
  const [first, ...others] = choices;
  try {
    addTo(builder, message, first);
  } catch (error) {
    if (!(error instanceof RingmqError && error.code === 'properties-too-large') || others.length === 0) throw error;
    addWhatFits(builder, message, others);
  }
}

/** Dead letters as their senders sent them. */
export function replayPayload(messages: readonly RetriedMessage[]): Uint8Array {
  const builder = new BatchBuilder(BATCH_BYTES);
  const payloads = messages.map((message) => {
    const properties = { ...message.properties };
    for (const name of BROKERS) delete properties[name];
    // An empty table has bytes too: the largest message would not fit its topic any more.
    addTo(builder, message, Object.keys(properties).length > 0 ? properties : undefined);
    const payload = closed(builder);
    builder.reset();
    return payload;
  });
  return joined(payloads);
}

/** A half message that nobody resolved, for people: it says where it was to go. */
export function givenUpPayload({ topic, group, payload }: HalfMessage): Uint8Array {
  const words = new Int32Array(payload.buffer, payload.byteOffset, payload.length >> 2);
  const batch = new BatchView().span(payload, words, 0, payload.length);
  batch.next();
  const record = new RecordView().open(batch);
  record.next();
  const { key, tag, flags, body } = record;
  const own = { [PROPERTY.realTopic]: topic, [PROPERTY.producerGroup]: group };
  const builder = new BatchBuilder(BATCH_BYTES);
  addWhatFits(builder, { body, key, tag, flags, bornAt: batch.bornAt }, [{ ...record.properties, ...own }, own]);
  return closed(builder);
}

/** The records of a payload as messages of the timer topic, to be delivered to `topic` at a time. */
export function timerPayload(payload: Uint8Array, topic: string, deliverAt: number): Uint8Array {
  const name = utf8(topic);
  const words = new Int32Array(payload.buffer, payload.byteOffset, payload.length >> 2);
  const batch = new BatchView().span(payload, words, 0, payload.length);
  const record = new RecordView();
  const payloads: Uint8Array[] = [];
  while (batch.next()) {
    record.open(batch);
    while (record.next()) {
      const size = words[record.at >> 2];
      const envelope = new Uint8Array(envelopeLength(name.length, size));
      putEnvelope(envelope, new Int32Array(envelope.buffer), name, deliverAt, payload, record.at, size);
      const builder = new BatchBuilder(envelope.length + 128);
      builder.tryAddBody(envelope, batch.bornAt);
      payloads.push(closed(builder));
    }
  }
  return joined(payloads);
}

/** Properties of the broker's own, which a replayed message begins without. */
const BROKERS = [
  PROPERTY.realTopic,
  PROPERTY.realQueue,
  PROPERTY.realOffset,
  PROPERTY.reconsumeTimes,
  PROPERTY.deadReason,
];

function addTo(builder: BatchBuilder, message: Content, properties: MessageProperties | undefined): void {
  const { body, key, tag, flags, bornAt } = message;
  builder.tryAdd(body, { key, tag, flags, properties }, bornAt);
}

function closed(builder: BatchBuilder): Uint8Array {
  return builder.bytes.slice(0, builder.closePayload(false));
}

/** Whole batches behind each other. */
export function joined(payloads: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(payloads.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const payload of payloads) {
    all.set(payload, at);
    at += payload.length;
  }
  return all;
}
