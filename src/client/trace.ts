// Message trace: steps of sampled messages as messages of RMQ_SYS_TRACE_TOPIC (RocketMQ's name for it): JSON bodies,
// with the message's id as key and the step as tag. Off by default, and then nothing is looked at.
//
// T1  What is traced is chosen by the message's id: producers and consumers with one rate trace the same messages.
// T2  Tracing holds nobody up and fails nobody: records wait in a buffer of this connection, travel some times a
//     second, and are dropped where there is no room, or nobody who takes them.
import { RingmqError } from '../base/codes.ts';
import { messageId, parseMessageId } from '../record/message-id.ts';
import { isReservedTopic, REPLY_PREFIX, TRACE_TOPIC } from '../wire/services.ts';
import type { Producer, ProducerOptions } from './connection.ts';
import type { Message } from './message.ts';
import type { TraceOptions, TraceRecord } from './messaging.ts';
import { asRefusal } from './sent.ts';

export type TraceStep = TraceRecord['step'];

/** Records that wait to be sent. */
const WAITING_MAX = 8_192;
const FLUSH_MS = 100;
const ALL = 2 ** 32;

export interface TraceHost {
  producer(topic: string, options: ProducerOptions): Producer;
  failed(error: Error): void;
}

/** What a group's member knows of a step. */
export type TraceOf = Pick<TraceRecord, 'group' | 'member'>;

export class Trace {
  private readonly host: TraceHost;
  /** Ids whose hash is below are traced. */
  private readonly below: number;
  private readonly waiting: TraceRecord[] = [];
  /** When handlers were given what is traced, by id. */
  private readonly handed = new Map<string, number>();
  private producer: Producer | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private lastFailure = '';
  private ended = false;

  /** Throws `illegal-argument`. */
  constructor({ sample }: TraceOptions, host: TraceHost) {
    if (!(sample >= 0 && sample <= 1)) {
      throw new RingmqError('illegal-argument', `trace: sample is ${sample}: a share of the messages, 0 to 1`);
    }
    this.below = sample * ALL;
    this.host = host;
  }

  /** True if the message with this place is traced (T1). */
  wants(topicId: number, partition: number, offset: number): boolean {
    return hashOf(topicId, partition, offset) < this.below;
  }

  /** A batch of a producer was acknowledged. */
  stored(topic: string, topicId: number, partition: number, baseOffset: number, count: number, tookMs: number): void {
    if (baseOffset < 0 || !isTraced(topic)) return;
    const at = Date.now();
    for (let offset = baseOffset; offset < baseOffset + count; offset++) {
      if (!this.wants(topicId, partition, offset)) continue;
      this.add({ step: 'stored', messageId: messageId(topicId, partition, offset), topic, at, tookMs });
    }
  }

  /** A handler, or the application, was given a message. */
  delivered(message: Message<unknown>, of: TraceOf): void {
    const id = this.idOf(message);
    if (id === undefined) return;
    const at = Date.now();
    this.handed.set(id, at);
    // Not everybody says what came of it.
    if (this.handed.size > WAITING_MAX) this.handed.delete(this.handed.keys().next().value as string);
    this.add(recordOf('delivered', id, message, of, at, undefined));
  }

  /** What came of it. */
  came(step: 'acknowledged' | 'failed' | 'dead', message: Message<unknown>, of: TraceOf): void {
    const id = this.idOf(message);
    if (id === undefined) return;
    const at = Date.now();
    const since = this.handed.get(id);
    this.handed.delete(id);
    this.add(recordOf(step, id, message, of, at, since === undefined ? undefined : at - since));
  }

  /** The connection has ended. */
  end(): void {
    this.ended = true;
    clearTimeout(this.timer);
  }

  private idOf(message: Message<unknown>): string | undefined {
    if (!isTraced(message.topic)) return undefined;
    const { id } = message;
    const place = parseMessageId(id);
    return place && this.wants(place.topicId, place.partition, place.offset) ? id : undefined;
  }

  private add(record: TraceRecord): void {
    if (this.waiting.length >= WAITING_MAX || this.ended) return;
    this.waiting.push(record);
    this.timer ??= setTimeout(this.flushSoon, FLUSH_MS);
  }

  private readonly flushSoon = (): void => {
    this.timer = undefined;
    try {
      this.producer ??= this.host.producer(TRACE_TOPIC, { ack: 'accepted' });
    } catch {
      return; // The connection is closed.
    }
    this.producer.ready().then(this.flush, (error: unknown) => this.failed(asRefusal(error)));
  };

  /** Sends what waits, as far as there is room. */
  readonly flush = (): void => {
    const { producer, waiting } = this;
    if (producer === undefined) return;
    try {
      let sent = 0;
      for (const record of waiting) {
        if (!producer.trySend(JSON.stringify(record), { key: record.messageId, tag: record.step })) break;
        sent++;
      }
      waiting.splice(0, sent);
      producer.flush().catch((error: unknown) => this.failed(asRefusal(error)));
    } catch (error) {
      this.failed(asRefusal(error));
    }
    if (waiting.length > 0 && !this.ended) this.timer ??= setTimeout(this.flushSoon, FLUSH_MS);
  };

  /** Told once: what is traced goes on (T2). */
  private failed(error: RingmqError): void {
    if (error.code === 'closed' || error.message === this.lastFailure) return;
    this.lastFailure = error.message;
    this.waiting.length = 0;
    this.host.failed(new RingmqError(error.code, `trace records are not stored: ${error.message}`));
  }
}

function isTraced(topic: string): boolean {
  return topic !== TRACE_TOPIC && !topic.startsWith(REPLY_PREFIX) && !isReservedTopic(topic);
}

function recordOf(
  step: TraceStep,
  id: string,
  message: Message<unknown>,
  of: TraceOf,
  at: number,
  tookMs: number | undefined,
): TraceRecord {
  const { topic, key, attempts } = message;
  return {
    step,
    messageId: id,
    topic,
    ...(key === undefined ? {} : { key }),
    ...of,
    attempt: attempts,
    at,
    ...(tookMs === undefined ? {} : { tookMs }),
  };
}

/** The same for everybody: mixes the three numbers of an id (the finalizer of MurmurHash3). 0 to 2^32 - 1. */
function hashOf(topicId: number, partition: number, offset: number): number {
  let hash = Math.imul(topicId, 0x9e3779b1) ^ Math.imul(partition + 1, 0x85ebca6b);
  hash ^= Math.imul(offset | 0, 0xc2b2ae35) ^ Math.floor(offset / ALL);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Steps of a group's member. */
export function traced(
  trace: Trace,
  of: TraceOf,
): (step: 'delivered' | 'acknowledged' | 'failed', message: Message<unknown>) => void {
  return (step, message) => (step === 'delivered' ? trace.delivered(message, of) : trace.came(step, message, of));
}
