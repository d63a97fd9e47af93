// The store: takes what is new in the rings of all durable partitions, writes it to the log as one block, and says so.
// See ADR 7 "Commit" and "Failure".
//
// Who writes: this thread alone the log, the first line of the store header, the run lane, and slot 0 of every durable
// partition. Order inside a commit, which makes a death at any point harmless:
// I1  Write, then run notices, then positions and cursors, then bells: what has left a ring can be found in the log.
// I2  STORED_DURABLE moves only after the write that is durable, or after the sync.
// I3  A block whose write failed for want of room is written again with the same bytes; after any other failure nothing
//     is written any more.
import { CONTROL_STATES, SEAT_FIRST_WORKER, SEAT_LOG_READER, SEAT_STATES } from '../../native-layout/control.ts';
import { RUN_KEYS } from '../../native-layout/log.ts';
import { STORE_DURABLE_LOW, STORE_STATES, STORE_WRITTEN_LOW } from '../../native-layout/store.ts';
import { CODES } from '../base/codes.ts';
import { writeCheckpoint } from '../log/checkpoint.ts';
import { crashPoint } from '../log/crash-point.ts';
import type { WriteUnderWay } from '../log/disk.ts';
import { isDiskFull } from '../log/log-writer.ts';
import { Bells } from '../memory/bell.ts';
import { COUNTER, Counters } from '../memory/counters.ts';
import type { StoreRegion } from '../memory/regions.ts';
import { beat, brokerState, routeVersion, seatState } from '../memory/seats.ts';
import { countCommit, setStoreNumber, setStoreState, storeState } from '../memory/store-state.ts';
import type { Agent } from '../thread/agent.ts';
import { isDiskError } from './disk-error.ts';
import type { JournaledPartition } from './journaled-partition.ts';
import { Journals } from './journals.ts';
import { RunNoticeWriter } from './run-notices.ts';
import { BLOCK, StagedBlock } from './staged-block.ts';
import type { StoreContext } from './store-context.ts';

/** After a write that found no room. */
const RETRY_MS = 500;
/** Buffered mode: most bytes, and longest time, between a write and its sync while more is coming. */
const UNSYNCED_BYTES_MAX = 4 * 1024 * 1024;
const UNSYNCED_MS_MAX = 2;

export class StoreAgent implements Agent {
  readonly name = 'store';
  private readonly context: StoreContext;
  private readonly store: StoreRegion;
  private readonly bells: Bells;
  private readonly counters: Counters;
  private readonly journals: Journals;
  private readonly notices: RunNoticeWriter;
  /** Under way, in the order of the log: two at most, and the second one is staged or flying only. */
  private readonly blocks: StagedBlock[] = [];
  private readonly spare: StagedBlock[];
  /** The write that goes on beside this thread. */
  private flight: WriteUnderWay | undefined;
  /** The block behind the flying one was looked for: what comes later is staged later, with what came with it. */
  private isAhead = false;
  /** Written, and not yet synced. */
  private readonly unsynced: JournaledPartition[] = [];
  private unsyncedSince = 0;
  private readonly ownersToRing: number[] = [];
  private readonly ownerRung: Uint8Array;
  /** Some of the runs that were told last have keys. */
  private keysNoticed = false;
  private started = false;
  private retryAt = 0;
  private isFull = false;
  private routeSeen = -1;

  constructor(context: StoreContext) {
    const { regions, arenas, logNext, hear, wantArenas } = context;
    this.context = context;
    this.store = regions.store;
    this.bells = new Bells(regions.control);
    this.counters = new Counters(regions.control, context.seat);
    this.journals = new Journals({ regions, arenas, bells: this.bells, logNext, hear, wantArenas });
    this.notices = new RunNoticeWriter(regions.sizes, this.store);
    this.ownerRung = new Uint8Array(SEAT_FIRST_WORKER + regions.sizes.workerCount);
    this.spare = [new StagedBlock(context.builder)];
    // A thread that takes over from one that met a failure writes nothing either (I3).
    if (!this.failed) setStoreState(this.store, STORE_STATES.starting, 0);
  }

  /** After the workers, when everything in the rings is in the log (or never will be). */
  get finished(): boolean {
    const { control } = this.context.regions;
    if (brokerState(control) < CONTROL_STATES.stopped || this.anyWorker()) return false;
    if (this.failed) return true;
    return this.blocks.length === 0 && this.unsynced.length === 0 && this.journals.idle;
  }

  work(nowMs: number): number {
    this.followRoutes();
    const taken = this.journals.take();
    if (this.failed) return taken;
    if (!this.started) return this.tryStart();
    let did = this.land(nowMs);
    if (this.blocks.length === 0) this.stage();
    did += this.bringOn(nowMs);
    if (this.mustSync(nowMs)) did += this.sync();
    this.ringOwners();
    // Beside a write there is nothing more to do: what came meanwhile is staged when it has ended.
    return this.flight ? did : did + taken;
  }

  /** The event loop must turn for the write beside this thread to end. */
  get pending(): Promise<void> | undefined {
    return this.failed ? undefined : this.flight?.end;
  }

  housekeep(_nowMs: number): void {
    beat(this.context.regions.control, this.context.seat);
    this.context.hear();
    this.journals.reach();
    this.counters.publish();
  }

  /**
   * Orderly stop: the next start is told that nothing is missing, unless something is. A note that cannot be written
   * costs that start a verification.
   */
  close(): void {
    const { writer, disk, generation } = this.context;
    if (this.started && !this.failed && this.finished) {
      const { end, previousCrc } = writer;
      try {
        // The last block may have been of deleted partitions only: nobody waited for a sync.
        writer.sync();
        writeCheckpoint(disk, { clean: true, end, previousCrc, generation });
      } catch (error) {
        if (!isDiskError(error)) throw error;
      }
    }
    writer.close();
  }

  private get failed(): boolean {
    return storeState(this.store) === STORE_STATES.failed;
  }

  /** What a predecessor wrote last is put on the disk, and the log reader is told to look for it. */
  private tryStart(): number {
    const { writer } = this.context;
    try {
      writer.sync();
    } catch (error) {
      this.fail(error);
      return 0;
    }
    const isTold = this.notices.tryPushStarted(writer.end);
    if (isTold) this.notices.publish();
    this.bells.ring(SEAT_LOG_READER); // Also for room.
    if (!isTold) return 0;
    // After the notice: the log reader takes what is shown for what it was told, and a block may be told in part.
    this.showEnds();
    this.started = true;
    this.journals.adoptAll();
    setStoreState(this.store, STORE_STATES.running, 0);
    this.ringWorkers();
    return 1;
  }

  /** Fills a block with what is new. Returns how many partitions are in it. */
  private stage(): number {
    if (this.journals.dirty.length === 0) return 0;
    const block = this.spare.pop() ?? new StagedBlock(this.context.builder.sibling());
    if (block.fill(this.journals, this.rest)) {
      this.blocks.push(block);
      crashPoint('store.staged');
    } else this.spare.push(block);
    return block.size;
  }

  /** Nothing is new. What lies before a cursor that was taken over is on the disk since tryStart(): it is said here. */
  private readonly rest = (partition: JournaledPartition): void => {
    if (!partition.adopted) return;
    partition.adopted = false;
    partition.show('written');
    partition.show('durable');
    this.markOwner(partition.identity.owner);
  };

  /** Takes the blocks under way as far as they go now. Returns how much was done. */
  private bringOn(nowMs: number): number {
    let did = 0;
    if (this.blocks[0]?.state === BLOCK.staged) did += this.write(this.blocks[0], nowMs);
    const [first, second] = this.blocks;
    if (first?.state === BLOCK.written) {
      // The disk need not wait until everybody has heard of the first one.
      if (second?.state === BLOCK.staged && this.mayFly(second)) did += this.write(second, nowMs, true);
      if (this.noticeRuns(first)) did += this.complete(first, nowMs);
    }
    if (this.flight && !this.isAhead && this.blocks.length === 1) {
      this.isAhead = true;
      did += this.stage();
    }
    return did;
  }

  /** Writes a block, or begins to. Returns its bytes; 0 if there was no room for it. */
  private write(block: StagedBlock, nowMs: number, flies = this.mayFly(block)): number {
    const { writer } = this.context;
    const { builder } = block;
    if (nowMs < this.retryAt) return 0;
    try {
      // All of it may be in the log already, after a restart.
      if (flies) this.flight = writer.begin(builder);
      else if (!builder.empty) writer.append(builder);
    } catch (error) {
      this.refused(error, nowMs);
      return 0;
    }
    this.isAhead = false;
    if (this.flight) block.state = BLOCK.flying;
    else this.written(block);
    return builder.blockBytes;
  }

  /**
   * A write beside this thread pays where there is something to do meanwhile; else it would only take longer. What goes
   * to the page cache is there as soon as it was copied.
   */
  private mayFly(block: StagedBlock): boolean {
    const { mode, writer } = this.context;
    if (mode !== 'direct' || !writer.mayBegin || !block.isLarge || block.builder.empty) return false;
    block.relist(this.journals);
    return this.blocks.length > 1 || this.journals.dirty.length > 0;
  }

  /** Looks after the write beside this thread, once everything before it is told. Returns its bytes if it has ended. */
  private land(nowMs: number): number {
    const [block] = this.blocks;
    if (!this.flight?.ended || block.state !== BLOCK.flying) return 0;
    this.flight = undefined;
    try {
      this.context.writer.finish();
    } catch (error) {
      block.state = BLOCK.staged;
      this.refused(error, nowMs);
      return 0;
    }
    this.written(block);
    return block.builder.blockBytes;
  }

  private written(block: StagedBlock): void {
    if (this.isFull) this.goOn();
    crashPoint('store.written');
    block.logEnd = this.context.writer.end;
    block.state = BLOCK.written;
  }

  private refused(error: unknown, nowMs: number): void {
    if (!isDiskFull(error)) this.fail(error);
    else this.waitForRoom(error as Error, nowMs);
  }

  /**
   * Tells the log reader of the block's runs; false while the lane is full. It is woken only where it has to hurry: for
   * room, and for the key index. What it is asked wakes it too, and it takes these notices first then.
   */
  private noticeRuns(block: StagedBlock): boolean {
    const { runs } = block.builder;
    while (block.runsNoticed < runs.length && this.notices.tryPush(runs[block.runsNoticed], block.logEnd)) {
      this.keysNoticed ||= (runs[block.runsNoticed].flags & RUN_KEYS) !== 0;
      block.runsNoticed++;
    }
    const isAll = block.runsNoticed === runs.length;
    this.notices.publish();
    if (!isAll || this.keysNoticed || this.notices.isFilling) this.bells.ring(SEAT_LOG_READER);
    this.keysNoticed = false;
    return isAll;
  }

  /** The block is in the log and the log reader knows it: positions and cursors move. Returns how many. */
  private complete(block: StagedBlock, nowMs: number): number {
    crashPoint('store.noticed');
    if (this.context.mode !== 'direct' && this.unsynced.length === 0) this.unsyncedSince = nowMs;
    this.showEnds();
    const count = block.size;
    block.release(this.journals, this.show);
    this.blocks.shift();
    this.spare.push(block);
    countCommit(this.store);
    this.counters.add(COUNTER.turns, 1);
    return count;
  }

  private readonly show = (partition: JournaledPartition): void => {
    partition.show('written');
    if (this.context.mode === 'direct') partition.show('durable');
    else this.awaitSync(partition);
    this.markOwner(partition.identity.owner);
  };

  private awaitSync(partition: JournaledPartition): void {
    if (partition.unsynced) return;
    partition.unsynced = true;
    this.unsynced.push(partition);
  }

  /** Buffered mode: now, unless more comes that can be written before and nothing has waited for long. */
  private mustSync(nowMs: number): boolean {
    const state = this.blocks[0]?.state;
    if (this.unsynced.length === 0 || state === BLOCK.written || this.failed) return false;
    const { writer } = this.context;
    // A block that waits for room makes nobody wait who is written.
    if (state === BLOCK.staged) return true;
    if (this.journals.dirty.length === 0 || writer.end - writer.durableEnd >= UNSYNCED_BYTES_MAX) return true;
    return nowMs - this.unsyncedSince >= UNSYNCED_MS_MAX;
  }

  private sync(): number {
    this.ringOwners(); // Acks `written` need not wait for the disk.
    try {
      this.context.writer.sync();
    } catch (error) {
      this.fail(error);
      return 0;
    }
    this.showEnds();
    for (let i = 0; i < this.unsynced.length; i++) {
      const partition = this.unsynced[i];
      partition.unsynced = false;
      if (partition.gone) continue;
      partition.show('durable');
      this.markOwner(partition.identity.owner);
    }
    const count = this.unsynced.length;
    this.unsynced.length = 0;
    return count;
  }

  private showEnds(): void {
    const { writer } = this.context;
    setStoreNumber(this.store, STORE_WRITTEN_LOW, writer.end);
    setStoreNumber(this.store, STORE_DURABLE_LOW, writer.durableEnd);
  }

  /** I3: the block stays as it is. */
  private waitForRoom(error: Error, nowMs: number): void {
    this.retryAt = nowMs + RETRY_MS;
    // A broker that stops does not wait for somebody to make room: what is not in the log was not acknowledged.
    if (brokerState(this.context.regions.control) >= CONTROL_STATES.stopped) this.fail(error);
    else if (!this.isFull) this.becomeFull(error);
  }

  private becomeFull(error: Error): void {
    this.isFull = true;
    setStoreState(this.store, STORE_STATES.full, CODES['disk-full'].number);
    this.context.report({ type: 'full', error });
    this.ringWorkers();
  }

  private goOn(): void {
    this.isFull = false;
    setStoreState(this.store, STORE_STATES.running, 0);
    this.context.report({ type: 'room' });
    this.ringWorkers();
  }

  private fail(error: unknown): void {
    // An error of ours is no failure of the disk: the thread dies and its successor goes on.
    if (!isDiskError(error)) throw error;
    setStoreState(this.store, STORE_STATES.failed, CODES['store-failed'].number);
    this.context.report({ type: 'failed', error });
    this.ringWorkers();
  }

  private followRoutes(): void {
    const version = routeVersion(this.context.regions.control);
    if (version === this.routeSeen) return;
    this.routeSeen = version;
    this.journals.followRoutes();
  }

  private markOwner(seat: number): void {
    if (this.ownerRung[seat] === 1) return;
    this.ownerRung[seat] = 1;
    this.ownersToRing.push(seat);
  }

  private ringOwners(): void {
    for (let i = 0; i < this.ownersToRing.length; i++) {
      const seat = this.ownersToRing[i];
      this.ownerRung[seat] = 0;
      this.bells.ring(seat);
    }
    this.ownersToRing.length = 0;
  }

  private ringWorkers(): void {
    for (let seat = SEAT_FIRST_WORKER; seat < this.ownerRung.length; seat++) this.bells.ring(seat);
  }

  private anyWorker(): boolean {
    const { control } = this.context.regions;
    for (let seat = SEAT_FIRST_WORKER; seat < this.ownerRung.length; seat++) {
      if (seatState(control, seat) === SEAT_STATES.taken) return true;
    }
    return false;
  }
}
