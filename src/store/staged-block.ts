// One block of the log on its way from the rings to the disk: what is in it, of which partitions, and how far it is.
//
// Who writes, who reads: the store thread alone.
// I1  A partition is in the list of those with news, or in blocks under way, or neither: `listed` and `blocks` say so.
// I2  What a block took of a ring stays in the ring until the block is released.
import type { BlockBuilder } from '../log/block-builder.ts';
import { type JournaledPartition, STAGE } from './journaled-partition.ts';
import type { Journals } from './journals.ts';

/**
 * What a partition may take of a block at least, if it has it: where thousands wait, an even share would be a batch
 * each, and a run costs as much as some ten KiB in it. Never more than a part of the block.
 */
const SHARE_MIN_BYTES = 16 * 1024;
const SHARE_MIN_DIVISOR = 8;

/** Where a block stands. */
export const BLOCK = {
  empty: 0,
  staged: 1,
  /** Being written beside the store thread. */
  flying: 2,
  written: 3,
} as const;

export class StagedBlock {
  readonly builder: BlockBuilder;
  state: number = BLOCK.empty;
  /** Log position behind it, once it is written. */
  logEnd = 0;
  /** Runs that the log reader was told of. */
  runsNoticed = 0;
  private readonly partitions: JournaledPartition[] = [];
  /** How far the block has the ring of each of them. */
  private readonly ends: number[] = [];

  constructor(builder: BlockBuilder) {
    this.builder = builder;
  }

  /** Partitions in it. */
  get size(): number {
    return this.partitions.length;
  }

  /** Half full or more: worth the way to another thread and back. */
  get isLarge(): boolean {
    return this.builder.blockBytes >= this.builder.capacity / 2;
  }

  /**
   * Fills it: partitions with news have their share in turn, what one does not use is left to the next ones. `rest`
   * hears of those that have nothing. False if there is nothing to write.
   */
  fill(journals: Journals, rest: (partition: JournaledPartition) => void): boolean {
    const { builder } = this;
    const waiting = journals.dirty;
    builder.begin();
    this.logEnd = 0;
    this.runsNoticed = 0;
    const shareMin = Math.min(SHARE_MIN_BYTES, builder.capacity / SHARE_MIN_DIVISOR);
    let i = 0;
    for (; i < waiting.length; i++) {
      const partition = waiting[i];
      if (partition.gone) {
        partition.listed = false;
        continue;
      }
      const shareBytes = Math.max(shareMin, Math.floor(builder.room / (waiting.length - i)));
      let outcome = partition.stage(builder, shareBytes);
      if (outcome === STAGE.nothing && journals.hasMore(partition)) outcome = partition.stage(builder, shareBytes);
      if (outcome === STAGE.full) break;
      partition.listed = false;
      if (outcome === STAGE.staged) this.add(partition);
      else rest(partition);
    }
    dropFirst(waiting, i);
    if (this.partitions.length > 0) this.state = BLOCK.staged;
    return this.partitions.length > 0;
  }

  /**
   * Puts its partitions that have more already back into the list: the next block need not wait for this one. But for
   * those whose ring would have little room left while both are under way: their publishers would wait for the disk.
   */
  relist(journals: Journals): void {
    for (let i = 0; i < this.partitions.length; i++) {
      const partition = this.partitions[i];
      if (!partition.listed && partition.mayGoOn) journals.list(partition);
    }
  }

  /** It is in the log: cursors move, `written` hears of each partition that lives, and those with more are listed. */
  release(journals: Journals, written: (partition: JournaledPartition) => void): void {
    for (let i = 0; i < this.partitions.length; i++) {
      const partition = this.partitions[i];
      partition.blocks--;
      if (!partition.gone) {
        partition.written(this.ends[i]);
        written(partition);
      }
      journals.requeue(partition);
    }
    this.partitions.length = 0;
    this.ends.length = 0;
    this.state = BLOCK.empty;
  }

  private add(partition: JournaledPartition): void {
    partition.blocks++;
    this.partitions.push(partition);
    this.ends.push(partition.position);
  }
}

/** Element by element: copyWithin() of an array takes a hundred times as long, and thousands of partitions may wait. */
function dropFirst(list: JournaledPartition[], count: number): void {
  const left = list.length - count;
  for (let i = 0; i < left; i++) list[i] = list[i + count];
  list.length = left;
}
