// What consumers get: owned messages, and views of whole batches where they lie.

import { BATCH_BASE_OFFSET } from '../../native-layout/batch.ts';
import { RECORD_PRIORITY_SHIFT } from '../../native-layout/record.ts';
import { RingmqError } from '../base/codes.ts';
import type { RecordFilter } from '../filter/filter.ts';
import type { BatchView } from '../record/batch-view.ts';
import { RecordView } from '../record/batch-view.ts';
import { getInt64 } from '../record/int64.ts';
import { messageId } from '../record/message-id.ts';
import type { MessageProperties } from '../record/properties.ts';
import { fromUtf8 } from '../record/text.ts';
import type { Codec } from './codec.ts';
import type { MessageExtras } from './connection.ts';

/** Sends replies to requests. */
export interface Replier {
  reply(request: Message<unknown>, body: Uint8Array | string, extras?: MessageExtras): Promise<void>;
}

/** Knows the topic's id; 0 until the route is known. */
export interface TopicIdentity {
  readonly topicId: number;
  /** Of the connection that the message came over. */
  readonly replier?: Replier | undefined;
}

/** What a message was first stored as: what a retry or a lease shows. */
export interface Origin {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly identity: TopicIdentity;
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
  /** Deliveries to the consumer's group, this one included; 1 where nobody counts. */
  readonly attempts: number = 1;
  private codec: Codec<T> | undefined;
  #identity: TopicIdentity;

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

  /** For clients: says how often it was delivered, and (of a retry) where it was first. Returns the message itself. */
  redelivered(attempts: number, origin?: Origin): this {
    const changed = this as { -readonly [K in 'attempts' | 'topic' | 'partition' | 'offset']: Message<T>[K] };
    changed.attempts = attempts;
    if (origin === undefined) return this;
    changed.topic = origin.topic;
    changed.partition = origin.partition;
    changed.offset = origin.offset;
    this.#identity = origin.identity;
    return this;
  }

  /** For clients: `value` is what this codec makes of the body. Returns the message itself. */
  decodedBy(codec: Codec<T> | undefined): this {
    this.codec = codec;
    return this;
  }

  /** Names the message for as long as it is kept: see Connection.message(). */
  get id(): string {
    return messageId(this.#identity.topicId, this.partition, this.offset);
  }

  /** 0 (default, lowest) to 9. */
  get priority(): number {
    return this.flags >>> RECORD_PRIORITY_SHIFT;
  }

  /** The body, decoded by the consumer's codec. Throws what the codec throws. */
  get value(): T {
    return this.codec ? this.codec.decode(this.body) : (this.body as T);
  }

  /**
   * Answers a request: whoever sent it with Connection.request() gets this body. Settles when the broker has it.
   * Rejects with `illegal-argument` if the message is no request, with `unknown-topic` if nobody waits any more.
   */
  async reply(body: Uint8Array | string, extras?: MessageExtras): Promise<void> {
    const { replier } = this.#identity;
    if (!replier) throw new RingmqError('illegal-argument', 'only messages that came over a connection have a reply()');
    await replier.reply(this, body, extras);
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

/** Offsets that a batch does not show: a group has acknowledged them before. */
export interface Skipped {
  contains(offset: number): boolean;
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
  private skipped: Skipped | undefined;
  private filter: RecordFilter | undefined;

  /** For clients: points at a batch; next() yields the records from offset `from` on. HOT */
  show(topic: string, partition: number, batch: BatchView, from: number): this {
    this.topic = topic;
    this.partition = partition;
    this.from = from;
    this.batch = batch;
    this.skipped = undefined;
    this.filter = undefined;
    this.open(batch);
    return this;
  }

  /**
   * For clients: next() steps over what the filter does not want. False if nothing is left of the batch. HOT
   */
  choose(filter: RecordFilter | undefined): boolean {
    this.filter = filter;
    if (!this.next()) return false;
    // What lies before the first match is not looked at again.
    this.from = this.offset;
    this.rewind();
    return true;
  }

  /** For clients: next() steps over these too. */
  leaveOut(skipped: Skipped | undefined): void {
    this.skipped = skipped;
  }

  /** The first record is the next one again. */
  rewind(): void {
    if (this.batch) this.open(this.batch);
  }

  /** HOT */
  override next(): boolean {
    while (super.next()) {
      if (this.offset < this.from || this.skipped?.contains(this.offset)) continue;
      if (this.filter === undefined || this.filter.matches(this)) return true;
    }
    return false;
  }

  /** Records in the batch that the consumer wants; with a filter, at most so many. */
  get count(): number {
    const batch = this.batch;
    if (!batch) return 0;
    const skipped = this.from - getInt64(batch.words, (batch.at + BATCH_BASE_OFFSET) >> 2);
    return batch.count - (skipped > 0 ? skipped : 0);
  }
  /** Byte index of the batch, its header first. */
  get startsAt(): number {
    return this.batch?.at ?? 0;
  }
  /** First offset behind the batch. */
  get endOffset(): number {
    const batch = this.batch;
    return batch ? getInt64(batch.words, (batch.at + BATCH_BASE_OFFSET) >> 2) + batch.count : 0;
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
