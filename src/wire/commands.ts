// The control plane as values: what codec.ts writes to and reads from FlatBuffers frames. The same commands
// travel over WebSocket, over the lanes to the NameServer thread, and (as JSON) in the readable subprotocol.
import type { OverflowPolicy } from '../../native-layout/partition-table.ts';
import type { CodeName } from '../base/codes.ts';

/** Where a new subscription begins, on every partition. */
export type StartFrom =
  | 'latest'
  | 'earliest'
  | { readonly offset: number }
  | { readonly last: number }
  /** The first message that was stored at this time (milliseconds since 1970) or later. */
  | { readonly time: number }
  | { readonly positions: readonly PartitionPosition[] };

/** A place to resume at: the next offset wanted, in the generation of the partition that the epoch names. */
export interface PartitionPosition {
  /** Number of the partition in its topic, from 0. */
  readonly partition: number;
  readonly epoch: number;
  readonly offset: number;
}

/** From this offset on, the partition's records carry this epoch (or a later one, see the next entry). */
export interface EpochStart {
  readonly epoch: number;
  readonly offset: number;
}

export interface PartitionRoute {
  /** The partition's id: its place in the broker's partition table. */
  readonly id: number;
  /** Its number in the topic, from 0. */
  readonly number: number;
  /** Seat of the thread that writes it. */
  readonly owner: number;
  readonly epoch: number;
  /** RocketMQ's bits: 4 read, 2 write. */
  readonly permission: number;
  /** False while the owner does not answer. */
  readonly available: boolean;
  readonly nextOffset: number;
  /** Oldest offset that the log has; 0 for a volatile partition. */
  readonly oldestOffset: number;
  /**
   * Durable partitions: the last few epochs, oldest first, the present one last. A position of an older epoch is good
   * up to where the next one starts; beyond it stood what a crash took away before it was acknowledged as written.
   */
  readonly epochs: readonly EpochStart[];
}

/** Everything about one topic: a snapshot, newer when its version is higher. */
export interface TopicRoute {
  readonly topic: string;
  readonly topicId: number;
  readonly version: number;
  readonly overflow: OverflowPolicy;
  readonly ringBytes: number;
  /** Largest message (body, key, tag and properties) in bytes. */
  readonly messageMaxBytes: number;
  /** Partitions are written by threads of the embedding program. */
  readonly direct: boolean;
  /** Messages are kept in the log. */
  readonly durable: boolean;
  /** How long and how much of it is kept; 0: as the broker does. */
  readonly retentionMs: number;
  readonly retentionBytes: number;
  readonly partitions: readonly PartitionRoute[];
}

/** One message that a query found: pull() has the rest. */
export interface QueryMatch {
  readonly partition: number;
  readonly epoch: number;
  readonly offset: number;
  /** Milliseconds since 1970. */
  readonly storedAt: number;
}

/** `damaged`: the log had them, and the bytes on the disk are not what was written. */
export type GapReason = 'evicted' | 'expired' | 'epoch-changed' | 'ahead' | 'damaged';

export interface PartitionStart {
  readonly id: number;
  readonly number: number;
  readonly epoch: number;
  /** First offset that will be delivered. */
  readonly offset: number;
  /** True if what was asked for is no longer there: offsets from gapFrom up to offset are missing. */
  readonly gap: boolean;
  readonly gapFrom: number;
}

export interface AckEntry {
  readonly request: number;
  readonly status: number;
  readonly partition: number;
  readonly count: number;
  readonly baseOffset: number;
}

export type Command =
  | { readonly type: 'hello'; readonly client: string; readonly version: string; readonly token: string }
  | {
      readonly type: 'welcome';
      readonly broker: string;
      readonly version: string;
      readonly session: string;
      readonly messageMaxBytes: number;
      readonly frameMaxBytes: number;
      readonly publishWindowBytes: number;
      readonly heartbeatMs: number;
      readonly serverTime: number;
    }
  | { readonly type: 'route-request'; readonly topic: string; readonly create: boolean }
  | { readonly type: 'route-reply'; readonly route: TopicRoute }
  | {
      readonly type: 'create-topic';
      readonly topic: string;
      readonly partitions: number;
      readonly overflow: OverflowPolicy;
      /** 0: the broker's default. */
      readonly ringBytes: number;
      readonly direct: boolean;
      /** undefined: as the broker does. */
      readonly durable: boolean | undefined;
      /** 0: as the broker does. */
      readonly retentionMs: number;
      readonly retentionBytes: number;
      readonly ifNotExists: boolean;
    }
  | {
      readonly type: 'set-retention';
      readonly topic: string;
      /** 0: as the broker does. */
      readonly retentionMs: number;
      readonly retentionBytes: number;
    }
  /** Keeps where the group goes on. Positions of partitions that are not named stay as they are. */
  | {
      readonly type: 'commit-offsets';
      readonly group: string;
      readonly topic: string;
      readonly positions: readonly PartitionPosition[];
    }
  | { readonly type: 'offsets-request'; readonly group: string; readonly topic: string }
  | { readonly type: 'offsets-reply'; readonly positions: readonly PartitionPosition[] }
  /** Messages of a topic by key, or by the time they were stored, or both; oldest first. */
  | {
      readonly type: 'query';
      readonly topic: string;
      /** '': any. */
      readonly key: string;
      /** Milliseconds since 1970, first included, last not; 0: no limit. */
      readonly fromTime: number;
      readonly toTime: number;
      /** Most matches, 1 to 1,000; 0: 64 as in RocketMQ. */
      readonly limit: number;
    }
  | { readonly type: 'query-reply'; readonly matches: readonly QueryMatch[]; readonly more: boolean }
  | { readonly type: 'open-direct'; readonly topic: string }
  | { readonly type: 'delete-topic'; readonly topic: string }
  /** Either one topic, or ('' and) every partition that the seat `owner` writes. */
  | {
      readonly type: 'set-permission';
      readonly topic: string;
      readonly owner: number;
      readonly permission: number;
    }
  | { readonly type: 'topics-request'; readonly after: string; readonly limit: number }
  | { readonly type: 'topics-reply'; readonly topics: readonly TopicRoute[]; readonly more: boolean }
  | {
      readonly type: 'subscribe';
      readonly subscription: number;
      readonly topic: string;
      readonly from: StartFrom;
      /** Numbers of the partitions wanted; empty: all. */
      readonly partitions: readonly number[];
      /**
       * Bytes that may be delivered before credit is given back; 0: no limit. One window for the whole
       * session.
       */
      readonly windowBytes: number;
      /** Canonical text of the filter (src/filter); '' for none. */
      readonly filter: string;
    }
  | {
      readonly type: 'subscribed';
      readonly subscription: number;
      readonly topic: string;
      /** Part of the ids of its messages; 0: an older broker, that does not say. */
      readonly topicId: number;
      readonly starts: readonly PartitionStart[];
    }
  | { readonly type: 'unsubscribe'; readonly subscription: number }
  | { readonly type: 'credit'; readonly bytes: number }
  | { readonly type: 'ack'; readonly entries: readonly AckEntry[] }
  | {
      readonly type: 'pull';
      readonly topic: string;
      readonly partition: number;
      readonly epoch: number;
      readonly from: 'latest' | 'earliest' | { readonly offset: number };
      readonly maxBytes: number;
      readonly waitMs: number;
      /** Canonical text of the filter (src/filter); '' for none. */
      readonly filter: string;
    }
  | {
      readonly type: 'pull-reply';
      /** Partition id and number. */
      readonly id: number;
      readonly number: number;
      readonly epoch: number;
      readonly nextOffset: number;
      readonly gap: boolean;
      /** Raw batches, 8-byte aligned. */
      readonly batches: Uint8Array;
    }
  | {
      readonly type: 'gap';
      readonly id: number;
      readonly number: number;
      readonly epoch: number;
      readonly topic: string;
      readonly fromOffset: number;
      readonly toOffset: number;
      readonly reason: GapReason;
    }
  | {
      readonly type: 'route-changed';
      readonly topic: string;
      readonly version: number;
      readonly deleted: boolean;
    }
  | { readonly type: 'ping'; readonly time: number }
  | { readonly type: 'pong'; readonly time: number }
  /** To the coordinator: see services.ts. `params` and `result` are JSON; `payload` raw batches, 8-byte aligned. */
  | {
      readonly type: 'call';
      readonly method: string;
      readonly params: string;
      readonly payload: Uint8Array;
    }
  | { readonly type: 'call-reply'; readonly result: string; readonly payload: Uint8Array }
  | { readonly type: 'done' }
  | { readonly type: 'refused'; readonly code: CodeName; readonly text: string };

export type CommandType = Command['type'];
export type CommandOf<T extends CommandType> = Extract<Command, { readonly type: T }>;

/** A command with its correlation: a request's number comes back in its answer; 0 asks for none. */
export interface Frame {
  readonly correlation: number;
  readonly command: Command;
}
