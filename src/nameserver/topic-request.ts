// What may be asked of a new topic, and the limits that hold.
import {
  OVERFLOW_CODES,
  type OverflowPolicy,
  RING_BYTES_MAX,
  RING_BYTES_MIN,
} from '../../native-layout/partition-table.ts';
import { RingmqError } from '../base/codes.ts';
import { isTopicName } from '../base/units.ts';

/** Limits and defaults; every one has its unit in its name. */
export interface DirectoryOptions {
  readonly topicsMax: number;
  readonly partitionsPerTopicMax: number;
  /** Partitions of a topic that is made on first use: RocketMQ's 4. */
  readonly partitionsDefault: number;
  readonly ringBytesDefault: number;
  /** Largest message that a lane takes, whatever the ring. */
  readonly laneMessageMaxBytes: number;
  readonly overflowDefault: OverflowPolicy;
  readonly autoCreate: boolean;
  /** There is a store: topics can be durable. */
  readonly store: boolean;
  /** Whether topics are durable that do not say so themselves. */
  readonly durableDefault: boolean;
}

/** What a caller may ask of a new topic. 0 or undefined: the default. */
export interface TopicRequest {
  readonly topic: string;
  readonly partitions: number;
  readonly overflow: OverflowPolicy;
  readonly ringBytes: number;
  readonly direct: boolean;
  readonly durable: boolean | undefined;
  readonly retentionMs: number;
  readonly retentionBytes: number;
}

/** Throws `illegal-topic`. */
export function checkName(topic: string): void {
  if (isTopicName(topic)) return;
  const shown = JSON.stringify(topic.slice(0, 150));
  throw new RingmqError('illegal-topic', `illegal topic name ${shown}: 1 to 127 characters of A-Z a-z 0-9 % | . _ -`);
}

/** Throws what is wrong with the request. `topics`: how many there are. */
export function checkRequest(request: TopicRequest, options: DirectoryOptions, topics: number): void {
  const { topic, partitions, ringBytes } = request;
  checkName(topic);
  if (topics >= options.topicsMax) {
    throw new RingmqError('topic-quota', `the broker has its ${options.topicsMax} topics already`);
  }
  if (!Number.isInteger(partitions) || partitions < 0 || partitions > options.partitionsPerTopicMax) {
    throw new RingmqError(
      'partition-quota',
      `${partitions} partitions: a topic has 1 to ${options.partitionsPerTopicMax}`,
    );
  }
  if (!(request.overflow in OVERFLOW_CODES)) {
    throw new RingmqError('illegal-argument', 'overflow is block, drop-oldest or reject');
  }
  const powerOfTwo = (ringBytes & (ringBytes - 1)) === 0;
  if (ringBytes !== 0 && !(powerOfTwo && ringBytes >= RING_BYTES_MIN && ringBytes <= RING_BYTES_MAX)) {
    throw new RingmqError(
      'illegal-argument',
      `ringBytes ${ringBytes}: a power of two from ${RING_BYTES_MIN} to ${RING_BYTES_MAX}`,
    );
  }
}

/** Whether the topic will be durable. Throws if it cannot be what is asked for. */
export function settleDurability(request: TopicRequest, options: DirectoryOptions): boolean {
  const { topic, direct, retentionMs, retentionBytes } = request;
  const durable = request.durable ?? (options.store && options.durableDefault && !direct);
  if (durable && direct) {
    throw new RingmqError(
      'illegal-argument',
      `topic ${topic} cannot be direct and durable: direct topics are volatile`,
    );
  }
  if (durable && !options.store) {
    throw new RingmqError('not-durable', `topic ${topic} cannot be durable: the broker has no data folder`);
  }
  if (!durable && (retentionMs > 0 || retentionBytes > 0)) {
    throw new RingmqError('topic-volatile', `topic ${topic} would be volatile: only durable topics have a retention`);
  }
  return durable;
}
