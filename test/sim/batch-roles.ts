// Who takes whole batches: one who just reads, and members of a group. A batch is read while its handler runs, and
// never after that.
import type { Connection, Consumer } from '../../src/client/connection.ts';
import type { Batch } from '../../src/client/message.ts';
import { DeadLetter, RetryLater } from '../../src/client/messaging.ts';
import { isRetryTopic, PROPERTY } from '../../src/wire/services.ts';
import { nameOf } from '../../torture/message.ts';
import type { ConsumerBook } from './books.ts';
import type { BulkContext } from './bulk-roles.ts';
import type { Delivery, GroupBook } from './group-books.ts';
import { BACK_MAX_MS, Member } from './reader-roles.ts';
import { HandlerFailed, Role, type RoleContext } from './roles.ts';

/** Reads batches of a plain topic, with pauses. */
export class BatchReader extends Role {
  private readonly topic: string;
  private readonly book: ConsumerBook;
  private consumer: Consumer | undefined;
  private paused = false;

  constructor(context: BulkContext) {
    super(context);
    this.topic = context.topic;
    this.book = context.books.books.consumer(context.name, context.topic);
  }

  protected started(connection: Connection): void {
    // It keeps no positions: a new life reads all of it again.
    this.book.views.clear();
    this.paused = false;
    this.consumer = connection.consumer(this.topic, {
      from: 'earliest',
      onBatch: (batch) => this.take(batch),
      onGap: (gap) => this.book.gap(gap),
      onError: this.heard,
    });
  }

  turn(): void {
    const { consumer, paused } = this;
    if (!consumer || (this.quiet ? !paused : this.context.world.random(30) > 0)) return;
    this.paused = !paused;
    if (this.paused) consumer.pause();
    else consumer.resume();
  }

  override died(): void {
    super.died();
    this.consumer = undefined;
  }

  /** It throws now and then, at its end: that is told, and it goes on behind the batch. */
  private take(batch: Batch): void {
    const { world, books } = this.context;
    const { topic, partition, endOffset } = batch;
    const place = `${topic}/${partition}`;
    if (this.paused) books.books.fault(`paused: ${this.book.name} was given a batch of ${place}`);
    if (topic !== this.topic) books.books.fault(`${this.book.name} was given a batch of ${place}`);
    let count = 0;
    while (batch.next()) {
      this.book.delivered(place, batch.offset, nameOf(batch.copyBody()));
      count++;
    }
    if (count !== batch.count) books.books.fault(`${this.book.name}: ${count} records in a batch of ${batch.count}`);
    if (this.book.next(place) !== endOffset) {
      books.books.fault(`${this.book.name}: a batch of ${place} ends at ${endOffset}, not ${this.book.next(place)}`);
    }
    if (!this.quiet && world.chance(5)) throw new HandlerFailed('told to');
  }
}

/** A member of a group that takes batches: whole ones are acknowledged, and fail. */
export class BatchMember extends Member {
  private consumer: Consumer | undefined;
  private member = '';
  private asked = 0;
  private readonly fails: boolean;

  /** `fails`: its handler throws now and then; then nothing is promised of the order. */
  constructor(context: RoleContext, group: GroupBook, fails: boolean) {
    super(context, group);
    this.fails = fails;
  }

  protected join(connection: Connection, member: string): void {
    const { world, books } = this.context;
    this.member = `${member}.${books.now}`;
    this.consumer = connection.consumer(books.topic, {
      group: this.group.name,
      member: this.member,
      ...this.terms,
      from: 'earliest',
      commitMs: world.between(20, 600),
      onBatch: (batch) => this.take(batch, member),
      onError: this.heard,
    });
  }

  turn(): void {
    const { world } = this.context;
    const { consumer, connection } = this;
    if (!consumer || !connection || !this.leavesNow) return;
    this.consumer = undefined;
    world.trace.add(`${this.context.name} leaves ${this.group.name}`);
    const backMs = world.random(BACK_MAX_MS);
    this.follow(
      consumer.close(),
      () => void setTimeout(() => this.joinIfOpen(connection, this.context.name), backMs),
      (code) => this.unexpected('close', code),
    );
  }

  override died(): void {
    super.died();
    this.consumer = undefined;
  }

  protected override answered(member: string | undefined, asked: number): void {
    if (member === this.member) this.asked = Math.max(this.asked, asked);
  }

  private take(batch: Batch, member: string): void {
    const { world } = this.context;
    const keys: string[] = [];
    const fails = this.fails && !this.quiet && world.chance(15);
    // Not all of them read all of it.
    const isShort = fails && world.chance(30);
    while (batch.next()) {
      const key = this.group.handed(member, deliveryOf(batch), this.asked);
      keys.push(key);
      if (!fails) this.group.succeeded(member, key);
      if (isShort) break;
    }
    if (fails) throw this.failure(keys, isShort);
  }

  private failure(keys: readonly string[], isShort: boolean): Error {
    const { world } = this.context;
    if (!isShort && world.chance(10)) {
      for (const key of keys) this.group.gaveUp(key);
      return new DeadLetter('told to');
    }
    return world.chance(30) ? new RetryLater(world.random(200)) : new HandlerFailed('told to');
  }
}

/** A retried message says where it was first. */
function deliveryOf(batch: Batch): Delivery {
  const { topic, partition, offset, key, tag, flags, properties = {} } = batch;
  const n = properties.n === undefined ? undefined : Number(properties.n);
  const about = { key, tag, n, priority: flags >>> 4 };
  const body = { name: nameOf(batch.copyBody()), about };
  if (!isRetryTopic(topic)) return { place: `${topic}/${partition}:${offset}`, attempts: 1, ...body };
  const { [PROPERTY.realTopic]: first, [PROPERTY.realQueue]: queue, [PROPERTY.realOffset]: at } = properties;
  const place = `${first}/${queue}:${at}`;
  return { place, attempts: 1 + Number(properties[PROPERTY.reconsumeTimes] ?? 0), ...body };
}
