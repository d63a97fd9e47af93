// Reads one topic for a member of a group: an inner consumer for the queues that the member holds, opened anew where it
// was when they change.
//
// A queue that is full stops the inner consumer. If the others run dry meanwhile, the full one is set aside: the inner
// consumer is opened without it, and with it again when there is room. So a queue that is stuck stops no other.
import { RingmqError } from '../base/codes.ts';
import type { PartitionPosition } from '../wire/commands.ts';
import type { ConsumerOptions, Gap } from './connection.ts';
import type { HeldQueue } from './group-queue.ts';
import type { Batch, Message } from './message.ts';

/** What is wanted of the inner consumer: a RingConsumer, or a stand-in. */
export interface InnerConsumer {
  onOver: (error: RingmqError | undefined) => void;
  ready(): Promise<readonly PartitionPosition[]>;
  positions(): readonly PartitionPosition[];
  pause(): void;
  resume(): void;
  close(): Promise<void>;
}

export type OpenInner<T> = (topic: string, options: ConsumerOptions<T>) => InnerConsumer;

/** Who gets what is read. */
export interface ReaderSink<T> {
  /** What every inner consumer is given besides: codec, filter. */
  readonly options: Pick<ConsumerOptions<T>, 'codec' | 'filter'>;
  /** Batches instead of messages. */
  readonly batch: ((queue: HeldQueue<T>, batch: Batch) => void) | undefined;
  message(queue: HeldQueue<T>, message: Message<T>): void;
  gap(queue: HeldQueue<T>, gap: Gap): void;
  /** It cannot be read (any more). */
  over(error: RingmqError): void;
  tell(error: Error): void;
}

/** A full queue stops the others for this long at most. */
const ASIDE_MS = 200;
/** What cannot be read is tried again after this time. */
const AGAIN_MS = 5_000;

export class GroupReader<T> {
  readonly topic: string;
  private readonly open: OpenInner<T>;
  private readonly sink: ReaderSink<T>;
  /** By partition. */
  private readonly queues = new Map<number, HeldQueue<T>>();
  private readonly full = new Set<HeldQueue<T>>();
  private readonly aside = new Set<HeldQueue<T>>();
  private inner: InnerConsumer | undefined;
  private isPaused = false;
  private fullAt = 0;
  private overAt = 0;
  /** A handler of a batch is at work: its batch does not count as handed on. */
  private inBatch = false;

  constructor(topic: string, open: OpenInner<T>, sink: ReaderSink<T>) {
    this.topic = topic;
    this.open = open;
    this.sink = sink;
  }

  get count(): number {
    return this.queues.size;
  }

  /** Reads these from now on. Those that were read already go on where they are. */
  set(queues: readonly HeldQueue<T>[]): void {
    this.note();
    this.queues.clear();
    for (const one of queues) this.queues.set(one.partition, one);
    for (const one of [...this.full, ...this.aside]) if (!queues.includes(one)) this.forget(one);
    this.reopen();
  }

  /** Resolves when what it reads has begun. */
  async ready(): Promise<void> {
    // It may be opened anew meanwhile.
    for (let inner = this.inner; inner !== undefined; ) {
      const ended = await inner.ready().then(
        () => undefined,
        (error: unknown) => error,
      );
      if (inner === this.inner && ended !== undefined) throw ended;
      if (inner === this.inner) return;
      inner = this.inner;
    }
  }

  pause(): void {
    this.isPaused = true;
    this.inner?.pause();
  }

  resume(): void {
    this.isPaused = false;
    if (this.full.size === 0) this.inner?.resume();
  }

  /** Brings `readTo` and what lies before it up to date: filters say nothing of what they leave out. */
  note(): void {
    if (this.inner === undefined || this.inBatch) return;
    for (const { partition, epoch, offset } of this.inner.positions()) {
      const queue = this.queues.get(partition);
      if (queue === undefined || this.aside.has(queue)) continue;
      if (epoch > queue.progress.epoch) queue.progress.epoch = epoch;
      queue.passed(offset);
    }
  }

  /** Something of the queue was done with. */
  roomIn(queue: HeldQueue<T>): void {
    if ((this.full.size === 0 && this.aside.size === 0) || !queue.hasRoom) return;
    if (this.full.delete(queue) && this.full.size === 0 && !this.isPaused) this.inner?.resume();
    if (this.aside.delete(queue)) this.reopen();
  }

  /** Some times a second. */
  housekeep(now: number): void {
    const isOver = this.inner === undefined && this.queues.size > this.aside.size;
    if (isOver && now - this.overAt >= AGAIN_MS) this.reopen();
    if (this.full.size === 0 || now - this.fullAt < ASIDE_MS) return;
    const reading = [...this.queues.values()].filter((one) => !this.full.has(one) && !this.aside.has(one));
    if (!reading.some((one) => one.hasRoom)) return;
    this.note();
    for (const one of this.full) this.aside.add(one);
    this.full.clear();
    this.reopen();
  }

  close(): void {
    this.note();
    this.queues.clear();
    this.full.clear();
    this.aside.clear();
    this.reopen();
  }

  private forget(queue: HeldQueue<T>): void {
    this.full.delete(queue);
    this.aside.delete(queue);
  }

  private reopen(): void {
    const old = this.inner;
    this.inner = undefined;
    old?.close().catch((error: unknown) => this.sink.tell(asError(error)));
    const wanted = [...this.queues.values()].filter((one) => !this.aside.has(one));
    if (wanted.length === 0) return;
    const inner = this.open(this.topic, {
      ...this.sink.options,
      mode: 'broadcasting',
      partitions: wanted.map((one) => one.partition),
      from: {
        positions: wanted.map(({ partition, readTo, progress: { epoch } }) => ({ partition, epoch, offset: readTo })),
      },
      onGap: (gap) => this.gap(gap),
      onError: (error) => this.sink.tell(error),
      ...(this.sink.batch ? { onBatch: this.takeBatch } : { onMessage: this.takeMessage }),
    });
    this.inner = inner;
    inner.onOver = (error) => {
      if (inner !== this.inner) return;
      this.inner = undefined;
      this.overAt = performance.now();
      this.sink.over(error ?? new RingmqError('closed', 'the connection was closed'));
    };
    if (this.isPaused || this.full.size > 0) inner.pause();
  }

  private readonly takeMessage = (message: Message<T>): void => {
    const queue = this.queues.get(message.partition);
    if (queue === undefined) return;
    if (message.epoch > queue.progress.epoch) queue.progress.epoch = message.epoch;
    if (!queue.comes(message.offset)) return;
    this.sink.message(queue, message);
    if (!queue.isFull) return;
    if (this.full.size === 0) this.fullAt = performance.now();
    this.full.add(queue);
    this.inner?.pause();
  };

  /** HOT */
  private readonly takeBatch = (batch: Batch): void => {
    const queue = this.queues.get(batch.partition);
    if (queue === undefined) return;
    const end = batch.endOffset;
    // It is read again if a handler of it made this be opened anew.
    if (end <= queue.progress.floor) return;
    if (batch.epoch > queue.progress.epoch) queue.progress.epoch = batch.epoch;
    // What the batch before reached up to may have been acknowledged further: the floor lies in this one then.
    if (queue.progress.rangeCount > 0 || end - batch.count < queue.progress.floor) batch.leaveOut(queue.progress);
    this.inBatch = true;
    try {
      this.sink.batch?.(queue, batch);
    } finally {
      this.inBatch = false;
    }
    queue.passed(end);
    if (!queue.isFull) return;
    if (this.full.size === 0) this.fullAt = performance.now();
    this.full.add(queue);
    this.inner?.pause();
  };

  private gap(gap: Gap): void {
    const queue = this.queues.get(gap.partition);
    if (queue === undefined) return;
    if (gap.reason === 'epoch-changed' || gap.reason === 'ahead') {
      const position = this.inner?.positions().find((one) => one.partition === gap.partition);
      queue.beginAnew(position?.epoch ?? queue.progress.epoch, gap.to);
    } else queue.passed(gap.to);
    this.sink.gap(queue, gap);
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
