// The producer of every transport: chooses partitions, fills batches, keeps receipts, retries. What differs between in
// process and network comes in as an Outlet.
import { RingmqError } from '../base/codes.ts';
import { type BatchBuilder, MESSAGE_OVERHEAD_BYTES } from '../record/batch-builder.ts';
import { hash32, utf8 } from '../record/text.ts';
import { PartitionSelector } from '../routing/selector.ts';
import type { PartitionRoute, TopicRoute } from '../wire/commands.ts';
import { bytesCodec, type Codec } from './codec.ts';
import type { MessageExtras, Producer, ProducerOptions, SendReceipt } from './connection.ts';
import { EarlySends } from './early-sends.ts';
import type { Outlet } from './outlet.ts';
import { PartitionPipe, type PipeOwner } from './partition-pipe.ts';
import type { PendingBatch } from './pending-batch.ts';
import { ackOn, settleProducerOptions } from './producer-options.ts';
import { asRefusal, type BatchOutcome, checkBody, Sent, tooLarge, Unheard } from './sent.ts';
import type { Trace } from './trace.ts';

/** What the connection asks of a producer, whatever it carries. */
export interface HostedProducer {
  readonly topic: string;
  readonly idle: boolean;
  flushNow(): void;
  onRoom(): void;
  housekeep(nowMs: number): void;
  abort(error: RingmqError): void;
  updateRoute(route: TopicRoute | undefined): void;
  close(): Promise<void>;
}

/** What the connection does for its producers. */
export interface ProducerHost {
  readonly outlet: Outlet;
  /** onRoom() is wanted when the transport has room again. */
  stalled(producer: HostedProducer): void;
  /** The producer is closed: forget it. */
  closed(producer: HostedProducer): void;
  failed(error: Error): void;
  /** Undefined: nothing is traced. */
  readonly trace?: Trace | undefined;
}

export class RingProducer<T> implements Producer<T>, PipeOwner, HostedProducer {
  readonly topic: string;
  readonly outlet: Outlet;
  /** Number of the level; known when the route is. */
  ack = 0;
  topicId = 0;
  /** As asked for, but never more than the topic takes. */
  batchBytes: number;
  readonly attemptsMax: number;
  readonly timeoutMs: number;
  private readonly host: ProducerHost;
  private readonly options: ProducerOptions<T>;
  private readonly codec: Codec<T>;
  private readonly batchWanted: number;
  private readonly bufferBytes: number;
  private readonly pipes: (PartitionPipe | undefined)[] = [];
  private selector: PartitionSelector | undefined;
  private messageMax = 0;
  /** The open batch that unkeyed bytes go to while nothing else is to be considered; undefined otherwise. */
  private filling: BatchBuilder | undefined;
  /** Longest body that needs no check of its length; 0 while a codec stands in between. */
  private quickMax = 0;
  private sticky: PartitionPipe | undefined;
  private hasOnePipe = false;
  private readonly early = new EarlySends();
  private inflightBytes = 0;
  private flushAsked = false;
  private closing = false;
  private firstError: RingmqError | undefined;
  private routing: Promise<void> | undefined;
  private readonly unheard: Unheard;
  private readonly idleWaiters: (() => void)[] = [];
  private readonly roomWaiters: (() => void)[] = [];

  constructor(host: ProducerHost, topic: string, options: ProducerOptions<T>) {
    this.host = host;
    this.outlet = host.outlet;
    this.unheard = new Unheard(host.outlet, host);
    this.topic = topic;
    this.options = options;
    const settled = settleProducerOptions(options);
    this.codec = options.codec ?? (bytesCodec as unknown as Codec<T>);
    this.batchWanted = settled.batchBytes;
    this.batchBytes = settled.batchBytes;
    this.bufferBytes = settled.bufferBytes;
    this.attemptsMax = settled.attemptsMax;
    this.timeoutMs = settled.timeoutMs;
  }

  async ready(): Promise<void> {
    if (this.closing) throw new RingmqError('closed', 'the producer is closed');
    if (!this.selector) await this.learnRoute();
    if (this.hasRoom) return;
    this.flushNow();
    if (!this.hasRoom) await new Promise<void>((resolve) => this.roomWaiters.push(resolve));
  }

  send(body: T, extras?: MessageExtras): PromiseLike<SendReceipt> {
    if (this.closing) return this.refuse(new RingmqError('closed', 'the producer is closed'));
    if (this.inflightBytes + this.early.bytes >= this.bufferBytes) {
      const text = `${this.bufferBytes} bytes wait to be acknowledged: await ready()`;
      return this.refuse(new RingmqError('buffer-full', text));
    }
    try {
      const encoded = checkBody(this.codec.encode(body));
      if (!this.selector) return this.sendEarly(encoded, extras);
      const pipe = this.add(encoded, extras);
      return new Sent(pipe.openOutcome(), pipe.open.count - 1);
    } catch (error) {
      return this.refuse(asRefusal(error));
    }
  }

  trySend(body: T, extras?: MessageExtras): boolean {
    // The way of nearly all messages of a fast producer: bytes into a batch that is open already and has room. HOT
    if (extras === undefined && this.filling !== undefined && body instanceof Uint8Array) {
      if (body.length <= this.quickMax && this.filling.tryAddBody(body, 0)) return true;
    }
    if (this.closing) throw new RingmqError('closed', 'the producer is closed');
    if (!this.selector || this.inflightBytes >= this.bufferBytes || this.sticky?.stalled) return false;
    // With thousands of topics a batch of each would wait otherwise.
    if (extras?.key === undefined && !this.stickyPipe().tryBegin()) return false;
    const pipe = this.add(checkBody(this.codec.encode(body)), extras);
    this.filling = this.quickMax > 0 && pipe === this.sticky ? pipe.open : undefined;
    return true;
  }

  async sendBatch(bodies: Iterable<T>, extras?: MessageExtras): Promise<readonly SendReceipt[]> {
    await this.ready();
    const sent: Sent[] = [];
    for (const body of bodies) {
      while (!this.hasRoom || !this.selector) await this.ready();
      const pipe = this.add(checkBody(this.codec.encode(body)), extras);
      sent.push(new Sent(pipe.openOutcome(), pipe.open.count - 1));
    }
    this.flushNow();
    for (const outcome of new Set(sent.map((one) => one.outcome))) await outcome.done();
    return sent.map((one) => one.receipt());
  }

  async flush(): Promise<void> {
    // What goes wrong here is the failure of the messages that wait for the route: see below.
    if (!this.selector && this.early.count > 0) await this.learnRoute().catch(() => {});
    this.flushNow();
    if (!this.idle) await new Promise<void>((resolve) => this.idleWaiters.push(resolve));
    const error = this.firstError;
    this.firstError = undefined;
    if (error) throw error;
  }

  async close(): Promise<void> {
    if (this.closing) return;
    try {
      await this.flush();
    } finally {
      this.closing = true;
      this.filling = undefined;
      this.host.closed(this);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** True if nothing is open or unanswered. */
  get idle(): boolean {
    return this.early.count === 0 && this.pipes.every((pipe) => pipe === undefined || pipe.idle);
  }

  /** Closes and sends all open batches. */
  flushNow(): void {
    this.flushAsked = false;
    for (const pipe of this.pipes) if (pipe?.isFilling) this.close1(pipe);
  }

  stalled(): void {
    this.host.stalled(this);
  }

  /** The transport has room again. */
  onRoom(): void {
    for (const pipe of this.pipes) if (pipe?.stalled) pipe.pump();
    this.wakeWaiters();
  }

  /** Every now and then: timeouts and resends. */
  housekeep(nowMs: number): void {
    for (const pipe of this.pipes) if (pipe?.expire(nowMs)) pipe.pump();
    if (this.roomWaiters.length > 0) this.wakeWaiters();
  }

  /** The connection ends for good: everything unanswered fails. */
  abort(error: RingmqError): void {
    this.closing = true;
    this.filling = undefined;
    this.early.failAll(error, () => {});
    for (const pipe of this.pipes) pipe?.failAll(error);
    this.wakeWaiters();
  }

  /** A newer route of the topic (or none: it was deleted). */
  updateRoute(route: TopicRoute | undefined): void {
    if (!this.selector) return;
    if (route === undefined) {
      this.selector = undefined;
      this.sticky = undefined;
      this.filling = undefined;
      for (const pipe of this.pipes.splice(0))
        pipe?.failAll(new RingmqError('unknown-topic', `topic ${this.topic} was deleted`));
      return;
    }
    this.takeRoute(route);
  }

  sealed(batch: PendingBatch): void {
    this.inflightBytes += batch.length;
  }

  settled(pipe: PartitionPipe, batch: PendingBatch, baseOffset: number, error: RingmqError | undefined): void {
    this.inflightBytes -= batch.length;
    if (error) {
      this.firstError ??= error;
      this.selector?.failed(pipe.route.owner, this.outlet.now());
      this.unheard.add(batch.outcome ?? pipe.newOutcome(), error);
    } else if (!this.hasOnePipe || this.host.trace) {
      const now = this.outlet.now();
      const tookMs = now - batch.closedAt;
      this.selector?.answered(pipe.route.owner, tookMs, now);
      this.host.trace?.stored(this.topic, this.topicId, pipe.route.number, baseOffset, batch.count, tookMs);
    }
    if (this.roomWaiters.length > 0 || this.idleWaiters.length > 0) queueMicrotask(this.wakeWaiters);
  }

  routeStale(pipe: PartitionPipe): void {
    this.outlet.route(this.topic, false).then(
      (route) => {
        this.updateRoute(route);
        pipe.pump();
      },
      (error: unknown) => {
        // Anything else passes: the next attempt asks again.
        if (!(error instanceof RingmqError) || error.code !== 'unknown-topic') return;
        this.filling = undefined;
        pipe.failAll(new RingmqError('unknown-topic', `topic ${this.topic} is gone`));
      },
    );
  }

  /** False while trySend() would decline: too much is unanswered, or the lane is full. */
  get hasRoom(): boolean {
    return this.inflightBytes + this.early.bytes < this.bufferBytes && !this.sticky?.stalled;
  }

  /** Adds one message to the batch of its partition. HOT */
  private add(body: Uint8Array | string, extras: MessageExtras | undefined): PartitionPipe {
    // Three bytes is the most that one UTF-16 unit takes as UTF-8.
    let bytes = body;
    if (body.length * 3 > this.messageMax) {
      bytes = typeof body === 'string' ? utf8(body) : body;
      if (bytes.length > this.messageMax) throw tooLarge(this.topic, this.messageMax, bytes.length);
    }
    let pipe = extras?.key === undefined ? this.stickyPipe() : this.choose(extras.key);
    if (!this.addTo(pipe, bytes, extras)) {
      this.close1(pipe);
      if (extras?.key === undefined) pipe = this.stickyPipe();
      if (!this.addTo(pipe, bytes, extras)) {
        this.close1(pipe); // Messages with keys had filled the next one already.
        if (!this.addTo(pipe, bytes, extras)) throw new RingmqError('internal', 'an empty batch took no message');
      }
    }
    return this.opened(pipe);
  }

  private opened(pipe: PartitionPipe): PartitionPipe {
    if (this.flushAsked) return pipe;
    this.flushAsked = true;
    this.outlet.soon(this.flushLater);
    return pipe;
  }

  private readonly flushLater = (): void => this.flushNow();

  private addTo(pipe: PartitionPipe, body: Uint8Array | string, extras: MessageExtras | undefined): boolean {
    const builder = pipe.open;
    const now = builder.count === 0 ? Date.now() : 0;
    if (extras === undefined) {
      return typeof body === 'string' ? builder.tryAddText(body, now) : builder.tryAddBody(body, now);
    }
    if (!builder.tryAdd(typeof body === 'string' ? utf8(body) : body, extras, now)) return false;
    // Key, tag and properties count too. A message that large is alone in its batch.
    const bodyBytes = builder.length - MESSAGE_OVERHEAD_BYTES;
    if (bodyBytes <= this.messageMax) return true;
    builder.reset();
    throw tooLarge(this.topic, this.messageMax, bodyBytes);
  }

  private close1(pipe: PartitionPipe): void {
    this.filling = undefined;
    pipe.closeBatch();
    if (pipe === this.sticky && !pipe.stalled && !this.hasOnePipe) this.sticky = undefined;
  }

  private stickyPipe(): PartitionPipe {
    if (this.sticky === undefined) this.sticky = this.choose(undefined);
    return this.sticky;
  }

  private choose(key: string | undefined): PartitionPipe {
    const { selector, options } = this;
    let route: PartitionRoute | undefined;
    if (options.partition !== undefined) route = selector?.byNumber(options.partition);
    else route = key === undefined ? selector?.next(this.outlet.now()) : selector?.byKey(key);
    if (!route) throw this.noPartition(options.partition);
    return this.pipe(route);
  }

  private noPartition(number: number | undefined): RingmqError {
    if (number !== undefined)
      return new RingmqError('unknown-partition', `topic ${this.topic} has no partition ${number}`);
    return new RingmqError('no-write-permission', `topic ${this.topic} has no partition that takes messages`);
  }

  private pipe(route: PartitionRoute): PartitionPipe {
    let pipe = this.pipes[route.number];
    if (pipe === undefined) {
      pipe = new PartitionPipe(this, route);
      this.pipes[route.number] = pipe;
    }
    return pipe;
  }

  private sendEarly(body: Uint8Array | string, extras: MessageExtras | undefined): Sent {
    const sent = this.early.add(this.topic, body, extras);
    this.learnRoute().catch(() => {});
    return sent;
  }

  private learnRoute(): Promise<void> {
    this.routing ??= this.outlet
      .route(this.topic, this.options.createTopic ?? true)
      .then((route) => {
        if (route.direct) throw new RingmqError('direct-only');
        this.takeRoute(route);
      })
      .catch((error: unknown) => {
        this.early.failAll(asRefusal(error), this.failedEarly);
        throw error;
      })
      .finally(() => {
        this.routing = undefined;
      });
    return this.routing;
  }

  private refuse(error: RingmqError): Sent {
    const sent = Sent.refused(this.topic, error);
    this.firstError ??= error;
    this.unheard.add(sent.outcome, error);
    return sent;
  }

  private readonly failedEarly = (outcome: BatchOutcome, error: RingmqError): void => {
    this.firstError ??= error;
    this.unheard.add(outcome, error);
  };

  private takeRoute(route: TopicRoute): void {
    // Who asked for a level that the topic no longer gives is refused by the broker.
    if (!this.selector || this.options.ack === undefined) this.ack = ackOn(route, this.options.ack);
    this.topicId = route.topicId;
    this.messageMax = route.messageMaxBytes;
    this.batchBytes = Math.min(this.batchWanted, this.messageMax + MESSAGE_OVERHEAD_BYTES);
    this.quickMax = this.options.codec === undefined ? Math.floor(this.messageMax / 3) : 0;
    this.filling = undefined;
    if (this.selector) this.selector.update(route);
    else this.selector = new PartitionSelector(route, (hash32(this.topic) >>> 0) + Math.floor(Math.random() * 1024));
    this.hasOnePipe = this.selector.single;
    if (!this.sticky?.isFilling) this.sticky = undefined;
    for (const one of route.partitions) {
      const pipe = this.pipes[one.number];
      pipe?.follow(one);
    }
    this.early.go(this.place, this.failedEarly);
  }

  private readonly place = (body: Uint8Array | string, extras: MessageExtras | undefined) => {
    const pipe = this.add(body, extras);
    return { outcome: pipe.openOutcome(), index: pipe.open.count - 1 };
  };

  private readonly wakeWaiters = (): void => {
    if (this.hasRoom || this.closing) for (const wake of this.roomWaiters.splice(0)) wake();
    if (this.idle) for (const wake of this.idleWaiters.splice(0)) wake();
  };
}
