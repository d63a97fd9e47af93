// The run lane: what the store has written, told to the log reader, one frame a run.
//
// Who writes: the store thread. Who reads: the log reader thread.
// I1  A run's notice is in the lane before the run's bytes may leave the ring.
// I2  A store that takes over says so with a notice without a run: what its predecessor wrote last may not be in the
//     lane, and the log reader finds it in the file.
import {
  NOTICE_BASE_OFFSET,
  NOTICE_EPOCH,
  NOTICE_FLAGS,
  NOTICE_LOG_END,
  NOTICE_NEXT_OFFSET,
  NOTICE_PARTITION,
  NOTICE_POSITION,
  NOTICE_RECORDS,
  NOTICE_RUN_SIZE,
  NOTICE_STORED_FIRST,
  NOTICE_STORED_SPAN,
  NOTICE_TOPIC,
  RUN_LANE_BYTES,
  RUN_NOTICE_BYTES,
} from '../../native-layout/store.ts';
import type { Run } from '../log/run.ts';
import { FULL, LaneReader, LaneWriter, NONE } from '../memory/lane.ts';
import { type RegionSizes, runLane, type StoreRegion } from '../memory/regions.ts';
import { getInt64, putInt64 } from '../record/int64.ts';

/** The lane is filling from this part of it on: 14,000 runs. */
const FILLING_DIVISOR = 4;

/** NOTICE_RUN_SIZE of I2's notice. */
const STARTED = 0;

/** The store's end. */
export class RunNoticeWriter {
  private readonly lane: LaneWriter;

  constructor(sizes: RegionSizes, store: StoreRegion) {
    this.lane = new LaneWriter(store.words, store.bytes, runLane(sizes));
  }

  /** Adds the notice of one run; false if the lane is full. HOT */
  tryPush(run: Run, logEnd: number): boolean {
    const at = this.lane.tryClaim(RUN_NOTICE_BYTES);
    if (at === FULL) return false;
    const { words } = this.lane;
    words[at >> 2] = RUN_NOTICE_BYTES;
    words[(at + NOTICE_RUN_SIZE) >> 2] = run.size;
    putInt64(words, (at + NOTICE_POSITION) >> 2, run.position);
    words[(at + NOTICE_TOPIC) >> 2] = run.topicId;
    words[(at + NOTICE_PARTITION) >> 2] = run.partition;
    putInt64(words, (at + NOTICE_BASE_OFFSET) >> 2, run.baseOffset);
    putInt64(words, (at + NOTICE_NEXT_OFFSET) >> 2, run.nextOffset);
    putInt64(words, (at + NOTICE_STORED_FIRST) >> 2, run.storedFirst);
    words[(at + NOTICE_STORED_SPAN) >> 2] = run.storedSpan;
    words[(at + NOTICE_EPOCH) >> 2] = run.epoch;
    words[(at + NOTICE_FLAGS) >> 2] = run.flags;
    words[(at + NOTICE_RECORDS) >> 2] = run.records;
    putInt64(words, (at + NOTICE_LOG_END) >> 2, logEnd);
    this.lane.commit(RUN_NOTICE_BYTES);
    return true;
  }

  /** See I2. False if the lane is full. */
  tryPushStarted(logEnd: number): boolean {
    const at = this.lane.tryClaim(RUN_NOTICE_BYTES);
    if (at === FULL) return false;
    const { words } = this.lane;
    words.fill(0, at >> 2, (at + RUN_NOTICE_BYTES) >> 2);
    words[at >> 2] = RUN_NOTICE_BYTES;
    words[(at + NOTICE_RUN_SIZE) >> 2] = STARTED;
    putInt64(words, (at + NOTICE_LOG_END) >> 2, logEnd);
    this.lane.commit(RUN_NOTICE_BYTES);
    return true;
  }

  /** Shows what was pushed. */
  publish(): boolean {
    return this.lane.publish();
  }

  /** True if the log reader had better look soon; otherwise it is enough that it looks now and then. HOT */
  get isFilling(): boolean {
    return this.lane.pendingBytes >= RUN_LANE_BYTES / FILLING_DIVISOR;
  }
}

/** The log reader's end. Also the run that it stands at: valid until the next look(). */
export class RunNoticeReader implements Run {
  topicId = 0;
  partition = 0;
  baseOffset = 0;
  nextOffset = 0;
  storedFirst = 0;
  storedSpan = 0;
  epoch = 0;
  flags = 0;
  records = 0;
  position = 0;
  size = 0;
  /** Log position of the block behind the run's. */
  logEnd = 0;
  private readonly lane: LaneReader;

  constructor(sizes: RegionSizes, store: StoreRegion) {
    this.lane = new LaneReader(store.words, store.bytes, runLane(sizes));
  }

  /** True if look() would find a notice. */
  get hasNews(): boolean {
    return this.lane.hasNews;
  }

  /** True if the notice says that a store has taken over: there is no run. */
  get isStart(): boolean {
    return this.size === STARTED;
  }

  /** Fills this with the next notice; false if there is none. HOT */
  look(): boolean {
    const at = this.lane.look();
    if (at === NONE) return false;
    const { words } = this.lane;
    this.size = words[(at + NOTICE_RUN_SIZE) >> 2];
    this.position = getInt64(words, (at + NOTICE_POSITION) >> 2);
    this.topicId = words[(at + NOTICE_TOPIC) >> 2];
    this.partition = words[(at + NOTICE_PARTITION) >> 2];
    this.baseOffset = getInt64(words, (at + NOTICE_BASE_OFFSET) >> 2);
    this.nextOffset = getInt64(words, (at + NOTICE_NEXT_OFFSET) >> 2);
    this.storedFirst = getInt64(words, (at + NOTICE_STORED_FIRST) >> 2);
    this.storedSpan = words[(at + NOTICE_STORED_SPAN) >> 2];
    this.epoch = words[(at + NOTICE_EPOCH) >> 2];
    this.flags = words[(at + NOTICE_FLAGS) >> 2];
    this.records = words[(at + NOTICE_RECORDS) >> 2];
    this.logEnd = getInt64(words, (at + NOTICE_LOG_END) >> 2);
    return true;
  }

  /** Steps over the notice. HOT */
  consume(): void {
    this.lane.consume();
  }

  /** Gives the room of what was consumed back to the store. */
  release(): boolean {
    return this.lane.release();
  }
}
