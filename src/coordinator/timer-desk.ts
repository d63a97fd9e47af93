// Delayed messages: `schedule` and `recall`. A message is stored in the timer topic, read from there into the file of
// its ten minutes, and moved to its topic when it is due.
import { RECORD_SIZE } from '../../native-layout/record.ts';
import { RingmqError } from '../base/codes.ts';
import { checkDeliverAt } from '../delay/deliver-time.ts';
import { ENVELOPE_BYTES_MAX, envelopeLength, putEnvelope } from '../delay/envelope.ts';
import { encodeHandle, parseHandle } from '../delay/handle.ts';
import { crashPoint } from '../log/crash-point.ts';
import { BatchView, RecordView } from '../record/batch-view.ts';
import { utf8 } from '../record/text.ts';
import { validateBatch } from '../record/validate.ts';
import { type Answered, isReservedTopic, type ParamsOf } from '../wire/services.ts';
import type { JournalPart } from './journal.ts';
import type { Mover } from './mover.ts';
import type { CoordinatorContext, Handlers, Service } from './service.ts';
import type { TimerBucket } from './timer-bucket.ts';
import { CHECKPOINT_MS, TimerBuckets } from './timer-buckets.ts';
import { TimerFire } from './timer-fire.ts';
import { TIMERS_PART, type TimerRecord } from './timer-records.ts';
import { TargetTopics } from './timer-targets.ts';
import { TimerTopic } from './timer-topic.ts';

/** Most messages of one call. */
const RECORDS_MAX = 1_024;
/** setTimeout() takes no more than 31 bits. */
const SLEEP_MAX_MS = 3_600_000;
const REPORT_MS = 1_000;
const SOME_TIME_MS = 1;

export class TimerDesk implements Service {
  readonly handlers: Handlers = {
    schedule: (params, payload) => this.schedule(params, payload),
    recall: (params) => this.recall(params.handle),
  };
  readonly part: JournalPart;
  private readonly context: CoordinatorContext;
  private readonly buckets: TimerBuckets;
  private readonly topic: TimerTopic;
  private readonly targets: TargetTopics;
  private readonly fire: TimerFire;
  private store = '';
  private readonly ready: Promise<void>;
  private isReady = false;
  private opened: () => void = () => {};
  private failure: RingmqError | undefined;
  private asked: NodeJS.Immediate | undefined;
  private timer: NodeJS.Timeout | undefined;
  private reportAt = 0;
  private warned = '';
  private stopping = false;

  constructor(
    context: CoordinatorContext,
    mover: Pick<Mover, 'own' | 'move' | 'hasRoom' | 'room'>,
    checkpointMs: number = CHECKPOINT_MS,
  ) {
    this.context = context;
    const { connection, disk, journal, durable, clock, warn } = context;
    this.targets = new TargetTopics(connection);
    this.buckets = new TimerBuckets({
      disk,
      journal,
      durable,
      warn,
      checkpointMs,
      position: () => this.topic.position,
    });
    this.topic = new TimerTopic({
      connection,
      durable,
      warn,
      message: (deliverAt, offset, source, at, length) => this.take(deliverAt, offset, source, at, length),
      turn: () => this.wasRead(),
      from: () => this.buckets.start,
      lost: (anew) => (anew ? this.beginAnew() : this.buckets.forgetUnread()),
    });
    this.ready = new Promise<void>((resolve) => {
      this.opened = resolve;
    });
    this.fire = new TimerFire({
      buckets: this.buckets,
      mover,
      journal,
      clock,
      warn,
      ready: () => this.ready,
      again: () => this.ask(),
    });
    this.part = { name: TIMERS_PART, replay: (record) => this.replay(record), snapshot: () => this.snapshot() };
  }

  /** Messages that were neither delivered nor recalled. */
  get pending(): number {
    return this.buckets.pending;
  }

  start(): void {
    if (this.store === '') this.nameStore();
    this.buckets.open();
    // Reading what a predecessor left takes as long as it takes: nobody else must wait for it.
    void this.catchUp();
  }

  /**
   * Stores the records of a batch for later, also for topics that only the broker publishes to; resolves with a handle
   * each when they are as safe as a `durable` send. A time that has passed means at once.
   */
  async scheduleInternal(topic: string, payload: Uint8Array, deliverAt: readonly number[]): Promise<string[]> {
    if (this.failure) throw this.failure;
    if (this.stopping) throw new RingmqError('shutting-down');
    const now = this.context.clock();
    for (const time of deliverAt) checkDeliverAt(time, now);
    const { bytes, words } = aligned(payload);
    const code = validateBatch(bytes, words, 0, bytes.length);
    if (code !== 'ok') throw new RingmqError(code);
    const batch = new BatchView().span(bytes, words, 0, bytes.length);
    batch.next();
    if (batch.count !== deliverAt.length) {
      const text = `${batch.count} messages and ${deliverAt.length} times: give one for each`;
      throw new RingmqError('illegal-argument', text);
    }
    await this.topic.open();
    const most = Math.min(await this.targets.recordMax(topic), this.topic.messageMax - ENVELOPE_BYTES_MAX);
    const record = new RecordView();
    record.open(batch);
    while (record.next()) checkLength(record, topic, most);
    const times = deliverAt.map((time) => Math.max(time, now));
    const { store } = this;
    const offsets = await this.topic.store(envelopes(topic, record.open(batch), times));
    crashPoint('timer.stored');
    return offsets.map((offset, i) => encodeHandle(store, times[i], offset));
  }

  /** Makes the topic of what waits, if it is not there: for who stores in it by other ways. */
  open(): Promise<unknown> {
    return this.topic.open();
  }

  /** The topic has a message at this offset, as safe as it gets there. */
  stored(offset: number): void {
    this.topic.acknowledged(offset);
  }

  housekeep(nowMs: number): void {
    if (!this.isReady || this.stopping) return;
    this.guard(() => {
      this.buckets.prepare(nowMs);
      this.buckets.keep(nowMs);
      if (!this.buckets.isFull) this.topic.resume();
    });
    if (Math.abs(nowMs - this.reportAt) >= REPORT_MS) {
      this.reportAt = nowMs;
      this.fire.report();
    }
    this.ask();
  }

  async stop(): Promise<void> {
    this.stopping = true;
    clearTimeout(this.timer);
    clearImmediate(this.asked);
    await this.topic.close();
    if (this.isReady) this.guard(() => this.buckets.keepAll(this.context.clock()));
    this.buckets.close();
  }

  private async schedule(params: ParamsOf<'schedule'>, payload: Uint8Array): Promise<Answered<'schedule'>> {
    const { topic, deliverAt } = params;
    if (isReservedTopic(topic)) {
      throw new RingmqError('no-write-permission', `${topic} is the broker's own: only it publishes there`);
    }
    if (deliverAt.length > RECORDS_MAX) {
      throw new RingmqError('illegal-argument', `${deliverAt.length} messages in one call: at most ${RECORDS_MAX}`);
    }
    return { result: { handles: await this.scheduleInternal(topic, payload, deliverAt) } };
  }

  private async recall(text: string): Promise<Answered<'recall'>> {
    const { store, deliverAt, offset } = parseHandle(text);
    if (this.failure) throw this.failure;
    await this.ready;
    if (store !== this.store || !this.topic.has(offset)) {
      throw new RingmqError(
        'not-found',
        'no such scheduled message: the handle is of another broker, or of a time before',
      );
    }
    await this.topic.hasRead(offset);
    const bucket = this.buckets.find(deliverAt, offset);
    const ordinal = bucket ? numberIn(bucket, offset) : -1;
    if (bucket === undefined || ordinal < 0 || bucket.over.has(ordinal) || bucket.isFiring(ordinal)) {
      throw new RingmqError('too-late');
    }
    const { journal } = this.context;
    journal.append(TIMERS_PART, { over: bucket.id, pairs: [ordinal, ordinal + 1] } satisfies TimerRecord);
    bucket.over.add(ordinal);
    crashPoint('timer.recalled');
    journal.sync();
    return { result: {} };
  }

  private nameStore(): void {
    this.store = newStoreName();
    this.context.journal.append(TIMERS_PART, { store: this.store } satisfies TimerRecord);
  }

  /** The timer topic is another one: handles from before must not mean its messages. */
  private beginAnew(): void {
    this.buckets.forgetOffsets();
    this.nameStore();
  }

  private async catchUp(): Promise<void> {
    try {
      if (this.buckets.start !== undefined || (await this.topic.exists())) await this.topic.open();
    } catch (error) {
      if (this.stopping) return;
      this.warnOnce(`scheduled messages wait: ${error instanceof Error ? error.message : String(error)}`);
      setTimeout(() => void this.catchUp(), REPORT_MS).unref();
      return;
    }
    this.isReady = true;
    this.opened();
    this.buckets.prepare(this.context.clock());
    this.ask();
  }

  /** HOT */
  private take(deliverAt: number, offset: number, source: Uint8Array, at: number, length: number): void {
    this.buckets.add(deliverAt, offset, source, at, length);
  }

  private wasRead(): boolean {
    this.guard(() => this.buckets.save());
    this.ask();
    return this.isReady && this.buckets.isFull;
  }

  private replay(record: unknown): void {
    const { store } = record as TimerRecord;
    if (store !== undefined) this.store = store;
    this.buckets.replay(record as TimerRecord);
  }

  private *snapshot(): Iterable<TimerRecord> {
    if (this.store !== '') yield { store: this.store };
    yield* this.buckets.snapshot();
  }

  /** There may be something to do. */
  private ask(): void {
    if (this.asked !== undefined || !this.isReady || this.stopping || this.failure) return;
    this.asked = setImmediate(this.turn);
  }

  private readonly turn = (): void => {
    this.asked = undefined;
    this.guard(() => {
      const now = this.context.clock();
      this.buckets.prepare(now);
      this.buckets.write();
      const more = this.buckets.load();
      if (this.buckets.isPressed) this.buckets.keep(now);
      if (this.fire.run() || more || this.buckets.isPressed) this.ask();
      else this.sleep(now);
    });
  };

  /** Until the next one is due. The clock may be set meanwhile: then housekeeping comes first. */
  private sleep(now: number): void {
    clearTimeout(this.timer);
    const wait = this.buckets.nextDue() - now;
    if (wait > SLEEP_MAX_MS) return;
    this.timer = setTimeout(() => this.ask(), Math.max(wait, SOME_TIME_MS));
  }

  /** What the disk refuses for lack of room is tried again; after any other failure of it nothing more is done. */
  private guard(run: () => void): void {
    if (this.failure) return;
    try {
      run();
    } catch (error) {
      const { code } = error as { code?: string };
      const text = error instanceof Error ? error.message : String(error);
      if (code === 'ENOSPC' || code === 'disk-full' || code === 'EMFILE' || code === 'ENFILE') {
        this.warnOnce(`scheduled messages wait: ${text}`);
        return;
      }
      if (code === undefined || code === 'internal') throw error;
      this.failure = new RingmqError('store-failed', `timers stand still until the broker is started again: ${text}`);
      this.context.warn(this.failure.message);
    }
  }

  private warnOnce(text: string): void {
    if (text !== this.warned) this.context.warn(text);
    this.warned = text;
  }
}

/** Number of a message in its bucket; -1: it has none like that. Throws `disk-full` or `store-failed`. */
function numberIn(bucket: TimerBucket, offset: number): number {
  try {
    return bucket.find(offset);
  } catch (error) {
    const { code } = error as { readonly code?: unknown };
    if (error instanceof RingmqError || typeof code !== 'string') throw error;
    if (code === 'ENOSPC') throw new RingmqError('disk-full');
    throw new RingmqError('store-failed', `scheduled messages cannot be read: ${(error as Error).message}`);
  }
}

/** Each record with its time. The bytes given out are valid until the next one. */
function* envelopes(topic: string, record: RecordView, times: readonly number[]): Iterable<Uint8Array> {
  const name = utf8(topic);
  let bytes = new Uint8Array(4_096);
  for (let i = 0; record.next(); i++) {
    const size = record.words[(record.at + RECORD_SIZE) >> 2];
    const length = envelopeLength(name.length, size);
    if (length > bytes.length) bytes = new Uint8Array(length * 2);
    const words = new Int32Array(bytes.buffer);
    yield bytes.subarray(0, putEnvelope(bytes, words, name, times[i], record.bytes, record.at, size));
  }
}

function checkLength(record: RecordView, topic: string, most: number): void {
  const size = record.words[(record.at + RECORD_SIZE) >> 2];
  if (size <= most) return;
  throw new RingmqError('message-too-large', `a message of ${size} bytes, header included; ${topic} takes ${most}`);
}

function aligned(payload: Uint8Array): { bytes: Uint8Array; words: Int32Array } {
  const bytes = payload.byteOffset % 8 === 0 ? payload : payload.slice();
  return { bytes, words: new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2) };
}

function newStoreName(): string {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (high * 2 ** 20 + (low >>> 12)).toString(36);
}
