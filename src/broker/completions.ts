// Answers to batches: 32 bytes each on the lane back to the publisher.
import {
  COMPLETION_BASE_OFFSET,
  COMPLETION_BYTES,
  COMPLETION_COUNT,
  COMPLETION_EPOCH,
  COMPLETION_PARTITION,
  COMPLETION_REQUEST,
  COMPLETION_STATUS,
} from '../../native-layout/lane.ts';
import { assert } from '../base/fault.ts';
import { FULL, type LaneWriter } from '../memory/lane.ts';
import { putInt64 } from '../record/int64.ts';

export class CompletionWriter {
  /**
   * Answers that will come when the disk has the batches. Their room is kept, so that a publisher that takes no answers
   * stops its own lane and not the acks of everybody behind it.
   */
  waiting = 0;
  private readonly lane: LaneWriter;

  constructor(lane: LaneWriter) {
    this.lane = lane;
  }

  /** True if one answer more than those that wait has room. HOT */
  hasRoom(): boolean {
    return this.lane.hasRoom((this.waiting + 1) * COMPLETION_BYTES);
  }

  /** True if one of the answers that wait has room. HOT */
  hasRoomForWaiting(): boolean {
    return this.lane.hasRoom(COMPLETION_BYTES);
  }

  /** Adds an answer. Only after hasRoom(), or hasRoomForWaiting() for one that waited. `id` names the partition. HOT */
  push(request: number, status: number, id: number, baseOffset: number, count: number, epoch: number): void {
    const to = this.lane.tryClaim(COMPLETION_BYTES);
    assert(to !== FULL, 'completions: no room was kept');
    const { words } = this.lane;
    words[to >> 2] = COMPLETION_BYTES;
    words[(to + COMPLETION_REQUEST) >> 2] = request;
    words[(to + COMPLETION_STATUS) >> 2] = status;
    words[(to + COMPLETION_PARTITION) >> 2] = id;
    putInt64(words, (to + COMPLETION_BASE_OFFSET) >> 2, baseOffset);
    words[(to + COMPLETION_COUNT) >> 2] = count;
    words[(to + COMPLETION_EPOCH) >> 2] = epoch;
    this.lane.commit(COMPLETION_BYTES);
  }

  /** Shows the answers. True if there were any. HOT */
  publish(): boolean {
    return this.lane.publish();
  }
}
