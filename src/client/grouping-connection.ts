// What every kind of connection does with consumers: those of a group that shares a topic are made here, of readers
// that the kind of connection makes.
import { RingmqError } from '../base/codes.ts';
import type { TopicRoute } from '../wire/commands.ts';
import type { Call } from '../wire/services.ts';
import type { ConnectionState, ConsumerOptions, Producer, ProducerOptions } from './connection.ts';
import type { RingConsumer } from './consumer.ts';
import { GroupConsumer, type OpenPool } from './group-consumer.ts';
import { isClustering } from './group-options.ts';
import type { Message } from './message.ts';
import type {
  RequestOptions,
  ScheduledReceipt,
  SimpleConsumerOptions,
  TraceOptions,
  TransactionOptions,
} from './messaging.ts';
import { Requests } from './request-reply.ts';
import { type ScheduleOptions, Schedules } from './schedule.ts';
import { LeasingConsumer } from './simple-consumer.ts';
import { TopicAdmin } from './topic-admin.ts';
import { Trace } from './trace.ts';
import { CallTransactionalProducer, type HalfStore } from './transactional-producer.ts';

/** How a thread joins a broker of its process. */
export interface AttachOptions {
  /** Message trace. Default: off. */
  readonly trace?: TraceOptions;
}

export abstract class GroupingConnection extends TopicAdmin {
  private readonly clientName: string;
  private readonly openPool: OpenPool | undefined;
  private readonly members = new Set<GroupConsumer<never>>();
  private readonly leasing = new Set<LeasingConsumer<never>>();
  private readonly transacting = new Set<{ close(): Promise<void> }>();
  protected readonly requests: Requests = new Requests(this);
  private readonly schedules = new Schedules((method, params, how) => this.call(method, params, how));

  /** Undefined: nothing is traced. */
  protected readonly trace: Trace | undefined;

  /** `clientName` is for people. Without `openPool` there are no pools of handlers. Throws `illegal-argument`. */
  constructor(
    state: ConnectionState,
    clientName: string,
    openPool: OpenPool | undefined,
    trace: TraceOptions | undefined,
  ) {
    super(state);
    this.trace =
      trace &&
      new Trace(trace, {
        producer: (topic, how) => this.producer(topic, how),
        failed: (error) => this.emitError(error),
      });
    this.clientName = clientName;
    this.openPool = openPool;
  }

  consumer<T = Uint8Array>(
    topic: string,
    options?: ConsumerOptions<T> & { readonly group?: undefined },
  ): RingConsumer<T>;
  consumer<T = Uint8Array>(topic: string, options?: ConsumerOptions<T>): RingConsumer<T> | GroupConsumer<T>;
  consumer<T>(topic: string, options: ConsumerOptions<T> = {}): RingConsumer<T> | GroupConsumer<T> {
    if (!isClustering(options)) return this.reader(topic, options);
    this.assertOpen();
    const consumer = new GroupConsumer<T>(topic, options, {
      client: this.clientName,
      openPool: this.openPool,
      call: this.callOfConsumer,
      route: (name) => this.routeOrMake(name),
      open: (name, inner) => this.reader(name, inner),
      replier: this.requests,
      trace: this.trace,
      failed: (error) => this.emitError(error),
      closed: (one) => void this.members.delete(one as unknown as GroupConsumer<never>),
    });
    this.members.add(consumer as unknown as GroupConsumer<never>);
    return consumer;
  }

  /** Leases messages one by one (RocketMQ's pop). Throws `illegal-group` or `illegal-argument`. */
  simpleConsumer<T = Uint8Array>(topic: string, options: SimpleConsumerOptions<T>): LeasingConsumer<T> {
    this.assertOpen();
    const consumer = new LeasingConsumer<T>(topic, options, {
      call: this.callOfConsumer,
      pull: (request) => this.pull(request),
      replier: this.requests,
      trace: this.trace,
      closed: (one) => void this.leasing.delete(one as LeasingConsumer<never>),
    });
    this.leasing.add(consumer as unknown as LeasingConsumer<never>);
    return consumer;
  }

  /** Sends messages that nobody sees before they are committed. Throws `illegal-group` or `illegal-argument`. */
  transactionalProducer<T = Uint8Array | string>(
    topic: string,
    options: TransactionOptions<T>,
  ): CallTransactionalProducer<T> {
    this.assertOpen();
    const producer = new CallTransactionalProducer<T>(topic, options, {
      call: (method, params, how) => this.call(method, params, how),
      route: (name) => this.route(name),
      failed: (error) => this.emitError(error),
      halves: this.halvesOf(topic, options.group),
      closed: (one) => void this.transacting.delete(one),
    });
    this.transacting.add(producer);
    return producer;
  }

  /** See Messaging.schedule(). */
  schedule(topic: string, body: Uint8Array | string, options: ScheduleOptions): Promise<ScheduledReceipt> {
    return this.schedules.schedule(topic, body, options);
  }

  /** See Messaging.recall(). */
  recall(handle: string): Promise<void> {
    return this.schedules.recall(handle);
  }

  /** See Messaging.request(). */
  request(topic: string, body: Uint8Array | string, options?: RequestOptions): Promise<Message> {
    return this.requests.request(topic, body, options);
  }

  abstract producer<T = Uint8Array | string>(topic: string, options?: ProducerOptions<T>): Producer<T>;

  /** A consumer that gets everything: of no group, or broadcasting. */
  abstract reader<T = Uint8Array>(topic: string, options?: ConsumerOptions<T>): RingConsumer<T>;

  /** Undefined: the coordinator stores all half messages of a transactional producer. */
  protected halvesOf(_topic: string, _producerGroup: string): HalfStore | undefined {
    return undefined;
  }

  /** Each leaves its group when its handlers are done. */
  protected async closeMembers(): Promise<void> {
    this.requests.end(new RingmqError('closed', 'the connection was closed'));
    this.trace?.flush();
    await Promise.all([...this.members, ...this.leasing, ...this.transacting].map((one) => one.close()));
  }

  /**
   * Who leaves its group without a session does not wait for one: the broker took it out of the group when the last one
   * ended, or is gone itself. It is asked all the same: a call that still waits before this one may join once more.
   */
  private readonly callOfConsumer: Call = (method, params, how) => {
    const answer = this.call(method, params, how);
    if (method !== 'group-leave' || this.state === 'connected') return answer;
    answer.catch(() => {});
    return Promise.reject(new RingmqError('connection-lost'));
  };

  /** The connection has ended. */
  protected endMembers(error: RingmqError | undefined): void {
    this.trace?.end();
    this.requests.end(error ?? new RingmqError('closed', 'the connection was closed'));
    for (const one of [...this.members]) one.end(error);
  }

  /** The topic's route; made on first use. */
  protected abstract routeOrMake(topic: string): Promise<TopicRoute>;

  /** Throws `closed`. */
  protected abstract assertOpen(): void;
}
