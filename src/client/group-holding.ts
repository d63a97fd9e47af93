// The queues that a member of a group holds, and what is read of them: messages go to its handling, batches to the
// handler of batches.
import { RingmqError } from '../base/codes.ts';
import type { PartitionPosition } from '../wire/commands.ts';
import { type AssignedQueue, isRetryTopic, PROPERTY, type QueueRef } from '../wire/services.ts';
import type { ConsumerOptions, Gap } from './connection.ts';
import { asError, type GroupHandling } from './group-handling.ts';
import { HeldQueue } from './group-queue.ts';
import { GroupReader, type OpenInner } from './group-reader.ts';
import type { Batch, Message, Origin, TopicIdentity } from './message.ts';

export interface HoldingHost<T> {
  readonly options: ConsumerOptions<T>;
  /** Most messages of a queue that wait here. */
  readonly waitingMax: number;
  readonly identity: TopicIdentity;
  readonly handling: GroupHandling<T>;
  readonly open: OpenInner<T>;
  /** A topic cannot be read (any more). */
  readingEnded(topic: string, error: RingmqError): void;
  tell(error: Error): void;
}

export class GroupHolding<T> {
  private readonly host: HoldingHost<T>;
  private readonly readers = new Map<string, GroupReader<T>>();
  /** By name. */
  private readonly held = new Map<string, HeldQueue<T>>();
  private isPaused = false;
  private isOver = false;

  constructor(host: HoldingHost<T>) {
    this.host = host;
  }

  /** Those that are being given up among them. */
  owned(): readonly QueueRef[] {
    return [...this.held.values()].map((one) => one.ref());
  }

  all(): readonly HeldQueue<T>[] {
    return [...this.held.values()];
  }

  /** Holds what is new among these, and reads it. Returns what is not among them any more: it is not read any more. */
  apply(assigned: readonly AssignedQueue[]): { readonly isNew: boolean; readonly given: readonly HeldQueue<T>[] } {
    const { handling, waitingMax } = this.host;
    const named = new Set<string>();
    const touched = new Set<string>();
    for (const one of assigned) {
      const queue = new HeldQueue<T>(one, handling.dispatch, waitingMax);
      named.add(queue.name);
      if (this.held.has(queue.name)) continue;
      this.held.set(queue.name, queue);
      touched.add(queue.topic);
    }
    const given = this.all().filter((one) => !one.givingUp && !named.has(one.name));
    for (const one of given) {
      one.givingUp = true;
      touched.add(one.topic);
    }
    for (const topic of touched) this.read(topic);
    return { isNew: touched.size > 0, given };
  }

  /** Does not read a queue until moveTo(). Undefined: it holds no such queue, or not for long any more. */
  suspend(topic: string, partition: number): HeldQueue<T> | undefined {
    const queue = this.held.get(`${topic}/${partition}`);
    if (queue === undefined || queue.givingUp) return undefined;
    queue.givingUp = true;
    this.read(topic);
    return queue;
  }

  /** False: it was lost since; another one may have come for it. */
  holds(queue: HeldQueue<T>): boolean {
    return this.held.get(queue.name) === queue;
  }

  /** A suspended queue goes on there, if it is still held: one that is held again knows of the move already. */
  moveTo(queue: HeldQueue<T>, place: AssignedQueue): void {
    if (!this.holds(queue)) return;
    const moved = new HeldQueue<T>(place, this.host.handling.dispatch, this.host.waitingMax);
    // What could not be committed before still has to be.
    moved.dirty = queue.dirty;
    this.held.set(queue.name, moved);
    this.read(queue.topic);
  }

  /** Another member may have it now. */
  remove(queue: HeldQueue<T>): void {
    if (this.holds(queue)) this.held.delete(queue.name);
  }

  /** Holds nothing any more. */
  clear(): readonly HeldQueue<T>[] {
    this.stopReading();
    const queues = this.all();
    this.held.clear();
    return queues;
  }

  /** Reads nothing any more, whoever moves a queue. */
  end(): void {
    this.isOver = true;
    this.stopReading();
  }

  private stopReading(): void {
    for (const one of this.readers.values()) one.close();
    this.readers.clear();
  }

  /** Settles when everything that is read now has begun. */
  async ready(): Promise<void> {
    await Promise.all([...this.readers.values()].map((one) => one.ready()));
  }

  pause(): void {
    this.isPaused = true;
    for (const one of this.readers.values()) one.pause();
  }

  resume(): void {
    this.isPaused = false;
    for (const one of this.readers.values()) one.resume();
  }

  roomIn(queue: HeldQueue<T>): void {
    this.readers.get(queue.topic)?.roomIn(queue);
  }

  housekeep(now: number): void {
    for (const one of this.readers.values()) one.housekeep(now);
  }

  /** Brings up to date what was read. */
  note(): void {
    for (const one of this.readers.values()) one.note();
  }

  /** Where the group is in the queues of a topic. */
  positions(topic: string): readonly PartitionPosition[] {
    this.note();
    return this.all()
      .filter((one) => one.topic === topic)
      .map(({ partition, progress }) => ({ partition, epoch: progress.epoch, offset: progress.floor }))
      .sort((a, b) => a.partition - b.partition);
  }

  /** Reads what it holds of a topic. */
  private read(topic: string): void {
    if (this.isOver) return;
    const queues = [...this.held.values()].filter((one) => one.topic === topic && !one.givingUp);
    let reader = this.readers.get(topic);
    if (reader === undefined) {
      reader = this.makeReader(topic);
      this.readers.set(topic, reader);
    }
    reader.set(queues);
    if (queues.length === 0) this.readers.delete(topic);
  }

  private makeReader(topic: string): GroupReader<T> {
    const { host } = this;
    const { codec, filter, onBatch } = host.options;
    // What failed had passed the filter, whatever it is by now.
    const filtered = filter === undefined || isRetryTopic(topic) ? {} : { filter };
    const reader = new GroupReader<T>(topic, host.open, {
      options: codec === undefined ? filtered : { ...filtered, codec },
      batch: onBatch && ((queue, batch) => this.takeBatch(onBatch, queue, batch)),
      message: (queue, message) => this.take(queue, message),
      gap: (queue, gap) => this.gap(queue, gap),
      over: (error) => host.readingEnded(topic, error),
      tell: (error) => host.tell(error),
    });
    if (this.isPaused) reader.pause();
    return reader;
  }

  private take(queue: HeldQueue<T>, message: Message<T>): void {
    const { offset, key, body, properties } = message;
    const before = isRetryTopic(queue.topic) ? countOf(properties?.[PROPERTY.reconsumeTimes]) : 0;
    const failures = Math.max(before, queue.progress.attemptsOf(offset));
    const origin = isRetryTopic(queue.topic) ? this.originOf(message) : undefined;
    if (origin) message.redelivered(failures + 1, origin);
    const about = { offset, key, priority: message.flags >>> 4, lengthBytes: body.length, failures };
    this.host.handling.dispatch.put(queue.waiting, message, about);
    this.host.handling.pump();
  }

  /** HOT */
  private takeBatch(onBatch: (batch: Batch) => void, queue: HeldQueue<T>, batch: Batch): void {
    try {
      onBatch(batch);
    } catch (error) {
      this.batchFailed(queue, batch, error);
    }
  }

  private batchFailed(queue: HeldQueue<T>, batch: Batch, error: unknown): void {
    const messages: { offset: number; lengthBytes: number; failures: number }[] = [];
    const isRetry = isRetryTopic(queue.topic);
    batch.rewind();
    while (batch.next()) {
      const { offset, bodyLength: lengthBytes } = batch;
      const before = isRetry ? countOf(batch.properties?.[PROPERTY.reconsumeTimes]) : 0;
      messages.push({ offset, lengthBytes, failures: Math.max(before, queue.progress.attemptsOf(offset)) });
    }
    this.host.handling.batchFailed(queue, messages, error);
  }

  /** Where a retried message was first. */
  private originOf({ properties }: Message<T>): Origin | undefined {
    const topic = properties?.[PROPERTY.realTopic];
    if (topic === undefined) return undefined;
    const [partition, offset] = [countOf(properties?.[PROPERTY.realQueue]), countOf(properties?.[PROPERTY.realOffset])];
    return { topic, partition, offset, identity: this.host.identity };
  }

  private gap(queue: HeldQueue<T>, gap: Gap): void {
    if (gap.to < gap.from || gap.reason === 'epoch-changed') this.host.handling.dispatch.cut(queue.waiting, gap.to);
    const { onGap } = this.host.options;
    if (onGap) {
      try {
        onGap(gap);
      } catch (error) {
        this.host.tell(asError(error));
      }
      return;
    }
    const { topic, partition, from, to, reason } = gap;
    const what = from < to ? `offsets ${from} to ${to - 1} are gone` : `it goes on at offset ${to}`;
    const text = `${topic}/${partition}: ${what} (${reason}); set onGap to handle this`;
    this.host.tell(new RingmqError('offset-out-of-range', text));
  }
}

function countOf(text: string | undefined): number {
  const count = Number(text ?? 0);
  return Number.isSafeInteger(count) && count >= 0 ? count : 0;
}
