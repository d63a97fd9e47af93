// One queue that a member of a group holds: how far it was read, what of it is with handlers, what is acknowledged.
import type { Dispatch, DispatchQueue, Entry } from '../group/dispatch.ts';
import { Progress } from '../group/progress.ts';
import type { AssignedQueue, QueueRef } from '../wire/services.ts';
import type { Message } from './message.ts';

/** Bytes of a queue that wait in a member: RocketMQ's pullThresholdSizeForQueue. */
const WAITING_MAX_BYTES = 100 * 1024 * 1024;

/** A message with a handler's batch has no object of its own. */
type Waiting<T> = Message<T> | undefined;
export type GroupDispatch<T> = Dispatch<Waiting<T>, HeldQueue<T>>;
export type GroupEntry<T> = Entry<Waiting<T>, HeldQueue<T>>;

export class HeldQueue<T> {
  readonly topic: string;
  readonly partition: number;
  readonly progress: Progress;
  readonly waiting: DispatchQueue<Waiting<T>, HeldQueue<T>>;
  /** The queue is on its way to another member. */
  givingUp = false;
  /** It is being moved: it says nothing of where it is. */
  moving = false;
  /** Something has happened since the last commit. */
  dirty = false;
  /** Where the reader goes on: everything before was taken in, or will not come. */
  readTo: number;
  private readonly waitingMax: number;
  /** Everything before that is not in `waiting` counts as acknowledged. */
  private seenTo: number;

  constructor(assigned: AssignedQueue, dispatch: GroupDispatch<T>, waitingMax: number) {
    this.waitingMax = waitingMax;
    this.topic = assigned.topic;
    this.partition = assigned.partition;
    this.progress = Progress.of(assigned);
    this.waiting = dispatch.open(this);
    this.readTo = this.progress.floor;
    this.seenTo = this.progress.floor;
  }

  get name(): string {
    return `${this.topic}/${this.partition}`;
  }

  /** So much waits that no more should be read. */
  get isFull(): boolean {
    return this.waiting.count >= this.waitingMax || this.waiting.lengthBytes >= WAITING_MAX_BYTES;
  }

  /** There is room again, so that reading on is worth its while. */
  get hasRoom(): boolean {
    return this.waiting.count * 2 <= this.waitingMax && this.waiting.lengthBytes * 2 <= WAITING_MAX_BYTES;
  }

  /**
   * A message has come: what lies before it and did not come will not come (a filter left it out, or it is lost).
   * False if the message is acknowledged already.
   */
  comes(offset: number): boolean {
    this.passed(offset);
    if (offset + 1 > this.seenTo) this.seenTo = offset + 1;
    if (offset + 1 > this.readTo) this.readTo = offset + 1;
    return !this.progress.contains(offset);
  }

  /** Everything before `to` was handed on, or will not come. HOT */
  passed(to: number): void {
    if (to <= this.seenTo) return;
    this.progress.add(this.seenTo, to);
    this.seenTo = to;
    if (to > this.readTo) this.readTo = to;
    this.dirty = true;
  }

  acked(offset: number): void {
    if (this.progress.add(offset, offset + 1)) this.dirty = true;
  }

  failed(offset: number, deliveries: number): void {
    if (this.progress.failed(offset, deliveries)) this.dirty = true;
  }

  /** A crash took back what was not safe: the queue goes on at `to`, perhaps with offsets that were seen before. */
  beginAnew(epoch: number, to: number): void {
    this.progress.epoch = epoch;
    this.passed(to);
    this.progress.clip(to);
    this.seenTo = to;
    this.readTo = to;
    this.dirty = true;
  }

  ref(): QueueRef {
    return { topic: this.topic, partition: this.partition };
  }

  wire(): AssignedQueue {
    return { topic: this.topic, partition: this.partition, ...this.progress.wire() };
  }
}
