// The topic of half messages (RMQ_SYS_TRANS_HALF_TOPIC): stores them, reads again what a predecessor has stored, and
// keeps those at hand that are not resolved, for most are within moments.
import { RingmqError } from '../base/codes.ts';
import type { SendReceipt } from '../client/connection.ts';
import type { RingConsumer } from '../client/consumer.ts';
import type { InProcessConnection } from '../client/in-process.ts';
import type { Batch } from '../client/message.ts';
import type { RingProducer } from '../client/producer.ts';
import { type HalfMessage, HalfReader, halfBody } from '../transaction/half-message.ts';
import { HALF_TOPIC } from '../wire/services.ts';
import type { MessageReader } from './message-reader.ts';
import { readRange } from './read-range.ts';

/** A message takes at most a quarter. */
export const HALF_RING_BYTES = 16 * 1024 * 1024;
const BUFFER_BYTES = 64 * 1024 * 1024;
const TIMEOUT_MS = 30_000;
/** Longest that a half message is waited for that is stored and was not read yet. */
const REACH_MS = 5_000;
/** Who reads along and had to end is followed by another one. */
const AGAIN_MS = 1_000;
/**
 * Between two looks at what was stored: nobody waits for that, and to be woken for every batch would cost more than to
 * read it.
 */
const REST_MS = 5;
/** Bytes of half messages at hand; the rest is read when it is wanted. */
const AT_HAND_BYTES = 64 * 1024 * 1024;

const NOTHING = new Uint8Array(0);

interface Host {
  readonly connection: Pick<InProcessConnection, 'createTopic' | 'route' | 'nextOffset' | 'producer' | 'consumer'>;
  readonly durable: boolean;
  readonly warn: (text: string) => void;
}

/** Hears of what is read. */
export interface HalfListener {
  /** True if it is not resolved. */
  half(offset: number, half: HalfMessage, storedAt: number): boolean;
  /** Something else: an op message, perhaps. */
  other(body: Uint8Array): void;
  /** There is no half message (any more) at these offsets. */
  none(from: number, to: number): void;
}

export class HalfTopic {
  private readonly host: Host;
  private readonly reader: MessageReader;
  private readonly bodies = new HalfReader();
  private readonly atHand = new Map<number, HalfMessage>();
  private bytes = 0;
  private producer: RingProducer<Uint8Array> | undefined;
  private opening: Promise<number> | undefined;
  /** Reads along; undefined: nobody does. */
  private follower: RingConsumer<Uint8Array> | undefined;
  private listener: HalfListener | undefined;
  private followAt = 0;
  /** Everything before it was read. */
  private next = 0;
  private closed = false;
  private resting = false;
  private readonly readers: (() => void)[] = [];
  /** Everything before it is on the disk for sure. */
  private durableTo = 0;

  constructor(host: Host, reader: MessageReader) {
    this.host = host;
    this.reader = reader;
  }

  /** Makes the topic if need be; resolves with its id. */
  open(): Promise<number> {
    this.opening ??= this.openNow().catch((error: unknown) => {
      this.opening = undefined;
      throw error;
    });
    return this.opening;
  }

  private async openNow(): Promise<number> {
    const { connection, durable } = this.host;
    const options = { partitions: 1, durable, ringBytes: HALF_RING_BYTES, ifNotExists: true };
    const { topicId } = await connection.createTopic(HALF_TOPIC, options);
    const limits = { bufferBytes: BUFFER_BYTES, timeoutMs: TIMEOUT_MS };
    this.producer = connection.producer<Uint8Array>(HALF_TOPIC, { createTopic: false, ...limits });
    return topicId;
  }

  /** The topic's id and the offset of its next message; undefined if there is no such topic. */
  async find(): Promise<{ readonly topicId: number; readonly end: number } | undefined> {
    const { connection } = this.host;
    try {
      const { topicId, partitions } = await connection.route(HALF_TOPIC);
      const [queue] = partitions;
      return { topicId, end: Math.max(connection.nextOffset(queue), queue.nextOffset) };
    } catch (error) {
      if (error instanceof RingmqError && error.code === 'unknown-topic') return undefined;
      throw error;
    }
  }

  /** Stores half messages; resolves with their offsets when they are as safe as a `durable` send. */
  async store(halves: readonly HalfMessage[]): Promise<number[]> {
    await this.open();
    const size = halves.reduce((sum, { payload }) => sum + payload.length, 0);
    if (!this.host.durable && this.bytes + size > AT_HAND_BYTES) {
      // The ring forgets them, and there is no log.
      throw new RingmqError('buffer-full', `${this.bytes} bytes of half messages wait to be resolved: resolve them`);
    }
    const receipts = await this.send(halves.map(halfBody));
    const offsets = receipts.map(({ offset }) => offset);
    for (let i = 0; i < halves.length; i++) this.keep(offsets[i], halves[i]);
    return offsets;
  }

  /**
   * Waits until the half message is on the disk. Who reads along has it before: were its producers asked about it then,
   * the loss of power could take back what they have resolved, and give its offset to another one.
   */
  async whenDurable(offset: number): Promise<void> {
    if (!this.host.durable || offset < this.durableTo) return;
    await this.open();
    // Acknowledged after everything before it; nobody takes it for a half message.
    await this.send([NOTHING]);
  }

  private async send(bodies: readonly Uint8Array[]): Promise<readonly SendReceipt[]> {
    try {
      const receipts = await (this.producer as RingProducer<Uint8Array>).sendBatch(bodies);
      for (const { offset } of receipts) this.durableTo = Math.max(this.durableTo, offset + 1);
      return receipts;
    } catch (error) {
      // The next one makes it anew; what was open in the old one is gone.
      if (error instanceof RingmqError && error.code === 'unknown-topic') this.opening = undefined;
      throw error;
    }
  }

  /** The half message at an offset. Rejects with `not-found` if it is not kept any more. */
  async get(offset: number): Promise<HalfMessage> {
    const half = this.atHand.get(offset);
    if (half) return half;
    const route = await this.host.connection.route(HALF_TOPIC);
    const { body } = await this.reader.one(HALF_TOPIC, 0, route.partitions[0].epoch, offset);
    const read = this.bodies.read(body);
    if (read) return read;
    throw new RingmqError('log-damaged', `${HALF_TOPIC}/0@${offset} is not what was written`);
  }

  /** The messages of several, as they were sent. Rejects as get() does. */
  async payloads(offsets: readonly number[]): Promise<readonly Uint8Array[]> {
    const payloads: Uint8Array[] = [];
    for (const offset of offsets) {
      // Most are at hand: a promise each would cost more than all else here.
      const half = this.atHand.get(offset) ?? (await this.get(offset));
      payloads.push(half.payload);
    }
    return payloads;
  }

  /** It is resolved. */
  forget(offset: number): void {
    const half = this.atHand.get(offset);
    if (half === undefined) return;
    this.bytes -= half.payload.length;
    this.atHand.delete(offset);
  }

  /** The topic is another one: its offsets mean other messages. */
  forgetAll(): void {
    this.atHand.clear();
    this.bytes = 0;
    this.next = 0;
    this.durableTo = 0;
    const { follower } = this;
    this.follower = undefined;
    this.listener = undefined;
    void follower?.close();
  }

  /** Reads the topic from an offset on up to `end`; then follow() may go on from there. */
  async read(from: number, end: number, listener: HalfListener): Promise<void> {
    const { connection, warn } = this.host;
    this.next = end;
    await readRange(connection, HALF_TOPIC, 0, from, end, {
      batch: (batch) => {
        while (batch.next()) this.take(batch, listener);
      },
      none: (first, to, reason) => {
        listener.none(first, to);
        warn(`${HALF_TOPIC}: half messages ${first} to ${to - 1} are gone (${reason})`);
      },
      error: (error) => warn(`${HALF_TOPIC}: ${error.message}`),
    });
  }

  /** Reads along from now on, if nobody does: producers of this process store half messages by themselves. */
  follow(listener: HalfListener): void {
    const { connection, durable, warn } = this.host;
    if (this.follower || !durable || this.closed) return;
    this.listener = listener;
    const follower = connection.consumer<Uint8Array>(HALF_TOPIC, {
      partitions: [0],
      from: { offset: this.next },
      onBatch: (batch) => {
        const { endOffset } = batch;
        while (batch.next()) this.take(batch, listener);
        this.passed(endOffset);
        this.rest(follower);
      },
      onGap: (gap) => {
        if (gap.reason === 'ahead') return;
        listener.none(gap.from, gap.to);
        warn(`${HALF_TOPIC}: half messages ${gap.from} to ${gap.to - 1} are gone (${gap.reason})`);
        this.passed(gap.to);
      },
      onError: (error) => warn(`${HALF_TOPIC}: ${error.message}`),
    });
    this.follower = follower;
    follower.onOver = () => {
      if (this.follower === follower) {
        this.follower = undefined;
        this.followAt = performance.now() + AGAIN_MS;
      }
      this.passed(this.next);
    };
  }

  /** What is there now is read in this turn, and the rest a little later. */
  private rest(follower: RingConsumer<Uint8Array>): void {
    if (this.resting) return;
    this.resting = true;
    setImmediate(() => {
      if (!this.isAwaited) follower.pause();
      setTimeout(() => {
        this.resting = false;
        follower.resume();
      }, REST_MS);
    });
  }

  /** Goes on reading along, should whoever did have had to end. */
  housekeep(): void {
    if (this.listener && this.follower === undefined && performance.now() >= this.followAt) this.follow(this.listener);
  }

  private get isAwaited(): boolean {
    return this.readers.length > 0;
  }

  private passed(next: number): void {
    this.next = next;
    for (const wake of this.readers.splice(0)) wake();
  }

  /** True when it has waited for a half message that is stored and was not read: its listener has heard of it now. */
  async reached(offset: number): Promise<boolean> {
    if (offset < this.next || !this.follower) return false;
    const { connection } = this.host;
    const { partitions } = await connection.route(HALF_TOPIC);
    if (connection.nextOffset(partitions[0]) <= offset) return false;
    return this.isRead(offset + 1);
  }

  /** Waits until everything was read that the topic has now. Rejects if that takes long: ask again. */
  async caughtUp(): Promise<void> {
    const { connection } = this.host;
    const { partitions } = await connection.route(HALF_TOPIC);
    if (await this.isRead(connection.nextOffset(partitions[0]))) return;
    throw new RingmqError('coordinator-unavailable', `${HALF_TOPIC} is read slowly: ask again`);
  }

  private async isRead(end: number): Promise<boolean> {
    const late = performance.now() + REACH_MS;
    while (this.follower && this.next < end && performance.now() < late) {
      this.follower.resume();
      await new Promise<void>((resolve) => {
        this.readers.push(resolve);
        setTimeout(resolve, REACH_MS);
      });
    }
    return this.next >= end;
  }

  private take(batch: Batch, listener: HalfListener): void {
    const { offset } = batch;
    const half = this.bodies.read(batch.body);
    if (half === undefined) {
      listener.other(batch.body);
      listener.none(offset, offset + 1);
      return;
    }
    if (listener.half(offset, half, batch.storedAt)) this.keep(offset, half);
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.follower?.close();
    await this.producer?.close();
  }

  private keep(offset: number, half: HalfMessage): void {
    if (this.atHand.has(offset)) return;
    this.atHand.set(offset, half);
    this.bytes += half.payload.length;
    if (!this.host.durable) return;
    for (const oldest of this.atHand.keys()) {
      if (this.bytes <= AT_HAND_BYTES) break;
      this.forget(oldest);
    }
  }
}
