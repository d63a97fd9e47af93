// Answers to batches: 32 bytes each on the lane back to the publisher.
import { BATCH_COUNT } from '../../native-layout/batch.ts';
import {
  COMPLETION_BASE_OFFSET,
  COMPLETION_BYTES,
  COMPLETION_COUNT,
  COMPLETION_EPOCH,
  COMPLETION_PARTITION,
  COMPLETION_REQUEST,
  COMPLETION_STATUS,
} from '../../native-layout/lane.ts';
import { FULL, type LaneWriter } from '../memory/lane.ts';
import type { Partition } from '../partition/partition.ts';
import { putInt64 } from '../record/int64.ts';

export class CompletionWriter {
  private readonly lane: LaneWriter;
  private claimed = FULL;

  constructor(lane: LaneWriter) {
    this.lane = lane;
  }

  /** True if the next push() has room. HOT */
  hasRoom(): boolean {
    if (this.claimed === FULL) this.claimed = this.lane.tryClaim(COMPLETION_BYTES);
    return this.claimed !== FULL;
  }

  /** Answers the batch at byte `at` of a lane. Only after hasRoom(). HOT */
  push(
    request: number,
    status: number,
    id: number,
    partition: Partition | undefined,
    words: Int32Array,
    at: number,
  ): void {
    const target = this.lane.words;
    const to = this.claimed;
    target[to >> 2] = COMPLETION_BYTES;
    target[(to + COMPLETION_REQUEST) >> 2] = request;
    target[(to + COMPLETION_STATUS) >> 2] = status;
    target[(to + COMPLETION_PARTITION) >> 2] = id;
    putInt64(target, (to + COMPLETION_BASE_OFFSET) >> 2, partition?.baseOffset ?? -1);
    target[(to + COMPLETION_COUNT) >> 2] = words[(at + BATCH_COUNT) >> 2];
    target[(to + COMPLETION_EPOCH) >> 2] = partition?.identity.epoch ?? 0;
    this.lane.commit(COMPLETION_BYTES);
    this.claimed = FULL;
  }

  /** Shows the answers. True if there were any. */
  publish(): boolean {
    return this.lane.publish();
  }
}
