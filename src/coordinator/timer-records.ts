// What the coordinator's journal knows about timers.

/** Name of the part in the journal. */
export const TIMERS_PART = 'timers';

/** Where the timer topic is read on. */
export interface TimerPosition {
  readonly topicId: number;
  readonly epoch: number;
  readonly offset: number;
}

/** A record of the journal. Messages that fired are over by the mover's intents (kind `timer`), besides `over`. */
export interface TimerRecord {
  /** Name of this store of timers, for handles. */
  readonly store?: string;
  /** Everything before is in files that are on the disk. */
  readonly at?: TimerPosition;
  /** Four numbers a file: id of the bucket, length, messages, offset of the last one in the timer topic. */
  readonly files?: readonly number[];
  /** Buckets that are no more. */
  readonly removed?: readonly number[];
  /** Bucket of which some messages are over: recalled, dropped, or (in a snapshot) fired. */
  readonly over?: number;
  /** Which: pairs [from, to) of numbers in the bucket. */
  readonly pairs?: readonly number[];
  /** Pairs: bucket, and the number from which on none of it is over: what was has not come again. */
  readonly cut?: readonly number[];
}
