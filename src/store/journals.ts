// The durable partitions of the broker, as the store thread keeps them: found by notices, left when their topic is
// deleted.
//
// Who writes, who reads: the store thread alone.
// I1  From its notice until its ring was found empty a partition is in the list (once), or in blocks under way. No
//     second notice counts meanwhile: the next one is allowed right before the store looks whether there is more.
import { SEAT_FIRST_WORKER, SEAT_STORE } from '../../native-layout/control.ts';
import { PARTITION_STATES } from '../../native-layout/partition-table.ts';
import type { ArenaSet } from '../memory/arena.ts';
import type { Bells } from '../memory/bell.ts';
import { hasJournalSlot, releaseJournalSlot } from '../memory/journal.ts';
import { NONE } from '../memory/lane.ts';
import { NoticeReader } from '../memory/notice.ts';
import { epochOf, partitionState, readIdentity, readPlace } from '../memory/partition-entry.ts';
import { noticesFrom, type Regions } from '../memory/regions.ts';
import { RingReader } from '../memory/ring-reader.ts';
import { partitionsUsed } from '../memory/seats.ts';
import { JournaledPartition } from './journaled-partition.ts';

export interface JournalsContext {
  readonly regions: Regions;
  readonly arenas: ArenaSet;
  readonly bells: Bells;
  /** Offset behind what the log had of a partition when this thread started; 0 if nothing. */
  readonly logNext: (topicId: number, partition: number) => number;
  /** Hears what other threads announced (arenas). */
  readonly hear: () => void;
  /** A ring lies in an arena that this thread has not heard of. */
  readonly wantArenas: () => void;
}

/** Notices taken from one worker before the next one has its turn. */
const NOTICES_MAX = 4_096;

export class Journals {
  /** Partitions with news, the one that has waited longest first. */
  readonly dirty: JournaledPartition[] = [];
  private readonly context: JournalsContext;
  private readonly table: Int32Array;
  private readonly notices: NoticeReader[];
  private readonly partitions: (JournaledPartition | undefined)[] = [];
  /** Ids of partitions whose ring this thread cannot reach yet. */
  private unreached: number[] = [];

  constructor(context: JournalsContext) {
    const { regions } = context;
    this.context = context;
    this.table = regions.table;
    this.notices = Array.from(
      { length: regions.sizes.workerCount },
      (_, i) => new NoticeReader(regions.laneWords, noticesFrom(regions.sizes, SEAT_STORE, SEAT_FIRST_WORKER + i)),
    );
  }

  /** True if nothing is known to wait. */
  get idle(): boolean {
    return this.dirty.length === 0 && this.unreached.length === 0 && this.notices.every((ring) => !ring.hasNews);
  }

  /** Takes over every slot that a predecessor, or an owner, has left to the store. */
  adoptAll(): void {
    for (let id = 0; id < partitionsUsed(this.context.regions.control); id++) {
      if (hasJournalSlot(this.table, id)) this.news(id);
    }
  }

  /** Takes notices. Returns how many. */
  take(): number {
    let taken = 0;
    for (let i = 0; i < this.notices.length; i++) {
      const ring = this.notices[i];
      for (let n = 0; n < NOTICES_MAX; n++) {
        const id = ring.take();
        if (id === NONE) break;
        taken++;
        this.news(id);
      }
    }
    return taken;
  }

  /** Tries again to reach rings in arenas that were unknown. */
  reach(): void {
    if (this.unreached.length === 0) return;
    const ids = this.unreached;
    this.unreached = [];
    for (let i = 0; i < ids.length; i++) this.news(ids[i]);
  }

  /** Routes have changed: slots of deleted partitions are given up, those that were never read too. */
  followRoutes(): void {
    for (let id = 0; id < partitionsUsed(this.context.regions.control); id++) {
      if (partitionState(this.table, id) === PARTITION_STATES.deleted && hasJournalSlot(this.table, id)) this.leave(id);
    }
  }

  /**
   * A block that took from it is in the log: it goes behind the others if it has more. While it waits already, or
   * another block has it, nothing is missed: its ring is looked at again. HOT
   */
  requeue(partition: JournaledPartition): void {
    if (!partition.listed && partition.blocks === 0 && this.hasMore(partition)) this.list(partition);
  }

  /** Puts it behind the others. HOT */
  list(partition: JournaledPartition): void {
    partition.listed = true;
    this.dirty.push(partition);
  }

  /** Allows the next notice of a partition, and looks for what came without one. HOT */
  hasMore(partition: JournaledPartition): boolean {
    // Of one that was deleted the store must not touch the entry (releaseJournalSlot()).
    if (partition.gone) return false;
    partition.noticed();
    return partition.hasNews;
  }

  private news(id: number): void {
    const partition = this.partitions[id] ?? this.adopt(id);
    if (partition !== undefined && !partition.listed && partition.blocks === 0) this.list(partition);
  }

  private adopt(id: number): JournaledPartition | undefined {
    const { regions, arenas, bells, logNext, hear } = this.context;
    const identity = readIdentity(this.table, id);
    if (identity === undefined) {
      // Opened while it was being deleted: the owner says so with a notice.
      this.leave(id);
      return undefined;
    }
    if (!hasJournalSlot(this.table, id)) return undefined;
    let place = readPlace(this.table, id, arenas);
    if (place === undefined) {
      // A new arena is announced before its first ring is shown.
      hear();
      place = readPlace(this.table, id, arenas);
    }
    if (place === undefined) {
      this.unreached.push(id);
      this.context.wantArenas();
      return undefined;
    }
    const reader = RingReader.tryAdopt(this.table, id, place, bells);
    if (reader === undefined || epochOf(this.table, id) !== identity.epoch) return undefined;
    const partition = new JournaledPartition(regions.table, reader, identity, logNext(identity.topic, identity.number));
    this.partitions[id] = partition;
    return partition;
  }

  private leave(id: number): void {
    const partition = this.partitions[id];
    this.partitions[id] = undefined;
    if (partition) partition.giveUp();
    else releaseJournalSlot(this.table, id);
  }
}
