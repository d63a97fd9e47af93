// The public interface of every client: in process, Node over WebSocket, browser over WebSocket. One page of types that
// is also the reference.
import type { OverflowPolicy } from '../../native-layout/partition-table.ts';
import type { CodeName } from '../base/codes.ts';
import type { AckLevel } from '../base/units.ts';
import type { MessageProperties } from '../record/properties.ts';
import type { GapReason, PartitionPosition, QueryMatch, StartFrom, TopicRoute } from '../wire/commands.ts';
import type { Codec } from './codec.ts';
import type { Batch, Message } from './message.ts';
import type { Filter, GroupOptions, Messaging, PoolOptions } from './messaging.ts';

/** Where a connection stands. `closed` is final. */
export type ConnectionState = 'connecting' | 'connected' | 'reconnecting' | 'closed';

/** One step of a connection's life. */
export interface StateChange {
  readonly from: ConnectionState;
  readonly to: ConnectionState;
  /** Why: a code of the table in base/codes.ts. */
  readonly code: CodeName;
  readonly reason: string;
  /** Milliseconds until the next attempt, in `reconnecting`. */
  readonly retryInMs?: number;
}

/**
 * Offsets that were not delivered and will not be. Never silent: see ConsumerOptions.onGap. Reasons:
 *
 * - `evicted`: a ring without a log behind it (a volatile topic) has overwritten them.
 * - `expired`: they are older than what is kept.
 * - `damaged`: the disk gave back other bytes than were written.
 * - `epoch-changed`: the broker was started again and does not have what it never acknowledged as `written` (of a
 *   volatile topic: anything). It goes on at `to`, perhaps with offsets that were seen before with other messages.
 * - `ahead`: the offset asked for was never written; it goes on at the end.
 */
export interface Gap {
  readonly topic: string;
  /** Number of the partition in its topic. */
  readonly partition: number;
  /** First missing offset. */
  readonly from: number;
  /** First offset after the gap. */
  readonly to: number;
  readonly reason: GapReason;
}

/** What routes, filters and describes a message besides its body. */
export interface MessageExtras {
  /** Messages with one key keep their order: they go to one partition. At most 1,024 bytes. */
  readonly key?: string | undefined;
  /** For filters. 1 to 255 bytes without `|`. */
  readonly tag?: string | undefined;
  /** Names and values; at most 32,767 bytes together. */
  readonly properties?: MessageProperties | undefined;
  /** 0 (default, lowest) to 9, for consumers that ask for the highest first among what waits. */
  readonly priority?: number | undefined;
  /** Bits of the record's flags byte: how other clients read the body. Leave it alone unless you write a client. */
  readonly flags?: number | undefined;
}

/** Where an acknowledged message stands. */
export interface SendReceipt {
  readonly topic: string;
  /** Number of the partition in its topic. */
  readonly partition: number;
  /** Number of the message in its partition; -1 with ack `none`, or for a duplicate that the broker has forgotten. */
  readonly offset: number;
  /** Names the message for as long as it is kept: see Connection.message(). Empty without an offset. */
  readonly id: string;
}

export interface ProducerOptions<T = Uint8Array | string> {
  /**
   * What an acknowledgement means, and what the message survives from then on:
   *
   * - `none`: sent and forgotten.
   * - `accepted`: readers see it. Survives the end of a broker thread, not of the process.
   * - `written`: the operating system has it. Survives kill -9 of the broker.
   * - `durable`: the disk has it. Survives the loss of power.
   *
   * Default: `durable` on a durable topic, `accepted` on a volatile one; `written` and `durable` are refused there with
   * `ack-unsupported`. While the disk is full messages wait for room until `timeoutMs`, and are refused with
   * `disk-full` then. (In process what was on its way in the moment when the disk became full is refused at once.)
   * `store-failed` is final until the broker restarts.
   */
  readonly ack?: AckLevel;
  /** Turns values into bytes. Default: strings as UTF-8, Uint8Array as they are. */
  readonly codec?: Codec<T>;
  /** Send everything to this partition. Default: by key, else round robin, a batch at a time. */
  readonly partition?: number;
  /** A batch is closed at this many bytes, or at the end of the event-loop turn. Default 64 KiB. */
  readonly batchBytes?: number;
  /** Most bytes waiting to be acknowledged; past it send() rejects with `buffer-full`. Default 8 MiB. */
  readonly bufferBytes?: number;
  /**
   * Attempts for a batch that was refused with advice `retry`, first one included. Default 3; `Infinity` to insist.
   * Being told to wait (`busy`) or losing the connection does not count: there `timeoutMs` is the limit.
   */
  readonly attemptsMax?: number;
  /** Milliseconds for one send, all attempts together. Default 3,000 as in RocketMQ. */
  readonly timeoutMs?: number;
  /** Create the topic on first use where the broker allows it. Default true. */
  readonly createTopic?: boolean;
}

/** Sends to one topic. */
export interface Producer<T = Uint8Array | string> {
  readonly topic: string;
  /** False while send() would be refused and trySend() would decline: await ready(). */
  readonly hasRoom: boolean;
  /** Resolves when the route is known and there is room for more. */
  ready(): Promise<void>;
  /**
   * Sends one message. The result settles when the message is acknowledged; it need not be awaited (a failure that
   * nobody waits for goes to `onError`). Order is kept per key, and per partition for messages without one.
   * Rejects with a RingmqError.
   */
  send(body: T, extras?: MessageExtras): PromiseLike<SendReceipt>;
  /**
   * Sends one message without a receipt: the fastest way. False, and nothing sent, while there is no room or no route:
   * await ready() and try again. Failures go to flush() and `onError`.
   */
  trySend(body: T, extras?: MessageExtras): boolean;
  /** Sends many, waiting for room where needed; settles when all are acknowledged, with a receipt for each. */
  sendBatch(bodies: Iterable<T>, extras?: MessageExtras): Promise<readonly SendReceipt[]>;
  /** Sends what is buffered; resolves when all is acknowledged. Rejects with the first failure since the last flush. */
  flush(): Promise<void>;
  /** flush(), then gives everything back. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ConsumerOptions<T = Uint8Array> extends GroupOptions {
  /**
   * Where to start: `latest`, `earliest`, `{ offset }`, `{ last }` (so many messages back), `{ time }` (the first batch
   * stored at that time, milliseconds since 1970, or later) or `{ positions }`. Default `latest`. On a durable topic it
   * may lie anywhere in the log: what the ring has no more is read from the disk, and joins what is live without a gap
   * or a duplicate.
   */
  readonly from?: StartFrom;
  /**
   * Consumers of one group share the topic (see `mode`): each message is handled by one of them, and comes again until
   * a handler is done with it. Where the group is, is kept by the broker; `from` is for the first time. 1 to 120
   * characters of A-Z a-z 0-9 % . _ -
   */
  readonly group?: string;
  /**
   * Milliseconds between two commits of what the group is done with; close() commits too. After a crash the messages
   * since the last commit come again. With handlers that is what they have returned from (async ones: when the promise
   * settles), with an iterator what lies before the message that was taken last. Default 1,000; `Infinity`: only
   * commit() and close() do.
   */
  readonly commitMs?: number;
  /** Numbers of the partitions to read. Default: all, also ones that are added later. Not with mode `clustering`. */
  readonly partitions?: readonly number[];
  /**
   * Which messages to deliver: tags, `'A || B'`, or SQL over properties, `{ sql: "price > 10 AND region = 'eu'" }`:
   * see Filter. What is left out is not sent, and positions move past it. Default: all. Throws `illegal-filter`, which
   * says where it is wrong.
   */
  readonly filter?: Filter;
  /** Turns bytes into `message.value`. Default: the bytes themselves. */
  readonly codec?: Codec<T>;
  /**
   * Called for every message in order of its partition, with an owned message that may be kept. If it returns a
   * promise, the next message waits for it. If it throws or rejects, `onError` hears of it and the consumer goes on.
   * In a group (mode `clustering`) as many promises are under way as `concurrency` says, and what fails comes again.
   */
  readonly onMessage?: (message: Message<T>) => void | Promise<void>;
  /**
   * The fast path: called once per batch with a view that is valid only during the call. Must not be async.
   * Use this or onMessage or iterate, one of the three. In a group (mode `clustering`) batches come in the order of
   * their partition, one after the other, and a whole one is acknowledged when this returns. If it throws, every
   * message of the batch comes again later, behind others of its key and partition: with this, `order` holds only as
   * long as nothing fails. Where it must hold then too, use onMessage.
   */
  readonly onBatch?: (batch: Batch) => void;
  /** Called when messages were lost to this consumer. Without it a gap goes to `onError`. */
  readonly onGap?: (gap: Gap) => void;
  /** Called with what handlers throw and what goes wrong in the background. Default: emits a process warning. */
  readonly onError?: (error: Error) => void;
  /** Most messages that an iterator holds before reading stops; the rest stays in the ring. Default 1,024. */
  readonly bufferMessages?: number;
  /** Stops the consumer. */
  readonly signal?: AbortSignal;
}

/** Reads one topic: every message of it, or with a `group` its share. */
export interface Consumer<T = Uint8Array> extends AsyncIterable<Message<T>> {
  readonly topic: string;
  /** Resolves with where each partition starts, once the subscription stands. */
  ready(): Promise<readonly PartitionPosition[]>;
  /** Next offset wanted of every partition: keep it, and pass it as `from: { positions }` to go on exactly there. */
  positions(): readonly PartitionPosition[];
  /** Messages one by one; bounded by `bufferMessages`. Ends when the consumer is closed. */
  [Symbol.asyncIterator](): AsyncIterator<Message<T>>;
  /**
   * Commits what the group is done with now; resolves when the broker keeps it. Rejects with `illegal-argument`
   * without a group.
   */
  commit(): Promise<void>;
  /**
   * In a group (mode `clustering`): goes on at this offset of a partition that this member holds, forth or back. Waits
   * for the handlers that have something of it. Rejects with `unknown-partition` if it holds no such partition, or has
   * lost it while it waited, `offset-out-of-range` for an offset that was never written.
   */
  seek(partition: number, offset: number): Promise<void>;
  /**
   * Node only, in a group (mode `clustering`): hands messages to threads. `file` is a module whose default export is a
   * function of a PooledMessage, sync or async; a path is relative to the working directory. What it throws, and how
   * long it may take, counts as with onMessage; one that takes too long is ended with its thread. `concurrency` is the
   * number of threads unless given. Resolves when the module is loaded; rejects with `illegal-argument`.
   */
  pool(file: string | URL, options?: PoolOptions): Promise<void>;
  /** Stops delivery until resume(); messages stay where they are. */
  pause(): void;
  resume(): void;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface PullRequest {
  readonly topic: string;
  /** Number of the partition. Default 0. */
  readonly partition?: number;
  /** Default `latest`. Of a durable topic, anywhere in the log. */
  readonly from?: 'latest' | 'earliest' | { readonly offset: number };
  /** Epoch that the offset belongs to. Default: whatever is there. */
  readonly epoch?: number;
  /** Most messages. Default 32 as in RocketMQ. */
  readonly max?: number;
  /** Milliseconds to wait for the first message. Default 15,000 (RocketMQ's long poll); 0 answers at once. */
  readonly waitMs?: number;
  /** Which messages are wanted; see Filter. Default: all. Throws `illegal-filter`. */
  readonly filter?: Filter;
  readonly signal?: AbortSignal;
}

export interface PullResult {
  readonly messages: readonly Message[];
  readonly epoch: number;
  /**
   * Offset to pull from next: behind what a filter left out as well. With a filter there may be no message although
   * later ones are wanted; then it has moved on.
   */
  readonly nextOffset: number;
  /** True if what was asked for was no longer there and the oldest that is was given. */
  readonly gap: boolean;
}

export interface TopicOptions {
  /** Number of partitions. Default 4 as in RocketMQ. */
  readonly partitions?: number;
  /** What happens when a partition's ring is full. Default `block`: publishers wait, nothing is lost. */
  readonly overflow?: OverflowPolicy;
  /** Bytes of ring per partition, a power of two. A message takes at most a quarter. Default 4 MiB. */
  readonly ringBytes?: number;
  /** Partitions are made by directProducer() and written without the hop through a broker worker. In process only. */
  readonly direct?: boolean;
  /**
   * Keep messages in the log, also over restarts. Default: as the broker does (true where it has a data folder). `true`
   * is refused with `not-durable` by a broker without one. Direct topics are volatile.
   */
  readonly durable?: boolean;
  /** How long messages are kept, rounded up to a minute. Default 0: as the broker does (72 h). */
  readonly retentionMs?: number;
  /**
   * How many bytes of log the topic keeps, shared out evenly: each partition keeps its part, rounded up to a MiB.
   * Default 0: as the broker does (no limit).
   */
  readonly retentionBytes?: number;
  /** Do not fail if the topic is there already. Default false. */
  readonly ifNotExists?: boolean;
}

/** How much of a durable topic is kept; what is left out or 0: as the broker does. */
export interface RetentionOptions {
  readonly retentionMs?: number;
  readonly retentionBytes?: number;
}

/** Which messages of a durable topic to find. */
export interface QueryRequest {
  readonly topic: string;
  /** Only messages with this key. */
  readonly key?: string;
  /** Only messages stored at this time or later, milliseconds since 1970. */
  readonly fromTime?: number;
  /** Only messages stored before this time. */
  readonly toTime?: number;
  /** Most matches, 1 to 1,000. Default 64 as in RocketMQ. */
  readonly limit?: number;
}

/** A way into a broker. The same for every transport. */
export interface Connection extends Messaging {
  readonly state: ConnectionState;
  /** Hears of every change of state; returns the call that stops it. */
  onState(listener: (change: StateChange) => void): () => void;
  /** Hears of failures that no promise reported. Default: a process warning. */
  onError(listener: (error: Error) => void): () => void;
  /** Resolves when connected; rejects if that can no longer happen. */
  ready(): Promise<void>;
  producer<T = Uint8Array | string>(topic: string, options?: ProducerOptions<T>): Producer<T>;
  consumer<T = Uint8Array>(topic: string, options?: ConsumerOptions<T>): Consumer<T>;
  /** Reads once, waiting for the first message if asked to. */
  pull(request: PullRequest): Promise<PullResult>;
  /**
   * Finds messages of a durable topic by key, by the time they were stored, or both; oldest first. pull() has the rest.
   * Keys come into their index a moment after the message. Rejects with `topic-volatile` or `unknown-topic`.
   */
  query(request: QueryRequest): Promise<readonly QueryMatch[]>;
  /** The message with this id. Rejects with `not-found` if there is none any more, `illegal-argument` for no id. */
  message(id: string): Promise<Message>;
  /** The positions that the broker keeps for a group of consumers; empty for one that it does not know. */
  committed(group: string, topic: string): Promise<readonly PartitionPosition[]>;
  /** Rejects with `topic-exists`, `illegal-topic`, `topic-quota`, `partition-quota`, `not-durable` or the like. */
  createTopic(topic: string, options?: TopicOptions): Promise<TopicRoute>;
  /** Readers are told and end; messages are gone. Rejects with `unknown-topic`. */
  deleteTopic(topic: string): Promise<void>;
  /** Grants or wipes: `rw`, `r`, `w` or `` (nothing). Topic name, as RocketMQ's wipeWritePerm does for a broker. */
  setPermission(topic: string, permission: 'rw' | 'r' | 'w' | ''): Promise<void>;
  /** How much of a durable topic is kept from now on. Rejects with `topic-volatile` or `unknown-topic`. */
  setRetention(topic: string, retention: RetentionOptions): Promise<void>;
  /** All topics, by name. */
  topics(): Promise<readonly TopicRoute[]>;
  /** The route of a topic. Rejects with `unknown-topic`. */
  route(topic: string): Promise<TopicRoute>;
  /** Hears when the route of a topic that this connection uses has changed; returns the call that stops it. */
  onRoute(listener: (topic: string, version: number, deleted: boolean) => void): () => void;
  /** Flushes producers, closes consumers, then the connection. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
