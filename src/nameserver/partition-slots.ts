// The NameServer's hand on the partition table: takes free entries, brings them to life, frees them.
import { OVERFLOW_CODES, PARTITION_STATES } from '../../native-layout/partition-table.ts';
import { RingmqError } from '../base/codes.ts';
import {
  activatePartition,
  nextOffset,
  partitionState,
  placeNumbers,
  setPartitionState,
  setPermission,
} from '../memory/partition-entry.ts';
import type { Regions } from '../memory/regions.ts';
import { setPartitionsUsed } from '../memory/seats.ts';
import type { PartitionSlots, TopicPartition, TopicRecord } from './directory.ts';

/** A deleted entry without a ring may still be opened by an owner that has not seen the deletion: wait this long. */
const GRACE_MS = 2_000;

interface Removed {
  readonly id: number;
  readonly freeAfter: number;
}

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
    const used = known.flatMap((record) => record.partitions.map((one) => one.id));
    this.fresh = used.reduce((next, id) => Math.max(next, id + 1), 0);
    for (const record of known) for (const one of record.partitions) this.epoch = Math.max(this.epoch, one.epoch);
    const inUse = new Set(used);
    for (let id = 0; id < this.fresh; id++)
      if (!inUse.has(id)) this.removed.push({ id, freeAfter: clock() + GRACE_MS });
  }

  activate(topic: TopicRecord, number: number, owner: number, permission: number): TopicPartition {
    const id = this.take();
    const partition: TopicPartition = { id, number, owner, epoch: ++this.epoch, permission };
    activatePartition(this.regions.table, id, {
      topic: topic.topicId,
      number,
      owner,
      epoch: partition.epoch,
      permission,
      overflow: OVERFLOW_CODES[topic.overflow],
      ringBytes: topic.ringBytes,
    });
    return partition;
  }

  remove(partition: TopicPartition): void {
    setPartitionState(this.regions.table, partition.id, PARTITION_STATES.deleted);
    this.removed.push({ id: partition.id, freeAfter: this.clock() + GRACE_MS });
  }

  setPermission(partition: TopicPartition): void {
    setPermission(this.regions.table, partition.id, partition.permission);
  }

  nextOffset(partition: TopicPartition): number {
    return nextOffset(this.regions.table, partition.id);
  }

  /** Entries whose owner has let go (or that never had a ring) may be used again. */
  reclaim(): void {
    const { table } = this.regions;
    const now = this.clock();
    this.removed = this.removed.filter(({ id, freeAfter }) => {
      const released = partitionState(table, id) === PARTITION_STATES.free;
      const neverOpened = now >= freeAfter && placeNumbers(table, id) === undefined;
      if (!released && !neverOpened) return true;
      setPartitionState(table, id, PARTITION_STATES.free);
      this.free.push(id);
      return false;
    });
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
