// The directory of topics: names, partitions, owners, permissions, limits. Pure: what it decides about partitions is
// written to the partition table through the `PartitionSlots` that come in.
import {
  OVERFLOW_CODES,
  type OverflowPolicy,
  RING_BATCH_DIVISOR,
  RING_BYTES_MAX,
  RING_BYTES_MIN,
} from '../../native-layout/partition-table.ts';
import { RingmqError } from '../base/codes.ts';
import { isTopicName } from '../base/units.ts';
import type { TopicRoute } from '../wire/commands.ts';

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
}

export interface TopicPartition {
  readonly id: number;
  readonly number: number;
  readonly owner: number;
  readonly epoch: number;
  permission: number;
}

/** One topic. Plain data, so that the supervisor can keep it for a successor of the NameServer thread. */
export interface TopicRecord {
  readonly topic: string;
  readonly topicId: number;
  version: number;
  readonly overflow: OverflowPolicy;
  readonly ringBytes: number;
  readonly direct: boolean;
  readonly partitions: TopicPartition[];
}

/** What a caller may ask of a new topic. 0 or undefined: the default. */
export interface TopicRequest {
  readonly topic: string;
  readonly partitions: number;
  readonly overflow: OverflowPolicy;
  readonly ringBytes: number;
  readonly direct: boolean;
}

/** Entries of the partition table, as the directory uses them. */
export interface PartitionSlots {
  /** Number of entries that can be taken. */
  readonly room: number;
  /** Takes a free entry and brings it to life. Throws `partition-quota`. */
  activate(topic: TopicRecord, number: number, owner: number, permission: number): TopicPartition;
  remove(partition: TopicPartition): void;
  setPermission(partition: TopicPartition): void;
  nextOffset(partition: TopicPartition): number;
  /** False if the thread that writes a direct partition has closed it. */
  isOpen(partition: TopicPartition): boolean;
}

const READ_WRITE = 6;
/** Header bytes that a message of the largest size still needs in its batch. */
const BATCH_OVERHEAD_BYTES = 64 + 24 + 8;

export class Directory {
  private readonly options: DirectoryOptions;
  private readonly slots: PartitionSlots;
  private readonly topics = new Map<string, TopicRecord>();
  private nextTopicId = 1;
  /** Counts changes of any route. */
  version = 0;

  /** `version`: how many changes of routes were counted before. */
  constructor(options: DirectoryOptions, slots: PartitionSlots, known: readonly TopicRecord[] = [], version = 0) {
    this.options = options;
    this.slots = slots;
    this.version = version;
    for (const record of known) {
      this.topics.set(record.topic, { ...record, partitions: record.partitions.map((one) => ({ ...one })) });
      this.nextTopicId = Math.max(this.nextTopicId, record.topicId + 1);
      this.version = Math.max(this.version, record.version);
    }
  }

  find(topic: string): TopicRecord | undefined {
    return this.topics.get(topic);
  }

  /** The topic, made with defaults if that is asked for and allowed. */
  findOrCreate(topic: string, create: boolean, brokers: readonly number[]): { record: TopicRecord; created: boolean } {
    const record = this.topics.get(topic);
    if (record) return { record, created: false };
    if (!isTopicName(topic))
      throw new RingmqError(
        'illegal-topic',
        `illegal topic name ${JSON.stringify(topic.slice(0, 150))}: 1 to 127 characters of A-Z a-z 0-9 % | . _ -`,
      );
    if (!create) throw new RingmqError('unknown-topic', `no topic ${topic}`);
    if (!this.options.autoCreate) this.refuseCreation(topic);
    const { partitionsDefault: partitions, overflowDefault: overflow } = this.options;
    return {
      record: this.create({ topic, partitions, overflow, ringBytes: 0, direct: false }, brokers),
      created: true,
    };
  }

  /** Makes a topic and places its partitions on the brokers in turn. Throws what is wrong with the request. */
  create(request: TopicRequest, brokers: readonly number[]): TopicRecord {
    this.check(request);
    const count = request.direct ? 0 : request.partitions || this.options.partitionsDefault;
    if (count > 0 && brokers.length === 0)
      throw new RingmqError('broker-unavailable', 'no broker worker is registered');
    if (count > this.slots.room) throw new RingmqError('partition-quota', 'the broker has no room for the partitions');
    const record: TopicRecord = {
      topic: request.topic,
      topicId: this.nextTopicId++,
      version: ++this.version,
      overflow: request.overflow,
      ringBytes: request.ringBytes || this.options.ringBytesDefault,
      direct: request.direct,
      partitions: [],
    };
    try {
      for (let number = 0; number < count; number++) {
        const owner = brokers[(record.topicId + number) % brokers.length];
        record.partitions.push(this.slots.activate(record, number, owner, READ_WRITE));
      }
    } catch (error) {
      for (const partition of record.partitions) this.slots.remove(partition);
      throw error;
    }
    this.topics.set(record.topic, record);
    return record;
  }

  /** Adds a partition that the thread at seat `owner` writes by itself. */
  openDirect(topic: string, owner: number): TopicRecord {
    const known = this.topics.get(topic);
    if (!known && !this.options.autoCreate) this.refuseCreation(topic);
    const record =
      known ??
      this.create({ topic, partitions: 0, overflow: this.options.overflowDefault, ringBytes: 0, direct: true }, []);
    if (!record.direct) throw new RingmqError('not-direct', `topic ${topic} was not created with direct: true`);
    if (record.partitions.length >= this.options.partitionsPerTopicMax) throw new RingmqError('partition-quota');
    const number = record.partitions.reduce((next, one) => Math.max(next, one.number + 1), 0);
    record.partitions.push(this.slots.activate(record, number, owner, READ_WRITE));
    this.touch(record);
    return record;
  }

  /** Removes the direct partitions of a thread that has ended. Returns the topics that changed. */
  closeDirect(owner: number): TopicRecord[] {
    return this.dropDirect((one) => one.owner === owner);
  }

  /** Removes the direct partitions that their threads have closed. Returns the topics that changed. */
  dropClosed(): TopicRecord[] {
    return this.dropDirect((one) => !this.slots.isOpen(one));
  }

  private dropDirect(isGone: (partition: TopicPartition) => boolean): TopicRecord[] {
    const changed: TopicRecord[] = [];
    for (const record of this.topics.values()) {
      if (!record.direct) continue;
      const gone = record.partitions.filter(isGone);
      if (gone.length === 0) continue;
      for (const partition of gone) {
        record.partitions.splice(record.partitions.indexOf(partition), 1);
        this.slots.remove(partition);
      }
      this.touch(record);
      changed.push(record);
    }
    return changed;
  }

  /** Throws `unknown-topic`. */
  delete(topic: string): TopicRecord {
    const record = this.topics.get(topic);
    if (!record) throw new RingmqError('unknown-topic', `no topic ${topic}`);
    this.topics.delete(topic);
    this.version++;
    for (const partition of record.partitions) this.slots.remove(partition);
    return record;
  }

  /** Grants or wipes permissions of one topic, or of all partitions of one owner. Returns the topics that changed. */
  setPermission(topic: string, owner: number, permission: number): TopicRecord[] {
    if ((permission & ~READ_WRITE) !== 0)
      throw new RingmqError('illegal-argument', 'permissions are 4 (read) and 2 (write)');
    if (topic === '' && owner < 0) throw new RingmqError('illegal-argument', 'neither a topic nor an owner is named');
    if (topic !== '' && !this.topics.has(topic)) throw new RingmqError('unknown-topic', `no topic ${topic}`);
    const chosen = topic !== '' ? [this.topics.get(topic) as TopicRecord] : [...this.topics.values()];
    return chosen.filter((record) => {
      const hit = record.partitions.filter((one) => topic !== '' || one.owner === owner);
      for (const partition of hit) {
        partition.permission = permission;
        this.slots.setPermission(partition);
      }
      if (hit.length > 0) this.touch(record);
      return hit.length > 0;
    });
  }

  /** Marks every topic with a partition of this owner as changed: its broker came or went. */
  ownerChanged(owner: number): TopicRecord[] {
    const changed = [...this.topics.values()].filter((record) => record.partitions.some((one) => one.owner === owner));
    for (const record of changed) this.touch(record);
    return changed;
  }

  /** Topics by name, after the given one. */
  page(after: string, limit: number): { records: TopicRecord[]; more: boolean } {
    const names = [...this.topics.keys()].filter((name) => name > after).sort();
    const records = names.slice(0, limit).map((name) => this.topics.get(name) as TopicRecord);
    return { records, more: names.length > limit };
  }

  /** The snapshot that clients get. */
  route(record: TopicRecord, isAvailable: (owner: number) => boolean): TopicRoute {
    return {
      topic: record.topic,
      topicId: record.topicId,
      version: record.version,
      overflow: record.overflow,
      ringBytes: record.ringBytes,
      messageMaxBytes:
        Math.min(record.ringBytes / RING_BATCH_DIVISOR, this.options.laneMessageMaxBytes) - BATCH_OVERHEAD_BYTES,
      direct: record.direct,
      partitions: record.partitions.map((one) => ({
        id: one.id,
        number: one.number,
        owner: one.owner,
        epoch: one.epoch,
        permission: one.permission,
        available: record.direct || isAvailable(one.owner),
        nextOffset: this.slots.nextOffset(one),
      })),
    };
  }

  private refuseCreation(topic: string): never {
    throw new RingmqError('auto-create-off', `no topic ${topic}, and topics are not created on first use`);
  }

  private touch(record: TopicRecord): void {
    record.version = ++this.version;
  }

  private check(request: TopicRequest): void {
    const { topic, partitions, ringBytes } = request;
    if (!isTopicName(topic)) {
      throw new RingmqError(
        'illegal-topic',
        `illegal topic name ${JSON.stringify(topic.slice(0, 150))}: 1 to 127 characters of A-Z a-z 0-9 % | . _ -`,
      );
    }
    if (this.topics.has(topic)) throw new RingmqError('topic-exists', `topic ${topic} exists already`);
    if (this.topics.size >= this.options.topicsMax) {
      throw new RingmqError('topic-quota', `the broker has its ${this.options.topicsMax} topics already`);
    }
    if (!Number.isInteger(partitions) || partitions < 0 || partitions > this.options.partitionsPerTopicMax) {
      throw new RingmqError(
        'partition-quota',
        `${partitions} partitions: a topic has 1 to ${this.options.partitionsPerTopicMax}`,
      );
    }
    if (!(request.overflow in OVERFLOW_CODES))
      throw new RingmqError('illegal-argument', 'overflow is block, drop-oldest or reject');
    const powerOfTwo = (ringBytes & (ringBytes - 1)) === 0;
    if (ringBytes !== 0 && !(powerOfTwo && ringBytes >= RING_BYTES_MIN && ringBytes <= RING_BYTES_MAX)) {
      throw new RingmqError(
        'illegal-argument',
        `ringBytes ${ringBytes}: a power of two from ${RING_BYTES_MIN} to ${RING_BYTES_MAX}`,
      );
    }
  }
}
