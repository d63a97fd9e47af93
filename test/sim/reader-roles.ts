// Members of groups, in both kinds: handlers that take their time and fail now and then, and simple consumers that ack,
// nack and forget. They come and go.
import type { Connection, Consumer } from '../../src/client/connection.ts';
import type { Message } from '../../src/client/message.ts';
import { DeadLetter, RetryLater, type SimpleConsumer } from '../../src/client/messaging.ts';
import type { Call } from '../../src/wire/services.ts';
import { nameOf } from '../../torture/message.ts';
import { concerns, noteAnswer } from './group-answers.ts';
import type { Delivery, GroupBook } from './group-books.ts';
import type { LeaseAsk } from './lease-book.ts';
import type { MessagingBooks } from './messaging-books.ts';
import { HandlerFailed, Role, type RoleContext } from './roles.ts';

export const BACK_MAX_MS = 1_000;
export const AGAIN_MS = 200;
const SEEK_BACK_MAX = 8;
const SEEK_FORTH_MAX = 4;
const RECEIVE_MAX = 12;
/** An answer has no room for more large ones in the lanes of the simulator. */
const LARGE_MAX = 4;
/** Turns between a pause and its end, about. */
const PAUSE_TURNS = 40;
export const RETRY_DELAYS_MS = [20, 100, 300] as const;

/** What both kinds of members do. */
export abstract class Member extends Role {
  protected readonly group: GroupBook;

  constructor(context: RoleContext, group: GroupBook) {
    super(context);
    this.group = group;
  }

  protected started(connection: Connection, member: string): void {
    this.listen(connection);
    this.set(connection, member);
  }

  /** Its connection stands, and the group is as it shall be. */
  protected abstract join(connection: Connection, member: string): void;

  protected joinIfOpen(connection: Connection, member: string): void {
    if (this.connection !== connection) return;
    if (this.group.away) {
      // Its settings may be gone by then.
      setTimeout(() => this.setIfOpen(connection, member), AGAIN_MS);
      return;
    }
    try {
      this.join(connection, member);
    } catch (error) {
      // Its application is about to end.
      this.heard(error as Error);
    }
  }

  /** The group's settings may be lost with the power. */
  private set(connection: Connection, member: string): void {
    const { attemptsMax } = this.group.rules;
    this.follow(
      connection.setGroup(this.group.name, { retryDelaysMs: RETRY_DELAYS_MS, attemptsMax }),
      () => this.joinIfOpen(connection, member),
      (code) => {
        this.unexpected('setGroup', code);
        setTimeout(() => this.setIfOpen(connection, member), AGAIN_MS);
      },
    );
  }

  private setIfOpen(connection: Connection, member: string): void {
    if (this.connection === connection) this.set(connection, member);
  }

  /** What its members agree on. */
  protected get terms() {
    const { order, asked = order, filter, priority } = this.group.rules;
    return { order: asked, ...(filter && { filter: filter.filter }), ...(priority && { priority }) };
  }

  /** Now and then a member leaves; if it is wanted away, soon. */
  protected get leavesNow(): boolean {
    const { world } = this.context;
    if (this.group.away) return world.random(5) === 0;
    return !this.quiet && world.random(400) === 0;
  }

  /** Hears what the coordinator answers, as it comes. */
  private listen(connection: Connection): void {
    const open = connection as Connection & { call: Call };
    const call = open.call.bind(connection);
    open.call = async (method, params, options) => {
      const asked = this.context.books.now;
      const answer = await call(method, params, options);
      if (this.connection !== connection || !concerns(params, this.group)) return answer;
      this.answered((params as { readonly member?: string }).member, asked);
      noteAnswer(this.group, method, params, answer.result, asked);
      return answer;
    };
  }

  /** The member was one at least until it asked this. */
  protected answered(_member: string | undefined, _asked: number): void {}
}

/** A push consumer. */
export class PushMember extends Member {
  private consumer: Consumer | undefined;
  private seeking = false;
  private paused = false;
  private member = '';
  /** When it asked what it was answered last: others may have its queues since then, and it does not know. */
  private asked = 0;

  protected join(connection: Connection, member: string): void {
    const { world, books } = this.context;
    this.member = `${member}.${books.now}`;
    this.paused = false;
    this.consumer = connection.consumer(books.topic, {
      group: this.group.name,
      member: this.member,
      ...this.terms,
      from: 'earliest',
      concurrency: this.group.rules.order === 'partition' ? 1 : world.between(1, 8),
      commitMs: world.between(20, 600),
      handlerTimeoutMs: world.chance(30) ? 500 : 20_000,
      onMessage: (message) => this.handle(member, message),
      ...(this.group.rules.hearsGaps && { onGap: (gap) => this.group.told(gap) }),
      onError: (error) => {
        if (!this.group.rules.hearsGaps || !isLoss(error)) this.heard(error);
      },
    });
  }

  turn(): void {
    const { world } = this.context;
    const { consumer, connection } = this;
    if (!consumer || !connection) return;
    if (this.leavesNow) this.leave(connection, consumer);
    else if (this.group.rules.pauses && (this.quiet ? this.paused : this.context.world.random(PAUSE_TURNS) === 0)) {
      this.pauseOrResume(consumer);
    } else if (this.context.varied && !this.quiet && world.random(100) === 0) this.seek(consumer);
  }

  private leave(connection: Connection, consumer: Consumer): void {
    const { world } = this.context;
    this.consumer = undefined;
    world.trace.add(`${this.context.name} leaves ${this.group.name}`);
    const backMs = world.random(BACK_MAX_MS);
    this.follow(
      consumer.close(),
      () => void setTimeout(() => this.joinIfOpen(connection, this.context.name), backMs),
      (code) => this.unexpected('close', code),
    );
  }

  /** Nothing is handed to it from now on; or all of it, what others left among it. */
  private pauseOrResume(consumer: Consumer): void {
    this.paused = !this.paused;
    this.context.world.trace.add(`${this.member} ${this.paused ? 'pauses' : 'resumes'}`);
    if (this.paused) consumer.pause();
    else consumer.resume();
  }

  /** Forth or back in one of its partitions, a little. */
  private seek(consumer: Consumer): void {
    const { world } = this.context;
    const positions = consumer.positions();
    if (positions.length === 0 || this.seeking) return;
    const { partition, offset } = positions[world.random(positions.length)];
    const to = Math.max(0, offset + world.between(-SEEK_BACK_MAX, SEEK_FORTH_MAX));
    const move = this.group.moving(`${consumer.topic}/${partition}`, to);
    this.seeking = true;
    this.follow(
      consumer.seek(partition, to),
      () => {
        this.seeking = false;
      },
      (code) => {
        this.seeking = false;
        move.refused = code === 'unknown-partition' || code === 'offset-out-of-range';
        if (!move.refused) this.unexpected('seek', code);
      },
    );
  }

  override died(): void {
    super.died();
    this.consumer = undefined;
    this.seeking = false;
  }

  protected override answered(member: string | undefined, asked: number): void {
    if (member === this.member) this.asked = Math.max(this.asked, asked);
  }

  private handle(member: string, message: Message): Promise<void> | undefined {
    const { world } = this.context;
    const { connection } = this;
    const key = this.group.handed(member, deliveryOf(message), this.asked);
    if (this.paused) this.context.books.books.fault(`paused: ${this.member} of ${this.group.name} was handed ${key}`);
    const done = (): void => {
      this.context.trace?.saw('acknowledged', message.id, this.group.name);
      this.group.succeeded(member, key);
    };
    this.context.trace?.handed(message.id, this.group.name);
    const error = !this.quiet && world.chance(12) ? this.failure() : undefined;
    if (error instanceof DeadLetter) this.group.gaveUp(key);
    if (world.chance(40)) {
      if (error) throw error;
      done();
      return undefined;
    }
    const tookMs = world.chance(10) ? world.random(700) : world.random(40);
    return new Promise((resolve, reject) => {
      setTimeout(() => {
        if (this.connection !== connection) return;
        if (error) reject(error);
        else {
          done();
          resolve();
        }
      }, tookMs);
    });
  }

  private failure(): Error {
    const { world } = this.context;
    if (world.chance(10)) return new DeadLetter('told to');
    return world.chance(30) ? new RetryLater(world.random(200)) : new HandlerFailed('told to');
  }
}

/** A simple consumer. */
export class SimpleReader extends Member {
  private consumer: SimpleConsumer | undefined;

  protected join(connection: Connection, member: string): void {
    const { world, books } = this.context;
    const invisibleMs = world.between(300, 3_000);
    const consumer = connection.simpleConsumer(books.topic, {
      group: this.group.name,
      member: `${member}.${books.now}`,
      ...this.terms,
      from: 'earliest',
      invisibleMs,
      onError: () => {},
    });
    this.consumer = consumer;
    void this.receive(consumer, member, invisibleMs);
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

  private async receive(consumer: SimpleConsumer, member: string, invisibleMs: number): Promise<void> {
    const { world } = this.context;
    const { leases } = this.group;
    const mostAtOnce = this.context.books.fill ? LARGE_MAX : RECEIVE_MAX;
    while (this.consumer === consumer) {
      // The answer may be late: leases in it may have run out, and others may have the messages then.
      const asked = this.context.books.now;
      const lease = leases.asks(invisibleMs);
      try {
        const messages = await consumer.receive({ max: world.between(1, mostAtOnce), waitMs: world.random(1_500) });
        if (this.group.rules.priority) checkPriorities(this.context.books, messages);
        for (const message of messages) this.handle(consumer, member, message, asked, lease);
        await new Promise((resolve) => setTimeout(resolve, world.random(60)));
      } catch (error) {
        if (this.consumer !== consumer) return;
        this.heard(error as Error);
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
  }

  private handle(consumer: SimpleConsumer, member: string, message: Message, asked: number, lease: LeaseAsk): void {
    const { world, varied, books } = this.context;
    const { connection, group } = this;
    if (connection === undefined) return;
    const key = group.handed(member, deliveryOf(message), asked);
    this.context.trace?.handed(message.id, group.name);
    this.context.trace?.saw('acknowledged', message.id, group.name);
    group.leases.has(member, key, lease, books.now, message.attempts);
    if (varied && !this.quiet && world.chance(15) && this.prolong(consumer, member, message, key)) return;
    const dice = this.quiet ? 0 : world.random(100);
    // Forgotten.
    if (dice >= 92) return;
    const tookMs = world.chance(10) ? world.random(1_500) : world.random(50);
    setTimeout(() => {
      if (this.connection !== connection) return;
      group.leases.ends(key);
      const settling = dice < 80 ? consumer.ack(message) : consumer.nack(message, dice < 86 ? undefined : tookMs);
      if (dice < 80) group.succeeded(member, key);
      this.follow(
        settling,
        () => {},
        (code) => this.unexpected('settle', code),
      );
    }, tookMs);
  }

  /** Keeps a message for longer, or gives it back at once (then true). */
  private prolong(consumer: SimpleConsumer, member: string, message: Message, key: string): boolean {
    const { world, books } = this.context;
    const { leases } = this.group;
    const forMs = world.chance(25) ? 0 : world.between(200, 3_000);
    const lease = leases.asks(forMs);
    const turn = leases.ends(key);
    this.follow(
      consumer.changeInvisible(message, forMs),
      () => leases.has(member, key, lease, books.now, message.attempts, turn),
      (code) => this.unexpected('changeInvisible', code),
    );
    return forMs === 0;
  }
}

/** Of what waited, the most urgent come first. */
export function checkPriorities({ books }: MessagingBooks, messages: readonly Prioritized[]): void {
  messages.forEach(({ priority = 0, topic, partition, offset }, i) => {
    const before = messages[i - 1]?.priority ?? 0;
    if (i === 0 || before >= priority) return;
    books.fault(`priority: ${topic}/${partition}:${offset} (${priority}) after one of ${before}`);
  });
}

type Prioritized = Pick<Message, 'topic' | 'partition' | 'offset'> & { readonly priority?: number };

/** What failed and is not kept any more, cannot be sent back. */
function isLoss({ message }: Error): boolean {
  return message.includes('is lost to the group');
}

function deliveryOf(message: Message): Delivery {
  const { topic, partition, offset, attempts, body, key, tag, priority, properties } = message;
  const n = properties?.n === undefined ? undefined : Number(properties.n);
  return { place: `${topic}/${partition}:${offset}`, name: nameOf(body), attempts, about: { key, tag, n, priority } };
}
