// Brings the key index up with the log, in short steps while nobody wants anything else.
//
// Who writes, who reads: the log reader thread alone (the database: KeyIndexWriter).
// I1  The position that the index has applied is a block's beginning, and every run before it was looked at.
// I2  Runs that come while the index is up to date wait in memory; if they become too many, or a thread's death left
//     runs untold, the blocks are walked in the file instead.
import { BLOCK_SEAL, LOG_ALIGN_BYTES, RUN_HEADER_BYTES, RUN_KEYS } from '../../native-layout/log.ts';
import { STORE_INDEXED_LOW } from '../../native-layout/store.ts';
import type { Disk } from '../log/disk.ts';
import type { LogIndex } from '../log/log-index.ts';
import { SegmentScanner } from '../log/log-scan.ts';
import type { Run } from '../log/run.ts';
import type { RunReader } from '../log/run-reader.ts';
import type { StoreRegion } from '../memory/regions.ts';
import { setStoreNumber } from '../memory/store-state.ts';
import type { KeyEntry, KeyIndex } from '../state/key-index.ts';
import { keysOf } from '../state/keyed-records.ts';
import { isDiskError } from './disk-error.ts';

/** Entries of one transaction: about a millisecond. */
const ENTRIES_MAX = 256;
/** Blocks of a file that one step walks without finding a key. */
const BLOCKS_MAX = 4;
/** Runs that wait in memory. */
const WAITING_MAX = 16_384;
/** Between two transactions that only move the position. */
const POSITION_MS = 1_000;
/** Between two looks at entries whose messages may be gone, and how many. */
const SWEEP_MS = 1_000;
const SWEEP_ENTRIES = 512;

interface WaitingRun {
  readonly run: Run;
  readonly logEnd: number;
}

export interface KeyFollowerContext {
  readonly disk: Disk;
  readonly index: LogIndex;
  readonly reader: RunReader;
  readonly writer: KeyIndex;
  readonly store: StoreRegion;
}

export class KeyFollower {
  private readonly context: KeyFollowerContext;
  private position: number;
  /** What the writer was given last: if that is over and it has less, it was begun anew. */
  private given = 0;
  /** -1: what a predecessor showed, of an index that may have been begun anew since. */
  private shown = -1;
  private appliedAt = 0;
  private sweptAt = 0;
  /** Every keyed run from this position on is in `waiting`. */
  private waitingFrom: number;
  private waiting: WaitingRun[] = [];
  private taken = 0;
  /** Runs of the block of the file that is under way, and its end. */
  private block: Run[] = [];
  private blockEnd = 0;
  private keys: Generator<KeyEntry> | undefined;
  private scanner: SegmentScanner | undefined;

  /** `end`: the log position from which on runs will be told by follow(). */
  constructor(context: KeyFollowerContext, end: number) {
    this.context = context;
    this.position = context.writer.appliedPosition;
    this.waitingFrom = end;
    this.show(this.position);
  }

  /** The store has written a run of a block that ends at `logEnd`. */
  follow(run: Run, logEnd: number): void {
    if ((run.flags & RUN_KEYS) === 0) return;
    if (this.waiting.length - this.taken >= WAITING_MAX) this.rescan(logEnd);
    else if (logEnd > this.waitingFrom) this.waiting.push({ run: { ...run }, logEnd });
  }

  /** Not every run before this position was told: the file says. */
  rescan(end: number): void {
    this.waiting = [];
    this.taken = 0;
    this.waitingFrom = end;
  }

  /** One step; `end` is how far the log index is. Returns how much it did. */
  work(end: number, nowMs: number): number {
    const { writer } = this.context;
    if (writer.broken || writer.pending) return 0;
    this.settle(end);
    const before = this.position;
    const entries: KeyEntry[] = [];
    while (entries.length < ENTRIES_MAX && this.fill(entries)) {
      if (this.position - before > BLOCKS_MAX * LOG_ALIGN_BYTES * 256) break;
    }
    if (this.isIdle && this.position >= this.waitingFrom) this.position = Math.max(this.position, end);
    const mustSave = this.position > writer.appliedPosition && nowMs >= this.appliedAt + POSITION_MS;
    if (entries.length === 0 && !mustSave) return this.sweep(nowMs) + (this.position > before ? 1 : 0);
    this.appliedAt = nowMs;
    this.given = this.position;
    writer.apply(entries, this.position);
    return Math.max(1, entries.length);
  }

  /** Kept when the transaction that is under way is over. */
  get pending(): Promise<void> | undefined {
    return this.context.writer.pending;
  }

  /** Resolves when everything that was applied is on the disk. */
  async close(): Promise<void> {
    const { writer } = this.context;
    await writer.pending;
    this.settle(this.waitingFrom);
    if (!writer.broken && this.position > writer.appliedPosition) writer.apply([], this.position);
    this.scanner?.close();
    this.scanner = undefined;
    await writer.close();
  }

  private get isIdle(): boolean {
    return this.taken === this.waiting.length && this.keys === undefined && this.block.length === 0;
  }

  /** Adds entries of the run under way, or finds the next one. False if there is nothing to do. */
  private fill(entries: KeyEntry[]): boolean {
    if (this.keys !== undefined) {
      while (entries.length < ENTRIES_MAX) {
        const next = this.keys.next();
        if (next.done) {
          this.keys = undefined;
          this.finishRun();
          return true;
        }
        entries.push(next.value);
      }
      return true;
    }
    const run = this.block[0] ?? this.nextWaiting();
    if (run) this.open(run);
    else if (this.position < this.waitingFrom) this.walk();
    else return false;
    return true;
  }

  private nextWaiting(): Run | undefined {
    // First what is only in the file.
    return this.position < this.waitingFrom ? undefined : this.waiting[this.taken]?.run;
  }

  private open(run: Run): void {
    const { reader } = this.context;
    // A copy: what the reader gives is valid until the next read. What is damaged has no keys.
    const bytes = reader.runBytes(run)?.slice(RUN_HEADER_BYTES);
    this.keys = keysOf(run.topicId, run.partition, bytes ?? new Uint8Array(0), 0, bytes?.length ?? 0);
  }

  /** The run's keys are all in the entries: the position moves when its block has no more of them (I1). */
  private finishRun(): void {
    if (this.block.length > 0) {
      this.block.shift();
      if (this.block.length === 0) this.position = this.blockEnd;
      return;
    }
    const { logEnd } = this.waiting[this.taken++];
    const next = this.waiting[this.taken];
    if (next && next.logEnd !== logEnd) this.position = Math.max(this.position, logEnd);
    if (this.taken < 1_024 && next) return;
    this.waiting = this.waiting.slice(this.taken);
    this.taken = 0;
  }

  /** Looks at the next block of the file. A segment that the disk does not give is left out: the index is an aid. */
  private walk(): void {
    const { index } = this.context;
    const base = index.segmentOf(this.position) ?? index.segments[0]?.base ?? index.unsealedBase;
    // What retention took has no keys any more.
    this.position = Math.max(this.position, base);
    if (this.position >= this.waitingFrom) return;
    try {
      this.walkBlock(base);
    } catch (error) {
      if (!isDiskError(error)) throw error;
      const next = index.segments.find((segment) => segment.base > base)?.base ?? index.unsealedBase;
      this.block = [];
      this.position = next > base ? next : this.waitingFrom;
    }
  }

  private walkBlock(base: number): void {
    if (this.scanner?.base !== base) {
      this.scanner?.close();
      this.scanner = new SegmentScanner(this.context.disk, base);
    }
    const { scanner, position } = this;
    const isGood = scanner.mayBegin(position) && scanner.check(position, undefined) === undefined;
    const { block } = scanner;
    const ends = isGood && block.flags === BLOCK_SEAL;
    const next = position + (isGood ? block.lengthBytes : LOG_ALIGN_BYTES);
    this.blockEnd = ends ? base + scanner.lengthBytes : Math.min(next, base + scanner.lengthBytes);
    if (isGood) {
      scanner.eachRun((run) => {
        if ((run.flags & RUN_KEYS) !== 0) this.block.push({ ...run });
      });
    }
    if (this.block.length === 0) this.position = this.blockEnd;
  }

  /** What was given to the writer is in the index; or the database was begun anew. */
  private settle(end: number): void {
    const applied = this.context.writer.appliedPosition;
    if (applied < this.given) this.begin(end);
    this.given = applied;
    this.show(applied);
  }

  private begin(end: number): void {
    this.keys = undefined;
    this.block = [];
    this.rescan(end);
    this.position = this.context.writer.appliedPosition;
  }

  private sweep(nowMs: number): number {
    if (nowMs < this.sweptAt + SWEEP_MS) return 0;
    this.sweptAt = nowMs;
    const { writer, index } = this.context;
    // A queue that the log does not know any more has nothing left.
    const oldest = (topicId: number, partition: number): number =>
      index.end(topicId, partition) === 0 ? Number.MAX_SAFE_INTEGER : index.oldest(topicId, partition);
    return writer.sweep(oldest, SWEEP_ENTRIES);
  }

  private show(applied: number): void {
    if (applied === this.shown) return;
    this.shown = applied;
    setStoreNumber(this.context.store, STORE_INDEXED_LOW, applied);
  }
}
