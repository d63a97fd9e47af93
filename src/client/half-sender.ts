// Stores half messages of a producer beside the broker: straight into their topic, which the coordinator reads too. It
// is asked about the first one and, from time to time, about another: whether the topic may be written to, whether
// there is room for more.
import { RingmqError } from '../base/codes.ts';
import { BatchBuilder } from '../record/batch-builder.ts';
import { halfBody, transactionName } from '../transaction/half-message.ts';
import type { TopicRoute } from '../wire/commands.ts';
import { HALF_TOPIC } from '../wire/services.ts';
import type { MessageExtras, Producer, ProducerOptions } from './connection.ts';
import { asRefusal } from './sent.ts';

export interface HalfHost {
  route(topic: string): Promise<TopicRoute>;
  producer(topic: string, options: ProducerOptions<Uint8Array>): Producer<Uint8Array>;
}

/** Longer records are left to the coordinator, which knows how long they may be. Every topic takes these. */
const RECORD_MAX = 4 * 1024;
/** How long the coordinator's word is good. */
const ACCEPTED_MS = 100;
const TIMEOUT_MS = 30_000;

export class HalfSender {
  private readonly host: HalfHost;
  private readonly topic: string;
  private readonly group: string;
  private readonly builder = new BatchBuilder(RECORD_MAX);
  private producer: Producer<Uint8Array> | undefined;
  private topicId = 0;
  private acceptedUntil = 0;
  private opening = false;
  private closed = false;

  constructor(host: HalfHost, topic: string, group: string) {
    this.host = host;
    this.topic = topic;
    this.group = group;
  }

  /** The coordinator has just stored a half message of this producer. */
  accepted(): void {
    this.acceptedUntil = performance.now() + ACCEPTED_MS;
    if (this.producer || this.opening || this.closed) return;
    this.opening = true;
    this.open()
      .catch(() => {}) // The coordinator stores the next one too.
      .finally(() => {
        this.opening = false;
      });
  }

  /**
   * Stores a half message; resolves with its transaction, or at once with undefined: the coordinator is to be asked.
   * Rejects as a send does.
   */
  async store(body: Uint8Array, extras: MessageExtras): Promise<string | undefined> {
    const { builder, producer } = this;
    if (producer === undefined || performance.now() >= this.acceptedUntil || body.length > RECORD_MAX) return undefined;
    const now = Date.now();
    builder.reset();
    builder.tryAdd(body, extras, now);
    if (builder.length > RECORD_MAX) return undefined;
    const payload = builder.bytes.subarray(0, builder.length);
    const { topic, group, topicId } = this;
    try {
      const { offset } = await producer.send(halfBody({ topic, group, bornAt: now, payload }));
      if (offset >= 0) return transactionName(topicId, offset);
    } catch (error) {
      const refusal = asRefusal(error);
      if (refusal.code !== 'unknown-topic') throw refusal;
      this.producer = undefined;
      void producer.close();
      return undefined;
    }
    throw new RingmqError('timeout', 'the message was stored and nobody knows where: its producers will be asked');
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.producer?.close();
    this.producer = undefined;
  }

  private async open(): Promise<void> {
    const { topicId, durable } = await this.host.route(HALF_TOPIC);
    // A ring forgets what the coordinator has not read in time.
    if (!durable || this.closed) return;
    this.topicId = topicId;
    this.producer = this.host.producer(HALF_TOPIC, { ack: 'durable', createTopic: false, timeoutMs: TIMEOUT_MS });
  }
}
