// A consumer that shares a topic with the others of its group (clustering): the same over every transport, and in
// browsers. Its parts: member (assignment, commits), readers (inner consumers), handling (order, handlers, failures).
import { RingmqError } from '../base/codes.ts';
import type { PartitionPosition, TopicRoute } from '../wire/commands.ts';
import { type Call, type GroupAssignment, isRetryTopic } from '../wire/services.ts';
import type { Consumer, ConsumerOptions } from './connection.ts';
import { GroupCommits } from './group-commits.ts';
import { asError, GroupHandling } from './group-handling.ts';
import { GroupHolding } from './group-holding.ts';
import { GroupMember } from './group-member.ts';
import { type GroupSetup, groupSetup, randomName } from './group-options.ts';
import type { GroupEntry, HeldQueue } from './group-queue.ts';
import type { OpenInner } from './group-reader.ts';
import { GroupReturns } from './group-returns.ts';
import type { Message, Replier, TopicIdentity } from './message.ts';
import type { PoolOptions } from './messaging.ts';
import { asRefusal } from './sent.ts';
import { type Trace, traced } from './trace.ts';

/** Threads that run a handler: see handler-pool.ts. */
export interface HandlerPool {
  readonly threads: number;
  readonly handle: (message: Message<never>, timeoutMs: number) => Promise<void>;
  close(): Promise<void>;
}
export type OpenPool = (file: string | URL, options: PoolOptions) => Promise<HandlerPool>;

/** The connection that the consumer belongs to. */
export interface GroupConsumerHost<T> {
  readonly call: Call;
  /** Names the client, for people. */
  readonly client: string;
  /** The topic's route; made on first use. */
  route(topic: string): Promise<TopicRoute>;
  /** Opens a consumer of single partitions. */
  readonly open: OpenInner<T>;
  readonly openPool: OpenPool | undefined;
  /** Of the connection, for Message.reply(). */
  readonly replier: Replier;
  /** Undefined: nothing is traced. */
  readonly trace?: Trace | undefined;
  closed(consumer: GroupConsumer<T>): void;
  failed(error: Error): void;
}

const TICK_MS = 50;
const ROUTE_RETRY_MS = 500;

export class GroupConsumer<T> implements Consumer<T>, TopicIdentity {
  readonly topic: string;
  readonly options: ConsumerOptions<T>;
  topicId = 0;
  private readonly setup: GroupSetup;
  private readonly host: GroupConsumerHost<T>;
  private readonly member: GroupMember;
  private readonly handling: GroupHandling<T>;
  private readonly returns: GroupReturns<T>;
  private readonly commits: GroupCommits<T>;
  private readonly holding: GroupHolding<T>;
  private readonly started: Promise<readonly PartitionPosition[]>;
  private start: (positions: readonly PartitionPosition[]) => void = () => {};
  private fail: (error: Error) => void = () => {};
  private timer: ReturnType<typeof setInterval> | undefined;
  private handlers: HandlerPool | undefined;
  private readonly concurrencyAsked: boolean;
  private pooled = false;
  private iterated = false;
  private begun = false;
  private isPaused = false;
  private isInDoubt = false;
  private error: RingmqError | undefined;
  private closing: Promise<void> | undefined;

  /** Throws `illegal-group` or `illegal-argument`. */
  constructor(topic: string, options: ConsumerOptions<T>, host: GroupConsumerHost<T>) {
    const { onMessage, onBatch, signal } = options;
    if (onMessage && onBatch)
      throw new RingmqError('illegal-argument', 'give onMessage or onBatch or iterate, one of the three');
    this.topic = topic;
    this.options = options;
    this.host = host;
    this.setup = groupSetup(options);
    this.concurrencyAsked = options.concurrency !== undefined;
    const { group, member, from, order, filter } = this.setup;
    // Of two with one id the second is refused, also if they have the same thread or the same name.
    const client = options.member === undefined ? host.client : `${host.client} ${randomName()}`;
    const identity = { group, topic, member, client, from, order, filter };
    this.member = new GroupMember(host.call, identity, {
      owned: () => this.holding.owned(),
      assigned: (assignment) => this.assigned(assignment),
      doubts: (isInDoubt) => {
        this.isInDoubt = isInDoubt;
        this.stopOrGoOn();
      },
      lost: () => this.lost(),
      refused: (error, isOver) => (isOver ? this.end(error) : this.tell(error)),
    });
    this.handling = new GroupHandling<T>(this.setup, {
      sendBack: (entry, returned) => this.returns.add(entry, returned),
      roomIn: (queue) => this.holding.roomIn(queue),
      late: (queue) => this.commits.late(queue),
      tell: (error) => this.tell(error),
      step: host.trace && traced(host.trace, { group, member }),
    });
    this.holding = new GroupHolding<T>({
      options,
      waitingMax: this.setup.waitingMax,
      identity: this,
      handling: this.handling,
      open: host.open,
      readingEnded: (ended, error) => this.readingEnded(ended, error),
      tell: (error) => this.tell(error),
    });
    this.returns = new GroupReturns<T>({
      call: host.call,
      names: { group, topic, member },
      taken: (entry, deadLetter) => {
        if (deadLetter && entry.message) host.trace?.came('dead', entry.message, { group, member });
        this.handling.finish(entry);
        this.handling.pump();
      },
      given: (entry) => this.handling.drop(entry),
      tell: (error) => this.tell(error),
    });
    this.commits = new GroupCommits<T>(this.setup.commitMs, this.member, {
      note: () => this.holding.note(),
      held: () => this.holding.all(),
      tell: (error) => this.tell(error),
    });
    this.started = new Promise((resolve, reject) => {
      this.start = resolve;
      this.fail = reject;
    });
    this.started.catch(() => {});
    if (onMessage) this.handling.handleWith(onMessage);
    signal?.addEventListener('abort', () => void this.close(), { once: true });
    if (signal?.aborted) queueMicrotask(() => void this.close());
    void this.begin();
  }

  get group(): string {
    return this.setup.group;
  }

  /** For the messages of the group's retry topic, which show where they were first. */
  get replier(): Replier {
    return this.host.replier;
  }

  /** Names this member in its group. */
  get memberId(): string {
    return this.setup.member;
  }

  get closed(): boolean {
    return this.closing !== undefined;
  }

  /** Messages that were read and are not acknowledged. */
  get waiting(): number {
    return this.holding.all().reduce((sum, one) => sum + one.waiting.count, 0);
  }

  ready(): Promise<readonly PartitionPosition[]> {
    return this.started;
  }

  positions(): readonly PartitionPosition[] {
    return this.holding.positions(this.topic);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Message<T>> {
    if (this.hasHandler) {
      throw new RingmqError('illegal-argument', 'this consumer has a handler: it cannot be iterated as well');
    }
    this.iterated = true;
    await this.started;
    let entry: GroupEntry<T> | undefined;
    try {
      for (;;) {
        entry = await this.handling.next();
        if (entry?.message === undefined) break;
        const { run } = entry;
        yield entry.message;
        this.handling.succeeded(entry, run);
      }
    } finally {
      await this.close();
    }
    if (this.error) throw this.error;
  }

  async pool(file: string | URL, options: PoolOptions = {}): Promise<void> {
    if (this.hasHandler || this.iterated) {
      throw new RingmqError(
        'illegal-argument',
        'this consumer has a handler, or is iterated: it cannot have a pool too',
      );
    }
    const { openPool } = this.host;
    if (openPool === undefined) {
      throw new RingmqError('illegal-argument', 'handler pools need threads of Node: use onMessage in a browser');
    }
    this.pooled = true;
    const pool = await openPool(file, options).catch((error: unknown) => {
      this.pooled = false;
      throw error;
    });
    if (this.closing) {
      await pool.close();
      throw new RingmqError('closed', 'the consumer was closed');
    }
    this.handlers = pool;
    if (!this.concurrencyAsked && this.setup.order !== 'partition') this.handling.dispatch.concurrency = pool.threads;
    const { handlerTimeoutMs } = this.setup;
    const handle = pool.handle as (message: Message<T>, timeoutMs: number) => Promise<void>;
    this.handling.handleWith((message) => handle(message, handlerTimeoutMs));
  }

  commit(): Promise<void> {
    return this.commits.asked();
  }

  async seek(partition: number, offset: number): Promise<void> {
    if (!(Number.isSafeInteger(offset) && offset >= 0)) {
      throw new RingmqError('illegal-argument', `seek: offset ${offset}: a whole number from 0`);
    }
    let queue: HeldQueue<T> | undefined;
    do {
      queue = this.holding.suspend(this.topic, partition);
      const text = `seek: this member does not hold partition ${partition} of ${this.topic}`;
      if (queue === undefined) throw new RingmqError('unknown-partition', text);
      await this.handling.release(queue);
      await this.commits.last();
      // Lost and got again meanwhile, it is read from elsewhere, and what is committed of that would undo the move.
    } while (!this.holding.holds(queue));
    // From now on only what follows says where the queue is.
    queue.moving = true;
    const place = { ...queue.ref(), epoch: queue.progress.epoch, offset, acked: [], attempts: [] };
    try {
      await this.member.commit([place], true);
      this.holding.moveTo(queue, place);
    } catch (error) {
      this.holding.moveTo(queue, queue.wire());
      throw error;
    }
  }

  pause(): void {
    this.isPaused = true;
    this.stopOrGoOn();
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.stopOrGoOn();
  }

  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** For connections: nothing more will come, and nobody can be told anything. */
  end(error: RingmqError | undefined): void {
    const tells = this.begun && !this.closing && error !== undefined && this.hasHandler;
    this.closing ??= Promise.resolve();
    this.error ??= error;
    this.fail(error ?? new RingmqError('closed', 'the consumer was closed before it was ready'));
    this.member.end();
    this.release();
    if (tells) this.tell(error);
  }

  private get hasHandler(): boolean {
    return this.handling.hasHandler || this.options.onBatch !== undefined || this.pooled;
  }

  /** Waits for a broker as long as it takes. */
  private async begin(): Promise<void> {
    const { topic } = this;
    while (!this.closing) {
      try {
        this.topicId = (await this.host.route(topic)).topicId;
        break;
      } catch (error) {
        const refusal = asRefusal(error);
        if (!refusal.retryable && refusal.code !== 'timeout') {
          this.end(refusal);
          return;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, ROUTE_RETRY_MS));
    }
    if (this.closing) return;
    this.timer = setInterval(() => this.tick(), TICK_MS);
    await this.member.live().catch((error: unknown) => this.end(asRefusal(error)));
  }

  private tick(): void {
    // Counts on when somebody sets the clock.
    const now = performance.now();
    this.member.housekeep(now);
    this.holding.housekeep(now);
    this.commits.tick(now);
  }

  private assigned(assignment: GroupAssignment): boolean {
    if (this.closing) return false;
    this.handling.settings = assignment.settings;
    const { isNew, given } = this.holding.apply(assignment.queues);
    for (const one of given) void this.giveUp(one);
    if (!this.begun) void this.announce();
    return isNew;
  }

  private async announce(): Promise<void> {
    this.begun = true;
    try {
      await this.holding.ready();
      this.start(this.positions());
    } catch (error) {
      this.fail(asError(error));
    }
  }

  /** A topic cannot be read (any more): if it is not the group's own retry topic, that is the end. */
  private readingEnded(topic: string, error: RingmqError): void {
    if (isRetryTopic(topic)) this.tell(error);
    else this.end(error);
  }

  /** Another member shall have it: nothing more is handed on, what handlers have is waited for, and committed. */
  private async giveUp(queue: HeldQueue<T>): Promise<void> {
    await this.handling.release(queue);
    await this.commits.last();
    this.holding.remove(queue);
    this.member.wake();
  }

  private stopOrGoOn(): void {
    if (this.isPaused || this.isInDoubt) {
      this.handling.pause();
      this.holding.pause();
    } else {
      this.holding.resume();
      this.handling.resume();
    }
  }

  private async lost(): Promise<void> {
    this.holding.note();
    const queues = this.holding.clear();
    this.commits.lost(queues);
    for (const one of queues) this.handling.forget(one);
    await this.handling.quiet();
  }

  private async shutDown(): Promise<void> {
    this.handling.end();
    this.returns.finish();
    this.holding.end();
    await Promise.all(this.holding.all().map((one) => this.handling.release(one)));
    await this.commits.last();
    this.holding.clear();
    await this.member.leave();
    this.fail(new RingmqError('closed', 'the consumer was closed before it was ready'));
    this.release();
    await this.handlers?.close();
  }

  /** Gives back what would keep the process alive. */
  private release(): void {
    clearInterval(this.timer);
    this.returns.close();
    this.handling.close();
    this.holding.end();
    this.host.closed(this);
    if (this.error) void this.handlers?.close();
  }

  private tell(error: Error): void {
    const { onError } = this.options;
    if (onError === undefined) {
      this.host.failed(error);
      return;
    }
    try {
      onError(error);
    } catch (thrown) {
      this.host.failed(asError(thrown));
    }
  }
}
