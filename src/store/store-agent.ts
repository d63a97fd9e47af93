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
import type { BlockBuilder } from '../log/block-builder.ts';
import { writeCheckpoint } from '../log/checkpoint.ts';
import { crashPoint } from '../log/crash-point.ts';
import type { Disk } from '../log/disk.ts';
import { isDiskFull, type LogWriter } from '../log/log-writer.ts';
import type { ArenaSet } from '../memory/arena.ts';
import { Bells } from '../memory/bell.ts';
import { COUNTER, Counters } from '../memory/counters.ts';
import type { Regions, StoreRegion } from '../memory/regions.ts';
import { beat, brokerState, routeVersion, seatState } from '../memory/seats.ts';
import { countCommit, setStoreNumber, setStoreState, storeState } from '../memory/store-state.ts';
import type { Agent } from '../thread/agent.ts';
import { isDiskError } from './disk-error.ts';
import { type JournaledPartition, STAGE } from './journaled-partition.ts';
import { Journals } from './journals.ts';
import { RunNoticeWriter } from './run-notices.ts';

/** What people should hear of. `error` of `failed` is the disk's. */
export type StoreEvent =
  | { readonly type: 'full' | 'failed'; readonly error: Error }
  /** There is room again. */
  | { readonly type: 'room' };

export interface StoreContext {
  readonly regions: Regions & { readonly store: StoreRegion };
  readonly seat: number;
  readonly arenas: ArenaSet;
  readonly writer: LogWriter;
  readonly builder: BlockBuilder;
  readonly mode: 'direct' | 'buffered';
  /** Folder of the log. */
  readonly disk: Disk;
  /** Counts the starts of the broker. */
  readonly generation: number;
  /** Offset behind what the log had of a partition when this thread started; 0 if nothing. */
  readonly logNext: (topicId: number, partition: number) => number;
  /** Hears what other threads announced (arenas) without an event loop. */
  readonly hear: () => void;
  /** Asks for the announcements of all arenas. */
  readonly wantArenas: () => void;
  readonly report: (event: StoreEvent) => void;
}

/** After a write that found no room. */
const RETRY_MS = 500;
/** Buffered mode: most bytes, and longest time, between a write and its sync while more is coming. */
const UNSYNCED_BYTES_MAX = 4 * 1024 * 1024;
const UNSYNCED_MS_MAX = 2;

/**
 * What a partition may take of a block at least, if it has it: where thousands wait, an even share would be a batch
 * each, and a run costs as much as some ten KiB in it. Never more than a part of the block.
 */
const SHARE_MIN_BYTES = 16 * 1024;
const SHARE_MIN_DIVISOR = 8;

/** Where a commit stands. */
const PHASE = { idle: 0, staged: 1, written: 2 } as const;

export class StoreAgent implements Agent {
  readonly name = 'store';
  private readonly context: StoreContext;
  private readonly store: StoreRegion;
  private readonly bells: Bells;
  private readonly counters: Counters;
  private readonly journals: Journals;
  private readonly notices: RunNoticeWriter;
  private phase: number = PHASE.idle;
  /** Partitions of the block under way. */
  private readonly staged: JournaledPartition[] = [];
  /** Written, and not yet synced. */
  private readonly unsynced: JournaledPartition[] = [];
  private unsyncedSince = 0;
  private readonly ownersToRing: number[] = [];
  private readonly ownerRung: Uint8Array;
  private runsNoticed = 0;
  /** Some of them have keys. */
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
    // A thread that takes over from one that met a failure writes nothing either (I3).
    if (!this.failed) setStoreState(this.store, STORE_STATES.starting, 0);
  }

  /** After the workers, when everything in the rings is in the log (or never will be). */
  get finished(): boolean {
    const { control } = this.context.regions;
    if (brokerState(control) < CONTROL_STATES.stopped || this.anyWorker()) return false;
    if (this.failed) return true;
    return this.phase === PHASE.idle && this.unsynced.length === 0 && this.journals.idle;
  }

  work(nowMs: number): number {
    this.followRoutes();
    const taken = this.journals.take();
    if (this.failed) return taken;
    if (!this.started) return this.tryStart();
    let did = taken;
    if (this.phase === PHASE.idle) this.stage();
    if (this.phase === PHASE.staged) did += this.write(nowMs);
    if (this.phase === PHASE.written && this.noticeRuns()) did += this.complete(nowMs);
    if (this.mustSync(nowMs)) did += this.sync();
    this.ringOwners();
    return did;
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

  /** Fills a block: partitions with news have their share in turn, what one does not use is left to the next ones. */
  private stage(): void {
    const { builder } = this.context;
    const waiting = this.journals.dirty;
    if (waiting.length === 0) return;
    builder.begin();
    const shareMin = Math.min(SHARE_MIN_BYTES, builder.capacity / SHARE_MIN_DIVISOR);
    let i = 0;
    for (; i < waiting.length; i++) {
      const partition = waiting[i];
      if (partition.gone) {
        partition.dirty = false;
        continue;
      }
      const shareBytes = Math.max(shareMin, Math.floor(builder.room / (waiting.length - i)));
      let outcome = partition.stage(builder, shareBytes);
      if (outcome === STAGE.nothing && this.journals.hasMore(partition)) outcome = partition.stage(builder, shareBytes);
      if (outcome === STAGE.full) break;
      if (outcome === STAGE.staged) this.staged.push(partition);
      else this.rest(partition);
    }
    dropFirst(waiting, i);
    if (this.staged.length === 0) return;
    this.phase = PHASE.staged;
    crashPoint('store.staged');
  }

  /** Nothing is new. What lies before a cursor that was taken over is on the disk since tryStart(): it is said here. */
  private rest(partition: JournaledPartition): void {
    partition.dirty = false;
    if (!partition.adopted) return;
    partition.adopted = false;
    partition.show('written');
    partition.show('durable');
    this.markOwner(partition.identity.owner);
  }

  /** Writes the block. Returns its bytes; 0 if there was no room for it. */
  private write(nowMs: number): number {
    const { writer, builder } = this.context;
    if (nowMs < this.retryAt) return 0;
    try {
      // All of it may be in the log already, after a restart.
      if (!builder.empty) writer.append(builder);
    } catch (error) {
      if (!isDiskFull(error)) this.fail(error);
      else this.waitForRoom(error as Error, nowMs);
      return 0;
    }
    if (this.isFull) this.goOn();
    crashPoint('store.written');
    this.runsNoticed = 0;
    this.phase = PHASE.written;
    return builder.blockBytes;
  }

  /**
   * Tells the log reader of the block's runs; false while the lane is full. It is woken only where it has to hurry: for
   * room, and for the key index. What it is asked wakes it too, and it takes these notices first then.
   */
  private noticeRuns(): boolean {
    const { builder, writer } = this.context;
    const { runs } = builder;
    while (this.runsNoticed < runs.length && this.notices.tryPush(runs[this.runsNoticed], writer.end)) {
      this.keysNoticed ||= (runs[this.runsNoticed].flags & RUN_KEYS) !== 0;
      this.runsNoticed++;
    }
    const isAll = this.runsNoticed === runs.length;
    this.notices.publish();
    if (!isAll || this.keysNoticed || this.notices.isFilling) this.bells.ring(SEAT_LOG_READER);
    this.keysNoticed = false;
    return isAll;
  }

  /** The block is in the log and the log reader knows it: positions and cursors move. Returns how many. */
  private complete(nowMs: number): number {
    crashPoint('store.noticed');
    const isDirect = this.context.mode === 'direct';
    if (!isDirect && this.unsynced.length === 0) this.unsyncedSince = nowMs;
    this.showEnds();
    for (let i = 0; i < this.staged.length; i++) {
      const partition = this.staged[i];
      if (!partition.gone) {
        partition.written();
        partition.show('written');
        if (isDirect) partition.show('durable');
        else this.awaitSync(partition);
        this.markOwner(partition.identity.owner);
      }
      this.journals.requeue(partition);
    }
    const count = this.staged.length;
    this.staged.length = 0;
    this.phase = PHASE.idle;
    countCommit(this.store);
    this.counters.add(COUNTER.turns, 1);
    return count;
  }

  private awaitSync(partition: JournaledPartition): void {
    if (partition.unsynced) return;
    partition.unsynced = true;
    this.unsynced.push(partition);
  }

  /** Buffered mode: now, unless more comes that can be written before and nothing has waited for long. */
  private mustSync(nowMs: number): boolean {
    if (this.unsynced.length === 0 || this.phase === PHASE.written || this.failed) return false;
    const { writer } = this.context;
    // A block that waits for room makes nobody wait who is written.
    if (this.phase === PHASE.staged) return true;
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

/** Element by element: copyWithin() of an array takes a hundred times as long, and thousands of partitions may wait. */
function dropFirst(list: JournaledPartition[], count: number): void {
  const left = list.length - count;
  for (let i = 0; i < left; i++) list[i] = list[i + count];
  list.length = left;
}
