// Stores half messages of a producer beside the broker: straight into their topic, which the coordinator reads too. It
// is asked about the first one and, from time to time, about another: whether the topic may be written to, whether
// there is room for more. Commits go there as well (op messages), as long as the coordinator keeps up with them.
import { BATCH_HEADER_BYTES } from '../../native-layout/batch.ts';
import { RingmqError } from '../base/codes.ts';
import { BatchBuilder } from '../record/batch-builder.ts';
import { HalfEnvelope, transactionName } from '../transaction/half-message.ts';
import { OP_MS, OPS_MAX, opBody } from '../transaction/op-message.ts';
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

/** A half message that was stored here. */
export class StoredHalf {
  readonly topicId: number;
  readonly offset: number;
  /** Time of performance.now() before it was sent. */
  readonly begunAt: number;

  constructor(topicId: number, offset: number, begunAt: number) {
    this.topicId = topicId;
    this.offset = offset;
    this.begunAt = begunAt;
  }

  /** Of its transaction. */
  get name(): string {
    return transactionName(this.topicId, this.offset);
  }
}

export class HalfSender {
  private readonly host: HalfHost;
  private readonly envelope: HalfEnvelope;
  private readonly builder = new BatchBuilder(RECORD_MAX);
  /** A body: the producer copies it. */
  private readonly body: Uint8Array;
  private readonly words: Int32Array;
  private producer: Producer<Uint8Array> | undefined;
  private topicId = 0;
  private acceptedUntil = 0;
  private keepsUpUntil = 0;
  private opening = false;
  private closed = false;

  constructor(host: HalfHost, topic: string, group: string) {
    this.host = host;
    this.envelope = new HalfEnvelope(topic, group, true);
    this.body = new Uint8Array(this.envelope.lengthOf(RECORD_MAX));
    this.words = new Int32Array(this.body.buffer);
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
   * Stores a half message. Undefined, at once or later: the coordinator is to be asked. Rejects as a send does.
   */
  store(body: Uint8Array, extras: MessageExtras): Promise<StoredHalf | undefined> | undefined {
    const { builder, producer, topicId } = this;
    const begunAt = performance.now();
    if (producer === undefined || begunAt >= this.acceptedUntil || body.length > RECORD_MAX) return undefined;
    const now = Date.now();
    builder.reset();
    try {
      builder.tryAdd(body, extras, now);
    } catch (error) {
      return Promise.reject(error);
    }
    if (builder.length > RECORD_MAX) return undefined;
    const length = this.envelope.put(this.body, this.words, now, builder.bytes, builder.length - BATCH_HEADER_BYTES);
    const sent = producer.send(this.body.subarray(0, length));
    const stored = sent.then(
      ({ offset }) => new StoredHalf(topicId, known(offset), begunAt),
      (error: unknown) => this.refused(producer, asRefusal(error)),
    );
    return stored as Promise<StoredHalf | undefined>;
  }

  /** The coordinator has just answered commits of this producer. */
  keepsUp(): void {
    this.keepsUpUntil = performance.now() + ACCEPTED_MS;
  }

  /** False: the coordinator is to be asked to commit it. */
  mayCommit({ topicId, begunAt }: StoredHalf): boolean {
    const now = performance.now();
    return (
      this.producer !== undefined && topicId === this.topicId && now < this.keepsUpUntil && now - begunAt < OP_MS / 2
    );
  }

  /** Commits half messages. Resolves with whether each is decided now; if not, nobody knows: ask the coordinator. */
  async commit(halves: readonly StoredHalf[]): Promise<readonly boolean[]> {
    const sent: Promise<readonly boolean[]>[] = [];
    for (let at = 0; at < halves.length; at += OPS_MAX) sent.push(this.sendOps(halves.slice(at, at + OPS_MAX)));
    return (await Promise.all(sent)).flat();
  }

  private async sendOps(halves: readonly StoredHalf[]): Promise<readonly boolean[]> {
    const { producer, topicId } = this;
    if (producer === undefined) return halves.map(() => false);
    try {
      await producer.send(
        opBody(
          topicId,
          halves.map(({ offset }) => offset),
        ),
      );
    } catch {
      return halves.map(() => false);
    }
    // Later than that others may have decided before.
    const now = performance.now();
    return halves.map(({ begunAt }) => now - begunAt < OP_MS);
  }

  /** A topic that is gone is made anew by the coordinator. */
  private refused(producer: Producer<Uint8Array>, refusal: RingmqError): undefined {
    if (refusal.code !== 'unknown-topic') throw refusal;
    if (this.producer === producer) this.producer = undefined;
    void producer.close();
    return undefined;
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

function known(offset: number): number {
  if (offset >= 0) return offset;
  throw new RingmqError('timeout', 'the message was stored and nobody knows where: its producers will be asked');
}
