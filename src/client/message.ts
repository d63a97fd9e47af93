// What consumers get: owned messages, and views of whole batches where they lie.

import { BATCH_BASE_OFFSET } from '../../native-layout/batch.ts';
import type { BatchView } from '../record/batch-view.ts';
import { RecordView } from '../record/batch-view.ts';
import { getInt64 } from '../record/int64.ts';
import { messageId } from '../record/message-id.ts';
import type { MessageProperties } from '../record/properties.ts';
import { fromUtf8 } from '../record/text.ts';
import type { Codec } from './codec.ts';

/** Knows the topic's id; 0 until the route is known. */
export interface TopicIdentity {
  readonly topicId: number;
}

/** A received message that owns its bytes. */
export class Message<T = Uint8Array> {
  readonly topic: string;
  /** Number of the partition in its topic. */
  readonly partition: number;
  readonly epoch: number;
  /** Number of the message in its partition. */
  readonly offset: number;
  /** Milliseconds since 1970 when the producer sent it. */
  readonly bornAt: number;
  /** Milliseconds since 1970 when the broker accepted it. */
  readonly storedAt: number;
  /** Number that its producer chose for itself at random; 0 for ack `none` and direct producers. */
  readonly producerId: number;
  readonly key: string | undefined;
  readonly tag: string | undefined;
  readonly properties: MessageProperties | undefined;
  /** Bits of the record's flags byte. */
  readonly flags: number;
  readonly body: Uint8Array;
  private readonly codec: Codec<T> | undefined;
  readonly #identity: TopicIdentity;

  constructor(
    topic: string,
    partition: number,
    batch: BatchView,
    record: RecordView,
    identity: TopicIdentity,
    codec?: Codec<T>,
  ) {
    this.topic = topic;
    this.partition = partition;
    this.epoch = batch.epoch;
    this.offset = record.offset;
    this.bornAt = batch.bornAt;
    this.storedAt = batch.storedAt;
    this.producerId = batch.producerId;
    this.key = record.key;
    this.tag = record.tag;
    this.properties = record.properties;
    this.flags = record.flags;
    this.body = record.copyBody();
    this.codec = codec;
    this.#identity = identity;
  }

  /** Names the message for as long as it is kept: see Connection.message(). */
  get id(): string {
    return messageId(this.#identity.topicId, this.partition, this.offset);
  }

  /** The body, decoded by the consumer's codec. Throws what the codec throws. */
  get value(): T {
    return this.codec ? this.codec.decode(this.body) : (this.body as T);
  }

  /** The body as text. */
  text(): string {
    return fromUtf8(this.body);
  }

  /** The body as JSON. */
  json(): unknown {
    return JSON.parse(this.text());
  }
}

/**
 * The records of one batch where they lie, valid during the call of the handler only. Iterate with
 * `while (batch.next())` and read the current record from the batch itself: nothing is allocated.
 */
export class Batch extends RecordView {
  topic = '';
  /** Number of the partition in its topic. */
  partition = 0;
  /** Offset of the first record that the consumer wants; earlier ones of the batch are stepped over. */
  private from = 0;
  private batch: BatchView | undefined;

  /** For clients: points at a batch; next() yields the records from offset `from` on. HOT */
  show(topic: string, partition: number, batch: BatchView, from: number): this {
    this.topic = topic;
    this.partition = partition;
    this.from = from;
    this.batch = batch;
    this.open(batch);
    return this;
  }

  /** HOT */
  override next(): boolean {
    while (super.next()) if (this.offset >= this.from) return true;
    return false;
  }

  /** Records in the batch that the consumer wants. */
  get count(): number {
    const batch = this.batch;
    if (!batch) return 0;
    const skipped = this.from - getInt64(batch.words, (batch.at + BATCH_BASE_OFFSET) >> 2);
    return batch.count - (skipped > 0 ? skipped : 0);
  }
  get epoch(): number {
    return this.batch?.epoch ?? 0;
  }
  get storedAt(): number {
    return this.batch?.storedAt ?? 0;
  }
  get bornAt(): number {
    return this.batch?.bornAt ?? 0;
  }
  /** See Message.producerId. */
  get producerId(): number {
    return this.batch?.producerId ?? 0;
  }
}
