// The NameServer's hand on the partition table: takes free entries, brings them to life, frees them.
import { OVERFLOW_CODES, PARTITION_STATES } from '../../native-layout/partition-table.ts';
import { RingmqError } from '../base/codes.ts';
import {
  activatePartition,
  epochOf,
  nextOffset,
  oldestOffset,
  type PartitionHistory,
  partitionState,
  placeNumbers,
  readIdentity,
  setPartitionState,
  setPermission,
  setRetention,
  tryRetire,
} from '../memory/partition-entry.ts';
import type { Regions } from '../memory/regions.ts';
import { partitionsUsed, setPartitionsUsed } from '../memory/seats.ts';
import { isReservedTopic } from '../wire/services.ts';
import type { PartitionSlots, TopicPartition, TopicRecord } from './directory.ts';

/** A deleted entry without a ring may still be opened by an owner that has not seen the deletion: wait this long. */
const GRACE_MS = 2_000;

interface Removed {
  readonly id: number;
  readonly owner: number;
  readonly freeAfter: number;
  /** The owner has left and cannot return the ring: this thread does it. */
  adopted: boolean;
}

const OWNER_UNKNOWN = -1;
const MINUTE_MS = 60_000;
const MIB = 1024 * 1024;
const WORD_MAX = 2_147_483_647;

export class TablePartitionSlots implements PartitionSlots {
  private readonly regions: Regions;
  private readonly clock: () => number;
  private readonly free: number[] = [];
  private fresh = 0;
  private removed: Removed[] = [];
  private epoch: number;

  constructor(regions: Regions, clock: () => number, known: readonly TopicRecord[]) {
    this.regions = regions;
    this.clock = clock;
    // Epochs must differ from those of an earlier process on the same port: seconds since 1970 do.
    this.epoch = Math.floor(clock() / 1000) | 0;
    const partitions = known.flatMap((record) => record.partitions);
    for (const one of partitions) this.epoch = Math.max(this.epoch, one.epoch);
    const inUse = new Set(partitions.map((one) => one.id));
    const used = partitionsUsed(regions.control);
    this.fresh = partitions.reduce((fresh, one) => Math.max(fresh, one.id + 1), used);
    for (let id = this.fresh - 1; id >= 0; id--) {
      this.epoch = Math.max(this.epoch, epochOf(regions.table, id));
      if (inUse.has(id)) continue;
      // What no thread has ever seen is free at once.
      if (id < used) this.discard(id, OWNER_UNKNOWN);
      else this.free.push(id);
    }
  }

  get room(): number {
    return this.free.length + this.regions.sizes.partitionMax - this.fresh;
  }

  activate(topic: TopicRecord, number: number, owner: number, permission: number): TopicPartition {
    const id = this.take();
    const epoch = ++this.epoch;
    const partition: TopicPartition = { id, number, owner, epoch, permission, epochs: [{ epoch, offset: 0 }] };
    this.write(topic, partition);
    return partition;
  }

  /** Brings a partition of an earlier process back to life, in its entry. False if it lives already. */
  revive(topic: TopicRecord, partition: TopicPartition, history: PartitionHistory | undefined): boolean {
    if (this.isOpen(partition)) return false;
    this.write(topic, partition, history);
    setPartitionsUsed(this.regions.control, this.fresh);
    return true;
  }

  private write(topic: TopicRecord, partition: TopicPartition, history?: PartitionHistory): void {
    const { id, number, owner, epoch, permission } = partition;
    const identity = {
      topic: topic.topicId,
      number,
      owner,
      epoch,
      permission,
      overflow: OVERFLOW_CODES[topic.overflow],
      ringBytes: topic.ringBytes,
      durable: topic.durable,
      reserved: isReservedTopic(topic.topic),
    };
    this.setRetention({ ...topic, partitions: [partition] }, topic.partitions.length);
    activatePartition(this.regions.table, id, identity, history);
  }

  /** The topic's bytes are shared out evenly: an entry says what is kept of its partition. */
  setRetention(topic: TopicRecord, shares = topic.partitions.length): void {
    const { retentionMs, retentionBytes } = topic;
    const minutes = Math.min(Math.ceil(retentionMs / MINUTE_MS), WORD_MAX);
    const mebibytes = Math.min(Math.ceil(retentionBytes / Math.max(1, shares) / MIB), WORD_MAX);
    for (const { id } of topic.partitions) setRetention(this.regions.table, id, minutes, mebibytes);
  }

  remove(partition: TopicPartition): void {
    this.discard(partition.id, partition.owner);
  }

  isOpen(partition: TopicPartition): boolean {
    return readIdentity(this.regions.table, partition.id)?.epoch === partition.epoch;
  }

  /** The thread at this seat has left: the rings of its direct partitions are returned from here. */
  adopt(owner: number): void {
    for (const one of this.removed) if (one.owner === owner) one.adopted = true;
  }

  setPermission(partition: TopicPartition): void {
    setPermission(this.regions.table, partition.id, partition.permission);
  }

  nextOffset(partition: TopicPartition): number {
    return nextOffset(this.regions.table, partition.id);
  }

  oldestOffset(partition: TopicPartition): number {
    return oldestOffset(this.regions.table, partition.id);
  }

  /** Entries whose owner has let go (or that never had a ring) may be used again. */
  reclaim(): void {
    const { table } = this.regions;
    const now = this.clock();
    this.removed = this.removed.filter(({ id, freeAfter, adopted }) => {
      const released = partitionState(table, id) === PARTITION_STATES.free || (adopted && tryRetire(table, id));
      const neverOpened = now >= freeAfter && placeNumbers(table, id) === undefined;
      if (!released && !neverOpened) return true;
      setPartitionState(table, id, PARTITION_STATES.free);
      this.free.push(id);
      return false;
    });
  }

  private discard(id: number, owner: number): void {
    const { table } = this.regions;
    if (partitionState(table, id) !== PARTITION_STATES.free) setPartitionState(table, id, PARTITION_STATES.deleted);
    this.removed.push({ id, owner, freeAfter: this.clock() + GRACE_MS, adopted: false });
  }

  private take(): number {
    const id = this.free.pop() ?? this.fresh++;
    if (id >= this.regions.sizes.partitionMax) {
      this.fresh = this.regions.sizes.partitionMax;
      throw new RingmqError(
        'partition-quota',
        `the broker has its ${this.regions.sizes.partitionMax} partitions already`,
      );
    }
    setPartitionsUsed(this.regions.control, this.fresh);
    return id;
  }
}
