// The consumer of every transport: hands batches to handlers or an iterator in order, notices gaps, keeps positions.
// What differs between in process and network is where batches come from: see ConsumerSource.
import { isSparse } from '../../native-layout/batch.ts';
import { RingmqError } from '../base/codes.ts';
import { compileFilter, filterText, type RecordFilter } from '../filter/filter.ts';
import { type BatchView, RecordView } from '../record/batch-view.ts';
import type { GapReason, PartitionPosition, PartitionStart, StartFrom } from '../wire/commands.ts';
import type { Codec } from './codec.ts';
import type { Consumer, ConsumerOptions, Gap } from './connection.ts';
import type { GroupOffsets } from './group-offsets.ts';
import { refusedToReaders } from './group-options.ts';
import { Batch, Message, type Replier, type TopicIdentity } from './message.ts';
import { MessageQueue } from './message-queue.ts';
import { checkFrom } from './start-check.ts';

/** deliver(): the whole batch was taken. */
export const TAKEN = 0;
/** deliver(): stop here; the rest is wanted later, from cursor.expected on. */
export const STOP = 1;
export type Delivery = typeof TAKEN | typeof STOP;

/** Where a consumer stands in one partition. */
export interface PartitionCursor {
  readonly id: number;
  readonly number: number;
  /** Of the newest message that was handed on. */
  epoch: number;
  /** Highest epoch heard of: what was written before a restart may be read after it was known. */
  newest: number;
  /** Next offset wanted; -1: whatever comes first. */
  expected: number;
  /** Where the iterator has come to: the message before this is done with. */
  done: PartitionPosition;
  /** Behind the newest message that was kept for the iterator. */
  kept: number;
}

/** Where batches come from. */
export interface ConsumerSource {
  /** The consumer wants to go on after STOP. */
  wanted(): void;
  /** Bytes up to here were handed on: network sources give credit back. */
  close(): Promise<void>;
}

const BUFFER_MESSAGES = 1_024;

export class RingConsumer<T> implements Consumer<T>, TopicIdentity {
  readonly topic: string;
  readonly options: ConsumerOptions<T>;
  /** Of the topic, for message ids: the source knows it. */
  topicId = 0;
  /** Of the connection, for Message.reply(). */
  replier: Replier | undefined;
  /** Positions to start at, of the user or of the group; other partitions start at options.from. */
  asked: readonly PartitionPosition[] = [];
  source: ConsumerSource | undefined;
  readonly pool = refusedToReaders;
  readonly seek = refusedToReaders;
  /** Hears that nothing more will come, and why if it was refused. */
  onOver: (error: RingmqError | undefined) => void = () => {};
  /** Keeps the positions of the consumer's group. */
  group: GroupOffsets | undefined;
  /** Canonical text of the filter; '' for none. */
  readonly filterText: string;
  /** What of a batch is wanted; undefined: everything, or the broker looks at it. */
  private filter: RecordFilter | undefined;
  private readonly codec: Codec<T> | undefined;
  private readonly cursors = new Map<number, PartitionCursor>();
  private readonly byNumber = new Map<number, PartitionCursor>();
  private readonly batch = new Batch();
  private readonly record = new RecordView();
  private readonly queue: MessageQueue<Message<T>>;
  private readonly failed: (error: Error) => void;
  private readonly started: Promise<readonly PartitionPosition[]>;
  private start: (positions: readonly PartitionPosition[]) => void = () => {};
  private fail: (error: Error) => void = () => {};
  private paused = false;
  /** Where an async handler is at work, and on which offset. */
  private busy: PartitionCursor | undefined;
  private busyAt = 0;
  private handedOut: Message<T> | undefined;
  private begun = false;
  private closing: Promise<void> | undefined;

  constructor(topic: string, options: ConsumerOptions<T>, failed: (error: Error) => void) {
    const modes = [options.onMessage, options.onBatch].filter((one) => one !== undefined).length;
    if (modes > 1) throw new RingmqError('illegal-argument', 'give onMessage or onBatch or iterate, one of the three');
    const { onError, bufferMessages = BUFFER_MESSAGES } = options;
    if (!(bufferMessages >= 1))
      throw new RingmqError('illegal-argument', `bufferMessages is ${bufferMessages}: 1 or more`);
    checkFrom(options.from);
    this.filterText = filterText(options.filter);
    this.filter = compileFilter(this.filterText);
    const { from } = options;
    if (typeof from === 'object' && 'positions' in from) this.asked = from.positions;
    this.topic = topic;
    this.options = options;
    this.codec = options.codec;
    this.failed = onError ? (error) => tell(onError, error, failed) : failed;
    this.queue = new MessageQueue(bufferMessages, () => this.source?.wanted());
    this.started = new Promise((resolve, reject) => {
      this.start = resolve;
      this.fail = reject;
    });
    this.started.catch(() => {});
    options.signal?.addEventListener('abort', () => void this.close(), { once: true });
    // The source comes right after this.
    if (options.signal?.aborted) queueMicrotask(() => void this.close());
  }

  ready(): Promise<readonly PartitionPosition[]> {
    return this.started;
  }

  positions(): readonly PartitionPosition[] {
    return [...this.cursors.values()]
      .map((one) => ({ partition: one.number, epoch: one.epoch, offset: Math.max(one.expected, 0) }))
      .sort((a, b) => a.partition - b.partition);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Message<T>> {
    if (this.options.onMessage || this.options.onBatch) {
      throw new RingmqError('illegal-argument', 'this consumer has a handler: it cannot be iterated as well');
    }
    await this.started;
    try {
      for (;;) {
        this.doneWith(this.handedOut);
        const message = this.queue.take() ?? (await this.queue.next());
        this.handedOut = message;
        if (message === undefined) return;
        yield message;
      }
    } finally {
      await this.close();
    }
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.source?.wanted();
  }

  commit(): Promise<void> {
    if (this.group) return this.group.commit(this.progress());
    return Promise.reject(new RingmqError('illegal-argument', 'this consumer has no group to keep its positions'));
  }

  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async shutDown(): Promise<void> {
    // The source forgets the cursors.
    const progress = this.progress();
    await this.source?.close();
    await this.group?.finish(progress);
    this.ended();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get closed(): boolean {
    return this.closing !== undefined;
  }

  /** True while deliver() should not be called: paused, an async handler at work, or the iterator's buffer full. HOT */
  get full(): boolean {
    return this.paused || this.busy !== undefined || this.queue.full || this.closing !== undefined;
  }

  /** For sources: what goes wrong in the background. */
  tell(error: Error): void {
    this.failed(error);
  }

  /** For sources: begin() was called. */
  get hasBegun(): boolean {
    return this.begun;
  }

  /** For sources: what the filter leaves out does not come here. */
  filteredByBroker(): void {
    this.filter = undefined;
  }

  /** For sources: where to start in a partition. */
  fromIn(number: number): StartFrom {
    const { asked, options } = this;
    return asked.some((one) => one.partition === number) ? { positions: asked } : (options.from ?? 'latest');
  }

  /** For sources: the subscription stands. */
  begin(starts: readonly PartitionStart[]): void {
    for (const one of starts) {
      const { id, number, epoch, offset } = one;
      const done = { partition: number, epoch, offset };
      const cursor = { id, number, epoch, newest: epoch, expected: offset, done, kept: offset };
      this.cursors.set(id, cursor);
      this.byNumber.set(number, cursor);
    }
    // After all of them: who hears of a gap may ask for all positions, to keep them.
    for (const one of starts) if (one.gap) this.gap(one.number, one.gapFrom, one.offset, this.reasonOf(one));
    this.begun = true;
    this.start(this.positions());
  }

  /** For sources: what was handed on and is done with, as far as handlers that take their time have come. */
  progress(): readonly PartitionPosition[] {
    const iterated = this.options.onMessage === undefined && this.options.onBatch === undefined;
    return [...this.cursors.values()].map((one) => {
      // What a filter left out behind the last one is done with as well.
      if (iterated && one.done.offset !== one.kept) return one.done;
      // A gap may have moved the cursor on (or back) since the handler began.
      const offset = one === this.busy ? Math.min(one.expected, this.busyAt) : one.expected;
      return { partition: one.number, epoch: one.epoch, offset: Math.max(offset, 0) };
    });
  }

  /** For sources: the subscription cannot stand. */
  refuse(error: RingmqError): void {
    this.fail(error);
    // An iterator ends with the error and ready() rejects with it; handlers have no other way to hear that it is over.
    const tell = this.begun && this.closing === undefined && (this.options.onMessage ?? this.options.onBatch);
    this.closing ??= Promise.resolve();
    this.queue.end(error);
    this.onOver(error);
    if (tell) this.failed(error);
  }

  /** For sources: nothing more will come. */
  ended(): void {
    this.closing ??= Promise.resolve();
    this.fail(new RingmqError('closed', 'the consumer was closed before it was ready'));
    this.queue.end(undefined);
    this.onOver(undefined);
  }

  cursor(id: number): PartitionCursor | undefined {
    return this.cursors.get(id);
  }

  dropCursor(id: number): void {
    const cursor = this.cursors.get(id);
    if (cursor === undefined) return;
    this.cursors.delete(id);
    if (this.byNumber.get(cursor.number) === cursor) this.byNumber.delete(cursor.number);
  }

  /** For sources: offsets were lost. */
  gap(partition: number, from: number, to: number, reason: GapReason): void {
    const gap: Gap = { topic: this.topic, partition, from, to, reason };
    if (this.options.onGap) this.guard(() => this.options.onGap?.(gap));
    else {
      const what = from < to ? `offsets ${from} to ${to - 1} are gone` : `it goes on at offset ${to}`;
      const text = `${this.topic}/${partition}: ${what} (${reason}); set onGap to handle this`;
      this.failed(new RingmqError('offset-out-of-range', text));
    }
  }

  /** For sources: what lies before `to` will not come. */
  lost(cursor: PartitionCursor, to: number, reason: GapReason): void {
    const from = cursor.expected;
    if (to <= from) return;
    cursor.expected = to;
    // It may lie behind the end of the epoch that was read last, where a position of that epoch is good no more.
    cursor.epoch = cursor.newest;
    this.gap(cursor.number, from, to, reason);
  }

  /** For sources: the next batch of a partition. HOT */
  deliver(view: BatchView, cursor: PartitionCursor): Delivery {
    // A handler may have paused or closed the consumer in the middle of a span.
    if (this.full) return STOP;
    const base = view.baseOffset;
    const end = base + view.count;
    if (cursor.expected !== base) {
      if (cursor.expected < 0) cursor.expected = base;
      else if (view.epoch > cursor.newest) this.beginAnew(cursor, base);
      else if (base > cursor.expected) this.lost(cursor, base, 'evicted');
      else if (end <= cursor.expected) return TAKEN;
    }
    if (view.epoch !== cursor.epoch) {
      cursor.epoch = view.epoch;
      if (view.epoch > cursor.newest) cursor.newest = view.epoch;
    }
    if (this.options.onBatch) {
      const { batch } = this;
      batch.show(this.topic, cursor.number, view, cursor.expected);
      cursor.expected = end;
      // There may be nothing in it that is wanted.
      if ((this.filter || isSparse(view.magic)) && !batch.choose(this.filter)) return TAKEN;
      try {
        this.options.onBatch(batch);
      } catch (error) {
        this.failed(asError(error));
      }
      return TAKEN;
    }
    return this.deliverOneByOne(view, cursor, end);
  }

  private deliverOneByOne(view: BatchView, cursor: PartitionCursor, end: number): Delivery {
    const { filter } = this;
    const record = this.record.open(view);
    while (record.next()) {
      const offset = record.offset;
      if (offset < cursor.expected) continue;
      if (filter !== undefined && !filter.matches(record)) continue;
      if (this.full) {
        cursor.expected = offset;
        return STOP;
      }
      const message = new Message<T>(this.topic, cursor.number, view, record, this, this.codec);
      cursor.expected = offset + 1;
      if (this.options.onMessage) this.handle(this.options.onMessage, message, cursor);
      else {
        cursor.kept = cursor.expected;
        this.queue.put(message);
      }
    }
    cursor.expected = end;
    return TAKEN;
  }

  private handle(
    onMessage: (message: Message<T>) => void | Promise<void>,
    message: Message<T>,
    cursor: PartitionCursor,
  ): void {
    try {
      const result = onMessage(message);
      if (result === undefined || typeof result.then !== 'function') return;
      this.busy = cursor;
      this.busyAt = message.offset;
      result
        .then(undefined, (error: unknown) => this.failed(asError(error)))
        .then(() => {
          this.busy = undefined;
          this.source?.wanted();
        });
    } catch (error) {
      this.failed(asError(error));
    }
  }

  /** A restart took back what was handed on already (or, of a volatile partition, everything). */
  private beginAnew(cursor: PartitionCursor, base: number): void {
    const from = Math.min(cursor.expected, base);
    cursor.expected = base;
    this.gap(cursor.number, from, base, 'epoch-changed');
  }

  /** Why a partition does not start where it was asked to. */
  private reasonOf(start: PartitionStart): GapReason {
    if (start.gapFrom < start.offset) return 'expired';
    const position = this.asked.find((one) => one.partition === start.number);
    return position === undefined || position.epoch === start.epoch ? 'ahead' : 'epoch-changed';
  }

  /** The iterator has asked for the one after it. */
  private doneWith(message: Message<T> | undefined): void {
    if (message === undefined || this.group === undefined) return;
    const { partition, epoch, offset } = message;
    const cursor = this.byNumber.get(partition);
    if (cursor) cursor.done = { partition, epoch, offset: offset + 1 };
  }

  private guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.failed(asError(error));
    }
  }
}

/** Calls a listener that may throw itself. */
function tell(listener: (error: Error) => void, error: Error, otherwise: (error: Error) => void): void {
  try {
    listener(error);
  } catch (thrown) {
    otherwise(asError(thrown));
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
