// Those who send what groups read: plainly, for later, and in transactions.
import type { Connection, Producer } from '../../src/client/connection.ts';
import type { Transaction, TransactionalProducer } from '../../src/client/messaging.ts';
import { nameOf } from '../../torture/message.ts';
import type { Level } from './books.ts';
import { idOf, type Sent } from './messages.ts';
import { Role } from './roles.ts';

const UNDER_WAY_MAX = 12;
const DELAY_MAX_MS = 3_000;
const DECIDE_MAX_MS = 400;
const SEND_TIMEOUT_MS = 20_000;

/** Sends a few now and then. */
export class PlainSender extends Role {
  private producers: { readonly producer: Producer; readonly level: Level }[] = [];

  protected started(connection: Connection): void {
    this.producers = this.context.books.levels.map((level) => {
      const options = { ack: level, timeoutMs: SEND_TIMEOUT_MS, attemptsMax: Number.POSITIVE_INFINITY } as const;
      return {
        producer: connection.producer(this.context.books.topic, { ...options, createTopic: false } as never),
        level,
      };
    });
  }

  turn(): void {
    const { world, books } = this.context;
    if (this.quiet || this.underWay >= UNDER_WAY_MAX || !world.chance(40)) return;
    for (let i = books.burstMax > 1 ? world.random(books.burstMax) : 0; i >= 0; i--) this.send();
  }

  private send(): void {
    const { world, books } = this.context;
    const { producer, level } = this.producers[world.random(this.producers.length)];
    const { name, body, about, extras } = this.newMessage();
    const sent = books.sending(name, 'plain', about);
    this.follow(
      producer.send(body, books.fill ? { ...extras, properties: { ...extras.properties, ...books.fill } } : extras),
      (receipt) => {
        books.stored(sent, level, receipt);
        this.context.trace?.saw('stored', receipt.id);
      },
      (code) => this.unexpected('a send', code),
    );
  }
}

/** Schedules messages, and takes some of them back. */
export class Scheduler extends Role {
  protected started(): void {}

  turn(): void {
    const { world, books } = this.context;
    const { connection } = this;
    if (this.quiet || !connection || this.underWay >= UNDER_WAY_MAX || !world.chance(25)) return;
    const { name, body, about, extras } = this.newMessage();
    const delayMs = world.random(DELAY_MAX_MS);
    const sent = books.sending(name, 'timer', about);
    sent.deliverAt = world.wallMs() + delayMs;
    const recallMs = world.chance(35) ? world.random(delayMs + 200) : -1;
    this.follow(
      connection.schedule(books.topic, body, { ...extras, delayMs }),
      ({ handle }) => {
        books.stored(sent, 'durable');
        if (recallMs >= 0) setTimeout(() => this.recall(connection, sent, handle), recallMs);
      },
      (code) => this.unexpected('schedule', code),
    );
  }

  private recall(connection: Connection, sent: Sent, handle: string): void {
    const { books } = this.context;
    if (this.connection !== connection) return;
    books.recalled(sent, 'asked');
    this.follow(
      connection.recall(handle),
      () => books.recalled(sent, 'yes'),
      (code) => {
        books.recalled(sent, code === 'too-late' ? undefined : 'unknown');
        if (code !== 'too-late') this.unexpected('recall', code);
      },
    );
  }

  override died(): void {
    super.died();
    const { sent } = this.context.books;
    // Nobody will be told.
    for (const one of sent.values()) if (one.recall === 'asked') one.recall = 'unknown';
  }
}

/** Begins transactions; some of them it ends, others it leaves to be asked about. */
export class Transactor extends Role {
  private producer0: TransactionalProducer | undefined;

  protected started(connection: Connection): void {
    const { books, world } = this.context;
    this.producer0 = connection.transactionalProducer(books.topic, {
      group: 'transactors',
      onError: this.heard,
      check: (half) => {
        const name = nameOf(half.body);
        const sent = name && books.sent.get(idOf(name));
        if (sent?.fate === undefined) {
          books.books.fault(`a check asks about ${name && idOf(name)}, which nobody has begun`);
          return 'unknown';
        }
        books.tick(`check of ${sent.id}: ${sent.fate}`);
        return world.chance(this.quiet ? 0 : 20) ? 'unknown' : sent.fate;
      },
    });
  }

  turn(): void {
    const { world, books } = this.context;
    const { producer0, connection } = this;
    if (this.quiet || !connection || !producer0 || this.underWay >= UNDER_WAY_MAX || !world.chance(25)) return;
    const { name, body, about, extras } = this.newMessage();
    const sent = books.sending(name, 'transaction', about);
    sent.fate = world.chance(60) ? 'commit' : 'rollback';
    const isSilent = world.chance(30);
    const decideMs = world.random(DECIDE_MAX_MS);
    this.follow(
      producer0.begin(body, extras),
      (transaction) => {
        books.stored(sent, 'durable');
        if (!isSilent) setTimeout(() => this.end(connection, sent, transaction), decideMs);
      },
      (code) => this.unexpected('begin', code),
    );
  }

  private end(connection: Connection, sent: Sent, transaction: Transaction): void {
    if (this.connection !== connection) return;
    const { books } = this.context;
    const ending: Promise<unknown> = sent.fate === 'commit' ? transaction.commit() : transaction.rollback();
    this.follow(
      ending,
      () => books.ended(sent, 'yes'),
      (code) => {
        books.ended(sent, 'unknown');
        this.unexpected(`to ${sent.fate} ${sent.id}`, code);
      },
    );
  }
}
