// Other ways with plain messages: in batches, by pulls, with pauses. What they are given goes into the books of all
// plain consumers, which want every message, in order, up to the end.
import type { Connection, Consumer, Producer } from '../../src/client/connection.ts';
import { nameOf } from '../../torture/message.ts';
import type { Books, ConsumerBook, Level } from './books.ts';
import { Role, type RoleContext } from './roles.ts';

const LEVELS: readonly Level[] = ['durable', 'written', 'accepted'];
const SEND_TIMEOUT_MS = 20_000;
const BATCHES_MAX = 2;
const BATCH_MAX = 12;
const PULL_MAX = 16;
const QUIET_PULL_MAX = 100;
const PULL_WAIT_MAX_MS = 300;
const SLOWLY_MS = 20;
/** A writer was faster than a pull. */
export const BUSY = 'log-busy';

export interface BulkContext extends RoleContext {
  readonly topic: string;
  readonly partitions: number;
}

abstract class BulkRole extends Role {
  protected readonly topic: string;
  protected readonly partitions: number;

  constructor(context: BulkContext) {
    super(context);
    this.topic = context.topic;
    this.partitions = context.partitions;
  }

  protected get plain(): Books {
    return this.context.books.books;
  }
}

/** Sends many at once: their receipts come in the order of what was sent. */
export class Batcher extends BulkRole {
  private producer0: Producer | undefined;
  private level: Level = 'durable';

  /** One producer alone: it keeps the order of what it sends. */
  protected started(connection: Connection): void {
    const ack = LEVELS[this.context.world.random(LEVELS.length)];
    const options = { ack, timeoutMs: SEND_TIMEOUT_MS, attemptsMax: Number.POSITIVE_INFINITY, createTopic: false };
    this.producer0 = connection.producer(this.topic, options as never);
    this.level = ack;
  }

  turn(): void {
    const { world } = this.context;
    const { producer0, level } = this;
    if (this.quiet || !producer0 || this.underWay >= BATCHES_MAX || !world.chance(20)) return;
    const { extras, ...first } = this.newMessage();
    const many = [first, ...Array.from({ length: world.random(BATCH_MAX) }, () => this.newMessage())];
    for (const { name } of many) this.plain.sending(name);
    const bodies = many.map(({ body }) => body);
    this.follow(
      producer0.sendBatch(bodies, extras),
      (receipts) => {
        if (receipts.length !== many.length) {
          this.plain.fault(`batch: ${receipts.length} receipts for ${many.length} messages`);
        }
        receipts.forEach(({ topic, partition, offset }, i) => {
          this.plain.acknowledged(many[i].name, level, `${topic}/${partition}`, offset);
        });
      },
      (code) => this.unexpected('a batch', code),
    );
  }

  override died(): void {
    super.died();
    this.producer0 = undefined;
  }
}

/** What a pull answers, whoever asks. */
export interface Pulled {
  readonly messages: readonly { readonly offset: number; readonly body: Uint8Array }[];
  readonly epoch: number;
  readonly nextOffset: number;
  readonly gap: boolean;
}

/** Where pulls of the partitions of a topic are, and what they gave. */
export class PullPlaces {
  private readonly book: ConsumerBook;
  private readonly books: Books;
  private readonly topic: string;
  private readonly at = new Map<number, { readonly epoch: number; readonly offset: number; readonly starts: number }>();

  constructor(name: string, topic: string, books: Books) {
    this.topic = topic;
    this.books = books;
    this.book = books.consumer(name, topic);
  }

  /** Where to pull next; undefined: at the beginning. */
  of(partition: number): { readonly epoch: number; readonly offset: number } | undefined {
    return this.at.get(partition);
  }

  pulled(partition: number, { messages, epoch, nextOffset, gap }: Pulled): void {
    const place = `${this.topic}/${partition}`;
    const before = this.at.get(partition);
    const { starts } = this.books;
    const first = messages.at(0)?.offset ?? nextOffset;
    // The first one begins where the log does.
    if (before !== undefined && (gap || first !== before.offset)) {
      if (!gap) this.books.fault(`${this.book.name}: no gap between ${place}:${before.offset} and ${first}`);
      this.book.jumps(place, first, before.starts < starts);
    }
    for (const { offset, body } of messages) this.book.delivered(place, offset, nameOf(body));
    if (first + messages.length !== nextOffset) {
      this.books.fault(`${this.book.name}: ${messages.length} messages from ${place}:${first} lead to ${nextOffset}`);
    }
    this.at.set(partition, { epoch, offset: nextOffset, starts });
  }
}

/** Reads by pulls. */
export class Puller extends BulkRole {
  private readonly places: PullPlaces;

  constructor(context: BulkContext) {
    super(context);
    this.places = new PullPlaces(context.name, context.topic, this.plain);
  }

  protected started(): void {}

  turn(): void {
    const { world } = this.context;
    const { connection, topic } = this;
    if (!connection || this.lookUps > 0 || !(this.quiet || world.chance(30))) return;
    const partition = world.random(this.partitions);
    const at = this.places.of(partition);
    const from = at ? { from: { offset: at.offset }, epoch: at.epoch } : { from: 'earliest' as const };
    const how = this.quiet
      ? { max: QUIET_PULL_MAX, waitMs: 0 }
      : { max: 1 + world.random(PULL_MAX), waitMs: world.random(PULL_WAIT_MAX_MS) };
    this.follow(
      connection.pull({ topic, partition, ...from, ...how }),
      (result) => this.places.pulled(partition, result),
      (code) => {
        if (code !== BUSY) this.unexpected('a pull', code);
      },
      false,
    );
  }
}

/** Reads with pauses: nothing comes in one, and nothing is missing after it. */
export class Pauser extends BulkRole {
  private readonly book: ConsumerBook;
  private consumer: Consumer | undefined;
  private paused = false;

  constructor(context: BulkContext) {
    super(context);
    this.book = this.plain.consumer(context.name, context.topic);
  }

  protected started(connection: Connection): void {
    const { world } = this.context;
    // It keeps no positions: a new life reads all of it again.
    this.book.views.clear();
    this.paused = false;
    this.consumer = connection.consumer(this.topic, {
      from: 'earliest',
      onMessage: ({ partition, offset, body }) => {
        if (this.paused) this.plain.fault(`paused: ${this.book.name} was given ${this.topic}/${partition}:${offset}`);
        this.book.delivered(`${this.topic}/${partition}`, offset, nameOf(body));
        return world.chance(5) ? new Promise((resolve) => setTimeout(resolve, SLOWLY_MS)) : undefined;
      },
      onGap: (gap) => this.book.gap(gap),
      onError: this.heard,
    });
  }

  turn(): void {
    const { consumer, paused } = this;
    if (!consumer || (!this.quiet && this.context.world.random(20) > 0) || (this.quiet && !paused)) return;
    this.paused = !paused;
    if (this.paused) consumer.pause();
    else consumer.resume();
  }

  override died(): void {
    super.died();
    this.consumer = undefined;
  }
}
