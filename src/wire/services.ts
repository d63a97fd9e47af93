// What the coordinator thread is asked, and what it answers: method -> parameters and result. They travel as JSON in
// the commands `call` and `call-reply`, over lanes, binary sessions and (op `call`) readable sessions alike; messages
// go beside them as raw batches (`payload`). Schemas are in service-schemas.ts: the coordinator checks every call.
//
// Shapes: times are milliseconds since 1970 unless they say otherwise; `pairs` are flat arrays [a, b, a, b, ...].
import type { CodeName } from '../base/codes.ts';

/** A partition of a topic, by name. */
export interface QueueRef {
  readonly topic: string;
  readonly partition: number;
}

/** How messages of one partition may overtake each other. `key`: those with one key never do, also across retries. */
export type GroupOrder = 'none' | 'key' | 'partition';

/** What a group does with messages that fail. One for the whole group; kept by the broker. */
export interface GroupSettings {
  /** Milliseconds before attempt 2, 3, ...; the last one counts for all later ones. RocketMQ's 10 s to 2 h. */
  readonly retryDelaysMs: readonly number[];
  /** Deliveries before a message goes to `%DLQ%group`. RocketMQ: 16 retries, so 17. */
  readonly attemptsMax: number;
}

/** Where a group begins in a topic that it has not read before. */
export type GroupFrom = 'latest' | 'earliest' | { readonly time: number };

/** Where a group stands in a queue. */
export interface QueueProgress {
  readonly epoch: number;
  /** Everything before this offset is acknowledged (the ack floor). */
  readonly offset: number;
  /** Acknowledged above the floor: pairs [from, to), ascending, disjoint. */
  readonly acked: readonly number[];
  /** Failed so far and not acknowledged: pairs [offset, deliveries so far], ascending. */
  readonly attempts: readonly number[];
}

export interface AssignedQueue extends QueueRef, QueueProgress {}

/** Joins, lives, and learns what to read: held until the assignment differs from `owned`, or for waitMs. */
export interface GroupSync {
  readonly group: string;
  readonly topic: string;
  /** Chosen by the member, unique in its group. */
  readonly member: string;
  /** For people. */
  readonly client: string;
  /** Of the last answer; 0 to join. */
  readonly generation: number;
  /** Queues that it holds now. One that it was told to give up is listed until its progress is committed. */
  readonly owned: readonly QueueRef[];
  readonly from: GroupFrom;
  readonly order: GroupOrder;
  /** Canonical text of the filter, '' for none: one for all members of a group and topic. */
  readonly filter: string;
  readonly waitMs: number;
}

export interface GroupAssignment {
  readonly generation: number;
  /** Milliseconds without a sync after which the member counts as gone. */
  readonly sessionMs: number;
  readonly settings: GroupSettings;
  /**
   * What it shall hold, with progress for those that it does not hold yet. Not named any more: give it up, then sync.
   */
  readonly queues: readonly AssignedQueue[];
}

export interface GroupCommit {
  readonly group: string;
  readonly topic: string;
  readonly member: string;
  readonly generation: number;
  readonly queues: readonly AssignedQueue[];
  /** The queues begin anew where this says: progress may go back (seek). Default false. */
  readonly anew?: boolean;
}

/** Leases messages to a simple consumer. Held until there is one, or for waitMs. */
export interface Receive {
  readonly group: string;
  readonly topic: string;
  readonly member: string;
  readonly from: GroupFrom;
  readonly order: GroupOrder;
  /** Deliver those with the highest priority first among what waits. */
  readonly priority: boolean;
  readonly filter: string;
  readonly maxMessages: number;
  readonly invisibleMs: number;
  readonly waitMs: number;
}

/** Payload: raw batches; their records, in order, are the messages that `messages` lists. */
export interface Received {
  readonly queues: readonly (QueueRef & { readonly topicId: number })[];
  /** Flat, four numbers a message: index in `queues`, offset, token of the lease, deliveries (1: the first). */
  readonly messages: readonly number[];
}

/** What a simple consumer says of messages that it holds: entries are flat. */
export interface Settle {
  readonly group: string;
  readonly topic: string;
  readonly queues: readonly {
    readonly topic: string;
    readonly partition: number;
    /** Pairs [offset, token]. */
    readonly acks: readonly number[];
    /** Triples [offset, token, delayMs]: deliver again after delayMs; -1: by the group's retry delays. */
    readonly nacks: readonly number[];
    /** Triples [offset, token, invisibleMs], counted from now; -1: it was not delivered, and does not count as such. */
    readonly extensions: readonly number[];
  }[];
}

/** Everything that is not named was done. */
export interface Settled {
  /** Leases that were no more: of each queue of the request, in its order, the offsets. */
  readonly stale: readonly (readonly number[])[];
}

/**
 * A push consumer could not handle a message: it is delivered again later, or goes to the DLQ. Then it is
 * acknowledged.
 */
export interface SendBack {
  readonly group: string;
  readonly topic: string;
  readonly member: string;
  readonly queue: QueueRef;
  readonly epoch: number;
  readonly offset: number;
  /** Deliveries so far, this one included. */
  readonly attempts: number;
  /** -1: by the group's retry delays. */
  readonly delayMs: number;
  /** True: to the DLQ at once. */
  readonly deadLetter: boolean;
  readonly reason: string;
}

export interface GroupSummary {
  readonly group: string;
  readonly topics: readonly string[];
  readonly members: number;
  /** Messages not acknowledged yet, of all topics. */
  readonly lag: number;
}

export interface QueueDescription extends QueueRef, QueueProgress {
  /** Member that holds it; '' for none (or leased by message). */
  readonly owner: string;
  readonly nextOffset: number;
  /** Messages not acknowledged yet. */
  readonly lag: number;
  /** Leased to simple consumers at present. */
  readonly leased: number;
}

export interface MemberDescription {
  readonly member: string;
  readonly client: string;
  readonly topic: string;
  /** Milliseconds since its last sign of life. */
  readonly idleMs: number;
}

export interface GroupDescription {
  readonly group: string;
  readonly settings: GroupSettings;
  readonly subscriptions: readonly {
    readonly topic: string;
    readonly kind: 'push' | 'simple';
    readonly order: GroupOrder;
    readonly filter: string;
    readonly generation: number;
  }[];
  readonly members: readonly MemberDescription[];
  readonly queues: readonly QueueDescription[];
  /** Messages in `%DLQ%group`. */
  readonly deadLetters: number;
}

export type ResetTo = 'earliest' | 'latest' | { readonly time: number } | { readonly offset: number };

/** Method -> what it takes and gives. */
export interface Services {
  'group-sync': { readonly params: GroupSync; readonly result: GroupAssignment };
  'group-leave': {
    readonly params: { readonly group: string; readonly topic: string; readonly member: string };
    readonly result: Record<string, never>;
  };
  'group-commit': { readonly params: GroupCommit; readonly result: Record<string, never> };
  /** By name, those behind `after`; `more`: ask again behind the last one. */
  'group-list': {
    readonly params: { readonly after?: string };
    readonly result: { readonly groups: readonly GroupSummary[]; readonly more: boolean };
  };
  /** Its queues by topic and partition, those behind `after`; `more`: ask again behind the last one. */
  'group-describe': {
    readonly params: { readonly group: string; readonly after?: QueueRef };
    readonly result: GroupDescription & { readonly more: boolean };
  };
  'group-settings': {
    readonly params: { readonly group: string; readonly settings: Partial<GroupSettings> };
    readonly result: GroupSettings;
  };
  /** Only while no member holds the queue. partition -1: all. */
  'group-reset': {
    readonly params: {
      readonly group: string;
      readonly topic: string;
      readonly partition: number;
      readonly to: ResetTo;
    };
    readonly result: { readonly queues: readonly AssignedQueue[] };
  };
  'group-delete': { readonly params: { readonly group: string }; readonly result: Record<string, never> };
  receive: { readonly params: Receive; readonly result: Received };
  settle: { readonly params: Settle; readonly result: Settled };
  'send-back': { readonly params: SendBack; readonly result: { readonly deadLetter: boolean } };
  /** Sends dead letters to their topics again, oldest first, and removes them from the DLQ. */
  'dlq-replay': {
    readonly params: { readonly group: string; readonly maxMessages: number };
    readonly result: { readonly replayed: number; readonly left: number };
  };
  /**
   * Payload: one batch of records; deliverAt has a time for each. Acknowledged when durable (volatile: when
   * kept by the coordinator).
   */
  schedule: {
    readonly params: { readonly topic: string; readonly deliverAt: readonly number[] };
    readonly result: { readonly handles: readonly string[] };
  };
  recall: { readonly params: { readonly handle: string }; readonly result: Record<string, never> };
  /** Payload: one batch of records: each becomes a half message, a transaction of its own. */
  'transaction-prepare': {
    readonly params: { readonly topic: string; readonly producerGroup: string };
    readonly result: { readonly transactions: readonly string[] };
  };
  /**
   * Idempotent: the same resolution again gets the same answer. Commits are answered when nothing but the deletion of
   * their topic can keep them from it any more; with `receipts` when they are there.
   */
  'transaction-end': {
    readonly params: {
      readonly commits: readonly string[];
      readonly rollbacks: readonly string[];
      readonly receipts: boolean;
      /** Whoever asks has begun them, and sent no op message about any: such ones are not waited for. */
      readonly own: boolean;
    };
    /** `ok`, `unknown-transaction`, `transaction-ended` (it was resolved the other way), or why it cannot be now. */
    readonly result: {
      readonly commits: readonly CodeName[];
      readonly rollbacks: readonly CodeName[];
      /** With `receipts`: partition and offset of the message of each commit; -1: not known. */
      readonly places?: readonly number[];
    };
  };
  /** For metrics. */
  'coordinator-figures': { readonly params: Record<string, never>; readonly result: CoordinatorFigures };
  /** Check-back: half messages of the producer group whose fate is unknown. Held until there is one, or for waitMs. */
  'transaction-checks': {
    readonly params: { readonly producerGroup: string; readonly waitMs: number };
    /** Payload: the half messages, in order. */
    readonly result: { readonly checks: readonly TransactionCheck[] };
  };
}

/** What waits in the coordinator. */
export interface CoordinatorFigures {
  /** Scheduled messages that are not delivered yet. */
  readonly timers: number;
  /** Half messages that nobody has resolved. */
  readonly halfMessages: number;
}

export interface TransactionCheck {
  readonly transaction: string;
  readonly topic: string;
  /** Checks so far, this one included. */
  readonly checks: number;
}

export type Method = keyof Services;
export type ParamsOf<M extends Method> = Services[M]['params'];
export type ResultOf<M extends Method> = Services[M]['result'];

/** An answer, with the messages that go with it. */
export interface Answered<M extends Method> {
  readonly result: ResultOf<M>;
  readonly payload?: Uint8Array;
}

/** Asks the coordinator. Rejects with a RingmqError. `timeoutMs`: beyond what the call itself waits; default 10 s. */
export interface CallOptions {
  readonly payload?: Uint8Array;
  readonly timeoutMs?: number;
}
export type Call = <M extends Method>(
  method: M,
  params: ParamsOf<M>,
  options?: CallOptions,
) => Promise<{ readonly result: ResultOf<M>; readonly payload: Uint8Array }>;

/** RocketMQ's numbers. */
export const RETRY_DELAYS_MS: readonly number[] = [
  10_000, 30_000, 60_000, 120_000, 180_000, 240_000, 300_000, 360_000, 420_000, 480_000, 540_000, 600_000, 1_200_000,
  1_800_000, 3_600_000, 7_200_000,
];
export const GROUP_DEFAULTS: GroupSettings = { retryDelaysMs: RETRY_DELAYS_MS, attemptsMax: 17 };
/** Longest delay of a message, and of a retry: one limit, on every protocol. */
export const DELAY_MAX_MS = 366 * 24 * 3_600_000;
export const INVISIBLE_DEFAULT_MS = 60_000;
/** RocketMQ's proxy: 12 h. */
export const INVISIBLE_MAX_MS = 12 * 3_600_000;
/** Longest that a call is held by the coordinator. */
export const CALL_WAIT_MAX_MS = 30_000;
/** A member that says nothing for so long is gone. */
export const SESSION_MS = 10_000;

/**
 * Bytes of the largest batch of a lane that producers leave free. In the broker's own topics a message has more around
 * it (an envelope, a group's name, where it was first and why it failed), and the largest must fit there too.
 */
export const OWN_ROOM_BYTES = 4 * 1024;

/** Names of topics that the broker keeps for itself. */
export const TIMER_TOPIC = 'RMQ_SYS_TIMER';
export const HALF_TOPIC = 'RMQ_SYS_TRANS_HALF_TOPIC';
/** Where half messages end that nobody resolved in 15 checks. */
export const HALF_DROPPED_TOPIC = 'TRANS_CHECK_MAX_TIME_TOPIC';
export const TRACE_TOPIC = 'RMQ_SYS_TRACE_TOPIC';
const SYSTEM_PREFIX = 'RMQ_SYS_';
const RETRY_PREFIX = '%RETRY%';
const DLQ_PREFIX = '%DLQ%';
export const REPLY_PREFIX = '%REPLY%';

/** Where a group's failed messages of a topic wait to be delivered again. Groups have no `|` in their names. */
export function retryTopic(group: string, topic: string): string {
  return `${RETRY_PREFIX}${group}|${topic}`;
}
export function isRetryTopic(topic: string): boolean {
  return topic.startsWith(RETRY_PREFIX);
}
export function dlqTopic(group: string): string {
  return `${DLQ_PREFIX}${group}`;
}

/** True if only the broker itself publishes there. (Dead letters may be published by nobody else either.) */
export function isReservedTopic(topic: string): boolean {
  if (topic === TRACE_TOPIC) return false;
  return (
    topic.startsWith(SYSTEM_PREFIX) ||
    topic === HALF_DROPPED_TOPIC ||
    isRetryTopic(topic) ||
    topic.startsWith(DLQ_PREFIX)
  );
}

/** Properties that the broker sets: RocketMQ's names where it has them. Values are text. */
export const PROPERTY = {
  /** Topic, partition and offset that a retried or dead message was first stored under. */
  realTopic: 'REAL_TOPIC',
  realQueue: 'REAL_QID',
  realOffset: 'REAL_OFFSET',
  /** Deliveries that failed before this one. */
  reconsumeTimes: 'RECONSUME_TIME',
  /** Why a dead letter is one. */
  deadReason: 'DLQ_REASON',
  /** Milliseconds since 1970. */
  deliverAt: 'TIMER_DELIVER_MS',
  correlation: 'CORRELATION_ID',
  replyTo: 'REPLY_TO_CLIENT',
  producerGroup: 'PGROUP',
  transaction: 'TRANSACTION_ID',
} as const;
