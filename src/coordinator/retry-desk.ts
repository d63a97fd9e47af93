// Messages that failed: they go to their group's retry topic, by way of the timer topic until it is time, or to its
// dead letters; and from there back to where they came from. All of it are moves (mover.ts), each exactly once.
//
// A message whose original is not kept any more cannot be sent back: that is refused with `not-found`, and whoever
// holds the message decides.
import { RING_BYTES_MAX } from '../../native-layout/partition-table.ts';
import { RingmqError } from '../base/codes.ts';
import type { InProcessConnection } from '../client/in-process.ts';
import type { TopicRoute } from '../wire/commands.ts';
import {
  type Answered,
  dlqTopic,
  isRetryTopic,
  type ParamsOf,
  retryTopic,
  type SendBack,
  TIMER_TOPIC,
} from '../wire/services.ts';
import { DeadLetters } from './dead-letters.ts';
import type { GroupBook } from './group-book.ts';
import { type GroupQueue, queueKey } from './group-state.ts';
import type { JournalPart } from './journal.ts';
import { MessageReader } from './message-reader.ts';
import { batchMaxBytes } from './move-target.ts';
import type { Mover, MoveSource } from './mover.ts';
import { failedPayload, timerPayload } from './retry-payloads.ts';
import type { CoordinatorContext, Handlers, Service } from './service.ts';
import { goodUntil } from './topic-source.ts';

/** Where messages wait for their time. */
export interface RetryTimers {
  /** Makes the timer topic, if it is not there. */
  open(): Promise<unknown>;
  /** The timer topic has a message at this offset, as safe as it gets there. */
  stored(offset: number): void;
}

/** A failed message on its way. `deliverAt`: waits in the timer topic until then; 0: not at all. */
interface FailedSource extends MoveSource {
  readonly kind: 'failed';
  readonly group: string;
  /** Name of the queue: the retry topic, for a message that fails again. */
  readonly topic: string;
  readonly partition: number;
  readonly epoch: number;
  readonly offset: number;
  readonly failures: number;
  readonly deliverAt: number;
  /** Of a dead letter. */
  readonly reason?: string;
}

type Desk = Pick<CoordinatorContext, 'clock' | 'warn' | 'durable'> & {
  readonly connection: Pick<InProcessConnection, 'pull' | 'createTopic' | 'route' | 'nextOffset'>;
};

export class RetryDesk implements Service {
  readonly handlers: Handlers = {
    'send-back': (params) => this.take(params),
    'dlq-replay': ({ group, maxMessages }) => this.replay(group, maxMessages),
  };
  readonly part: JournalPart;
  private readonly context: Desk;
  private readonly book: GroupBook;
  private readonly mover: Pick<Mover, 'own' | 'move'>;
  private readonly timers: RetryTimers;
  private readonly reader: MessageReader;
  private readonly dead: DeadLetters;
  private readonly underWay = new Map<string, Promise<{ readonly deadLetter: boolean }>>();
  /** Moves whose messages could not be written down as acknowledged. */
  private owed: FailedSource[] = [];

  constructor(context: Desk, book: GroupBook, mover: Pick<Mover, 'own' | 'move'>, timers: RetryTimers) {
    this.context = context;
    this.book = book;
    this.mover = mover;
    this.timers = timers;
    this.reader = new MessageReader(context.connection);
    this.dead = new DeadLetters(context, mover, this.reader);
    this.part = this.dead.part;
    mover.own<FailedSource>('failed', {
      resolve: async (source) => wrapped(source, await this.copyOf(source)),
      intended: (source, replaying) => {
        if (!replaying) this.acknowledge(source);
      },
      recovered: (source) => this.acknowledge(source),
      done: ({ deliverAt }, batches, replaying) => {
        if (deliverAt > 0 && !replaying) for (const { offset } of batches) this.timers.stored(offset);
      },
      failed: ({ group, topic, partition, offset }, code, replaying) => {
        if (replaying) return;
        const what = `group ${group}: the failed message ${topic}/${partition}@${offset}`;
        context.warn(`${what} could not be kept for another delivery (${code}): it is lost to the group`);
      },
    });
  }

  start(): void {}

  housekeep(): void {
    const { owed } = this;
    this.owed = [];
    for (const source of owed) this.acknowledge(source);
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.underWay.values());
  }

  /** Messages among the group's dead letters that were not replayed. */
  deadLetters(group: string): Promise<number> {
    return this.dead.left(group);
  }

  /**
   * Keeps a failed message for its next delivery, or among the dead letters; then it counts as acknowledged. Settles
   * when that is as safe as the group's topic. The same message again has no effect. Rejects with `unknown-group`,
   * `unknown-partition`, `not-found` or what the disk refuses with.
   */
  async sendBack(request: SendBack): Promise<{ readonly deadLetter: boolean }> {
    const queue = this.queueOf(request);
    const deadLetter = this.isDead(request);
    if (queue.progress.contains(request.offset)) return { deadLetter };
    const name = `${request.group}|${queueKey(queue.topic, queue.partition)}@${request.offset}`;
    let moving = this.underWay.get(name);
    if (moving === undefined) {
      moving = this.move(request, queue, deadLetter).finally(() => this.underWay.delete(name));
      this.underWay.set(name, moving);
    }
    return moving;
  }

  private async take(request: SendBack): Promise<Answered<'send-back'>> {
    const { member } = request;
    const { subscription, topic, partition } = this.queueOf(request);
    const holder = subscription.assignment.holderOf(queueKey(topic, partition));
    if (holder !== member) {
      subscription.membership.assertNotAwaited(member);
      const text = `'${member}' does not hold ${topic}/${partition} (any more): sync with the group again`;
      throw new RingmqError('stale-generation', text);
    }
    return { result: await this.sendBack(request) };
  }

  private async replay(group: string, maxMessages: number): Promise<Answered<'dlq-replay'>> {
    return { result: await this.dead.replay(group, maxMessages) };
  }

  private queueOf({ group, topic, queue, epoch, offset }: SendBack): GroupQueue {
    if (this.book.topic(group, topic) === undefined) {
      throw new RingmqError('unknown-group', `no group ${group} reads topic ${topic}`);
    }
    const found = this.book.queue(group, queue.topic, queue.partition);
    if (found === undefined || found.subscription.topic !== topic) {
      throw new RingmqError(
        'unknown-partition',
        `topic ${topic} of group ${group} has no ${queue.topic}/${queue.partition}`,
      );
    }
    const { progress, route } = found;
    const isGood = epoch === progress.epoch || offset < (goodUntil(epoch, route?.epochs ?? []) ?? 0);
    if (isGood) return found;
    const text = `a restart of the broker took offset ${offset} of epoch ${epoch} back, it is ${progress.epoch} now`;
    throw new RingmqError('offset-out-of-range', `${queue.topic}/${queue.partition}: ${text}`);
  }

  private isDead({ group, attempts, deadLetter }: ParamsOf<'send-back'>): boolean {
    return deadLetter || attempts >= this.book.settings(group).attemptsMax;
  }

  private async move(request: SendBack, queue: GroupQueue, deadLetter: boolean) {
    const { group, topic, offset, attempts, reason } = request;
    const { retryDelaysMs } = this.book.settings(group);
    const byGroup = retryDelaysMs[Math.min(attempts, retryDelaysMs.length) - 1] ?? 0;
    const delayMs = request.delayMs >= 0 ? request.delayMs : byGroup;
    const source: FailedSource = {
      kind: 'failed',
      group,
      topic: queue.topic,
      partition: queue.partition,
      epoch: request.epoch,
      offset,
      failures: attempts,
      deliverAt: deadLetter || delayMs === 0 ? 0 : Math.ceil(this.context.clock() + delayMs),
      ...(deadLetter ? { reason } : {}),
    };
    const [copy] = await Promise.all([this.copyOf(source), this.makeReady(source, topic)]);
    if (source.deliverAt > 0) await this.checkLength(copy, retryTopicOf(group, topic));
    await this.mover.move({ topic: this.targetOf(source), partition: 0, source, payload: wrapped(source, copy) });
    return { deadLetter };
  }

  /** What the timer topic takes must have room where it goes from there: it counts as acknowledged by then. */
  private async checkLength({ length }: Uint8Array, retry: string): Promise<void> {
    const most = batchMaxBytes(await this.context.connection.route(retry));
    if (length > most) throw new RingmqError('message-too-large', `${length} bytes with properties; ${retry}: ${most}`);
  }

  /** Makes the topics that the message passes, before anybody relies on them. */
  private async makeReady({ group, reason, deliverAt }: FailedSource, topic: string): Promise<void> {
    const { connection } = this.context;
    const route = await connection.route(topic);
    if (reason !== undefined) {
      await this.dead.make(group, route);
      return;
    }
    const retry = retryTopic(group, topic);
    if (this.book.queue(group, retry, 0) === undefined) {
      await connection.createTopic(retry, likeSource(route));
      await this.book.retryTopicMade(group, topic);
    }
    if (deliverAt > 0) await this.timers.open();
  }

  private targetOf({ group, topic, deliverAt, reason }: FailedSource): string {
    if (reason !== undefined) return dlqTopic(group);
    return deliverAt > 0 ? TIMER_TOPIC : retryTopicOf(group, topic);
  }

  private async copyOf({ topic, partition, epoch, offset, failures, reason }: FailedSource): Promise<Uint8Array> {
    return failedPayload(await this.reader.one(topic, partition, epoch, offset), failures, reason);
  }

  private acknowledge(source: FailedSource): void {
    const queue = this.book.queue(source.group, source.topic, source.partition);
    if (queue === undefined || queue.progress.contains(source.offset)) return;
    try {
      this.book.acked(queue, source.offset, source.offset + 1);
    } catch (error) {
      if (!(error instanceof RingmqError)) throw error;
      this.owed.push(source);
    }
  }
}

/** As it is stored while it waits for its time. */
function wrapped({ group, topic, deliverAt }: FailedSource, copy: Uint8Array): Uint8Array {
  return deliverAt > 0 ? timerPayload(copy, retryTopicOf(group, topic), deliverAt) : copy;
}

/** One queue, which takes the largest message of the topic that they come from with what is said of it besides. */
function likeSource({ durable, ringBytes }: TopicRoute) {
  return { partitions: 1, durable, ringBytes: Math.min(2 * ringBytes, RING_BYTES_MAX), ifNotExists: true } as const;
}

/** Of a topic, or of the retry topic itself. */
function retryTopicOf(group: string, topic: string): string {
  return isRetryTopic(topic) ? topic : retryTopic(group, topic);
}
