// What an application is given of groups, leases, delays, transactions, requests and traces: public types. The calls
// behind them are in wire/services.ts.
import type { MessageProperties } from '../record/properties.ts';
import type {
  GroupDescription,
  GroupFrom,
  GroupOrder,
  GroupSettings,
  GroupSummary,
  QueueDescription,
  ResetTo,
} from '../wire/services.ts';
import type { Codec } from './codec.ts';
import type { MessageExtras, SendReceipt } from './connection.ts';
import type { Message } from './message.ts';

/**
 * Which messages a subscription wants. A string is a tag expression, `A || B` or `*`; `{ sql }` is RocketMQ's SQL92
 * over properties, `TAGS` and `KEYS`: `price > 10 AND region IN ('eu', 'us')`. Refused with `illegal-filter`, which
 * says where.
 *
 * Operators: `= <> < <= > >=`, `[NOT] BETWEEN a AND b`, `[NOT] IN (..)`, `IS [NOT] NULL`, `[NOT] CONTAINS`,
 * `[NOT] STARTSWITH`, `[NOT] ENDSWITH`, `NOT`, `AND`, `OR`, parentheses; numbers, 'texts' with '' for a quote, TRUE,
 * FALSE, NULL; names with special characters in back quotes. Properties are texts. Compared with a number they count
 * as the number that they are, else as unknown; only numbers have an order. A property that is missing is NULL, and
 * what compares it is unknown; a message is delivered if the whole condition is true. Numbers are IEEE doubles: compare
 * integers beyond 2^53 as texts. At most 4,096 characters, parentheses 32 deep and 1,024 operations, of which CONTAINS
 * and comparing two properties count as 16.
 */
export type Filter = string | { readonly sql: string };

/** How members of a group share a topic, in ConsumerOptions beside `group`. */
export interface GroupOptions {
  /**
   * `clustering` (default): each message goes to one member of the group, is acknowledged when its handler is done, and
   * comes again when it fails. `broadcasting`: every member gets every message; the broker keeps the group's positions.
   */
  readonly mode?: 'clustering' | 'broadcasting';
  /**
   * What may not overtake what. `key` (default): messages with one key are handled one after the other, also when one
   * fails: it blocks its key and nothing else. `partition`: all messages of a partition. `none`: nothing.
   */
  readonly order?: GroupOrder;
  /** Handlers at work at once in this consumer. Default 20 as in RocketMQ; 1 with order `partition`. */
  readonly concurrency?: number;
  /** Milliseconds after which a handler counts as failed. Default 15 minutes as in RocketMQ. */
  readonly handlerTimeoutMs?: number;
  /** Among what waits here, hand on the highest priority first. Default false. Not with order `partition`. */
  readonly priority?: boolean;
  /** Names this member; unique in its group. Default: at random. */
  readonly member?: string;
}

/** Throw it from a handler: the message comes again after this many milliseconds (and counts as failed once more). */
export class RetryLater extends Error {
  override readonly name = 'RetryLater';
  readonly delayMs: number;

  constructor(delayMs: number, reason = 'the handler asked for a retry') {
    super(reason);
    this.delayMs = delayMs;
  }
}

/** Throw it from a handler: the message goes to the dead letters at once. */
export class DeadLetter extends Error {
  override readonly name = 'DeadLetter';
}

/** What the handler of a pool gets: a copy of the message. */
export interface PooledMessage {
  readonly body: Uint8Array;
  readonly key: string | undefined;
  readonly tag: string | undefined;
  readonly properties: MessageProperties | undefined;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Deliveries, this one included. */
  readonly attempts: number;
}

/** Default export of the module that Consumer.pool() is given. What it throws counts as with onMessage. */
export type PooledHandler = (message: PooledMessage) => void | Promise<void>;

export interface PoolOptions {
  /** Threads, started as needed. Default: as many as the machine has cores, at least 2. */
  readonly threads?: number;
}

export interface SimpleConsumerOptions<T = Uint8Array> {
  readonly group: string;
  /** For a group new to the topic. Default `latest`. */
  readonly from?: GroupFrom;
  readonly filter?: Filter;
  /** Default `key`: while a message is leased, later ones with its key wait. */
  readonly order?: GroupOrder;
  readonly priority?: boolean;
  /** How long received messages belong to this consumer, in milliseconds. Default 60,000; at most 12 h. */
  readonly invisibleMs?: number;
  readonly codec?: Codec<T>;
  readonly member?: string;
  readonly onError?: (error: Error) => void;
}

/**
 * RocketMQ's simple consumer (pop): leases messages one by one, wherever they lie; each is settled by itself, in any
 * order.
 */
export interface SimpleConsumer<T = Uint8Array> {
  readonly group: string;
  readonly topic: string;
  /**
   * Up to `max` (default 32) messages, as soon as there is one; none after `waitMs` (default 15,000). Not settled
   * within `invisibleMs` they are delivered again, to whom it may be.
   */
  receive(options?: {
    readonly max?: number;
    readonly waitMs?: number;
    readonly invisibleMs?: number;
  }): Promise<readonly Message<T>[]>;
  /**
   * Done: it will not be delivered to the group again. Calls of one turn travel together. Rejects with `stale-lease`.
   */
  ack(message: Message<T>): Promise<void>;
  /**
   * Failed: delivered again after `delayMs` (default: the group's retry delays), or to the DLQ after the last
   * attempt.
   */
  nack(message: Message<T>, delayMs?: number): Promise<void>;
  /** Keeps it for `invisibleMs` more, counted from now. 0 gives it back at once. */
  changeInvisible(message: Message<T>, invisibleMs: number): Promise<void>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export type TransactionFate = 'commit' | 'rollback' | 'unknown';

export interface TransactionOptions<T = Uint8Array | string> {
  /** Producers of one group answer for each other when one is gone. 1 to 255 characters of A-Z a-z 0-9 % . _ - */
  readonly group: string;
  /** Asked about half messages that nobody resolved (RocketMQ's check-back): look it up, and say. */
  readonly check: (message: Message) => TransactionFate | Promise<TransactionFate>;
  readonly codec?: Codec<T>;
  readonly onError?: (error: Error) => void;
}

/** One message that nobody sees before commit(). */
export interface Transaction {
  readonly id: string;
  /**
   * Settles when it is decided, for good, that the message becomes visible: no crash takes that back. It comes to its
   * topic right then; who reads there may see it a moment later. Idempotent. Rejects with `unknown-transaction` or
   * `transaction-ended`.
   */
  commit(): Promise<void>;
  /** The same, but settles when the message is stored, and says where. */
  commit(options: { readonly receipt: true }): Promise<SendReceipt>;
  rollback(): Promise<void>;
}

export interface TransactionalProducer<T = Uint8Array | string> {
  readonly topic: string;
  /** Stores the half message; settles when that is as safe as a `durable` send. */
  begin(body: T, extras?: MessageExtras): Promise<Transaction>;
  /** begin(), then `work`, then commit, or rollback if it throws (and then rejects with what it threw). */
  send<R>(body: T, work: (transaction: Transaction) => R | Promise<R>, extras?: MessageExtras): Promise<R>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface RequestOptions extends MessageExtras {
  /** Milliseconds to wait for the reply; rejects with `timeout`. Default 3,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** A message to be delivered later. */
export interface ScheduledReceipt {
  readonly topic: string;
  readonly deliverAt: number;
  /** For recall(). */
  readonly handle: string;
}

/** Message trace: who stored, delivered and acknowledged a message when, as messages of RMQ_SYS_TRACE_TOPIC. */
export interface TraceOptions {
  /** Share of the messages that are traced, 0 to 1. */
  readonly sample: number;
}

/** One step of a message's way. */
export interface TraceRecord {
  readonly step: 'stored' | 'delivered' | 'acknowledged' | 'failed' | 'dead';
  readonly messageId: string;
  readonly topic: string;
  readonly key?: string;
  readonly group?: string;
  readonly member?: string;
  readonly attempt?: number;
  readonly at: number;
  /** Of the step: milliseconds from sending to the ack, or that the handler took. */
  readonly tookMs?: number;
}

/** What every connection can do besides sending and reading. */
export interface Messaging {
  simpleConsumer<T = Uint8Array>(topic: string, options: SimpleConsumerOptions<T>): SimpleConsumer<T>;
  transactionalProducer<T = Uint8Array | string>(
    topic: string,
    options: TransactionOptions<T>,
  ): TransactionalProducer<T>;
  /**
   * Stores a message now and delivers it at a time (milliseconds since 1970) at most 366 days ahead; one that has
   * passed means at once. Settles when it is as safe as a `durable` send. Rejects with `delay-out-of-range`. After
   * `timeout`, `coordinator-unavailable` or `connection-lost` it may be stored all the same: it cannot be recalled
   * then, and scheduled again it may come twice.
   */
  schedule(
    topic: string,
    body: Uint8Array | string,
    options: MessageExtras & ({ readonly deliverAt: number } | { readonly delayMs: number }),
  ): Promise<ScheduledReceipt>;
  /** Takes a scheduled message back. Rejects with `too-late` if it is delivered or recalled. */
  recall(handle: string): Promise<void>;
  /** Sends, and settles with the reply: `message.reply(body)` of whoever handles it. */
  request(topic: string, body: Uint8Array | string, options?: RequestOptions): Promise<Message>;
  groups(): Promise<readonly GroupSummary[]>;
  /** Members, assignment, progress, lag. Rejects with `unknown-group`. */
  describeGroup(group: string): Promise<GroupDescription>;
  setGroup(group: string, settings: Partial<GroupSettings>): Promise<GroupSettings>;
  /** Where the group goes on. Rejects with `group-in-use` while it has members on the topic. */
  resetGroup(group: string, topic: string, to: ResetTo, partition?: number): Promise<void>;
  deleteGroup(group: string): Promise<void>;
  /** Sends dead letters to their topics again, oldest first; default all. */
  replayDeadLetters(group: string, max?: number): Promise<{ readonly replayed: number; readonly left: number }>;
}

export type {
  GroupDescription,
  GroupFrom,
  GroupOrder,
  GroupSettings,
  GroupSummary,
  MessageProperties,
  QueueDescription,
  ResetTo,
};
