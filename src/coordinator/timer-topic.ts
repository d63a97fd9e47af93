// The topic that scheduled messages are stored in before anybody is told that they are (RMQ_SYS_TIMER), and that they
// are read from into buckets. Only the coordinator publishes there.
//
//   T6 Nothing is taken from it that was not acknowledged: what a crash takes back must not have got a number.
//      A marker is published first, so that everything before it, from a predecessor too, is as safe as the marker.
import { RingmqError } from '../base/codes.ts';
import type { Gap } from '../client/connection.ts';
import type { RingConsumer } from '../client/consumer.ts';
import type { InProcessConnection } from '../client/in-process.ts';
import type { Batch } from '../client/message.ts';
import type { RingProducer } from '../client/producer.ts';
import { deliverAtOf } from '../delay/envelope.ts';
import { TIMER_TOPIC } from '../wire/services.ts';
import type { TimerPosition } from './timer-records.ts';

/** A message takes at most a quarter. */
const RING_BYTES = 16 * 1024 * 1024;
/** What is older than the last checkpoint (some seconds) is needed no more; the rest is for people. */
const RETENTION_MS = 6 * 3_600_000;
const RETENTION_BYTES = 4 * 1024 ** 3;
const BATCH_BYTES = 256 * 1024;
const BUFFER_BYTES = 64 * 1024 * 1024;
const TIMEOUT_MS = 30_000;
const MARKER = new Uint8Array(8);

export interface TimerTopicHost {
  readonly connection: InProcessConnection;
  readonly durable: boolean;
  readonly warn: (text: string) => void;
  /** One message; `source` is the ring's memory. HOT */
  message(deliverAt: number, offset: number, source: Uint8Array, at: number, length: number): void;
  /** A batch was read. True: read no more before resume(). */
  turn(): boolean;
  /** Where to begin; undefined: at the beginning. */
  from(): TimerPosition | undefined;
  /** Messages that should be there are not; `anew`: the topic is another one. */
  lost(anew: boolean): void;
}

interface Reading {
  readonly producer: RingProducer<Uint8Array>;
  readonly consumer: RingConsumer<Uint8Array>;
}

export class TimerTopic {
  /** Offset of the next message to be read. */
  offset = 0;
  /** Longest body that it takes; known when it is open. */
  messageMax = 0;
  private readonly host: TimerTopicHost;
  private reading: Promise<Reading> | undefined;
  private current: Reading | undefined;
  private topicId = 0;
  private epoch = 0;
  /** Everything before it was acknowledged. */
  private safeOffset = 0;
  private held = false;
  private readonly waiters: { readonly offset: number; readonly done: () => void }[] = [];

  constructor(host: TimerTopicHost) {
    this.host = host;
  }

  /** Where reading goes on. */
  get position(): TimerPosition {
    return { topicId: this.topicId, epoch: this.epoch, offset: this.offset };
  }

  /** Opens the topic, made if need be; resolves when all that a predecessor left has been read. */
  open(): Promise<Reading> {
    this.reading ??= this.begin().catch((error: unknown) => {
      this.reading = undefined;
      throw error;
    });
    return this.reading;
  }

  /** True if the topic is there. */
  async exists(): Promise<boolean> {
    try {
      await this.host.connection.route(TIMER_TOPIC);
      return true;
    } catch (error) {
      if (error instanceof RingmqError && error.code === 'unknown-topic') return false;
      throw error;
    }
  }

  /** Stores messages; resolves with their offsets when they are as safe as the topic makes them. */
  async store(bodies: Iterable<Uint8Array>): Promise<number[]> {
    const { producer } = await this.open();
    const receipts = await producer.sendBatch(bodies);
    const offsets = receipts.map(({ offset }) => offset);
    const last = offsets[offsets.length - 1];
    this.acknowledged(last);
    // The ring forgets them: they are safe when they are in files (T7).
    if (!this.host.durable) await this.hasRead(last);
    return offsets;
  }

  /** Resolves when the message at an offset has been read; only for acknowledged ones. */
  async hasRead(offset: number): Promise<void> {
    if (offset < this.offset) return;
    await new Promise<void>((done) => this.waiters.push({ offset, done }));
  }

  /** True if there is an acknowledged message at this offset. */
  has(offset: number): boolean {
    return offset < this.safeOffset;
  }

  /** Messages up to this one are as safe as they get. */
  acknowledged(offset: number): void {
    if (offset < this.safeOffset) return;
    this.safeOffset = offset + 1;
    this.readOn();
  }

  /** Reading may go on. */
  resume(): void {
    if (!this.held) return;
    this.held = false;
    this.readOn();
  }

  async close(): Promise<void> {
    const { current } = this;
    this.current = undefined;
    await current?.producer.close();
    await current?.consumer.close();
  }

  private async begin(): Promise<Reading> {
    const { connection, durable } = this.host;
    const options = { partitions: 1, durable, ringBytes: RING_BYTES, ifNotExists: true };
    const retention = durable ? { retentionMs: RETENTION_MS, retentionBytes: RETENTION_BYTES } : {};
    const { topicId, messageMaxBytes } = await connection.createTopic(TIMER_TOPIC, { ...options, ...retention });
    this.topicId = topicId;
    this.messageMax = messageMaxBytes;
    const from = this.host.from();
    const position = from?.topicId === topicId ? from : undefined;
    if (from !== undefined && position === undefined) this.host.lost(true);
    const limits = { batchBytes: BATCH_BYTES, bufferBytes: BUFFER_BYTES, timeoutMs: TIMEOUT_MS };
    const producer = connection.producer<Uint8Array>(TIMER_TOPIC, { createTopic: false, ...limits });
    const marker = await this.mark(producer);
    const consumer = connection.consumer(TIMER_TOPIC, {
      from: position ? { positions: [{ partition: 0, ...position }] } : 'earliest',
      onBatch: (batch) => this.take(batch),
      onGap: (gap) => this.gap(gap),
      onError: (error) => this.host.warn(`${TIMER_TOPIC}: ${error.message}`),
    });
    const reading = { producer, consumer };
    this.current = reading;
    consumer.onOver = (error) => this.over(reading, error);
    this.offset = position?.offset ?? 0;
    this.safeOffset = marker + 1;
    await this.hasRead(marker);
    return reading;
  }

  /** T6. Returns the marker's offset. */
  private async mark(producer: RingProducer<Uint8Array>): Promise<number> {
    try {
      return (await producer.send(MARKER)).offset;
    } catch (error) {
      // It says again what has just gone wrong.
      producer.close().catch(() => {});
      throw error;
    }
  }

  private readOn(): void {
    if (!this.held && this.offset < this.safeOffset) this.current?.consumer.resume();
  }

  /** HOT */
  private take(batch: Batch): void {
    while (batch.next()) {
      const at = batch.bodyAt;
      const length = batch.bodyLength;
      const deliverAt = deliverAtOf(batch.words, at, length);
      if (deliverAt >= 0) this.host.message(deliverAt, batch.offset, batch.bytes, at, length);
      this.offset = batch.offset + 1;
    }
    this.epoch = batch.epoch;
    this.held = this.host.turn();
    // T6: the next batch is not acknowledged yet.
    if (this.held || this.offset >= this.safeOffset) this.current?.consumer.pause();
    this.wake();
  }

  private wake(): void {
    const { waiters } = this;
    for (let i = waiters.length - 1; i >= 0; i--) {
      if (waiters[i].offset < this.offset) waiters.splice(i, 1)[0].done();
    }
  }

  private gap({ from, to, reason }: Gap): void {
    if (to <= from) return;
    this.host.warn(
      `${TIMER_TOPIC}: ${to - from} messages are gone (${reason}) before they came into a file: ` +
        'scheduled messages among them are not delivered. Was the retention of the topic changed?',
    );
    this.host.lost(false);
  }

  /** The topic was deleted, or the connection is closed: the next message that is scheduled opens the topic again. */
  private over(reading: Reading, error: RingmqError | undefined): void {
    if (this.current !== reading) return;
    this.current = undefined;
    this.reading = undefined;
    reading.producer.close().catch(() => {});
    for (const { done } of this.waiters.splice(0)) done();
    if (error?.code !== 'unknown-topic') return;
    this.host.lost(true);
    this.host.warn(`${TIMER_TOPIC} was deleted: only scheduled messages that are in a file already are delivered`);
  }
}
