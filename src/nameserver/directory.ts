// The directory of topics: names, partitions, owners, permissions, limits. Pure: what it decides about partitions is
// written to the partition table through the `PartitionSlots` that come in.
//
// Changes come in groups, one group for each turn of the NameServer. New partitions get their entries at once, of which
// nobody knows yet; what others can see (deletion, permissions) waits for settle(), which follows once the group is on
// the disk. revert() takes the group back.
import { type OverflowPolicy, RING_BATCH_DIVISOR } from '../../native-layout/partition-table.ts';
import { RingmqError } from '../base/codes.ts';
import { MESSAGE_OVERHEAD_BYTES } from '../record/batch-builder.ts';
import type { MetaChanges, StoredEpoch, StoredTopic } from '../state/meta.ts';
import type { TopicRoute } from '../wire/commands.ts';
import { isReservedTopic, OWN_ROOM_BYTES } from '../wire/services.ts';
import {
  checkName,
  checkRequest,
  type DirectoryOptions,
  settleDurability,
  type TopicRequest,
} from './topic-request.ts';

export interface TopicPartition {
  readonly id: number;
  readonly number: number;
  readonly owner: number;
  readonly epoch: number;
  permission: number;
  /** The last few epochs, oldest first; the present one is the last. */
  readonly epochs: readonly StoredEpoch[];
}

/** One topic. Plain data, so that the supervisor can keep it for a successor of the NameServer thread. */
export interface TopicRecord {
  readonly topic: string;
  readonly topicId: number;
  version: number;
  readonly overflow: OverflowPolicy;
  readonly ringBytes: number;
  readonly direct: boolean;
  readonly durable: boolean;
  /** 0: as the broker does. */
  retentionMs: number;
  retentionBytes: number;
  readonly partitions: TopicPartition[];
}

/** Entries of the partition table, as the directory uses them. */
export interface PartitionSlots {
  /** Number of entries that can be taken. */
  readonly room: number;
  /** Takes a free entry and brings it to life. Throws `partition-quota`. */
  activate(topic: TopicRecord, number: number, owner: number, permission: number): TopicPartition;
  remove(partition: TopicPartition): void;
  setPermission(partition: TopicPartition): void;
  /** How long and how much of its partitions the log keeps. */
  setRetention(topic: TopicRecord): void;
  nextOffset(partition: TopicPartition): number;
  /** Oldest offset that the log has. */
  oldestOffset(partition: TopicPartition): number;
  /** False if the thread that writes a direct partition has closed it. */
  isOpen(partition: TopicPartition): boolean;
}

const READ_WRITE = 6;

/** A route names at most this many epochs of all its partitions together, so that it fits the lane. */
const ROUTE_EPOCHS_MAX = 8_192;

/** Undoes one change, or makes it seen. */
type Step = () => void;

export class Directory {
  private readonly options: DirectoryOptions;
  private readonly slots: PartitionSlots;
  private readonly topics = new Map<string, TopicRecord>();
  private nextTopicId: number;
  /** Counts changes of any route. */
  version = 0;
  // Of this group of changes.
  private readonly changed = new Map<number, TopicRecord>();
  private readonly deleted = new Set<number>();
  private readonly undo: Step[] = [];
  private readonly effects: Step[] = [];

  /** `version`: how many changes of routes were counted before. Every topic ever made has an id below `nextTopicId`. */
  constructor(
    options: DirectoryOptions,
    slots: PartitionSlots,
    known: readonly TopicRecord[] = [],
    version = 0,
    nextTopicId = 1,
  ) {
    this.options = options;
    this.slots = slots;
    this.version = version;
    this.nextTopicId = nextTopicId;
    for (const record of known) {
      this.topics.set(record.topic, { ...record, partitions: record.partitions.map((one) => ({ ...one })) });
      this.nextTopicId = Math.max(this.nextTopicId, record.topicId + 1);
      this.version = Math.max(this.version, record.version);
    }
  }

  find(topic: string): TopicRecord | undefined {
    return this.topics.get(topic);
  }

  records(): IterableIterator<TopicRecord> {
    return this.topics.values();
  }

  /** What of this group of changes must be on the disk before anybody hears of it; undefined: nothing. */
  get changes(): MetaChanges | undefined {
    if (this.changed.size === 0 && this.deleted.size === 0) return undefined;
    const topics = [...this.changed.values()].map(storedTopic);
    return { topics, deleted: [...this.deleted], nextTopicId: this.nextTopicId };
  }

  /** The group is on the disk: it takes effect. */
  settle(): void {
    for (const effect of this.effects) effect();
    this.begin();
  }

  /** The group could not be kept: everything is as before it. */
  revert(): void {
    for (const step of this.undo.reverse()) step();
    this.begin();
  }

  private begin(): void {
    this.changed.clear();
    this.deleted.clear();
    this.undo.length = 0;
    this.effects.length = 0;
  }

  /** The topic, made with defaults if that is asked for and allowed. */
  findOrCreate(topic: string, create: boolean, brokers: readonly number[]): { record: TopicRecord; created: boolean } {
    const record = this.topics.get(topic);
    if (record) return { record, created: false };
    checkName(topic);
    if (!create) throw new RingmqError('unknown-topic', `no topic ${topic}`);
    if (!this.options.autoCreate) this.refuseCreation(topic);
    return { record: this.create(this.defaults(topic, false), brokers), created: true };
  }

  /** Makes a topic and places its partitions on the brokers in turn. Throws what is wrong with the request. */
  create(request: TopicRequest, brokers: readonly number[]): TopicRecord {
    if (this.topics.has(request.topic)) {
      throw new RingmqError('topic-exists', `topic ${request.topic} exists already`);
    }
    checkRequest(request, this.options, this.topics.size);
    const durable = settleDurability(request, this.options);
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
      durable,
      retentionMs: request.retentionMs,
      retentionBytes: request.retentionBytes,
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
    this.slots.setRetention(record);
    this.topics.set(record.topic, record);
    this.changed.set(record.topicId, record);
    this.undo.push(() => {
      this.topics.delete(record.topic);
      for (const partition of record.partitions) this.slots.remove(partition);
    });
    return record;
  }

  private defaults(topic: string, direct: boolean): TopicRequest {
    const { partitionsDefault, overflowDefault: overflow } = this.options;
    const partitions = direct ? 0 : partitionsDefault;
    return { topic, partitions, overflow, ringBytes: 0, direct, durable: undefined, retentionMs: 0, retentionBytes: 0 };
  }

  /** Adds a partition that the thread at seat `owner` writes by itself. */
  openDirect(topic: string, owner: number): TopicRecord {
    const known = this.topics.get(topic);
    if (!known && !this.options.autoCreate) this.refuseCreation(topic);
    const record = known ?? this.create(this.defaults(topic, true), []);
    if (!record.direct) throw new RingmqError('not-direct', `topic ${topic} was not created with direct: true`);
    if (record.partitions.length >= this.options.partitionsPerTopicMax) throw new RingmqError('partition-quota');
    const number = record.partitions.reduce((next, one) => Math.max(next, one.number + 1), 0);
    const partition = this.slots.activate(record, number, owner, READ_WRITE);
    record.partitions.push(partition);
    if (known) {
      this.undo.push(() => {
        record.partitions.splice(record.partitions.indexOf(partition), 1);
        this.slots.remove(partition);
      });
    }
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
    this.changed.delete(record.topicId);
    this.deleted.add(record.topicId);
    this.undo.push(() => this.topics.set(topic, record));
    this.effects.push(() => {
      for (const partition of record.partitions) this.slots.remove(partition);
    });
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
      for (const partition of hit) this.permit(partition, permission);
      if (hit.length > 0) {
        this.changed.set(record.topicId, record);
        this.touch(record);
      }
      return hit.length > 0;
    });
  }

  private permit(partition: TopicPartition, permission: number): void {
    const before = partition.permission;
    partition.permission = permission;
    this.undo.push(() => {
      partition.permission = before;
    });
    this.effects.push(() => this.slots.setPermission(partition));
  }

  /** How long and how much the log keeps of a durable topic; 0: as the broker does. */
  setRetention(topic: string, retentionMs: number, retentionBytes: number): TopicRecord {
    const record = this.topics.get(topic);
    if (!record) throw new RingmqError('unknown-topic', `no topic ${topic}`);
    if (!record.durable) throw new RingmqError('topic-volatile', `topic ${topic} is volatile: it has no retention`);
    const { retentionMs: ms, retentionBytes: bytes } = record;
    record.retentionMs = retentionMs;
    record.retentionBytes = retentionBytes;
    this.changed.set(record.topicId, record);
    this.undo.push(() => {
      record.retentionMs = ms;
      record.retentionBytes = bytes;
    });
    this.effects.push(() => this.slots.setRetention(record));
    this.touch(record);
    return record;
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
    const { laneMessageMaxBytes } = this.options;
    const laneRoom = isReservedTopic(record.topic) ? laneMessageMaxBytes : laneMessageMaxBytes - OWN_ROOM_BYTES;
    const epochsEach = Math.max(1, Math.floor(ROUTE_EPOCHS_MAX / Math.max(1, record.partitions.length)));
    return {
      topic: record.topic,
      topicId: record.topicId,
      version: record.version,
      overflow: record.overflow,
      ringBytes: record.ringBytes,
      messageMaxBytes: Math.min(record.ringBytes / RING_BATCH_DIVISOR, laneRoom) - MESSAGE_OVERHEAD_BYTES,
      direct: record.direct,
      durable: record.durable,
      retentionMs: record.retentionMs,
      retentionBytes: record.retentionBytes,
      partitions: record.partitions.map((one) => ({
        id: one.id,
        number: one.number,
        owner: one.owner,
        epoch: one.epoch,
        permission: one.permission,
        available: record.direct || isAvailable(one.owner),
        nextOffset: this.slots.nextOffset(one),
        oldestOffset: record.durable ? this.slots.oldestOffset(one) : 0,
        epochs: record.durable ? one.epochs.slice(-epochsEach) : [],
      })),
    };
  }

  private refuseCreation(topic: string): never {
    throw new RingmqError('auto-create-off', `no topic ${topic}, and topics are not created on first use`);
  }

  private touch(record: TopicRecord): void {
    record.version = ++this.version;
  }
}

/** What of a topic is kept. Partitions of a direct one belong to threads and end with them. */
export function storedTopic(record: TopicRecord): StoredTopic {
  const { topic, topicId, overflow, ringBytes, direct, durable, retentionMs, retentionBytes } = record;
  const partitions = direct
    ? []
    : record.partitions.map(({ id, number, permission, epochs }) => ({ id, number, permission, epochs }));
  return { topic, topicId, overflow, ringBytes, direct, durable, retentionMs, retentionBytes, partitions };
}
