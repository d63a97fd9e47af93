// Requests and their replies, as RocketMQ does them: a request is a message that says where its reply is wanted
// (REPLY_TO_CLIENT) and which one it is (CORRELATION_ID); a reply is a message to that topic. The same over every
// transport; a client by hand creates a `%REPLY%` topic, reads it, and sets the two properties.
//
// A connection has one reply topic, made at its first request and read by one consumer. It is volatile, drops the
// oldest when nobody reads it, and the broker removes it when the session (in process: the thread's seat) that made it
// ends.
import { RingmqError } from '../base/codes.ts';
import { PROPERTY, REPLY_PREFIX } from '../wire/services.ts';
import type { ConsumerOptions, MessageExtras, Producer, ProducerOptions, TopicOptions } from './connection.ts';
import type { Message, Replier } from './message.ts';
import type { RequestOptions } from './messaging.ts';

/** RocketMQ's sendMsgTimeout. */
const TIMEOUT_MS = 3_000;
const TIMEOUT_MAX_MS = 0x7fff_ffff;
/** Producers that are kept for the next request or reply to the same topic. */
const PRODUCERS_MAX = 64;
/** Requests of a connection that wait for their replies. */
const PENDING_MAX = 65_536;

/** What is wanted of a connection. */
export interface RequestHost {
  createTopic(topic: string, options: TopicOptions): Promise<unknown>;
  producer(topic: string, options: ProducerOptions): Producer;
  reader(
    topic: string,
    options: ConsumerOptions,
  ): {
    ready(): Promise<unknown>;
    close(): Promise<void>;
    onOver: (error: RingmqError | undefined) => void;
  };
}

interface Pending {
  readonly resolve: (reply: Message) => void;
  readonly reject: (error: unknown) => void;
  /** Of the topic that its reply goes to. */
  readonly inbox: Inbox;
}

/** A reply topic. */
interface Inbox {
  readonly topic: string;
  readonly ready: Promise<void>;
}

export class Requests implements Replier {
  private readonly host: RequestHost;
  /** By correlation id. */
  private readonly pending = new Map<string, Pending>();
  /** In the order of their last use. */
  private readonly producers = new Map<string, Producer>();
  private inbox: Inbox | undefined;
  private closeReader: () => Promise<void> = async () => {};
  private closed = false;

  constructor(host: RequestHost) {
    this.host = host;
  }

  /** See Messaging.request(). */
  async request(topic: string, body: Uint8Array | string, options: RequestOptions = {}): Promise<Message> {
    const { timeoutMs = TIMEOUT_MS, signal, ...extras } = options;
    if (!(timeoutMs > 0 && timeoutMs <= TIMEOUT_MAX_MS)) {
      throw new RingmqError('illegal-argument', `request: timeoutMs is ${timeoutMs}: 1 to ${TIMEOUT_MAX_MS}`);
    }
    if (this.closed) throw new RingmqError('closed', 'the connection is closed');
    if (this.pending.size >= PENDING_MAX) {
      throw new RingmqError('busy', `${PENDING_MAX} requests of this connection wait for their replies`);
    }
    signal?.throwIfAborted();
    let drop: () => void = () => {};
    const ended = new Promise<never>((_, reject) => {
      const text = `no reply to the request to ${topic} within ${timeoutMs} ms: it may have been handled all the same`;
      const timer = setTimeout(() => reject(new RingmqError('timeout', text)), timeoutMs);
      const abort = (): void => reject(signal?.reason);
      signal?.addEventListener('abort', abort, { once: true });
      drop = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
      };
    });
    const correlation = randomName();
    let isOver = false;
    try {
      return await Promise.race([this.ask(topic, body, extras, correlation, () => isOver), ended]);
    } finally {
      isOver = true;
      drop();
      this.pending.delete(correlation);
    }
  }

  /** See Message.reply(). */
  async reply(request: Message<unknown>, body: Uint8Array | string, extras: MessageExtras = {}): Promise<void> {
    const { [PROPERTY.replyTo]: topic, [PROPERTY.correlation]: correlation } = request.properties ?? {};
    if (topic === undefined || correlation === undefined) {
      const text = `${request.topic}/${request.partition}@${request.offset} is no request: nobody waits for a reply`;
      throw new RingmqError('illegal-argument', `${text} (it was sent with send(), not with request())`);
    }
    // Else whoever can publish requests could have this client write anywhere.
    if (!topic.startsWith(REPLY_PREFIX)) {
      throw new RingmqError('illegal-topic', `replies go to topics that begin with ${REPLY_PREFIX}, not to ${topic}`);
    }
    const properties = { ...extras.properties, [PROPERTY.correlation]: correlation };
    try {
      await this.producerOf(topic, false).send(body, { ...extras, properties });
    } catch (error) {
      if (!isGone(error)) throw error;
      throw new RingmqError('unknown-topic', 'whoever sent the request has gone: there is nowhere to reply to');
    }
  }

  /** The connection has ended: no reply comes any more. */
  end(error: RingmqError): void {
    if (this.closed) return;
    this.closed = true;
    for (const one of this.pending.values()) one.reject(error);
    void this.closeReader();
  }

  private async ask(
    topic: string,
    body: Uint8Array | string,
    extras: MessageExtras,
    correlation: string,
    isOver: () => boolean,
  ): Promise<Message> {
    const inbox = await this.openInbox(isOver);
    // Nobody waits any more: neither for a reply, nor for the request to be handled.
    if (isOver()) throw new RingmqError('timeout');
    const reply = new Promise<Message>((resolve, reject) => {
      this.pending.set(correlation, { resolve, reject, inbox });
    });
    // Nobody waits for it if the send fails.
    reply.catch(() => {});
    const properties = {
      ...extras.properties,
      [PROPERTY.replyTo]: inbox.topic,
      [PROPERTY.correlation]: correlation,
    };
    await this.producerOf(topic, true).send(body, { ...extras, properties });
    return reply;
  }

  /** One that is read. If it ended with its session before that, another one: nothing was sent yet. */
  private async openInbox(isOver: () => boolean): Promise<Inbox> {
    for (;;) {
      this.inbox ??= this.open();
      const { inbox } = this;
      try {
        await inbox.ready;
        return inbox;
      } catch (error) {
        if (!isGone(error) || isOver()) throw error;
      }
    }
  }

  private open(): Inbox {
    const topic = `${REPLY_PREFIX}${randomName()}`;
    const inbox: Inbox = { topic, ready: this.listen(topic, () => this.lost(inbox)) };
    // Who waits for it hears of it.
    inbox.ready.catch(() => this.lost(inbox));
    return inbox;
  }

  private async listen(topic: string, lost: () => void): Promise<void> {
    await this.host.createTopic(topic, { partitions: 1, durable: false, overflow: 'drop-oldest' });
    if (this.closed) throw new RingmqError('closed', 'the connection is closed');
    const reader = this.host.reader(topic, {
      from: 'earliest',
      onMessage: (message) => this.replied(message),
      // A reply that was overwritten is one that does not come; what ends the reader is heard of by onOver.
      onGap: () => {},
      onError: () => {},
    });
    reader.onOver = lost;
    this.closeReader = () => reader.close();
    await reader.ready();
  }

  private replied(message: Message): void {
    const correlation = message.properties?.[PROPERTY.correlation] ?? '';
    // One that nobody waits for (any more) is late.
    this.pending.get(correlation)?.resolve(message);
  }

  /** The topic ended with the session that made it; the next request makes another one. */
  private lost(inbox: Inbox): void {
    if (this.inbox === inbox) this.inbox = undefined;
    const text = 'the session ended before the reply came: the request may have been handled all the same';
    for (const one of this.pending.values()) {
      if (one.inbox === inbox) one.reject(new RingmqError('connection-lost', text));
    }
  }

  private producerOf(topic: string, createTopic: boolean): Producer {
    const known = this.producers.get(topic);
    this.producers.delete(topic);
    const producer = known ?? this.host.producer(topic, { createTopic });
    this.producers.set(topic, producer);
    if (this.producers.size > PRODUCERS_MAX) {
      const [[oldest, one]] = this.producers;
      this.producers.delete(oldest);
      // What it could not send has rejected where it was sent.
      one.close().catch(() => {});
    }
    return producer;
  }
}

/** A reply topic is no more, or is about to go: its partition goes first. */
function isGone(error: unknown): boolean {
  return error instanceof RingmqError && (error.code === 'unknown-topic' || error.code === 'unknown-partition');
}

/** 128 random bits; randomUUID() is missing in pages that came over plain HTTP. */
function randomName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
