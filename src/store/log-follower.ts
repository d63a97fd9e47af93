// Keeps the index up with the log: takes the store's notices of runs, and looks into the files where notices were lost
// with a thread.
//
// Who writes, who reads: the log reader thread alone.
// I1  A notice is given back only when its whole block is before STORE_WRITTEN: what a successor of this thread does
//     not find in the lane lies before that position, and it scans the segment up to there.
// I2  A run may come twice (from the file and from the lane): the index leaves the second one out.
// I3  The last block is complete when the next one begins, or when the lane is empty after STORE_WRITTEN said so: the
//     store shows a block's end after the last of its notices.
import { RUN_LANE_BYTES, RUN_NOTICE_BYTES, STORE_WRITTEN_LOW } from '../../native-layout/store.ts';
import type { Disk } from '../log/disk.ts';
import type { LogIndex } from '../log/log-index.ts';
import { scanRuns } from '../log/log-open.ts';
import type { Run } from '../log/run.ts';
import { segmentBases } from '../log/segment-files.ts';
import type { StoreRegion } from '../memory/regions.ts';
import { storeNumber } from '../memory/store-state.ts';
import type { RunNoticeReader } from './run-notices.ts';

/** Who else wants to know. */
export interface LogFollowerListener {
  /** A run contradicts the index: `gap`, `overlap` or `misplaced`. */
  readonly misfit: (run: Run, how: string) => void;
  /** The store has written a run, of a block that ends at `logEnd`. The object is used again. */
  readonly told: (run: Run, logEnd: number) => void;
  /** Runs before this position were found in the file and not told. */
  readonly found: (end: number) => void;
  /** Much room was made in the lane: the store may wait for it, and nobody else tells it. */
  readonly room: () => void;
}

/** Notices taken before requests have their turn. */
const NOTICES_MAX = 8_192;
/** Notices that half fill the lane. */
const NOTICES_HALF = RUN_LANE_BYTES / RUN_NOTICE_BYTES / 2;

export class LogFollower {
  private readonly disk: Disk;
  private readonly index: LogIndex;
  private readonly notices: RunNoticeReader;
  private readonly store: StoreRegion;
  private readonly listener: LogFollowerListener;
  private hasSegment: boolean;
  /** Everything of the log before this position is in the index. */
  private coveredEnd: number;
  /** LOG_END of the notices that were taken last: perhaps not all of their block. */
  private heldEnd: number;
  private takenSince = 0;
  /** Notices were taken and not given back. */
  private owes = false;

  /** `index` has everything before `end`. `hasSegment`: it knows of a segment that is not sealed. */
  constructor(
    disk: Disk,
    index: LogIndex,
    notices: RunNoticeReader,
    store: StoreRegion,
    extent: { readonly end: number; readonly hasSegment: boolean },
    listener: LogFollowerListener,
  ) {
    this.disk = disk;
    this.index = index;
    this.notices = notices;
    this.store = store;
    this.listener = listener;
    this.hasSegment = extent.hasSegment;
    this.coveredEnd = extent.end;
    this.heldEnd = extent.end;
  }

  /** Everything of the log before this position is in the index. */
  get end(): number {
    return this.coveredEnd;
  }

  /** True if the lane has more. */
  get hasNews(): boolean {
    return this.notices.hasNews;
  }

  /** Takes notices. Returns how many. */
  work(): number {
    const { notices } = this;
    let taken = 0;
    while (taken < NOTICES_MAX && notices.look()) {
      if (notices.isStart) this.restarted(notices.logEnd);
      else this.take();
      taken++;
    }
    // In this order (I3).
    if (this.owes && this.heldEnd <= storeNumber(this.store, STORE_WRITTEN_LOW) && !notices.hasNews) this.letGo();
    return taken;
  }

  private take(): void {
    const { notices } = this;
    // The next block: the store has shown the end of the one before.
    if (notices.logEnd !== this.heldEnd) this.letGo();
    this.heldEnd = notices.logEnd;
    if (notices.logEnd > this.coveredEnd) {
      this.add(notices);
      this.listener.told(notices, notices.logEnd);
    }
    this.consume();
  }

  private consume(): void {
    this.notices.consume();
    this.owes = true;
    this.takenSince++;
  }

  private letGo(): void {
    this.owes = false;
    this.notices.release();
    if (this.takenSince >= NOTICES_HALF) {
      this.takenSince = 0;
      this.listener.room();
    }
    this.coveredEnd = Math.max(this.coveredEnd, this.heldEnd);
  }

  /** A store has taken over: what its predecessor wrote last was perhaps not told. It has not shown `logEnd` yet. */
  private restarted(logEnd: number): void {
    if (logEnd > this.coveredEnd) this.scan(logEnd);
    this.coveredEnd = Math.max(this.coveredEnd, logEnd);
    this.heldEnd = this.coveredEnd;
    this.consume();
  }

  private scan(end: number): void {
    for (const base of segmentBases(this.disk)) {
      if (base >= end || (this.hasSegment && base < this.index.unsealedBase)) continue;
      for (const run of scanRuns(this.disk, base, base, end)) this.add(run);
    }
    this.listener.found(end);
  }

  private add(run: Run): void {
    if (!this.hasSegment) {
      const base = segmentBases(this.disk).findLast((one) => one <= run.position);
      this.index.openSegment(base ?? run.position);
      this.hasSegment = true;
    }
    const added = this.index.add(run);
    if (added !== 'added' && added !== 'duplicate') this.listener.misfit({ ...run }, added);
  }
}
