// One run of the log as its index knows it, and what a recovery found. Plain data: it travels between threads.

/** Batches of one partition that stand together in one block. */
export interface Run {
  readonly topicId: number;
  /** Number of the partition in its topic. */
  readonly partition: number;
  readonly baseOffset: number;
  readonly nextOffset: number;
  /** Milliseconds since 1970. */
  readonly storedFirst: number;
  readonly storedSpan: number;
  readonly epoch: number;
  readonly flags: number;
  readonly records: number;
  /** Log position of the run's header. */
  readonly position: number;
  /** Bytes, header included. */
  readonly size: number;
}

/** What an object for runs is filled with before it has met one. */
export const NO_RUN: Run = {
  topicId: 0,
  partition: 0,
  baseOffset: 0,
  nextOffset: 0,
  storedFirst: 0,
  storedSpan: 0,
  epoch: 0,
  flags: 0,
  records: 0,
  position: 0,
  size: 0,
};

/** A partition for as long as its topic lives, as one number: topic ids are never used again. */
export function queueKey(topicId: number, partition: number): number {
  return topicId * QUEUES_PER_TOPIC + partition;
}

const QUEUES_PER_TOPIC = 4_096;

export interface SegmentFile {
  /** Log position of its first byte; its name. */
  readonly base: number;
  /** Length of the file. */
  readonly lengthBytes: number;
  /** The log goes on in the next segment. */
  readonly sealed: boolean;
}

/** What the log has of one partition. */
export interface RecoveredQueue {
  readonly topicId: number;
  readonly partition: number;
  readonly oldestOffset: number;
  readonly nextOffset: number;
  /** The newest runs, oldest first, as many as a ring may want to start with. */
  readonly tail: readonly Run[];
}

export interface RecoveredLog {
  readonly segments: readonly SegmentFile[];
  /** Log position of the next block. */
  readonly end: number;
  /** CRC word of the last block's header. */
  readonly previousCrc: number;
  readonly queues: readonly RecoveredQueue[];
  /** The broker was stopped in order: nothing that anybody saw is missing. */
  readonly clean: boolean;
  readonly report: RecoveryReport;
}

export interface RecoveryReport {
  readonly verifiedBytes: number;
  readonly verifiedBlocks: number;
  readonly tookMs: number;
  /** Bytes of a torn write that were cut off behind the last good block. */
  readonly cutBytes: number;
  /** Ranges of the log that are damaged and were set aside. */
  readonly damaged: readonly { readonly from: number; readonly to: number }[];
}
