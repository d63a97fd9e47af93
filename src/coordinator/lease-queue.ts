// One queue of a group of simple consumers: reads it ahead into a lease window, as far as the limits allow.
import { RingmqError } from '../base/codes.ts';
import type { Gap } from '../client/connection.ts';
import type { RingConsumer } from '../client/consumer.ts';
import type { InProcessConnection } from '../client/in-process.ts';
import type { Batch } from '../client/message.ts';
import { LEASE_SPAN_MAX, type LeaseRun, LeaseWindow } from '../group/lease-window.ts';
import type { RecordView } from '../record/batch-view.ts';
import { type GroupOrder, isRetryTopic, PROPERTY } from '../wire/services.ts';
import type { BatchCopier } from './batch-copier.ts';
import type { GroupQueue } from './group-state.ts';
import { type Holding, LeaseChunks } from './lease-chunks.ts';

/** Ready messages, and about how many bytes of them, from which on a queue is not read further. */
const READY_MAX = 1_024;
const READY_BYTES_MAX = 1024 * 1024;
/** Bytes that a queue holds at most, leased and blocked ones too; and all queues together. */
const QUEUE_BYTES_MAX = 16 * 1024 * 1024;
const HELD_BYTES_MAX = 64 * 1024 * 1024;
/** What each queue may hold even so: nobody starves. */
const QUEUE_BYTES_LEAST = 256 * 1024;

/** What its group is told, and gives it. */
export interface LeaseQueueHost {
  readonly connection: Pick<InProcessConnection, 'reader'>;
  readonly holding: Holding;
  readonly copier: BatchCopier;
  readonly order: GroupOrder;
  /** Undefined: everything is wanted. */
  readonly wants: ((record: RecordView) => boolean) | undefined;
  /** Messages that nobody wants, or that are gone: pairs [from, to). They count as acknowledged. */
  passed(queue: GroupQueue, ranges: readonly number[]): void;
  /** A restart took messages back: it goes on at `offset`. */
  takenBack(queue: LeaseQueue, offset: number): void;
  /** Something was read. */
  news(): void;
  warn(text: string): void;
}

export class LeaseQueue {
  readonly queue: GroupQueue;
  /** Of the queue when this began: another one means that all leases are void. */
  readonly version: number;
  readonly window: LeaseWindow;
  readonly chunks: LeaseChunks;
  private readonly host: LeaseQueueHost;
  private readonly retry: boolean;
  private consumer: RingConsumer<Uint8Array> | undefined;
  private paused = false;
  /** Why it cannot be read at present. */
  private failure: RingmqError | undefined;

  constructor(queue: GroupQueue, host: LeaseQueueHost) {
    this.queue = queue;
    this.version = queue.version;
    this.host = host;
    this.retry = isRetryTopic(queue.topic);
    this.chunks = new LeaseChunks(host.holding);
    this.window = new LeaseWindow((chunk) => this.chunks.release(chunk));
    this.window.begin(queue.progress.floor);
  }

  /** Leases of a life before. */
  restore(runs: readonly LeaseRun[]): void {
    for (const run of runs) this.window.restore(run);
    this.window.begin(this.queue.progress.floor);
    this.dropAcked();
  }

  get awake(): boolean {
    return this.consumer !== undefined;
  }

  /** False while reading waits for something to be settled, or taken. */
  get reads(): boolean {
    return this.consumer !== undefined && !this.paused;
  }

  /** Why nothing comes from here, and will not: it cannot be read, or something must be settled first. */
  get refusal(): RingmqError | undefined {
    if (this.window.peek(false) >= 0) return undefined;
    if (this.failure) return this.failure;
    const limit = this.limit();
    return limit === undefined ? undefined : new RingmqError('lease-quota', `${this.name}: ${limit}`);
  }

  /** Begins to read at the ack floor. */
  wake(): void {
    if (this.consumer) return;
    const { topic, partition, progress } = this.queue;
    const { floor, epoch } = progress;
    this.window.begin(floor);
    this.dropAcked();
    this.paused = false;
    const consumer = this.host.connection.reader<Uint8Array>(topic, {
      partitions: [partition],
      from: { positions: [{ partition, epoch, offset: floor }] },
      onBatch: (batch) => {
        if (this.consumer === consumer) this.take(batch);
      },
      onGap: (gap) => {
        if (this.consumer === consumer) this.gap(gap);
      },
      onError: (error) => this.failed(error),
    });
    this.consumer = consumer;
    consumer.ready().then(
      () => {
        this.failure = undefined;
      },
      () => {}, // onOver hears why.
    );
    consumer.onOver = (error) => {
      if (this.consumer !== consumer) return;
      this.sleep();
      if (error) this.failed(error);
    };
  }

  /** Leases of what was acknowledged are none. */
  private dropAcked(): void {
    const { floor, acked } = this.queue.progress;
    for (let i = 0; i < acked.length; i += 2) {
      const to = Math.min(acked[i + 1], floor + LEASE_SPAN_MAX);
      for (let offset = acked[i]; offset < to; offset++) this.window.ack(offset);
    }
  }

  /** Reads no more, and forgets what was read. Leases go on. */
  sleep(): void {
    const { consumer } = this;
    if (consumer === undefined) return;
    this.consumer = undefined;
    this.window.unload();
    void consumer.close();
  }

  /** After something was taken or settled. HOT */
  regulate(): void {
    const { consumer } = this;
    if (consumer === undefined) return;
    if (!this.paused) {
      if (this.hasRoom(READY_MAX)) return;
      this.paused = true;
      consumer.pause();
    } else if (this.hasRoom(READY_MAX / 2)) {
      this.paused = false;
      consumer.resume();
    }
  }

  /** For people. */
  private get name(): string {
    return `group ${this.queue.subscription.group.name}`;
  }

  /** Undefined if something more can be leased without something else being settled. */
  private limit(): string | undefined {
    const { window, chunks } = this;
    const { topic, partition } = this.queue;
    if (this.consumer === undefined) return undefined;
    const where = `the oldest message of ${topic}/${partition} that is not acknowledged (offset ${window.floor})`;
    if (window.top - window.floor >= LEASE_SPAN_MAX) {
      return `${LEASE_SPAN_MAX} messages lie between ${where} and the newest lease: settle the oldest ones`;
    }
    if (!this.paused || window.ready > 0) return undefined;
    return `${chunks.bytes} bytes are held since ${where}, as much as there may be: settle the oldest ones`;
  }

  private hasRoom(readyMax: number): boolean {
    const { window, chunks } = this;
    if (window.ready >= readyMax || window.top - window.floor >= LEASE_SPAN_MAX) return false;
    const held = window.ready + window.blocked + window.leased;
    if (window.ready > 0 && (chunks.bytes / held) * window.ready >= READY_BYTES_MAX) return false;
    if (chunks.bytes >= QUEUE_BYTES_MAX) return false;
    return this.host.holding.bytes < HELD_BYTES_MAX || chunks.bytes < QUEUE_BYTES_LEAST;
  }

  /** HOT */
  private take(batch: Batch): void {
    const { window, host } = this;
    const { copier, wants, order } = host;
    const { progress } = this.queue;
    // A move that began under the group's former terms, and ended since reading began, is known to the progress alone.
    const isOpen = progress.rangeCount === 0 && progress.floor <= window.top;
    const passed: number[] = [];
    copier.reset();
    while (batch.next()) {
      if (!isOpen && progress.contains(batch.offset)) continue;
      // What failed had passed the filter, whatever it is by now.
      if (wants === undefined || this.retry || wants(batch))
        copier.add(batch, order, this.retry ? failuresOf(batch) : 0);
      else pass(passed, batch.offset);
    }
    if (copier.count > 0) this.hold(batch);
    window.readTo(batch.endOffset);
    if (passed.length > 0) host.passed(this.queue, passed);
    this.regulate();
    if (window.ready > 0 || copier.count === 0) host.news();
  }

  private hold(batch: Batch): void {
    const { window, chunks, host } = this;
    const { copier } = host;
    const { progress } = this.queue;
    const chunk = copier.copy(batch.bytes, batch.words, batch.startsAt, chunks);
    for (let i = 0; i < copier.count; i++) {
      const offset = copier.offsets[i];
      const failures = Math.max(copier.failures[i], progress.attemptsOf(offset));
      if (!window.add(offset, chunk, copier.places[i], copier.keys[i], copier.priorities[i], failures)) {
        chunks.release(chunk);
      }
    }
  }

  private gap({ topic, partition, from, to, reason }: Gap): void {
    const { host, window } = this;
    const what = `${this.name}: ${topic}/${partition}`;
    if (reason === 'ahead' || reason === 'epoch-changed') {
      host.warn(`${what} goes on at offset ${to}, a restart of the broker took messages back`);
      host.takenBack(this, to);
      return;
    }
    host.warn(`${what} has lost offsets ${from} to ${to - 1} (${reason}) before the group received them`);
    window.readTo(to);
    host.passed(this.queue, [from, to]);
    host.news();
  }

  private failed(error: Error): void {
    // Of a topic that was deleted the group is told elsewhere.
    if (error instanceof RingmqError && error.code === 'unknown-topic') return;
    const { topic, partition } = this.queue;
    const text = `${this.name} cannot read ${topic}/${partition}: ${error.message}`;
    this.failure = new RingmqError(error instanceof RingmqError ? error.code : 'internal', text);
    this.host.warn(text);
  }
}

/** Adds one offset to ascending ranges. */
function pass(ranges: number[], offset: number): void {
  const last = ranges.length - 1;
  if (last > 0 && ranges[last] === offset) ranges[last] = offset + 1;
  else ranges.push(offset, offset + 1);
}

/** How often a message of a retry topic has failed. */
function failuresOf(record: RecordView): number {
  const times = Number(record.properties?.[PROPERTY.reconsumeTimes]);
  return Number.isSafeInteger(times) && times > 0 ? times : 0;
}
